//! One arm's training, step by step. Knows nothing of who listens.

use std::sync::Arc;
use std::time::Instant;

use tch::{Device, TchError, Tensor};

use super::control::Settings;
use super::device::use_threads;
use super::lockstep::Place;
use super::measure::{Gauges, PlaneAxes, PlaneProducts, StepFigures};
use super::optimizer::{Optimizer, StepSettings};
use super::passes::passes;
use super::schedule::lr_factor;
use super::tune;
use super::worker::{
    ArmCopy, Course, Directive, Fault, Origin, Outlet, Purpose, Report, TrainingState, Worker,
    WorkerError,
};
use crate::data::BatchOrder;
use crate::model::{Network, Probes};
use crate::telemetry::event::{Alert, BlocksSample, Event, Level, StepSample};
use crate::telemetry::snapshot::ArmState;

/// Parameters for which a step's angle in the plane of the path is told at every step. Its products read two axes as long
/// as the network: of VGG-9's 2.3 million parameters at 16x16, 2 % of a step. Larger networks are told as many times less often.
const IN_PLANE_EVERY_STEP: u64 = 1_000_000;

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
            && (step == 1 || (step / record.layers_every).is_multiple_of(BlocksSample::EVERY));

        let picked = self.order.next_batch(settings.batch);
        let rate = StepSettings {
            lr: settings.lr * lr_factor(&spec.train, picked.epoch as f64),
            weight_decay: settings.weight_decay,
        };

        let probes = with_blocks.then_some(&mut self.probes);
        let most = spec.train.micro_batch;
        let passes = passes(&mut self.net, course, &picked, most, recorded, probes)?;

        let _no_grad = tch::no_grad_guard();
        let gauges = match recorded {
            true => Some(Gauges::before_step(&self.net, &passes, with_layers)?),
            false => None,
        };
        let products = self.optimizer.step(self.net.theta(), self.net.grad(), rate, recorded)?;
        let figures = match (gauges, products) {
            (Some(gauges), Some(products)) => {
                let (delta, grad) = (self.optimizer.delta(), self.net.grad());
                let least = self.net.plan().scalars().unsigned_abs().div_ceil(IN_PLANE_EVERY_STEP);
                let every = least.max(1).next_multiple_of(record.every.max(1));
                let axes = self.axes.as_ref().filter(|_| step.is_multiple_of(every));
                let plane = axes.map(|a| PlaneProducts::of(a, delta, grad));
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
