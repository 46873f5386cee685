//! Where a run has been, in a plane that was not laid through it (method.md 12).

use tch::{TchError, Tensor};

use super::direction::dot;
use super::error::LandscapeError;
use super::file::Trajectory;
use super::principal::Visited;
use crate::geometry::projection::Basis;

impl Visited {
    /// For each point of the path the place on the plane of `directions`, one or two, that is nearest to it, relative to
    /// the last point: by least squares, for random directions are not orthogonal, nor of unit length. NaN in a plane of
    /// parallel directions.
    ///
    /// # Errors
    /// When torch fails.
    pub fn project(&self, directions: &[Tensor]) -> Result<Trajectory, LandscapeError> {
        let flat = |t: &Tensor| Vec::<f32>::try_from(t);
        let directions = directions.iter().map(flat).collect::<Result<Vec<_>, TchError>>()?;
        let (mut xs, mut ys) = (Vec::new(), Vec::new());
        let last = match self.weights().last() {
            Some(last) => flat(&last.theta)?,
            None => Vec::new(),
        };
        for weights in self.weights() {
            let mut offset = flat(&weights.theta)?;
            offset.iter_mut().zip(&last).for_each(|(o, l)| *o -= l);
            let (x, y) = nearest(&directions, &offset);
            xs.push(x);
            ys.push(y);
        }
        Ok(Trajectory { xs, ys, steps: self.steps().to_vec(), loss: Vec::new() })
    }
}

fn nearest(directions: &[Vec<f32>], offset: &[f32]) -> (f64, f64) {
    match directions {
        [x] => (dot(x, offset) / dot(x, x), 0.0),
        [x, y] => {
            let basis = Basis { xx: dot(x, x), xy: dot(x, y), yy: dot(y, y) };
            basis.project(dot(x, offset), dot(y, offset)).unwrap_or((f64::NAN, f64::NAN))
        }
        _ => (f64::NAN, f64::NAN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_the_nearest_whatever_the_angle_between_the_directions() {
        // x = (1, 0, 0), y = (1, 1, 0): (3, 2, 7) is x + 2 y and what stands upright on both.
        let (x, y) = (vec![1.0, 0.0, 0.0], vec![1.0, 1.0, 0.0]);
        let (a, b) = nearest(&[x.clone(), y.clone()], &[3.0, 2.0, 7.0]);
        assert!((a - 1.0).abs() < 1e-12 && (b - 2.0).abs() < 1e-12, "{a} {b}");
        assert_eq!(nearest(&[vec![2.0, 0.0, 0.0]], &[3.0, 2.0, 7.0]), (1.5, 0.0));
        assert!(nearest(&[y.clone(), y], &[3.0, 2.0, 7.0]).0.is_nan());
    }
}
