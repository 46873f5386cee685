//! Points computed by all cores, or by several GPUs.
//!
//! On the CPU a point's images are shared between the threads, a point after the other, so that whenever the program is
//! killed one point is in the making; GPUs take a whole point each.

use std::sync::atomic::AtomicBool;

use tch::{Device, TchError};

use super::error::LandscapeError;
use super::evaluate::{Evaluator, NormStatistics, ReadyImages};
use super::images::ImageSet;
use super::plane::Plane;
use super::pool;
use crate::config::Precision;
use crate::data::Split;
use crate::model::Tally;

/// Shares of a point for every thread: a thread that is held up leaves the others little to wait for.
const SHARES: usize = 4;

/// Who computes, and with what.
#[derive(Clone, Debug)]
pub struct Means {
    /// Where to compute: one CPU, or GPUs.
    pub devices: Vec<Device>,
    /// Threads where it is the CPU.
    pub threads: usize,
    /// Statistics of batch norms.
    pub statistics: NormStatistics,
    /// Arithmetic.
    pub precision: Precision,
    /// Whether our own kernel may be used where it can; libtorch else.
    pub kernel: bool,
}

impl Means {
    /// One thread of the CPU, single precision, frozen statistics.
    pub fn one_thread() -> Self {
        Self {
            devices: vec![Device::Cpu],
            threads: 1,
            statistics: NormStatistics::Frozen,
            precision: Precision::F32,
            kernel: true,
        }
    }
}

/// The workers on one device.
fn workers_on(
    device: Device,
    plane: &Plane,
    images: &ImageSet,
    means: &Means,
) -> Result<Vec<Evaluator>, TchError> {
    let plane = plane.on(device)?;
    let ready = ReadyImages::new(plane.plan(), images.share(), means)?;
    let count = if device == Device::Cpu { means.threads.max(1) } else { 1 };
    (0..count).map(|_| Evaluator::new(plane.on(device)?, ready.share())).collect()
}

/// Threads that evaluate points of one plane.
pub struct Crew {
    workers: Vec<Evaluator>,
    /// Parts that a point's images are measured in.
    parts: usize,
    /// Tasks that a point is cut into.
    shares: usize,
}

impl Crew {
    /// A crew for `plane` on the images `chosen` of `split`.
    ///
    /// # Errors
    /// When a device has no room.
    pub fn new(
        plane: &Plane,
        split: &Split,
        chosen: &[i64],
        means: &Means,
    ) -> Result<Self, TchError> {
        let mut workers = Vec::new();
        for device in &means.devices {
            let images = match means.statistics {
                NormStatistics::Frozen => ImageSet::new(split, chosen, *device)?,
                NormStatistics::Batch => ImageSet::for_statistics(split, chosen, *device)?,
            };
            workers.extend(workers_on(*device, plane, &images, means)?);
        }
        Ok(Self::from_workers(workers, means))
    }

    /// As [`Crew::new`], on images that are on the CPU already.
    ///
    /// # Errors
    /// When there is no room.
    pub fn of(plane: &Plane, images: &ImageSet, means: &Means) -> Result<Self, TchError> {
        Ok(Self::from_workers(workers_on(Device::Cpu, plane, images, means)?, means))
    }

    fn from_workers(workers: Vec<Evaluator>, means: &Means) -> Self {
        let parts = workers.first().map_or(0, Evaluator::parts);
        let on_cpu = means.devices == [Device::Cpu];
        let shares = if on_cpu { (SHARES * workers.len()).min(parts).max(1) } else { 1 };
        Self { workers, parts, shares }
    }

    /// Evaluates the points at `places`, in their order as nearly as several workers can, and hands each to `done`
    /// with its index. Once `stop` is set no new one is begun.
    ///
    /// # Errors
    /// The first error of a device or of `done`.
    pub fn compute(
        &mut self,
        places: &[(f64, f64)],
        stop: &AtomicBool,
        done: &mut dyn FnMut(usize, Tally) -> Result<(), LandscapeError>,
    ) -> Result<(), LandscapeError> {
        let (parts, shares) = (self.parts, self.shares);
        let mut points = Points::new(places.len(), shares);
        let share_of = |worker: &mut Evaluator, task: usize| {
            let share = task % shares;
            let from = share * parts / shares..(share + 1) * parts / shares;
            Ok(measure(worker, places[task / shares], from)?)
        };
        let take = |task, tallies| match points.take(task, tallies) {
            Some((point, tally)) => done(point, tally),
            None => Ok(()),
        };
        // On the CPU a point after the other; GPUs take whole points.
        let group = (shares > 1).then_some(shares);
        let tasks = (places.len() * shares, group);
        pool::run(&mut self.workers, "surface", tasks, stop, share_of, take)
    }
}

fn measure(
    worker: &mut Evaluator,
    (a, b): (f64, f64),
    parts: std::ops::Range<usize>,
) -> Result<Vec<Tally>, TchError> {
    worker.move_to(a, b)?;
    parts.map(|index| worker.part(index)).collect()
}

/// Shares of points as they come in.
struct Points {
    shares: usize,
    waiting: Vec<Vec<Option<Vec<Tally>>>>,
}

impl Points {
    fn new(points: usize, shares: usize) -> Self {
        Self { shares, waiting: vec![Vec::new(); points] }
    }

    /// Takes a task's tallies; a point whose last share it is, summed in the order of its images.
    fn take(&mut self, task: usize, tallies: Vec<Tally>) -> Option<(usize, Tally)> {
        let (point, share) = (task / self.shares, task % self.shares);
        let waiting = self.waiting.get_mut(point)?;
        waiting.resize(self.shares, None);
        waiting[share] = Some(tallies);
        if waiting.iter().any(Option::is_none) {
            return None;
        }
        let mut sum = Tally::default();
        std::mem::take(waiting).into_iter().flatten().flatten().for_each(|t| sum.join(t));
        Some((point, sum))
    }
}

#[cfg(test)]
mod tests {
    use super::super::direction::{Axis, DirectionSpec};
    use super::super::fixture::{digits, plan};
    use super::*;
    use crate::config::{DirectionNorm, IgnoreParams};
    use crate::data::Dataset;
    use crate::model::{Weights, initial_weights};

    fn setting() -> (Plane, Dataset) {
        let plan = plan(3);
        let theta = plan.pack(&initial_weights(&plan, 4), Device::Cpu).unwrap();
        let running = plan.fresh_statistics(Device::Cpu).unwrap();
        let spec =
            DirectionSpec { seed: 1, norm: DirectionNorm::Filter, ignore: IgnoreParams::Biasbn };
        let weights = Weights { theta, running, batches: 0 };
        let plane = Plane::random(plan, weights, spec, &[Axis::X, Axis::Y]).unwrap();
        (plane, digits(300))
    }

    fn crew(devices: &[Device], threads: usize) -> Crew {
        let (plane, data) = setting();
        let chosen: Vec<i64> = (0..300).collect();
        let means = Means {
            devices: devices.to_vec(),
            threads,
            statistics: NormStatistics::Frozen,
            precision: Precision::F32,
            kernel: true,
        };
        Crew::new(&plane, &data.train, &chosen, &means).unwrap()
    }

    fn places() -> Vec<(f64, f64)> {
        (0..7).map(|i| (f64::from(i) * 0.1, f64::from(i % 3) * -0.2)).collect()
    }

    fn all(mut crew: Crew) -> Vec<(usize, Tally)> {
        let mut found = Vec::new();
        let stop = AtomicBool::new(false);
        crew.compute(&places(), &stop, &mut |index, tally| {
            found.push((index, tally));
            Ok(())
        })
        .unwrap();
        found.sort_by_key(|(index, _)| *index);
        found
    }

    #[test]
    fn every_point_has_the_same_bits_whoever_computes_it() {
        let alone = all(crew(&[Device::Cpu], 1));
        assert_eq!(alone.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
        assert!(alone.iter().all(|(_, t)| t.images == 300.0 && t.loss.is_finite()));
        for threads in [2, 3, 9] {
            assert_eq!(all(crew(&[Device::Cpu], threads)), alone);
        }
        // Two devices share the grid, a whole point to each.
        assert_eq!(all(crew(&[Device::Cpu, Device::Cpu], 1)), alone);
    }

    #[test]
    fn a_set_stop_begins_nothing_and_an_error_ends_it() {
        let stop = AtomicBool::new(true);
        let mut none = |_: usize, _: Tally| panic!("no point is due");
        crew(&[Device::Cpu], 2).compute(&places(), &stop, &mut none).unwrap();
        let mut count = 0;
        let failed =
            crew(&[Device::Cpu], 2).compute(&places(), &AtomicBool::new(false), &mut |_, _| {
                count += 1;
                Err(LandscapeError::input(std::path::Path::new("f"), "full"))
            });
        assert_eq!(failed.unwrap_err().to_string(), "f: full");
        assert!(count < 7, "{count}");
    }
}
