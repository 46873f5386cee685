//! Round values for axes.

/// Round values from `low` to `high`, about `count` of them: steps of 1, 2 or 5 times a power of ten.
pub fn even(low: f64, high: f64, count: usize) -> Vec<f64> {
    let raw = (high - low) / count as f64;
    let base = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * base).into_iter().find(|s| *s >= raw);
    let step = step.unwrap_or(raw);
    if !(step.is_finite() && step > 0.0) {
        return Vec::new();
    }
    let first = (low / step).ceil();
    // Rounded to the step again: 3 * 0.1 is not 0.3.
    let values = (0..=count * 2).map(|i| (first + i as f64) * step);
    values.take_while(|v| *v <= high * (1.0 + 1e-12) + 1e-12).collect()
}

/// Powers of ten from `low` to `high`; with twos and fives between where there are few.
pub fn log(low: f64, high: f64, count: usize) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let inside = |v: &f64| *v >= low && *v <= high;
    let decades = |digits: &[f64]| -> Vec<f64> {
        (first..=last)
            .flat_map(|e| digits.iter().map(move |d| d * 10f64.powi(e)))
            .filter(inside)
            .collect()
    };
    let tens = decades(&[1.0]);
    if tens.len() < 2 {
        return decades(&[1.0, 2.0, 5.0]);
    }
    let keep = tens.len().div_ceil(count).max(1);
    tens.into_iter().step_by(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(even(0.0, 1.0, 4), [0.0, 0.5, 1.0]);
        assert_eq!(log(0.02, 30.0, 8), [0.1, 1.0, 10.0]);
        assert_eq!(log(1.2, 6.0, 4), [2.0, 5.0]);
    }

    #[test]
    fn axes_that_are_none_have_no_ticks() {
        assert!(even(1.0, 1.0, 4).is_empty() && even(f64::NAN, 1.0, 4).is_empty());
    }
}
