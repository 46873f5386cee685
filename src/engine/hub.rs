//! The engine's own thread: starts the others, folds what they tell, records it, publishes snapshots, ends the run.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::evaluator::EvalJob;
use super::gather::Gather;
use super::keeping::Recording;
use super::mailbox::Mailbox;
use super::maps::MapJob;
use super::message::{Fork, Message};
use super::paths::PathJob;
use super::prepare::Run;
use super::saver::SaveJob;
use super::views::Views;
use super::workers::Crew;
use super::{Ending, EngineError};
use crate::arm::{ArmId, ArmName, PerArm};
use crate::geometry::thinning::Thinning;
use crate::link::{Commands, Publisher};
use crate::model::Plan;
use crate::telemetry::event::{Alert, ControlChange, Event, Level, RunDone, RunStatus};
use crate::telemetry::snapshot::{ArmState, Phase};
use crate::telemetry::system::SystemProbe;
use crate::train::lockstep::{Lockstep, Place};
use crate::train::worker::{ArmCopy, Directive, Report};

/// Time between two snapshots: as often as a viewer draws.
const PUBLISH_EVERY: Duration = Duration::from_millis(100);
/// Time between two flushes and readings of the machine.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// Runs a prepared run to its end.
pub fn run(run: Run, publisher: Publisher, commands: Commands) -> Result<Ending, EngineError> {
    let folder = run.folder.clone();
    let (hub, messages) = Hub::start(run, publisher, commands)?;
    let status = hub.serve(&messages);
    Ok(Ending { status, folder })
}

/// The mailboxes of the threads that work beside the arms.
pub(super) struct Desks {
    pub(super) eval: Arc<Mailbox<EvalJob>>,
    pub(super) save: Arc<Mailbox<SaveJob>>,
    pub(super) maps: Arc<Mailbox<MapJob>>,
    pub(super) paths: Arc<Mailbox<PathJob>>,
}

/// Jobs handed out and not yet done.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) eval: usize,
    pub(super) save: usize,
    pub(super) maps: usize,
    pub(super) paths: usize,
}

/// What a checkpoint waits for.
pub(super) struct Awaited {
    /// Evaluations that must be done.
    pub(super) evaluations: u64,
    /// Snapshots of each arm that must be kept.
    pub(super) snapshots: PerArm<u64>,
}

/// An arm that is about to begin from another; its seat at the gate is held for it.
pub(super) struct Joining {
    pub(super) fork: Fork,
    pub(super) seat: Place<Directive>,
}

/// The run as the engine's own thread keeps it.
pub(super) struct Hub {
    pub(super) views: Views,
    pub(super) publisher: Publisher,
    pub(super) recorders: Vec<Recording>,
    pub(super) probe: SystemProbe,
    pub(super) plans: PerArm<Arc<Plan>>,
    pub(super) names: PerArm<ArmName>,
    /// Which snapshots of each arm stay; none if no path is kept.
    pub(super) thinnings: PerArm<Option<Thinning>>,
    pub(super) live: PerArm<bool>,
    /// Arms whose weights are still worth keeping.
    pub(super) whole: PerArm<bool>,
    /// Every change by hand, in order. Not bounded: a replay needs them all, and people type them.
    pub(super) controls: Vec<ControlChange>,
    pub(super) crew: Crew,
    pub(super) gate: Lockstep<Directive>,
    /// Arms that wait for the copy that they begin from.
    pub(super) forks: Vec<Joining>,
    pub(super) desks: Desks,
    pub(super) pending: Pending,
    pub(super) maps: Gather<ArmCopy>,
    pub(super) saves: Gather<ArmCopy>,
    /// Evaluations asked for, and done.
    pub(super) evaluations: (u64, u64),
    /// Snapshots of each arm handed on, and kept: those of one arm are kept in order, those of different arms are not.
    pub(super) snapshots: PerArm<(u64, u64)>,
    /// Checkpoints that wait for evaluations and snapshots.
    pub(super) held_saves: VecDeque<(Awaited, SaveJob)>,
    pub(super) threads: Vec<JoinHandle<()>>,
    pub(super) stopped: Arc<AtomicBool>,
    pub(super) unhurried: Arc<AtomicBool>,
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) start: Instant,
    pub(super) published: Instant,
    pub(super) flushed: Instant,
}

impl Hub {
    /// Serves until the run is over and everything that belongs to it is done.
    fn serve(mut self, messages: &Receiver<Message>) -> RunStatus {
        self.views.shown().phase = Phase::Training;
        self.publish();
        while !self.is_over() {
            match messages.recv_timeout(PUBLISH_EVERY) {
                Ok(message) => self.hear(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.published.elapsed() >= PUBLISH_EVERY {
                self.publish();
            }
            if self.flushed.elapsed() >= FLUSH_EVERY {
                self.flush();
            }
        }
        self.end()
    }

    fn is_over(&self) -> bool {
        let Pending { eval, save, maps, paths } = self.pending;
        self.live.values().all(|live| !live) && eval + save + maps + paths == 0
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Worker(report) => self.hear_worker(report),
            Message::Event(event) => self.take(event),
            Message::Phase(phase) => {
                self.views.forget_pace();
                self.views.shown().phase = phase;
            }
            Message::Fork(fork) => self.make_room(*fork),
            Message::EvalDone(result) => {
                self.pending.eval -= 1;
                self.evaluations.1 += 1;
                self.take_result("evaluation-failed", result);
                self.release_save();
            }
            Message::SaveDone(result) => {
                self.pending.save -= 1;
                self.take_result("checkpoint-failed", result);
            }
            Message::Path(update) => self.views.fold_path(*update),
            Message::PathDone(done) => {
                self.pending.paths -= 1;
                self.snapshots[done.arm].1 += 1;
                if let Some(update) = done.update {
                    self.views.fold_path(update);
                }
                if let Some(text) = done.alert {
                    self.alert("snapshot-failed", text);
                }
                self.release_save();
            }
            Message::MapProgress(progress) => self.views.shown().maps.job = Some(progress),
            Message::MapPass(pass) => self.views.fold_map(*pass),
            Message::MapWritten(written) => self.take(Event::Surface(written)),
            Message::MapDone(result) => {
                self.pending.maps -= 1;
                self.views.shown().maps.job = None;
                if let Err(text) = result {
                    self.alert("map-failed", text);
                }
            }
        }
    }

    fn hear_worker(&mut self, report: Report) {
        match report {
            Report::Event(event) => self.take(event),
            Report::State { arm, state } => {
                if matches!(state, ArmState::Diverged { .. } | ArmState::Failed(_)) {
                    self.whole[arm] = false;
                }
                if let ArmState::Failed(why) = &state {
                    self.tell_failure(arm, why);
                }
                self.views.set_state(arm, state);
            }
            Report::Copy { arm, step, purpose, copy } => self.hand_on(arm, step, purpose, copy),
            Report::Ended { arm } => {
                self.live[arm] = false;
                self.give_up_forks_of(arm);
                self.dispatch();
                if self.live.values().all(|live| !live) {
                    self.unhurried.store(true, Ordering::Relaxed);
                    if self.stopped.load(Ordering::Relaxed) {
                        self.cancelled.store(true, Ordering::Relaxed);
                    }
                    self.views.shown().phase = Phase::Finishing;
                }
            }
        }
    }

    fn take_result(&mut self, kind: &str, result: Result<Event, String>) {
        match result {
            Ok(event) => self.take(event),
            Err(text) => self.alert(kind, text),
        }
    }

    pub(super) fn alert(&mut self, kind: &str, text: String) {
        let (step, t) = (self.views.shown().step, self.start.elapsed().as_secs_f64());
        let kind = kind.to_owned();
        self.take(Event::Alert(Alert { arm: None, step, t, kind, level: Level::Warning, text }));
    }

    pub(super) fn tell_failure(&mut self, arm: ArmId, why: &str) {
        let name = self.names[arm].clone();
        let step = self.views.shown().arms[arm].latest.as_ref().map_or(0, |s| s.step);
        self.take(Event::Alert(Alert {
            step,
            t: self.start.elapsed().as_secs_f64(),
            kind: "worker-failed".to_owned(),
            level: Level::Error,
            text: format!("{name} failed: {why}; the others go on"),
            arm: Some(name),
        }));
    }

    /// Records an event and folds it in, with the alerts that follow from it.
    pub(super) fn take(&mut self, event: Event) {
        if let Event::Control(change) = &event {
            self.controls.push(change.clone());
        }
        self.record(&event);
        if let Some(alert) = self.views.fold(&event) {
            self.take(Event::Alert(alert));
        }
    }

    fn publish(&mut self) {
        self.published = Instant::now();
        if self.publisher.has_viewers() {
            self.views.shown().elapsed_s = self.start.elapsed().as_secs_f64();
            self.publisher.publish(self.views.snapshot());
        }
    }

    /// Tells the end, closes the desks and joins every thread.
    fn end(mut self) -> RunStatus {
        // The arm that has most steps to make may have diverged: those that are whole have made all of theirs.
        let all_made = self.views.shown().step >= self.views.shown().run.steps
            || !self.stopped.load(Ordering::Relaxed);
        let any_whole = self.whole.values().any(|whole| *whole);
        let status = if !any_whole {
            RunStatus::Failed
        } else if all_made {
            RunStatus::Finished
        } else {
            RunStatus::Stopped
        };
        let (step, t) = (self.views.shown().step, self.start.elapsed().as_secs_f64());
        self.take(Event::Done(RunDone { status, step, t, arms: self.views.done() }));
        self.flush();
        self.desks.eval.close();
        self.desks.save.close();
        self.desks.maps.close();
        self.desks.paths.close();
        for thread in std::mem::take(&mut self.threads) {
            // A thread beside the arms that panicked has been told by what it left undone; the arms' catch theirs.
            let _ = thread.join();
        }
        self.views.shown().phase = Phase::Ended(status);
        self.publish();
        status
    }
}

/// Starts a thread beside the arms.
pub(super) fn spawn(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, EngineError> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map_err(EngineError::Thread)
}
