//! Where a value lies between the least and the largest: evenly, or by ln(z + 0.1) as the reference code draws losses.

use super::ticks;

/// Added to a value before the logarithm, as the reference code does.
pub const LOG_SHIFT: f64 = 0.1;

/// A map from values to [0, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The value at 0.
    pub low: f64,
    /// The value at 1.
    pub high: f64,
    /// By ln(z + 0.1), what is below 0 taken as 0, rather than evenly.
    pub log: bool,
}

impl Scale {
    /// The scale over the finite ones of these values; none where there is none.
    pub fn over<'a>(values: impl IntoIterator<Item = &'a f64>, log: bool) -> Option<Self> {
        let finite = values.into_iter().filter(|v| v.is_finite());
        let (low, high) = finite
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)));
        (low <= high).then_some(Self { low, high, log })
    }

    /// Whether it tells values apart.
    pub fn has_length(&self) -> bool {
        self.low < self.high
    }

    fn bent(&self, value: f64) -> f64 {
        // Halved, so that the span of the largest floats is a number too.
        if self.log { (value.max(0.0) + LOG_SHIFT).ln() } else { value / 2.0 }
    }

    /// A value's place, 0 to 1; 0 where the scale has no length.
    pub fn place(&self, value: f64) -> f64 {
        let (low, high) = (self.bent(self.low), self.bent(self.high));
        if high > low { ((self.bent(value) - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The value at a place.
    pub fn value(&self, place: f64) -> f64 {
        let (low, high) = (self.bent(self.low), self.bent(self.high));
        let bent = low + place * (high - low);
        if self.log { bent.exp() - LOG_SHIFT } else { bent * 2.0 }
    }

    /// Round values on the scale, at most `count` and no two nearer than that allows, rising.
    pub fn ticks(&self, count: usize) -> Vec<f64> {
        if !self.has_length() {
            return vec![self.low];
        }
        if !self.log {
            let even = ticks::even(self.low, self.high, count);
            return if even.is_empty() { vec![self.low] } else { even };
        }
        // Powers of ten first, then what room there is for fives and twos.
        let last = self.high.clamp(1.0, f64::MAX).log10().ceil() as i32;
        let digit = |d: f64| (-2..=last).map(move |e| d * 10f64.powi(e));
        let wanted =
            digit(1.0).skip(1).chain([0.0]).chain(digit(5.0)).chain(digit(2.0)).chain(digit(1.0));
        let even = ticks::even(self.low, self.high, count);
        let mut kept: Vec<f64> = Vec::new();
        for value in wanted.filter(|v| (self.low..=self.high).contains(v)) {
            let far = |k: &f64| (self.place(*k) - self.place(value)).abs() * count as f64 >= 1.0;
            if kept.iter().all(far) {
                kept.push(value);
            }
        }
        // A span too short for those: round steps of its own.
        if kept.len() < 3 {
            kept = even;
        }
        kept.sort_by(f64::total_cmp);
        if kept.is_empty() { vec![self.low] } else { kept }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn losses_are_placed_by_their_logarithm() {
        let scale = Scale { low: 0.0, high: 9.9, log: true };
        assert_eq!([0.0, 9.9, 1e9].map(|z| scale.place(z)), [0.0, 1.0, 1.0]);
        assert!((scale.place(0.9) - 0.5).abs() < 1e-9, "ln 1 lies half way from ln 0.1 to ln 10");
    }

    #[test]
    fn what_is_not_finite_has_no_part_in_it() {
        let found = Scale::over(&[f64::NAN, 3.0, f64::INFINITY, -1.0], false);
        assert_eq!(found, Some(Scale { low: -1.0, high: 3.0, log: false }));
        assert_eq!(Scale::over(&[f64::NAN], false), None);
    }

    #[test]
    fn ticks_are_round_and_apart() {
        let ticks = |low, high| Scale { low, high, log: true }.ticks(8);
        // From 0.1 to 0.2 it is ln(0.3 / 0.2) / ln(10.1 / 0.1) = 0.088 of the way: nearer than an eighth.
        assert_eq!(ticks(0.0, 10.0), [0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0]);
        assert_eq!(ticks(2.31, 2.33).len(), 5);
        let huge = ticks(0.0, 1e30);
        assert!((3..=8).contains(&huge.len()), "{huge:?}");
        assert_eq!(ticks(2.0, 2.0), [2.0]);
        assert!(ticks(0.0, f64::INFINITY).len() <= 13, "and soon");
    }

    proptest! {
        #[test]
        fn a_place_is_its_values(low in 0.0..10.0f64, span in 0.1..1e6f64, at in 0.0..1.0f64, log in any::<bool>()) {
            let scale = Scale { low, high: low + span, log };
            prop_assert!((scale.place(scale.value(at)) - at).abs() < 1e-6);
        }

        #[test]
        fn any_scale_has_places_and_few_ticks(low in any::<f64>(), high in any::<f64>(), z in any::<f64>(), log in any::<bool>()) {
            let scale = Scale { low, high, log };
            let place = scale.place(z);
            prop_assert!(place.is_nan() || (0.0..=1.0).contains(&place));
            prop_assert!(scale.ticks(6).len() <= 13);
        }
    }
}
