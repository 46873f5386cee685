//! How far isolines of one map lie from those of another.

use super::contour::{Grid, isolines};

/// The largest distance, in cells of `a`'s grid, from any vertex of an isoline of one grid at `level` to the nearest
/// isoline of the other; both ways. None if neither has a line there; infinite if only one has.
pub fn farthest(a: Grid<'_>, b: Grid<'_>, level: f64) -> Option<f64> {
    let cell = |axis: &[f64]| match axis {
        [first, .., last] => (last - first) / (axis.len() - 1) as f64,
        _ => 1.0,
    };
    let (dx, dy) = (cell(a.xs), cell(a.ys));
    let lines = |grid| -> Vec<Vec<(f64, f64)>> {
        let scaled = |(x, y): (f64, f64)| (x / dx, y / dy);
        let found = isolines(grid, level).into_iter();
        found.map(|line| line.points.into_iter().map(scaled).collect()).collect()
    };
    let (a, b) = (lines(a), lines(b));
    if a.is_empty() && b.is_empty() {
        return None;
    }
    let one_way = |from: &[Vec<(f64, f64)>], to: &[Vec<(f64, f64)>]| {
        from.iter().flatten().map(|p| nearest(*p, to)).fold(0.0, f64::max)
    };
    Some(one_way(&a, &b).max(one_way(&b, &a)))
}

/// Distance from a point to the nearest of the polylines; infinite without any.
fn nearest(point: (f64, f64), lines: &[Vec<(f64, f64)>]) -> f64 {
    let segments = lines.iter().flat_map(|line| line.windows(2));
    segments.map(|s| to_segment(point, s[0], s[1])).fold(f64::INFINITY, f64::min)
}

fn to_segment((x, y): (f64, f64), (ax, ay): (f64, f64), (bx, by): (f64, f64)) -> f64 {
    let (ux, uy) = (bx - ax, by - ay);
    let length = ux * ux + uy * uy;
    let along = if length > 0.0 { ((x - ax) * ux + (y - ay) * uy) / length } else { 0.0 };
    let t = along.clamp(0.0, 1.0);
    (x - ax - t * ux).hypot(y - ay - t * uy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifted_planes_lie_as_far_apart_as_they_are_shifted() {
        let axis: Vec<f64> = (0..11).map(|i| f64::from(i) * 0.1).collect();
        let plane = |shift: f64| -> Vec<f64> { (0..121).map(|i| axis[i % 11] + shift).collect() };
        let (a, b) = (plane(0.0), plane(0.05));
        let grid = |values| Grid { xs: &axis, ys: &axis, values };
        let found = farthest(grid(&a), grid(&b), 0.52).unwrap();
        assert!((found - 0.5).abs() < 1e-9, "half a cell: {found}");
        assert_eq!(farthest(grid(&a), grid(&a), 0.52), Some(0.0));
        assert_eq!(farthest(grid(&a), grid(&b), 1.02), Some(f64::INFINITY), "only one reaches it");
        assert_eq!(farthest(grid(&a), grid(&b), 9.0), None);
    }
}
