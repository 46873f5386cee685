//! A network whose parameters, gradients and batch-norm statistics each are views into one flat tensor.
//!
//! An optimizer step is then a few operations on one vector, and norms and angles are inner products. Parameters are
//! leaf tensors whose data and gradient are re-seated onto the flat vectors once; autograd accumulates in place from
//! then on. Clear the gradient with [`Network::zero_grad`], never by dropping it.

use std::sync::Arc;

use tch::{Device, Kind, TchError, Tensor};

use super::pass::{Pass, run};
use super::plan::{ConvPlan, LinearPlan, ParamKind, ParamPlan, Plan};
use super::probes::Probes;

/// PyTorch's default weight of a batch's statistics in the running ones.
const NORM_MOMENTUM: f64 = 0.1;
/// PyTorch's default under the root of a batch norm.
pub(super) const NORM_EPS: f64 = 1e-5;

/// A network's weights by themselves: its state, free of autograd. A deep copy unless told otherwise.
#[derive(Debug)]
pub struct Weights {
    /// Flat parameters [`Plan::scalars`], in the layout of [`view`].
    pub theta: Tensor,
    /// Running means, then running variances [2 * [`Plan::statistics`]].
    pub running: Tensor,
    /// Batches that the running statistics have seen.
    pub batches: i64,
}

impl Weights {
    /// A copy where they are that shares nothing.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn copy(&self) -> Result<Self, TchError> {
        self.copy_to(self.theta.device())
    }

    /// A copy on `device` that shares nothing.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn copy_to(&self, device: Device) -> Result<Self, TchError> {
        let copy = |t: &Tensor| t.f_detach()?.f_to_device_(device, Kind::Float, false, true);
        Ok(Self { theta: copy(&self.theta)?, running: copy(&self.running)?, batches: self.batches })
    }
}

/// The view of one parameter in a flat vector, with PyTorch's shape. Convs lie channels-last in memory: oneDNN's and
/// cuDNN's kernels are faster on it for few channels.
pub(super) fn view(flat: &Tensor, param: &ParamPlan) -> Result<Tensor, TchError> {
    let part = flat.f_narrow(0, param.offset, param.len())?;
    match (param.kind, &param.shape[..]) {
        (ParamKind::Conv, &[o, i, h, w]) => part.f_view([o, h, w, i])?.f_permute([0, 3, 1, 2]),
        (_, shape) => part.f_view(shape),
    }
}

impl Plan {
    /// Brings a vector in PyTorch's order, tensor by tensor row-major, into the flat layout [`Plan::scalars`].
    ///
    /// # Errors
    /// When the length is not [`Plan::scalars`] or the device has no room.
    pub fn pack(&self, row_major: &[f32], device: Device) -> Result<Tensor, TchError> {
        let source = Tensor::f_from_slice(row_major)?.f_view([self.scalars()])?;
        let flat = Tensor::f_zeros([self.scalars()], (Kind::Float, Device::Cpu))?;
        for p in &self.params {
            view(&flat, p)?
                .f_copy_(&source.f_narrow(0, p.offset, p.len())?.f_view(&p.shape[..])?)?;
        }
        flat.f_to_device(device)
    }

    /// One parameter of a flat vector with PyTorch's shape, row-major, on the CPU, sharing nothing.
    ///
    /// # Errors
    /// When the copy off the device fails.
    pub fn unpack(&self, flat: &Tensor, param: &ParamPlan) -> Result<Tensor, TchError> {
        view(flat, param)?.f_detach()?.f_contiguous()?.f_to_device_(
            Device::Cpu,
            Kind::Float,
            false,
            true,
        )
    }

    /// Fresh statistics: mean 0, variance 1 [2 * [`Plan::statistics`]].
    ///
    /// # Errors
    /// When the device has no room.
    pub fn fresh_statistics(&self, device: Device) -> Result<Tensor, TchError> {
        let n = self.statistics();
        let running = Tensor::f_ones([2 * n], (Kind::Float, device))?;
        let _ = running.f_narrow(0, 0, n)?.f_zero_()?;
        Ok(running)
    }
}

/// A network that can be trained.
#[derive(Debug)]
pub struct Network {
    plan: Arc<Plan>,
    theta: Tensor,
    grad: Tensor,
    params: Vec<Tensor>,
    running: Tensor,
    means: Vec<Tensor>,
    variances: Vec<Tensor>,
    batches: i64,
}

impl Network {
    /// A network with the weights `row_major` (PyTorch's order, as [`super::initial_weights`] draws them) on `device`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn new(plan: Arc<Plan>, row_major: &[f32], device: Device) -> Result<Self, TchError> {
        let theta = plan.pack(row_major, device)?;
        let running = plan.fresh_statistics(device)?;
        Self::of(plan, Weights { theta, running, batches: 0 })
    }

    /// A network that trains on `weights`, in place, where they are.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn of(plan: Arc<Plan>, weights: Weights) -> Result<Self, TchError> {
        let Weights { theta, running, batches } = weights;
        let grad = theta.f_zeros_like()?;
        let mut params = Vec::with_capacity(plan.params.len());
        for p in &plan.params {
            let mut leaf = Tensor::f_zeros(&p.shape[..], (Kind::Float, theta.device()))?
                .f_set_requires_grad(true)?;
            // A backward makes the gradient exist, so that it can be re-seated.
            leaf.f_sum(Kind::Float)?.f_backward()?;
            leaf.f_grad()?.f_set_data(&view(&grad, p)?)?;
            leaf.f_set_data(&view(&theta, p)?)?;
            params.push(leaf);
        }
        let count = plan.statistics();
        let parts = |base: i64| -> Result<Vec<Tensor>, TchError> {
            plan.norms.iter().map(|n| running.f_narrow(0, base + n.offset, n.channels)).collect()
        };
        let (means, variances) = (parts(0)?, parts(count)?);
        Ok(Self { plan, theta, grad, params, running, means, variances, batches })
    }

    /// What the network consists of.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The flat parameters; change them in place, under `no_grad`.
    pub fn theta(&self) -> &Tensor {
        &self.theta
    }

    /// The flat gradient that backward accumulates into.
    pub fn grad(&self) -> &Tensor {
        &self.grad
    }

    /// The gradient of one parameter, a view into the flat gradient.
    ///
    /// # Errors
    /// Only if torch fails to make a view.
    pub fn grad_of(&self, param: usize) -> Result<Tensor, TchError> {
        view(&self.grad, &self.plan.params[param])
    }

    /// Sets the gradient to zero without dropping it.
    ///
    /// # Errors
    /// When the device fails.
    pub fn zero_grad(&mut self) -> Result<(), TchError> {
        self.grad.f_zero_().map(drop)
    }

    /// The weights as they are, copied to `device`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn weights(&self, device: Device) -> Result<Weights, TchError> {
        let shared = Weights {
            theta: self.theta.shallow_clone(),
            running: self.running.shallow_clone(),
            batches: self.batches,
        };
        shared.copy_to(device)
    }

    /// Logits [batch, classes] of `images` [batch, channels, h, w] in training mode: batch statistics, running ones
    /// updated. `probes` read the gradient at every block.
    ///
    /// # Errors
    /// When shapes do not fit or the device fails.
    pub fn forward(
        &mut self,
        images: &Tensor,
        probes: Option<&mut Probes>,
    ) -> Result<Tensor, TchError> {
        let images = to_channels_last(images)?;
        let probes = probes.map(Probes::cleared);
        let logits = run(&self.plan, &mut Training { net: self, probes }, images)?;
        self.batches += 1;
        Ok(logits)
    }

    /// Batch norm by the batch's statistics; the running ones are updated.
    fn norm(&self, x: &Tensor, index: usize) -> Result<Tensor, TchError> {
        let norm = self.plan.norms[index].weight;
        x.f_batch_norm(
            Some(&self.params[norm]),
            Some(&self.params[norm + 1]),
            Some(&self.means[index]),
            Some(&self.variances[index]),
            true,
            NORM_MOMENTUM,
            NORM_EPS,
            true,
        )
    }
}

/// A forward pass that can be followed back.
struct Training<'a> {
    net: &'a Network,
    probes: Option<&'a mut Probes>,
}

impl Pass for Training<'_> {
    type Signal = Tensor;

    fn conv(&self, x: &Tensor, conv: ConvPlan) -> Result<Tensor, TchError> {
        let Network { params, .. } = self.net;
        let bias = conv.bias.map(|bias| &params[bias]);
        self.net.norm(&convolve(x, &params[conv.weight], bias, conv)?, conv.norm)
    }

    fn linear(&self, x: &Tensor, linear: LinearPlan) -> Result<Tensor, TchError> {
        let Network { params, .. } = self.net;
        let y = x.f_linear(&params[linear.weight], Some(&params[linear.weight + 1]))?;
        match linear.norm {
            Some(norm) => self.net.norm(&y, norm),
            None => Ok(y),
        }
    }

    fn at_input(&mut self, x: Tensor) -> Result<Tensor, TchError> {
        match &mut self.probes {
            Some(probes) => probes.at_input(&x),
            None => Ok(x),
        }
    }

    fn at_sum(&mut self, x: Tensor) -> Result<Tensor, TchError> {
        match &mut self.probes {
            Some(probes) => probes.at_sum(&x),
            None => Ok(x),
        }
    }

    fn at_projection(&mut self, x: &Tensor) -> Result<Option<Tensor>, TchError> {
        self.probes.as_mut().map(|p| p.at_projection(x)).transpose()
    }
}

/// Channels that oneDNN's kernels take at once.
const LANES: i64 = 8;

/// A conv by itself, with or without bias.
///
/// A 1x1 conv whose channels fill no vector is made as a matrix product: oneDNN's `jit_avx2_1x1_convolution_bwd_weights_t`
/// (libtorch 2.11.0, on processors without AVX-512) writes such a conv's weight gradient beyond its end.
pub(super) fn convolve(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    conv: ConvPlan,
) -> Result<Tensor, TchError> {
    let (out, into, height, width) = weight.size4()?;
    let fills = out % LANES == 0 && into % LANES == 0;
    if (height, width, conv.padding) == (1, 1, 0) && !fills {
        let taken = x.f_slice(2, None, None, conv.stride)?.f_slice(3, None, None, conv.stride)?;
        let rows = taken.f_permute([0, 2, 3, 1])?;
        let y = rows.f_linear(&weight.f_reshape([out, into])?, bias)?;
        return y.f_permute([0, 3, 1, 2]);
    }
    let (stride, padding) = ([conv.stride; 2], [conv.padding; 2]);
    x.f_conv2d(weight, bias, stride, padding, [1, 1], 1)
}

/// The images with their channels innermost in memory, as the weights are. With one channel the two layouts are the
/// same bytes and only strides would tell; the convs then choose by the weights.
pub(super) fn to_channels_last(images: &Tensor) -> Result<Tensor, TchError> {
    images.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::initial_weights;
    use super::super::plan::tests::{spec, vgg9};
    use super::*;

    pub(crate) fn network(skip: bool) -> Network {
        of(Plan::resnet(&spec(8, 4), skip, 3, 10))
    }

    fn of(plan: Plan) -> Network {
        let weights = initial_weights(&plan, 1);
        Network::new(Arc::new(plan), &weights, Device::Cpu).unwrap()
    }

    fn both_families() -> [Network; 2] {
        [network(true), of(vgg9(3, [3, 8, 8], 10))]
    }

    fn batch() -> (Tensor, Tensor) {
        let images: Vec<f32> =
            (0..8 * 3 * 64).map(|i| ((i * 37 % 101) as f32 / 50.0) - 1.0).collect();
        (
            Tensor::from_slice(&images).view([8, 3, 8, 8]),
            Tensor::from_slice(&[0i64, 1, 2, 3, 4, 5, 6, 7]),
        )
    }

    pub(crate) fn loss(net: &mut Network, probes: Option<&mut Probes>) -> Tensor {
        let (x, y) = batch();
        net.forward(&x, probes).unwrap().cross_entropy_for_logits(&y)
    }

    #[test]
    fn a_projection_is_the_same_conv_by_either_way() {
        for channels in [3, 8] {
            let x = Tensor::randn([2, channels, 6, 6], (Kind::Float, Device::Cpu));
            let x = to_channels_last(&x).unwrap();
            let weight = Tensor::randn([2 * channels, channels, 1, 1], (Kind::Float, Device::Cpu));
            let conv = ConvPlan { weight: 0, bias: None, norm: 0, stride: 2, padding: 0 };
            let found = convolve(&x, &weight, None, conv).unwrap();
            let wanted = x.conv2d(&weight, None::<Tensor>, [2, 2], [0, 0], [1, 1], 1);
            assert_eq!(found.size(), wanted.size());
            let gap: f64 = (&found - &wanted).abs().max().try_into().unwrap();
            assert!(gap < 1e-5, "{channels} channels: {gap}");
        }
    }

    #[test]
    fn packing_and_unpacking_keep_pytorchs_order() {
        for net in both_families() {
            let plan = net.plan();
            let weights: Vec<f32> = (0..plan.scalars()).map(|i| i as f32).collect();
            let flat = plan.pack(&weights, Device::Cpu).unwrap();
            for p in &plan.params {
                let back: Vec<f32> = plan.unpack(&flat, p).unwrap().view([-1]).try_into().unwrap();
                let (from, to) = (p.offset as usize, (p.offset + p.len()) as usize);
                assert_eq!(back, &weights[from..to], "{}", p.name);
            }
        }
    }

    #[test]
    fn backward_fills_the_flat_gradient_and_accumulates() {
        for mut net in both_families() {
            loss(&mut net, None).backward();
            let once = net.grad().copy();
            assert!(f64::try_from(once.norm()).unwrap() > 0.0);
            let whole: f64 = once.square().sum(Kind::Double).try_into().unwrap();
            let parts: f64 = (0..net.plan().params.len())
                .map(|i| f64::try_from(net.grad_of(i).unwrap().square().sum(Kind::Double)).unwrap())
                .sum();
            assert!((whole - parts).abs() < 1e-6 * whole);
            loss(&mut net, None).backward();
            let twice: f64 = (net.grad() - &once * 2.0).norm().try_into().unwrap();
            assert!(twice < 1e-5 * whole.sqrt(), "{twice}");
            net.zero_grad().unwrap();
            assert_eq!(f64::try_from(net.grad().norm()).unwrap(), 0.0);
        }
    }

    /// Central differences of the loss along the gradient itself: |g|^2.
    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let [mut net, _] = both_families();
        // The head starts near zero and would hide the trunk's gradient.
        let head = net.plan().params[net.plan().head.weight].clone();
        let _ = tch::no_grad(|| view(net.theta(), &head).unwrap().fill_(0.05));
        loss(&mut net, None).backward();
        let g = net.grad().copy();
        let squared: f64 = g.square().sum(Kind::Double).try_into().unwrap();
        let at = |net: &mut Network, eps: f64| -> f64 {
            let _ = tch::no_grad(|| net.theta.g_add_(&(&g * eps)));
            let value = tch::no_grad(|| loss(net, None)).try_into().unwrap();
            let _ = tch::no_grad(|| net.theta.g_sub_(&(&g * eps)));
            value
        };
        let eps = 1e-2 / squared;
        let slope = (at(&mut net, eps) - at(&mut net, -eps)) / (2.0 * eps);
        assert!((slope / squared - 1.0).abs() < 0.02, "{slope} {squared}");
    }
}
