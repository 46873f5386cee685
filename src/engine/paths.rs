//! The thread `paths`: keeps snapshots of the arms' weights, measures their loss, lays the plane in which each arm moved
//! most.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::mailbox::Mailbox;
use super::message::{Message, PathDone, PathUpdate};
use super::planes::{Laid, PlaneBoard};
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
        let mut path = self.begin(name, plan, thinning);
        let due: Vec<u64> = path.store.on_disk().into_iter().filter(|s| *s <= done).collect();
        let first = due.first().copied();
        let mut due = due.into_iter().rev().filter(|s| thinning.is_due(*s) || first == Some(*s));
        let behind = Behind { newest: due.next(), before: due.next() };
        path.store.forget_after(done);
        let mut told = Vec::new();
        // In the order in which they were laid: each turns the axes to those before.
        for until in [behind.before, behind.newest, Some(done)].into_iter().flatten() {
            told.extend(path.store.restore(until, &mut self.room).iter().map(ToString::to_string));
            let plane = lay(&mut path.store);
            if let Some(step) = path.store.steps().last() {
                self.board.tell(arm, step, plane);
            }
        }
        let shown = update(arm, &path.store);
        self.arms[arm.index()] = Some(path);
        let _ = self.out.send(Message::Path(Box::new(shown)));
        (behind, told)
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
            let (arm, step) = (job.arm, job.step);
            let kept = guarded(|| self.keep(job));
            // Whatever happened: nobody waits for this one any more.
            let known = kept.as_ref().ok().is_some_and(|done| done.laid);
            if !known {
                self.board.tell(arm, step, None);
            }
            let done =
                kept.unwrap_or_else(|text| PathDone { alert: Some(text), ..PathDone::default() });
            if self.out.send(Message::PathDone(Box::new(done))).is_err() {
                break;
            }
        }
        self.board.close();
    }

    fn keep(&mut self, job: PathJob) -> Result<PathDone, String> {
        let PathJob { arm, name, plan, thinning, step, weights, map } = job;
        let index = arm.index();
        let mut path = match self.arms.get_mut(index).and_then(Option::take) {
            Some(path) => path,
            None => self.begin(&name, &plan, thinning),
        };
        let kept = self.add(&mut path, &plan, step, weights);
        let plane = lay(&mut path.store);
        // Where no map is laid into it, the path is told in the newest plane.
        let map = map && self.map.plane.is_pca();
        if map && plane.as_ref().is_some_and(|p| p.axes.step == step) {
            path.store.freeze();
        }
        self.board.tell(arm, step, plane);
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
        Ok(PathDone { update: Some(update), alert, laid: true })
    }

    fn add(
        &mut self,
        path: &mut ArmPath,
        plan: &Arc<Plan>,
        step: u64,
        weights: Weights,
    ) -> Result<(), String> {
        let torch = |e: TorchError| format!("a snapshot was not kept: torch: {e}");
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

/// When snapshots of an arm are due that makes `steps` steps; none if no path is kept.
pub fn thinning(spec: &TrajectorySpec, steps: u64) -> Option<Thinning> {
    match (spec.keep, spec.every) {
        (0, _) => None,
        (keep, 0) => Some(Thinning::filling(keep, steps)),
        (keep, every) => Some(Thinning::new(every, keep)),
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
