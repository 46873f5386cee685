//! A surface seen from above and aside: a grid of heights projected onto a plane, to be painted back to front.

use super::bilinear::between;
use super::contour::Grid;

/// Where the eye is: turned round the upright axis, and above the horizon, degrees.
const AZIMUTH: f64 = -55.0;
const ELEVATION: f64 = 32.0;
/// Height of the box over the length of its sides.
const BOX_HEIGHT: f64 = 0.62;
/// How far away the eye is, in sides of the box: far enough that parallels hardly meet.
const DISTANCE: f64 = 5.0;
/// Where the light comes from: over the eye's left shoulder.
const LIGHT: [f64; 3] = [-0.35, -0.55, 0.76];
/// Light in the shade, of 1.
const SHADE: f64 = 0.55;

/// A point of the box: x and y in [-1, 1], height in [0, 1].
pub type Point = [f64; 3];

/// The eye.
#[derive(Clone, Copy, Debug)]
pub struct Eye {
    turn: (f64, f64),
    tilt: (f64, f64),
}

impl Default for Eye {
    fn default() -> Self {
        Self { turn: AZIMUTH.to_radians().sin_cos(), tilt: ELEVATION.to_radians().sin_cos() }
    }
}

/// Rows and columns of patches that a surface is cut into for about `side` on a side: whole patches to a cell of the
/// grid, or whole cells to a patch where that can be.
pub fn division(grid: Grid<'_>, side: usize) -> (usize, usize) {
    let cut = |n: usize| match n.saturating_sub(1) {
        0 => 0,
        cells => (cells * (side / cells).max(1)).min(side.max(1)),
    };
    (cut(grid.ys.len()), cut(grid.xs.len()))
}

/// A patch of the surface.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// Its row and column among the patches.
    pub place: (usize, usize),
    /// Corners on the picture's plane, in order; y upwards.
    pub corners: [(f64, f64); 4],
    /// The shade in its middle.
    pub shade: f64,
    /// How much light falls on it, 0 to 1.
    pub light: f64,
}

impl Eye {
    /// Where a point of the box is seen, y upwards, and how far from the eye it is.
    pub fn project(&self, [x, y, height]: Point) -> ((f64, f64), f64) {
        let z = (height - 0.5) * 2.0 * BOX_HEIGHT;
        let ((sin, cos), (up, level)) = (self.turn, self.tilt);
        // Turned until the eye looks along +depth.
        let (across, along) = (x * -sin + y * cos, x * cos + y * sin);
        let depth = DISTANCE - (along * level + z * up);
        let rise = z * level - along * up;
        let shrink = DISTANCE / depth.max(0.1);
        ((across * shrink, rise * shrink), depth)
    }

    /// The bounds of the whole box on the picture's plane: least and largest x, least and largest y.
    pub fn bounds(&self) -> (f64, f64, f64, f64) {
        let corners = [-1.0, 1.0].into_iter().flat_map(|x| {
            [-1.0, 1.0].into_iter().flat_map(move |y| [0.0, 1.0].map(move |z| [x, y, z]))
        });
        corners.map(|p| self.project(p).0).fold(
            (f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY, f64::NEG_INFINITY),
            |(l, r, b, t), (x, y)| (l.min(x), r.max(x), b.min(y), t.max(y)),
        )
    }

    /// The side of the box, -1 or 1 along x and along y, that is turned away from the eye.
    pub fn far_sides(&self) -> (f64, f64) {
        let depth = |x: f64, y: f64| self.project([x, y, 0.0]).1;
        let far = |a: f64, b: f64| if a > b { -1.0 } else { 1.0 };
        (far(depth(-1.0, 0.0), depth(1.0, 0.0)), far(depth(0.0, -1.0), depth(0.0, 1.0)))
    }

    /// The surface over `side` by `side` patches or so, farthest first; a patch with a corner that is not finite is
    /// left out. `height` says how high a value stands, 0 to 1, and `shade` its place on a scale of colours: both are
    /// told of the grid's values and are bilinear between them, so that heights by a logarithm do not sag.
    pub fn patches(
        &self,
        grid: Grid<'_>,
        side: usize,
        height: impl Fn(f64) -> f64,
        shade: impl Fn(f64) -> f64,
    ) -> Vec<Patch> {
        let (rows, columns) = division(grid, side);
        if rows == 0 || columns == 0 {
            return Vec::new();
        }
        let heights = sampled(grid, (rows, columns), height);
        let shades = sampled(grid, (rows, columns), shade);
        let node = |r: usize, c: usize| r * (columns + 1) + c;
        let (across, along) = (places(grid.xs, columns), places(grid.ys, rows));
        let point = |r: usize, c: usize| -> Point { [across[c], along[r], heights[node(r, c)]] };
        let mut found: Vec<(f64, Patch)> = Vec::new();
        for r in 0..rows {
            for c in 0..columns {
                let corners = [point(r, c), point(r, c + 1), point(r + 1, c + 1), point(r + 1, c)];
                if corners.iter().any(|p| !p[2].is_finite()) {
                    continue;
                }
                let shade = (0..4).map(|i| shades[node(r + i / 2, c + i % 2)] / 4.0).sum();
                // By the footprint, not by the height: columns of a height field never hide what stands before them.
                let depth = corners.iter().map(|p| self.project([p[0], p[1], 0.5]).1).sum::<f64>();
                let seen = corners.map(|p| self.project(p).0);
                let light = light(&corners);
                found.push((depth, Patch { place: (r, c), corners: seen, shade, light }));
            }
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found.into_iter().map(|(_, patch)| patch).collect()
    }
}

/// The places in the box, -1 to 1, of `count` + 1 lines spread over an axis evenly by index.
fn places(axis: &[f64], count: usize) -> Vec<f64> {
    let last = axis.len() - 1;
    let at = |i: usize| {
        let index = i as f64 * last as f64 / count as f64;
        let low = (index as usize).min(last.saturating_sub(1));
        let value = axis[low] + (index - low as f64) * (axis[last.min(low + 1)] - axis[low]);
        -1.0 + 2.0 * (value - axis[0]) / (axis[last] - axis[0])
    };
    (0..=count).map(at).collect()
}

/// The grid's values under a function; NaN where they are not finite.
pub fn mapped(grid: Grid<'_>, to: impl Fn(f64) -> f64) -> Vec<f64> {
    grid.values.iter().map(|v| if v.is_finite() { to(*v) } else { f64::NAN }).collect()
}

/// The function of the grid's values at the corners of so many rows and columns of patches.
fn sampled(grid: Grid<'_>, (rows, columns): (usize, usize), to: impl Fn(f64) -> f64) -> Vec<f64> {
    let values = mapped(grid, to);
    let grid = Grid { values: &values, ..grid };
    let (last_row, last_column) = ((grid.ys.len() - 1) as f64, (grid.xs.len() - 1) as f64);
    let at = |i: usize, of: usize, last: f64| i as f64 * last / of as f64;
    let rows_at = (0..=rows).map(|r| at(r, rows, last_row));
    let columns_at = |c: usize| at(c, columns, last_column);
    rows_at.flat_map(|row| (0..=columns).map(move |c| between(grid, columns_at(c), row))).collect()
}

/// The light on a patch, by how it is turned.
fn light(corners: &[Point; 4]) -> f64 {
    let [a, b, c, d] = corners.map(|[x, y, h]| [x, y, h * 2.0 * BOX_HEIGHT]);
    let minus = |p: [f64; 3], q: [f64; 3]| [p[0] - q[0], p[1] - q[1], p[2] - q[2]];
    let (u, v) = (minus(c, a), minus(d, b));
    let normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    let length = |p: [f64; 3]| p.iter().map(|x| x * x).sum::<f64>().sqrt();
    let dot: f64 = normal.iter().zip(LIGHT).map(|(a, b)| a * b).sum();
    let facing = dot / (length(normal) * length(LIGHT));
    SHADE + (1.0 - SHADE) * if facing.is_finite() { facing.max(0.0) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bowl(n: usize) -> (Vec<f64>, Vec<f64>) {
        let axis: Vec<f64> = (0..n).map(|i| -1.0 + 2.0 * i as f64 / (n - 1) as f64).collect();
        let values = axis.iter().flat_map(|y| axis.iter().map(move |x| x * x + y * y)).collect();
        (axis, values)
    }

    #[test]
    fn up_is_up_and_the_box_stands_in_its_bounds() {
        let eye = Eye::default();
        let (below, above) = (eye.project([0.0, 0.0, 0.0]).0, eye.project([0.0, 0.0, 1.0]).0);
        assert!(above.1 > below.1 && (above.0 - below.0).abs() < 1e-12);
        let (left, right, bottom, top) = eye.bounds();
        assert!(left < -1.0 && right > 1.0 && bottom < top);
        let (x, y) = eye.far_sides();
        assert!(eye.project([x, y, 0.0]).1 > eye.project([-x, -y, 0.0]).1);
    }

    #[test]
    fn patches_come_from_the_far_side_and_leave_holes() {
        let (axis, mut values) = bowl(5);
        let eye = Eye::default();
        let grid = Grid { xs: &axis, ys: &axis, values: &values };
        let patches = eye.patches(grid, 8, |v| v / 2.0, |v| v / 4.0);
        assert_eq!(patches.len(), 64);
        let (first, last) = (&patches[0], &patches[63]);
        assert!(first.corners[0].1 > last.corners[0].1, "the far side is seen higher");
        assert!(patches.iter().all(|p| (SHADE..=1.0).contains(&p.light)));
        // The corner cell has the shades 0.5, 0.3125, 0.3125, 0.125; its outer quarter 0.5, twice 0.40625, 0.3125.
        let corner = patches.iter().find(|p| p.place == (0, 0)).map(|p| p.shade);
        assert!(corner.is_some_and(|s| (s - 0.40625).abs() < 1e-12), "{corner:?}");
        values[12] = f64::NAN;
        let grid = Grid { xs: &axis, ys: &axis, values: &values };
        let count = |side| eye.patches(grid, side, |v| v / 2.0, |v| v).len();
        assert_eq!((count(4), count(1)), (16 - 4, 1));
    }
}
