//! Points theta + a dx + b dy around a network's weights (method.md 5, 6).
//!
//! Batch norms are folded into the layers before them. If the directions leave them alone, folding commutes with the combination:
//! the vectors are folded once, and a point costs one combination.

use std::sync::Arc;

use tch::{Device, TchError, Tensor};

use super::direction::{Axis, DirectionSpec, cosine, draw};
use crate::model::{FoldedLayout, Plan, Weights};

/// A point of the weights with one or two directions through it.
pub struct Plane {
    plan: Arc<Plan>,
    center: Weights,
    directions: Vec<Tensor>,
    /// How the running statistics move along x; none where they stay.
    statistics: Option<Tensor>,
    /// The centre and the directions, folded; none where batch norms move and every point is folded anew.
    folded: Option<Vec<Tensor>>,
}

impl Plane {
    /// The plane through `center` along `directions`, one or two, flat. `statistics` is how the running statistics
    /// move along the first.
    ///
    /// # Errors
    /// When the device fails or has no room.
    pub fn new(
        plan: Arc<Plan>,
        center: Weights,
        directions: Vec<Tensor>,
        statistics: Option<Tensor>,
    ) -> Result<Self, TchError> {
        let _no_grad = tch::no_grad_guard();
        let still = statistics.is_none() && norms_stay(&plan, &directions)?;
        let mut folded = None;
        if still {
            let layout = FoldedLayout::new(&plan, &center)?;
            let mut vectors = vec![layout.fold(&plan, &center)?];
            for direction in &directions {
                vectors.push(layout.fold_direction(&plan, direction)?);
            }
            folded = Some(vectors);
        }
        Ok(Self { plan, center, directions, statistics, folded })
    }

    /// The plane that `spec` draws through `center`, along x alone or along both axes.
    ///
    /// # Errors
    /// As [`Plane::new`].
    pub fn random(
        plan: Arc<Plan>,
        center: Weights,
        spec: DirectionSpec,
        axes: &[Axis],
    ) -> Result<Self, TchError> {
        let _no_grad = tch::no_grad_guard();
        let drawn = axes.iter().map(|axis| draw(&plan, &center, spec, *axis));
        let directions = drawn.collect::<Result<_, _>>()?;
        Self::new(plan, center, directions, None)
    }

    /// The line from `from`, at 0, to `to`, at 1; parameters and running statistics both move.
    ///
    /// # Errors
    /// As [`Plane::new`].
    pub fn between(plan: Arc<Plan>, from: Weights, to: &Weights) -> Result<Self, TchError> {
        let _no_grad = tch::no_grad_guard();
        let way = to.theta.f_sub(&from.theta)?;
        let statistics = to.running.f_sub(&from.running)?;
        Self::new(plan, from, vec![way], Some(statistics))
    }

    /// The network.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The directions, flat.
    pub fn directions(&self) -> &[Tensor] {
        &self.directions
    }

    /// Cosine of the two directions; NaN if there is but one.
    ///
    /// # Errors
    /// When the device fails.
    pub fn cosine(&self) -> Result<f64, TchError> {
        match &self.directions[..] {
            [dx, dy] => cosine(dx, dy),
            _ => Ok(f64::NAN),
        }
    }

    /// The same plane on `device`; on the device where it is, in the same memory.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn on(&self, device: Device) -> Result<Self, TchError> {
        let to = |t: &Tensor| t.f_to_device(device);
        let all = |ts: &[Tensor]| ts.iter().map(to).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            plan: Arc::clone(&self.plan),
            center: Weights {
                theta: to(&self.center.theta)?,
                running: to(&self.center.running)?,
                batches: self.center.batches,
            },
            directions: all(&self.directions)?,
            statistics: self.statistics.as_ref().map(to).transpose()?,
            folded: self.folded.as_deref().map(all).transpose()?,
        })
    }

    /// The weights at (a, b).
    ///
    /// # Errors
    /// When the device fails.
    pub fn weights_at(&self, a: f64, b: f64) -> Result<Weights, TchError> {
        let running = match &self.statistics {
            None => self.center.running.shallow_clone(),
            Some(way) => way.f_mul_scalar(a)?.f_add_(&self.center.running)?,
        };
        let theta = combine(&self.center.theta, &self.directions, [a, b])?;
        Ok(Weights { theta, running, batches: self.center.batches })
    }

    /// The folded weights at (a, b), flat as [`FoldedLayout`] lays them.
    ///
    /// # Errors
    /// When the device fails.
    pub fn folded_at(&self, a: f64, b: f64) -> Result<Tensor, TchError> {
        match self.folded.as_deref() {
            Some([center, directions @ ..]) => combine(center, directions, [a, b]),
            _ => {
                let moved = self.weights_at(a, b)?;
                FoldedLayout::new(&self.plan, &moved)?.fold(&self.plan, &moved)
            }
        }
    }
}

/// center + a dx + b dy, exactly the centre at (0, 0).
fn combine(center: &Tensor, directions: &[Tensor], at: [f64; 2]) -> Result<Tensor, TchError> {
    let mut moved = directions.iter().zip(at).map(|(d, by)| d.f_mul_scalar(by));
    let Some(mut point) = moved.next().transpose()? else { return Ok(center.shallow_clone()) };
    if let Some(second) = moved.next().transpose()? {
        let _ = point.f_add_(&second)?;
    }
    point.f_add_(center)
}

/// Whether no direction moves a batch norm. Biases of layers are no batch norms': they may move.
fn norms_stay(plan: &Plan, directions: &[Tensor]) -> Result<bool, TchError> {
    for direction in directions {
        for norm in &plan.norms {
            let (weight, bias) = (&plan.params[norm.weight], &plan.params[norm.weight + 1]);
            let both = direction.f_narrow(0, weight.offset, weight.len() + bias.len())?;
            if f64::try_from(both.f_abs()?.f_max()?)? != 0.0 {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Which axes a plane has where the directions are drawn.
pub fn axes(profile: bool) -> &'static [Axis] {
    if profile { &[Axis::X] } else { &[Axis::X, Axis::Y] }
}
