//! What a map says of a path drawn on it: the value under a point, the angle of a stretch to the isocurves, the gap.

use super::angle::isocurve_angle_deg;
use super::bilinear;
use super::contour::Grid;
use super::levels::quantiles;

/// The map under a place in its coordinates; NaN outside it or where it is unknown.
pub fn value_under(grid: Grid<'_>, (x, y): (f64, f64)) -> f64 {
    bilinear::at(grid, x, y)
}

/// The gradient of the map at a place in its coordinates: central differences over one cell of the interpolated map,
/// one-sided at the rim. NaN outside the map or beside unknown points.
pub fn gradient(grid: Grid<'_>, (x, y): (f64, f64)) -> (f64, f64) {
    (
        slope(grid.xs, x, |x| bilinear::at(grid, x, y)),
        slope(grid.ys, y, |y| bilinear::at(grid, x, y)),
    )
}

/// Slope along an axis at `at`, over half a cell each way as far as the axis goes.
fn slope(axis: &[f64], at: f64, value: impl Fn(f64) -> f64) -> f64 {
    let (Some(first), Some(last)) = (axis.first(), axis.last()) else { return f64::NAN };
    let cell = (last - first) / (axis.len().max(2) - 1) as f64;
    let (from, to) = ((at - 0.5 * cell).max(*first), (at + 0.5 * cell).min(*last));
    (value(to) - value(from)) / (to - from)
}

/// For each stretch of `path` but none for its last point: the angle at which it crosses the map's isocurves, degrees
/// as of a step: phi = asin(-<stretch, gradient> / (|stretch| |gradient|)) with the map's gradient at the point that the
/// stretch leaves. NaN off the map and for no motion.
pub fn stretch_angles(grid: Grid<'_>, path: &[(f64, f64)]) -> Vec<f64> {
    let angle = |pair: &[(f64, f64)]| {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let (dx, dy) = (x1 - x0, y1 - y0);
        let (gx, gy) = gradient(grid, (x0, y0));
        isocurve_angle_deg(dx * gx + dy * gy, dx.hypot(dy), gx.hypot(gy))
    };
    path.windows(2).map(angle).collect()
}

/// How far a map is from the true values on a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gap {
    /// Median of |map - true|; NaN without a point that has both.
    pub median: f64,
    /// Largest.
    pub max: f64,
    /// The median over the range of the true values.
    pub relative: f64,
}

/// The gap over points of (true, map) values; points without one of them do not count.
pub fn gap(points: &[(f64, f64)]) -> Gap {
    let both: Vec<&(f64, f64)> =
        points.iter().filter(|(truth, map)| truth.is_finite() && map.is_finite()).collect();
    let gaps: Vec<f64> = both.iter().map(|(truth, map)| (map - truth).abs()).collect();
    let [median, max] = quantiles(&gaps, &[0.5, 1.0])[..] else {
        return Gap { median: f64::NAN, max: f64::NAN, relative: f64::NAN };
    };
    let truths = both.iter().map(|(truth, _)| *truth);
    let range = truths.clone().fold(f64::MIN, f64::max) - truths.fold(f64::MAX, f64::min);
    Gap { median, max, relative: median / range }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(f: impl Fn(f64, f64) -> f64) -> (Vec<f64>, Vec<f64>) {
        let axis: Vec<f64> = (-10..=10).map(|i| f64::from(i) / 5.0).collect();
        let values = axis.iter().flat_map(|y| axis.iter().map(|x| f(*x, *y)).collect::<Vec<_>>());
        (axis.clone(), values.collect())
    }

    #[test]
    fn a_step_along_a_valley_crosses_nothing() {
        let (axis, values) = map(|x, y| x + 10.0 * y * y);
        let grid = Grid { xs: &axis, ys: &axis, values: &values };
        // At y = 0 the gradient is (1, 0): along y is along the isocurve, -x straight down, +x straight up.
        let angles = stretch_angles(grid, &[(0.0, 0.0), (0.0, 0.1)]);
        assert!(angles[0].abs() < 1e-9, "{angles:?}");
        let angles = stretch_angles(grid, &[(0.5, 0.0), (0.0, 0.0), (0.5, 0.0)]);
        assert!((angles[0] - 90.0).abs() < 1e-6 && (angles[1] + 90.0).abs() < 1e-6, "{angles:?}");
    }

    #[test]
    fn a_bowl_by_hand() {
        // (x^2 + 4 y^2) / 2 at (1, 1): g = (1, 4); towards the origin: 59.04 degrees (see geometry::angle).
        let (axis, values) = map(|x, y| 0.5 * (x * x + 4.0 * y * y));
        let grid = Grid { xs: &axis, ys: &axis, values: &values };
        let (gx, gy) = gradient(grid, (1.0, 1.0));
        assert!((gx - 1.0).abs() < 1e-9 && (gy - 4.0).abs() < 1e-9, "{gx} {gy}");
        let angles = stretch_angles(grid, &[(1.0, 1.0), (0.7, 0.7)]);
        assert!((angles[0] - 59.036_243).abs() < 1e-4, "{angles:?}");
    }

    #[test]
    fn what_cannot_be_read_has_no_angle() {
        let (axis, mut values) = map(|x, _| x);
        values[0] = f64::NAN;
        let grid = Grid { xs: &axis, ys: &axis, values: &values };
        // No motion, from off the map, from beside an unknown point.
        for path in [[(0.0, 0.0); 2], [(9.0, 9.0), (0.0, 0.0)], [(-2.0, -2.0), (-1.9, -1.9)]] {
            assert!(stretch_angles(grid, &path)[0].is_nan(), "{path:?}");
            assert!(stretch_angles(grid, &path[..1]).is_empty());
        }
        let flat = Grid { values: &vec![1.0; values.len()], ..grid };
        assert!(stretch_angles(flat, &[(0.0, 0.0), (1.0, 1.0)])[0].is_nan());
        assert!(gap(&[(f64::NAN, 1.0), (1.0, f64::NAN)]).median.is_nan());
        let found = gap(&[(1.0, 1.5), (2.0, 2.1), (3.0, 2.7), (f64::NAN, 0.0)]);
        assert!((found.median - 0.3).abs() < 1e-12 && (found.relative - 0.15).abs() < 1e-12);
        assert!((found.max - 0.5).abs() < 1e-12);
    }
}
