//! The curvature of the loss at a point: extreme eigenvalues of the Hessian with respect to the conv and linear
//! weights, in eval mode, without weight decay (method.md 14).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand_distr::{Distribution, StandardNormal};
use tch::{TchError, Tensor};

use super::lanczos::{Extremes, Limits, SpectrumError, extremes};
use crate::data::{Batch, Split};
use crate::model::{HessianProduct, Plan, Weights, named_rng};

/// Images at once: fewer cost more a product (a tenth at 64, a half at 16), more only hold more memory.
const CHUNK: usize = 128;

/// The extreme eigenvalues of the Hessian at one point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curvature {
    /// Largest eigenvalue.
    pub lambda_max: f64,
    /// Smallest eigenvalue; negative where the loss is not convex.
    pub lambda_min: f64,
    /// Hessian-vector products made.
    pub iterations: usize,
    /// Whether both are within the tolerance; if not, the true ones lie further out.
    pub converged: bool,
    /// Bounds of the errors of both, largest first.
    pub residuals: [f64; 2],
}

impl Curvature {
    /// |lambda_min / lambda_max|: near 0 the loss is convex here. None where it does not bend at all.
    pub fn ratio(&self) -> Option<f64> {
        Some((self.lambda_min / self.lambda_max).abs()).filter(|r| r.is_finite())
    }
}

impl From<Extremes> for Curvature {
    fn from(found: Extremes) -> Self {
        let Extremes { max, min, iterations, converged, residuals } = found;
        Self { lambda_max: max, lambda_min: min, iterations, converged, residuals }
    }
}

/// Measures the curvature at points around one network's weights.
pub struct HessianProbe {
    plan: Arc<Plan>,
    running: Tensor,
    batches: Vec<Batch>,
    start: Tensor,
    limits: Limits,
}

impl HessianProbe {
    /// A probe with the running statistics `running` (as [`Weights::running`]) on the images `chosen` of `images`. The
    /// same `seed` gives the same start vector, twins the same numbers where they share a parameter.
    ///
    /// # Errors
    /// When the device fails or has no room.
    pub fn new(
        plan: Arc<Plan>,
        running: Tensor,
        images: &Split,
        chosen: &[i64],
        seed: u64,
        limits: Limits,
    ) -> Result<Self, TchError> {
        let batches =
            chosen.chunks(CHUNK).map(|part| images.batch(part, None)).collect::<Result<_, _>>()?;
        let mut drawn = vec![0.0f32; plan.scalars().unsigned_abs() as usize];
        for (_, layer) in plan.layers() {
            let normal = StandardNormal.sample_iter(named_rng(seed, "lanczos", &layer.name));
            let skipped = drawn.iter_mut().skip(layer.offset.unsigned_abs() as usize);
            let len = layer.len().unsigned_abs() as usize;
            skipped.take(len).zip(normal).for_each(|(to, value): (_, f32)| *to = value);
        }
        let start = plan.pack(&drawn, running.device())?;
        Ok(Self { plan, running, batches, start, limits })
    }

    /// The curvature at the flat parameters `theta`: a network's own, or a point theta + a dx + b dy of a plane through
    /// them. `stop` is looked at before every product.
    ///
    /// # Errors
    /// [`SpectrumError::NotFinite`] where the loss is not finite or there are no images, [`SpectrumError::Stopped`]
    /// when told to, or when the device fails.
    pub fn at(&self, theta: &Tensor, stop: &AtomicBool) -> Result<Curvature, SpectrumError> {
        self.of(&self.product(theta)?, stop)
    }

    /// As [`HessianProbe::at`], at `weights` that bring running statistics of their own.
    ///
    /// # Errors
    /// As there.
    pub fn at_weights(
        &self,
        weights: &Weights,
        stop: &AtomicBool,
    ) -> Result<Curvature, SpectrumError> {
        self.of(&HessianProduct::new(Arc::clone(&self.plan), weights)?, stop)
    }

    fn of(&self, product: &HessianProduct, stop: &AtomicBool) -> Result<Curvature, SpectrumError> {
        let batches = || self.batches.iter().map(|b| (&b.images, &b.labels));
        let found = extremes(&self.start, self.limits, |v| {
            if stop.load(Ordering::Relaxed) {
                return Err(SpectrumError::Stopped);
            }
            Ok(product.of(v, batches())?)
        })?;
        Ok(found.into())
    }

    fn product(&self, theta: &Tensor) -> Result<HessianProduct, TchError> {
        let weights = Weights {
            theta: theta.shallow_clone(),
            running: self.running.shallow_clone(),
            batches: 0,
        };
        HessianProduct::new(Arc::clone(&self.plan), &weights)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::config::{DataKind, DataSpec, Family, Init, ModelSpec};
    use crate::data::Dataset;
    use crate::model::{Folded, Network, Tally, initial_weights};

    /// ResNet-8 on 24 digits of 8x8 pixels, some steps of gradient descent from its start.
    fn setting(width: i64, skip: bool) -> (Arc<Plan>, Weights, Split) {
        let family = Family::Resnet;
        let spec = ModelSpec { family, depth: 8, width, widen: 1, init: Init::KaimingNormal };
        let plan = Arc::new(Plan::resnet(&spec, skip, 1, 10));
        let data = DataSpec {
            kind: DataKind::Digits,
            dir: None,
            size: Some(8),
            limit: Some(24),
            augment: false,
        };
        let split = Dataset::load(&data).unwrap().train;
        let mut net =
            Network::new(Arc::clone(&plan), &initial_weights(&plan, 1), Device::Cpu).unwrap();
        let batch = split.range(0, 24).unwrap();
        for _ in 0..20 {
            net.zero_grad().unwrap();
            let logits = net.forward(&batch.images, None).unwrap();
            logits.cross_entropy_for_logits(&batch.labels).backward();
            let step = net.grad() * 0.05;
            let _ = tch::no_grad(|| net.theta().shallow_clone().f_sub_(&step).unwrap());
        }
        let weights = net.weights(Device::Cpu).unwrap();
        (plan, weights, split)
    }

    fn probe(plan: &Arc<Plan>, weights: &Weights, split: &Split, limits: Limits) -> HessianProbe {
        let all: Vec<i64> = (0..split.len() as i64).collect();
        HessianProbe::new(Arc::clone(plan), weights.running.copy(), split, &all, 0, limits).unwrap()
    }

    const STRICT: Limits = Limits { iterations: 300, tolerance: 1e-4 };

    /// The whole Hessian, column by column.
    fn dense(probe: &HessianProbe, theta: &Tensor) -> Tensor {
        let plan = &probe.plan;
        let product = probe.product(theta).unwrap();
        let rows: Vec<i64> =
            plan.layers().flat_map(|(_, p)| p.offset..p.offset + p.len()).collect();
        let index = Tensor::from_slice(&rows);
        let column = |row: &i64| {
            let unit = theta.zeros_like();
            let _ = unit.narrow(0, *row, 1).fill_(1.0);
            let batches = probe.batches.iter().map(|b| (&b.images, &b.labels));
            product.of(&unit, batches).unwrap().index_select(0, &index)
        };
        Tensor::stack(&rows.iter().map(column).collect::<Vec<_>>(), 1).to_kind(Kind::Double)
    }

    #[test]
    fn the_extremes_are_those_of_the_whole_hessian() {
        // Thousands of products too small to be shared among cores.
        tch::set_num_threads(1);
        for (width, skip) in [(2, true), (1, false)] {
            let (plan, weights, split) = setting(width, skip);
            let probe = probe(&plan, &weights, &split, STRICT);
            let whole = dense(&probe, &weights.theta);
            let turned = whole.transpose(0, 1);
            let asymmetry = f64::try_from((&whole - &turned).norm() / whole.norm()).unwrap();
            assert!(asymmetry < 1e-5, "{asymmetry}");
            // By LAPACK; nalgebra takes minutes for 1,290 rows.
            let spectrum = ((&whole + turned) * 0.5).linalg_eigvalsh("L");
            let (max, min): (f64, f64) =
                (spectrum.max().try_into().unwrap(), spectrum.min().try_into().unwrap());
            let found = probe.at(&weights.theta, &AtomicBool::new(false)).unwrap();
            assert!(found.converged, "{found:?}");
            assert!((found.lambda_max / max - 1.0).abs() < 1e-3, "{found:?} {max}");
            assert!((found.lambda_min / min - 1.0).abs() < 1e-3, "{found:?} {min}");
            assert!(min < 0.0 && found.ratio().unwrap() > 0.0);
        }
    }

    /// The second difference of the measured loss along any direction lies between the extremes.
    #[test]
    fn the_loss_bends_no_more_than_the_extremes_at_a_point_of_a_plane() {
        let (plan, weights, split) = setting(2, true);
        let probe = probe(&plan, &weights, &split, STRICT);
        let batch = split.range(0, split.len() as i64).unwrap();
        let masked = |from: &Tensor| {
            let out = from.zeros_like();
            for (_, p) in plan.layers() {
                let part = |t: &Tensor| t.narrow(0, p.offset, p.len());
                part(&out).copy_(&part(from));
            }
            out
        };
        let (dx, dy) = (masked(&weights.theta.sin()), masked(&(&weights.theta * 9.0).cos()));
        let point = &weights.theta + &dx * 0.3 - &dy * 0.1;
        let found = probe.at(&point, &AtomicBool::new(false)).unwrap();
        let centre = probe.at(&weights.theta, &AtomicBool::new(false)).unwrap();
        assert!((found.lambda_max / centre.lambda_max - 1.0).abs() > 0.01, "another point");
        let loss = |theta: Tensor| {
            let running = weights.running.copy();
            let net = Folded::of(Arc::clone(&plan), &Weights { theta, running, batches: 0 });
            let mut tally = Tally::default();
            tch::no_grad(|| {
                tally.add(&net.unwrap().forward(&batch.images).unwrap(), &batch.labels).unwrap();
            });
            tally.mean_loss()
        };
        for direction in [&dx, &dy, &probe.start] {
            let unit = direction / direction.norm();
            let h = 0.02;
            let bend = (loss(&point + &unit * h) + loss(&point - &unit * h)
                - 2.0 * loss(point.copy()))
                / (h * h);
            let slack = 0.1 * found.lambda_max;
            assert!(bend < found.lambda_max + slack && bend > found.lambda_min - slack, "{bend}");
        }
    }

    #[test]
    fn it_stops_when_told_and_gives_no_figure_for_a_broken_loss() {
        let (plan, weights, split) = setting(2, true);
        let probe = probe(&plan, &weights, &split, Limits::default());
        let stopped = probe.at(&weights.theta, &AtomicBool::new(true));
        assert!(matches!(stopped, Err(SpectrumError::Stopped)));
        let go_on = AtomicBool::new(false);
        let far = probe.at(&(&weights.theta * f64::INFINITY), &go_on);
        assert!(matches!(far, Err(SpectrumError::NotFinite)));
        assert!(matches!(
            probe.at(&Tensor::from_slice(&[1.0f32]), &go_on),
            Err(SpectrumError::Torch(_))
        ));
        let no_images =
            HessianProbe::new(plan, weights.running.copy(), &split, &[], 0, Limits::default());
        let nothing = no_images.unwrap().at(&weights.theta, &go_on);
        assert!(matches!(nothing, Err(SpectrumError::NotFinite)));
    }

    #[test]
    fn the_same_seed_gives_the_same_figures_and_a_flat_loss_no_ratio() {
        let (plan, weights, split) = setting(2, true);
        let go_on = AtomicBool::new(false);
        let once = || probe(&plan, &weights, &split, Limits::default()).at(&weights.theta, &go_on);
        let (first, again) = (once().unwrap(), once().unwrap());
        assert!((first.lambda_max / again.lambda_max - 1.0).abs() < 1e-5);
        assert_eq!(first.iterations, again.iterations);
        let flat = Curvature { lambda_max: 0.0, lambda_min: 0.0, ..first };
        assert_eq!(flat.ratio(), None);
        assert_eq!(Curvature { lambda_max: 4.0, lambda_min: -1.0, ..first }.ratio(), Some(0.25));
    }
}
