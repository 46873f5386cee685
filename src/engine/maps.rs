//! The thread `maps`: the loss around the arms' weights, coarse first and then finer, within a share of the machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::arm_map::ArmMap;
use super::mailbox::Mailbox;
use super::message::{MapPass, Message};
use super::old_maps;
use super::planes::PlaneBoard;
use super::workers::guarded;
use crate::arm::{ArmId, ArmName};
use crate::config::MapSpec;
use crate::data::Split;
use crate::landscape::images::{ImageSet, choose_images};
use crate::model::{Plan, Weights};
use crate::telemetry::event::{Event, SurfaceWritten};
use crate::telemetry::snapshot::MapProgress;
use crate::train::device::{Device, TorchError, use_threads};

/// A nap is slept in slices as long: the end of the run is seen within one.
const SLICE: Duration = Duration::from_millis(500);
/// Longest nap between two points, whatever the clocks say.
const LONGEST_NAP: Duration = Duration::from_secs(600);
/// Points of each arm between two looks at who else wants the cores: a quarter of a second of a small network.
const CHUNK: usize = 16;

/// All arms' weights at one step.
pub struct MapJob {
    /// Steps done.
    pub step: u64,
    /// When the weights were taken, seconds since the start.
    pub taken_s: f64,
    /// The arms.
    pub arms: Vec<MapArm>,
}

/// One arm of a job.
pub struct MapArm {
    /// Which.
    pub id: ArmId,
    /// Steps that it has made.
    pub made: u64,
    /// Its name.
    pub name: ArmName,
    /// Its network.
    pub plan: Arc<Plan>,
    /// Its weights.
    pub weights: Weights,
}

impl MapArm {
    /// With weights of its own.
    fn copy(&self) -> Result<Self, TorchError> {
        let (name, plan) = (self.name.clone(), Arc::clone(&self.plan));
        Ok(Self { id: self.id, made: self.made, name, plan, weights: self.weights.copy()? })
    }
}

/// What maps are made with.
pub struct Mapper {
    /// Grid, range, images, scaling, budget.
    pub spec: MapSpec,
    /// The run's seed: the same directions for all its maps.
    pub seed: u64,
    /// Training images, on the arms' device.
    pub train: Split,
    /// The run folder.
    pub root: PathBuf,
    /// Cores of the machine.
    pub cores: usize,
    /// Set once the steps are made: nothing is left to be slowed.
    pub unhurried: Arc<AtomicBool>,
    /// Set when nobody wants maps any more.
    pub cancelled: Arc<AtomicBool>,
    /// Where the planes of paths are told; none if no path is kept.
    pub board: Option<Arc<PlaneBoard>>,
    /// Where passes go.
    pub out: SyncSender<Message>,
    /// The run's start.
    pub start: Instant,
}

/// Why a job ended before its last pass.
pub enum Interrupted {
    /// Newer weights wait, or nobody wants maps any more.
    Superseded,
    /// One line that says how.
    Failed(String),
}

impl From<TorchError> for Interrupted {
    fn from(e: TorchError) -> Self {
        Self::Failed(format!("the map could not be computed: {e}"))
    }
}

impl Mapper {
    /// Computes jobs until the mailbox is closed.
    pub fn run(&self, jobs: &Mailbox<MapJob>) {
        use_threads(1);
        let mut first = true;
        while let Some(job) = jobs.take() {
            let first = std::mem::take(&mut first);
            let result = guarded(|| match self.map(job, jobs, first) {
                Ok(()) | Err(Interrupted::Superseded) => Ok(()),
                Err(Interrupted::Failed(text)) => Err(text),
            });
            if self.out.send(Message::MapDone(result)).is_err() {
                return;
            }
        }
    }

    fn map(&self, job: MapJob, jobs: &Mailbox<MapJob>, first: bool) -> Result<(), Interrupted> {
        let MapJob { step, taken_s, arms } = job;
        let chosen = choose_images(self.train.len(), self.spec.images);
        let images = ImageSet::new(&self.train, &chosen, self.train.device())?;
        let mut maps = self.begin(arms, &images)?;
        let total = self.spec.grid * self.spec.grid * maps.len();
        let mut progress = MapProgress { step, grid: 0, done: 0, total };
        // The very first coarse map is not held back: it is small, and somebody waits for it.
        let mut paced = !first;
        while maps.iter().any(|map| !map.is_complete()) {
            let shown = maps.iter().any(ArmMap::is_shown);
            progress.grid = maps.iter().map(ArmMap::side).max().unwrap_or(0);
            let pass: Vec<usize> = maps.iter().map(ArmMap::left).collect();
            let longest = pass.iter().copied().max().unwrap_or(0);
            for done in (0..longest).step_by(CHUNK) {
                // What is coarse is shown whatever else waits; finer passes give way to newer weights, and the file
                // holds what was done.
                if shown && jobs.has_waiting() {
                    return self.write_all(&maps, &chosen);
                }
                let parts: Vec<usize> =
                    pass.iter().map(|left| CHUNK.min(left.saturating_sub(done))).collect();
                self.compute(&mut maps, &parts, paced, &mut progress)?;
            }
            for map in maps.iter().zip(&pass).filter(|(map, n)| **n > 0 && map.is_shown()) {
                let (map, _) = map;
                self.tell(Message::MapPass(Box::new(MapPass {
                    of_path: map.path.is_some(),
                    arm: map.arm,
                    step: map.step,
                    taken_s,
                    surface: map.surface(),
                    images: chosen.len(),
                    cosine: map.cosine,
                    complete: map.is_complete(),
                })))?;
                paced = true;
            }
        }
        self.write_all(&maps, &chosen)
    }

    /// The maps that are wanted of these weights, nothing of them known: along random directions, and in the planes of
    /// the arms' paths where they span one.
    fn begin(&self, arms: Vec<MapArm>, images: &ImageSet) -> Result<Vec<ArmMap>, TorchError> {
        // Planes first, while they are remembered: random directions of a large network take a while.
        let board = self.board.as_ref().filter(|_| self.spec.plane.is_pca());
        let laid: Vec<_> =
            arms.iter().map(|arm| board.and_then(|b| b.for_map(arm.id, arm.made))).collect();
        let mut maps = Vec::new();
        for arm in arms.iter().filter(|_| self.spec.plane.is_random()) {
            maps.push(ArmMap::random(arm.copy()?, &self.spec, self.seed, images)?);
        }
        for (arm, laid) in arms.into_iter().zip(laid) {
            if let Some(laid) = laid {
                maps.push(ArmMap::of_path(arm, laid, &self.spec, images)?);
            }
        }
        Ok(maps)
    }

    /// Writes every arm's map as far as it is known.
    fn write_all(&self, maps: &[ArmMap], chosen: &[i64]) -> Result<(), Interrupted> {
        // One that fails costs no other.
        let written = maps.iter().map(|map| self.write(map, chosen));
        written.fold(Ok(()), Result::and)
    }

    /// So many points of each arm: one after the other within the budget while the arms train, an arm to a core once
    /// they are done.
    fn compute(
        &self,
        maps: &mut [ArmMap],
        parts: &[usize],
        paced: bool,
        at: &mut MapProgress,
    ) -> Result<(), Interrupted> {
        let cancelled = &self.cancelled;
        if self.unhurried.load(Ordering::Relaxed) {
            let mut results: Vec<Result<(), Interrupted>> = Vec::new();
            let cores = self.cores.max(1);
            for (maps, parts) in maps.chunks_mut(cores).zip(parts.chunks(cores)) {
                results.extend(thread::scope(|scope| {
                    let point = |(map, part): (&mut ArmMap, &usize)| {
                        use_threads(1);
                        (0..*part).try_for_each(|_| map.point(cancelled))
                    };
                    let pairs = maps.iter_mut().zip(parts);
                    let threads: Vec<_> =
                        pairs.map(|pair| scope.spawn(move || point(pair))).collect();
                    let failed = || Err(Interrupted::Failed("a map's thread panicked".to_owned()));
                    let ended = threads.into_iter().map(|t| t.join().unwrap_or_else(|_| failed()));
                    ended.collect::<Vec<_>>()
                }));
            }
            at.done = maps.iter().map(ArmMap::known).sum();
            self.tell(Message::MapProgress(*at))?;
            return results.into_iter().collect();
        }
        for index in 0..maps.len() {
            for _ in 0..parts[index] {
                let (begun, at_work) = (Instant::now(), thread_seconds());
                maps[index].point(cancelled)?;
                // A GPU is shared by its time, of which this thread's processor knows nothing.
                let (worked, shared) = match self.train.device() {
                    Device::Cpu => (thread_seconds() - at_work, self.cores),
                    _ => (begun.elapsed().as_secs_f64(), 1),
                };
                at.done = maps.iter().map(ArmMap::known).sum();
                self.tell(Message::MapProgress(*at))?;
                if paced {
                    self.rest(nap(worked, self.spec.budget, shared));
                }
            }
        }
        Ok(())
    }

    /// Sleeps so long, unless nobody trains or wants maps any more.
    fn rest(&self, mut left: Duration) {
        while !left.is_zero()
            && !self.unhurried.load(Ordering::Relaxed)
            && !self.cancelled.load(Ordering::Relaxed)
        {
            let slice = left.min(SLICE);
            thread::sleep(slice);
            left -= slice;
        }
    }

    fn write(&self, map: &ArmMap, chosen: &[i64]) -> Result<(), Interrupted> {
        let step = map.step;
        let pca = if map.path.is_some() { "-pca" } else { "" };
        let file = format!("surfaces/{step:08}-{}{pca}.h5", map.name);
        let content = map.file(step, self.seed, &self.spec, chosen);
        let stats = map.surface().stats();
        let written = content.and_then(|content| content.write(&self.root.join(&file)));
        let mut failed = written.as_ref().err().map(|e| format!("the map was not written: {e}"));
        if failed.is_none() {
            let ending = format!("-{}{pca}.h5", map.name);
            let thinned = old_maps::thin(&self.root.join("surfaces"), &ending, &self.spec, step);
            failed = thinned.err().map(|e| format!("older maps were not removed: {e}"));
        }
        self.tell(Message::MapWritten(SurfaceWritten {
            arm: map.name.clone(),
            step,
            t: self.start.elapsed().as_secs_f64(),
            file: written.is_ok().then_some(file),
            plane: map.plane().to_owned(),
            stats,
        }))?;
        if let Some(sample) = map.path_sample(self.start.elapsed().as_secs_f64()) {
            self.tell(Message::Event(Event::Trajectory(sample)))?;
        }
        failed.map_or(Ok(()), |text| Err(Interrupted::Failed(text)))
    }

    fn tell(&self, message: Message) -> Result<(), Interrupted> {
        self.out.send(message).map_err(|_| Interrupted::Superseded)
    }
}

/// Processor seconds that this thread has used: unlike the clock, they do not count waiting for a core.
fn thread_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

/// How long to sleep after `worked` seconds so that the thread uses the share `budget` of `cores` cores, or of one GPU.
fn nap(worked: f64, budget: f64, cores: usize) -> Duration {
    let duty = (budget * cores as f64).min(1.0);
    Duration::from_secs_f64((worked * (1.0 / duty - 1.0)).clamp(0.0, LONGEST_NAP.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naps_keep_to_the_budget() {
        // A quarter of two cores is half of one: as long asleep as at work.
        assert_eq!(nap(0.02, 0.25, 2), Duration::from_millis(20));
        assert_eq!(nap(0.02, 0.25, 16), Duration::ZERO);
        assert_eq!(nap(1e9, 0.01, 1), LONGEST_NAP);
    }
}
