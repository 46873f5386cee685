//! Initial weights: convs N(0, 2 / fan-in), linear N(0, 1e-3), batch-norm weight 1, every bias 0 (method.md 18), as the
//! reference code draws them.

use rand_distr::{Distribution, StandardNormal};

use super::draw::named_rng;
use super::plan::{ParamKind, ParamPlan, Plan};

/// Standard deviation of all linear weights. Also those of a hidden layer, which has a batch norm behind it that makes the
/// scale up: the reference code draws them so, and with them the published errors of VGG-9 were reached.
const LINEAR_STD: f32 = 1e-3;

/// The flat parameter vector that `seed` gives, each tensor in PyTorch's (row-major) order [`Plan::scalars`]. Two plans
/// that share a parameter's name and shape get the same values for it.
pub fn initial_weights(plan: &Plan, seed: u64) -> Vec<f32> {
    plan.params.iter().flat_map(|p| draw(p, seed)).collect()
}

fn draw(param: &ParamPlan, seed: u64) -> Vec<f32> {
    let len = param.len().unsigned_abs() as usize;
    let normal = |std: f32| {
        let rng = named_rng(seed, "init", &param.name);
        StandardNormal.sample_iter(rng).take(len).map(|z: f32| z * std).collect()
    };
    match param.kind {
        ParamKind::Conv => {
            let fan_in: i64 = param.shape[1..].iter().product();
            normal((2.0 / fan_in as f32).sqrt())
        }
        ParamKind::LinearWeight => normal(LINEAR_STD),
        ParamKind::NormWeight => vec![1.0; len],
        ParamKind::ConvBias | ParamKind::NormBias | ParamKind::LinearBias => vec![0.0; len],
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::{spec, vgg9};
    use super::*;

    #[test]
    fn twins_start_from_the_same_weights_wherever_they_share_a_parameter() {
        let skip = Plan::resnet(&spec(20, 8), true, 1, 10);
        let noskip = Plan::resnet(&spec(20, 8), false, 1, 10);
        let (a, b) = (initial_weights(&skip, 3), initial_weights(&noskip, 3));
        for param in &noskip.params {
            let twin = skip.params.iter().find(|p| p.name == param.name).unwrap();
            let range = |p: &ParamPlan| p.offset as usize..(p.offset + p.len()) as usize;
            assert_eq!(a[range(twin)], b[range(param)], "{}", param.name);
        }
        assert_ne!(a, initial_weights(&skip, 4));
    }

    #[test]
    fn linear_layers_start_small_and_biases_at_zero() {
        let plan = vgg9(8, [1, 16, 16], 10);
        let weights = initial_weights(&plan, 0);
        for p in &plan.params {
            let values = &weights[p.offset as usize..(p.offset + p.len()) as usize];
            let power = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
            let std = (power / values.len() as f64).sqrt();
            match p.kind {
                ParamKind::LinearWeight => assert!((std / 1e-3 - 1.0).abs() < 0.1, "{std}"),
                ParamKind::NormWeight => assert!(values.iter().all(|v| *v == 1.0)),
                ParamKind::Conv => assert!(std > 0.01, "{std}"),
                _ => assert_eq!(std, 0.0, "{}", p.name),
            }
        }
    }

    #[test]
    fn convs_have_kaiming_deviation() {
        let plan = Plan::resnet(&spec(8, 32), true, 3, 10);
        let weights = initial_weights(&plan, 0);
        let conv = plan.params.iter().find(|p| p.name == "layer3.0.conv2.weight").unwrap();
        let values = &weights[conv.offset as usize..(conv.offset + conv.len()) as usize];
        let n = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let std = (values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n).sqrt();
        let wanted = (2.0 / (128.0 * 9.0f64)).sqrt();
        assert!(
            (std / wanted - 1.0).abs() < 0.02 && mean.abs() < 0.02 * wanted,
            "{mean} {std} {wanted}"
        );
    }
}
