//! Products of the loss's Hessian with vectors, with respect to the conv and linear weights, in eval mode.
//!
//! Forward over reverse: the network is run on its values and, beside them, on their derivatives along v; what comes
//! out is the derivative of the loss along v, <g, v>, and one ordinary backward pass through it gives H v. Every conv
//! is then one that training makes too, in its layout and with its kernels; libtorch's double backward of the same
//! folded network takes a third longer (ResNet-56 of width 8, on a CPU).
//!
//! Batch norms are folded into the convs, w' = s w with s fixed, so H v = s H' (s v) with the Hessian H' of the folded
//! network.

use std::sync::Arc;

use tch::{Kind, TchError, Tensor};

use super::fold::FoldedLayout;
use super::network::{Weights, convolve, to_channels_last, view};
use super::pass::{POOL, Pass, Signal, run};
use super::plan::{ConvPlan, LinearPlan, Plan};

/// A network at fixed weights, ready for products.
#[derive(Debug)]
pub struct HessianProduct {
    plan: Arc<Plan>,
    /// Factor of every entry of the flat vector; 0 where the Hessian has no row: batch norms and biases.
    scale: Tensor,
    /// The folded parameters; those with a row are leaves of autograd.
    params: Vec<Tensor>,
}

/// An activation and its derivative along v; the images have none.
struct Dual {
    value: Tensor,
    along: Option<Tensor>,
}

impl HessianProduct {
    /// The network of `weights`, on their device.
    ///
    /// # Errors
    /// When the device fails or has no room.
    pub fn new(plan: Arc<Plan>, weights: &Weights) -> Result<Self, TchError> {
        let (scale, folded) = tch::no_grad(|| {
            let layout = FoldedLayout::new(&plan, weights)?;
            let folded = layout.fold(&plan, weights)?;
            Ok::<_, TchError>((layout.scale, folded))
        })?;
        let mut params = Vec::with_capacity(plan.params.len());
        for p in &plan.params {
            let part = view(&folded, p)?.f_detach()?;
            if p.is_layer() {
                params.push(part.f_set_requires_grad(true)?);
            } else {
                let _ = scale.f_narrow(0, p.offset, p.len())?.f_zero_()?;
                params.push(part);
            }
        }
        Ok(Self { plan, scale, params })
    }

    /// H v of the mean cross-entropy over the images of all `batches` (images [b, channels, h, w], labels [b]), flat as
    /// `v` is, in the layout of the parameters; entries of `v` without a row count as 0. Not finite where the loss is
    /// not.
    ///
    /// # Errors
    /// When shapes do not fit or the device fails.
    pub fn of<'a>(
        &self,
        v: &Tensor,
        batches: impl IntoIterator<Item = (&'a Tensor, &'a Tensor)>,
    ) -> Result<Tensor, TchError> {
        let scaled = tch::no_grad(|| v.f_view([self.plan.scalars()])?.f_mul(&self.scale))?;
        let along: Vec<Tensor> =
            self.plan.params.iter().map(|p| view(&scaled, p)).collect::<Result<_, _>>()?;
        let sum = scaled.f_zeros_like()?;
        let layers: Vec<usize> = self.plan.layers().map(|(index, _)| index).collect();
        let leaves: Vec<&Tensor> = layers.iter().map(|index| &self.params[*index]).collect();
        let mut images = 0;
        for (batch, labels) in batches {
            let slope = tch::with_grad(|| self.slope(batch, labels, &along))?;
            let rows = Tensor::f_run_backward(&[slope], &leaves, false, false)?;
            for (index, row) in layers.iter().zip(rows) {
                // A weight that nothing depends on has no gradient.
                if row.defined() {
                    let _ = view(&sum, &self.plan.params[*index])?.f_add_(&row)?;
                }
            }
            images += labels.size1()?;
        }
        tch::no_grad(|| sum.f_mul(&self.scale)?.f_div_scalar(images as f64))
    }

    /// The derivative along v of the cross-entropy summed over a batch.
    fn slope(
        &self,
        images: &Tensor,
        labels: &Tensor,
        along: &[Tensor],
    ) -> Result<Tensor, TchError> {
        let input = Dual { value: to_channels_last(images)?, along: None };
        let logits = run(&self.plan, &mut Along { product: self, along }, input)?;
        // The cross-entropy's gradient at the logits is softmax - one-hot.
        let wanted = labels.f_one_hot(self.plan.classes)?.f_to_kind(Kind::Float)?;
        let gradient = logits.value.f_softmax(1, Kind::Float)?.f_sub(&wanted)?;
        match &logits.along {
            Some(slopes) => gradient.f_mul(slopes)?.f_sum(Kind::Float),
            None => gradient.f_zeros_like()?.f_sum(Kind::Float),
        }
    }
}

/// A pass of values and of their derivatives.
struct Along<'a> {
    product: &'a HessianProduct,
    /// The direction, parameter by parameter, folded.
    along: &'a [Tensor],
}

impl Along<'_> {
    /// A layer whose values are `of` its input and weight, and the bias `shift`.
    fn layer(
        &self,
        x: &Dual,
        weight: usize,
        shift: &Tensor,
        of: impl Fn(&Tensor, &Tensor) -> Result<Tensor, TchError>,
    ) -> Result<Dual, TchError> {
        let w = &self.product.params[weight];
        let value = of(&x.value, w)?.f_add_(shift)?;
        let mut moved = of(&x.value, &self.along[weight])?;
        if let Some(along) = &x.along {
            moved = moved.f_add_(&of(along, w)?)?;
        }
        Ok(Dual { value, along: Some(moved) })
    }
}

impl Pass for Along<'_> {
    type Signal = Dual;

    fn conv(&self, x: &Dual, conv: ConvPlan) -> Result<Dual, TchError> {
        let norm = &self.product.plan.norms[conv.norm];
        let shift = self.product.params[norm.weight + 1].f_view([-1, 1, 1])?;
        self.layer(x, conv.weight, &shift, |x, w| convolve(x, w, None, conv))
    }

    fn linear(&self, x: &Dual, linear: LinearPlan) -> Result<Dual, TchError> {
        let shift = &self.product.params[self.product.plan.shift(linear)];
        self.layer(x, linear.weight, shift, |x, w| x.f_linear(w, None::<&Tensor>))
    }
}

impl Signal for Dual {
    fn relu(mut self) -> Result<Self, TchError> {
        let value = self.value.f_relu_()?;
        let open = value.f_detach()?;
        let along = self.along.map(|a| open.f_threshold_backward(&a, 0.0)).transpose()?;
        Ok(Self { value, along })
    }

    fn add(mut self, other: &Self) -> Result<Self, TchError> {
        let value = self.value.f_add_(&other.value)?;
        let along = match (self.along, &other.along) {
            (Some(mut a), Some(b)) => Some(a.f_add_(b)?),
            (a, _) => a,
        };
        Ok(Self { value, along })
    }

    fn max_pool(&self) -> Result<Self, TchError> {
        let (value, largest) =
            self.value.f_max_pool2d_with_indices(POOL, POOL, [0, 0], [1, 1], false)?;
        // What is derived is the pixel that was taken.
        let taken = |along: &Tensor| {
            let places = largest.f_flatten(2, 3)?;
            along.f_flatten(2, 3)?.f_gather(2, &places, false)?.f_view_as(&value)
        };
        let along = self.along.as_ref().map(taken).transpose()?;
        Ok(Self { value, along })
    }

    fn flatten(&self) -> Result<Self, TchError> {
        let along = self.along.as_ref().map(Signal::flatten).transpose()?;
        Ok(Self { value: Signal::flatten(&self.value)?, along })
    }

    fn mean(&self) -> Result<Self, TchError> {
        let along = self.along.as_ref().map(Signal::mean).transpose()?;
        Ok(Self { value: Signal::mean(&self.value)?, along })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tch::Device;

    use super::super::fold::tests::reference;
    use super::super::plan::tests::{spec, vgg9};
    use super::super::{Network, ParamKind, initial_weights};
    use super::*;

    /// A small network away from its start and no bias 0 (a ReLU behind dead channels would sit on its kink), 3 classes, with `images` images of 8x8 pixels and their labels.
    pub(crate) fn setting(
        width: i64,
        skip: bool,
        images: i64,
    ) -> (Arc<Plan>, Weights, Tensor, Tensor) {
        setting_of(Plan::resnet(&spec(8, width), skip, 1, 3), images)
    }

    fn setting_of(plan: Plan, images: i64) -> (Arc<Plan>, Weights, Tensor, Tensor) {
        let plan = Arc::new(plan);
        let mut row_major = initial_weights(&plan, 5);
        for p in plan.params.iter().filter(|p| p.kind != ParamKind::Conv) {
            for i in p.offset..p.offset + p.len() {
                row_major[i as usize] += 0.4 * (((i * 5) % 7) as f32 - 2.6) / 3.0;
            }
        }
        let mut net = Network::new(Arc::clone(&plan), &row_major, Device::Cpu).unwrap();
        let numbers: Vec<f32> =
            (0..images * 64).map(|i| ((i * i % 97) as f32 / 48.0 - 1.0) * 1.5).collect();
        let pixels = Tensor::from_slice(&numbers).view([images, 1, 8, 8]);
        let labels = Tensor::from_slice(&(0..images).map(|i| i * i % 3).collect::<Vec<_>>());
        for _ in 0..3 {
            let _ = tch::no_grad(|| net.forward(&pixels, None).unwrap());
        }
        let weights = net.weights(Device::Cpu).unwrap();
        (plan, weights, pixels, labels)
    }

    /// The layers' entries of a flat vector, in PyTorch's order, in double precision.
    fn layers(plan: &Plan, flat: &Tensor) -> Tensor {
        let one = |(_, p)| plan.unpack(flat, p).unwrap().view([-1]).to_kind(Kind::Double);
        Tensor::cat(&plan.layers().map(one).collect::<Vec<_>>(), 0)
    }

    /// The parameters in double precision, the layers' as leaves.
    fn doubles(plan: &Plan, theta: &Tensor) -> Vec<Tensor> {
        let double = |p| plan.unpack(theta, p).unwrap().to_kind(Kind::Double);
        plan.params.iter().map(|p| double(p).set_requires_grad(p.is_layer())).collect()
    }

    /// The gradient by the layers of the network written out, with its graph.
    fn gradient(plan: &Plan, params: &[Tensor], w: &Weights, x: &Tensor, y: &Tensor) -> Tensor {
        let running = w.running.to_kind(Kind::Double);
        let logits = reference(plan, params, &running, &x.to_kind(Kind::Double));
        let leaves: Vec<&Tensor> = plan.layers().map(|(i, _)| &params[i]).collect();
        // tch's `cross_entropy_for_logits` goes through single precision.
        let loss = logits.cross_entropy_loss(y, None::<&Tensor>, tch::Reduction::Mean, -100, 0.0);
        let rows = Tensor::run_backward(&[loss], &leaves, true, true);
        Tensor::cat(&rows.iter().map(|r| r.reshape([-1])).collect::<Vec<_>>(), 0)
    }

    fn gap(found: &Tensor, wanted: &Tensor) -> f64 {
        ((found - wanted).norm() / wanted.norm()).try_into().unwrap()
    }

    #[test]
    fn products_are_those_of_a_double_backward_and_of_differences_of_the_gradient() {
        let resnet = |skip, width| Plan::resnet(&spec(8, width), skip, 1, 3);
        let vgg9 = vgg9(3, [1, 8, 8], 3);
        for (which, plan) in
            [resnet(true, 2), resnet(false, 3), resnet(true, 8), vgg9].into_iter().enumerate()
        {
            let (plan, weights, x, y) = setting_of(plan, 12);
            let product = HessianProduct::new(Arc::clone(&plan), &weights).unwrap();
            let v = weights.theta.sin() * 0.5 + (&weights.theta * 37.0).cos();
            let found = product.of(&v, [(&x, &y)]).unwrap();

            let params = doubles(&plan, &weights.theta);
            let g = gradient(&plan, &params, &weights, &x, &y);
            let leaves: Vec<&Tensor> = plan.layers().map(|(i, _)| &params[i]).collect();
            let rows = Tensor::run_backward(&[g.dot(&layers(&plan, &v))], &leaves, false, false);
            let twice = Tensor::cat(&rows.iter().map(|r| r.reshape([-1])).collect::<Vec<_>>(), 0);
            let off = gap(&layers(&plan, &found), &twice);
            assert!(off < 1e-4, "double backward, network {which}: {off}");

            // In double precision, and so small that no ReLU changes sides.
            let step = 1e-7;
            let moved = |by: f64| {
                let params = tch::no_grad(|| {
                    let along = doubles(&plan, &v);
                    let pairs = doubles(&plan, &weights.theta).into_iter().zip(along);
                    let moved = pairs.zip(&plan.params).map(|((w, d), p)| match p.is_layer() {
                        true => (w + d * by).set_requires_grad(true),
                        false => w,
                    });
                    moved.collect::<Vec<_>>()
                });
                gradient(&plan, &params, &weights, &x, &y).detach()
            };
            let differences = (moved(step) - moved(-step)) / (2.0 * step);
            let off = gap(&differences, &twice);
            assert!(off < 1e-5, "differences, network {which}: {off}");
        }
    }

    #[test]
    fn batches_add_up_to_the_mean_over_images_and_batch_norms_have_no_row() {
        let (plan, weights, x, y) = setting(2, true, 10);
        let product = HessianProduct::new(Arc::clone(&plan), &weights).unwrap();
        let v = weights.theta.ones_like();
        let whole = product.of(&v, [(&x, &y)]).unwrap();
        let parts = [(0, 7), (7, 3)].map(|(at, n)| (x.narrow(0, at, n), y.narrow(0, at, n)));
        let parted = product.of(&v, parts.iter().map(|(x, y)| (x, y))).unwrap();
        assert!(gap(&parted, &whole) < 1e-5);
        let mut rows = 0;
        for p in plan.params.iter().filter(|p| !p.is_layer()) {
            assert_eq!(f64::try_from(whole.narrow(0, p.offset, p.len()).norm()).unwrap(), 0.0);
            rows += p.len();
        }
        assert!(rows > 0);
        // What v says of batch norms counts for nothing.
        let masked = layers(&plan, &v);
        let only = v.zeros_like();
        for (_, p) in plan.layers() {
            let _ = only.narrow(0, p.offset, p.len()).fill_(1.0);
        }
        assert_eq!(
            f64::try_from(masked.sum(Kind::Double)).unwrap(),
            masked.size1().unwrap() as f64
        );
        assert_eq!(product.of(&only, [(&x, &y)]).unwrap(), whole);
    }

    #[test]
    fn what_does_not_fit_is_an_error_and_a_loss_that_is_none_gives_no_figure() {
        let (plan, weights, x, y) = setting(2, true, 4);
        let product = HessianProduct::new(Arc::clone(&plan), &weights).unwrap();
        assert!(product.of(&Tensor::from_slice(&[1.0f32]), [(&x, &y)]).is_err());
        let v = weights.theta.ones_like();
        assert!(product.of(&v, [(&x, &y.narrow(0, 0, 3))]).is_err());
        let nothing = product.of(&v, []).unwrap();
        assert!(nothing.isnan().any().try_into().unwrap_or(false));
        let broken = Weights { theta: &weights.theta * f64::NAN, ..weights };
        let product = HessianProduct::new(plan, &broken).unwrap();
        assert!(product.of(&v, [(&x, &y)]).unwrap().isnan().any().try_into().unwrap_or(false));
    }
}
