//! The loss at points theta + a dx + b dy, batch-norm statistics as they were at theta (method.md 5 to 7).
//!
//! Batch norms are folded into the convs. If the directions leave them alone, folding commutes with the combination:
//! the three vectors are folded once, and a point costs one combination and one forward pass.

use std::sync::Arc;

use tch::{TchError, Tensor};

use super::direction::{Axis, DirectionSpec, cosine, draw};
use crate::config::IgnoreParams;
use crate::data::{Batch, Split};
use crate::model::{Folded, FoldedLayout, Plan, Tally, Weights};

/// Images at once: past 128, a core's cache no longer holds what a layer hands to the next.
const CHUNK: usize = 128;

/// A plane through one network's weights, with the images to measure on.
pub struct LossPlane {
    plan: Arc<Plan>,
    /// As drawn, for the surface file.
    directions: [Tensor; 2],
    /// The centre and both directions, folded if `unfolded` is none.
    vectors: [Tensor; 3],
    /// Present when batch norms move: every point is folded anew.
    unfolded: Option<Weights>,
    net: Folded,
    batches: Vec<Batch>,
    cosine: f64,
}

impl LossPlane {
    /// The plane around `weights` that `spec` draws, measured on the images `chosen` of `images`.
    ///
    /// # Errors
    /// When the device fails or has no room.
    pub fn new(
        plan: Arc<Plan>,
        weights: Weights,
        spec: DirectionSpec,
        images: &Split,
        chosen: &[i64],
    ) -> Result<Self, TchError> {
        let _no_grad = tch::no_grad_guard();
        let dx = draw(&plan, &weights, spec, Axis::X)?;
        let dy = draw(&plan, &weights, spec, Axis::Y)?;
        let cosine = cosine(&dx, &dy)?;
        let net = Folded::new(Arc::clone(&plan), weights.theta.device())?;
        let (vectors, unfolded) = match spec.ignore {
            IgnoreParams::Biasbn => {
                let layout = FoldedLayout::new(&plan, &weights)?;
                let folded = [
                    layout.fold(&plan, &weights)?,
                    layout.fold_direction(&dx)?,
                    layout.fold_direction(&dy)?,
                ];
                (folded, None)
            }
            IgnoreParams::None => {
                let shared = [&weights.theta, &dx, &dy].map(Tensor::shallow_clone);
                (shared, Some(weights))
            }
        };
        let batches =
            chosen.chunks(CHUNK).map(|part| images.batch(part, None)).collect::<Result<_, _>>()?;
        Ok(Self { plan, directions: [dx, dy], vectors, unfolded, net, batches, cosine })
    }

    /// Cosine of the two directions.
    pub fn cosine(&self) -> f64 {
        self.cosine
    }

    /// The two directions, flat.
    pub fn directions(&self) -> &[Tensor; 2] {
        &self.directions
    }

    /// The network's plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Loss and accuracy at (a, b).
    ///
    /// # Errors
    /// When the device fails.
    pub fn at(&mut self, a: f64, b: f64) -> Result<Tally, TchError> {
        let _no_grad = tch::no_grad_guard();
        let [center, dx, dy] = &self.vectors;
        let point = dx.f_mul_scalar(a)?.f_add_(&dy.f_mul_scalar(b)?)?.f_add_(center)?;
        match &self.unfolded {
            None => self.net.set(&point)?,
            Some(weights) => {
                let running = weights.running.shallow_clone();
                let moved = Weights { theta: point, running, batches: weights.batches };
                let layout = FoldedLayout::new(&self.plan, &moved)?;
                self.net.set(&layout.fold(&self.plan, &moved)?)?;
            }
        }
        let mut tally = Tally::default();
        for batch in &self.batches {
            tally.add(&self.net.forward(&batch.images)?, &batch.labels)?;
        }
        Ok(tally)
    }
}

/// Which training images a map is measured on: `count` of `images`, spread evenly over the file order, the same for
/// every map of a run.
pub fn choose_images(images: usize, count: usize) -> Vec<i64> {
    let count = count.min(images);
    (0..count).map(|i| (i * images / count.max(1)) as i64).collect()
}

/// Loss and error of a network on a whole split.
///
/// # Errors
/// When the device fails.
pub fn evaluate(plan: &Arc<Plan>, weights: &Weights, split: &Split) -> Result<Tally, TchError> {
    let _no_grad = tch::no_grad_guard();
    let net = Folded::of(Arc::clone(plan), weights)?;
    let mut tally = Tally::default();
    for start in (0..split.len()).step_by(CHUNK) {
        let len = CHUNK.min(split.len() - start);
        let batch = split.range(start as i64, len as i64)?;
        tally.add(&net.forward(&batch.images)?, &batch.labels)?;
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::config::{DataKind, DataSpec, DirectionNorm, Family, Init, ModelSpec};
    use crate::data::Dataset;
    use crate::model::{Network, initial_weights};

    fn setting() -> (Arc<Plan>, Weights, Dataset) {
        let spec = ModelSpec {
            family: Family::Resnet,
            depth: 8,
            width: 4,
            widen: 1,
            init: Init::KaimingNormal,
        };
        let plan = Arc::new(Plan::resnet(&spec, true, 1, 10));
        let data = DataSpec {
            kind: DataKind::Digits,
            dir: None,
            size: Some(8),
            limit: Some(200),
            augment: false,
        };
        let data = Dataset::load(&data).unwrap();
        let mut row_major = initial_weights(&plan, 0);
        let head = &plan.params[plan.head];
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

    /// One asymmetric point, the weights moved by hand and evaluated as a network of its own.
    #[test]
    fn a_point_is_the_network_with_moved_weights() {
        for ignore in [IgnoreParams::Biasbn, IgnoreParams::None] {
            let (plan, weights, data) = setting();
            let copy = weights.copy_to(Device::Cpu).unwrap();
            let chosen = choose_images(200, 150);
            let mut plane =
                LossPlane::new(Arc::clone(&plan), copy, spec(ignore), &data.train, &chosen)
                    .unwrap();
            let [dx, dy] = [&plane.directions[0], &plane.directions[1]];
            let moved = Weights {
                theta: &weights.theta + dx * 0.7 - dy * 0.25,
                running: weights.running.copy(),
                batches: weights.batches,
            };
            let net = Folded::of(Arc::clone(&plan), &moved).unwrap();
            let batch = data.train.batch(&chosen, None).unwrap();
            let logits = tch::no_grad(|| net.forward(&batch.images).unwrap());
            let wanted: f64 = logits.cross_entropy_for_logits(&batch.labels).try_into().unwrap();
            let found = plane.at(0.7, -0.25).unwrap();
            assert!(
                (found.mean_loss() / wanted - 1.0).abs() < 1e-4,
                "{} {wanted}",
                found.mean_loss()
            );
            let swapped = plane.at(-0.25, 0.7).unwrap();
            assert!((swapped.mean_loss() / wanted - 1.0).abs() > 1e-3, "the axes are told apart");
        }
    }

    #[test]
    fn the_centre_is_the_network_itself() {
        let (plan, weights, data) = setting();
        let all: Vec<i64> = (0..200).collect();
        let own = evaluate(&plan, &weights, &data.train).unwrap();
        let copy = weights.copy_to(Device::Cpu).unwrap();
        let mut plane =
            LossPlane::new(plan, copy, spec(IgnoreParams::Biasbn), &data.train, &all).unwrap();
        let center = plane.at(0.0, 0.0).unwrap();
        assert!((center.mean_loss() - own.mean_loss()).abs() < 1e-6 * own.mean_loss());
        assert_eq!(center.accuracy(), own.accuracy());
    }

    #[test]
    fn images_are_spread_and_bounded() {
        assert_eq!(choose_images(10, 5), [0, 2, 4, 6, 8]);
        assert_eq!(choose_images(3, 5), [0, 1, 2]);
        let none = Tensor::zeros([1], (Kind::Float, Device::Cpu));
        assert!(cosine(&none, &none).unwrap().is_nan());
    }
}
