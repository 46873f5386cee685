//! Which isolines to draw, by quantiles over the finite values of one or several surfaces.

use ndarray::Array1;
use ndarray_stats::Quantile1dExt;
use ndarray_stats::interpolate::{Higher, Lower};
use noisy_float::types::{N64, n64};

/// Isolines that a map shows: more run together in a panel of 30 columns.
pub const LEVELS: usize = 9;
/// Significant digits of a level, so that its label states it exactly.
const DIGITS: i32 = 3;

/// The finite values' quantiles at the shares `at` (each in [0, 1]), linearly interpolated; empty without any
/// finite value.
pub fn quantiles<'a>(values: impl IntoIterator<Item = &'a f64>, at: &[f64]) -> Vec<f64> {
    // The place makes equal values distinct: the library's selection recurses once for each value equal to its pivot,
    // and a large constant surface would end the stack.
    let finite = values.into_iter().filter(|v| v.is_finite()).enumerate();
    let mut finite: Array1<(N64, usize)> = finite.map(|(place, v)| (n64(*v), place)).collect();
    let last = finite.len().saturating_sub(1) as f64;
    let shares: Array1<N64> = at.iter().map(|q| n64(q.clamp(0.0, 1.0))).collect();
    // The only errors are an empty array and a share outside [0, 1].
    let (Ok(below), Ok(above)) =
        (finite.quantiles_mut(&shares, &Lower), finite.quantiles_mut(&shares, &Higher))
    else {
        return Vec::new();
    };
    let ends = below.iter().zip(&above).map(|(low, high)| (low.0.raw(), high.0.raw()));
    let part = shares.iter().map(|q| (q.raw() * last).fract());
    part.zip(ends).map(|(part, (low, high))| low + part * (high - low)).collect()
}

/// Where the common scale of several surfaces in planes of their own ends: at the least of their largest finite values,
/// infinite without any. A plane through the path of a deep network without skips reaches where the loss is 1e16: on a
/// scale up to there, the other surfaces would be of one colour.
pub fn common_top<'a>(surfaces: impl IntoIterator<Item = &'a [f64]>) -> f64 {
    let largest = |values: &[f64]| {
        values.iter().filter(|v| v.is_finite()).fold(f64::NEG_INFINITY, |most, v| most.max(*v))
    };
    let all = surfaces.into_iter().map(largest).filter(|v| v.is_finite());
    all.fold(f64::INFINITY, f64::min)
}

/// At most `count` rising levels that split the finite values into equal parts, rounded to three significant digits;
/// equal ones are told once.
pub fn quantile_levels<'a>(values: impl IntoIterator<Item = &'a f64>, count: usize) -> Vec<f64> {
    let shares: Vec<f64> = (1..=count).map(|i| i as f64 / (count + 1) as f64).collect();
    let mut levels: Vec<f64> = quantiles(values, &shares).into_iter().map(round_digits).collect();
    levels.dedup();
    levels
}

/// As [`quantile_levels`], with one more beyond each end, at a quarter of the outer part: the lowest part holds the minimum,
/// and an isoline should tell how deep it goes.
pub fn quantile_levels_and_ends(values: &[f64], count: usize) -> Vec<f64> {
    let end = 0.25 / (count + 1) as f64;
    let inner = (1..=count).map(|i| i as f64 / (count + 1) as f64);
    let shares: Vec<f64> = std::iter::once(end).chain(inner).chain([1.0 - end]).collect();
    let mut levels: Vec<f64> = quantiles(values, &shares).into_iter().map(round_digits).collect();
    levels.dedup();
    levels
}

/// `value` rounded to [`DIGITS`] significant digits.
fn round_digits(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let decimals = DIGITS - 1 - value.abs().log10().floor() as i32;
    let scale = 10f64.powi(decimals.abs());
    if decimals >= 0 { (value * scale).round() / scale } else { (value / scale).round() * scale }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_common_scale_ends_where_the_lowest_surface_does() {
        let nan = f64::NAN;
        let surfaces: [&[f64]; 3] = [&[1.0, 400.0, nan], &[2.0, 1e16], &[nan, f64::INFINITY]];
        assert_eq!(common_top(surfaces), 400.0);
        assert_eq!(common_top([]), f64::INFINITY);
    }

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hand_worked_quantiles() {
        let values = [4.0, f64::NAN, 1.0, 3.0, f64::INFINITY, 2.0, 5.0];
        assert_eq!(quantiles(&values, &[0.0, 0.25, 0.5, 1.0]), [1.0, 2.0, 3.0, 5.0]);
        assert_eq!(quantiles(&[f64::NAN], &[0.5]), Vec::<f64>::new());
        assert_eq!(quantiles(&[0.0, 1.0], &[0.125]), [0.125]);
    }

    #[test]
    fn a_large_constant_surface_has_quantiles() {
        let constant = vec![0.5; 1 << 18];
        assert_eq!(quantiles(&constant, &[0.0, 0.3, 1.0]), [0.5, 0.5, 0.5]);
    }

    #[test]
    fn levels_are_rounded_and_told_once() {
        assert_eq!(round_digits(0.123_456), 0.123);
        assert_eq!(round_digits(-98_765.0), -98_800.0);
        assert_eq!(quantile_levels(&[2.0; 10], 4), [2.0]);
        assert!(quantile_levels(&[], 4).is_empty());
        let even: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(quantile_levels_and_ends(&even, 4), [5.0, 20.0, 40.0, 60.0, 80.0, 95.0]);
    }

    proptest! {
        /// Against the definition on sorted values.
        #[test]
        fn quantiles_lie_between_neighbours_in_order(mut values in prop::collection::vec(0..20i32, 1..60), q in 0.0..=1.0f64) {
            let found = quantiles(&values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>(), &[q])[0];
            values.sort_unstable();
            let at = q * (values.len() - 1) as f64;
            let (low, high) = (values[at.floor() as usize], values[at.ceil() as usize]);
            prop_assert!((found - f64::from(low) - at.fract() * f64::from(high - low)).abs() < 1e-9);
        }

        #[test]
        fn levels_rise_and_stay_in_range(values in prop::collection::vec(1e-6..1e6f64, 1..200)) {
            let levels = quantile_levels(&values, LEVELS);
            prop_assert!(levels.len() <= LEVELS);
            prop_assert!(levels.windows(2).all(|w| w[0] < w[1]));
            let (min, max) = values.iter().fold((f64::INFINITY, 0.0f64), |(a, b), v| (a.min(*v), b.max(*v)));
            prop_assert!(levels.iter().all(|l| (min * 0.995..=max * 1.005).contains(l)));
        }
    }
}
