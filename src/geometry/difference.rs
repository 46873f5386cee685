//! Second derivatives at the inner points of a grid by central differences, right on uneven axes.

use super::contour::Grid;

/// What a curvature must exceed, as a share of the values around it, to be more than their rounding: some thousand
/// units in the last place.
const ROUNDING: f64 = 1e-12;

/// An inner point of a plane with its eight neighbours, or of a line with its two, all known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patch {
    /// The value.
    center: f64,
    /// The least value among the neighbours.
    lowest: f64,
    /// The greatest absolute value of all.
    size: f64,
    /// Second derivatives along the axes that the grid has, per unit squared.
    second: Second,
}

/// Second derivatives, with the products of the steps to either side that make each a difference of values.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Second {
    Plane { xx: f64, xy: f64, yy: f64, hx2: f64, hy2: f64 },
    Line { ss: f64, h2: f64 },
}

/// The patches of a grid; those with an unknown point are left out. `grid` is sound.
pub fn patches(grid: Grid<'_>) -> Vec<Patch> {
    let (nx, ny) = (grid.xs.len(), grid.ys.len());
    match (nx, ny) {
        (_, 1) => line(grid.xs, grid.values),
        (1, _) => line(grid.ys, grid.values),
        _ => {
            let inner = |n: usize| 1..n.saturating_sub(1).max(1);
            inner(ny).flat_map(|r| inner(nx).filter_map(move |c| plane(grid, r, c))).collect()
        }
    }
}

fn line(axis: &[f64], values: &[f64]) -> Vec<Patch> {
    let of = |(s, z): (&[f64], &[f64])| {
        let patch = Patch {
            center: z[1],
            lowest: z[0].min(z[2]),
            size: z.iter().fold(0.0, |most, v| v.abs().max(most)),
            second: Second::Line { ss: second(s, z), h2: (s[1] - s[0]) * (s[2] - s[1]) },
        };
        z.iter().all(|v| v.is_finite()).then_some(patch)
    };
    axis.windows(3).zip(values.windows(3)).filter_map(of).collect()
}

fn plane(grid: Grid<'_>, row: usize, col: usize) -> Option<Patch> {
    let (x, y) = (&grid.xs[col - 1..=col + 1], &grid.ys[row - 1..=row + 1]);
    let z = [row - 1, row, row + 1].map(|r| [col - 1, col, col + 1].map(|c| grid.at(r, c)));
    if z.iter().flatten().any(|v| !v.is_finite()) {
        return None;
    }
    let twist = z[2][2] - z[2][0] - z[0][2] + z[0][0];
    let around = z.iter().flatten().enumerate().filter(|(i, _)| *i != 4).map(|(_, v)| *v);
    Some(Patch {
        center: z[1][1],
        lowest: around.fold(f64::INFINITY, f64::min),
        size: z.iter().flatten().fold(0.0, |most, v| v.abs().max(most)),
        second: Second::Plane {
            xx: second(x, &z[1]),
            xy: twist / ((x[2] - x[0]) * (y[2] - y[0])),
            yy: second(y, &[z[0][1], z[1][1], z[2][1]]),
            hx2: (x[1] - x[0]) * (x[2] - x[1]),
            hy2: (y[1] - y[0]) * (y[2] - y[1]),
        },
    })
}

/// The second derivative of the parabola through three points.
fn second(s: &[f64], z: &[f64]) -> f64 {
    let (before, after) = (s[1] - s[0], s[2] - s[1]);
    2.0 * ((z[2] - z[1]) / after - (z[1] - z[0]) / before) / (before + after)
}

impl Patch {
    /// Whether the value lies below all neighbours.
    pub fn is_minimum(&self) -> bool {
        self.center < self.lowest
    }

    /// Whether the Hessian is positive definite beyond rounding. Measured in steps of the grid, in which every entry is
    /// a difference of values and definiteness is the same.
    pub fn is_convex(&self) -> bool {
        let least = match self.second {
            Second::Line { ss, h2 } => ss * h2,
            Second::Plane { xx, xy, yy, hx2, hy2 } => {
                let (a, b, c) = (xx * hx2, xy * (hx2 * hy2).sqrt(), yy * hy2);
                f64::midpoint(a, c) - (0.5 * (a - c)).hypot(b)
            }
        };
        least > ROUNDING * self.size
    }

    /// The squared Frobenius norm of the Hessian, xx^2 + 2 xy^2 + yy^2; along a line the squared second derivative.
    pub fn bending(&self) -> f64 {
        match self.second {
            Second::Line { ss, .. } => ss * ss,
            Second::Plane { xx, xy, yy, .. } => xx * xx + 2.0 * xy * xy + yy * yy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quadratic_has_its_own_hessian_on_uneven_axes() {
        let (xs, ys) = ([-1.0, -0.2, 0.1, 2.0], [0.0, 0.3, 1.5]);
        let f = |x: f64, y: f64| 2.0 * x * x - 3.0 * x * y + 0.5 * y * y + x - 7.0;
        let values: Vec<f64> =
            ys.iter().flat_map(|y| xs.iter().map(|x| f(*x, *y)).collect::<Vec<_>>()).collect();
        let found = patches(Grid { xs: &xs, ys: &ys, values: &values });
        assert_eq!(found.len(), 2);
        for patch in found {
            let Second::Plane { xx, xy, yy, .. } = patch.second else { panic!("a plane") };
            assert!((xx - 4.0).abs() < 1e-9 && (xy + 3.0).abs() < 1e-9 && (yy - 1.0).abs() < 1e-9);
            // 16 + 2 * 9 + 1; 4 * 1 < 9: a saddle, though both axes bend upward.
            assert!((patch.bending() - 35.0).abs() < 1e-8);
            assert!(!patch.is_convex());
        }
    }

    #[test]
    fn a_line_along_either_axis_is_the_same() {
        let (axis, zero, values) = ([0.0, 1.0, 3.0, 4.0], [0.0], [0.0, 1.0, 9.0, f64::NAN]);
        let along_x = patches(Grid { xs: &axis, ys: &zero, values: &values });
        let along_y = patches(Grid { xs: &zero, ys: &axis, values: &values });
        assert_eq!(along_x, along_y);
        assert_eq!(along_x.len(), 1);
        assert!((along_x[0].bending() - 4.0).abs() < 1e-12 && along_x[0].is_convex());
    }
}
