//! Isolines of a function on a grid by marching squares, joined into polylines.
//!
//! A saddle cell (two opposite corners above the level) is resolved by the mean of its corners. A cell with a corner
//! that is not finite holds no line: the line ends at its edge, open.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// One connected piece of an isoline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Isoline {
    /// The value along the line.
    pub level: f64,
    /// Vertices (x, y) in the grid's coordinates. A closed line repeats its first vertex at the end.
    pub points: Vec<(f64, f64)>,
}

/// A function sampled on a rectangular grid; `values` row by row, row = y.
#[derive(Clone, Copy, Debug)]
pub struct Grid<'a> {
    /// Rising coordinates of the columns [nx].
    pub xs: &'a [f64],
    /// Rising coordinates of the rows [ny].
    pub ys: &'a [f64],
    /// Values [ny * nx]; not finite where unknown.
    pub values: &'a [f64],
}

/// A grid edge: the node it starts from and whether it runs along x or along y.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Edge {
    row: usize,
    col: usize,
    along_x: bool,
}

impl Grid<'_> {
    /// Whether the axes are finite and rise, and the values fill the grid.
    pub(super) fn is_sound(&self) -> bool {
        let rises = |axis: &[f64]| {
            axis.iter().all(|v| v.is_finite()) && axis.windows(2).all(|w| w[0] < w[1])
        };
        rises(self.xs) && rises(self.ys) && self.values.len() == self.xs.len() * self.ys.len()
    }

    pub(super) fn at(&self, row: usize, col: usize) -> f64 {
        self.values[row * self.xs.len() + col]
    }

    /// Where the level crosses an edge whose ends lie on both sides of it.
    fn crossing(&self, edge: Edge, level: f64) -> (f64, f64) {
        let Edge { row, col, along_x } = edge;
        let from = self.at(row, col);
        if along_x {
            let t = (level - from) / (self.at(row, col + 1) - from);
            (self.xs[col] + t * (self.xs[col + 1] - self.xs[col]), self.ys[row])
        } else {
            let t = (level - from) / (self.at(row + 1, col) - from);
            (self.xs[col], self.ys[row] + t * (self.ys[row + 1] - self.ys[row]))
        }
    }

    /// The line pieces of one cell, as pairs of edges.
    fn pieces(&self, row: usize, col: usize, level: f64) -> Vec<(Edge, Edge)> {
        let corners = [
            self.at(row, col),
            self.at(row, col + 1),
            self.at(row + 1, col + 1),
            self.at(row + 1, col),
        ];
        if corners.iter().any(|v| !v.is_finite()) {
            return Vec::new();
        }
        let bottom = Edge { row, col, along_x: true };
        let top = Edge { row: row + 1, col, along_x: true };
        let left = Edge { row, col, along_x: false };
        let right = Edge { row, col: col + 1, along_x: false };
        let above = corners.map(|v| v >= level);
        // One bit per corner, counter-clockwise from the lower left.
        let case = above.iter().rev().fold(0u8, |bits, a| bits << 1 | u8::from(*a));
        let mean_above = corners.iter().sum::<f64>() / 4.0 >= level;
        match case {
            0b0001 | 0b1110 => vec![(left, bottom)],
            0b0010 | 0b1101 => vec![(bottom, right)],
            0b0100 | 0b1011 => vec![(right, top)],
            0b1000 | 0b0111 => vec![(top, left)],
            0b0011 | 0b1100 => vec![(left, right)],
            0b0110 | 0b1001 => vec![(bottom, top)],
            // Saddles: the corners that share the mean's side are joined through the middle.
            0b0101 if mean_above => vec![(bottom, right), (top, left)],
            0b0101 => vec![(left, bottom), (right, top)],
            0b1010 if mean_above => vec![(left, bottom), (right, top)],
            0b1010 => vec![(bottom, right), (top, left)],
            _ => Vec::new(),
        }
    }
}

/// The isolines of `grid` at `level`, each piece as long as it can be. A grid with fewer than two rows or columns, or
/// whose values do not fill it, has none.
pub fn isolines(grid: Grid<'_>, level: f64) -> Vec<Isoline> {
    let (nx, ny) = (grid.xs.len(), grid.ys.len());
    if nx < 2 || ny < 2 || grid.values.len() != nx * ny || !level.is_finite() {
        return Vec::new();
    }
    let mut pieces = Vec::new();
    for row in 0..ny - 1 {
        for col in 0..nx - 1 {
            pieces.extend(grid.pieces(row, col, level));
        }
    }
    join(&pieces)
        .into_iter()
        .map(|edges| Isoline {
            level,
            points: edges.into_iter().map(|e| grid.crossing(e, level)).collect(),
        })
        .collect()
}

/// Joins pieces that share an edge. An edge lies in at most two cells and each cell uses it at most once, so every
/// edge has at most two neighbours and the pieces form simple chains and rings.
fn join(pieces: &[(Edge, Edge)]) -> Vec<Vec<Edge>> {
    let mut at: HashMap<Edge, Vec<usize>> = HashMap::new();
    for (i, (a, b)) in pieces.iter().enumerate() {
        at.entry(*a).or_default().push(i);
        at.entry(*b).or_default().push(i);
    }
    let mut used = vec![false; pieces.len()];
    let mut lines = Vec::new();
    // Open chains first, from their ends; what is left are rings.
    let mut starts: Vec<Edge> = at.iter().filter(|(_, p)| p.len() == 1).map(|(e, _)| *e).collect();
    starts.sort_unstable();
    let rings = pieces.iter().map(|(a, _)| *a);
    for start in starts.into_iter().chain(rings) {
        let mut line = vec![start];
        let mut edge = start;
        while let Some(&i) = at[&edge].iter().find(|i| !used[**i]) {
            used[i] = true;
            let (a, b) = pieces[i];
            edge = if a == edge { b } else { a };
            line.push(edge);
        }
        if line.len() > 1 {
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(n: usize, f: impl Fn(f64, f64) -> f64) -> (Vec<f64>, Vec<f64>) {
        let axis: Vec<f64> = (0..n).map(|i| -1.0 + 2.0 * i as f64 / (n - 1) as f64).collect();
        let values =
            axis.iter().flat_map(|y| axis.iter().map(|x| f(*x, *y)).collect::<Vec<_>>()).collect();
        (axis, values)
    }

    fn lines(n: usize, level: f64, f: impl Fn(f64, f64) -> f64) -> Vec<Isoline> {
        let (axis, values) = sample(n, f);
        isolines(Grid { xs: &axis, ys: &axis, values: &values }, level)
    }

    fn closed(line: &Isoline) -> bool {
        line.points.first() == line.points.last()
    }

    #[test]
    fn a_plane_has_one_straight_open_line() {
        let found = lines(9, 0.1, |x, _| x);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].points.len(), 9);
        assert!(!closed(&found[0]));
        assert!(found[0].points.iter().all(|(x, _)| (x - 0.1).abs() < 1e-12));
    }

    #[test]
    fn a_cone_has_one_closed_ring_of_its_radius() {
        let found = lines(41, 0.5, |x, y| x.hypot(y));
        assert_eq!(found.len(), 1);
        assert!(closed(&found[0]));
        assert!(found[0].points.iter().all(|(x, y)| (x.hypot(*y) - 0.5).abs() < 0.01));
    }

    #[test]
    fn a_ring_shaped_ridge_has_two_closed_lines() {
        let found = lines(41, 0.9, |x, y| 1.0 - (x.hypot(y) - 0.5).abs());
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(closed));
    }

    #[test]
    fn a_saddle_cell_follows_its_mean() {
        // One cell, high at lower left and upper right. Mean 0.5.
        let (axis, values) = ([0.0, 1.0], [1.0, 0.0, 0.0, 1.0]);
        let grid = Grid { xs: &axis, ys: &axis, values: &values };
        let low: Vec<_> = isolines(grid, 0.25).into_iter().map(|l| l.points).collect();
        // Mean above the level: the high corners are joined, lines cut off the low corners (1, 0) and (0, 1).
        assert!(low.contains(&vec![(0.75, 0.0), (1.0, 0.25)]), "{low:?}");
        assert!(
            low.contains(&vec![(0.25, 1.0), (0.0, 0.75)])
                || low.contains(&vec![(0.0, 0.75), (0.25, 1.0)]),
            "{low:?}"
        );
        let high: Vec<_> = isolines(grid, 0.75).into_iter().map(|l| l.points).collect();
        // Mean below: the high corners (0, 0) and (1, 1) are cut off.
        assert!(
            high.contains(&vec![(0.25, 0.0), (0.0, 0.25)])
                || high.contains(&vec![(0.0, 0.25), (0.25, 0.0)]),
            "{high:?}"
        );
    }

    #[test]
    fn a_hole_leaves_the_line_open() {
        let (axis, mut values) = sample(21, f64::hypot);
        values[10 * 21 + 15] = f64::NAN; // (0.5, 0)
        let found = isolines(Grid { xs: &axis, ys: &axis, values: &values }, 0.5);
        assert_eq!(found.len(), 1);
        assert!(!closed(&found[0]));
    }

    #[test]
    fn rows_are_y_and_columns_are_x() {
        let (xs, ys) = ([0.0, 1.0, 2.0], [0.0, 10.0]);
        // Rises along x only.
        let values = [0.0, 1.0, 2.0, 0.0, 1.0, 2.0];
        let found = isolines(Grid { xs: &xs, ys: &ys, values: &values }, 1.5);
        assert_eq!(found.len(), 1);
        assert!(found[0].points.iter().all(|(x, _)| *x == 1.5));
    }

    #[test]
    fn grids_that_are_none_have_no_lines() {
        let empty = Grid { xs: &[], ys: &[], values: &[] };
        assert!(isolines(empty, 0.0).is_empty());
        let short = Grid { xs: &[0.0, 1.0], ys: &[0.0, 1.0], values: &[0.0] };
        assert!(isolines(short, 0.0).is_empty());
    }

    proptest! {
        /// Every vertex lies on a grid line, and the bilinear function has the level there.
        #[test]
        fn vertices_have_the_level(values in prop::collection::vec(-1.0..1.0f64, 36), level in -0.9..0.9f64) {
            let axis: Vec<f64> = (0..6).map(f64::from).collect();
            let grid = Grid { xs: &axis, ys: &axis, values: &values };
            for line in isolines(grid, level) {
                prop_assert!(line.points.len() >= 2);
                for (x, y) in line.points {
                    let (c, r) = ((x.floor() as usize).min(4), (y.floor() as usize).min(4));
                    let (u, v) = (x - c as f64, y - r as f64);
                    let low = grid.at(r, c) * (1.0 - u) + grid.at(r, c + 1) * u;
                    let high = grid.at(r + 1, c) * (1.0 - u) + grid.at(r + 1, c + 1) * u;
                    prop_assert!((low * (1.0 - v) + high * v - level).abs() < 1e-9);
                }
            }
        }

        /// A line ends only at the border of the grid.
        #[test]
        fn lines_end_at_the_border(values in prop::collection::vec(-1.0..1.0f64, 36), level in -0.9..0.9f64) {
            let axis: Vec<f64> = (0..6).map(f64::from).collect();
            for line in isolines(Grid { xs: &axis, ys: &axis, values: &values }, level) {
                if !closed(&line) {
                    for (x, y) in [line.points[0], *line.points.last().unwrap()] {
                        prop_assert!(x == 0.0 || y == 0.0 || x == 5.0 || y == 5.0, "({x}, {y})");
                    }
                }
            }
        }
    }
}
