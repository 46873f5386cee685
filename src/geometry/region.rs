//! The part of a grid where a function is at or above a level, as closed rings: what lies between two isolines.
//!
//! Cells are cut as by marching squares in [`super::contour`], saddles by the mean of the corners, so the rings run
//! along the isolines. A cell with a corner that is not finite belongs to no part.

use std::collections::HashMap;

use super::contour::Grid;

/// A vertex of a ring: a grid point, or where the level crosses the edge that leaves it to the right or upwards.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Vertex {
    Node(usize, usize),
    Right(usize, usize),
    Up(usize, usize),
}

/// A closed ring of vertices (x, y); the last is followed by the first.
pub type Ring = Vec<(f64, f64)>;

/// Which corners of a cell belong to the part, counter-clockwise from the lower left, and whether its middle does.
struct Cut {
    corners: [bool; 4],
    middle: bool,
}

/// Rings around the part at or above `level` (negative infinity: all that is known), to be filled by the nonzero rule:
/// outer ones run counter-clockwise, holes clockwise.
pub fn above(grid: Grid<'_>, level: f64) -> Vec<Ring> {
    let cut = |corners: [f64; 4]| {
        corners.iter().all(|v| v.is_finite()).then(|| Cut {
            corners: corners.map(|v| v >= level),
            middle: corners.iter().sum::<f64>() / 4.0 >= level,
        })
    };
    placed(grid, rings(grid, cut), level)
}

/// Rings around the cells that have a corner which is not finite.
pub fn unknown(grid: Grid<'_>) -> Vec<Ring> {
    let cut = |corners: [f64; 4]| {
        let missing = corners.iter().any(|v| !v.is_finite());
        missing.then_some(Cut { corners: [true; 4], middle: true })
    };
    placed(grid, rings(grid, cut), 0.0)
}

fn placed(grid: Grid<'_>, rings: Vec<Vec<Vertex>>, level: f64) -> Vec<Ring> {
    rings.into_iter().map(|r| r.into_iter().map(|v| place(grid, v, level)).collect()).collect()
}

fn place(grid: Grid<'_>, vertex: Vertex, level: f64) -> (f64, f64) {
    let value = |row: usize, col: usize| grid.values[row * grid.xs.len() + col];
    match vertex {
        Vertex::Node(row, col) => (grid.xs[col], grid.ys[row]),
        Vertex::Right(row, col) => {
            let t = (level - value(row, col)) / (value(row, col + 1) - value(row, col));
            (grid.xs[col] + t * (grid.xs[col + 1] - grid.xs[col]), grid.ys[row])
        }
        Vertex::Up(row, col) => {
            let t = (level - value(row, col)) / (value(row + 1, col) - value(row, col));
            (grid.xs[col], grid.ys[row] + t * (grid.ys[row + 1] - grid.ys[row]))
        }
    }
}

/// Rings around the cut parts of the cells; `cut` is given a cell's corners, counter-clockwise from the lower left.
fn rings(grid: Grid<'_>, cut: impl Fn([f64; 4]) -> Option<Cut>) -> Vec<Vec<Vertex>> {
    let (nx, ny) = (grid.xs.len(), grid.ys.len());
    if nx < 2 || ny < 2 || grid.values.len() != nx * ny {
        return Vec::new();
    }
    let mut border = Border::default();
    for row in 0..ny - 1 {
        for col in 0..nx - 1 {
            let at = |r: usize, c: usize| grid.values[r * nx + c];
            let corners = [at(row, col), at(row, col + 1), at(row + 1, col + 1), at(row + 1, col)];
            for polygon in cut(corners).map(|cut| polygons(row, col, &cut)).unwrap_or_default() {
                border.add(&polygon);
            }
        }
    }
    border.rings()
}

/// The edges of polygons that no neighbour shares.
#[derive(Default)]
struct Border {
    next: HashMap<Vertex, Vec<Vertex>>,
}

impl Border {
    /// Adds a polygon. An edge that two share runs through them in opposite senses, and falls away.
    fn add(&mut self, polygon: &[Vertex]) {
        for (from, to) in polygon.iter().zip(polygon.iter().cycle().skip(1)) {
            let back = self.next.get_mut(to);
            match back.and_then(|b| Some((b.iter().position(|v| v == from)?, b))) {
                Some((at, back)) => drop(back.swap_remove(at)),
                None => self.next.entry(*from).or_default().push(*to),
            }
        }
    }

    /// As many edges lead to a vertex as from it, so every walk comes back to its start.
    fn rings(mut self) -> Vec<Vec<Vertex>> {
        let mut starts: Vec<Vertex> = self.next.keys().copied().collect();
        starts.sort_unstable();
        let mut found = Vec::new();
        for start in starts {
            while let Some(first) = self.next.get_mut(&start).and_then(Vec::pop) {
                let (mut ring, mut at) = (vec![start], first);
                while at != start {
                    ring.push(at);
                    match self.next.get_mut(&at).and_then(Vec::pop) {
                        Some(further) => at = further,
                        None => break,
                    }
                }
                found.push(straightened(ring));
            }
        }
        found
    }
}

/// Without the grid points that a ring passes straight through.
fn straightened(ring: Vec<Vertex>) -> Vec<Vertex> {
    let count = ring.len();
    let node = |i: usize| match ring[i % count] {
        Vertex::Node(row, col) => Some((row, col)),
        _ => None,
    };
    let passed = |i: usize| match (node(i + count - 1), node(i), node(i + 1)) {
        (Some(a), Some(b), Some(c)) => (a.0 == b.0 && b.0 == c.0) || (a.1 == b.1 && b.1 == c.1),
        _ => false,
    };
    (0..count).filter(|i| !passed(*i)).map(|i| ring[i]).collect()
}

/// The polygons of one cell, counter-clockwise.
fn polygons(row: usize, col: usize, cut: &Cut) -> Vec<Vec<Vertex>> {
    let Cut { corners, middle } = *cut;
    let nodes = [
        Vertex::Node(row, col),
        Vertex::Node(row, col + 1),
        Vertex::Node(row + 1, col + 1),
        Vertex::Node(row + 1, col),
    ];
    // Side i leads from corner i to the next.
    let sides = [
        Vertex::Right(row, col),
        Vertex::Up(row, col + 1),
        Vertex::Right(row + 1, col),
        Vertex::Up(row, col),
    ];
    let is_saddle =
        corners[0] == corners[2] && corners[1] == corners[3] && corners[0] != corners[1];
    if is_saddle && !middle {
        let high = (0..4).filter(|i| corners[*i]);
        return high.map(|i| vec![sides[(i + 3) % 4], nodes[i], sides[i]]).collect();
    }
    let mut polygon = Vec::new();
    for i in 0..4 {
        if corners[i] {
            polygon.push(nodes[i]);
        }
        if corners[i] != corners[(i + 1) % 4] {
            polygon.push(sides[i]);
        }
    }
    if polygon.is_empty() { Vec::new() } else { vec![polygon] }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::geometry::contour::isolines;

    /// Signed: counter-clockwise is positive.
    fn area(rings: &[Ring]) -> f64 {
        let one = |r: &Ring| -> f64 {
            let following = r.iter().cycle().skip(1);
            r.iter().zip(following).map(|(a, b)| (a.0 * b.1 - b.0 * a.1) / 2.0).sum()
        };
        rings.iter().map(one).sum()
    }

    fn axis(n: usize) -> Vec<f64> {
        (0..n).map(|i| i as f64).collect()
    }

    #[test]
    fn half_of_a_plane_is_one_rectangle() {
        let axis = axis(3);
        let values = [0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 1.0, 2.0];
        let grid = Grid { xs: &axis, ys: &axis, values: &values };
        let found = above(grid, 0.5);
        assert_eq!((found.len(), area(&found)), (1, 3.0));
        assert_eq!(
            above(grid, f64::NEG_INFINITY),
            [[(0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0)]]
        );
        assert!(above(grid, 3.0).is_empty() && unknown(grid).is_empty());
    }

    #[test]
    fn a_hole_runs_the_other_way() {
        let axis = axis(4);
        let mut values = [1.0; 16];
        values[5] = f64::NAN;
        let grid = Grid { xs: &axis, ys: &axis, values: &values };
        assert_eq!((area(&above(grid, 0.0)), area(&unknown(grid))), (5.0, 4.0));
        let mut pit = [1.0; 16];
        pit[5] = 0.0;
        let ring = above(Grid { values: &pit, ..grid }, 0.5);
        assert_eq!((ring.len(), area(&ring)), (2, 9.0 - 0.5));
    }

    proptest! {
        /// What is above a level is all but what is above the negative one turned upside down, and its border within
        /// the grid is the isoline.
        #[test]
        fn parts_add_up_and_follow_the_isolines(values in prop::collection::vec(-1.0..1.0f64, 30), level in -0.9..0.9f64) {
            let (xs, ys) = (axis(6), axis(5));
            let grid = Grid { xs: &xs, ys: &ys, values: &values };
            let upside: Vec<f64> = values.iter().map(|v| -v).collect();
            let high = above(grid, level);
            let low = above(Grid { values: &upside, ..grid }, -level);
            prop_assert!((area(&high) + area(&low) - 20.0).abs() < 1e-9);
            let near = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).abs() + (a.1 - b.1).abs() < 1e-9;
            for line in isolines(grid, level) {
                for point in line.points {
                    prop_assert!(high.iter().flatten().any(|p| near(*p, point)), "{point:?} is on no ring");
                }
            }
        }
    }
}
