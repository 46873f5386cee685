//! What the arms hand out, handed on: weights to be tested, mapped and kept, and to begin another arm from.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::evaluator::EvalJob;
use super::hub::{Awaited, Hub, Joining, spawn};
use super::maps::{MapArm, MapJob};
use super::message::Fork;
use super::paths::PathJob;
use super::saver::SaveJob;
use super::spacing::thinning;
use crate::arm::ArmId;
use crate::telemetry::snapshot::ArmState;
use crate::train::checkpoint::Moment;
use crate::train::worker::{ArmCopy, Origin, Purpose, Worker};

impl Hub {
    pub(super) fn hand_on(&mut self, arm: ArmId, step: u64, purpose: Purpose, copy: ArmCopy) {
        match purpose {
            Purpose::Evaluate => {
                let (name, plan) = (self.names[arm].clone(), Arc::clone(&self.plans[arm]));
                let job = EvalJob { name, plan, step: copy.made, weights: copy.weights };
                if !self.desks.eval.put(arm.index(), job) {
                    self.pending.eval += 1;
                    self.evaluations.0 += 1;
                }
            }
            Purpose::Path { map } => {
                let (name, plan) = (self.names[arm].clone(), Arc::clone(&self.plans[arm]));
                let (step, weights) = (copy.made, copy.weights);
                let Some(thinning) = self.thinnings[arm] else { return };
                let job = PathJob { arm, name, plan, thinning, step, weights, map };
                if !self.desks.paths.put(arm.index(), job) {
                    self.pending.paths += 1;
                    self.snapshots[arm].0 += 1;
                }
            }
            Purpose::Map => self.maps.add(step, arm, copy),
            Purpose::Checkpoint => self.saves.add(step, arm, copy),
            Purpose::Fork => self.let_join(arm, step, copy),
        }
        self.dispatch();
    }

    /// Makes room for an arm that is about to join.
    pub(super) fn make_room(&mut self, fork: Fork) {
        self.views.fork(fork.parent, &fork.spec);
        self.names.push(fork.spec.name.clone());
        self.plans.push(Arc::clone(&self.plans[fork.parent]));
        self.thinnings.push(None);
        self.snapshots.push((0, 0));
        self.live.push(true);
        self.whole.push(true);
        self.forks.push(Joining { fork, seat: self.gate.seat() });
    }

    /// Starts the arm that waited for this copy.
    fn let_join(&mut self, parent: ArmId, step: u64, copy: ArmCopy) {
        let Some(at) = self.forks.iter().position(|j| j.fork.parent == parent) else { return };
        let Joining { fork: Fork { child, spec, .. }, seat } = self.forks.remove(at);
        // It goes on to the end of the run.
        let steps = copy.made + self.views.shown().run.steps.saturating_sub(step);
        self.thinnings[child] = thinning(&self.crew.trajectory, self.plans[child].scalars(), steps);
        let worker = Worker {
            id: child,
            spec,
            plan: Arc::clone(&self.plans[child]),
            steps,
            origin: Origin::Copy(Box::new(copy)),
            owes_evaluation: false,
            course: self.crew.course.share(),
            plane: self.crew.plane_of(child),
            snapshots: (None, None),
            thinning: self.thinnings[child],
            fault: None,
        };
        match self.crew.hire(worker, seat) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => self.cannot_join(child, &error.to_string()),
        }
    }

    /// Lets go of the seats of arms whose parent has ended before it handed out its copy.
    pub(super) fn give_up_forks_of(&mut self, parent: ArmId) {
        while let Some(at) = self.forks.iter().position(|j| j.fork.parent == parent) {
            let Joining { fork, seat } = self.forks.remove(at);
            // Leaving may turn the gate, and deciding may wait while the run is paused: not on this thread.
            let leaving = spawn("seat", move || drop(seat));
            self.threads.extend(leaving);
            self.cannot_join(fork.child, "the arm that it begins from has ended");
        }
    }

    fn cannot_join(&mut self, child: ArmId, why: &str) {
        (self.live[child], self.whole[child]) = (false, false);
        self.tell_failure(child, why);
        self.views.set_state(child, ArmState::Failed(why.to_owned()));
    }

    /// Hands on what has come together.
    pub(super) fn dispatch(&mut self) {
        for (step, parts) in self.maps.complete(&self.live) {
            let arms = parts.into_iter().filter(|(id, _)| self.whole[*id]);
            let arms = arms.map(|(id, c)| MapArm {
                id,
                made: c.made,
                name: self.names[id].clone(),
                plan: Arc::clone(&self.plans[id]),
                weights: c.weights,
            });
            let job =
                MapJob { step, taken_s: self.start.elapsed().as_secs_f64(), arms: arms.collect() };
            if !job.arms.is_empty() && !self.desks.maps.put(0, job) {
                self.pending.maps += 1;
            }
        }
        for (step, parts) in self.saves.complete(&self.live) {
            let arms = parts.into_iter().filter(|(id, _)| self.whole[*id]);
            let arms = arms.map(|(id, c)| (self.names[id].clone(), Arc::clone(&self.plans[id]), c));
            let moment = Moment {
                step,
                seed: self.crew.course.seed,
                elapsed_s: self.start.elapsed().as_secs_f64(),
                threads: self.crew.course.threads,
                // The copies came before any change of a later step.
                controls: self.controls.clone(),
            };
            let job = SaveJob { moment, arms: arms.collect() };
            if !job.arms.is_empty() {
                self.hold_save(job);
            }
        }
        self.release_save();
    }

    /// Holds a checkpoint. The oldest that waits stays, so that checkpoints go on however late evaluations are; of those
    /// behind it the newest does.
    fn hold_save(&mut self, job: SaveJob) {
        if self.held_saves.len() >= 2 {
            self.held_saves.pop_back();
            self.pending.save -= 1;
        }
        let snapshots = self.snapshots.map(|_, (asked, _)| *asked);
        self.held_saves.push_back((Awaited { evaluations: self.evaluations.0, snapshots }, job));
        self.pending.save += 1;
    }

    /// Hands on every checkpoint for which the evaluations that were asked for before it are told, and the snapshots before
    /// it are kept: a run that is taken up there cannot make them up.
    pub(super) fn release_save(&mut self) {
        // A run that is stopped waits for its evaluations after the checkpoint.
        let evaluated =
            if self.stopped.load(Ordering::Relaxed) { u64::MAX } else { self.evaluations.1 };
        let kept = self.snapshots.map(|_, (_, kept)| *kept);
        let is_ready = |(awaited, _): &mut (Awaited, SaveJob)| {
            let mut snapshots = awaited.snapshots.iter();
            awaited.evaluations <= evaluated && snapshots.all(|(arm, n)| *n <= kept[arm])
        };
        while let Some((_, job)) = self.held_saves.pop_front_if(is_ready) {
            // What a checkpoint stands for must be on disk before it is.
            self.sync();
            if self.desks.save.put(0, job) {
                // It replaced one that waited.
                self.pending.save -= 1;
            }
        }
    }
}
