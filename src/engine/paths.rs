//! The thread `paths`: keeps snapshots of the arms' weights, measures their loss, lays the plane in which each arm moved
//! most.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::mailbox::Mailbox;
use super::message::{Message, PathDone, PathUpdate};
use super::planes::{Audience, Laid, PlaneBoard, Told};
use super::workers::guarded;
use crate::arm::{ArmId, ArmName, MAX_ARMS};
use crate::config::{MapSpec, TrajectorySpec};
use crate::data::Split;
use crate::geometry::thinning::Thinning;
use crate::landscape::crew::Means;
use crate::landscape::evaluate::{Evaluator, ReadyImages};
use crate::landscape::images::{ImageSet, choose_images};
use crate::landscape::plane::Plane;
use crate::landscape::trajectory::file;
use crate::landscape::trajectory::{Moment, Point, Room, Store, StoreError};
use crate::model::{Plan, Weights};
use crate::telemetry::path::PathPoint;
use crate::train::device::{TorchError, use_threads};

/// Added to the thread's nice value: the least priority that there is.
const LEAST_PRIORITY: i32 = 19;
/// Snapshots of one arm that may wait: an arm waits for the last but one before it hands out another.
pub const WAITING_SNAPSHOTS: usize = 8;

/// An arm's weights at one step.
pub struct PathJob {
    /// Whose.
    pub arm: ArmId,
    /// Its name.
    pub name: ArmName,
    /// Its network.
    pub plan: Arc<Plan>,
    /// Which of its snapshots stay.
    pub thinning: Thinning,
    /// Steps done.
    pub step: u64,
    /// Its weights.
    pub weights: Weights,
    /// Whether a map is laid into the plane of this snapshot: the path is told in it from now on.
    pub map: bool,
}

/// What a worker that goes on from a checkpoint has behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// Steps done at the newest snapshot that was due.
    pub newest: Option<u64>,
    /// And at the one before, in whose plane angles are told.
    pub before: Option<u64>,
}

/// What paths are kept with.
pub struct PathKeeper {
    spec: TrajectorySpec,
    map: MapSpec,
    /// Training images, on the arms' device.
    train: Split,
    root: PathBuf,
    board: Arc<PlaneBoard>,
    out: SyncSender<Message>,
    room: Room,
    arms: Vec<Option<ArmPath>>,
}

/// One arm's path and what its loss is measured with.
struct ArmPath {
    store: Store,
    ready: Option<ReadyImages>,
    /// Whether its user has been told that it cannot be kept as it should be.
    told: bool,
}

impl PathKeeper {
    /// A keeper of no path yet.
    pub fn new(
        spec: TrajectorySpec,
        map: MapSpec,
        train: Split,
        root: &Path,
        board: Arc<PlaneBoard>,
        out: SyncSender<Message>,
    ) -> Self {
        Self {
            spec,
            map,
            train,
            root: root.join(file::FOLDER),
            board,
            out,
            room: Room { left: spec.memory << 20 },
            arms: (0..MAX_ARMS).map(|_| None).collect(),
        }
    }

    /// Takes up an arm's path after `done` steps, as it lies on disk; what went wrong is told by a line each.
    pub fn take_up(
        &mut self,
        (arm, name, plan): (ArmId, &ArmName, &Plan),
        thinning: Thinning,
        done: u64,
    ) -> (Behind, Vec<String>) {
        let mut told: Vec<String> = Vec::new();
        let mut taken = self.restore(name, plan, thinning, done, &mut told);
        if !told.is_empty() {
            // Once more without those that are broken: their steps may be handed out anew.
            taken.0.store.let_go(&mut self.room);
            taken = self.restore(name, plan, thinning, done, &mut told);
        }
        let (path, mut behind, planes) = taken;
        if behind.newest.is_some() && path.store.steps().next().is_none() {
            // The others are differences from the first.
            let where_to = path.store.set_aside().map_or_else(String::new, |folder| {
                format!("; what is left of it lies in {}", folder.display())
            });
            let line = "its path begins anew, for its first snapshot cannot be read";
            told.push(format!("{name}: {line}{where_to}"));
            behind = Behind::default();
        }
        // Told for the step that is asked for, whatever could be read: its worker waits for it.
        for (until, plane) in planes {
            self.board.tell(arm, until, plane, Audience { steps: true, map: false });
        }
        let shown = update(arm, &path.store);
        if let Some(slot) = self.arms.get_mut(arm.index()) {
            *slot = Some(path);
        }
        let _ = self.out.send(Message::Path(Box::new(shown)));
        (behind, told)
    }

    /// The path that lies on disk after `done` steps, and the planes that its worker asks for; lines that are not told yet
    /// are added.
    fn restore(
        &mut self,
        name: &ArmName,
        plan: &Plan,
        thinning: Thinning,
        done: u64,
        told: &mut Vec<String>,
    ) -> (ArmPath, Behind, Vec<Told>) {
        let mut path = self.begin(name, plan, thinning);
        path.store.forget_after(done);
        let due: Vec<u64> = path.store.on_disk().into_iter().filter(|s| *s <= done).collect();
        let first = due.first().copied();
        let mut due = due.into_iter().rev().filter(|s| thinning.is_due(*s) || first == Some(*s));
        let behind = Behind { newest: due.next(), before: due.next() };
        let mut planes = Vec::new();
        // In the order in which they were laid: each turns the axes to those before.
        for until in [behind.before, behind.newest, Some(done)].into_iter().flatten() {
            for lost in path.store.restore(until, &mut self.room) {
                let line = lost.to_string();
                if !told.contains(&line) {
                    told.push(line);
                }
            }
            planes.push((until, lay(&mut path.store)));
        }
        (path, behind, planes)
    }

    fn begin(&self, name: &ArmName, plan: &Plan, thinning: Thinning) -> ArmPath {
        let folder = self.root.join(name.as_str());
        let store = Store::new(folder, plan, thinning, self.spec.precision);
        ArmPath { store, ready: None, told: false }
    }

    /// Keeps what comes until the mailbox is closed.
    pub fn run(mut self, jobs: &Mailbox<PathJob>) {
        use_threads(1);
        // In lockstep, what is taken from one arm is taken from all: this thread takes what they leave. Linux keeps the
        // priority of each thread by itself. Where it is refused, only time is lost.
        let _ = rustix::process::nice(LEAST_PRIORITY);
        while let Some(job) = jobs.take() {
            let (arm, step, map) = (job.arm, job.step, job.map);
            let kept = guarded(|| Ok(self.keep(job)));
            // Whatever happened: nobody waits for this one any more.
            if kept.is_err() {
                self.board.tell(arm, step, None, Audience { steps: true, map });
            }
            let done =
                kept.unwrap_or_else(|text| PathDone { arm, update: None, alert: Some(text) });
            if self.out.send(Message::PathDone(Box::new(done))).is_err() {
                break;
            }
        }
        self.board.close();
    }

    fn keep(&mut self, job: PathJob) -> PathDone {
        let PathJob { arm, name, plan, thinning, step, weights, map } = job;
        let index = arm.index();
        let mut path = match self.arms.get_mut(index).and_then(Option::take) {
            Some(path) => path,
            None => {
                let path = self.begin(&name, &plan, thinning);
                path.store.forget_all();
                path
            }
        };
        let kept = self.add(&mut path, &plan, step, weights);
        let plane = lay(&mut path.store);
        // Where no map is laid into it, the path is told in the newest plane.
        let map = map && self.map.plane.is_pca();
        if map && plane.as_ref().is_some_and(|p| p.axes.step == step) {
            path.store.freeze();
        }
        let due = thinning.is_due(step) || path.store.steps().next() == Some(step);
        self.board.tell(arm, step, plane, Audience { steps: due, map });
        let alert = match kept {
            Err(text) if !std::mem::replace(&mut path.told, true) => {
                Some(format!("{name}: {text}"))
            }
            _ => None,
        };
        let update = update(arm, &path.store);
        if let Some(slot) = self.arms.get_mut(index) {
            *slot = Some(path);
        }
        PathDone { arm, update: Some(update), alert }
    }

    fn add(
        &mut self,
        path: &mut ArmPath,
        plan: &Arc<Plan>,
        step: u64,
        weights: Weights,
    ) -> Result<(), String> {
        let torch = |e: TorchError| format!("a snapshot was not kept: torch: {e}");
        // An arm at its end or held hands out the same weights for every map.
        if path.store.steps().next_back().is_some_and(|newest| newest >= step) {
            return Ok(());
        }
        let moment = Moment::of(step, &weights, f64::NAN).map_err(torch)?;
        let moment = Moment { loss: self.loss(path, plan, weights).map_err(torch)?, ..moment };
        match path.store.insert(moment, &mut self.room) {
            Ok(()) => Ok(()),
            // Nobody is helped by being told twice: the arm is about to say that it diverged.
            Err(StoreError::NotFinite(_)) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Loss of the weights on the maps' images, as a map's point has it.
    fn loss(
        &self,
        path: &mut ArmPath,
        plan: &Arc<Plan>,
        weights: Weights,
    ) -> Result<f64, TorchError> {
        let ready = match &path.ready {
            Some(ready) => ready.share(),
            None => {
                let chosen = choose_images(self.train.len(), self.map.images);
                let images = ImageSet::new(&self.train, &chosen, self.train.device())?;
                let means = Means { precision: self.map.precision, ..Means::one_thread() };
                path.ready.insert(ReadyImages::new(plan, images, &means)?).share()
            }
        };
        let plane = Plane::new(Arc::clone(plan), weights, Vec::new(), None)?;
        Ok(Evaluator::new(plane, ready)?.at(0.0, 0.0)?.mean_loss())
    }
}

fn lay(store: &mut Store) -> Option<Arc<Laid>> {
    let axes = store.lay_axes()?.clone();
    let points = store.points_in(&axes);
    Some(Arc::new(Laid { axes, points }))
}

/// What viewers are shown of a path.
fn update(arm: ArmId, store: &Store) -> PathUpdate {
    let point = |(step, place, loss): Point| PathPoint::new(step, place, loss);
    let axes = store.told_axes();
    PathUpdate {
        arm,
        origin_step: axes.map_or(0, |a| a.step),
        shares: axes.map(|a| a.shares.to_vec()).unwrap_or_default(),
        points: store.points().into_iter().map(point).collect(),
    }
}
