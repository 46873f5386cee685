//! When a snapshot of the weights is due, and which ones stay: functions of the step alone, so that a run that is taken up
//! again keeps the same ones.

/// Snapshots at even distances, which double whenever there would be too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thinning {
    /// Steps between snapshots at first.
    every: u64,
    /// Most snapshots kept.
    keep: u64,
}

impl Thinning {
    /// Snapshots every `every` steps, at most `keep` (from 3) of them.
    pub fn new(every: u64, keep: usize) -> Self {
        Self { every: every.max(1), keep: (keep as u64).max(3) }
    }

    /// The one that fills `keep` in a run of `steps` steps without doubling.
    pub fn filling(keep: usize, steps: u64) -> Self {
        let keep = keep.max(3);
        // The first is of no step, and one beyond the even ones may be the newest.
        Self::new(steps.div_ceil(keep as u64 - 2), keep)
    }

    /// Steps between snapshots at first.
    pub fn every(self) -> u64 {
        self.every
    }

    /// Steps between snapshots once `done` steps are made.
    fn distance(self, done: u64) -> u64 {
        let mut distance = self.every;
        while done / distance > self.keep - 2 && distance <= u64::MAX / 2 {
            distance *= 2;
        }
        distance
    }

    /// Whether one is due after `done` steps.
    pub fn is_due(self, done: u64) -> bool {
        done.is_multiple_of(self.distance(done))
    }

    /// Whether the snapshot of `step` stays while `newest` is the newest: even ones, that one, and the path's `first`.
    pub fn keeps(self, first: u64, newest: u64, step: u64) -> bool {
        step == first || step == newest || step.is_multiple_of(self.distance(newest))
    }
}

/// The greatest common divisor; of 0 and a number that number.
pub fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_planned_run_is_filled_without_doubling() {
        let thinning = Thinning::filling(64, 600);
        let due: Vec<u64> = (0..=600).filter(|s| thinning.is_due(*s)).collect();
        assert_eq!((due.len(), due[0], due[1], due[60]), (61, 0, 10, 600));
        assert!(due.iter().all(|s| thinning.keeps(0, 600, *s)));
        assert!(Thinning::filling(64, 5).is_due(3), "a short run: every step");
    }

    proptest! {
        /// However long the run and wherever extra ones fall: few, even, the first and the newest there.
        #[test]
        fn kept_snapshots_are_few_and_even(
            every in 1u64..20, keep in 3usize..40, steps in 1u64..3000, first in 0u64..50, asked in prop::collection::vec(0u64..3000, 0..5),
        ) {
            let thinning = Thinning::new(every, keep);
            let mut kept: Vec<u64> = Vec::new();
            for step in first..=first + steps {
                if step == first || thinning.is_due(step) || asked.contains(&step) {
                    kept.push(step);
                    kept.retain(|s| thinning.keeps(first, step, *s));
                    // A path that begins off the grid has one more.
                    prop_assert!(kept.len() <= keep + 1);
                    prop_assert_eq!((kept[0], *kept.last().unwrap()), (first, step));
                    let inner = kept.get(1..kept.len() - 1).unwrap_or_default();
                    let gaps: Vec<u64> = inner.windows(2).map(|w| w[1] - w[0]).collect();
                    prop_assert!(gaps.windows(2).all(|g| g[0] == g[1]), "{:?}", kept);
                }
            }
        }
    }
}
