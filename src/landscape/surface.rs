//! A computed surface: loss and accuracy on a grid, or along a line.

use crate::geometry::contour::Grid;
use crate::geometry::levels::quantiles;
use crate::telemetry::event::SurfaceStats;

/// Loss and accuracy on a grid, row = y, column = x; NaN where not known. Without rows it is a profile along x.
#[derive(Clone, Debug, PartialEq)]
pub struct Surface {
    /// Columns, rising [nx].
    pub xs: Vec<f64>,
    /// Rows, rising [ny]; empty for a profile.
    pub ys: Vec<f64>,
    /// Mean cross-entropy, nats [ny * nx]; [nx] of a profile.
    pub loss: Vec<f64>,
    /// Accuracy in [0, 1], as the loss.
    pub acc: Vec<f64>,
    /// Which points were computed, where the others are interpolated; none where no point is.
    pub computed: Option<Vec<bool>>,
}

impl Surface {
    /// An empty surface over these coordinates.
    pub fn new(xs: Vec<f64>, ys: Vec<f64>) -> Self {
        let unknown = vec![f64::NAN; xs.len() * ys.len().max(1)];
        Self { xs, ys, loss: unknown.clone(), acc: unknown, computed: None }
    }

    /// Whether it runs along a line.
    pub fn is_profile(&self) -> bool {
        self.ys.is_empty()
    }

    /// Points of the grid.
    pub fn len(&self) -> usize {
        self.loss.len()
    }

    /// Whether the grid has no point.
    pub fn is_empty(&self) -> bool {
        self.loss.is_empty()
    }

    /// Where point `index` lies: (a, b), b = 0 on a profile.
    pub fn place(&self, index: usize) -> (f64, f64) {
        let nx = self.xs.len().max(1);
        let at = |axis: &[f64], i: usize| axis.get(i).copied().unwrap_or(0.0);
        (at(&self.xs, index % nx), at(&self.ys, index / nx))
    }

    /// The loss as geometry takes it; a profile has a single row at 0.
    pub fn grid(&self) -> Grid<'_> {
        let ys = if self.is_profile() { &[0.0] } else { &self.ys[..] };
        Grid { xs: &self.xs, ys, values: &self.loss }
    }

    /// The part of the surface on these rows and columns.
    pub fn on_lines(&self, lines: &[usize]) -> Self {
        let nx = self.xs.len();
        let axis = |from: &[f64]| lines.iter().map(|i| from[*i]).collect();
        let order: Vec<usize> =
            lines.iter().flat_map(|r| lines.iter().map(move |c| r * nx + c)).collect();
        let part = |from: &[f64]| order.iter().map(|i| from[*i]).collect();
        Self {
            xs: axis(&self.xs),
            ys: axis(&self.ys),
            loss: part(&self.loss),
            acc: part(&self.acc),
            computed: self.computed.as_ref().map(|c| order.iter().map(|i| c[*i]).collect()),
        }
    }

    /// Figures over the finite points; `center` is the middle one.
    pub fn stats(&self) -> SurfaceStats {
        let found = quantiles(&self.loss, &[0.0, 0.5, 1.0]);
        let at = |i: usize| found.get(i).copied().unwrap_or(f64::NAN);
        let points = self.loss.iter().filter(|v| v.is_finite()).count();
        let center = self.loss.get(self.loss.len() / 2).copied().unwrap_or(f64::NAN);
        SurfaceStats { center, min: at(0), median: at(1), max: at(2), points }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surface() -> Surface {
        let mut s = Surface::new(vec![-1.0, 0.0, 1.0], vec![-2.0, 0.0, 2.0]);
        s.loss = vec![1.0, 2.0, 3.0, 4.0, 0.5, 6.0, 7.0, f64::NAN, 9.0];
        s.acc = vec![0.5; 9];
        s
    }

    #[test]
    fn figures_leave_out_what_is_not_computed() {
        let stats = surface().stats();
        assert_eq!(
            (stats.center, stats.min, stats.median, stats.max, stats.points),
            (0.5, 0.5, 3.5, 9.0, 8)
        );
        assert_eq!(surface().on_lines(&[0, 2]).loss, [1.0, 3.0, 7.0, 9.0]);
        assert_eq!(surface().on_lines(&[0, 2]).ys, [-2.0, 2.0]);
    }

    #[test]
    fn rows_are_y_and_columns_are_x() {
        let s = surface();
        assert_eq!([s.place(1), s.place(5), s.place(6)], [(0.0, -2.0), (1.0, 0.0), (-1.0, 2.0)]);
        let profile = Surface::new(vec![-0.5, 0.5], Vec::new());
        assert_eq!(
            (profile.len(), profile.place(1), profile.grid().ys),
            (2, (0.5, 0.0), &[0.0][..])
        );
    }
}
