//! What a surface says of the path that lies on it. Derived: written into every file for other readers, and worked out
//! anew from map and path when it is read.

use super::Trajectory;
use crate::geometry::contour::Grid;
use crate::geometry::crossing::{gap, stretch_angles, value_under};
use crate::telemetry::path::PathGap;

/// Dataset of [`Trajectory::angles`] in a file, beside `proj_xcoord` and `proj_ycoord`.
pub const ANGLES: &str = "proj_angle";

impl Trajectory {
    /// The angle at which the stretch from each point to the next crosses the isocurves of the map, degrees in [-90, 90]:
    /// 90 straight downhill, 0 along the isocurve, -90 uphill, read from the interpolated map's gradient. One to a
    /// point: NaN for the last, which no stretch leaves, and where the map or a point is not known.
    pub fn angles(&self, map: Grid<'_>) -> Vec<f64> {
        let places: Vec<(f64, f64)> = self.places().collect();
        let mut angles = stretch_angles(map, &places);
        angles.resize(self.xs.len(), f64::NAN);
        angles
    }

    /// How far the map lies from the true losses at the points.
    pub fn gap(&self, map: Grid<'_>) -> PathGap {
        let both = self.places().zip(&self.loss);
        let told: Vec<_> = both.map(|(at, loss)| (at, *loss, value_under(map, at))).collect();
        gap(&told).into()
    }

    /// The points in the plane, oldest first.
    pub fn places(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.xs.iter().copied().zip(self.ys.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_down_a_slope_is_read_off() {
        // Loss 1 + x: left is straight down, up is along the isocurve, right is uphill.
        let axis: Vec<f64> = (0..5).map(f64::from).collect();
        let loss: Vec<f64> = (0..25).map(|i| 1.0 + axis[i % 5]).collect();
        let map = Grid { xs: &axis, ys: &axis, values: &loss };
        let path = Trajectory {
            xs: vec![3.0, 2.0, 2.0, 3.0],
            ys: vec![1.0, 1.0, 2.0, 2.0],
            steps: Vec::new(),
            // The map under the points is 4, 3, 3, 4.
            loss: vec![4.5, 3.25, 2.5, 4.0],
        };
        let found = path.angles(map);
        let near = |i: usize, wanted: f64| (found[i] - wanted).abs() < 1e-9;
        assert!(near(0, 90.0) && near(1, 0.0) && near(2, -90.0), "{found:?}");
        assert!(found.len() == 4 && found[3].is_nan());
        let gap = path.gap(map);
        assert_eq!((gap.median, gap.max), (0.375, 0.5));
        // Of 0, 0.25 / 3.35, 0.5 / 4.6 and 0.5 / 2.6, the middle.
        assert!((gap.relative - 0.5 * (0.25 / 3.35 + 0.5 / 4.6)).abs() < 1e-12);
    }

    #[test]
    fn broken_paths_have_no_angles() {
        let map = Grid { xs: &[0.0], ys: &[0.0], values: &[1.0] };
        let path = Trajectory { xs: vec![0.0; 3], ys: vec![0.0], ..Trajectory::default() };
        assert!(path.angles(map).iter().all(|a| a.is_nan()) && path.angles(map).len() == 3);
        assert!(path.gap(map).median.is_nan());
        assert!(Trajectory::default().angles(map).is_empty());
    }
}
