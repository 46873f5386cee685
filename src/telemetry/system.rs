//! Figures of the machine: memory and load of this process, the GPU if one is used.

use serde::{Deserialize, Serialize};

/// What the machine spends on the run, refreshed about once a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SystemFigures {
    /// Resident memory of this process, bytes; 0 before the first reading.
    pub rss_bytes: u64,
    /// Memory of the machine, bytes.
    pub memory_bytes: u64,
    /// Load of this process, in cores (1.0: one core busy).
    pub cpu_cores: f32,
    /// Cores of the machine.
    pub cores: usize,
    /// The GPU, if the run uses one.
    pub gpu: Option<GpuFigures>,
}

/// One GPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GpuFigures {
    /// Its name.
    pub name: String,
    /// Load in [0, 1].
    pub load: f32,
    /// Memory in use, bytes, by all processes.
    pub used_bytes: u64,
    /// Memory in all, bytes.
    pub total_bytes: u64,
}

/// Reads the figures; keeps what it needs between two readings.
pub struct SystemProbe {
    system: Option<sysinfo::System>,
    pid: Option<sysinfo::Pid>,
    nvml: Option<nvml_wrapper::Nvml>,
    gpu: Option<String>,
}

impl SystemProbe {
    /// A probe of this process and, if given, of the GPU with this PCI bus id. A machine without NVML is shown without
    /// GPU figures.
    pub fn new(gpu: Option<String>) -> Self {
        Self {
            system: sysinfo::System::new().ok(),
            pid: sysinfo::get_current_pid().ok(),
            nvml: gpu.as_ref().and_then(|_| nvml_wrapper::Nvml::init().ok()),
            gpu,
        }
    }

    /// Reads now.
    pub fn read(&mut self) -> SystemFigures {
        let mut figures = SystemFigures {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            gpu: self.read_gpu(),
            ..SystemFigures::default()
        };
        let (Some(system), Some(pid)) = (self.system.as_mut(), self.pid) else {
            return figures;
        };
        system.refresh_memory();
        figures.memory_bytes = system.total_memory();
        let what = sysinfo::ProcessesToUpdate::Some(&[pid]);
        let kind = sysinfo::ProcessRefreshKind::nothing().with_memory().with_cpu();
        system.refresh_processes_specifics(what, true, kind);
        if let Some(process) = system.process(pid) {
            figures.rss_bytes = process.memory();
            figures.cpu_cores = process.cpu_usage() / 100.0;
        }
        figures
    }

    fn read_gpu(&self) -> Option<GpuFigures> {
        let device = self.nvml.as_ref()?.device_by_pci_bus_id(self.gpu.as_deref()?).ok()?;
        let memory = device.memory_info().ok()?;
        Some(GpuFigures {
            name: device.name().ok()?,
            load: device.utilization_rates().map_or(0.0, |u| u.gpu as f32 / 100.0),
            used_bytes: memory.used,
            total_bytes: memory.total,
        })
    }
}
