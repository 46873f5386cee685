//! What a map says of a path drawn on it: the value under a point, the angle of a stretch to the isocurves, the gap.

use super::angle::isocurve_angle_deg;
use super::bilinear;
use super::contour::Grid;
use super::scale::LOG_SHIFT;

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
    /// Median of |map - true| over the path's length; NaN without a point that has both.
    pub median: f64,
    /// Largest.
    pub max: f64,
    /// Median of |map - true| / (true + 0.1): 0.1 as on the logarithmic scale, where there is next to no loss.
    pub relative: f64,
}

/// A point of a path: its place on the map, the true value there, and the map's.
pub type Told = ((f64, f64), f64, f64);

/// The gap over a path; points without one of the values do not count. Each point stands for half of the stretches beside
/// it: a path that ends on the spot for half of its steps is not judged by its end.
pub fn gap(points: &[Told]) -> Gap {
    let places: Vec<(f64, f64)> = points.iter().map(|(place, ..)| *place).collect();
    let known = points.iter().zip(lengths(&places));
    let known = known.filter(|((_, truth, map), _)| truth.is_finite() && map.is_finite());
    let (mut gaps, mut shares) = (Vec::new(), Vec::new());
    for ((_, truth, map), length) in known {
        let gap = (map - truth).abs();
        gaps.push((gap, length));
        shares.push((gap / (truth + LOG_SHIFT), length));
    }
    let max = gaps.iter().fold(f64::NAN, |most, (gap, _)| most.max(*gap));
    Gap { median: weighted_median(gaps), max, relative: weighted_median(shares) }
}

/// Half the length of the stretches beside each point; 1 each for a path of no length.
fn lengths(places: &[(f64, f64)]) -> Vec<f64> {
    let mut lengths = vec![0.0; places.len()];
    for (index, pair) in places.windows(2).enumerate() {
        let half = 0.5 * (pair[1].0 - pair[0].0).hypot(pair[1].1 - pair[0].1);
        if half.is_finite() {
            lengths[index] += half;
            lengths[index + 1] += half;
        }
    }
    if lengths.iter().all(|l| *l == 0.0) { vec![1.0; places.len()] } else { lengths }
}

/// The value up to which half of the weight lies; in the middle of two where it falls between them.
fn weighted_median(mut values: Vec<(f64, f64)>) -> f64 {
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = 0.5 * values.iter().map(|(_, weight)| weight).sum::<f64>();
    let mut below = 0.0;
    for (index, (value, weight)) in values.iter().enumerate() {
        below += weight;
        if below > half {
            return *value;
        }
        if below == half && *weight > 0.0 {
            let next = values[index + 1..].iter().find(|(_, weight)| *weight > 0.0);
            return next.map_or(*value, |(next, _)| 0.5 * (value + next));
        }
    }
    f64::NAN
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
    }

    #[test]
    fn a_gap_is_judged_along_the_path() {
        let nan = f64::NAN;
        let on = |x: f64, truth: f64, map: f64| ((x, 0.0), truth, map);
        assert!(gap(&[on(0.0, nan, 1.0), on(1.0, 1.0, nan)]).median.is_nan());
        assert!(gap(&[]).median.is_nan());
        // Even: 0.5, 0.1, 0.3 of 1, 2, 3; the ends stand for half as much as the middle.
        let found = gap(&[on(0.0, 0.9, 1.4), on(1.0, 1.9, 2.0), on(2.0, 2.9, 2.6)]);
        assert!((found.median - 0.2).abs() < 1e-12 && (found.max - 0.5).abs() < 1e-12);
        assert!((found.relative - 0.075).abs() < 1e-12, "{found:?}");
        // Off by 2 all the way; then twenty points on the spot, where the map is right.
        let mut path = vec![on(9.0, 1.0, 3.0), on(6.0, 1.0, 3.0), on(3.0, 1.0, 3.0)];
        path.extend([on(0.0, 0.5, 0.5); 20]);
        assert_eq!((gap(&path).median, gap(&path).max), (2.0, 2.0));
        // A path of no length: each point as much as another.
        let found = gap(&[on(1.0, 1.0, 1.5), on(1.0, 1.0, 1.1), on(1.0, 1.0, 1.2)]);
        assert!((found.median - 0.2).abs() < 1e-12, "{found:?}");
    }
}
