//! Which isolines are drawn.

use std::str::FromStr;

use crate::geometry::levels::{LEVELS, quantile_levels_and_ends};

/// Isolines that a figure can hold: more are grey.
const MOST: usize = 60;
/// The published list of losses: 0.1, 0.6, 1.1 ... 9.6.
const PUBLISHED: (f64, f64, usize) = (0.1, 0.5, 20);
/// For trajectories also powers of ten, up to this.
const PUBLISHED_DECADES: i32 = 8;

/// How levels are chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum Levels {
    /// The list that the reference code draws.
    Published,
    /// So many that split the values into equal parts, and one more within each outer part.
    Quantiles(usize),
    /// These, rising.
    Given(Vec<f64>),
}

impl Default for Levels {
    fn default() -> Self {
        Self::Quantiles(LEVELS)
    }
}

impl FromStr for Levels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "expected published, quantiles, quantiles:N with N from 1 to {MOST}, or up to {MOST} numbers as in 0.1,0.5,1"
            )
        };
        match text.split_once(':') {
            Some(("quantiles", count)) => {
                let count = count.parse().ok().filter(|n| (1..=MOST).contains(n));
                count.map(Self::Quantiles).ok_or_else(wrong)
            }
            _ if text == "published" => Ok(Self::Published),
            _ if text == "quantiles" => Ok(Self::default()),
            _ => {
                let number = |t: &str| t.trim().parse().ok().filter(|v: &f64| v.is_finite());
                let all: Option<Vec<f64>> = text.split(',').map(number).collect();
                let mut all = all.filter(|a| a.len() <= MOST).ok_or_else(wrong)?;
                all.sort_by(f64::total_cmp);
                all.dedup();
                Ok(Self::Given(all))
            }
        }
    }
}

impl Levels {
    /// The levels for these values, rising; for a surface with a training's path on it or without.
    pub fn of(&self, values: &[f64], with_path: bool) -> Vec<f64> {
        match self {
            Self::Quantiles(count) => quantile_levels_and_ends(values, *count),
            Self::Given(levels) => levels.clone(),
            Self::Published => {
                let (first, step, count) = PUBLISHED;
                // Rounded: 0.1 + 7 * 0.5 is told as 3.6.
                let even = (0..count).map(|i| ((first + step * i as f64) * 10.0).round() / 10.0);
                let decades = (1..=PUBLISHED_DECADES).map(|e| 10f64.powi(e));
                even.chain(decades.filter(|_| with_path)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_typed() {
        let read = |t: &str| t.parse::<Levels>();
        assert_eq!(read("published"), Ok(Levels::Published));
        assert_eq!(read("quantiles"), Ok(Levels::Quantiles(9)));
        assert_eq!(read("quantiles:4"), Ok(Levels::Quantiles(4)));
        assert_eq!(read("1, 0.5,0.1,1"), Ok(Levels::Given(vec![0.1, 0.5, 1.0])));
        for wrong in ["", "quantiles:0", "quantiles:x", "0.1,,2", "inf", "nan", "many"] {
            assert!(read(wrong).unwrap_err().contains("expected published"), "{wrong}");
        }
    }

    #[test]
    fn the_published_list_is_the_reference_codes() {
        let plain = Levels::Published.of(&[], false);
        assert_eq!((plain.len(), plain[0], plain[1], plain[19]), (20, 0.1, 0.6, 9.6));
        let with_path = Levels::Published.of(&[], true);
        assert_eq!((with_path.len(), with_path[20], with_path[27]), (28, 10.0, 1e8));
        assert!(with_path.windows(2).all(|w| w[0] < w[1]));
    }
}
