//! The plane in which a path ran most: two unit orthogonal axes in the space of the parameters.

use std::sync::Arc;

use tch::{Device, TchError, Tensor};

use super::values::dot;
use crate::geometry::pca::{Component, arrange, places};

/// Two axes and what they hold.
#[derive(Clone, Debug)]
pub struct Axes {
    /// Steps done at the newest snapshot that they were laid through: the origin.
    pub step: u64,
    /// Share of the snapshots' variance along each.
    pub shares: [f64; 2],
    /// The axes one after the other, flat [2 * parameters].
    pub flat: Arc<Vec<f32>>,
    /// The snapshots' steps and coordinates, oldest first, relative to the newest.
    pub places: Vec<(u64, (f64, f64))>,
}

impl Axes {
    /// One of the two axes.
    pub fn axis(&self, index: usize) -> &[f32] {
        let (x, y) = self.flat.split_at(self.flat.len() / 2);
        if index == 0 { x } else { y }
    }

    /// The axes as tensors on `device`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn tensors(&self, device: Device) -> Result<Vec<Tensor>, TchError> {
        let one = |i: usize| Tensor::f_from_slice(self.axis(i))?.f_to_device(device);
        (0..2).map(one).collect()
    }

    /// Where the snapshot of `step` lies.
    pub fn place(&self, step: u64) -> Option<(f64, f64)> {
        let at = self.places.binary_search_by_key(&step, |(step, _)| *step).ok()?;
        self.places.get(at).map(|(_, place)| *place)
    }

    /// The axes of the two strongest of `components` of the snapshots of `steps`, whose directions are `directions`; turned
    /// and ordered so that they stay where `before` had them. None if there are not two, or they are not finite.
    pub fn new(
        steps: &[u64],
        components: &[Component],
        directions: Vec<Vec<f32>>,
        before: Option<&Self>,
    ) -> Option<Self> {
        let dots: Vec<Vec<f64>> = match before {
            None => Vec::new(),
            Some(before) => {
                let with = |d: &Vec<f32>| (0..2).map(|i| dot(d, before.axis(i))).collect();
                directions.iter().map(with).collect()
            }
        };
        let shares: Vec<f64> = components.iter().map(|c| c.share).collect();
        let placed = places(&shares, &dots);
        let arranged = arrange(components, &placed);
        let [x, y] = &arranged[..] else { return None };
        let mut flat = Vec::with_capacity(2 * directions.first()?.len());
        for place in &placed {
            let sign = if place.reversed { -1.0 } else { 1.0 };
            flat.extend(directions.get(place.component)?.iter().map(|v| sign * v));
        }
        let middle = flat.len() / 2;
        let (first, second) = flat.split_at_mut(middle);
        make_orthonormal(first, second)?;
        let origin = (*x.coordinates.last()?, *y.coordinates.last()?);
        let places = x.coordinates.iter().zip(&y.coordinates);
        let places = places.map(|(x, y)| (x - origin.0, y - origin.1));
        Some(Self {
            step: *steps.last()?,
            shares: [x.share, y.share],
            places: steps.iter().copied().zip(places).collect(),
            flat: Arc::new(flat),
        })
    }
}

/// Rounds what single precision has left between the two away; none if one of them is not finite or nothing.
fn make_orthonormal(x: &mut [f32], y: &mut [f32]) -> Option<()> {
    scale_to_unit(x)?;
    let along = dot(x, y) as f32;
    y.iter_mut().zip(x.iter()).for_each(|(y, x)| *y -= along * x);
    scale_to_unit(y)
}

fn scale_to_unit(v: &mut [f32]) -> Option<()> {
    let length = dot(v, v).sqrt();
    if !(length > 0.0 && length.is_finite()) {
        return None;
    }
    v.iter_mut().for_each(|v| *v = (f64::from(*v) / length) as f32);
    Some(())
}
