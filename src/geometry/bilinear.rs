//! A function between the points of its grid.

use super::contour::Grid;

/// The value at a fractional column and row: bilinear between grid points, NaN outside and where a corner that counts
/// is missing.
pub fn between(grid: Grid<'_>, column: f64, row: f64) -> f64 {
    let (nx, ny) = (grid.xs.len(), grid.ys.len());
    let inside = |at: f64, count: usize| at >= 0.0 && count > 0 && at <= (count - 1) as f64;
    if !inside(column, nx) || !inside(row, ny) || grid.values.len() != nx * ny {
        return f64::NAN;
    }
    let (c, r) =
        ((column as usize).min(nx.saturating_sub(2)), (row as usize).min(ny.saturating_sub(2)));
    let (u, v) = (column - c as f64, row - r as f64);
    let mut sum = 0.0;
    for (dr, dc, weight) in
        [(0, 0, (1.0 - u) * (1.0 - v)), (0, 1, u * (1.0 - v)), (1, 0, (1.0 - u) * v), (1, 1, u * v)]
    {
        // A corner without weight may be missing, or lie beyond the only row.
        if weight != 0.0 {
            sum += weight * grid.values[(r + dr) * nx + c + dc];
        }
    }
    sum
}

/// The fractional index of `at` on a rising axis; NaN outside it.
pub fn locate(axis: &[f64], at: f64) -> f64 {
    let (Some(first), Some(last)) = (axis.first(), axis.last()) else { return f64::NAN };
    if !(at >= *first && at <= *last) {
        return f64::NAN;
    }
    let next = axis.partition_point(|v| *v <= at).min(axis.len() - 1);
    let Some(before) = next.checked_sub(1) else { return 0.0 };
    let (a, b) = (axis[before], axis[next]);
    before as f64 + if b > a { (at - a) / (b - a) } else { 0.0 }
}

/// The value at a place in the grid's coordinates, as [`between`].
pub fn at(grid: Grid<'_>, x: f64, y: f64) -> f64 {
    between(grid, locate(grid.xs, x), locate(grid.ys, y))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_is_along_the_rows_and_right_along_the_columns() {
        let (xs, ys) = ([-1.0, 0.0, 2.0], [10.0, 20.0]);
        let values = [0.0, 1.0, 2.0, 3.0, 4.0, f64::NAN];
        let grid = Grid { xs: &xs, ys: &ys, values: &values };
        assert_eq!(at(grid, -0.5, 10.0), 0.5);
        assert_eq!(at(grid, -1.0, 15.0), 1.5);
        assert_eq!(at(grid, 1.0, 10.0), 1.5);
        assert_eq!(at(grid, 0.0, 20.0), 4.0);
        assert_eq!(at(grid, 2.0, 10.0), 2.0);
        assert!(at(grid, 1.0, 15.0).is_nan(), "a corner is missing");
        assert!(at(grid, 2.1, 10.0).is_nan() && at(grid, 0.0, f64::NAN).is_nan());
    }

    #[test]
    fn a_row_or_a_point_is_enough() {
        let line = Grid { xs: &[0.0, 1.0], ys: &[0.0], values: &[1.0, 3.0] };
        assert_eq!(at(line, 0.5, 0.0), 2.0);
        let point = Grid { xs: &[0.0], ys: &[0.0], values: &[7.0] };
        assert_eq!(at(point, 0.0, 0.0), 7.0);
        assert!(at(Grid { xs: &[], ys: &[], values: &[] }, 0.0, 0.0).is_nan());
    }
}
