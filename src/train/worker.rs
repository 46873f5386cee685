//! One arm's training, step by step. Knows nothing of who listens.

use std::sync::Arc;
use std::time::Instant;

use tch::{Device, TchError, Tensor};

use super::control::Settings;
use super::counterfactual::Parting;
use super::device::use_threads;
use super::lockstep::{Decision, Place};
use super::measure::{Gauges, PlaneAxes, PlaneProducts, StepFigures};
use super::optimizer::{Optimizer, StepSettings};
use super::passes::passes;
use super::schedule::lr_factor;
use super::tune;
use crate::arm::{ArmId, PerArm};
use crate::config::{ArmSpec, RecordSpec};
use crate::data::{BatchOrder, OrderPosition, Split};
use crate::geometry::thinning::Thinning;
use crate::model::{Network, Plan, Probes, Weights};
use crate::telemetry::event::{Alert, BlocksSample, Event, Level, StepSample};
use crate::telemetry::snapshot::ArmState;

/// Recorded steps between two residual decompositions. Probing every block costs a fifth of a step; this keeps it
/// at 1 %.
pub const BLOCKS_EVERY: u64 = 20;

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

/// One arm in training.
struct Trainee {
    worker: Worker,
    net: Network,
    optimizer: Optimizer,
    order: BatchOrder,
    probes: Probes,
    /// Steps done at the newest snapshot that was due.
    snapshot: Option<u64>,
    axes: Option<PlaneAxes>,
    out: Outlet,
}

impl Worker {
    /// Trains until the gate says that the run is over, or the loss is no number any more.
    ///
    /// # Errors
    /// When torch fails or nobody listens.
    pub fn run(mut self, place: &Place<Directive>, out: Outlet) -> Result<(), WorkerError> {
        use_threads(self.course.threads);
        let origin = std::mem::replace(&mut self.origin, Origin::Drawn(Vec::new()));
        let (net, training) = match origin {
            Origin::Drawn(weights) => {
                (Network::new(Arc::clone(&self.plan), &weights, self.course.device)?, None)
            }
            Origin::Copy(copy) => {
                let weights = copy.weights.copy_to(self.course.device)?;
                (Network::of(Arc::clone(&self.plan), weights)?, copy.training)
            }
        };
        let mut optimizer = Optimizer::new(&self.spec.train, net.theta())?;
        let mut order = BatchOrder::new(self.course.seed, self.course.train.len());
        if let Some(training) = training {
            let buffers: Vec<Tensor> = training.buffers.into_iter().map(|(_, t)| t).collect();
            tch::no_grad(|| optimizer.take_up(training.optimizer_steps, &buffers))?;
            if let Some((parting, mean)) = training.decay {
                tch::no_grad(|| optimizer.take_up_decay(parting, &mean))?;
            }
            order = BatchOrder::at(self.course.seed, self.course.train.len(), training.order);
        }
        let mut trainee = Trainee {
            worker: self,
            net,
            optimizer,
            order,
            probes: Probes::default(),
            snapshot: None,
            axes: None,
            out,
        };
        let (newest, before) = trainee.worker.snapshots;
        trainee.snapshot = newest;
        if let Some(before) = before {
            trainee.lay_plane(before)?;
        }
        trainee.train(place)
    }
}

impl Trainee {
    fn train(&mut self, place: &Place<Directive>) -> Result<(), WorkerError> {
        let mut batch = 0;
        let trains = self.made() < self.worker.steps;
        self.tell_state(if trains { ArmState::Training } else { ArmState::Finished })?;
        loop {
            let directive = place.meet();
            let settings = directive.settings[self.worker.id];
            if std::mem::take(&mut self.worker.owes_evaluation) {
                self.hand_out(Purpose::Evaluate, directive.done, &settings)?;
            }
            // Before a map, which waits for the plane of this snapshot: an arm that fails in between must leave none that
            // waits in vain.
            self.keep_path(&directive, &settings)?;
            if directive.map {
                self.hand_out(Purpose::Map, directive.done, &settings)?;
            }
            if directive.checkpoint {
                self.hand_out(Purpose::Checkpoint, directive.done, &settings)?;
            }
            if directive.fork.is_some_and(|(parent, _)| parent == self.worker.id) {
                self.hand_out(Purpose::Fork, directive.done, &settings)?;
            }
            if directive.hold {
                continue;
            }
            let Some(now) = directive.step else { break };
            if self.made() >= self.worker.steps {
                continue;
            }
            if settings.batch < std::mem::replace(&mut batch, settings.batch) {
                tune::give_back();
            }
            let step = self.made() + 1;
            let (loss, epoch_ended) = self.step(step, &settings)?;
            if !loss.is_finite() {
                return self.diverged(step, loss);
            }
            let ends = step == self.worker.steps;
            if epoch_ended || ends {
                self.hand_out(Purpose::Evaluate, now, &settings)?;
            }
            if ends {
                if self.worker.thinning.is_some() {
                    self.hand_out(Purpose::Path { map: false }, now, &settings)?;
                }
                self.tell_state(ArmState::Finished)?;
            }
        }
        self.tell_state(ArmState::Finished)
    }

    /// Steps that the arm has made.
    fn made(&self) -> u64 {
        self.optimizer.steps().unsigned_abs()
    }

    /// Makes one step; the batch's loss and whether a pass over the data ended with it.
    fn step(&mut self, step: u64, settings: &Settings) -> Result<(f64, bool), WorkerError> {
        let Worker { ref spec, ref course, .. } = self.worker;
        let Course { record, start, .. } = course;
        match self.worker.fault {
            Some(Fault::PanicAt(at)) if at == step => {
                panic!("acted out for a test at step {step}")
            }
            Some(Fault::OutOfMemoryAt(at)) if at == step => {
                let too_much = [1i64 << 50];
                drop(Tensor::f_zeros(too_much, (tch::Kind::Float, course.device))?);
            }
            _ => {}
        }
        let begun = Instant::now();
        let first_or_last = step == 1 || step == self.worker.steps;
        let recorded = first_or_last || step.is_multiple_of(record.every);
        let with_layers = recorded && (first_or_last || step.is_multiple_of(record.layers_every));
        let with_blocks = with_layers
            && self.net.plan().blocks().next().is_some()
            && (step == 1 || (step / record.layers_every).is_multiple_of(BLOCKS_EVERY));

        let picked = self.order.next_batch(settings.batch);
        let rate = StepSettings {
            lr: settings.lr * lr_factor(&spec.train, picked.epoch as f64),
            weight_decay: settings.weight_decay,
        };

        let probes = with_blocks.then_some(&mut self.probes);
        let most = spec.train.micro_batch;
        let passes = passes(&mut self.net, course, &picked, most, probes)?;

        let _no_grad = tch::no_grad_guard();
        let gauges = match recorded {
            true => Some(Gauges::before_step(&self.net, &passes, with_layers)?),
            false => None,
        };
        let products = self.optimizer.step(self.net.theta(), self.net.grad(), rate, recorded)?;
        let figures = match (gauges, products) {
            (Some(gauges), Some(products)) => {
                let (delta, grad) = (self.optimizer.delta(), self.net.grad());
                let plane = self.axes.as_ref().map(|a| PlaneProducts::of(a, delta, grad));
                gauges.read(products, plane.transpose()?)?
            }
            // Even an unrecorded step is watched for divergence.
            _ => return Ok((passes.loss.f_double_value(&[])?, picked.epoch_ended)),
        };
        let (name, t) = (spec.name.clone(), start.elapsed().as_secs_f64());
        if with_blocks {
            let blocks = self.probes.read(self.net.plan())?;
            self.tell(Event::Blocks(BlocksSample { arm: name.clone(), step, t, blocks }))?;
        }
        let StepFigures { loss, acc, grad_norm, update_ratio, angle, share, layers } = figures;
        self.tell(Event::Step(StepSample {
            arm: name,
            step,
            t,
            epoch: picked.epochs_done,
            loss,
            acc,
            lr: rate.lr,
            weight_decay: rate.weight_decay,
            batch: picked.indices.len(),
            grad_norm,
            layer_grad_norms: layers,
            update_ratio,
            angle,
            step_share: share,
            ms: begun.elapsed().as_secs_f64() * 1e3,
        }))?;
        Ok((loss, picked.epoch_ended))
    }

    /// Hands out a snapshot where one is due, and where a map or the end asks for one; the first as soon as there is a path
    /// to begin.
    fn keep_path(&mut self, directive: &Directive, settings: &Settings) -> Result<(), WorkerError> {
        let Some(thinning) = self.worker.thinning else { return Ok(()) };
        let Directive { map, done, hold, step, .. } = *directive;
        let made = self.made();
        let due = (thinning.is_due(made) && !hold) || self.snapshot.is_none();
        // Met again, held or at its end, an arm has handed it out already.
        if due && self.snapshot != Some(made) {
            // The plane of the snapshots before this one: it was laid while the steps between were made.
            if let Some(before) = self.snapshot.replace(made) {
                self.lay_plane(before)?;
            }
        } else if !(map || (step.is_none() && !hold)) {
            return Ok(());
        }
        self.hand_out(Purpose::Path { map }, done, settings)
    }

    /// Takes up the plane of the snapshots up to a step.
    fn lay_plane(&mut self, until: u64) -> Result<(), WorkerError> {
        self.axes = match (self.worker.plane)(until) {
            None => None,
            Some(flat) => {
                let axes = Tensor::f_from_slice(&flat)?.f_view([2, -1])?;
                Some(PlaneAxes(axes.f_to_device(self.worker.course.device)?))
            }
        };
        Ok(())
    }

    fn diverged(&self, step: u64, loss: f64) -> Result<(), WorkerError> {
        let name = &self.worker.spec.name;
        self.tell(Event::Alert(Alert {
            arm: Some(name.clone()),
            step,
            t: self.worker.course.start.elapsed().as_secs_f64(),
            kind: "diverged".to_owned(),
            level: Level::Error,
            text: format!("{name} diverged: its loss at step {step} is {loss}; it makes no more steps, the others go on"),
        }))?;
        self.tell_state(ArmState::Diverged { step })
    }

    fn hand_out(
        &self,
        purpose: Purpose,
        step: u64,
        settings: &Settings,
    ) -> Result<(), WorkerError> {
        let _no_grad = tch::no_grad_guard();
        let whole = matches!(purpose, Purpose::Checkpoint | Purpose::Fork);
        let device = if whole { Device::Cpu } else { self.worker.course.device };
        let weights = self.net.weights(device)?;
        let copy = |(name, t): (&'static str, &Tensor)| {
            Ok((name, t.f_to_device_(Device::Cpu, tch::Kind::Float, false, true)?))
        };
        let training = match whole {
            false => None,
            true => Some(TrainingState {
                buffers: self
                    .optimizer
                    .buffers()
                    .into_iter()
                    .map(copy)
                    .collect::<Result<_, TchError>>()?,
                optimizer_steps: self.optimizer.steps(),
                order: self.order.position(),
                decay: self
                    .optimizer
                    .decay_buffer()
                    .map(|(p, mean)| Ok::<_, TchError>((p, copy(("", mean))?.1)))
                    .transpose()?,
                settings: *settings,
            }),
        };
        let copy = ArmCopy { made: self.made(), weights, training };
        (self.out)(Report::Copy { arm: self.worker.id, step, purpose, copy })
    }

    fn tell(&self, event: Event) -> Result<(), WorkerError> {
        (self.out)(Report::Event(event))
    }

    fn tell_state(&self, state: ArmState) -> Result<(), WorkerError> {
        (self.out)(Report::State { arm: self.worker.id, state })
    }
}
