//! A network for evaluation, its batch norms folded into the convs: y = scale * (conv(x) - mean) + bias with
//! scale = weight / sqrt(variance + eps). One conv with bias is left of each pair.
//!
//! Folded weights lie in the same flat layout as the parameters: a conv's slot holds scale * w, its batch-norm bias
//! slot holds the folded bias, the batch-norm weight slot is unused. Folding is linear in the conv weights, so a
//! direction that leaves the batch norms alone is folded once, and a point of a plane is one combination of vectors.

use std::sync::Arc;

use tch::{Device, Kind, TchError, Tensor};

use super::network::{NORM_EPS, Weights, to_channels_last, view};
use super::pass::{Pass, run};
use super::plan::{ConvPlan, LinearPlan, Plan};

/// How one set of running statistics and batch-norm weights folds.
#[derive(Debug)]
pub struct FoldedLayout {
    /// Factor of every entry of the flat vector.
    pub(super) scale: Tensor,
}

impl FoldedLayout {
    /// The fold of `weights`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(plan: &Plan, weights: &Weights) -> Result<Self, TchError> {
        let scale = weights.theta.f_ones_like()?;
        for conv in plan.convs() {
            let factor = factor(plan, weights, conv)?;
            view(&scale, &plan.params[conv.weight])?.f_copy_(&factor.f_view([-1, 1, 1, 1])?)?;
        }
        Ok(Self { scale })
    }

    /// `weights` folded.
    ///
    /// # Errors
    /// When the device fails.
    pub fn fold(&self, plan: &Plan, weights: &Weights) -> Result<Tensor, TchError> {
        let folded = weights.theta.f_mul(&self.scale)?;
        for conv in plan.convs() {
            let norm = &plan.norms[conv.norm];
            let bias_plan = &plan.params[norm.weight + 1];
            let bias = view(&weights.theta, bias_plan)?;
            let mean = weights.running.f_narrow(0, norm.offset, norm.channels)?;
            let shifted = bias.f_sub(&mean.f_mul(&factor(plan, weights, conv)?)?)?;
            view(&folded, bias_plan)?.f_copy_(&shifted)?;
        }
        Ok(folded)
    }

    /// A direction folded; it must leave batch norms alone.
    ///
    /// # Errors
    /// When the device fails.
    pub fn fold_direction(&self, direction: &Tensor) -> Result<Tensor, TchError> {
        direction.f_mul(&self.scale)
    }
}

/// weight / sqrt(variance + eps) of the batch norm behind `conv` [channels].
fn factor(plan: &Plan, weights: &Weights, conv: ConvPlan) -> Result<Tensor, TchError> {
    let norm = &plan.norms[conv.norm];
    let variance = weights.running.f_narrow(0, plan.statistics() + norm.offset, norm.channels)?;
    let deviation = variance.f_add_scalar(NORM_EPS)?.f_sqrt()?;
    view(&weights.theta, &plan.params[norm.weight])?.f_div(&deviation)
}

/// A folded network whose weights can be replaced cheaply.
#[derive(Debug)]
pub struct Folded {
    plan: Arc<Plan>,
    flat: Tensor,
    params: Vec<Tensor>,
}

impl Folded {
    /// A folded network of zeros on `device`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn new(plan: Arc<Plan>, device: Device) -> Result<Self, TchError> {
        Self::of_kind(plan, Kind::Float, device)
    }

    /// As [`Folded::new`], computing in `kind`: single precision or bfloat16.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn of_kind(plan: Arc<Plan>, kind: Kind, device: Device) -> Result<Self, TchError> {
        let flat = Tensor::f_zeros([plan.scalars()], (kind, device))?;
        let params = plan.params.iter().map(|p| view(&flat, p)).collect::<Result<_, _>>()?;
        Ok(Self { plan, flat, params })
    }

    /// A folded network of `weights`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn of(plan: Arc<Plan>, weights: &Weights) -> Result<Self, TchError> {
        let mut folded = Self::new(plan, weights.theta.device())?;
        let layout = FoldedLayout::new(&folded.plan, weights)?;
        let flat = layout.fold(&folded.plan, weights)?;
        folded.set(&flat)?;
        Ok(folded)
    }

    /// Replaces the folded weights.
    ///
    /// # Errors
    /// When the length differs.
    pub fn set(&mut self, folded: &Tensor) -> Result<(), TchError> {
        self.flat.f_copy_(folded)
    }

    /// Logits [batch, classes] of `images` [batch, channels, h, w], both of the network's kind; call under `no_grad`.
    ///
    /// # Errors
    /// When shapes do not fit or the device fails.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor, TchError> {
        run(&self.plan, &mut &*self, to_channels_last(images)?)
    }
}

impl Pass for &Folded {
    type Signal = Tensor;

    fn conv(&self, x: &Tensor, conv: ConvPlan) -> Result<Tensor, TchError> {
        let bias = &self.params[self.plan.norms[conv.norm].weight + 1];
        let (stride, padding) = ([conv.stride; 2], [conv.padding; 2]);
        x.f_conv2d(&self.params[conv.weight], Some(bias), stride, padding, [1, 1], 1)
    }

    fn linear(&self, x: &Tensor, linear: LinearPlan) -> Result<Tensor, TchError> {
        x.f_linear(&self.params[linear.weight], Some(&self.params[linear.weight + 1]))
    }
}

/// Loss and accuracy summed over images.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Sum of the cross-entropies, nats.
    pub loss: f64,
    /// Images classified rightly.
    pub right: f64,
    /// Images.
    pub images: f64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.loss += other.loss;
        self.right += other.right;
        self.images += other.images;
    }
}

impl Tally {
    /// Adds a batch: `logits` [b, classes], `labels` [b].
    ///
    /// # Errors
    /// When the device fails.
    pub fn add(&mut self, logits: &Tensor, labels: &Tensor) -> Result<(), TchError> {
        let logits = logits.f_to_kind(Kind::Float)?;
        let none = None::<&Tensor>;
        let loss = logits.f_cross_entropy_loss(labels, none, tch::Reduction::Sum, -100, 0.0)?;
        let right = logits.f_argmax(1, false)?.f_eq_tensor(labels)?.f_sum(Kind::Float)?;
        let figures: Vec<f32> =
            Tensor::f_stack(&[loss, right], 0)?.f_to_device(Device::Cpu)?.try_into()?;
        self.loss += f64::from(figures[0]);
        self.right += f64::from(figures[1]);
        self.images += labels.size1().map(|n| n as f64)?;
        Ok(())
    }

    /// Adds what was summed elsewhere.
    pub fn join(&mut self, other: Self) {
        self.loss += other.loss;
        self.right += other.right;
        self.images += other.images;
    }

    /// Mean cross-entropy, nats.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.images
    }

    /// Share classified rightly.
    pub fn accuracy(&self) -> f64 {
        self.right / self.images
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::initial_weights;
    use super::super::network::Network;
    use super::super::plan::tests::spec;
    use super::super::plan::{ParamKind, Shortcut, Stage};
    use super::*;

    /// The logits in eval mode, batch norm by batch norm, written out without folding.
    pub(crate) fn reference(
        plan: &Plan,
        params: &[Tensor],
        running: &Tensor,
        images: &Tensor,
    ) -> Tensor {
        let p = |i: usize| &params[i];
        let conv = |x: &Tensor, c: ConvPlan| {
            let n = &plan.norms[c.norm];
            let mean = running.narrow(0, n.offset, n.channels);
            let variance = running.narrow(0, plan.statistics() + n.offset, n.channels);
            let y = x.conv2d(p(c.weight), None::<Tensor>, [c.stride; 2], [c.padding; 2], [1, 1], 1);
            let (weight, bias) = (p(n.weight), p(n.weight + 1));
            y.batch_norm(
                Some(weight),
                Some(bias),
                Some(&mean),
                Some(&variance),
                false,
                0.1,
                1e-5,
                false,
            )
        };
        let mut x = images.shallow_clone();
        for stage in &plan.stages {
            x = match stage {
                Stage::Conv(c) => conv(&x, *c).relu(),
                Stage::Block(b) => {
                    let branch = conv(&conv(&x, b.conv1).relu(), b.conv2);
                    let sum = match b.shortcut {
                        Shortcut::None => branch,
                        Shortcut::Identity => branch + &x,
                        Shortcut::Projection(c) => branch + conv(&x, c),
                    };
                    sum.relu()
                }
                Stage::Mean => x.mean_dim([2i64, 3].as_slice(), false, images.kind()),
            };
        }
        x.linear(p(plan.head.weight), Some(p(plan.head.weight + 1)))
    }

    #[test]
    fn folding_changes_nothing_but_rounding() {
        for skip in [true, false] {
            let plan = Arc::new(Plan::resnet(&spec(14, 6), skip, 3, 10));
            let mut row_major = initial_weights(&plan, 5);
            // Batch norms away from weight 1 and bias 0, the head away from 0.
            for p in plan.params.iter().filter(|p| p.kind != ParamKind::Conv) {
                for i in p.offset..p.offset + p.len() {
                    row_major[i as usize] += 0.3 * ((i % 7) as f32 - 3.0) / 3.0;
                }
            }
            let mut net = Network::new(Arc::clone(&plan), &row_major, Device::Cpu).unwrap();
            let images = Tensor::randn([16, 3, 12, 12], (Kind::Float, Device::Cpu));
            tch::no_grad(|| {
                for _ in 0..3 {
                    let _ = net.forward(&images, None).unwrap();
                }
                let weights = net.weights(Device::Cpu).unwrap();
                let folded =
                    Folded::of(Arc::clone(&plan), &weights).unwrap().forward(&images).unwrap();
                let unpack = |p| plan.unpack(&weights.theta, p).unwrap();
                let params: Vec<Tensor> = plan.params.iter().map(unpack).collect();
                let plain = reference(&plan, &params, &weights.running, &images);
                let gap: f64 =
                    ((&folded - &plain).abs().max() / plain.abs().max()).try_into().unwrap();
                assert!(gap < 1e-5, "{gap}");
            });
        }
    }

    #[test]
    fn a_tally_is_the_mean_over_images_not_over_batches() {
        let logits = Tensor::from_slice(&[0.0f32, 0.0, 4.0, 0.0, 0.0, 4.0]).view([3, 2]);
        let labels = Tensor::from_slice(&[0i64, 0, 0]);
        let mut tally = Tally::default();
        tally.add(&logits.narrow(0, 0, 2), &labels.narrow(0, 0, 2)).unwrap();
        tally.add(&logits.narrow(0, 2, 1), &labels.narrow(0, 2, 1)).unwrap();
        // By hand: ln 2, ln(1 + e^-4), 4 + ln(1 + e^-4).
        let wanted = (2f64.ln() + 4.0 + 2.0 * (-4f64).exp().ln_1p()) / 3.0;
        assert!((tally.mean_loss() - wanted).abs() < 1e-6);
        assert!((tally.accuracy() - 2.0 / 3.0).abs() < 1e-12);
    }
}
