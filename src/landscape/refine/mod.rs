//! Adaptive refinement: a grid computed coarse first, then finer only where interpolation would show.
//!
//! Lines are halved level by level: ends and centre, then those half way between. What matters is where an isoline runs: at every new point the
//! level before it predicts a value, by bicubic interpolation of ln(loss + 0.1). Where prediction and truth differ, the
//! isoline moves by that difference over the slope. The next level is computed where this shift, shrunk as the spacing
//! shrinks, is still a good part of a grid cell; elsewhere it is interpolated.

mod lines;

use std::ops::Range;

use crate::geometry::levels::{LEVELS, quantile_levels, quantiles};
use crate::geometry::scale::LOG_SHIFT;
use lines::{Lines, interpolate, nodes};

/// Lines on a side up to which every point is computed: with fewer, an error estimate has nothing to stand on.
const BASE_LINES: usize = 13;
/// How much smaller the interpolation's error is taken to be at half the spacing. Bicubic interpolation of a smooth
/// function gains 16; ReLU networks have creases, across which it gains 2.
const GAIN: f64 = 2.5;
/// Shift of an isoline that is let pass, in cells of the finest grid.
const SHIFT: f64 = 0.25;
/// Errors below this share of the range are let pass whatever they shift: on a plain an isoline's place means little.
const FLAT: f64 = 1e-4;

/// Error, beside the change across a cell, from which on it decides which way an isoline goes there.
const SADDLE: f64 = 0.4;

/// A grid that is being refined.
#[derive(Clone, Debug)]
pub struct Refinement {
    rows: Lines,
    cols: Lines,
    nx: usize,
    /// The level that `wanted` belongs to.
    level: usize,
    loss: Vec<f64>,
    acc: Vec<f64>,
    computed: Vec<bool>,
    /// ln(loss + 0.1), known or interpolated.
    height: Vec<f64>,
    /// How far the level before was off at a point, or is taken to be.
    error: Vec<f64>,
    wanted: Vec<usize>,
    /// Whether the isolines have been looked at once the whole grid was known.
    polished: bool,
}

impl Refinement {
    /// A grid of ny rows and nx columns, nothing of it known.
    pub fn new(nx: usize, ny: usize) -> Self {
        let unknown = vec![f64::NAN; nx * ny];
        let mut new = Self {
            rows: Lines::new(ny),
            cols: Lines::new(nx),
            nx,
            level: 0,
            loss: unknown.clone(),
            acc: unknown.clone(),
            computed: vec![false; nx * ny],
            height: unknown.clone(),
            error: unknown,
            wanted: Vec::new(),
            polished: false,
        };
        new.wanted = new.points(0);
        new
    }

    /// Points (row * nx + column) to be computed next; empty once the whole grid is known.
    pub fn wanted(&self) -> &[usize] {
        &self.wanted
    }

    /// Rows and columns on which every point is known or interpolated once the wanted ones are.
    pub fn lines(&self) -> (&[usize], &[usize]) {
        (self.rows.at(self.level), self.cols.at(self.level))
    }

    /// Loss and accuracy, NaN where not known yet, and which points were computed.
    pub fn known(&self) -> (&[f64], &[f64], &[bool]) {
        (&self.loss, &self.acc, &self.computed)
    }

    /// Takes loss and accuracy of the wanted points, in their order, interpolates the rest of the level, and decides what
    /// the next one wants.
    pub fn take(&mut self, found: &[(f64, f64)]) {
        // An older level's errors tell nothing of this spacing.
        let before = std::mem::replace(&mut self.error, vec![f64::NAN; self.loss.len()]);
        for (point, (loss, acc)) in std::mem::take(&mut self.wanted).into_iter().zip(found) {
            self.loss[point] = *loss;
            self.acc[point] = *acc;
            self.computed[point] = true;
            let height = if loss.is_finite() { (loss.max(0.0) + LOG_SHIFT).ln() } else { f64::NAN };
            if self.level > 0 {
                let off = (height - self.predict(point, &self.height)).abs();
                // What cannot be told is taken for large.
                self.error[point] = if off.is_finite() { off } else { f64::INFINITY };
            }
            self.height[point] = height;
        }
        if self.level > 0 {
            self.fill(&before);
        }
        loop {
            if self.lines().0.len() * self.lines().1.len() == self.loss.len() {
                if !std::mem::replace(&mut self.polished, true) {
                    self.wanted = self.under_isolines();
                }
                return;
            }
            self.level += 1;
            self.wanted = self.points(self.level);
            if !self.wanted.is_empty() {
                return;
            }
            let before = std::mem::replace(&mut self.error, vec![f64::NAN; self.loss.len()]);
            self.fill(&before);
        }
    }

    /// Interpolates the points of this level that were not computed; `before` are the errors of the level before.
    fn fill(&mut self, before: &[f64]) {
        // The level before is read while this one is written; they share no point, but the borrow does.
        let (acc, height) = (self.acc.clone(), self.height.clone());
        for point in self.new_points(self.level) {
            if self.computed[point] {
                continue;
            }
            let z = self.predict(point, &height);
            self.height[point] = z;
            // `max` would make 0 of what is missing.
            self.loss[point] =
                if z.is_finite() { (z.exp() - LOG_SHIFT).max(0.0) } else { f64::NAN };
            self.acc[point] = self.predict(point, &acc).clamp(0.0, 1.0);
            self.error[point] = self.expected(point, before);
        }
    }

    /// Interpolated points under the isolines that are drawn by default, where the error counts beside the change across
    /// the cell: an isoline near the value of a saddle runs on one side of it or on the other.
    fn under_isolines(&self) -> Vec<usize> {
        let shares: Vec<f64> = (1..=LEVELS).map(|i| i as f64 / (LEVELS + 1) as f64).collect();
        let mut levels = quantiles(&self.loss, &shares);
        levels.extend(quantile_levels(&self.loss, LEVELS));
        let levels: Vec<f64> = levels.into_iter().map(|l| (l + LOG_SHIFT).ln()).collect();
        let mut wanted = vec![false; self.loss.len()];
        for row in 0..(self.loss.len() / self.nx).saturating_sub(1) {
            for col in 0..self.nx - 1 {
                let first = row * self.nx + col;
                let corners = [first, first + 1, first + self.nx, first + self.nx + 1];
                let heights = corners.map(|c| self.height[c]);
                let low = heights.iter().copied().fold(f64::INFINITY, f64::min);
                let high = heights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let off = corners.map(|c| if self.computed[c] { 0.0 } else { self.error[c] });
                let off = off.into_iter().fold(0.0, f64::max);
                let near = levels.iter().any(|l| (low - off..=high + off).contains(l));
                if near && off > SADDLE * (high - low) {
                    corners.iter().for_each(|c| wanted[*c] |= !self.computed[*c]);
                }
            }
        }
        (0..wanted.len()).filter(|i| wanted[*i]).collect()
    }

    /// Points that a level adds to the one before it.
    fn new_points(&self, level: usize) -> Vec<usize> {
        let known = |lines: &Lines, line: usize| {
            level > 0 && lines.at(level - 1).binary_search(&line).is_ok()
        };
        let mut found = Vec::new();
        for row in self.rows.at(level) {
            for col in self.cols.at(level) {
                if !(known(&self.rows, *row) && known(&self.cols, *col)) {
                    found.push(row * self.nx + col);
                }
            }
        }
        found
    }

    /// Points of a level that have to be computed.
    fn points(&self, level: usize) -> Vec<usize> {
        let all = self.new_points(level);
        let sparse = self.rows.at(level).len().max(self.cols.at(level).len()) <= BASE_LINES;
        if level < 2 || sparse {
            return all;
        }
        let range = spread(&self.height);
        let matters = |point: &usize| {
            match self.holes_near(*point) {
                (true, true) => return true,
                (true, false) => return false,
                (false, _) => {}
            }
            let off = self.expected(*point, &self.error);
            // Where the slope vanishes, at a saddle or an extremum, an isoline lies at the root of the error over the
            // bend.
            let slope = SHIFT * self.slope(*point);
            let bend = 0.5 * SHIFT * SHIFT * self.bend(*point);
            off > slope.max(bend).max(FLAT * range)
        };
        all.into_iter().filter(matters).collect()
    }

    /// The error that interpolation from the level before is expected to make at a new point: the largest seen around
    /// it there, shrunk.
    fn expected(&self, point: usize, error: &[f64]) -> f64 {
        let (rows, cols) = (
            self.around(&self.rows, point / self.nx, 2),
            self.around(&self.cols, point % self.nx, 2),
        );
        let (row_lines, col_lines) = (self.rows.at(self.before()), self.cols.at(self.before()));
        let at = |row: usize, col: usize| error[row * self.nx + col];
        let seen = row_lines[rows]
            .iter()
            .flat_map(|row| col_lines[cols.clone()].iter().map(move |col| at(*row, *col)));
        // Without any seen nothing is known.
        seen.filter(|e| !e.is_nan()).reduce(f64::max).unwrap_or(f64::INFINITY) / GAIN
    }

    /// Whether values around a new point are missing, and whether others are there: both at the border of a hole.
    fn holes_near(&self, point: usize) -> (bool, bool) {
        let (rows, cols) = (self.rows.at(self.before()), self.cols.at(self.before()));
        let (mut missing, mut there) = (false, false);
        for row in &rows[self.around(&self.rows, point / self.nx, 2)] {
            for col in &cols[self.around(&self.cols, point % self.nx, 2)] {
                let known = self.height[row * self.nx + col].is_finite();
                missing |= !known;
                there |= known;
            }
        }
        (missing, there)
    }

    /// Steepest change of the height around a new point, per cell of the finest grid.
    fn slope(&self, point: usize) -> f64 {
        let (rows, cols) = (
            self.around(&self.rows, point / self.nx, 1),
            self.around(&self.cols, point % self.nx, 1),
        );
        let (rows, cols) = (&self.rows.at(self.before())[rows], &self.cols.at(self.before())[cols]);
        let at = |row: usize, col: usize| self.height[row * self.nx + col];
        let mut along = [0.0f64; 2];
        for row in rows {
            for pair in cols.windows(2) {
                let rise = (at(*row, pair[1]) - at(*row, pair[0])).abs();
                along[0] = along[0].max(rise / (pair[1] - pair[0]) as f64);
            }
        }
        for col in cols {
            for pair in rows.windows(2) {
                let rise = (at(pair[1], *col) - at(pair[0], *col)).abs();
                along[1] = along[1].max(rise / (pair[1] - pair[0]) as f64);
            }
        }
        along[0].hypot(along[1])
    }

    /// Largest second derivative of the height around a new point along either axis, per cell of the finest grid squared.
    fn bend(&self, point: usize) -> f64 {
        let rows = self.around(&self.rows, point / self.nx, 2);
        let cols = self.around(&self.cols, point % self.nx, 2);
        let (rows, cols) = (&self.rows.at(self.before())[rows], &self.cols.at(self.before())[cols]);
        let at = |row: usize, col: usize| self.height[row * self.nx + col];
        let second = |lines: &[usize], value: &dyn Fn(usize) -> f64| {
            let of = |three: &[usize]| {
                let [a, b, c] = [0, 1, 2].map(|i| (three[i] as f64, value(three[i])));
                let slope = |p: (f64, f64), q: (f64, f64)| (q.1 - p.1) / (q.0 - p.0);
                (2.0 * (slope(b, c) - slope(a, b)) / (c.0 - a.0)).abs()
            };
            lines.windows(3).map(of).fold(0.0, f64::max)
        };
        let along = rows.iter().map(|row| second(cols, &|col| at(*row, col)));
        let across = cols.iter().map(|col| second(rows, &|row| at(row, *col)));
        along.chain(across).fold(0.0, f64::max)
    }

    /// The level that interpolation starts from.
    fn before(&self) -> usize {
        self.level.saturating_sub(1)
    }

    /// Which lines of the level before lie around `line`, `reach` to each side.
    fn around(&self, lines: &Lines, line: usize, reach: usize) -> Range<usize> {
        let lines = lines.at(self.before());
        let (low, high) = match lines.binary_search(&line) {
            Ok(i) => (i, i),
            Err(i) => (i.saturating_sub(1), i.min(lines.len() - 1)),
        };
        (low + 1).saturating_sub(reach)..(high + reach).min(lines.len())
    }

    /// What the level before says of a new point: cubic along the rows, then along the columns.
    fn predict(&self, point: usize, values: &[f64]) -> f64 {
        let (row, col) = (point / self.nx, point % self.nx);
        let (rows, cols) = (self.rows.at(self.before()), self.cols.at(self.before()));
        let across = nodes(cols, col);
        let along = |r: usize| interpolate(&cols[across.clone()], col, |c| values[r * self.nx + c]);
        interpolate(&rows[nodes(rows, row)], row, along)
    }
}

/// Range of the finite heights.
fn spread(heights: &[f64]) -> f64 {
    let finite = heights.iter().filter(|h| h.is_finite());
    let (low, high) =
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), z| (l.min(*z), h.max(*z)));
    if high > low { high - low } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Refines `f` over [-1, 1] x [-1, 1].
    fn refine(nx: usize, ny: usize, f: impl Fn(f64, f64) -> f64) -> Refinement {
        let at =
            |i: usize, n: usize| if n < 2 { 0.0 } else { 2.0 * i as f64 / (n - 1) as f64 - 1.0 };
        let mut r = Refinement::new(nx, ny);
        while !r.wanted().is_empty() {
            let found: Vec<(f64, f64)> =
                r.wanted().iter().map(|p| (f(at(p % nx, nx), at(p / nx, ny)), 0.5)).collect();
            r.take(&found);
        }
        r
    }

    fn share(r: &Refinement) -> f64 {
        r.computed.iter().filter(|c| **c).count() as f64 / r.computed.len() as f64
    }

    #[test]
    fn a_smooth_bowl_takes_a_fraction_and_is_right() {
        let bowl = |x: f64, y: f64| 0.05 + 3.0 * x * x + 1.5 * y * y;
        let r = refine(51, 51, bowl);
        assert!(share(&r) < 0.3, "{}", share(&r));
        let (loss, acc, computed) = r.known();
        assert!(acc.iter().all(|a| (a - 0.5).abs() < 1e-12));
        for (i, (found, computed)) in loss.iter().zip(computed).enumerate() {
            let wanted = bowl((i % 51) as f64 / 25.0 - 1.0, (i / 51) as f64 / 25.0 - 1.0);
            let close = if *computed { 1e-12 } else { 0.02 * (wanted + LOG_SHIFT) };
            assert!((found - wanted).abs() <= close, "{i}: {found} {wanted}");
        }
    }

    #[test]
    fn a_crease_is_followed_and_the_plain_beside_it_is_not() {
        let r =
            refine(65, 65, |x, y| 1.0 + if x > 0.21 { 8.0 * (x - 0.21) } else { 0.0 } + 0.2 * y);
        let near = |i: &usize| ((i % 65) as f64 / 32.0 - 1.0 - 0.21).abs() < 0.04;
        let within: Vec<usize> = (0..65 * 65).filter(near).collect();
        let dense = within.iter().filter(|i| r.computed[**i]).count() as f64 / within.len() as f64;
        assert!(dense > 1.5 * share(&r), "{dense} near the crease, {} over all", share(&r));
    }

    #[test]
    fn noise_is_computed_everywhere() {
        let r = refine(33, 33, |x, y| {
            1.0 + ((x * 91.7).sin() * (y * 57.3).cos() * 43_758.5).fract().abs()
        });
        assert!(share(&r) > 0.9, "{}", share(&r));
    }

    #[test]
    fn holes_are_bordered_by_computed_points() {
        let r = refine(51, 51, |x, y| if x.hypot(y) < 0.6 { f64::NAN } else { 1.0 + x });
        let radius = |i: usize| ((i % 51) as f64 / 25.0 - 1.0).hypot((i / 51) as f64 / 25.0 - 1.0);
        let wrong: Vec<usize> =
            (0..51 * 51).filter(|i| r.loss[*i].is_finite() != (radius(*i) >= 0.6)).collect();
        // A tip narrower than the spacing above may be missed; never more than a cell of it.
        assert!(wrong.len() < 10, "{wrong:?}");
        assert!(wrong.iter().all(|i| (radius(*i) - 0.6).abs() < 0.04), "{wrong:?}");
        let inside = (0..51 * 51).filter(|i| radius(*i) < 0.3);
        let inside: Vec<bool> = inside.map(|i| r.computed[i]).collect();
        let dense = inside.iter().filter(|c| **c).count() as f64 / inside.len() as f64;
        assert!(dense < 0.25, "the inside of a hole is not computed: {dense}");
    }

    #[test]
    fn lines_and_odd_shapes_end() {
        for (nx, ny) in [(51, 1), (2, 2), (3, 3), (5, 40), (17, 2), (1, 1)] {
            let r = refine(nx, ny, |x, y| 2.0 + x + y * y);
            assert!(r.loss.iter().all(|l| l.is_finite()), "{nx} x {ny}");
            assert!(r.lines().0.len() == ny && r.lines().1.len() == nx);
        }
    }

    proptest! {
        /// No point is asked for twice, and every one is known at the end.
        #[test]
        fn every_point_is_known_and_none_is_computed_twice(nx in 2usize..40, ny in 1usize..40, k in 0.0..30.0f64) {
            let mut r = Refinement::new(nx, ny);
            let mut seen = vec![false; nx * ny];
            while !r.wanted().is_empty() {
                let wanted = r.wanted().to_vec();
                for p in &wanted {
                    prop_assert!(!std::mem::replace(&mut seen[*p], true));
                }
                let value = |p: &usize| (2.0 + (k * *p as f64 / (nx * ny) as f64).sin(), 0.1);
                r.take(&wanted.iter().map(value).collect::<Vec<_>>());
            }
            prop_assert!(r.loss.iter().all(|l| l.is_finite()));
            prop_assert_eq!(&seen, &r.computed);
        }
    }
}
