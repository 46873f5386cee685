//! Loss and accuracy at the points of a plane: eval mode, no gradient, mean cross-entropy over images (method.md 7).
//!
//! A point's images are measured in parts, always the same ones and summed in the same order: the result has the same
//! bits whoever computes which part.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, TchError};

use super::crew::Means;
use super::images::ImageSet;
use super::plane::Plane;
use crate::config::Precision;
use crate::model::{Block, Kernel, Prepared, Scratch};
use crate::model::{Folded, Plan, Tally, Weights, forward_with_batch_statistics};

/// Which statistics batch norms take while weights move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormStatistics {
    /// The checkpoint's running ones, as in the reference code.
    #[default]
    Frozen,
    /// Those of the images at hand.
    Batch,
}

/// Images made ready for one network, to be shared between threads.
pub struct ReadyImages {
    images: ImageSet,
    /// On the CPU, where the processor and the network allow it.
    packed: Option<(Arc<Kernel>, Arc<Vec<Block>>)>,
    statistics: NormStatistics,
    precision: Precision,
}

/// One thread's means to evaluate points of a plane.
pub struct Evaluator {
    plane: Plane,
    /// Where the weights are.
    at: Option<(f64, f64)>,
    images: ImageSet,
    forward: Forward,
}

/// How logits are made.
enum Forward {
    /// Batch norms folded, by our own kernel.
    Kernel(Box<Packed>),
    /// Batch norms folded, by libtorch.
    Folded(Folded),
    /// Batch norms by the batch, by libtorch; the weights of the point.
    Batch(Option<Weights>),
}

/// What the kernel works with.
struct Packed {
    kernel: Arc<Kernel>,
    blocks: Arc<Vec<Block>>,
    weights: Prepared,
    /// Whether `weights` are those of a point.
    ready: bool,
    scratch: Scratch,
}

impl ReadyImages {
    /// `images` made ready for the networks of `plan`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn new(plan: &Plan, images: ImageSet, means: &Means) -> Result<Self, TchError> {
        let Means { statistics, precision, kernel, .. } = *means;
        let frozen = statistics == NormStatistics::Frozen;
        let (height, width) = images.size;
        let mut packed = None;
        if frozen
            && kernel
            && images.device() == Device::Cpu
            && let Some(kernel) = Kernel::new(plan, height, width, precision)
        {
            let (pixels, labels) = images.flat()?;
            packed = kernel.pack(&pixels, &labels).map(|b| (Arc::new(kernel), Arc::new(b)));
        }
        let images = match packed {
            None if frozen => images.of_kind(kind(precision))?,
            _ => images,
        };
        Ok(Self { images, packed, statistics, precision })
    }

    /// The same in the same memory, for another thread.
    pub fn share(&self) -> Self {
        Self {
            images: self.images.share(),
            packed: self.packed.clone(),
            statistics: self.statistics,
            precision: self.precision,
        }
    }
}

fn kind(precision: Precision) -> Kind {
    match precision {
        Precision::F32 => Kind::Float,
        Precision::Bf16 => Kind::BFloat16,
    }
}

impl Evaluator {
    /// An evaluator of `plane` on images that were made ready for its network, on the same device.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn new(plane: Plane, ready: ReadyImages) -> Result<Self, TchError> {
        let ReadyImages { images, packed, statistics, precision } = ready;
        let forward = match (packed, statistics) {
            (Some((kernel, blocks)), _) => {
                let scratch = kernel.scratch();
                let weights = Prepared::default();
                Forward::Kernel(Box::new(Packed { kernel, blocks, weights, ready: false, scratch }))
            }
            (None, NormStatistics::Frozen) => {
                let plan = Arc::clone(plane.plan());
                Forward::Folded(Folded::of_kind(plan, kind(precision), images.device())?)
            }
            (None, NormStatistics::Batch) => Forward::Batch(None),
        };
        Ok(Self { plane, at: None, images, forward })
    }

    /// Parts that a point's images are measured in.
    pub fn parts(&self) -> usize {
        match &self.forward {
            Forward::Kernel(packed) => packed.blocks.len(),
            Forward::Folded(_) | Forward::Batch(_) => self.images.batches.len(),
        }
    }

    /// The plane.
    pub fn plane(&self) -> &Plane {
        &self.plane
    }

    /// Moves the weights to (a, b).
    ///
    /// # Errors
    /// When the device fails.
    pub fn move_to(&mut self, a: f64, b: f64) -> Result<(), TchError> {
        if self.at == Some((a, b)) {
            return Ok(());
        }
        self.at = None;
        self.set(a, b)?;
        self.at = Some((a, b));
        Ok(())
    }

    fn set(&mut self, a: f64, b: f64) -> Result<(), TchError> {
        let _no_grad = tch::no_grad_guard();
        match &mut self.forward {
            Forward::Kernel(packed) => {
                let folded: Vec<f32> = self.plane.folded_at(a, b)?.try_into()?;
                packed.ready = packed.kernel.prepare(&folded, &mut packed.weights);
                Ok(())
            }
            Forward::Folded(net) => net.set(&self.plane.folded_at(a, b)?),
            Forward::Batch(weights) => {
                *weights = Some(self.plane.weights_at(a, b)?);
                Ok(())
            }
        }
    }

    /// Loss and accuracy of one part of the images where the weights are; nothing before [`Evaluator::move_to`].
    ///
    /// # Errors
    /// When the device fails.
    pub fn part(&mut self, index: usize) -> Result<Tally, TchError> {
        let mut tally = Tally::default();
        if let Forward::Kernel(packed) = &mut self.forward {
            let Packed { kernel, blocks, weights, ready, scratch } = &mut **packed;
            return Ok(match blocks.get(index).filter(|_| *ready) {
                Some(block) => kernel.tally(weights, block, scratch),
                None => tally,
            });
        }
        let _no_grad = tch::no_grad_guard();
        let Some(batch) = self.images.batches.get(index) else { return Ok(tally) };
        let logits = match &self.forward {
            Forward::Folded(net) => net.forward(&batch.images)?,
            Forward::Batch(None) | Forward::Kernel(_) => return Ok(tally),
            Forward::Batch(Some(weights)) => {
                forward_with_batch_statistics(self.plane.plan(), weights, &batch.images)?
            }
        };
        tally.add(&logits, &batch.labels)?;
        Ok(tally)
    }

    /// Loss and accuracy at (a, b) over all images.
    ///
    /// # Errors
    /// When the device fails.
    pub fn at(&mut self, a: f64, b: f64) -> Result<Tally, TchError> {
        self.move_to(a, b)?;
        let mut tally = Tally::default();
        for index in 0..self.parts() {
            tally.join(self.part(index)?);
        }
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::super::direction::{Axis, DirectionSpec};
    use super::super::fixture::{digits, plan};
    use super::super::images::choose_images;
    use super::super::whole_split::evaluate;
    use super::*;
    use crate::config::{DirectionNorm, IgnoreParams};
    use crate::data::Dataset;
    use crate::model::{Network, initial_weights};

    const BOTH: [Axis; 2] = [Axis::X, Axis::Y];

    fn setting() -> (Arc<Plan>, Weights, Dataset) {
        let plan = plan(4);
        let data = digits(200);
        let mut row_major = initial_weights(&plan, 0);
        let head = &plan.params[plan.head.weight];
        row_major[head.offset as usize..]
            .iter_mut()
            .enumerate()
            .for_each(|(i, w)| *w = ((i % 11) as f32 - 5.0) * 0.1);
        let mut net = Network::new(Arc::clone(&plan), &row_major, Device::Cpu).unwrap();
        // Running statistics away from their start.
        let _ =
            tch::no_grad(|| net.forward(&data.train.range(0, 64).unwrap().images, None).unwrap());
        let weights = net.weights(Device::Cpu).unwrap();
        (plan, weights, data)
    }

    fn spec(ignore: IgnoreParams) -> DirectionSpec {
        DirectionSpec { seed: 3, norm: DirectionNorm::Filter, ignore }
    }

    fn evaluator(plane: Plane, data: &Dataset, chosen: &[i64]) -> Evaluator {
        let images = ImageSet::new(&data.train, chosen, Device::Cpu).unwrap();
        let ready = ReadyImages::new(plane.plan(), images, &Means::one_thread()).unwrap();
        Evaluator::new(plane, ready).unwrap()
    }

    fn loss_of(plan: &Arc<Plan>, weights: &Weights, data: &Dataset, chosen: &[i64]) -> f64 {
        let net = Folded::of(Arc::clone(plan), weights).unwrap();
        let batch = data.train.batch(chosen, None).unwrap();
        let logits = tch::no_grad(|| net.forward(&batch.images).unwrap());
        logits.cross_entropy_for_logits(&batch.labels).try_into().unwrap()
    }

    /// One asymmetric point, the weights moved by hand and evaluated as a network of its own.
    #[test]
    fn a_point_is_the_network_with_moved_weights() {
        for ignore in [IgnoreParams::Biasbn, IgnoreParams::None] {
            let (plan, weights, data) = setting();
            let copy = weights.copy_to(Device::Cpu).unwrap();
            let chosen = choose_images(200, 150);
            let plane = Plane::random(Arc::clone(&plan), copy, spec(ignore), &BOTH).unwrap();
            let mut evaluator = evaluator(plane, &data, &chosen);
            let [dx, dy] = evaluator.plane().directions() else { panic!("two directions") };
            let moved = Weights {
                theta: &weights.theta + dx * 0.7 - dy * 0.25,
                running: weights.running.copy(),
                batches: weights.batches,
            };
            let wanted = loss_of(&plan, &moved, &data, &chosen);
            let found = evaluator.at(0.7, -0.25).unwrap();
            assert!(
                (found.mean_loss() / wanted - 1.0).abs() < 1e-4,
                "{} {wanted}",
                found.mean_loss()
            );
            let swapped = evaluator.at(-0.25, 0.7).unwrap();
            assert!((swapped.mean_loss() / wanted - 1.0).abs() > 1e-3, "the axes are told apart");
        }
    }

    #[test]
    fn the_centre_is_the_network_itself() {
        let (plan, weights, data) = setting();
        let all: Vec<i64> = (0..200).collect();
        let own = evaluate(&plan, &weights, &data.train).unwrap();
        let copy = weights.copy_to(Device::Cpu).unwrap();
        let plane = Plane::random(plan, copy, spec(IgnoreParams::Biasbn), &BOTH).unwrap();
        let center = evaluator(plane, &data, &all).at(0.0, 0.0).unwrap();
        assert!((center.mean_loss() - own.mean_loss()).abs() < 1e-6 * own.mean_loss());
        assert_eq!(center.accuracy(), own.accuracy());
    }

    #[test]
    fn a_line_runs_from_one_network_to_the_other_with_its_statistics() {
        let (plan, from, data) = setting();
        let mut other =
            Network::new(Arc::clone(&plan), &initial_weights(&plan, 9), Device::Cpu).unwrap();
        let _ = tch::no_grad(|| {
            other.forward(&data.train.range(64, 64).unwrap().images, None).unwrap()
        });
        let to = other.weights(Device::Cpu).unwrap();
        let all: Vec<i64> = (0..200).collect();
        let copy = from.copy_to(Device::Cpu).unwrap();
        let mut line =
            evaluator(Plane::between(Arc::clone(&plan), copy, &to).unwrap(), &data, &all);
        let mut gap =
            |a: f64, wanted: f64| (line.at(a, 0.0).unwrap().mean_loss() / wanted - 1.0).abs();
        assert!(gap(0.0, loss_of(&plan, &from, &data, &all)) < 1e-5);
        assert!(gap(1.0, loss_of(&plan, &to, &data, &all)) < 1e-4);
        let half = Weights {
            theta: (&from.theta + &to.theta) * 0.5,
            running: (&from.running + &to.running) * 0.5,
            batches: 0,
        };
        assert!(gap(0.5, loss_of(&plan, &half, &data, &all)) < 1e-4);
        let unmoved = Weights { running: from.running.copy(), ..half };
        assert!(gap(0.5, loss_of(&plan, &unmoved, &data, &all)) > 1e-4, "statistics move too");
    }

    #[test]
    fn bfloat16_is_near_and_batch_statistics_are_something_else() {
        let (plan, weights, data) = setting();
        let all: Vec<i64> = (0..200).collect();
        let with = |statistics, precision, kernel| {
            let copy = weights.copy_to(Device::Cpu).unwrap();
            let spec = spec(IgnoreParams::Biasbn);
            let plane = Plane::random(Arc::clone(&plan), copy, spec, &BOTH).unwrap();
            let images = ImageSet::new(&data.train, &all, Device::Cpu).unwrap();
            let means = Means { statistics, precision, kernel, ..Means::one_thread() };
            let ready = ReadyImages::new(&plan, images, &means).unwrap();
            let mut e = Evaluator::new(plane, ready).unwrap();
            assert!(e.part(0).is_ok(), "before a point there is nothing, and no harm");
            e.at(0.1, 0.1).unwrap().mean_loss()
        };
        let exact = with(NormStatistics::Frozen, Precision::F32, false);
        let own = (with(NormStatistics::Frozen, Precision::F32, true) / exact - 1.0).abs();
        assert!(own < 1e-5, "{own}");
        for kernel in [true, false] {
            let near = with(NormStatistics::Frozen, Precision::Bf16, kernel);
            let near = (near / exact - 1.0).abs();
            assert!(near > 0.0 && near < 0.05, "{near}");
        }
        let other = (with(NormStatistics::Batch, Precision::F32, true) / exact - 1.0).abs();
        assert!(other > 1e-3, "{other}");
    }
}
