//! Which device a run gets.

pub use tch::{Device, TchError as TorchError};

use super::cuda::{self, has_driver, load};
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

/// Finds the device, loading what it needs. Call it before any tensor is made: libtorch looks for its CUDA part once.
///
/// # Errors
/// When a GPU is asked for by name and cannot be had; `auto` falls back to the CPU.
pub fn choose(choice: DeviceChoice) -> Result<Device, DeviceError> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Auto if !has_driver() => Ok(Device::Cpu),
        DeviceChoice::Auto => match load() {
            Ok(1..) => Ok(Device::Cuda(0)),
            Ok(0) => Ok(Device::Cpu),
            Err(reason) => {
                tracing::warn!("there is an NVIDIA driver, but {reason}: the CPU is used");
                Ok(Device::Cpu)
            }
        },
        DeviceChoice::Cuda(index) => {
            let refused = |reason: String| DeviceError::NoGpu { index, reason };
            if !has_driver() {
                return Err(refused("no NVIDIA driver on this machine".to_owned()));
            }
            match load() {
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

/// The PCI bus id of a GPU, by which the driver's tools name it; none of the CPU.
pub fn bus_id(device: Device) -> Option<String> {
    match device {
        Device::Cuda(index) => cuda::bus_id(index),
        _ => None,
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
