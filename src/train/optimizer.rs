//! SGD, Adam and AdamW on one flat vector, as PyTorch defines them, with the step's inner products.
//!
//! The step is written as parts that add up to it: this step's gradient, what momentum kept, this step's decay. With
//! SGD, g' = g + wd * theta, v = mu * v_before + g', and the step is -lr * g' (no momentum), -lr * v, or with Nesterov
//! -lr * (g' + mu * v) = -lr * ((1 + mu) * g + (1 + mu) * wd * theta + mu^2 * v_before). With Adam,
//! m = b1 * m_before + (1 - b1) * g' is split the same way before the division by the root of the second moment; AdamW
//! takes lr * wd * theta off by itself.

use tch::{Kind, TchError, Tensor};

use super::counterfactual::{DecayBuffer, DecayProducts, Parting};
use crate::config::{OptimizerKind, TrainSpec};

/// Adam's weight of the past second moments (PyTorch's default).
const BETA2: f64 = 0.999;
/// Adam's guard against division by zero (PyTorch's default).
const EPS: f64 = 1e-8;

/// What a step needs to know besides the vectors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepSettings {
    /// Learning rate.
    pub lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

/// Inner products of one step `delta` with its surroundings, as scalar tensors on the device: nothing waits for them
/// until they are read together.
#[derive(Debug)]
pub struct StepProducts {
    /// <delta, g>
    pub delta_g: Tensor,
    /// <delta, delta>
    pub delta_delta: Tensor,
    /// <g part, delta>, this step's gradient
    pub gradient_delta: Tensor,
    /// <decay part, delta>, this step's decay
    pub decay_delta: Tensor,
    /// Of what decay has in the step, or would have: with SGD all of it, momentum's share too; with Adam and AdamW this
    /// step's term alone.
    pub decay: DecayProducts,
}

/// An optimizer's buffers.
#[derive(Debug)]
pub struct Optimizer {
    kind: OptimizerKind,
    momentum: f64,
    nesterov: bool,
    clip: Option<f64>,
    steps: i64,
    /// Velocity of SGD, first moment of Adam.
    first: Tensor,
    /// Second moment of Adam; empty for SGD.
    second: Tensor,
    /// What decay alone has put into `first`; SGD only.
    decay: DecayBuffer,
    /// The decayed gradient, then the step: spares an allocation of the parameters' size.
    delta: Tensor,
}

impl Optimizer {
    /// An optimizer with empty buffers for parameters like `theta`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn new(spec: &TrainSpec, theta: &Tensor) -> Result<Self, TchError> {
        let adam = spec.optimizer != OptimizerKind::Sgd;
        let none = Tensor::f_zeros([0], (Kind::Float, theta.device()))?;
        let like = if adam { &none } else { theta };
        let decay = DecayBuffer::new(like, spec.weight_decay)?;
        Ok(Self {
            kind: spec.optimizer,
            momentum: spec.momentum,
            nesterov: spec.nesterov,
            clip: spec.clip,
            steps: 0,
            first: theta.f_zeros_like()?,
            second: if adam { theta.f_zeros_like()? } else { none },
            decay,
            delta: theta.f_zeros_like()?,
        })
    }

    /// Buffers by name, for a checkpoint.
    pub fn buffers(&self) -> Vec<(&'static str, &Tensor)> {
        let names = Self::buffer_names(self.kind).iter().copied();
        names.zip([&self.first, &self.second]).collect()
    }

    /// Names of the buffers that `kind` keeps, in the order of [`Optimizer::buffers`].
    pub fn buffer_names(kind: OptimizerKind) -> &'static [&'static str] {
        match kind {
            OptimizerKind::Sgd => &["momentum_buffer"],
            OptimizerKind::Adam | OptimizerKind::Adamw => &["exp_avg", "exp_avg_sq"],
        }
    }

    /// Takes up the state of another optimizer of the same kind: its step count and its buffers, in the order of
    /// [`Optimizer::buffer_names`].
    ///
    /// # Errors
    /// When a buffer has another length or the device fails.
    pub fn take_up(&mut self, steps: i64, buffers: &[Tensor]) -> Result<(), TchError> {
        self.steps = steps;
        let own = self.buffers();
        own.into_iter().zip(buffers).try_for_each(|((_, own), b)| own.shallow_clone().f_copy_(b))
    }

    /// The buffer behind the counterfactual step, for a checkpoint: it changes nothing of the training.
    pub fn decay_buffer(&self) -> Option<(Parting, &Tensor)> {
        let parting = self.decay.parting().filter(|_| self.kind == OptimizerKind::Sgd)?;
        Some((parting, self.decay.mean()))
    }

    /// Takes up another optimizer's [`Optimizer::decay_buffer`].
    ///
    /// # Errors
    /// When its length differs.
    pub fn take_up_decay(&mut self, parting: Parting, mean: &Tensor) -> Result<(), TchError> {
        match self.kind {
            OptimizerKind::Sgd => self.decay.take_up(mean, parting),
            OptimizerKind::Adam | OptimizerKind::Adamw => Ok(()),
        }
    }

    /// The step made last [as theta].
    pub fn delta(&self) -> &Tensor {
        &self.delta
    }

    /// Steps made.
    pub fn steps(&self) -> i64 {
        self.steps
    }

    /// Makes one step on `theta` in place, under `no_grad`. `grad` is the gradient of the data loss alone. With
    /// `products`, tells the step's inner products.
    ///
    /// # Errors
    /// When the device fails.
    pub fn step(
        &mut self,
        theta: &Tensor,
        grad: &Tensor,
        settings: StepSettings,
        products: bool,
    ) -> Result<Option<StepProducts>, TchError> {
        self.steps += 1;
        let clipped = match self.clip {
            Some(limit) => Some(clip(grad, limit)?),
            None => None,
        };
        let used = clipped.as_ref().unwrap_or(grad);
        match self.kind {
            OptimizerKind::Sgd => self.sgd(theta, grad, used, settings, products),
            OptimizerKind::Adam | OptimizerKind::Adamw => {
                self.adam(theta, grad, used, settings, products)
            }
        }
    }

    fn sgd(
        &mut self,
        theta: &Tensor,
        grad: &Tensor,
        used: &Tensor,
        StepSettings { lr, weight_decay }: StepSettings,
        products: bool,
    ) -> Result<Option<StepProducts>, TchError> {
        let mu = self.momentum;
        self.decay.take(theta, weight_decay, mu)?;
        // g' first, then the step, in the same memory.
        self.delta.f_copy_(theta)?;
        let _ = self.delta.f_mul_scalar_(weight_decay)?.f_add_(used)?;
        let mut part = -lr;
        if mu > 0.0 {
            let _ = self.first.f_mul_scalar_(mu)?.f_add_(&self.delta)?;
            if self.nesterov {
                // g' + mu * v in one pass: (1 + mu) * lerp(g', v, mu / (1 + mu)).
                let _ = self.delta.f_lerp_(&self.first, mu / (1.0 + mu))?;
                part *= 1.0 + mu;
                let _ = self.delta.f_mul_scalar_(part)?;
            } else {
                self.delta.f_copy_(&self.first)?;
                let _ = self.delta.f_mul_scalar_(part)?;
            }
        } else {
            let _ = self.delta.f_mul_scalar_(part)?;
        }
        let told = products.then(|| {
            let on = self.decay.way(weight_decay).on;
            let (vector, scale) = self.decay.part(theta, lr, mu, self.nesterov && mu > 0.0)?;
            Ok::<_, TchError>(StepProducts {
                decay: DecayProducts::of(on, &vector, scale, &self.delta, grad)?,
                delta_g: self.delta.f_dot(grad)?,
                delta_delta: self.delta.f_dot(&self.delta)?,
                gradient_delta: self.delta.f_dot(used)?.f_mul_scalar(part)?,
                decay_delta: self.delta.f_dot(theta)?.f_mul_scalar(part * weight_decay)?,
            })
        });
        let told = told.transpose()?;
        let _ = theta.shallow_clone().f_add_(&self.delta)?;
        Ok(told)
    }

    fn adam(
        &mut self,
        theta: &Tensor,
        grad: &Tensor,
        used: &Tensor,
        StepSettings { lr, weight_decay }: StepSettings,
        products: bool,
    ) -> Result<Option<StepProducts>, TchError> {
        let coupled = self.kind == OptimizerKind::Adam;
        let beta1 = self.momentum;
        self.delta.f_copy_(used)?;
        if coupled && weight_decay != 0.0 {
            let _ = self.delta.f_add_(&theta.f_mul_scalar(weight_decay)?)?;
        }
        let _ = self.first.f_lerp_(&self.delta, 1.0 - beta1)?;
        let _ = self.second.f_mul_scalar_(BETA2)?;
        let _ = self.second.f_add_(&self.delta.f_square()?.f_mul_scalar_(1.0 - BETA2)?)?;
        let t = self.steps as i32;
        let (correct1, correct2) = (1.0 - beta1.powi(t), 1.0 - BETA2.powi(t));
        let root = self.second.f_sqrt()?.f_div_scalar_(correct2.sqrt())?.f_add_scalar_(EPS)?;
        // Each part of the first moment is divided alike.
        let scale = root.f_reciprocal()?.f_mul_scalar_(-lr / correct1)?;
        self.delta.f_copy_(&self.first)?;
        let _ = self.delta.f_mul_(&scale)?;
        if !coupled {
            let _ = self.delta.f_add_(&theta.f_mul_scalar(-lr * weight_decay)?)?;
        }
        let told = products.then(|| {
            let gradient = used.f_mul(&scale)?.f_mul_scalar_(1.0 - beta1)?;
            // Of one unit of decay.
            let unit = if coupled {
                theta.f_mul(&scale)?.f_mul_scalar_(1.0 - beta1)?
            } else {
                theta.f_mul_scalar(-lr)?
            };
            let way = self.decay.way(weight_decay);
            // A term of decay that the second moment never saw is not what coupled decay would have made: where gradients
            // are small it would be nearly all of the step. There is no such figure.
            let rate = if coupled && !way.on { f64::NAN } else { way.rate };
            Ok::<_, TchError>(StepProducts {
                delta_g: self.delta.f_dot(grad)?,
                delta_delta: self.delta.f_dot(&self.delta)?,
                gradient_delta: self.delta.f_dot(&gradient)?,
                decay_delta: self.delta.f_dot(&unit)?.f_mul_scalar(weight_decay)?,
                decay: DecayProducts::of(way.on, &unit, rate, &self.delta, grad)?,
            })
        });
        let told = told.transpose()?;
        let _ = theta.shallow_clone().f_add_(&self.delta)?;
        Ok(told)
    }
}

/// The gradient scaled down to the norm `limit` if it is longer (PyTorch's `clip_grad_norm_`).
fn clip(grad: &Tensor, limit: f64) -> Result<Tensor, TchError> {
    let factor = grad.f_norm()?.f_add_scalar(1e-6)?.f_reciprocal()?.f_mul_scalar_(limit)?;
    grad.f_mul(&factor.f_clamp_max(1.0)?)
}

#[cfg(test)]
mod tests;
