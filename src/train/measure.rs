//! The figures of one step, gathered on the device and read in one go.

use tch::{Device, TchError, Tensor};

use super::optimizer::StepProducts;
use crate::geometry::angle::{isocurve_angle_deg, share_along_step};
use crate::model::{Network, ParamPlan};
use crate::telemetry::event::{Angle, StepShare};

/// What is told of a step besides its settings.
#[derive(Clone, Debug, PartialEq)]
pub struct StepFigures {
    /// Mean cross-entropy of the batch, nats.
    pub loss: f64,
    /// Share classified rightly.
    pub acc: f64,
    /// |g|
    pub grad_norm: f64,
    /// |delta theta| / |theta|
    pub update_ratio: f64,
    /// Angle to the isocurve.
    pub angle: Angle,
    /// What the step is made of.
    pub share: StepShare,
    /// |dL/dW| layer by layer; empty if not asked for.
    pub layers: Vec<f64>,
}

/// Sums that are added up side by side.
const LANES: usize = 8;

/// Scalars that wait on the device until [`Gauges::read`].
#[derive(Debug)]
pub struct Gauges {
    loss: Tensor,
    right: Tensor,
    grad: Tensor,
    theta: Tensor,
    layers: LayerNorms,
    images: f64,
}

/// Norms layer by layer, where the gradient is.
#[derive(Debug)]
enum LayerNorms {
    /// Measured on the host: one pass over the flat gradient costs a fifth of an operator a layer.
    Here(Vec<f64>),
    /// Scalars on the device: the gradient is not brought over for them.
    There(Vec<Tensor>),
}

impl LayerNorms {
    fn of(net: &Network) -> Result<Self, TchError> {
        let layers = net.plan().layers();
        if net.grad().device() != Device::Cpu {
            let norms = layers.map(|(i, _)| net.grad_of(i)?.f_norm());
            return Ok(Self::There(norms.collect::<Result<_, _>>()?));
        }
        let flat: Vec<f32> = net.grad().try_into()?;
        let norm = |param: &ParamPlan| {
            let (from, len) = (param.offset as usize, param.len() as usize);
            // Lanes of their own, so that the compiler may add them side by side.
            let mut lanes = [0.0f64; LANES];
            for chunk in flat[from..from + len].chunks(LANES) {
                chunk.iter().zip(&mut lanes).for_each(|(v, lane)| *lane += f64::from(*v).powi(2));
            }
            lanes.iter().sum::<f64>().sqrt()
        };
        Ok(Self::Here(layers.map(|(_, param)| norm(param)).collect()))
    }
}

impl Gauges {
    /// Takes what must be taken before the step: `loss` (scalar), `logits` and `labels` of the batch, the gradient.
    ///
    /// # Errors
    /// When the device fails.
    pub fn before_step(
        net: &Network,
        loss: &Tensor,
        logits: &Tensor,
        labels: &Tensor,
        with_layers: bool,
    ) -> Result<Self, TchError> {
        let layers = if with_layers { LayerNorms::of(net)? } else { LayerNorms::Here(Vec::new()) };
        Ok(Self {
            loss: loss.f_detach()?,
            right: logits
                .f_detach()?
                .f_argmax(1, false)?
                .f_eq_tensor(labels)?
                .f_sum(tch::Kind::Float)?,
            grad: net.grad().f_norm()?,
            theta: net.theta().f_norm()?,
            layers,
            images: labels.size1()? as f64,
        })
    }

    /// Waits for the device and turns the scalars into figures.
    ///
    /// # Errors
    /// When the device fails.
    pub fn read(self, products: StepProducts) -> Result<StepFigures, TchError> {
        let StepProducts { delta_g, delta_delta, gradient_delta, decay_delta } = products;
        let mut scalars = vec![self.loss, self.right, self.grad, self.theta, delta_g, delta_delta];
        scalars.extend([gradient_delta, decay_delta]);
        let here = match self.layers {
            LayerNorms::Here(norms) => norms,
            LayerNorms::There(norms) => {
                scalars.extend(norms);
                Vec::new()
            }
        };
        let figures: Vec<f32> =
            Tensor::f_stack(&scalars, 0)?.f_to_device(Device::Cpu)?.try_into()?;
        let at = |i: usize| f64::from(figures[i]);
        let (grad_norm, delta_norm) = (at(2), at(5).sqrt());
        let gradient = share_along_step(at(6), delta_norm);
        let decay = share_along_step(at(7), delta_norm);
        Ok(StepFigures {
            loss: at(0),
            acc: at(1) / self.images,
            grad_norm,
            update_ratio: delta_norm / at(3),
            angle: Angle {
                full_deg: isocurve_angle_deg(at(4), delta_norm, grad_norm),
                ..Angle::NONE
            },
            // What is neither this step's gradient nor its decay is what momentum kept.
            share: StepShare { gradient, momentum: 1.0 - gradient - decay, decay },
            layers: figures[8..].iter().map(|v| f64::from(*v)).chain(here).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{Typed, resolve};
    use crate::model::{Plan, initial_weights};

    #[test]
    fn norms_measured_here_are_those_of_the_operator() {
        let typed: Typed = toml::from_str("[model]\ndepth = 8\nwidth = 3").unwrap();
        let model = resolve(&typed).unwrap().arms.into_iter().next().unwrap().model;
        let plan = Arc::new(Plan::resnet(&model, true, 1, 10));
        let net = Network::new(Arc::clone(&plan), &initial_weights(&plan, 1), Device::Cpu).unwrap();
        let noise = Tensor::randn_like(net.grad());
        net.grad().shallow_clone().copy_(&noise);
        let LayerNorms::Here(found) = LayerNorms::of(&net).unwrap() else {
            panic!("the network is on the CPU")
        };
        let wanted: Vec<f64> =
            plan.layers().map(|(i, _)| net.grad_of(i).unwrap().norm().double_value(&[])).collect();
        assert_eq!(found.len(), wanted.len());
        assert!(found.iter().zip(&wanted).all(|(a, b)| (a / b - 1.0).abs() < 1e-5));
    }
}
