//! The angles of an arm's steps over the run: running medians, and histograms between changes of weight decay.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::event::StepSample;
use super::snapshot::Curves;
use crate::geometry::histogram::{ACROSS_DEG, AngleCounts, BINS};
use crate::geometry::levels::quantiles;

/// Steps behind a running median: the batches of one pass over a small data set, long enough to still the noise of
/// single batches, short enough to show what a change does.
pub const MEDIAN_STEPS: usize = 25;
/// Histograms kept: the first, and those of the newest changes.
pub const HISTOGRAMS: usize = 8;

/// How often the steps took which angle while weight decay stayed what it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AngleHistogram {
    /// The first step counted.
    pub from_step: u64,
    /// The last.
    pub to_step: u64,
    /// Weight decay of these steps.
    pub weight_decay: f64,
    /// Steps by |full_deg|, bins from 0 (along the isocurve) to 90 degrees (perpendicular).
    pub full: Vec<u64>,
    /// Steps by |plane_deg|.
    pub plane: Vec<u64>,
    /// Steps with a negative full_deg, which climb.
    pub uphill: u64,
    /// Steps by whether they cross rather than follow the isocurve: |full_deg| and |plane_deg| above 45 degrees.
    pub across: [u64; 2],
}

impl AngleHistogram {
    /// Whether it has no more bins than are counted.
    pub fn is_bounded(&self) -> bool {
        self.full.len() <= BINS && self.plane.len() <= BINS
    }

    /// Steps by |angle| in the plane of the path, or in full space.
    pub fn counts(&self, plane: bool) -> &[u64] {
        if plane { &self.plane } else { &self.full }
    }

    /// Share of the steps that have an angle which cross at more than 45 degrees; NaN without any.
    pub fn share_across(&self, plane: bool) -> f64 {
        let all = self.counts(plane).iter().fold(0u64, |sum, n| sum.saturating_add(*n));
        self.across[usize::from(plane)] as f64 / all as f64
    }
}

/// What is kept of one arm's angles to tell what follows from them.
#[derive(Clone, Debug, Default)]
pub struct AngleBook {
    full: Median,
    plane: Median,
    counterfactual: Median,
    counts: [AngleCounts; 2],
    /// The newest step.
    step: Option<u64>,
}

impl AngleBook {
    /// Adds one step's angles to the curves and histograms.
    pub fn fold(
        &mut self,
        sample: &StepSample,
        curves: &mut Curves,
        histograms: &mut Vec<AngleHistogram>,
    ) {
        let (step, angle) = (sample.step, sample.angle);
        let on = |weight_decay: f64| weight_decay > 0.0;
        if histograms.last().is_some_and(|h| on(h.weight_decay) != on(sample.weight_decay)) {
            // The other way is another one from here on.
            self.counterfactual = Median::default();
        }
        curves.angle.push(step, angle.full_deg);
        curves.plane_angle.push(step, angle.plane_deg);
        for (curve, median, value) in [
            (&mut curves.angle_median, &mut self.full, angle.full_deg),
            (&mut curves.plane_angle_median, &mut self.plane, angle.plane_deg),
            (&mut curves.counterfactual_median, &mut self.counterfactual, angle.counterfactual_deg),
        ] {
            curve.push(step, median.push(value));
        }
        let same = |h: &AngleHistogram| h.weight_decay == sample.weight_decay;
        if !histograms.last().is_some_and(same) {
            if histograms.len() >= HISTOGRAMS {
                histograms.remove(1);
            }
            self.counts = Default::default();
            histograms.push(AngleHistogram {
                from_step: step,
                weight_decay: sample.weight_decay,
                ..AngleHistogram::default()
            });
        }
        let Some(newest) = histograms.last_mut() else { return };
        // Of a long run that is read back, a step stands for those before it that are not told.
        let many = self.step.replace(step).map_or(1, |before| step.saturating_sub(before).max(1));
        self.counts[0].add(angle.full_deg, many);
        self.counts[1].add(angle.plane_deg, many);
        newest.to_step = step;
        newest.full = self.counts[0].counts().to_vec();
        newest.plane = self.counts[1].counts().to_vec();
        newest.uphill += if angle.full_deg < 0.0 { many } else { 0 };
        for (across, deg) in newest.across.iter_mut().zip([angle.full_deg, angle.plane_deg]) {
            *across += if deg.abs() > ACROSS_DEG { many } else { 0 };
        }
    }
}

/// A running median over the newest [`MEDIAN_STEPS`] values that exist.
#[derive(Clone, Debug, Default)]
struct Median {
    newest: VecDeque<f64>,
}

impl Median {
    /// The median with this value; NaN if it does not exist.
    fn push(&mut self, value: f64) -> f64 {
        if !value.is_finite() {
            return f64::NAN;
        }
        if self.newest.len() == MEDIAN_STEPS {
            self.newest.pop_front();
        }
        self.newest.push_back(value);
        quantiles(&self.newest, &[0.5]).first().copied().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::ArmName;
    use crate::telemetry::event::{Angle, StepShare};

    fn step(step: u64, full_deg: f64, weight_decay: f64) -> StepSample {
        StepSample {
            arm: ArmName::new("skip"),
            step,
            t: 0.0,
            epoch: 0.0,
            loss: 1.0,
            acc: 0.5,
            lr: 0.1,
            weight_decay,
            batch: 8,
            grad_norm: 1.0,
            layer_grad_norms: Vec::new(),
            update_ratio: 0.1,
            angle: Angle { full_deg, plane_deg: -full_deg, ..Angle::NONE },
            step_share: StepShare { gradient: 1.0, momentum: 0.0, decay: 0.0 },
            ms: 1.0,
        }
    }

    fn fold(samples: impl IntoIterator<Item = StepSample>) -> (Curves, Vec<AngleHistogram>) {
        let (mut book, mut curves, mut histograms) =
            (AngleBook::default(), Curves::default(), Vec::new());
        samples.into_iter().for_each(|s| book.fold(&s, &mut curves, &mut histograms));
        (curves, histograms)
    }

    #[test]
    fn medians_run_and_skip_what_is_missing() {
        let angles = [10.0, f64::NAN, 50.0, 30.0];
        let (curves, histograms) = fold((1..).zip(angles).map(|(s, a)| step(s, a, 0.0)));
        let medians: Vec<(u64, f64)> =
            curves.angle_median.points().iter().map(|p| (p.step, p.mean)).collect();
        assert_eq!(medians, [(1, 10.0), (3, 30.0), (4, 30.0)]);
        assert!(curves.counterfactual_median.points().is_empty());
        assert_eq!(histograms[0].full, [0, 1, 0, 1, 0, 1, 0, 0, 0]);
        let far = (1..=100).map(|s| step(s, s as f64 * 0.5, 0.0));
        // The newest 25 are 38 to 50: their middle is 44.
        assert_eq!(fold(far).0.angle_median.last().unwrap().mean, 44.0);
    }

    #[test]
    fn a_change_of_weight_decay_begins_a_histogram() {
        let wd = |s: u64| if s <= 3 { 5e-4 } else { 0.0 };
        let (_, histograms) =
            fold((1..=5).map(|s| step(s, if s == 5 { -80.0 } else { 5.0 }, wd(s))));
        let told: Vec<_> =
            histograms.iter().map(|h| (h.from_step, h.to_step, h.weight_decay, h.uphill)).collect();
        assert_eq!(told, [(1, 3, 5e-4, 0), (4, 5, 0.0, 1)]);
        assert_eq!((histograms[0].full[0], histograms[1].full[8]), (3, 1));
        assert_eq!([0, 1].map(|i: usize| histograms[i].share_across(false)), [0.0, 0.5]);
        assert!(AngleHistogram::default().share_across(true).is_nan());
        // However often it is changed, the first stays and the list is bounded.
        let (_, many) = fold((1..=40).map(|s| step(s, 5.0, s as f64)));
        assert_eq!((many.len(), many[0].from_step, many[7].from_step), (HISTOGRAMS, 1, 40));
    }
}
