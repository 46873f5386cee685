//! How far from the centre of a surface the loss rises, ray by ray over the bilinear surface.

use super::contour::Grid;

/// Rays around the centre of a plane: one a degree. At the rim of a 51 x 51 map neighbours are then half a cell apart,
/// so that none is passed over, and as 8 divides the number, the axes and the diagonals are among them and swapping the
/// axes maps the rays onto themselves.
pub const ANGLES: usize = 360;

/// Part of a ray's length below which two crossings of grid lines are one: a diagonal ray passes through grid points
/// and rounding must not send it through the cells beside them.
const SAME: f64 = 1e-12;

/// The cell of an axis that holds `at` and the place within it in [0, 1]; an axis of one point is a cell of no width.
fn bracket(axis: &[f64], at: f64) -> Option<(usize, f64)> {
    let (first, last) = (*axis.first()?, *axis.last()?);
    if !(first..=last).contains(&at) {
        return None;
    }
    let cell = axis.partition_point(|v| *v <= at).saturating_sub(1).min(axis.len().max(2) - 2);
    Some((cell, place(axis, cell, at)))
}

/// The place of `at` in `cell`, held to [0, 1].
fn place(axis: &[f64], cell: usize, at: f64) -> f64 {
    match axis.get(cell + 1) {
        Some(next) => ((at - axis[cell]) / (next - axis[cell])).clamp(0.0, 1.0),
        None => 0.0,
    }
}

/// The bilinear value in the cell (row, col) at the place (u, v). A corner without weight is not looked at: it may be
/// unknown, or not exist.
fn bilinear(grid: Grid<'_>, (row, col): (usize, usize), (u, v): (f64, f64)) -> Option<f64> {
    let mut sum = 0.0;
    for (r, wy) in [(row, 1.0 - v), (row + 1, v)] {
        for (c, wx) in [(col, 1.0 - u), (col + 1, u)] {
            if wx * wy > 0.0 {
                sum += wx * wy * grid.at(r, c);
            }
        }
    }
    sum.is_finite().then_some(sum)
}

/// The value at (0, 0), bilinear between grid points; none outside the grid or beside an unknown point. `grid` is sound.
pub fn center(grid: Grid<'_>) -> Option<f64> {
    let ((col, u), (row, v)) = (bracket(grid.xs, 0.0)?, bracket(grid.ys, 0.0)?);
    bilinear(grid, (row, col), (u, v))
}

/// The radii at which rays from (0, 0) first reach `level`, which is above the value there, rising; infinite for a ray
/// that leaves the grid or meets an unknown point before. [`ANGLES`] rays over a plane, two along a line, none around a
/// lone point. `grid` is sound.
pub fn radii(grid: Grid<'_>, level: f64) -> Vec<f64> {
    let directions = match (grid.xs.len() > 1, grid.ys.len() > 1) {
        (true, true) => (0..ANGLES).map(direction).collect(),
        (true, false) => vec![(1.0, 0.0), (-1.0, 0.0)],
        (false, true) => vec![(0.0, 1.0), (0.0, -1.0)],
        (false, false) => Vec::new(),
    };
    let mut radii: Vec<f64> = directions.into_iter().map(|d| radius(grid, d, level)).collect();
    radii.sort_unstable_by(f64::total_cmp);
    radii
}

/// The unit vector of one of the [`ANGLES`] rays; exactly along an axis where it is one.
fn direction(ray: usize) -> (f64, f64) {
    let (sin, cos) = (std::f64::consts::TAU * ray as f64 / ANGLES as f64).sin_cos();
    let snap = |v: f64| if v.abs() < SAME { 0.0 } else { v };
    (snap(cos), snap(sin))
}

/// Where one ray first reaches the level. Within a cell the bilinear surface is a quadratic along the ray, so the place
/// is exact.
fn radius(grid: Grid<'_>, (dx, dy): (f64, f64), level: f64) -> f64 {
    let Some(end) = exit(grid.xs, dx).zip(exit(grid.ys, dy)).map(|(a, b)| a.min(b)) else {
        return f64::INFINITY;
    };
    let crossings = |axis: &'_ [f64], d: f64| axis.iter().map(move |v| v / d).collect::<Vec<f64>>();
    let mut stops = [crossings(grid.xs, dx), crossings(grid.ys, dy), vec![0.0, end]].concat();
    stops.retain(|t| (0.0..=end).contains(t));
    stops.sort_unstable_by(f64::total_cmp);
    stops.dedup_by(|b, a| *b - *a <= SAME * end);
    for pair in stops.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let middle = f64::midpoint(from, to);
        let Some(((col, _), (row, _))) =
            bracket(grid.xs, dx * middle).zip(bracket(grid.ys, dy * middle))
        else {
            return f64::INFINITY;
        };
        let value = |t: f64| {
            let at = (place(grid.xs, col, dx * t), place(grid.ys, row, dy * t));
            bilinear(grid, (row, col), at)
        };
        let (Some(a), Some(m), Some(b)) = (value(from), value(middle), value(to)) else {
            return f64::INFINITY;
        };
        if let Some(share) = first_reach(a - level, m - level, b - level) {
            return from + share * (to - from);
        }
    }
    f64::INFINITY
}

/// How far a ray of slope `d` from 0 stays within an axis; infinite if it does not move along it, none if it starts
/// outside.
fn exit(axis: &[f64], d: f64) -> Option<f64> {
    let (first, last) = (*axis.first()?, *axis.last()?);
    if !(first..=last).contains(&0.0) {
        return None;
    }
    Some(match d {
        d if d > 0.0 => last / d,
        d if d < 0.0 => first / d,
        _ => f64::INFINITY,
    })
}

/// The first s in [0, 1] at which the quadratic through (0, a), (1/2, m), (1, b) is not below 0.
fn first_reach(a: f64, m: f64, b: f64) -> Option<f64> {
    if a >= 0.0 {
        return Some(0.0);
    }
    let (slope, bend) = (4.0 * m - 3.0 * a - b, 2.0 * (a + b) - 4.0 * m);
    // The stable form of the quadratic formula.
    let root = (slope * slope - 4.0 * bend * a).sqrt();
    let q = -0.5 * (slope + root.copysign(slope));
    let inside = [q / bend, a / q].into_iter().filter(|s| (0.0..=1.0).contains(s));
    let found = inside.min_by(f64::total_cmp);
    // Rounding may put the root of a level met at the very end just past it.
    found.or_else(|| (b >= 0.0).then_some(1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_quadratic_is_reached_at_its_first_root() {
        let through = |f: fn(f64) -> f64| first_reach(f(0.0), f(0.5), f(1.0));
        // -(s - 1/4)(s - 3/4): above 0 between.
        assert!((through(|s| -(s - 0.25) * (s - 0.75)).unwrap() - 0.25).abs() < 1e-12);
        assert!((through(|s| s - 0.3).unwrap() - 0.3).abs() < 1e-12);
        assert!((through(|s| s * s - 0.49).unwrap() - 0.7).abs() < 1e-12);
        assert_eq!(through(|s| s - 1.5), None);
        assert_eq!(through(|s| -1.0 - s * s), None);
        assert_eq!(through(|s| s + 0.1), Some(0.0));
    }

    #[test]
    fn the_centre_lies_between_grid_points_or_nowhere() {
        let values = [1.0, 2.0, 3.0, 6.0];
        let at = |xs: &[f64], ys: &[f64]| center(Grid { xs, ys, values: &values });
        assert_eq!(at(&[-1.0, 1.0], &[-1.0, 1.0]), Some(3.0));
        assert_eq!(at(&[-1.0, 3.0], &[0.0, 1.0]), Some(1.25));
        assert_eq!(at(&[-1.0, 0.0], &[-1.0, 0.0]), Some(6.0));
        assert_eq!(at(&[0.5, 1.0], &[-1.0, 1.0]), None);
        let hole = [1.0, f64::NAN, 3.0, 6.0];
        let at = |xs: &[f64]| center(Grid { xs, ys: &[-1.0, 1.0], values: &hole });
        assert_eq!(at(&[-1.0, 1.0]), None);
        assert_eq!(at(&[0.0, 1.0]), Some(2.0));
    }

    proptest! {
        /// Against fine marching over the same bilinear surface.
        #[test]
        fn the_radius_is_the_first_reach(values in prop::collection::vec(0.0..1.0f64, 30), ray in 0..ANGLES) {
            let (xs, ys) = ([-1.3, -0.7, -0.1, 0.4, 1.0], [-2.0, -0.9, -0.6, 0.2, 0.5, 1.5]);
            let grid = Grid { xs: &xs, ys: &ys, values: &values };
            let level = center(grid).unwrap() + 0.1;
            let (dx, dy) = direction(ray);
            let step = 1e-4;
            let marched = (0..).map(|i| f64::from(i) * step).map_while(|t| {
                let ((col, u), (row, v)) = (bracket(&xs, dx * t)?, bracket(&ys, dy * t)?);
                Some((t, bilinear(grid, (row, col), (u, v))?))
            }).find(|(_, value)| *value >= level);
            let found = radius(grid, (dx, dy), level);
            // A peak between two steps of the march may be reached earlier.
            if let Some((t, _)) = marched {
                prop_assert!(found <= t + 1e-9, "{found} {t}");
            }
            if found.is_finite() {
                let ((col, u), (row, v)) = (bracket(&xs, dx * found).unwrap(), bracket(&ys, dy * found).unwrap());
                prop_assert!((bilinear(grid, (row, col), (u, v)).unwrap() - level).abs() < 1e-9);
            }
        }
    }
}
