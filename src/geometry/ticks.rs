//! Round values for axes, and their labels: on the screen and in figures alike.

/// Columns up to which numbers are told without an exponent, even where one would make them shorter.
const PLAIN: usize = 5;
/// Of the distance to the next label: what a label may be off its value, which is what arithmetic leaves.
const NOISE: f64 = 1e-6;
/// Of a value without neighbours: three to four significant digits.
const ALONE: f64 = 5e-4;
/// Steps from 0 to a value beyond which floats do not tell neighbours apart.
const MOST_STEPS: f64 = 1e14;

/// Round values from `low` to `high`, about `count` of them: steps of 1, 2 or 5 times a power of ten. None where there
/// is no such range, or one too short for floats.
pub fn even(low: f64, high: f64, count: usize) -> Vec<f64> {
    // Halved, so that the span of the largest floats is a number too.
    let raw = (high / 2.0 - low / 2.0) / count.max(1) as f64 * 2.0;
    if !(raw.is_finite() && raw >= f64::MIN_POSITIVE) {
        return Vec::new();
    }
    let exponent = raw.log10().floor() as i32;
    let [one, two, five, ten] = [1.0, 2.0, 5.0, 10.0].map(|m| m * power(exponent));
    let (digit, step) = match raw {
        _ if raw <= one => (1.0, one),
        _ if raw <= two => (2.0, two),
        _ if raw <= five => (5.0, five),
        _ => (10.0, ten),
    };
    // A hair beyond both ends: 0.3 / 0.1 is not 3.
    let (first, last) = ((low / step - NOISE).ceil(), (high / step + NOISE).floor());
    // Both are numbers or infinite: the step is above 0.
    if first.abs().max(last.abs()) >= MOST_STEPS {
        return Vec::new();
    }
    let steps = (0..=count * 2).map(|i| first + i as f64).take_while(|k| *k <= last);
    // Divided by a power of ten where it is small: 3 * 0.1 is not 0.3, and 3 / 10 is.
    steps.map(|k| if exponent < 0 { k * digit / power(-exponent) } else { k * step }).collect()
}

fn power(exponent: i32) -> f64 {
    10f64.powi(exponent)
}

/// Powers of ten from `low` to `high`, both above 0; where they are few, with twos and fives between, or evenly.
pub fn log(low: f64, high: f64, count: usize) -> Vec<f64> {
    if !(low > 0.0 && high.is_finite()) {
        return Vec::new();
    }
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let decades = |digits: &[f64]| -> Vec<f64> {
        let all = (first..=last).flat_map(|e| digits.iter().map(move |d| d * power(e)));
        all.filter(|v| (low..=high).contains(v)).collect()
    };
    let tens = decades(&[1.0]);
    if tens.len() < 2 {
        let between = decades(&[1.0, 2.0, 5.0]);
        return if between.len() < 2 { even(low, high, count) } else { between };
    }
    let keep = tens.len().div_ceil(count.max(1)).max(1);
    tens.into_iter().step_by(keep).collect()
}

/// The labels of one axis' values: distinct, all with an exponent or all without, and right to the last digit; a dash
/// for what is not finite.
pub fn labels(values: &[f64]) -> Vec<String> {
    let off = |value: f64| {
        let far = values.iter().map(|v| (v - value).abs()).filter(|d| *d > 0.0 && d.is_finite());
        far.fold(f64::INFINITY, f64::min) * NOISE
    };
    let off = |v: f64| Some(off(v)).filter(|off| off.is_finite()).unwrap_or(v.abs() * ALONE);
    in_one_notation(values.iter().map(|v| rounded(*v, off(*v))).collect())
}

/// The ends of a scale, which need not be round: three or four significant digits, more where they lie near each other.
pub fn ends(low: f64, high: f64) -> [String; 2] {
    let near = (high - low).abs() * 10.0 * ALONE;
    let off = |v: f64| if near > 0.0 { near.min(v.abs() * ALONE) } else { v.abs() * ALONE };
    let mut told = in_one_notation([low, high].map(|v| rounded(v, off(v))).to_vec()).into_iter();
    [(); 2].map(|()| told.next().unwrap_or_default())
}

/// The value of the fewest digits that is not more than `off` away.
fn rounded(value: f64, off: f64) -> f64 {
    if value.abs() <= off {
        return 0.0;
    }
    let to = |digits: usize| format!("{value:.digits$e}").parse().unwrap_or(value);
    (0..17).map(to).find(|v: &f64| (v - value).abs() <= off).unwrap_or(value)
}

fn in_one_notation(values: Vec<f64>) -> Vec<String> {
    let told = |write: fn(f64) -> String| -> (usize, Vec<String>) {
        let dash = |v: &f64| if v.is_finite() { write(*v) } else { "-".to_owned() };
        let all: Vec<String> = values.iter().map(dash).collect();
        (all.iter().map(|t| t.trim_start_matches('-').len()).max().unwrap_or(0), all)
    };
    let (wide, plain) = told(|v| v.to_string());
    let with_exponent = |v: f64| if v == 0.0 { "0".to_owned() } else { format!("{v:e}") };
    let (narrow, exponents) = told(with_exponent);
    if wide <= PLAIN || wide <= narrow { plain } else { exponents }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::geometry::scale::Scale;

    #[test]
    fn ticks_are_round() {
        assert_eq!(even(0.0, 1.0, 4), [0.0, 0.5, 1.0]);
        assert_eq!(even(0.3, 0.62, 4), [0.3, 0.4, 0.5, 0.6]);
        // As short as the span is, none lies beyond it.
        assert_eq!(even(0.0, 1e-15, 4), [0.0, 5e-16, 1e-15]);
        assert_eq!(log(0.02, 30.0, 8), [0.1, 1.0, 10.0]);
        assert_eq!(log(1.2, 6.0, 4), [2.0, 5.0]);
        assert_eq!(log(2.1, 4.9, 3), [3.0, 4.0]);
    }

    #[test]
    fn axes_that_are_none_have_no_ticks() {
        for (low, high) in [(1.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY), (1e17, 1e17 + 16.0)]
        {
            assert!(even(low, high, 4).is_empty(), "{low} to {high}");
        }
        assert!(log(0.0, 1.0, 4).is_empty() && log(1.0, f64::NAN, 4).is_empty());
    }

    #[test]
    fn labels_are_short_and_alike() {
        assert_eq!(labels(&[1e-4, 1e-3, 0.01, 0.1, 1.0]), ["1e-4", "1e-3", "1e-2", "1e-1", "1e0"]);
        assert_eq!(labels(&[0.001, 0.01, 0.1, 1.0]), ["0.001", "0.01", "0.1", "1"]);
        assert_eq!(labels(&[8e-5, 1e-4, 1.2e-4]), ["8e-5", "1e-4", "1.2e-4"]);
        assert_eq!(labels(&[-0.4, -0.2, 3e-17, 0.2]), ["-0.4", "-0.2", "0", "0.2"]);
        assert_eq!(labels(&[0.001_23, 0.001_45]), ["0.00123", "0.00145"]);
        assert_eq!(labels(&[2.345_678]), ["2.346"]);
        assert_eq!(labels(&[-0.0, f64::NAN, 1.0]), ["0", "-", "1"]);
        assert_eq!(ends(2.302_11, 2.302_48), ["2.30211", "2.30248"]);
        assert_eq!(ends(0.021_34, 412.7), ["0.02134", "412.7"]);
        assert_eq!(ends(2.345_678, 2.345_678), ["2.346", "2.346"]);
    }

    /// Any size from 1e-300 to 1e300, of either sign.
    fn sized() -> impl Strategy<Value = f64> {
        (-300.0..300.0f64, any::<bool>(), 0..4u8).prop_map(|(size, below, kind)| {
            // Most axes are of everyday sizes.
            let size = 10f64.powf(if kind == 0 { size } else { size / 50.0 });
            if below { -size } else { size }
        })
    }

    fn are_right(ticks: &[f64]) -> Result<(), TestCaseError> {
        let told = labels(ticks);
        prop_assert_eq!(told.len(), ticks.len());
        for (i, (label, value)) in told.iter().zip(ticks).enumerate() {
            prop_assert!(told[..i].iter().all(|l| l != label), "{told:?} of {ticks:?}");
            let read: f64 = label.parse().unwrap();
            // Not merely rounded: the label is the value, but for what arithmetic leaves of it.
            let nearest = ticks.iter().map(|t| (t - value).abs()).filter(|d| *d > 0.0);
            let off = nearest.fold(f64::INFINITY, f64::min) * 2e-6;
            let off = if ticks.len() == 1 { value.abs() * 1e-3 } else { off };
            prop_assert!((read - value).abs() <= off, "{label} is not {value}, of {ticks:?}");
        }
        let exponents = told.iter().filter(|l| *l != "0").map(|l| l.contains('e'));
        let exponents: Vec<bool> = exponents.collect();
        prop_assert!(exponents.windows(2).all(|w| w[0] == w[1]), "{told:?}");
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn labels_of_an_even_axis_are_right(low in sized(), span in sized(), count in 1..12usize) {
            let high = low + span.abs();
            let ticks = even(low, high, count);
            let step = ticks.get(1).map_or(span.abs(), |t| t - ticks[0]);
            prop_assert!(ticks.iter().all(|t| *t >= low - step * 1e-3 && *t <= high + step * 1e-3));
            are_right(&ticks)?;
        }

        #[test]
        fn labels_of_a_logarithmic_axis_are_right(low in sized(), times in 1.001..1e9f64, count in 1..12usize) {
            let low = low.abs();
            prop_assume!((low * times).is_finite());
            are_right(&log(low, low * times, count))?;
            are_right(&Scale { low, high: low * times, log: true }.ticks(count))?;
        }

        #[test]
        fn ends_are_told_apart(low in sized(), parts in 1e-9..1e9f64) {
            let high = low + parts * low.abs();
            let told = ends(low, high);
            prop_assert!(told[0] != told[1] || low == high);
            for (label, value) in told.iter().zip([low, high]) {
                let read: f64 = label.parse().unwrap();
                prop_assert!((read - value).abs() <= ALONE * value.abs());
            }
        }
    }
}
