//! Random directions scaled to the weights, by the rules of the reference code (method.md 1 to 4).

use rand_distr::{Distribution, StandardNormal};
use tch::{Device, TchError, Tensor};

use super::file::{Direction, DirectionTensor};
use crate::config::{DirectionNorm, IgnoreParams};
use crate::model::{ParamPlan, Plan, Weights, named_rng};

/// Keeps the division by a filter's norm defined (the reference code's constant).
const TINY: f64 = 1e-10;

/// Which of the two directions of a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Along x.
    X,
    /// Along y.
    Y,
}

/// How directions are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DirectionSpec {
    /// Seed; the same for all maps of a run, so that they can be compared.
    pub seed: u64,
    /// Scaling.
    pub norm: DirectionNorm,
    /// What stays where it is.
    pub ignore: IgnoreParams,
}

/// A direction around `weights`, flat in the layout of the parameters, on their device. Arms that share a parameter
/// draw the same numbers for it.
///
/// # Errors
/// When the device fails.
pub fn draw(
    plan: &Plan,
    weights: &Weights,
    spec: DirectionSpec,
    axis: Axis,
) -> Result<Tensor, TchError> {
    let purpose = match axis {
        Axis::X => "direction x",
        Axis::Y => "direction y",
    };
    let mut row_major = Vec::with_capacity(plan.scalars().unsigned_abs() as usize);
    for param in &plan.params {
        let unpacked = plan.unpack(&weights.theta, param)?.f_view([-1])?;
        let w: Vec<f32> = unpacked.try_into()?;
        let rng = named_rng(spec.seed, purpose, &param.name);
        let drawn: Vec<f32> = StandardNormal.sample_iter(rng).take(w.len()).collect();
        row_major.extend(scale(param, &w, drawn, spec));
    }
    plan.pack(&row_major, weights.theta.device())
}

/// The numbers `d` drawn for one parameter, scaled to its weights `w`.
fn scale(param: &ParamPlan, w: &[f32], d: Vec<f32>, spec: DirectionSpec) -> Vec<f32> {
    if param.shape.len() <= 1 {
        return match spec.ignore {
            IgnoreParams::Biasbn => vec![0.0; w.len()],
            // The reference code moves one-dimensional parameters along themselves.
            IgnoreParams::None => w.to_vec(),
        };
    }
    match spec.norm {
        DirectionNorm::Filter => {
            let filter = w.len() / param.shape[0].unsigned_abs() as usize;
            d.chunks(filter).zip(w.chunks(filter)).flat_map(|(d, w)| to_norm_of(d, w)).collect()
        }
        DirectionNorm::Layer => to_norm_of(&d, w),
        DirectionNorm::Weight => d.iter().zip(w).map(|(d, w)| d * w).collect(),
        DirectionNorm::None => d,
    }
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

/// `d` times |w| / (|d| + 1e-10).
fn to_norm_of(d: &[f32], w: &[f32]) -> Vec<f32> {
    let factor = norm(w) / (norm(d) + TINY);
    d.iter().map(|v| (f64::from(*v) * factor) as f32).collect()
}

/// A flat direction, parameter by parameter as a file holds it.
///
/// # Errors
/// When the copy off the device fails.
pub fn by_parameter(plan: &Plan, flat: &Tensor) -> Result<Direction, TchError> {
    let part = |param: &ParamPlan| {
        let values: Vec<f32> = plan.unpack(flat, param)?.f_view([-1])?.try_into()?;
        let shape = param.shape.iter().map(|n| n.unsigned_abs()).collect();
        Ok(DirectionTensor { shape, values })
    };
    plan.params.iter().map(part).collect()
}

/// Cosine of two flat vectors; NaN if one is zero. Summed in order, in double precision: the same bits on any machine.
///
/// # Errors
/// When the copy off the device fails.
pub fn cosine(a: &Tensor, b: &Tensor) -> Result<f64, TchError> {
    let values = |t: &Tensor| Vec::<f32>::try_from(t.f_to_device(Device::Cpu)?.f_view([-1])?);
    let (a, b) = (values(a)?, values(b)?);
    Ok(dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt())
}

/// Inner product, summed in order in double precision.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Family, Init, ModelSpec};
    use crate::model::initial_weights;

    fn setting(skip: bool) -> (Plan, Weights) {
        let spec = ModelSpec {
            family: Family::Resnet,
            depth: 14,
            width: 4,
            widen: 1,
            init: Init::KaimingNormal,
        };
        let plan = Plan::resnet(&spec, skip, 3, 10);
        let theta = plan.pack(&initial_weights(&plan, 0), Device::Cpu).unwrap();
        let running = plan.fresh_statistics(Device::Cpu).unwrap();
        (plan, Weights { theta, running, batches: 0 })
    }

    const SPEC: DirectionSpec =
        DirectionSpec { seed: 1, norm: DirectionNorm::Filter, ignore: IgnoreParams::Biasbn };

    fn values(plan: &Plan, flat: &Tensor, name: &str) -> (Vec<f32>, usize) {
        let param = plan.params.iter().find(|p| p.name == name).unwrap();
        let values = plan.unpack(flat, param).unwrap().view([-1]).try_into().unwrap();
        (values, param.shape[0] as usize)
    }

    #[test]
    fn every_filter_has_the_norm_of_its_weights() {
        let (plan, weights) = setting(true);
        let d = draw(&plan, &weights, SPEC, Axis::X).unwrap();
        for name in
            ["conv1.weight", "layer2.0.shortcut.0.weight", "layer3.1.conv2.weight", "linear.weight"]
        {
            let ((d, filters), (w, _)) =
                (values(&plan, &d, name), values(&plan, &weights.theta, name));
            let size = w.len() / filters;
            for (d, w) in d.chunks(size).zip(w.chunks(size)) {
                assert!((norm(d) / norm(w) - 1.0).abs() < 1e-5, "{name}");
            }
        }
        for name in ["bn1.weight", "bn1.bias", "linear.bias"] {
            assert!(values(&plan, &d, name).0.iter().all(|v| *v == 0.0), "{name}");
        }
    }

    #[test]
    fn a_file_has_every_parameter_in_its_own_order() {
        let (plan, _) = setting(false);
        let row_major: Vec<f32> = (0..plan.scalars()).map(|i| i as f32).collect();
        let flat = plan.pack(&row_major, Device::Cpu).unwrap();
        let parts = by_parameter(&plan, &flat).unwrap();
        assert_eq!(parts[3].shape, [4, 4, 3, 3]);
        let all: Vec<f32> = parts.into_iter().flat_map(|p| p.values).collect();
        assert_eq!(all, row_major);
    }

    #[test]
    fn scaling_by_hand() {
        let param = ParamPlan {
            name: String::new(),
            shape: vec![2, 1, 1, 2],
            offset: 0,
            kind: crate::model::ParamKind::Conv,
        };
        let (w, d) = ([3.0f32, 4.0, 0.0, 0.0], vec![0.0f32, 2.0, 1.0, 1.0]);
        let scaled = |norm| scale(&param, &w, d.clone(), DirectionSpec { norm, ..SPEC });
        assert_eq!(scaled(DirectionNorm::Filter), [0.0, 5.0, 0.0, 0.0]);
        let layer = 5.0 / 6f32.sqrt();
        let wanted = [0.0, 2.0 * layer, layer, layer];
        assert!(scaled(DirectionNorm::Layer).iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-5));
        assert_eq!(scaled(DirectionNorm::Weight), [0.0, 8.0, 0.0, 0.0]);
        assert_eq!(scaled(DirectionNorm::None), d);
    }

    #[test]
    fn twins_draw_the_same_numbers_and_the_axes_differ() {
        let ((a, wa), (b, wb)) = (setting(true), setting(false));
        let spec = DirectionSpec { norm: DirectionNorm::None, ..SPEC };
        let (da, db) =
            (draw(&a, &wa, spec, Axis::X).unwrap(), draw(&b, &wb, spec, Axis::X).unwrap());
        let name = "layer2.0.conv2.weight";
        assert_eq!(values(&a, &da, name), values(&b, &db, name));
        let dy = draw(&a, &wa, spec, Axis::Y).unwrap();
        // Two normal draws in some ten thousand dimensions.
        assert!(cosine(&da, &dy).unwrap().abs() < 0.05);
        assert!((cosine(&da, &da).unwrap() - 1.0).abs() < 1e-5);
    }

    proptest! {
        /// Whatever the weights: each filter as long as its weights, or still where they are 0.
        #[test]
        fn filters_have_the_norms_of_their_weights(
            w in prop::collection::vec(-3.0..3.0f32, 24),
            d in prop::collection::vec(-3.0..3.0f32, 24),
        ) {
            let kind = crate::model::ParamKind::Conv;
            let param = ParamPlan { name: String::new(), shape: vec![4, 6, 1, 1], offset: 0, kind };
            let filters = scale(&param, &w, d.clone(), SPEC);
            for (scaled, (w, d)) in filters.chunks(6).zip(w.chunks(6).zip(d.chunks(6))) {
                prop_assume!(norm(d) > 1e-3);
                prop_assert!((norm(scaled) - norm(w)).abs() <= 1e-5 * norm(w));
                // The direction itself stays: what is scaled is parallel to what was drawn.
                let along = dot(scaled, d) / (norm(scaled) * norm(d));
                prop_assert!(norm(w) == 0.0 || (along - 1.0).abs() < 1e-5);
            }
            let layer = scale(&param, &w, d, DirectionSpec { norm: DirectionNorm::Layer, ..SPEC });
            prop_assert!((norm(&layer) - norm(&w)).abs() <= 1e-5 * norm(&w));
        }
    }
}
