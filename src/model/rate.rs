//! How many points of a loss surface a second this machine evaluates, by our kernel or by libtorch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::Rng;
use tch::{Device, TchError, Tensor};

use super::draw::named_rng;
use super::fold::{Folded, Tally};
use super::kernel::{Kernel, Precision, Prepared};
use super::{Plan, initial_weights};

/// What evaluates the points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evaluator {
    /// [`Kernel`].
    Kernel(Precision),
    /// [`Folded`], on one thread of libtorch for each of ours.
    Libtorch,
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct RateSpec {
    /// The network.
    pub plan: Arc<Plan>,
    /// Images' height and width.
    pub side: i64,
    /// Images of a point.
    pub images: i64,
    /// Points at the same time.
    pub threads: usize,
    /// For how long; every thread finishes the point it is at.
    pub time: Duration,
}

/// Points evaluated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Points of a second, all threads together.
    pub points_per_s: f64,
    /// Microseconds of an image, all threads together.
    pub us_per_image: f64,
}

/// Images and labels at random, and a plane through random weights.
struct Setting {
    pixels: Vec<f32>,
    labels: Vec<i64>,
    center: Vec<f32>,
    directions: [Vec<f32>; 2],
}

impl Setting {
    fn draw(spec: &RateSpec) -> Self {
        let mut rng = named_rng(0, "rate", "setting");
        let mut draw =
            |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
        let pixels = spec.images * spec.plan.channels * spec.side * spec.side;
        let center = initial_weights(&spec.plan, 0);
        Self {
            pixels: draw(usize::try_from(pixels).unwrap_or(0)),
            labels: (0..spec.images).map(|i| i % spec.plan.classes).collect(),
            directions: [draw(center.len()), draw(center.len())],
            center,
        }
    }

    /// The weights of point number `index`, as the reference code's points: rebuilt every time.
    fn point(&self, index: u64, into: &mut Vec<f32>) {
        let step = 1e-5 * index as f32;
        let [dx, dy] = &self.directions;
        let moved = self.center.iter().zip(dx).zip(dy).map(|((w, x), y)| w + step * x - step * y);
        into.clear();
        into.extend(moved);
    }
}

/// Measures; none if `evaluator` is a kernel that this processor or this network does not have.
///
/// # Errors
/// When libtorch fails.
pub fn measure_rate(spec: &RateSpec, evaluator: Evaluator) -> Result<Option<Rate>, TchError> {
    let setting = Setting::draw(spec);
    match evaluator {
        Evaluator::Kernel(precision) => {
            let Some(kernel) = Kernel::new(&spec.plan, spec.side, spec.side, precision) else {
                return Ok(None);
            };
            let Some(blocks) = kernel.pack(&setting.pixels, &setting.labels) else {
                return Ok(None);
            };
            run(spec, &setting, || {
                let (mut prepared, mut scratch) = (Prepared::default(), kernel.scratch());
                let blocks = &blocks;
                let kernel = &kernel;
                Ok(move |point: &[f32]| {
                    kernel.prepare(point, &mut prepared);
                    let mut sum = Tally::default();
                    blocks.iter().for_each(|b| sum += kernel.tally(&prepared, b, &mut scratch));
                    Ok(sum.mean_loss())
                })
            })
        }
        Evaluator::Libtorch => run(spec, &setting, || {
            tch::set_num_threads(1);
            let mut net = Folded::new(Arc::clone(&spec.plan), Device::Cpu)?;
            let shape = [spec.images, spec.plan.channels, spec.side, spec.side];
            let images = Tensor::f_from_slice(&setting.pixels)?.f_view(shape)?;
            let labels = Tensor::f_from_slice(&setting.labels)?;
            Ok(move |point: &[f32]| {
                let _no_grad = tch::no_grad_guard();
                net.set(&Tensor::f_from_slice(point)?)?;
                let mut sum = Tally::default();
                for start in (0..spec.images).step_by(LIBTORCH_BATCH) {
                    let length = spec.images.saturating_sub(start).min(LIBTORCH_BATCH as i64);
                    let logits = net.forward(&images.f_narrow(0, start, length)?)?;
                    sum.add(&logits, &labels.f_narrow(0, start, length)?)?;
                }
                Ok(sum.mean_loss())
            })
        }),
    }
}

/// libtorch's images at once: past it, a core's cache no longer holds what a layer hands to the next.
const LIBTORCH_BATCH: usize = 128;

/// Evaluates points on all threads by what `make` makes on each, until the time is up.
fn run<F>(
    spec: &RateSpec,
    setting: &Setting,
    make: impl Fn() -> Result<F, TchError> + Sync,
) -> Result<Option<Rate>, TchError>
where
    F: FnMut(&[f32]) -> Result<f64, TchError>,
{
    let next = AtomicU64::new(0);
    // What each thread did after its first point, which warms it up.
    let work = || -> Result<f64, TchError> {
        let mut evaluate = make()?;
        let mut point = Vec::new();
        setting.point(0, &mut point);
        evaluate(&point)?;
        let (start, mut done) = (Instant::now(), 0.0);
        while start.elapsed() < spec.time {
            setting.point(next.fetch_add(1, Ordering::Relaxed), &mut point);
            std::hint::black_box(evaluate(&point)?);
            done += 1.0;
        }
        Ok(done / start.elapsed().as_secs_f64())
    };
    let rates: Vec<Result<f64, TchError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..spec.threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|t| t.join().ok()).collect()
    });
    let points_per_s = rates.into_iter().sum::<Result<f64, TchError>>()?;
    Ok(Some(Rate { points_per_s, us_per_image: 1e6 / (points_per_s * spec.images as f64) }))
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::spec;
    use super::*;

    fn rates(depth: i64, width: i64, [images, channels, side]: [i64; 3], time: Duration) -> bool {
        let plan = Arc::new(Plan::resnet(&spec(depth, width), true, channels, 10));
        let spec = RateSpec { plan, side, images, threads: 2, time };
        let kernels = [Precision::F32, Precision::Bf16].map(Evaluator::Kernel);
        kernels.into_iter().chain([Evaluator::Libtorch]).all(|evaluator| {
            let rate = measure_rate(&spec, evaluator).unwrap();
            println!("{depth} {width} {side} {evaluator:?}: {rate:?}");
            rate.is_none_or(|r| r.points_per_s > 0.0 && r.us_per_image.is_finite())
        })
    }

    #[test]
    fn every_evaluator_gives_a_rate() {
        assert!(rates(8, 4, [20, 3, 8], Duration::from_millis(20)));
    }

    /// What README.md tells; prints, for people.
    #[test]
    #[ignore = "a measurement"]
    fn rates_of_the_two_networks() {
        assert!(rates(56, 8, [512, 1, 16], Duration::from_secs(6)));
        assert!(rates(20, 16, [512, 3, 32], Duration::from_secs(6)));
    }
}
