//! The step that the same gradients would have made with weight decay the other way: off where it is on, on where it is
//! off.
//!
//! SGD's velocity is linear in gradient + decay: v = v_g + v_d with v_d = mu * v_d + wd * theta, so that a buffer of the
//! decay terms alone splits every step exactly, without a second pass. With the weights' running mean
//! m = mu * m + (1 - mu) * theta, v_d = wd / (1 - mu) * m: one operation in place. Where decay is off, the same buffer
//! holds what it would have added since then. The two ways part where weight decay is switched off or on (or at the
//! start): from then on they see the same gradients.

use tch::{TchError, Tensor};

/// Weight decay of the other way where the config names none: the method's (method.md 19).
const USUAL: f64 = 5e-4;

/// Inner products of the part that weight decay has in a step, or would have.
#[derive(Debug)]
pub struct DecayProducts {
    /// Whether decay is on: the part is in the step.
    pub on: bool,
    /// <part, g>
    pub part_g: Tensor,
    /// <part, delta>
    pub part_delta: Tensor,
    /// <part, part>
    pub part_part: Tensor,
}

impl DecayProducts {
    /// Of the part `scale * vector` with the step `delta` and the gradient `g`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn of(
        on: bool,
        vector: &Tensor,
        scale: f64,
        delta: &Tensor,
        g: &Tensor,
    ) -> Result<Self, TchError> {
        Ok(Self {
            on,
            part_g: vector.f_dot(g)?.f_mul_scalar(scale)?,
            part_delta: vector.f_dot(delta)?.f_mul_scalar(scale)?,
            part_part: vector.f_dot(vector)?.f_mul_scalar(scale * scale)?,
        })
    }
}

/// Since when which way is gone, and at which rate the other one decays.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Parting {
    /// Whether decay is on in truth.
    pub on: bool,
    /// Weight decay of the way that decays.
    pub rate: f64,
}

/// What decay alone has put into SGD's velocity, or would have.
#[derive(Debug)]
pub struct DecayBuffer {
    /// Running mean of the weights since the ways parted.
    mean: Tensor,
    parting: Option<Parting>,
    /// Rate of the other way where decay is off.
    usual: f64,
}

impl DecayBuffer {
    /// An empty one for parameters like `theta` and this configured weight decay.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn new(theta: &Tensor, configured: f64) -> Result<Self, TchError> {
        let usual = if configured > 0.0 { configured } else { USUAL };
        Ok(Self { mean: theta.f_zeros_like()?, parting: None, usual })
    }

    /// Which way is gone at this weight decay.
    pub fn way(&self, weight_decay: f64) -> Parting {
        let on = weight_decay > 0.0;
        Parting { on, rate: if on { weight_decay } else { self.usual } }
    }

    /// Takes in the weights that a step starts from, under `no_grad`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn take(&mut self, theta: &Tensor, weight_decay: f64, mu: f64) -> Result<(), TchError> {
        let now = self.way(weight_decay);
        match self.parting {
            Some(before) if before.on == now.on => {
                if before.rate != now.rate {
                    // The velocity holds wd * theta of each step: what was put in at another rate stays what it was.
                    let _ = self.mean.f_mul_scalar_(before.rate / now.rate)?;
                }
            }
            _ => drop(self.mean.f_zero_()?),
        }
        self.parting = Some(now);
        self.mean.f_lerp_(theta, 1.0 - mu).map(drop)
    }

    /// The part of decay in SGD's step of these weights, as a vector and its factor; after [`DecayBuffer::take`].
    ///
    /// # Errors
    /// When the device fails.
    pub fn part(
        &self,
        theta: &Tensor,
        lr: f64,
        mu: f64,
        nesterov: bool,
    ) -> Result<(Tensor, f64), TchError> {
        let rate = self.parting.map_or(0.0, |p| p.rate);
        // -lr * (wd * theta + mu * v_d) with Nesterov, else -lr * v_d.
        let vector =
            if nesterov { theta.f_lerp(&self.mean, mu)? } else { self.mean.shallow_clone() };
        Ok((vector, -lr * rate / (1.0 - mu)))
    }

    /// The buffer, for a checkpoint.
    pub fn mean(&self) -> &Tensor {
        &self.mean
    }

    /// Since when which way is gone, for a checkpoint; none before the first step.
    pub fn parting(&self) -> Option<Parting> {
        self.parting
    }

    /// Takes up another buffer.
    ///
    /// # Errors
    /// When its length differs.
    pub fn take_up(&mut self, mean: &Tensor, parting: Parting) -> Result<(), TchError> {
        self.parting = Some(parting);
        self.mean.f_copy_(mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Typed, resolve};
    use crate::geometry::angle::{PartProducts, angle_with_part_deg, isocurve_angle_deg};
    use crate::train::optimizer::{Optimizer, StepSettings};

    const PARAMETERS: usize = 5;

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    fn number(t: &Tensor) -> f64 {
        t.double_value(&[])
    }

    /// Gradients that hang on nothing, as if from any loss.
    fn gradient(step: usize) -> Vec<f64> {
        (0..PARAMETERS).map(|i| ((step * 7 + i * 3) as f64).sin() + 0.3).collect()
    }

    /// Trains by hand, in double precision, keeping two velocities: that of the run, and that of the other way, which
    /// becomes the run's where decay is switched. Returns the other way's angle at each step.
    fn by_hand(mu: f64, nesterov: bool, lr: f64, decays: &[f64], usual: f64) -> Vec<f64> {
        let mut theta = vec![1.0, -2.0, 0.5, 3.0, -0.1];
        let (mut v, mut other, mut was_on) = (vec![0.0; PARAMETERS], vec![0.0; PARAMETERS], None);
        let mut angles = Vec::new();
        for (step, wd) in decays.iter().enumerate() {
            let on = *wd > 0.0;
            if was_on != Some(on) {
                other.clone_from(&v);
                was_on = Some(on);
            }
            let g = gradient(step);
            let other_wd = if on { 0.0 } else { usual };
            let advance = |v: &mut Vec<f64>, wd: f64| -> Vec<f64> {
                let decayed: Vec<f64> = g.iter().zip(&theta).map(|(g, t)| g + wd * t).collect();
                v.iter_mut().zip(&decayed).for_each(|(v, d)| *v = mu * *v + d);
                let used = |(d, v): (&f64, &f64)| if nesterov { d + mu * v } else { *v };
                decayed.iter().zip(v.iter()).map(used).map(|s| -lr * s).collect()
            };
            let delta = advance(&mut v, *wd);
            let counter = advance(&mut other, other_wd);
            let norm = |x: &[f64]| dot(x, x).sqrt();
            angles.push(isocurve_angle_deg(dot(&counter, &g), norm(&counter), norm(&g)));
            theta.iter_mut().zip(&delta).for_each(|(t, d)| *t += d);
        }
        angles
    }

    fn by_optimizer(text: &str, lr: f64, decays: &[f64]) -> Vec<f64> {
        let typed: Typed = toml::from_str(&format!("[train]\n{text}")).unwrap();
        let spec = resolve(&typed).unwrap().arms.into_iter().next().unwrap().train;
        let theta = Tensor::from_slice(&[1.0f32, -2.0, 0.5, 3.0, -0.1]);
        let mut optimizer = Optimizer::new(&spec, &theta).unwrap();
        let angle = |(step, wd): (usize, &f64)| {
            let g: Vec<f32> = gradient(step).into_iter().map(|v| v as f32).collect();
            let g = Tensor::from_slice(&g);
            let settings = StepSettings { lr, weight_decay: *wd };
            let told = optimizer.step(&theta, &g, settings, true).unwrap().unwrap();
            let part = PartProducts {
                part_g: number(&told.decay.part_g),
                part_delta: number(&told.decay.part_delta),
                part_part: number(&told.decay.part_part),
            };
            let times = if told.decay.on { -1.0 } else { 1.0 };
            let (dg, norm) = (number(&told.delta_g), number(&told.delta_delta).sqrt());
            angle_with_part_deg(dg, norm, number(&g.norm()), part, times)
        };
        decays.iter().enumerate().map(angle).collect()
    }

    #[test]
    fn the_other_way_of_sgd_is_exact_through_every_switch() {
        // On, another rate, off, on again, off: the two velocities part anew at each switch.
        let decays: Vec<f64> = [(0.3, 4), (0.1, 3), (0.0, 5), (0.2, 4), (0.0, 3)]
            .iter()
            .flat_map(|(d, n)| vec![*d; *n])
            .collect();
        for (text, mu, nesterov) in [
            ("momentum = 0.9", 0.9, true),
            ("momentum = 0.5\nnesterov = false", 0.5, false),
            ("momentum = 0.0\nnesterov = false", 0.0, false),
        ] {
            let text = format!("{text}\nweight_decay = 0.3");
            let found = by_optimizer(&text, 0.05, &decays);
            let wanted = by_hand(mu, nesterov, 0.05, &decays, 0.3);
            // Near 90 degrees the arcsine of single-precision products is good to 0.03 degrees.
            for (step, (f, w)) in found.iter().zip(&wanted).enumerate() {
                assert!((f - w).abs() < 0.05, "{text}, step {step}: {f}, by hand {w}");
            }
        }
    }

    #[test]
    fn adam_takes_out_this_steps_decay_alone() {
        // AdamW's first step: -lr * (sign(g) + wd * theta); without decay -lr * sign(g).
        let g = gradient(0);
        let sign: Vec<f64> = g.iter().map(|v| -v.signum()).collect();
        let wanted =
            isocurve_angle_deg(dot(&sign, &g), dot(&sign, &sign).sqrt(), dot(&g, &g).sqrt());
        let found = by_optimizer("optimizer = 'adamw'\nweight_decay = 0.3", 0.01, &[0.3]);
        assert!((found[0] - wanted).abs() < 1e-2, "{found:?} {wanted}");
        // Coupled decay would be in the second moment too: none is told where it is off.
        let found = by_optimizer("optimizer = 'adam'\nweight_decay = 0.0", 0.01, &[0.0]);
        assert!(found[0].is_nan(), "{found:?}");
        let found = by_optimizer("optimizer = 'adam'\nweight_decay = 0.3", 0.01, &[0.3]);
        assert!(found[0].is_finite(), "{found:?}");
        // Off, with the usual decay put in: -lr * (sign(g) + 5e-4 * theta) is next to the same.
        let found = by_optimizer("optimizer = 'adamw'\nweight_decay = 0.0", 0.01, &[0.0]);
        assert!((found[0] - wanted).abs() < 0.1, "{found:?} {wanted}");
    }
}
