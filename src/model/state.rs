//! State dicts as safetensors, by PyTorch's names: what `load_state_dict(strict=True)` of the same network accepts, and
//! what PyTorch saves.

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};
use tch::{Device, TchError, Tensor};

use super::network::Weights;
use super::plan::Plan;
use super::tensor_bytes::TensorBytes;

/// The last part of the name of what counts a norm's batches.
pub(super) const COUNT: &str = "num_batches_tracked";

/// Why a state dict could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Not safetensors, or cut short.
    #[error("not a whole safetensors file: {0}")]
    Format(#[from] SafeTensorError),
    /// A tensor that the network needs is not there.
    #[error("tensor `{name}` is missing{}", near(nearest))]
    Missing {
        /// Its name.
        name: String,
        /// What the file has besides, most like it.
        nearest: Vec<String>,
    },
    /// Two tensors that would be one.
    #[error("`{first}` and `{second}` would both be `{name}`; leave one out")]
    Ambiguous {
        /// What the network calls it.
        name: String,
        /// One name in the file.
        first: String,
        /// The other.
        second: String,
    },
    /// A tensor's numbers are not where they should be.
    #[error("{0}")]
    Unreadable(String),
    /// A tensor that the network does not have.
    #[error("tensor `{0}` belongs to another network")]
    Unexpected(String),
    /// A tensor of another shape or type.
    #[error("tensor `{name}` is {found}; expected {wanted}")]
    Mismatch {
        /// Its name.
        name: String,
        /// What is in the file.
        found: String,
        /// What the network has.
        wanted: String,
    },
    /// torch failed.
    #[error("torch: {0}")]
    Torch(#[from] TchError),
}

/// The end of a missing tensor's message.
fn near(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("; nearest in the file: `{}`", names.join("`, `")),
    }
}

/// A tensor's numbers, copied off its device.
fn floats(shape: Vec<usize>, tensor: &Tensor) -> Result<TensorBytes, TchError> {
    let values: Vec<f32> =
        tensor.f_to_device(Device::Cpu)?.f_contiguous()?.f_view([-1])?.try_into()?;
    Ok(TensorBytes::singles(shape, &values))
}

/// The state dict of `weights` as a safetensors file in memory.
///
/// # Errors
/// When torch or the format fails.
pub fn state_bytes(plan: &Plan, weights: &Weights) -> Result<Vec<u8>, StateError> {
    let mut entries = Vec::new();
    for p in &plan.params {
        let shape = p.shape.iter().map(|n| n.unsigned_abs() as usize).collect();
        entries.push((p.name.clone(), floats(shape, &plan.unpack(&weights.theta, p)?)?));
    }
    for n in &plan.norms {
        for (part, base) in [("running_mean", 0), ("running_var", plan.statistics())] {
            let values = weights.running.f_narrow(0, base + n.offset, n.channels)?;
            let bytes = floats(vec![n.channels as usize], &values)?;
            entries.push((format!("{}.{part}", n.name), bytes));
        }
        let batches = TensorBytes::count(weights.batches);
        entries.push((format!("{}.{COUNT}", n.name), batches));
    }
    Ok(safetensors::serialize(entries, None)?)
}

/// Named flat vectors as a safetensors file in memory: optimizer buffers.
///
/// # Errors
/// When torch or the format fails.
pub fn save_state(vectors: &[(&str, &Tensor)]) -> Result<Vec<u8>, StateError> {
    let entries = vectors.iter().map(|(name, t)| Ok((*name, floats(vec![t.numel()], t)?)));
    let entries = entries.collect::<Result<Vec<_>, TchError>>()?;
    Ok(safetensors::serialize(entries, None)?)
}

/// Reads a state dict for `plan`, strictly: every tensor there, none besides, each of the right shape.
///
/// # Errors
/// Names the first tensor that does not fit.
pub fn load_state(plan: &Plan, bytes: &[u8], device: Device) -> Result<Weights, StateError> {
    let file = SafeTensors::deserialize(bytes)?;
    let mut known = Vec::new();
    let mut row_major = Vec::with_capacity(plan.scalars().unsigned_abs() as usize);
    for p in &plan.params {
        row_major.extend(read_floats(&file, &p.name, &p.shape)?);
        known.push(p.name.clone());
    }
    let mut running = [Vec::new(), Vec::new()];
    let mut batches = 0;
    for n in &plan.norms {
        for (values, part) in running.iter_mut().zip(["running_mean", "running_var"]) {
            let name = format!("{}.{part}", n.name);
            values.extend(read_floats(&file, &name, &[n.channels])?);
            known.push(name);
        }
        let name = format!("{}.{COUNT}", n.name);
        batches = read_count(&file, &name)?;
        known.push(name);
    }
    if let Some(other) = file.names().into_iter().find(|name| !known.iter().any(|k| k == name)) {
        return Err(StateError::Unexpected(other.to_owned()));
    }
    let theta = plan.pack(&row_major, device)?;
    let running = Tensor::f_from_slice(&running.concat())?.f_to_device(device)?;
    Ok(Weights { theta, running, batches })
}

/// Reads the named flat vectors that [`save_state`] wrote, strictly: each of `len` entries, none besides.
///
/// # Errors
/// Names the first vector that does not fit.
pub fn load_vectors(names: &[&str], len: i64, bytes: &[u8]) -> Result<Vec<Tensor>, StateError> {
    let file = SafeTensors::deserialize(bytes)?;
    if let Some(other) = file.names().into_iter().find(|name| !names.contains(name)) {
        return Err(StateError::Unexpected(other.to_owned()));
    }
    let read = |name: &&str| Ok(Tensor::f_from_slice(&read_floats(&file, name, &[len])?)?);
    names.iter().map(read).collect()
}

fn find<'a>(file: &SafeTensors<'a>, name: &str) -> Result<TensorView<'a>, StateError> {
    file.tensor(name)
        .map_err(|_| StateError::Missing { name: name.to_owned(), nearest: Vec::new() })
}

fn mismatch(name: &str, found: &TensorView<'_>, wanted: String) -> StateError {
    let found = format!("{:?} {:?}", found.dtype(), found.shape());
    StateError::Mismatch { name: name.to_owned(), found, wanted }
}

fn read_floats(file: &SafeTensors<'_>, name: &str, shape: &[i64]) -> Result<Vec<f32>, StateError> {
    let found = find(file, name)?;
    let same = found.shape().iter().map(|n| *n as i64).eq(shape.iter().copied());
    if found.dtype() != Dtype::F32 || !same {
        return Err(mismatch(name, &found, format!("F32 {shape:?}")));
    }
    Ok(found.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

fn read_count(file: &SafeTensors<'_>, name: &str) -> Result<i64, StateError> {
    let found = find(file, name)?;
    match <[u8; 8]>::try_from(found.data()) {
        Ok(bytes) if found.dtype() == Dtype::I64 => Ok(i64::from_le_bytes(bytes)),
        _ => Err(mismatch(name, &found, "I64 scalar".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::initial_weights;
    use super::super::plan::tests::{spec, vgg9};
    use super::*;

    fn weights(plan: &Plan) -> Weights {
        let theta = plan.pack(&initial_weights(plan, 2), Device::Cpu).unwrap();
        Weights { theta, running: plan.fresh_statistics(Device::Cpu).unwrap(), batches: 7 }
    }

    #[test]
    fn a_state_dict_comes_back_bit_for_bit() {
        for plan in [Plan::resnet(&spec(8, 4), true, 3, 10), vgg9(3, [3, 8, 8], 10)] {
            let saved = weights(&plan);
            let loaded =
                load_state(&plan, &state_bytes(&plan, &saved).unwrap(), Device::Cpu).unwrap();
            assert_eq!(loaded.theta, saved.theta);
            assert_eq!(loaded.running, saved.running);
            assert_eq!(loaded.batches, 7);
        }
    }

    #[test]
    fn another_networks_state_is_refused_by_name() {
        let skip = Plan::resnet(&spec(8, 4), true, 3, 10);
        let noskip = Plan::resnet(&spec(8, 4), false, 3, 10);
        let wider = Plan::resnet(&spec(8, 6), true, 3, 10);
        let bytes = state_bytes(&skip, &weights(&skip)).unwrap();
        let said = |plan: &Plan, bytes: &[u8]| {
            load_state(plan, bytes, Device::Cpu).unwrap_err().to_string()
        };
        assert!(
            said(&noskip, &bytes).contains("shortcut")
                && said(&noskip, &bytes).contains("another network")
        );
        assert!(
            said(&wider, &bytes)
                .contains("`conv1.weight` is F32 [4, 3, 3, 3]; expected F32 [6, 3, 3, 3]")
        );
        let twin = state_bytes(&noskip, &weights(&noskip)).unwrap();
        assert!(said(&skip, &twin).contains("tensor `layer2.0.shortcut.0.weight` is missing"));
        assert!(said(&skip, &bytes[..bytes.len() - 1]).contains("not a whole safetensors file"));
    }

    proptest! {
        #[test]
        fn broken_bytes_are_refused(cut in 0usize..2000, at in 0usize..2000, flip in 1u8..) {
            let plan = Plan::resnet(&spec(8, 1), false, 1, 2);
            let mut bytes = state_bytes(&plan, &weights(&plan)).unwrap();
            bytes.truncate(cut);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= flip;
            }
            prop_assert!(load_state(&plan, &bytes, Device::Cpu).is_err());
        }
    }
}
