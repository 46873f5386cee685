//! The thread `maps`: the loss around the arms' weights, coarse first and then finer, within a share of the machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::mailbox::Mailbox;
use super::message::{MapPass, Message};
use super::workers::guarded;
use crate::arm::{ArmId, ArmName};
use crate::config::MapSpec;
use crate::data::Split;
use crate::landscape::about::{About, word};
use crate::landscape::crew::Means;
use crate::landscape::direction::{DirectionSpec, by_parameter};
use crate::landscape::evaluate::{Evaluator, ReadyImages};
use crate::landscape::file::{SurfaceError, SurfaceFile, hdf5};
use crate::landscape::grid::{axis, passes};
use crate::landscape::images::{ImageSet, choose_images};
use crate::landscape::plane::{Plane, axes};
use crate::landscape::surface::Surface;
use crate::model::{Plan, Weights};
use crate::telemetry::event::SurfaceWritten;
use crate::telemetry::snapshot::MapProgress;
use crate::train::device::{TorchError, use_threads};

/// Longest nap between two points: a request or the end of the run is seen within it.
const LONGEST_NAP: Duration = Duration::from_millis(500);
/// Points of each arm between two looks at who else wants the cores: a quarter of a second of a small network.
const CHUNK: usize = 16;

/// All arms' weights at one step.
pub struct MapJob {
    /// Steps done.
    pub step: u64,
    /// When the weights were taken, seconds since the start.
    pub taken_s: f64,
    /// The arms.
    pub arms: Vec<(ArmId, ArmName, Arc<Plan>, Weights)>,
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
    /// Where passes go.
    pub out: SyncSender<Message>,
    /// The run's start.
    pub start: Instant,
}

/// One arm's map in the making.
struct ArmMap {
    arm: ArmId,
    name: ArmName,
    evaluator: Evaluator,
    cosine: f64,
    surface: Surface,
}

/// Why a job ended before its last pass.
enum Interrupted {
    Superseded,
    Failed(String),
}

impl ArmMap {
    /// Computes the point at (row, column).
    fn point(
        &mut self,
        (row, col): (usize, usize),
        cancelled: &AtomicBool,
    ) -> Result<(), Interrupted> {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Interrupted::Superseded);
        }
        let nx = self.surface.xs.len();
        let tally = self.evaluator.at(self.surface.xs[col], self.surface.ys[row])?;
        self.surface.loss[row * nx + col] = tally.mean_loss();
        self.surface.acc[row * nx + col] = tally.accuracy();
        Ok(())
    }
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
        let coordinates = axis(self.spec.grid, self.spec.range);
        let directions =
            DirectionSpec { seed: self.seed, norm: self.spec.norm, ignore: self.spec.ignore };
        let images = ImageSet::new(&self.train, &chosen, self.train.device())?;
        let mut maps = Vec::new();
        for (arm, name, plan, weights) in arms {
            let plane = Plane::random(plan, weights, directions, axes(false))?;
            let cosine = plane.cosine()?;
            let ready = ReadyImages::new(plane.plan(), images.share(), &Means::one_thread())?;
            let evaluator = Evaluator::new(plane, ready)?;
            let surface = Surface::new(coordinates.clone(), coordinates.clone());
            maps.push(ArmMap { arm, name, evaluator, cosine, surface });
        }
        let passes = passes(self.spec.grid);
        let total = self.spec.grid * self.spec.grid * maps.len();
        let mut progress = MapProgress { step, grid: 0, done: 0, total };
        for (index, pass) in passes.iter().enumerate() {
            let complete = index + 1 == passes.len();
            // The very first coarse map is not held back: it is small, and somebody waits for it.
            let paced = !(first && index == 0);
            progress.grid = pass.lines.len();
            for points in pass.points.chunks(CHUNK) {
                // What is coarse is shown whatever else waits; finer passes give way to newer weights, and the file
                // holds what was done.
                if index > 0 && jobs.has_waiting() {
                    return self.write_all(&maps, &passes[index - 1].lines, step, &chosen);
                }
                self.compute(&mut maps, points, paced, &mut progress)?;
            }
            for map in &maps {
                self.tell(Message::MapPass(Box::new(MapPass {
                    arm: map.arm,
                    step,
                    taken_s,
                    surface: map.surface.on_lines(&pass.lines),
                    images: chosen.len(),
                    cosine: map.cosine,
                    complete,
                })))?;
            }
        }
        let all: Vec<usize> = (0..self.spec.grid).collect();
        self.write_all(&maps, &all, step, &chosen)
    }

    /// Writes every arm's map on these rows and columns, all of whose points are computed.
    fn write_all(
        &self,
        maps: &[ArmMap],
        lines: &[usize],
        step: u64,
        chosen: &[i64],
    ) -> Result<(), Interrupted> {
        maps.iter().try_for_each(|map| self.write(map, &map.surface.on_lines(lines), step, chosen))
    }

    /// Some points of all arms: one after the other within the budget while the arms train, an arm to a core once
    /// they are done.
    fn compute(
        &self,
        maps: &mut [ArmMap],
        points: &[(usize, usize)],
        paced: bool,
        at: &mut MapProgress,
    ) -> Result<(), Interrupted> {
        if self.unhurried.load(Ordering::Relaxed) && self.cores >= maps.len() {
            let cancelled = &self.cancelled;
            let results: Vec<Result<(), Interrupted>> = thread::scope(|scope| {
                let threads: Vec<_> = maps
                    .iter_mut()
                    .map(|map| {
                        scope.spawn(|| {
                            use_threads(1);
                            points.iter().try_for_each(|point| map.point(*point, cancelled))
                        })
                    })
                    .collect();
                let failed = || Err(Interrupted::Failed("a map's thread panicked".to_owned()));
                threads.into_iter().map(|t| t.join().unwrap_or_else(|_| failed())).collect()
            });
            at.done += points.len() * maps.len();
            self.tell(Message::MapProgress(*at))?;
            return results.into_iter().collect();
        }
        for map in maps {
            for point in points {
                let begun = thread_seconds();
                map.point(*point, &self.cancelled)?;
                at.done += 1;
                self.tell(Message::MapProgress(*at))?;
                if paced && !self.unhurried.load(Ordering::Relaxed) {
                    thread::sleep(nap(thread_seconds() - begun, self.spec.budget, self.cores));
                }
            }
        }
        Ok(())
    }

    fn write(
        &self,
        map: &ArmMap,
        surface: &Surface,
        step: u64,
        chosen: &[i64],
    ) -> Result<(), Interrupted> {
        let file = format!("surfaces/{step:08}-{}.h5", map.name);
        let written = self
            .content(map, surface, step, chosen)
            .and_then(|content| hdf5::write(&content, &self.root.join(&file)));
        let failed = written.as_ref().err().map(|e| format!("the map was not written: {e}"));
        self.tell(Message::MapWritten(SurfaceWritten {
            arm: map.name.clone(),
            step,
            t: self.start.elapsed().as_secs_f64(),
            file: written.is_ok().then_some(file),
            stats: surface.stats(),
        }))?;
        failed.map_or(Ok(()), |text| Err(Interrupted::Failed(text)))
    }

    fn content(
        &self,
        map: &ArmMap,
        surface: &Surface,
        step: u64,
        chosen: &[i64],
    ) -> Result<SurfaceFile, SurfaceError> {
        let about = About {
            arm: map.name.to_string(),
            step,
            plane: "random".to_owned(),
            norm: word(&self.spec.norm),
            ignore: word(&self.spec.ignore),
            seed: self.seed,
            bn: "frozen".to_owned(),
            precision: "f32".to_owned(),
            cosine: map.cosine,
            ..About::default()
        };
        let plane = map.evaluator.plane();
        let directions = plane.directions().iter().map(|d| by_parameter(plane.plan(), d));
        let directions = directions.collect::<Result<_, _>>()?;
        let images = chosen.to_vec();
        Ok(SurfaceFile { about, images, directions, ..SurfaceFile::of(surface.clone()) })
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

/// How long to sleep after `worked` processor seconds so that the thread uses the share `budget` of `cores` cores.
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
