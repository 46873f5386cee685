//! Means and shares of an arm's angles over its steps.

use serde::Serialize;

use crate::geometry::histogram::ACROSS_DEG;
use crate::telemetry::number::null_as_nan;

/// What is told of the angles of an arm's steps: NaN where no step has one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AngleFigures {
    /// Mean over the first third of the steps, degrees.
    #[serde(with = "null_as_nan")]
    pub early: f64,
    /// Mean over the second third.
    #[serde(with = "null_as_nan")]
    pub middle: f64,
    /// Mean over the last third.
    #[serde(with = "null_as_nan")]
    pub late: f64,
    /// Share of the steps beyond [`ACROSS_DEG`], downhill or up, in [0, 1].
    #[serde(with = "null_as_nan")]
    pub above_45: f64,
}

/// One step's angle, as the file is read.
#[derive(Clone, Copy, Debug)]
pub struct AtStep {
    /// The step.
    pub step: u64,
    /// Degrees; NaN where there is none. In single precision: a long run has a million steps.
    pub deg: f32,
}

impl AngleFigures {
    /// The figures of these angles. The thirds are of the steps from the first to the last, whether or not each has an
    /// angle; a step without one counts in no mean and no share.
    pub fn of(angles: &[AtStep]) -> Self {
        let steps = angles.iter().map(|a| a.step);
        let first = steps.clone().min().unwrap_or(0);
        let span = steps.max().unwrap_or(0).saturating_sub(first) as f64 + 1.0;
        let (mut sums, mut weights, mut across) = ([0.0; 3], [0.0; 3], 0.0);
        // Each stands for the steps since the one before it: a long run's file holds ever fewer.
        let apart = |i: usize| angles[i].step.saturating_sub(angles[i - 1].step) as f64;
        for (i, AtStep { step, deg }) in angles.iter().enumerate() {
            if !deg.is_finite() {
                continue;
            }
            let weight = if angles.len() > 1 { apart(i.max(1)) } else { 1.0 };
            let third = (3.0 * (step - first) as f64 / span) as usize;
            let third = third.min(2);
            sums[third] += weight * f64::from(*deg);
            weights[third] += weight;
            across += if f64::from(deg.abs()) > ACROSS_DEG { weight } else { 0.0 };
        }
        // 0 of 0 is NaN: there is no such figure.
        let mean = |third: usize| sums[third] / weights[third];
        let all: f64 = weights.iter().sum();
        Self { early: mean(0), middle: mean(1), late: mean(2), above_45: across / all }
    }

    /// Whether no step has an angle.
    pub fn is_none(&self) -> bool {
        self.above_45.is_nan()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(angles: &[(u64, f32)]) -> AngleFigures {
        let angles: Vec<_> =
            angles.iter().map(|(step, deg)| AtStep { step: *step, deg: *deg }).collect();
        AngleFigures::of(&angles)
    }

    #[test]
    fn thirds_are_of_the_steps() {
        let found = of(&[(1, 10.0), (2, 20.0), (3, 50.0), (4, 70.0), (5, -40.0), (6, 90.0)]);
        assert_eq!((found.early, found.middle, found.late), (15.0, 60.0, 25.0));
        assert_eq!(found.above_45, 0.5);
        // A long run's, of which the later half is told by every second step.
        let found = of(&[(1, 0.0), (2, 0.0), (3, 0.0), (5, 90.0), (7, 90.0), (9, 60.0)]);
        assert_eq!((found.early, found.middle, found.late), (0.0, 90.0, 75.0));
        assert_eq!(found.above_45, 6.0 / 9.0);
        // A fork's steps begin late; every tenth is recorded.
        let found = of(&[(100, 1.0), (110, 2.0), (120, 3.0), (130, 4.0), (140, 5.0), (150, 6.0)]);
        assert_eq!((found.early, found.middle, found.late), (1.5, 3.5, 5.5));
    }

    #[test]
    fn what_does_not_exist_is_left_out() {
        let nan = f32::NAN;
        let found = of(&[(1, nan), (2, 44.0), (3, nan), (4, nan), (5, 46.0), (6, 45.0)]);
        assert_eq!((found.early, found.late), (44.0, 45.5));
        assert!(found.middle.is_nan());
        assert_eq!(found.above_45, 1.0 / 3.0, "45 itself is not above it");
        assert!(of(&[]).is_none() && of(&[(3, nan)]).is_none());
        assert_eq!(of(&[(0, 1.0), (u64::MAX, 3.0)]).late, 3.0);
    }
}
