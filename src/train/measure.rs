//! The figures of one step, gathered on the device and read in one go.

use tch::{Device, TchError, Tensor};

use super::optimizer::StepProducts;
use crate::geometry::angle::{isocurve_angle_deg, share_along_step};
use crate::model::Network;
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

/// Scalars that wait on the device until [`Gauges::read`].
#[derive(Debug)]
pub struct Gauges {
    loss: Tensor,
    right: Tensor,
    grad: Tensor,
    theta: Tensor,
    layers: Vec<Tensor>,
    images: f64,
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
        let layers = if with_layers {
            net.plan().layers().map(|(i, _)| net.grad_of(i)?.f_norm()).collect::<Result<_, _>>()?
        } else {
            Vec::new()
        };
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
        scalars.extend(self.layers);
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
                plane_deg: f64::NAN,
            },
            // What is neither this step's gradient nor its decay is what momentum kept.
            share: StepShare { gradient, momentum: 1.0 - gradient - decay, decay },
            layers: figures[8..].iter().map(|v| f64::from(*v)).collect(),
        })
    }
}
