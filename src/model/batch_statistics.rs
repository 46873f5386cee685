//! A network evaluated with the statistics of the batch at hand in place of the running ones, which stay as they are.

use tch::{Kind, TchError, Tensor};

use super::network::{NORM_EPS, Weights, convolve, to_channels_last, view};
use super::plan::{ConvPlan, Plan, Shortcut};

/// Logits [batch, classes] of `images` [batch, channels, h, w], every batch norm taking this batch's mean and variance;
/// call under `no_grad`.
///
/// # Errors
/// When shapes do not fit or the device fails.
pub fn forward_with_batch_statistics(
    plan: &Plan,
    weights: &Weights,
    images: &Tensor,
) -> Result<Tensor, TchError> {
    let conv_norm = |x: &Tensor, conv: ConvPlan| {
        let y = convolve(x, &view(&weights.theta, &plan.params[conv.weight])?, conv)?;
        let norm = plan.norms[conv.norm].weight;
        let scale = view(&weights.theta, &plan.params[norm])?;
        let shift = view(&weights.theta, &plan.params[norm + 1])?;
        let none = None::<&Tensor>;
        y.f_batch_norm(Some(&scale), Some(&shift), none, none, true, 0.0, NORM_EPS, true)
    };
    let mut x = conv_norm(&to_channels_last(images)?, plan.stem)?.f_relu_()?;
    for block in &plan.blocks {
        let inner = conv_norm(&x, block.conv1)?.f_relu_()?;
        let mut branch = conv_norm(&inner, block.conv2)?;
        let mut sum = match block.shortcut {
            Shortcut::None => branch,
            Shortcut::Identity => branch.f_add_(&x)?,
            Shortcut::Projection(conv) => branch.f_add_(&conv_norm(&x, conv)?)?,
        };
        x = sum.f_relu_()?;
    }
    let pooled = x.f_mean_dim([2i64, 3].as_slice(), false, Kind::Float)?;
    let head = |i: usize| view(&weights.theta, &plan.params[plan.head + i]);
    pooled.f_linear(&head(0)?, Some(&head(1)?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tch::Device;

    use super::super::network::Network;
    use super::super::plan::tests::spec;
    use super::super::{Folded, initial_weights};
    use super::*;

    #[test]
    fn it_is_the_training_forward_pass_without_its_traces() {
        for skip in [true, false] {
            let plan = Arc::new(Plan::resnet(&spec(14, 4), skip, 3, 10));
            let mut net =
                Network::new(Arc::clone(&plan), &initial_weights(&plan, 2), Device::Cpu).unwrap();
            let images = Tensor::randn([16, 3, 12, 12], (Kind::Float, Device::Cpu));
            tch::no_grad(|| {
                let before = net.weights(Device::Cpu).unwrap();
                let found = forward_with_batch_statistics(&plan, &before, &images).unwrap();
                let unchanged = before.running.equal(&net.weights(Device::Cpu).unwrap().running);
                assert!(unchanged, "the running statistics stay");
                let wanted = net.forward(&images, None).unwrap();
                let gap: f64 = (&found - &wanted).abs().max().try_into().unwrap();
                assert!(gap < 1e-6, "{gap}");
                let frozen = Folded::of(Arc::clone(&plan), &before).unwrap();
                let other: f64 =
                    (frozen.forward(&images).unwrap() - found).abs().max().try_into().unwrap();
                assert!(other > 1e-4, "frozen statistics give something else");
            });
        }
    }
}
