//! Starts the threads of a run and tells what is behind it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use super::EngineError;
use super::conductor::{Asked, Conductor};
use super::evaluator;
use super::gather::Gather;
use super::hub::{Desks, Hub, Pending, spawn};
use super::keeping::Recording;
use super::mailbox::Mailbox;
use super::maps::Mapper;
use super::message::{Message, WAITING};
use super::past::{self, Past, owes_evaluation};
use super::paths::{Behind, PathKeeper, WAITING_SNAPSHOTS};
use super::planes::PlaneBoard;
use super::prepare::Run;
use super::saver::Saver;
use super::spacing::thinning_after;
use super::views::Views;
use super::workers::{AtWork, Crew};
use crate::arm::MAX_ARMS;
use crate::config::CheckpointSpec;
use crate::link::{Commands, Publisher};
use crate::record::rewind;
use crate::telemetry::event::{Alert, Event, RunStarted};
use crate::telemetry::snapshot::ArmState;
use crate::train::checkpoint::Keep;
use crate::train::lockstep::Lockstep;
use crate::train::worker::{Course, Worker};

/// Evaluations of one arm that may wait: on a busy machine an epoch's is late rather than left out, and the copies of
/// the weights that wait stay few.
const WAITING_EVALUATIONS: usize = 4;

impl Hub {
    /// Starts all threads.
    pub(super) fn start(
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
            arm_steps,
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
            paths: Arc::new(Mailbox::new(MAX_ARMS, WAITING_SNAPSHOTS)),
        };
        let board = (experiment.trajectory.keep > 0).then(Arc::<PlaneBoard>::default);
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
            arm_steps: arm_steps.clone(),
            replay: run.replay.into(),
            map_every,
            checkpoint: experiment.checkpoint,
            last_checkpoint: Instant::now(),
            stopped: Arc::clone(&stopped),
            out: out.clone(),
            start,
            paused: false,
            asked: Asked::default(),
            changed: Vec::new(),
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
            board: board.clone(),
            out: out.clone(),
            start,
        };
        let CheckpointSpec { keep, keep_every, .. } = experiment.checkpoint;
        let saver = Saver {
            root: run.folder.clone(),
            keep: Keep { newest: keep, every: keep_every },
            start,
        };
        let mut threads = Vec::new();
        let (jobs, to) = (Arc::clone(&desks.eval), out.clone());
        threads.push(spawn("eval", move || evaluator::run(&jobs, &test, &to, start))?);
        let (jobs, to) = (Arc::clone(&desks.save), out.clone());
        threads.push(spawn("saver", move || saver.run(&jobs, &to))?);
        let jobs = Arc::clone(&desks.maps);
        threads.push(spawn("maps", move || mapper.run(&jobs))?);
        let thinnings = experiment.arms.map(|id, spec| {
            let place = (&*run.folder, &spec.name);
            let size = (plans[id].scalars(), arm_steps[id]);
            thinning_after(&experiment.trajectory, size, place, past.done)
        });
        let mut behind = experiment.arms.map(|_, _| Behind::default());
        let mut lost = Vec::new();
        if let Some(board) = &board {
            let mut keeper = PathKeeper::new(
                experiment.trajectory,
                experiment.map,
                train.shallow_clone(),
                &run.folder,
                Arc::clone(board),
                out.clone(),
            );
            for (id, spec) in experiment.arms.iter().filter(|_| past.metrics.is_some()) {
                let Some(kept) = thinnings[id] else { break };
                let arm = (id, &spec.name, &*plans[id]);
                let (found, told) = keeper.take_up(arm, kept, past.done);
                behind[id] = found;
                lost.extend(told);
            }
            let jobs = Arc::clone(&desks.paths);
            threads.push(spawn("paths", move || keeper.run(&jobs))?);
        }

        let gate = Lockstep::new(move || conductor.decide());
        let crew = Crew {
            course: Course {
                train: train.shallow_clone(),
                seed: experiment.seed,
                augment: experiment.data.augment,
                device,
                threads: arm_threads,
                record: experiment.record,
                start,
            },
            at_work,
            out,
            board: board.clone(),
            trajectory: experiment.trajectory,
        };
        let mut hub = Self {
            views,
            publisher,
            recorders: run.recorders.into_iter().map(Recording::new).collect(),
            probe: run.probe,
            names: experiment.arms.map(|_, a| a.name.clone()),
            thinnings,
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
            snapshots: experiment.arms.map(|_, _| (0, 0)),
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
        lost.into_iter().for_each(|text| hub.alert("snapshot-lost", text));
        let origins = origins.iter_mut().filter_map(|(id, o)| Some((id, o.take()?)));
        let places: Vec<_> = origins.map(|(id, origin)| (id, origin, hub.gate.place())).collect();
        for (id, origin, place) in places {
            let spec = experiment.arms[id].clone();
            let (images, seed) = (train.len(), experiment.seed);
            let worker = Worker {
                id,
                owes_evaluation: owes_evaluation(spec.name.as_str(), &origin, images, seed, &past),
                spec,
                plan: Arc::clone(&hub.plans[id]),
                origin,
                steps: arm_steps[id],
                course: hub.crew.course.share(),
                plane: hub.crew.plane_of(id),
                snapshots: behind.get(id).map_or((None, None), |b| (b.newest, b.before)),
                thinning: hub.thinnings[id],
                fault: run.fault.filter(|(arm, _)| *arm == id.index()).map(|(_, fault)| fault),
            };
            hub.threads.push(hub.crew.hire(worker, place).map_err(EngineError::Thread)?);
        }
        Ok((hub, messages))
    }

    /// Tells what is behind the run, and that it begins or goes on.
    pub(super) fn begin(&mut self, past: &Past, started: RunStarted) {
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
        } else {
            self.recorders.iter_mut().for_each(|r| r.recorder.taken_up(&started));
        }
        for note in &past.notes {
            let t = self.start.elapsed().as_secs_f64();
            self.take(Event::Alert(Alert { t, ..note.clone() }));
        }
    }
}
