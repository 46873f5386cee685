//! A network evaluated with the statistics of the batch at hand in place of the running ones, which stay as they are.

use tch::{TchError, Tensor};

use super::network::{NORM_EPS, Weights, convolve, to_channels_last, view};
use super::pass::{Pass, run};
use super::plan::{ConvPlan, LinearPlan, Plan};

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
    run(plan, &mut OfTheBatch { plan, weights }, to_channels_last(images)?)
}

/// A pass by the batch's statistics that leaves no trace.
struct OfTheBatch<'a> {
    plan: &'a Plan,
    weights: &'a Weights,
}

impl OfTheBatch<'_> {
    fn param(&self, index: usize) -> Result<Tensor, TchError> {
        view(&self.weights.theta, &self.plan.params[index])
    }

    fn norm(&self, x: &Tensor, index: usize) -> Result<Tensor, TchError> {
        let norm = self.plan.norms[index].weight;
        let (scale, shift) = (self.param(norm)?, self.param(norm + 1)?);
        let none = None::<&Tensor>;
        x.f_batch_norm(Some(&scale), Some(&shift), none, none, true, 0.0, NORM_EPS, true)
    }
}

impl Pass for OfTheBatch<'_> {
    type Signal = Tensor;

    fn conv(&self, x: &Tensor, conv: ConvPlan) -> Result<Tensor, TchError> {
        let bias = conv.bias.map(|bias| self.param(bias)).transpose()?;
        self.norm(&convolve(x, &self.param(conv.weight)?, bias.as_ref(), conv)?, conv.norm)
    }

    fn linear(&self, x: &Tensor, linear: LinearPlan) -> Result<Tensor, TchError> {
        let y = x.f_linear(&self.param(linear.weight)?, Some(&self.param(linear.weight + 1)?))?;
        match linear.norm {
            Some(norm) => self.norm(&y, norm),
            None => Ok(y),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tch::{Device, Kind};

    use super::super::network::Network;
    use super::super::plan::tests::{spec, vgg9};
    use super::super::{Folded, initial_weights};
    use super::*;

    #[test]
    fn it_is_the_training_forward_pass_without_its_traces() {
        let resnet = |skip| Plan::resnet(&spec(14, 4), skip, 3, 10);
        for plan in [resnet(true), resnet(false), vgg9(3, [3, 12, 12], 10)].map(Arc::new) {
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
