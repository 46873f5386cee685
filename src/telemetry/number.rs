//! Figures that may not exist: NaN in memory, `null` in JSON, a dash in a text, never 0.

/// serde's `with` for one `f64` that may be missing.
pub mod null_as_nan {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes a figure that is not finite as `null`.
    pub fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(to)
    }

    /// Reads `null` as NaN.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
    }
}

/// serde's `with` for a list of figures, any of which may be missing.
pub mod nulls_as_nan {
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes every figure that is not finite as `null`.
    pub fn serialize<S: Serializer>(values: &[f64], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(values.iter().map(|v| v.is_finite().then_some(*v)))
    }

    /// Reads every `null` as NaN.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
        let values = Vec::<Option<f64>>::deserialize(from)?;
        Ok(values.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect())
    }
}

/// A figure in four significant columns or so: `0.123`, `12.3`, `1234`, `1.2e-5`.
pub fn short(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "-".to_owned()
    } else if size == 0.0 {
        "0".to_owned()
    } else if !(0.001..100_000.0).contains(&size) {
        format!("{value:.1e}")
    } else if size < 10.0 {
        format!("{value:.3}")
    } else if size < 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// A level as a label: [`short`] without trailing zeros.
pub fn level(value: f64) -> String {
    let text = short(value);
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A setting as people type it: `0.1`, `5e-4`, `64`; to three digits where it is small, which a schedule's factor leaves
/// no zeros of.
pub fn setting(value: f64) -> String {
    if value == 0.0 || value.abs() >= 0.01 || !value.is_finite() {
        return level(value);
    }
    let text = format!("{value:.2e}");
    match text.split_once('e') {
        Some((digits, power)) => {
            format!("{}e{power}", digits.trim_end_matches('0').trim_end_matches('.'))
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Figures {
        #[serde(with = "super::null_as_nan")]
        one: f64,
        #[serde(with = "super::nulls_as_nan")]
        many: Vec<f64>,
    }

    #[test]
    fn settings_are_as_they_are_typed() {
        let told = [0.0, 64.0, 0.1, 0.05, 5e-4, 0.1 * 0.1 * 0.1, 1.25e-5, f64::NAN];
        let wanted = ["0", "64", "0.1", "0.05", "5e-4", "1e-3", "1.25e-5", "-"];
        assert_eq!(told.map(super::setting), wanted);
        assert_eq!([2.88, 2.5, 400.0, 1e-5].map(super::level), ["2.88", "2.5", "400", "1.0e-5"]);
    }

    #[test]
    fn a_missing_figure_is_null_and_comes_back_as_nan() {
        let text =
            serde_json::to_string(&Figures { one: f64::NAN, many: vec![1.5, f64::INFINITY] })
                .unwrap();
        assert_eq!(text, r#"{"one":null,"many":[1.5,null]}"#);
        let back: Figures = serde_json::from_str(&text).unwrap();
        assert!(back.one.is_nan() && back.many[1].is_nan());
        assert_eq!(back.many[0], 1.5);
    }
}
