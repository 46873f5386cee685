//! Checkpoints read back: the newest whole one of a run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::Device;

use super::checkpoint::{ArmStateFile, DECAY_BUFFER, StateFile, steps_in};
use super::control::Settings;
use super::optimizer::Optimizer;
use super::worker::{ArmCopy, TrainingState};
use crate::arm::{ArmId, ArmName, PerArm};
use crate::config::ArmSpec;
use crate::model::{Plan, StateError, load_state, load_vectors};
use crate::telemetry::event::FORK;

/// Why a checkpoint cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The run has none.
    #[error("{}: no checkpoint to go on from", .0.display())]
    None(PathBuf),
    /// A file that is not there or cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `state.json` is not one.
    #[error("{}: {source}", path.display())]
    Counters {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// `state.json` tells another step than its folder, or an arm that the run does not have.
    #[error("{}: {text}", path.display())]
    Strange {
        /// The file.
        path: PathBuf,
        /// What is strange.
        text: String,
    },
    /// A tensor file is cut short or another network's.
    #[error("{}: {source}", path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StateError,
    },
}

/// A checkpoint in memory.
pub struct Restored {
    /// Its folder.
    pub folder: PathBuf,
    /// Counters and positions.
    pub state: StateFile,
    /// The run's arms then: those that it began with, and their forks.
    pub specs: PerArm<ArmSpec>,
    /// Their networks.
    pub plans: PerArm<Arc<Plan>>,
    /// What it holds of them; missing are those that had failed before.
    pub arms: PerArm<Option<ArmCopy>>,
}

/// The newest whole checkpoint in the run folder `root`, and why each newer one is not whole.
///
/// # Errors
/// When there is none; the newest one's own fault if there are only broken ones.
pub fn newest(
    root: &Path,
    specs: &PerArm<ArmSpec>,
    plans: &PerArm<Arc<Plan>>,
) -> Result<(Restored, Vec<RestoreError>), RestoreError> {
    let mut broken = Vec::new();
    for step in steps_in(root).into_iter().rev() {
        match read(root, step, specs, plans) {
            Ok(restored) => return Ok((restored, broken)),
            Err(error) => broken.push(error),
        }
    }
    Err(if broken.is_empty() { RestoreError::None(root.to_owned()) } else { broken.remove(0) })
}

fn read(
    root: &Path,
    step: u64,
    specs: &PerArm<ArmSpec>,
    plans: &PerArm<Arc<Plan>>,
) -> Result<Restored, RestoreError> {
    let folder = root.join(super::checkpoint::folder_name(step));
    let path = folder.join("state.json");
    let state: StateFile = serde_json::from_slice(&bytes(&path)?)
        .map_err(|source| RestoreError::Counters { path: path.clone(), source })?;
    let strange = |text: String| RestoreError::Strange { path: path.clone(), text };
    if state.step != step {
        return Err(strange(format!("step = {}: expected {step}, as its folder says", state.step)));
    }
    let (mut specs, mut plans) = (specs.clone(), plans.clone());
    for change in state.controls.iter().filter(|c| c.key == FORK) {
        let parent = specs.ids().nth(change.from as usize);
        let (Some(parent), Some(name)) = (parent, &change.name) else {
            return Err(strange(format!("a fork of arm {}, which is none", change.from)));
        };
        specs.push(ArmSpec { name: name.clone(), ..specs[parent].clone() });
        plans.push(Arc::clone(&plans[parent]));
    }
    let mut arms = specs.map(|_, _| None);
    for told in &state.arms {
        let id = specs.find(|s| s.name == told.name);
        let id =
            id.ok_or_else(|| strange(format!("arm {}: the run has no such arm", told.name)))?;
        arms[id] = Some(arm(&folder, told, id, &specs, &plans)?);
    }
    Ok(Restored { folder, state, specs, plans, arms })
}

fn arm(
    folder: &Path,
    told: &ArmStateFile,
    id: ArmId,
    specs: &PerArm<ArmSpec>,
    plans: &PerArm<Arc<Plan>>,
) -> Result<ArmCopy, RestoreError> {
    let (name, plan): (&ArmName, &Plan) = (&told.name, &plans[id]);
    let tensors = |path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::Tensors { path, source }
    };
    let path = folder.join(format!("{name}.safetensors"));
    let weights = load_state(plan, &bytes(&path)?, Device::Cpu).map_err(tensors(&path))?;
    let path = folder.join(format!("{name}.optim.safetensors"));
    let names = Optimizer::buffer_names(specs[id].train.optimizer);
    let mut all = names.to_vec();
    all.extend(told.decay.map(|_| DECAY_BUFFER));
    let mut buffers = load_vectors(&all, plan.scalars(), &bytes(&path)?).map_err(tensors(&path))?;
    let decay = told.decay.and_then(|parting| Some((parting, buffers.pop()?)));
    let settings = Settings { lr: told.lr, weight_decay: told.weight_decay, batch: told.batch };
    let training = TrainingState {
        buffers: names.iter().copied().zip(buffers).collect(),
        optimizer_steps: told.optimizer_steps,
        order: told.order,
        decay,
        settings,
    };
    let made = told.optimizer_steps.unsigned_abs();
    Ok(ArmCopy { made, weights, training: Some(training) })
}

fn bytes(path: &Path) -> Result<Vec<u8>, RestoreError> {
    fs::read(path).map_err(|source| RestoreError::Unreadable { path: path.to_owned(), source })
}
