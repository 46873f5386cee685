//! Which device a run gets. The program links the CPU part of libtorch alone; the CUDA part registers itself when it is
//! loaded, if it is there.

use std::path::Path;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
pub use tch::{Device, TchError as TorchError};

use crate::config::DeviceChoice;
pub use crate::model::use_threads;

/// A device that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// There is no such GPU.
    #[error("device = cuda:{index}: {reason}; use device = cpu or auto")]
    NoGpu {
        /// Asked for.
        index: usize,
        /// Why not.
        reason: String,
    },
}

/// The folder of the libtorch that the program was built with.
const BUILT_WITH: &str = env!("LANDSCOPE_LIBTORCH_LIB");
const CUDA_PART: &str = "libtorch_cuda.so";

/// Finds the device, loading what it needs.
///
/// # Errors
/// When a GPU is asked for by name and cannot be had; `auto` falls back to the CPU.
pub fn choose(choice: DeviceChoice) -> Result<Device, DeviceError> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        // The CUDA part takes a second to load: not where no driver is.
        DeviceChoice::Auto if !has_driver() => Ok(Device::Cpu),
        DeviceChoice::Auto => match load_cuda() {
            Ok(count) if count > 0 => Ok(Device::Cuda(0)),
            _ => Ok(Device::Cpu),
        },
        DeviceChoice::Cuda(index) => {
            let refused = |reason: String| DeviceError::NoGpu { index, reason };
            if !has_driver() {
                return Err(refused("no NVIDIA driver on this machine".to_owned()));
            }
            match load_cuda() {
                Ok(count) if index < count => Ok(Device::Cuda(index)),
                Ok(0) => Err(refused("libtorch sees no GPU".to_owned())),
                Ok(count) => Err(refused(format!("there are {count}, from cuda:0"))),
                Err(reason) => Err(refused(reason)),
            }
        }
    }
}

/// All devices that `choice` stands for where work can be shared: every GPU, unless one is named; else the CPU.
///
/// # Errors
/// As [`choose`].
pub fn choose_all(choice: DeviceChoice) -> Result<Vec<Device>, DeviceError> {
    let first = choose(choice)?;
    match (choice, first) {
        (DeviceChoice::Auto, Device::Cuda(_)) => {
            let count = usize::try_from(tch::Cuda::device_count()).unwrap_or(1).max(1);
            Ok((0..count).map(Device::Cuda).collect())
        }
        _ => Ok(vec![first]),
    }
}

fn has_driver() -> bool {
    ["/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/nvidiactl"]
        .iter()
        .any(|p| Path::new(p).exists())
}

/// Loads the CUDA part of libtorch, from where the loader looks (LD_LIBRARY_PATH) or from the libtorch built with;
/// the number of GPUs that it sees.
fn load_cuda() -> Result<usize, String> {
    let built_with = Path::new(BUILT_WITH).join(CUDA_PART);
    let mut reason = format!("{CUDA_PART} is not there");
    for path in [Path::new(CUDA_PART), &built_with] {
        // SAFETY: libtorch's CUDA part runs its own initialisers, which register its operators and nothing else.
        match unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) } {
            Ok(library) => {
                // Its operators stay registered: it must never be unloaded.
                std::mem::forget(library);
                return Ok(usize::try_from(tch::Cuda::device_count()).unwrap_or(0));
            }
            Err(e) => reason = e.to_string(),
        }
    }
    Err(reason)
}

/// The libtorch that the program was built with, as its own files name it (`2.11.0`).
pub fn libtorch_version() -> &'static str {
    env!("LANDSCOPE_LIBTORCH_VERSION")
}

/// The device as events name it: `cpu`, `cuda:0`.
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_always_finds_a_device() {
        assert!(choose(DeviceChoice::Auto).is_ok());
        assert_eq!(choose(DeviceChoice::Cpu).unwrap(), Device::Cpu);
    }

    #[test]
    fn a_gpu_that_is_not_there_is_refused_in_one_line() {
        let said = choose(DeviceChoice::Cuda(97)).unwrap_err().to_string();
        assert!(
            said.starts_with("device = cuda:97: ") && said.ends_with("use device = cpu or auto"),
            "{said}"
        );
        assert!(!said.contains('\n'));
    }
}
