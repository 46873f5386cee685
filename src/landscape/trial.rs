//! Surfaces of made-up networks and images, to measure how fast and how exact points are, beside what the machine can do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tch::{Device, Kind, TchError, Tensor};

use super::crew::{Crew, Means};
use super::direction::{Axis, DirectionSpec};
use super::error::LandscapeError;
use super::evaluate::NormStatistics;
use super::images::ImageSet;
use super::plane::Plane;
use crate::config::{DirectionNorm, Family, IgnoreParams, Init, ModelSpec, Precision};
use crate::data::Batch;
use crate::model::{ConvPlan, Network, Plan, Shortcut, Stage, initial_weights, use_threads};

/// A network and images as `peer_surface.py` takes them.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Layers.
    pub depth: i64,
    /// Channels of the first stage.
    pub width: i64,
    /// Side of the images.
    pub size: i64,
    /// Channels of the images.
    pub channels: i64,
    /// Images.
    pub images: i64,
}

/// A surface to be measured.
pub struct Trial {
    plane: Plane,
    images: ImageSet,
    threads: usize,
}

/// Images at once, as in files.
const CHUNK: i64 = 128;
/// Side of the matrices that tell what the machine can do: large enough that nothing but arithmetic counts.
const MATRIX: i64 = 2048;
/// Points offered at once: more than any machine computes in a measurement.
const PLENTY: usize = 1_000_000;

impl Trial {
    /// Random images, and the initial weights of the network with statistics of those images.
    ///
    /// # Errors
    /// When torch fails.
    pub fn new(shape: Shape, threads: usize) -> Result<Self, TchError> {
        let Shape { depth, width, size, channels, images } = shape;
        let spec =
            ModelSpec { family: Family::Resnet, depth, width, widen: 1, init: Init::KaimingNormal };
        let plan = Arc::new(Plan::resnet(&spec, true, channels, 10));
        let batches = (0..images).step_by(CHUNK as usize).map(|start| {
            let count = CHUNK.min(images - start);
            let shape = [count, channels, size, size];
            let images = Tensor::f_randn(shape, (Kind::Float, Device::Cpu))?;
            let labels = Tensor::f_randint(10, [count], (Kind::Int64, Device::Cpu))?;
            Ok(Batch { images, labels })
        });
        let batches = batches.collect::<Result<Vec<_>, TchError>>()?;
        let mut net = Network::new(Arc::clone(&plan), &initial_weights(&plan, 0), Device::Cpu)?;
        {
            let _no_grad = tch::no_grad_guard();
            for batch in batches.iter().cycle().take(16) {
                let _ = net.forward(&batch.images, None)?;
            }
        }
        let spec =
            DirectionSpec { seed: 0, norm: DirectionNorm::Filter, ignore: IgnoreParams::Biasbn };
        let plane = Plane::random(plan, net.weights(Device::Cpu)?, spec, &[Axis::X, Axis::Y])?;
        Ok(Self { plane, images: ImageSet { batches, size: (size, size) }, threads })
    }

    fn crew(&self, precision: Precision, kernel: bool) -> Result<Crew, TchError> {
        let means = Means {
            devices: vec![Device::Cpu],
            threads: self.threads,
            statistics: NormStatistics::Frozen,
            precision,
            kernel,
        };
        Crew::of(&self.plane, &self.images, &means)
    }

    /// Points a second, over `time`, on all threads.
    ///
    /// # Errors
    /// When torch fails.
    pub fn rate(
        &self,
        precision: Precision,
        kernel: bool,
        time: Duration,
    ) -> Result<f64, LandscapeError> {
        let mut crew = self.crew(precision, kernel)?;
        let places: Vec<(f64, f64)> =
            (0..PLENTY).map(|i| (1e-3 * i as f64, -1e-3 * i as f64)).collect();
        let none = AtomicBool::new(false);
        // The first point pays for what is made once.
        crew.compute(&places[..1], &none, &mut |_, _| Ok(()))?;
        let stop = AtomicBool::new(false);
        let (start, mut last, mut done) = (Instant::now(), Duration::ZERO, 0usize);
        crew.compute(&places, &stop, &mut |_, _| {
            done += 1;
            last = start.elapsed();
            if last >= time {
                stop.store(true, Ordering::Relaxed);
            }
            Ok(())
        })?;
        Ok(done as f64 / last.as_secs_f64())
    }

    /// Largest relative difference of a point's loss from libtorch's in single precision, over `n` x `n` points of
    /// [-1, 1] x [-1, 1].
    ///
    /// # Errors
    /// When torch fails.
    pub fn difference(&self, precision: Precision, n: usize) -> Result<f64, LandscapeError> {
        let at = |i: usize| 2.0 * i as f64 / (n.max(2) - 1) as f64 - 1.0;
        let places: Vec<(f64, f64)> = (0..n * n).map(|i| (at(i % n), at(i / n))).collect();
        let losses = |mut crew: Crew| {
            let mut found = vec![f64::NAN; places.len()];
            crew.compute(&places, &AtomicBool::new(false), &mut |i, tally| {
                found[i] = tally.mean_loss();
                Ok(())
            })?;
            Ok::<_, LandscapeError>(found)
        };
        let exact = losses(self.crew(Precision::F32, false)?)?;
        let found = losses(self.crew(precision, true)?)?;
        Ok(largest_difference(&exact, &found))
    }

    /// Floating-point operations of one point: the convs' and the head's multiplications and additions.
    pub fn operations(&self) -> f64 {
        let images: i64 = self.images.batches.iter().map(|b| b.images.size()[0]).sum();
        operations(self.plane.plan(), self.images.size) * images as f64
    }
}

/// Largest relative difference of `found` from `exact`, where both are finite.
pub fn largest_difference(exact: &[f64], found: &[f64]) -> f64 {
    let pairs = exact.iter().zip(found).filter(|(a, b)| a.is_finite() && b.is_finite());
    pairs.map(|(a, b)| ((b - a) / a).abs()).fold(0.0, f64::max)
}

/// Floating-point operations of one image's forward pass.
pub fn operations(plan: &Plan, (height, width): (i64, i64)) -> f64 {
    let half = |(h, w): (i64, i64), stride: i64| ((h - 1) / stride + 1, (w - 1) / stride + 1);
    let mut at = (height, width);
    let (mut products, mut linears) = (0, plan.params[plan.head.weight].len());
    let mut conv = |conv: ConvPlan, (h, w): (i64, i64)| {
        let to = half((h, w), conv.stride);
        products += plan.params[conv.weight].len() * to.0 * to.1;
        to
    };
    for stage in &plan.stages {
        at = match stage {
            Stage::Conv(c) => conv(*c, at),
            Stage::Block(block) => {
                if let Shortcut::Projection(c) = block.shortcut {
                    conv(c, at);
                }
                let inner = conv(block.conv1, at);
                conv(block.conv2, inner)
            }
            Stage::MaxPool => (at.0 / 2, at.1 / 2),
            Stage::Mean | Stage::Flatten => (1, 1),
            Stage::Linear(linear) => {
                linears += plan.params[linear.weight].len();
                at
            }
        };
    }
    2.0 * (products + linears) as f64
}

/// Operations a second of a large matrix product on `threads` threads: what the machine can do.
///
/// # Errors
/// When torch fails.
pub fn matrix_rate(threads: usize) -> Result<f64, TchError> {
    let _no_grad = tch::no_grad_guard();
    use_threads(threads);
    let a = Tensor::f_randn([MATRIX, MATRIX], (Kind::Float, Device::Cpu))?;
    let _ = a.f_matmul(&a)?;
    let (start, mut products) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(1) {
        let _ = a.f_matmul(&a)?;
        products += 1;
    }
    let each = 2.0 * (MATRIX as f64).powi(3);
    let rate = each * f64::from(products) / start.elapsed().as_secs_f64();
    use_threads(1);
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_by_hand() {
        // design.md: ResNet-56 of width 8 at 16x16 needs 15.7 MFLOP an image.
        let shape = Shape { depth: 56, width: 8, size: 16, channels: 1, images: 2 };
        let trial = Trial::new(shape, 1).unwrap();
        assert!((trial.operations() / 2.0 / 15.7e6 - 1.0).abs() < 0.01, "{}", trial.operations());
    }

    #[test]
    fn points_agree_with_libtorch() {
        let shape = Shape { depth: 8, width: 4, size: 12, channels: 3, images: 70 };
        let trial = Trial::new(shape, 2).unwrap();
        assert!(trial.rate(Precision::F32, true, Duration::from_millis(20)).unwrap() > 0.0);
        let exact = trial.difference(Precision::F32, 5).unwrap();
        assert!(exact < 1e-4, "{exact}");
        let coarse = trial.difference(Precision::Bf16, 5).unwrap();
        assert!(coarse < 0.1 && coarse > exact, "{coarse}");
    }
}
