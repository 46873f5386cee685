//! Bounded histories: a curve keeps the whole run in a fixed number of points, by merging neighbours when it is full.

use serde::{Deserialize, Serialize};

use super::snapshot::FlowRow;

/// Points that a curve keeps: twice the dots of a 4K-wide braille panel, and 32 kB per curve.
pub const CURVE_POINTS: usize = 1024;
/// Rows that a flow history keeps: more than any panel has columns, and 0.5 MB for ResNet-110.
pub const FLOW_ROWS: usize = 256;

/// One or more neighbouring steps of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The last step that the point holds.
    pub step: u64,
    /// Mean of the finite values.
    pub mean: f64,
    /// Smallest finite value.
    pub min: f64,
    /// Largest finite value.
    pub max: f64,
}

/// A figure over the whole run, in at most [`CURVE_POINTS`] points of equally many samples each. Values that are not
/// finite leave no point: a gap, not a zero.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Curve {
    points: Vec<Point>,
    /// Samples that a full point merges: a power of two.
    stride: u32,
    /// Samples merged into the last point so far.
    filled: u32,
}

impl Default for Curve {
    fn default() -> Self {
        Self { points: Vec::new(), stride: 1, filled: 0 }
    }
}

impl Curve {
    /// Adds the value of one step. Steps must come in order.
    pub fn push(&mut self, step: u64, value: f64) {
        if !value.is_finite() {
            return;
        }
        if self.filled > 0
            && self.filled < self.stride
            && let Some(last) = self.points.last_mut()
        {
            let weight = f64::from(self.filled);
            last.mean = (last.mean * weight + value) / (weight + 1.0);
            last.min = last.min.min(value);
            last.max = last.max.max(value);
            last.step = step;
            self.filled += 1;
            return;
        }
        if self.points.len() == CURVE_POINTS {
            self.halve();
        }
        self.points.push(Point { step, mean: value, min: value, max: value });
        self.filled = 1;
    }

    /// Merges neighbours two by two. The curve is full here, and its length even, so both halves of a pair hold
    /// `stride` samples and plain means stay exact.
    fn halve(&mut self) {
        let merged: Vec<Point> = self
            .points
            .chunks_exact(2)
            .map(|pair| Point {
                step: pair[1].step,
                mean: 0.5 * (pair[0].mean + pair[1].mean),
                min: pair[0].min.min(pair[1].min),
                max: pair[0].max.max(pair[1].max),
            })
            .collect();
        self.points = merged;
        self.stride *= 2;
    }

    /// A curve of these points, as a viewer is sent it.
    pub fn of(points: Vec<Point>) -> Self {
        Self { points, ..Self::default() }
    }

    /// The points, oldest first.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The newest point.
    pub fn last(&self) -> Option<&Point> {
        self.points.last()
    }
}

/// Rows over the whole run, evenly thinned: when full, every second row goes and only every `stride`-th is kept from
/// then on. The first row always stays.
#[derive(Clone, Debug)]
pub struct FlowHistory {
    rows: Vec<FlowRow>,
    stride: u64,
    seen: u64,
}

impl Default for FlowHistory {
    fn default() -> Self {
        Self { rows: Vec::new(), stride: 1, seen: 0 }
    }
}

impl FlowHistory {
    /// Adds one recorded step.
    pub fn push(&mut self, row: FlowRow) {
        if self.seen.is_multiple_of(self.stride) {
            if self.rows.len() == FLOW_ROWS {
                let mut keep = false;
                self.rows.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.stride *= 2;
            }
            if self.seen.is_multiple_of(self.stride) {
                self.rows.push(row);
            }
        }
        self.seen += 1;
    }

    /// The kept rows, oldest first.
    pub fn rows(&self) -> &[FlowRow] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_missing_value_leaves_a_gap() {
        let mut curve = Curve::default();
        curve.push(1, 2.0);
        curve.push(2, f64::NAN);
        curve.push(3, 4.0);
        let steps: Vec<u64> = curve.points().iter().map(|p| p.step).collect();
        assert_eq!(steps, [1, 3]);
    }

    proptest! {
        #[test]
        fn a_curve_stays_bounded_and_keeps_mean_and_extremes(values in prop::collection::vec(-1e3..1e3f64, 1..6000)) {
            let mut curve = Curve::default();
            for (i, v) in values.iter().enumerate() {
                curve.push(i as u64 + 1, *v);
            }
            let points = curve.points();
            prop_assert!(points.len() <= CURVE_POINTS);
            prop_assert_eq!(points.last().unwrap().step, values.len() as u64);
            let min = points.iter().map(|p| p.min).fold(f64::INFINITY, f64::min);
            let max = points.iter().map(|p| p.max).fold(f64::NEG_INFINITY, f64::max);
            prop_assert_eq!(min, values.iter().copied().fold(f64::INFINITY, f64::min));
            prop_assert_eq!(max, values.iter().copied().fold(f64::NEG_INFINITY, f64::max));
            let full = points.len() - 1;
            let stride = curve.stride as usize;
            if full > 0 {
                let covered = full * stride;
                let mean: f64 = points[..full].iter().map(|p| p.mean).sum::<f64>() / full as f64;
                let want: f64 = values[..covered].iter().sum::<f64>() / covered as f64;
                prop_assert!((mean - want).abs() < 1e-6);
            }
        }

        #[test]
        fn a_flow_history_stays_bounded_even_and_keeps_the_first(count in 1u64..3000) {
            let mut flow = FlowHistory::default();
            for step in 1..=count {
                flow.push(FlowRow { step, norms: vec![step as f64] });
            }
            prop_assert!(flow.rows().len() <= FLOW_ROWS);
            prop_assert_eq!(flow.rows()[0].step, 1);
            let gaps: Vec<u64> = flow.rows().windows(2).map(|w| w[1].step - w[0].step).collect();
            prop_assert!(gaps.windows(2).all(|g| g[0] == g[1]));
        }
    }
}
