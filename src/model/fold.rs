//! A network for evaluation, its batch norms folded into the layers before them: y = scale * (layer(x) - mean) + bias
//! with scale = weight / sqrt(variance + eps). One layer with bias is left of each pair.
//!
//! Folded weights lie in the same flat layout as the parameters: a layer's slot holds scale * w, its batch-norm bias
//! slot holds the folded bias, the batch-norm weight slot and that of a bias of the layer's own are unused. Folding is
//! linear in the layers' weights and biases, so a direction that leaves the batch norms alone is folded once, and a point
//! of a plane is one combination of vectors.

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
        for layer in plan.normed() {
            let factor = factor(plan, weights, layer.norm)?;
            let weight = &plan.params[layer.weight];
            // A factor for each index of dimension 0.
            let mut shape = vec![1; weight.shape.len()];
            shape[0] = -1;
            view(&scale, weight)?.f_copy_(&factor.f_view(&shape[..])?)?;
            if let Some(bias) = layer.bias {
                view(&scale, &plan.params[bias])?.f_copy_(&factor)?;
            }
        }
        Ok(Self { scale })
    }

    /// `weights` folded.
    ///
    /// # Errors
    /// When the device fails.
    pub fn fold(&self, plan: &Plan, weights: &Weights) -> Result<Tensor, TchError> {
        let folded = weights.theta.f_mul(&self.scale)?;
        for layer in plan.normed() {
            let norm = &plan.norms[layer.norm];
            let bias_plan = &plan.params[norm.weight + 1];
            let bias = view(&weights.theta, bias_plan)?;
            let mean = weights.running.f_narrow(0, norm.offset, norm.channels)?;
            let mut shifted = bias.f_sub(&mean.f_mul(&factor(plan, weights, layer.norm)?)?)?;
            if let Some(own) = layer.bias {
                let _ = shifted.f_add_(&view(&folded, &plan.params[own])?)?;
            }
            view(&folded, bias_plan)?.f_copy_(&shifted)?;
        }
        Ok(folded)
    }

    /// A direction folded; it must leave batch norms alone.
    ///
    /// # Errors
    /// When the device fails.
    pub fn fold_direction(&self, plan: &Plan, direction: &Tensor) -> Result<Tensor, TchError> {
        let folded = direction.f_mul(&self.scale)?;
        for layer in plan.normed() {
            if let Some(own) = layer.bias {
                let moved = view(&folded, &plan.params[own])?;
                let bias = &plan.params[plan.norms[layer.norm].weight + 1];
                let _ = view(&folded, bias)?.f_add_(&moved)?;
            }
        }
        Ok(folded)
    }
}

/// weight / sqrt(variance + eps) of a batch norm [channels].
fn factor(plan: &Plan, weights: &Weights, norm: usize) -> Result<Tensor, TchError> {
    let norm = &plan.norms[norm];
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
        x.f_linear(&self.params[linear.weight], Some(&self.params[self.plan.shift(linear)]))
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
    use super::super::plan::tests::{spec, vgg9};
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
        let norm = |y: &Tensor, index: usize| {
            let n = &plan.norms[index];
            let mean = running.narrow(0, n.offset, n.channels);
            let variance = running.narrow(0, plan.statistics() + n.offset, n.channels);
            let (weight, bias) = (p(n.weight), p(n.weight + 1));
            let (mean, variance) = (Some(&mean), Some(&variance));
            y.batch_norm(Some(weight), Some(bias), mean, variance, false, 0.1, 1e-5, false)
        };
        let conv = |x: &Tensor, c: ConvPlan| {
            let (stride, padding) = ([c.stride; 2], [c.padding; 2]);
            norm(&x.conv2d(p(c.weight), c.bias.map(p), stride, padding, [1, 1], 1), c.norm)
        };
        let linear = |x: &Tensor, l: LinearPlan| x.linear(p(l.weight), Some(p(l.weight + 1)));
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
                Stage::MaxPool => x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false),
                Stage::Mean => x.mean_dim([2i64, 3].as_slice(), false, images.kind()),
                Stage::Flatten => x.flatten(1, -1),
                Stage::Linear(l) => norm(&linear(&x, *l), l.norm.unwrap()).relu(),
            };
        }
        linear(&x, plan.head)
    }

    fn plans() -> [Arc<Plan>; 3] {
        let resnet = |skip| Plan::resnet(&spec(14, 6), skip, 3, 10);
        [resnet(true), resnet(false), vgg9(5, [3, 12, 12], 10)].map(Arc::new)
    }

    /// Batch norms away from weight 1 and bias 0, linear layers and biases away from 0, statistics of `images`.
    fn weights(plan: &Arc<Plan>, images: &Tensor) -> Weights {
        let mut row_major = initial_weights(plan, 5);
        for p in plan.params.iter().filter(|p| p.kind != ParamKind::Conv) {
            for i in p.offset..p.offset + p.len() {
                row_major[i as usize] += 0.3 * ((i % 7) as f32 - 3.0) / 3.0;
            }
        }
        let mut net = Network::new(Arc::clone(plan), &row_major, Device::Cpu).unwrap();
        for _ in 0..3 {
            let _ = tch::no_grad(|| net.forward(images, None).unwrap());
        }
        net.weights(Device::Cpu).unwrap()
    }

    /// Of a direction that leaves batch norms alone, biases of layers included.
    #[test]
    fn a_folded_direction_leads_where_folded_weights_lie() {
        for plan in plans() {
            let images = Tensor::randn([8, 3, 12, 12], (Kind::Float, Device::Cpu));
            let weights = weights(&plan, &images);
            tch::no_grad(|| {
                let direction = weights.theta.randn_like() * 0.1;
                for norm in &plan.norms {
                    let offset = plan.params[norm.weight].offset;
                    let _ = direction.narrow(0, offset, 2 * norm.channels).zero_();
                }
                let layout = FoldedLayout::new(&plan, &weights).unwrap();
                let found = layout.fold(&plan, &weights).unwrap()
                    + layout.fold_direction(&plan, &direction).unwrap();
                let theta = &weights.theta + direction;
                let wanted = layout.fold(&plan, &Weights { theta, ..weights }).unwrap();
                let gap: f64 =
                    ((found - &wanted).abs().max() / wanted.abs().max()).try_into().unwrap();
                assert!(gap < 1e-6, "{gap}");
            });
        }
    }

    #[test]
    fn folding_changes_nothing_but_rounding() {
        for plan in plans() {
            let images = Tensor::randn([16, 3, 12, 12], (Kind::Float, Device::Cpu));
            let weights = weights(&plan, &images);
            tch::no_grad(|| {
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
