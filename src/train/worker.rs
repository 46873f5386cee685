//! What an arm's worker is made of, what it is told at the gate, and what it tells. How it trains: `training`.

use std::sync::Arc;
use std::time::Instant;

use tch::{Device, TchError, Tensor};

use super::control::Settings;
use super::counterfactual::Parting;
use super::lockstep::Decision;
use crate::arm::{ArmId, PerArm};
use crate::config::{ArmSpec, RecordSpec};
use crate::data::{OrderPosition, Split};
use crate::geometry::thinning::Thinning;
use crate::model::{Plan, Weights};
use crate::telemetry::event::Event;
use crate::telemetry::snapshot::ArmState;

/// What all arms do next, decided at the gate.
#[derive(Clone, Debug)]
pub struct Directive {
    /// The run's step to make, from 1; none: the run is over, or held. An arm whose passes are done makes none.
    pub step: Option<u64>,
    /// Steps that the run has made: what is handed out belongs to them.
    pub done: u64,
    /// Make no step and come back to the gate.
    pub hold: bool,
    /// What to train with.
    pub settings: Arc<PerArm<Settings>>,
    /// Hand out the weights for a map, as they are before the step.
    pub map: bool,
    /// Hand out everything for a checkpoint, as it is before the step.
    pub checkpoint: bool,
    /// Hand out everything of the first arm for the second, which begins from it.
    pub fork: Option<(ArmId, ArmId)>,
}

impl Decision for Directive {
    fn joining(&self) -> usize {
        usize::from(self.fork.is_some())
    }
}

/// What a worker tells.
#[derive(Debug)]
pub enum Report {
    /// An event.
    Event(Event),
    /// The worker's own state changed.
    State {
        /// Which arm.
        arm: ArmId,
        /// Its state.
        state: ArmState,
    },
    /// The arm as it is after `step` steps.
    Copy {
        /// Which arm.
        arm: ArmId,
        /// Steps that the run has made.
        step: u64,
        /// What it is for.
        purpose: Purpose,
        /// The copy.
        copy: ArmCopy,
    },
    /// The worker has ended; nothing of this arm will follow.
    Ended {
        /// Which arm.
        arm: ArmId,
    },
}

/// What a copy of an arm is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The test set.
    Evaluate,
    /// A map of the loss.
    Map,
    /// A point of the arm's path.
    Path {
        /// Whether a map is laid into the plane up to it.
        map: bool,
    },
    /// A checkpoint.
    Checkpoint,
    /// An arm that begins from it.
    Fork,
}

/// An arm at one moment, on the CPU for a checkpoint, else on the arm's device.
#[derive(Debug)]
pub struct ArmCopy {
    /// Steps that the arm has made: fewer than the run's once its passes are done.
    pub made: u64,
    /// Parameters and running statistics.
    pub weights: Weights,
    /// What training needs to go on; for checkpoints only.
    pub training: Option<TrainingState>,
}

/// What training needs to go on from a checkpoint, besides the weights.
#[derive(Debug)]
pub struct TrainingState {
    /// The optimizer's buffers by name.
    pub buffers: Vec<(&'static str, Tensor)>,
    /// The optimizer's step count.
    pub optimizer_steps: i64,
    /// Where the data order stands.
    pub order: OrderPosition,
    /// What decay alone has put into the velocity (SGD): figures hang on it, the training does not.
    pub decay: Option<(Parting, Tensor)>,
    /// Settings in force.
    pub settings: Settings,
}

/// Why a worker could not go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// torch failed: out of memory, most often.
    #[error("torch: {}", first_line(.0))]
    Torch(#[from] TchError),
    /// Nobody takes reports any more.
    #[error("the engine is gone")]
    Gone,
}

/// Takes a worker's reports; refuses them once nobody listens.
pub type Outlet = Box<dyn Fn(Report) -> Result<(), WorkerError> + Send>;

/// torch's messages carry a C++ stack; the first line says what is wrong.
fn first_line(error: &TchError) -> String {
    let text = match error {
        TchError::Torch(text) => text.clone(),
        other => other.to_string(),
    };
    text.lines().next().unwrap_or_default().to_owned()
}

/// What an arm starts from.
pub enum Origin {
    /// Initial weights in PyTorch's order, as [`crate::model::initial_weights`] draws them.
    Drawn(Vec<f32>),
    /// Another moment of this arm, or of the arm that it was forked from.
    Copy(Box<ArmCopy>),
}

impl Origin {
    /// Steps that have been made.
    pub fn made(&self) -> u64 {
        match self {
            Self::Drawn(_) => 0,
            Self::Copy(copy) => copy.made,
        }
    }
}

/// What all arms of a run train on and by.
pub struct Course {
    /// Training images, on the arm's device.
    pub train: Split,
    /// Seed of the data order and of augmentation.
    pub seed: u64,
    /// Whether images are augmented.
    pub augment: bool,
    /// Where the network lives.
    pub device: Device,
    /// Threads for torch's operators.
    pub threads: usize,
    /// What is recorded how often.
    pub record: RecordSpec,
    /// The run's start.
    pub start: Instant,
}

impl Course {
    /// The same course for one more arm; the images are not copied.
    pub fn share(&self) -> Self {
        Self { train: self.train.shallow_clone(), ..*self }
    }
}

/// What a worker is made of.
pub struct Worker {
    /// Its position.
    pub id: ArmId,
    /// What it trains.
    pub spec: ArmSpec,
    /// The network's plan.
    pub plan: Arc<Plan>,
    /// What it starts from.
    pub origin: Origin,
    /// Steps that it makes in all. It stays at the gate after them, so that its weights are mapped and kept with the
    /// others'; the last one is recorded whatever `record` says.
    pub steps: u64,
    /// Evaluate before the first step: the checkpoint ends a pass whose evaluation was lost.
    pub owes_evaluation: bool,
    /// What it shares with the other arms.
    pub course: Course,
    /// The plane of the arm's path.
    pub plane: PlaneSource,
    /// Steps done at the newest snapshots that were due before the arm was taken up: the last, and the one before it.
    pub snapshots: (Option<u64>, Option<u64>),
    /// When snapshots of its weights are due, by its own steps; none if no path is kept.
    pub thinning: Option<Thinning>,
    /// A failure to act out, for tests of what follows one.
    pub fault: Option<Fault>,
}

/// The two axes of the plane that an arm's snapshots up to a step span, one after the other; waits until they are known.
/// None if there is no such plane. So the plane that angles are told in depends on the step alone, and not on who is
/// faster.
pub type PlaneSource = Box<dyn FnMut(u64) -> Option<Arc<Vec<f32>>> + Send>;

/// A failure to act out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Panic before this step.
    PanicAt(u64),
    /// Ask torch for more memory than there is, before this step.
    OutOfMemoryAt(u64),
}
