//! Probes of the gradient at every residual block.

use tch::{Device, Kind, TchError, Tensor};

use super::plan::{Plan, Shortcut};
use crate::telemetry::event::BlockFlow;

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
    /// Without the probes of an earlier pass.
    pub(super) fn cleared(&mut self) -> &mut Self {
        let Self { inputs, outputs, shortcuts } = self;
        inputs.clear();
        outputs.clear();
        shortcuts.clear();
        self
    }

    /// The input of a block, probed.
    pub(super) fn at_input(&mut self, x: &Tensor) -> Result<Tensor, TchError> {
        probed(&mut self.inputs, x)
    }

    /// The sum of a block, probed.
    pub(super) fn at_sum(&mut self, x: &Tensor) -> Result<Tensor, TchError> {
        probed(&mut self.outputs, x)
    }

    /// What goes into a projection shortcut, probed.
    pub(super) fn at_projection(&mut self, x: &Tensor) -> Result<Tensor, TchError> {
        probed(&mut self.shortcuts, x)
    }

    /// The residual decomposition of each block, after backward: dL/dx = carry + branch.
    ///
    /// # Errors
    /// When the device fails, or before a backward.
    pub fn read(&self, plan: &Plan) -> Result<Vec<BlockFlow>, TchError> {
        let mut shortcuts = self.shortcuts.iter();
        let mut figures = Vec::new();
        for ((block, x), h) in plan.blocks().zip(&self.inputs).zip(&self.outputs) {
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
        Ok(plan.blocks().map(|b| b.name.as_str()).zip(figures.chunks_exact(5)).map(flow).collect())
    }
}

/// `x` with a zero tensor added that autograd follows; it is put into `list`.
fn probed(list: &mut Vec<Tensor>, x: &Tensor) -> Result<Tensor, TchError> {
    let zero = x.f_detach()?.f_zeros_like()?.f_set_requires_grad(true)?;
    list.push(zero.shallow_clone());
    x.f_add(&zero)
}

#[cfg(test)]
mod tests {
    use super::super::network::tests::{loss, network};
    use super::*;

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
