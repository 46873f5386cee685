//! The figures of every arm from a run's events, one line after the other: of each step two angles are kept.

use std::path::Path;

use super::angles::{AngleFigures, AtStep};
use super::{ArmFigures, Change, Ended, TrajectoryError};
use crate::arm::ArmName;
use crate::config::{ArmSpec, Experiment};
use crate::record::{metrics, rewind};
use crate::telemetry::event::{ControlChange, Event, FORK, PAUSED, StepSample};

/// Changes of one arm that are kept: more marks than a path has room for, and a bound on a schedule that changes at
/// every step.
const MOST_CHANGES: usize = 200;
/// Relative difference of two learning rates below which they are one, rounded otherwise.
const SAME_LR: f64 = 1e-9;
/// The learning rate's key in the config.
const LR: &str = "lr";

/// The figures of the run in `folder`, whose experiment this is: an arm each, those of forks after those that it began
/// with.
///
/// # Errors
/// When its events cannot be read or there are none of a run.
pub fn read(folder: &Path, experiment: &Experiment) -> Result<Vec<ArmFigures>, TrajectoryError> {
    let path = folder.join(metrics::FILE_NAME);
    let mut reading = Reading::new(experiment);
    let done = rewind::for_each(&path, |event| reading.take(event));
    done.map_err(|source| TrajectoryError::Io { path: path.clone(), source })?;
    if !reading.begun {
        return Err(TrajectoryError::NoRun(path));
    }
    Ok(reading.arms.into_iter().map(Arm::figures).collect())
}

struct Reading {
    begun: bool,
    arms: Vec<Arm>,
}

/// One arm as far as its events were read.
struct Arm {
    told: ArmFigures,
    full: Vec<AtStep>,
    plane: Vec<AtStep>,
    /// Learning rate of the last step seen.
    lr: Option<f64>,
    /// First step of a change of it by hand that no step has shown yet.
    lr_by_hand: Option<u64>,
}

impl Reading {
    fn new(experiment: &Experiment) -> Self {
        Self { begun: false, arms: experiment.arms.values().map(Arm::new).collect() }
    }

    fn of(&mut self, name: &ArmName) -> Option<&mut Arm> {
        self.arms.iter_mut().find(|arm| arm.told.arm == *name)
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Run(_) => self.begun = true,
            Event::Step(sample) => {
                if let Some(arm) = self.of(&sample.arm) {
                    arm.step(&sample);
                }
            }
            Event::Eval(e) => {
                if let Some(arm) = self.of(&e.arm) {
                    arm.told.test_err = e.test_err;
                }
            }
            Event::Control(change) => self.control(change),
            Event::Alert(alert) if matches!(&*alert.kind, "diverged" | "worker-failed") => {
                let arm = alert.arm.as_ref().and_then(|name| self.of(name));
                if let Some(arm) = arm {
                    arm.told.ended = Some(Ended { kind: alert.kind, step: alert.step });
                }
            }
            Event::Trajectory(sample) => {
                if let Some(arm) = self.of(&sample.arm) {
                    arm.told.explained = sample.explained;
                    arm.told.gap = sample.gap;
                }
            }
            _ => {}
        }
    }

    fn control(&mut self, change: ControlChange) {
        let ControlChange { arm, step, key, from, to, name, .. } = change;
        if key == PAUSED {
            return;
        }
        let told = Change { step, key, from, to, name };
        if told.key == FORK {
            // The copied arm by its position: a file of a fork tells nothing else of it.
            let Some(parent) = self.arms.get_mut(from as usize) else { return };
            parent.change(&told);
            let copied = parent.told.clone();
            if let Some(name) = told.name.filter(|name| self.of(name).is_none()) {
                self.arms.push(Arm::fork(name, &copied));
            }
            return;
        }
        for arm in self.arms.iter_mut().filter(|a| arm.as_ref().is_none_or(|n| *n == a.told.arm)) {
            arm.change(&told);
        }
    }
}

impl Arm {
    fn new(spec: &ArmSpec) -> Self {
        let ArmSpec { name, train, .. } = spec;
        let told = ArmFigures::new(name.clone(), train.optimizer, train.weight_decay, train.batch);
        Self::of(told)
    }

    /// The copy of an arm, which has no path of its own yet.
    fn fork(name: ArmName, of: &ArmFigures) -> Self {
        Self::of(ArmFigures::new(name, of.optimizer, of.weight_decay, of.batch))
    }

    fn of(told: ArmFigures) -> Self {
        Self { told, full: Vec::new(), plane: Vec::new(), lr: None, lr_by_hand: None }
    }

    fn step(&mut self, sample: &StepSample) {
        let (step, angle) = (sample.step, sample.angle);
        if self.full.is_empty() {
            self.told.weight_decay = sample.weight_decay;
            self.told.batch = sample.batch;
            // What makes a fork another arm is how it begins, no change on its way.
            self.told.changes.retain(|c| c.step > step);
        }
        self.told.steps = self.told.steps.max(step);
        self.full.push(AtStep { step, deg: angle.full_deg as f32 });
        self.plane.push(AtStep { step, deg: angle.plane_deg as f32 });
        let by_hand = self.lr_by_hand.take_if(|at| *at <= step);
        if let Some(from) = self.lr.replace(sample.lr)
            && (sample.lr - from).abs() > SAME_LR * from.abs()
        {
            let (step, to) = (by_hand.unwrap_or(step), sample.lr);
            self.keep(Change { step, key: LR.to_owned(), from, to, name: None });
        }
    }

    fn change(&mut self, change: &Change) {
        if change.key == LR {
            // Told by the first step that has it, with the schedule's factor in it.
            self.lr_by_hand = self.lr_by_hand.or(Some(change.step));
        } else {
            self.keep(change.clone());
        }
    }

    fn keep(&mut self, change: Change) {
        if self.told.changes.len() < MOST_CHANGES {
            self.told.changes.push(change);
        }
    }

    fn figures(mut self) -> ArmFigures {
        // A learning rate changed by hand is told by a later step.
        self.told.changes.sort_by_key(|change| change.step);
        self.told.full = AngleFigures::of(&self.full);
        self.told.plane = AngleFigures::of(&self.plane);
        self.told
    }
}
