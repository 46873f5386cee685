//! The engine's own thread: starts the others, folds what they tell, records it, publishes snapshots, ends the run.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::conductor::{Asked, Conductor};
use super::evaluator::{self, EvalJob};
use super::gather::Gather;
use super::mailbox::Mailbox;
use super::maps::{MapJob, Mapper};
use super::message::{Fork, Message, WAITING};
use super::past::{self, Past, owes_evaluation};
use super::prepare::Run;
use super::saver::{SaveJob, Saver};
use super::views::Views;
use super::workers::{AtWork, Crew, Recruit};
use super::{Ending, EngineError};
use crate::arm::{ArmId, ArmName, MAX_ARMS, PerArm};
use crate::config::CheckpointSpec;
use crate::link::{Commands, Publisher};
use crate::model::Plan;
use crate::record::{Recorder, rewind};
use crate::telemetry::event::{Alert, ControlChange, Event, Level, RunDone, RunStarted, RunStatus};
use crate::telemetry::snapshot::{ArmState, Phase};
use crate::telemetry::system::SystemProbe;
use crate::train::checkpoint::{Keep, Moment};
use crate::train::lockstep::{Lockstep, Place};
use crate::train::worker::{ArmCopy, Directive, Origin, Purpose, Report};

/// Time between two snapshots: 20 a second is what an eye follows.
const PUBLISH_EVERY: Duration = Duration::from_millis(50);
/// Evaluations of one arm that may wait: on a busy machine an epoch's is late rather than left out, and the copies of
/// the weights that wait stay few.
const WAITING_EVALUATIONS: usize = 4;
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
struct Desks {
    eval: Arc<Mailbox<EvalJob>>,
    save: Arc<Mailbox<SaveJob>>,
    maps: Arc<Mailbox<MapJob>>,
}

/// Jobs handed out and not yet done.
#[derive(Default)]
struct Pending {
    eval: usize,
    save: usize,
    maps: usize,
}

/// A recorder, and whether it could not do its work the last time.
struct Recording {
    recorder: Box<dyn Recorder>,
    failing: bool,
}

impl Recording {
    fn new(recorder: Box<dyn Recorder>) -> Self {
        Self { recorder, failing: false }
    }
}

/// An arm that is about to begin from another; its seat at the gate is held for it.
struct Joining {
    fork: Fork,
    seat: Place<Directive>,
}

struct Hub {
    views: Views,
    publisher: Publisher,
    recorders: Vec<Recording>,
    probe: SystemProbe,
    plans: PerArm<Arc<Plan>>,
    names: PerArm<ArmName>,
    live: PerArm<bool>,
    /// Arms whose weights are still worth keeping.
    whole: PerArm<bool>,
    /// Every change by hand, in order. Not bounded: a replay needs them all, and people type them.
    controls: Vec<ControlChange>,
    crew: Crew,
    gate: Lockstep<Directive>,
    /// Arms that wait for the copy that they begin from.
    forks: Vec<Joining>,
    desks: Desks,
    pending: Pending,
    maps: Gather<ArmCopy>,
    saves: Gather<ArmCopy>,
    /// Evaluations asked for, and done.
    evaluations: (u64, u64),
    /// Checkpoints that wait for evaluations, with how many must be done.
    held_saves: VecDeque<(u64, SaveJob)>,
    threads: Vec<JoinHandle<()>>,
    stopped: Arc<AtomicBool>,
    unhurried: Arc<AtomicBool>,
    cancelled: Arc<AtomicBool>,
    start: Instant,
    published: Instant,
    flushed: Instant,
}

impl Hub {
    /// Starts all threads.
    fn start(
        run: Run,
        publisher: Publisher,
        commands: Commands,
    ) -> Result<(Self, Receiver<Message>), EngineError> {
        let Run {
            experiment,
            plans,
            mut origins,
            settings,
            past,
            train,
            test,
            device,
            cores,
            threads: arm_threads,
            steps,
            start,
            ..
        } = run;
        let (out, messages) = sync_channel(WAITING);
        let (stopped, unhurried, cancelled) =
            <(Arc<AtomicBool>, Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let desks = Desks {
            eval: Arc::new(Mailbox::new(MAX_ARMS, WAITING_EVALUATIONS)),
            save: Arc::new(Mailbox::new(1, 1)),
            maps: Arc::new(Mailbox::new(1, 1)),
        };
        let map_every = experiment.map.every;
        let views = Views::new(run.header, &run.started.arms, &experiment.arms, map_every);
        let at_work = AtWork::default();
        let mut conductor = Conductor {
            commands,
            specs: experiment.arms.clone(),
            settings: Arc::new(settings),
            train_images: train.len(),
            done: past.done,
            saved: past.done,
            steps,
            replay: run.replay.into(),
            map_every,
            checkpoint: experiment.checkpoint,
            last_checkpoint: Instant::now(),
            stopped: Arc::clone(&stopped),
            out: out.clone(),
            start,
            paused: false,
            asked: Asked::default(),
            at_work: at_work.clone(),
        };
        let mapper = Mapper {
            spec: experiment.map,
            seed: experiment.seed,
            train: train.shallow_clone(),
            root: run.folder.clone(),
            cores,
            unhurried: Arc::clone(&unhurried),
            cancelled: Arc::clone(&cancelled),
            out: out.clone(),
            start,
        };
        let CheckpointSpec { keep, keep_every, .. } = experiment.checkpoint;
        let saver =
            Saver { root: run.folder, keep: Keep { newest: keep, every: keep_every }, start };
        let mut threads = Vec::new();
        let (jobs, to) = (Arc::clone(&desks.eval), out.clone());
        threads.push(spawn("eval", move || evaluator::run(&jobs, &test, &to, start))?);
        let (jobs, to) = (Arc::clone(&desks.save), out.clone());
        threads.push(spawn("saver", move || saver.run(&jobs, &to))?);
        let jobs = Arc::clone(&desks.maps);
        threads.push(spawn("maps", move || mapper.run(&jobs))?);

        let gate = Lockstep::new(move || conductor.decide());
        let crew = Crew {
            train: train.shallow_clone(),
            seed: experiment.seed,
            augment: experiment.data.augment,
            device,
            threads: arm_threads,
            record: experiment.record,
            steps,
            start,
            at_work,
            out,
        };
        let mut hub = Self {
            views,
            publisher,
            recorders: run.recorders.into_iter().map(Recording::new).collect(),
            probe: run.probe,
            names: experiment.arms.map(|_, a| a.name.clone()),
            live: origins.map(|_, o| o.is_some()),
            whole: origins.map(|_, o| o.is_some()),
            controls: past.controls.clone(),
            crew,
            gate,
            forks: Vec::new(),
            plans,
            desks,
            pending: Pending::default(),
            maps: Gather::default(),
            saves: Gather::default(),
            evaluations: (0, 0),
            held_saves: VecDeque::new(),
            threads,
            stopped,
            unhurried,
            cancelled,
            start,
            published: start,
            flushed: start,
        };
        hub.begin(&past, run.started);
        let origins = origins.iter_mut().filter_map(|(id, o)| Some((id, o.take()?)));
        let places: Vec<_> = origins.map(|(id, origin)| (id, origin, hub.gate.place())).collect();
        for (id, origin, place) in places {
            let spec = experiment.arms[id].clone();
            let (images, seed) = (train.len(), experiment.seed);
            let recruit = Recruit {
                id,
                owes_evaluation: owes_evaluation(spec.name.as_str(), &origin, images, seed, &past),
                spec,
                plan: Arc::clone(&hub.plans[id]),
                origin,
                done: past.done,
                fault: run.fault.filter(|(arm, _)| *arm == id.index()).map(|(_, fault)| fault),
            };
            hub.threads.push(hub.crew.hire(recruit, place).map_err(EngineError::Thread)?);
        }
        Ok((hub, messages))
    }

    /// Tells what is behind the run, and that it begins or goes on.
    fn begin(&mut self, past: &Past, started: RunStarted) {
        // Alerts that follow from an event stand among the events.
        let views = &mut self.views;
        if let Some(path) = &past.metrics
            && let Err(error) = rewind::for_each(path, |event| drop(views.fold(&event)))
        {
            self.alert("history-unreadable", format!("{}: {error}", path.display()));
        }
        for change in &past.lost_controls {
            self.record(&Event::Control(change.clone()));
            let _ = self.views.fold(&Event::Control(change.clone()));
        }
        self.views.forget_pace();
        for id in self.plans.ids().filter(|id| !self.live[*id]).collect::<Vec<_>>() {
            let ended = past::how_it_ended(self.names[id].as_str(), &past.alerts);
            let lost = || ArmState::Failed("it is not in the checkpoint".to_owned());
            self.views.set_state(id, ended.unwrap_or_else(lost));
        }
        if past.metrics.is_none() {
            let t = self.start.elapsed().as_secs_f64();
            self.take(Event::Run(Box::new(RunStarted { t, ..started })));
        }
        for note in &past.notes {
            let t = self.start.elapsed().as_secs_f64();
            self.take(Event::Alert(Alert { t, ..note.clone() }));
        }
    }

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
        let Pending { eval, save, maps } = self.pending;
        self.live.values().all(|live| !live) && eval + save + maps == 0
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Worker(report) => self.hear_worker(report),
            Message::Event(event) => self.take(event),
            Message::Phase(phase) => {
                self.views.forget_pace();
                self.views.shown().phase = phase;
            }
            Message::Fork(fork) => self.expect(*fork),
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

    fn hand_on(&mut self, arm: ArmId, step: u64, purpose: Purpose, copy: ArmCopy) {
        match purpose {
            Purpose::Evaluate => {
                let (name, plan) = (self.names[arm].clone(), Arc::clone(&self.plans[arm]));
                let job = EvalJob { name, plan, step, weights: copy.weights };
                if !self.desks.eval.put(arm.index(), job) {
                    self.pending.eval += 1;
                    self.evaluations.0 += 1;
                }
            }
            Purpose::Map => self.maps.add(step, arm, copy),
            Purpose::Checkpoint => self.saves.add(step, arm, copy),
            Purpose::Fork => self.let_join(arm, step, copy),
        }
        self.dispatch();
    }

    /// Makes room for an arm that is about to join.
    fn expect(&mut self, fork: Fork) {
        self.views.fork(fork.parent, &fork.spec);
        self.names.push(fork.spec.name.clone());
        self.plans.push(Arc::clone(&self.plans[fork.parent]));
        self.live.push(true);
        self.whole.push(true);
        self.forks.push(Joining { fork, seat: self.gate.seat() });
    }

    /// Starts the arm that waited for this copy.
    fn let_join(&mut self, parent: ArmId, step: u64, copy: ArmCopy) {
        let Some(at) = self.forks.iter().position(|j| j.fork.parent == parent) else { return };
        let Joining { fork: Fork { child, spec, .. }, seat } = self.forks.remove(at);
        let recruit = Recruit {
            id: child,
            spec,
            plan: Arc::clone(&self.plans[child]),
            origin: Origin::Copy(Box::new(copy)),
            done: step,
            owes_evaluation: false,
            fault: None,
        };
        match self.crew.hire(recruit, seat) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => self.cannot_join(child, &error.to_string()),
        }
    }

    /// Lets go of the seats of arms whose parent has ended before it handed out its copy.
    fn give_up_forks_of(&mut self, parent: ArmId) {
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
    fn dispatch(&mut self) {
        for (step, parts) in self.maps.complete(&self.live) {
            let arms = parts.into_iter().filter(|(id, _)| self.whole[*id]);
            let arms = arms.map(|(id, c)| {
                (id, self.names[id].clone(), Arc::clone(&self.plans[id]), c.weights)
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
                seed: self.crew.seed,
                elapsed_s: self.start.elapsed().as_secs_f64(),
                threads: self.crew.threads,
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
        self.held_saves.push_back((self.evaluations.0, job));
        self.pending.save += 1;
    }

    /// Hands on a checkpoint once the evaluations that were asked for before it are told: a run that is taken up there
    /// cannot make them up.
    fn release_save(&mut self) {
        // A run that is stopped waits for its evaluations after the checkpoint.
        let done = if self.stopped.load(Ordering::Relaxed) { u64::MAX } else { self.evaluations.1 };
        let Some((_, job)) = self.held_saves.pop_front_if(|(asked, _)| *asked <= done) else {
            return;
        };
        // What a checkpoint stands for must be on disk before it is.
        self.sync();
        if self.desks.save.put(0, job) {
            // It replaced one that waited.
            self.pending.save -= 1;
        }
    }

    fn take_result(&mut self, kind: &str, result: Result<Event, String>) {
        match result {
            Ok(event) => self.take(event),
            Err(text) => self.alert(kind, text),
        }
    }

    fn alert(&mut self, kind: &str, text: String) {
        let (step, t) = (self.views.shown().step, self.start.elapsed().as_secs_f64());
        let kind = kind.to_owned();
        self.take(Event::Alert(Alert { arm: None, step, t, kind, level: Level::Warning, text }));
    }

    fn tell_failure(&mut self, arm: ArmId, why: &str) {
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
    fn take(&mut self, event: Event) {
        if let Event::Control(change) = &event {
            self.controls.push(change.clone());
        }
        self.record(&event);
        if let Some(alert) = self.views.fold(&event) {
            self.take(Event::Alert(alert));
        }
    }

    fn record(&mut self, event: &Event) {
        for index in 0..self.recorders.len() {
            // Taken is not yet written: only a flush tells that all is well again.
            if let Err(error) = self.recorders[index].recorder.record(event) {
                self.recording_failed(index, &error);
            }
        }
    }

    fn flush(&mut self) {
        self.bring_out(|recorder| recorder.flush());
    }

    fn sync(&mut self) {
        self.bring_out(|recorder| recorder.sync());
    }

    fn bring_out(&mut self, act: impl Fn(&mut dyn Recorder) -> std::io::Result<()>) {
        self.flushed = Instant::now();
        for index in 0..self.recorders.len() {
            match act(self.recorders[index].recorder.as_mut()) {
                Err(error) => self.recording_failed(index, &error),
                Ok(()) if std::mem::take(&mut self.recorders[index].failing) => {
                    self.alert("recording-again", "events are written again".to_owned());
                }
                Ok(()) => {}
            }
        }
        if self.publisher.has_viewers() {
            self.views.shown().system = self.probe.read();
        }
    }

    /// A recorder that fails is told once and tried again; the run goes on.
    fn recording_failed(&mut self, index: usize, error: &std::io::Error) {
        if !std::mem::replace(&mut self.recorders[index].failing, true) {
            let text = format!("events cannot be written: {error}; they wait and are tried again");
            self.alert("recording-failed", text);
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
        let all_made = self.views.shown().step >= self.views.shown().run.steps;
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
        for thread in std::mem::take(&mut self.threads) {
            // A thread beside the arms that panicked has been told by what it left undone; the arms' catch theirs.
            let _ = thread.join();
        }
        self.views.shown().phase = Phase::Ended(status);
        self.publish();
        status
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, EngineError> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map_err(EngineError::Thread)
}
