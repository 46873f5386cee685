//! A network whose parameters, gradients and batch-norm statistics each are views into one flat tensor.
//!
//! An optimizer step is then a few operations on one vector, and norms and angles are inner products. Parameters are
//! leaf tensors whose data and gradient are re-seated onto the flat vectors once; autograd accumulates in place from
//! then on. Clear the gradient with [`Network::zero_grad`], never by dropping it.

use std::sync::Arc;

use tch::{Device, Kind, TchError, Tensor};

use super::plan::{ConvPlan, ParamKind, ParamPlan, Plan, Shortcut};
use crate::telemetry::event::BlockFlow;

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
        let logits = match probes {
            None => self.trunk(images, |_, x| Ok(x), |_, x| Ok(x), |_, x| Ok(x.shallow_clone())),
            Some(probes) => {
                let Probes { inputs, outputs, shortcuts } = probes;
                let probe = |list: &mut Vec<Tensor>, x: &Tensor| {
                    let e = x.f_detach()?.f_zeros_like()?.f_set_requires_grad(true)?;
                    list.push(e.shallow_clone());
                    x.f_add(&e)
                };
                inputs.clear();
                outputs.clear();
                shortcuts.clear();
                self.trunk(
                    images,
                    |_, x| probe(inputs, &x),
                    |_, x| probe(outputs, &x),
                    |_, x| probe(shortcuts, x),
                )
            }
        }?;
        self.batches += 1;
        Ok(logits)
    }

    /// The forward pass, with a hook on every block's input, on every block's sum before its last ReLU, and on the
    /// input of every projection shortcut.
    fn trunk(
        &self,
        images: &Tensor,
        mut at_input: impl FnMut(usize, Tensor) -> Result<Tensor, TchError>,
        mut at_sum: impl FnMut(usize, Tensor) -> Result<Tensor, TchError>,
        mut at_projection: impl FnMut(usize, &Tensor) -> Result<Tensor, TchError>,
    ) -> Result<Tensor, TchError> {
        let images = to_channels_last(images)?;
        let mut x = self.conv_norm(&images, self.plan.stem)?.f_relu_()?;
        for (index, block) in self.plan.blocks.iter().enumerate() {
            x = at_input(index, x)?;
            let inner = self.conv_norm(&x, block.conv1)?.f_relu_()?;
            let mut branch = self.conv_norm(&inner, block.conv2)?;
            let sum = match block.shortcut {
                Shortcut::None => branch,
                // In place: neither batch norm nor the addition needs the branch's value in backward.
                Shortcut::Identity => branch.f_add_(&x)?,
                Shortcut::Projection(conv) => {
                    let input = at_projection(index, &x)?;
                    branch.f_add_(&self.conv_norm(&input, conv)?)?
                }
            };
            x = at_sum(index, sum)?.f_relu_()?;
        }
        let pooled = x.f_mean_dim([2i64, 3].as_slice(), false, Kind::Float)?;
        pooled.f_linear(&self.params[self.plan.head], Some(&self.params[self.plan.head + 1]))
    }

    fn conv_norm(&self, x: &Tensor, conv: ConvPlan) -> Result<Tensor, TchError> {
        let y = convolve(x, &self.params[conv.weight], conv)?;
        let norm = &self.plan.norms[conv.norm];
        let (weight, bias) = (&self.params[norm.weight], &self.params[norm.weight + 1]);
        let (mean, variance) = (&self.means[conv.norm], &self.variances[conv.norm]);
        let stats = (Some(mean), Some(variance));
        y.f_batch_norm(
            Some(weight),
            Some(bias),
            stats.0,
            stats.1,
            true,
            NORM_MOMENTUM,
            NORM_EPS,
            true,
        )
    }
}

/// Channels that oneDNN's kernels take at once.
const LANES: i64 = 8;

/// A conv without bias.
///
/// A 1x1 conv whose channels fill no vector is made as a matrix product: oneDNN's `jit_avx2_1x1_convolution_bwd_weights_t`
/// (libtorch 2.11.0, on processors without AVX-512) writes such a conv's weight gradient beyond its end.
pub(super) fn convolve(x: &Tensor, weight: &Tensor, conv: ConvPlan) -> Result<Tensor, TchError> {
    let (out, into, height, width) = weight.size4()?;
    let fills = out % LANES == 0 && into % LANES == 0;
    if (height, width, conv.padding) == (1, 1, 0) && !fills {
        let taken = x.f_slice(2, None, None, conv.stride)?.f_slice(3, None, None, conv.stride)?;
        let rows = taken.f_permute([0, 2, 3, 1])?;
        let y = rows.f_linear(&weight.f_reshape([out, into])?, None::<&Tensor>)?;
        return y.f_permute([0, 3, 1, 2]);
    }
    let (stride, padding) = ([conv.stride; 2], [conv.padding; 2]);
    x.f_conv2d(weight, None::<&Tensor>, stride, padding, [1, 1], 1)
}

/// The images with their channels innermost in memory, as the weights are. With one channel the two layouts are the
/// same bytes and only strides would tell; the convs then choose by the weights.
pub(super) fn to_channels_last(images: &Tensor) -> Result<Tensor, TchError> {
    images.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}

/// Zero tensors added at every block, whose gradients are the loss's gradients there. They change no value; they cost
/// an addition each, so they are used on some steps only.
#[derive(Debug, Default)]
pub struct Probes {
    /// dL/dx of each block's input after backward.
    inputs: Vec<Tensor>,
    /// dL/dh of each block's sum before its last ReLU.
    outputs: Vec<Tensor>,
    /// What each projection shortcut hands back, in block order.
    shortcuts: Vec<Tensor>,
}

impl Probes {
    /// The residual decomposition of each block, after backward: dL/dx = carry + branch.
    ///
    /// # Errors
    /// When the device fails, or before a backward.
    pub fn read(&self, plan: &Plan) -> Result<Vec<BlockFlow>, TchError> {
        let mut shortcuts = self.shortcuts.iter();
        let mut figures = Vec::new();
        for ((block, x), h) in plan.blocks.iter().zip(&self.inputs).zip(&self.outputs) {
            let (dx, dh) = (x.f_grad()?, h.f_grad()?);
            let carry = match (block.shortcut, shortcuts.as_slice().first()) {
                (Shortcut::None, _) => dx.f_zeros_like()?,
                (Shortcut::Projection(_), Some(probe)) => {
                    shortcuts.next();
                    probe.f_grad()?
                }
                _ => dh.shallow_clone(),
            };
            let branch = dx.f_sub(&carry)?;
            let dot = carry.f_mul(&branch)?.f_sum(Kind::Float)?;
            figures.extend([carry.f_norm()?, branch.f_norm()?, dot, dx.f_norm()?, dh.f_norm()?]);
        }
        if figures.is_empty() {
            return Ok(Vec::new());
        }
        let figures: Vec<f32> =
            Tensor::f_stack(&figures, 0)?.f_to_device(Device::Cpu)?.try_into()?;
        let flow = |(name, f): (&str, &[f32])| {
            let [carry, branch, dot, dx, dh] = [0, 1, 2, 3, 4].map(|i| f64::from(f[i]));
            // 0 / 0 is NaN: a figure that does not exist.
            BlockFlow {
                name: name.to_owned(),
                carry,
                branch,
                cos: dot / (carry * branch),
                gain: dx / dh,
            }
        };
        Ok(plan
            .blocks
            .iter()
            .map(|b| b.name.as_str())
            .zip(figures.chunks_exact(5))
            .map(flow)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::initial_weights;
    use super::super::plan::tests::spec;
    use super::*;

    fn network(skip: bool) -> Network {
        let plan = Arc::new(Plan::resnet(&spec(8, 4), skip, 3, 10));
        let weights = initial_weights(&plan, 1);
        Network::new(plan, &weights, Device::Cpu).unwrap()
    }

    fn batch() -> (Tensor, Tensor) {
        let images: Vec<f32> =
            (0..8 * 3 * 64).map(|i| ((i * 37 % 101) as f32 / 50.0) - 1.0).collect();
        (
            Tensor::from_slice(&images).view([8, 3, 8, 8]),
            Tensor::from_slice(&[0i64, 1, 2, 3, 4, 5, 6, 7]),
        )
    }

    fn loss(net: &mut Network, probes: Option<&mut Probes>) -> Tensor {
        let (x, y) = batch();
        net.forward(&x, probes).unwrap().cross_entropy_for_logits(&y)
    }

    #[test]
    fn a_projection_is_the_same_conv_by_either_way() {
        for channels in [3, 8] {
            let x = Tensor::randn([2, channels, 6, 6], (Kind::Float, Device::Cpu));
            let x = to_channels_last(&x).unwrap();
            let weight = Tensor::randn([2 * channels, channels, 1, 1], (Kind::Float, Device::Cpu));
            let conv = ConvPlan { weight: 0, norm: 0, stride: 2, padding: 0 };
            let found = convolve(&x, &weight, conv).unwrap();
            let wanted = x.conv2d(&weight, None::<Tensor>, [2, 2], [0, 0], [1, 1], 1);
            assert_eq!(found.size(), wanted.size());
            let gap: f64 = (&found - &wanted).abs().max().try_into().unwrap();
            assert!(gap < 1e-5, "{channels} channels: {gap}");
        }
    }

    #[test]
    fn packing_and_unpacking_keep_pytorchs_order() {
        let plan = Plan::resnet(&spec(8, 4), true, 3, 10);
        let weights: Vec<f32> = (0..plan.scalars()).map(|i| i as f32).collect();
        let flat = plan.pack(&weights, Device::Cpu).unwrap();
        for p in &plan.params {
            let back: Vec<f32> = plan.unpack(&flat, p).unwrap().view([-1]).try_into().unwrap();
            let (from, to) = (p.offset as usize, (p.offset + p.len()) as usize);
            assert_eq!(back, &weights[from..to], "{}", p.name);
        }
    }

    #[test]
    fn backward_fills_the_flat_gradient_and_accumulates() {
        let mut net = network(true);
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

    /// Central differences of the loss along the gradient itself: |g|^2.
    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let mut net = network(true);
        // The head starts near zero and would hide the trunk's gradient.
        let head = net.plan().params[net.plan().head].clone();
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

    #[test]
    fn probes_change_no_value_and_decompose_the_gradient() {
        for skip in [true, false] {
            let (mut plain, mut probed) = (network(skip), network(skip));
            let mut probes = Probes::default();
            let a = loss(&mut plain, None);
            let b = loss(&mut probed, Some(&mut probes));
            a.backward();
            b.backward();
            assert_eq!(f64::try_from(a).unwrap(), f64::try_from(b).unwrap());
            assert_eq!(f64::try_from((plain.grad() - probed.grad()).abs().max()).unwrap(), 0.0);
            let flow = probes.read(plain.plan()).unwrap();
            let names: Vec<&str> = flow.iter().map(|f| f.name.as_str()).collect();
            assert_eq!(names, ["layer1.0", "layer2.0", "layer3.0"]);
            for (f, (x, h)) in flow.iter().zip(probes.inputs.iter().zip(&probes.outputs)) {
                let norm = |t: &Tensor| f64::try_from(t.grad().norm()).unwrap();
                assert!((f.gain - norm(x) / norm(h)).abs() < 1e-5 * f.gain);
                if skip {
                    // |dx|^2 = |carry|^2 + |branch|^2 + 2 carry . branch
                    let squared =
                        f.carry.powi(2) + f.branch.powi(2) + 2.0 * f.cos * f.carry * f.branch;
                    assert!((squared.sqrt() / norm(x) - 1.0).abs() < 1e-4);
                } else {
                    assert_eq!(f.carry, 0.0);
                    assert!(f.cos.is_nan());
                    assert!((f.branch / norm(x) - 1.0).abs() < 1e-6);
                }
            }
            if skip {
                // The first block's shortcut is the identity: what it carries is dL/dh itself.
                let dh = f64::try_from(probes.outputs[0].grad().norm()).unwrap();
                assert!((flow[0].carry / dh - 1.0).abs() < 1e-6);
            }
        }
    }
}
