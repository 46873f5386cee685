//! An axis as it is typed: MIN:MAX:N.

use std::fmt;
use std::str::FromStr;

/// Points on a side beyond which a file would not be read again.
const MOST: usize = 4096;
/// What is accepted, for errors.
const EXPECTED: &str = "MIN:MAX:N with MIN below MAX and N from 2 to 4096, as in -1:1:51";

/// `n` points from `min` to `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// The first.
    pub min: f64,
    /// The last.
    pub max: f64,
    /// How many.
    pub n: usize,
}

impl Span {
    /// The reference code's: 51 points over [-1, 1].
    pub const REFERENCE: Self = Self { min: -1.0, max: 1.0, n: 51 };

    /// The line from one network to another, as the reference code draws it: half of the way on both sides. Both networks
    /// are points of it.
    pub const LINE: Self = Self { min: -0.5, max: 1.5, n: 41 };

    /// The points; both ends exact, and the middle of an odd number over a symmetric range exactly 0.
    pub fn points(&self) -> Vec<f64> {
        let last = (self.n.max(2) - 1) as f64;
        let at = |i: usize| self.min * ((last - i as f64) / last) + self.max * (i as f64 / last);
        // Ends and middle of a symmetric range come out exact.
        (0..self.n).map(at).collect()
    }

    /// Spans of equal length, `n` points each, around all places and the origin, which lies on the grid: a square, so that
    /// what is perpendicular looks so.
    pub fn square_around(places: impl Iterator<Item = (f64, f64)>, n: usize) -> [Self; 2] {
        let mut ends = [(0.0f64, 0.0f64); 2];
        for (x, y) in places {
            for ((low, high), at) in ends.iter_mut().zip([x, y]) {
                (*low, *high) = (low.min(at), high.max(at));
            }
        }
        let longest = ends.iter().map(|(low, high)| high - low).fold(0.0, f64::max);
        ends.map(|(low, high)| {
            let more = 0.5 * (longest - (high - low));
            Self::around(low - more, high + more, n)
        })
    }

    /// A span of `n` points that holds `low` to `high` with a margin, and 0 as one of them.
    pub fn around(low: f64, high: f64, n: usize) -> Self {
        /// Share of the range left free at each end, so that a path does not run along the frame.
        const MARGIN: f64 = 0.1;
        let (low, high) = (low.min(0.0), high.max(0.0));
        let spread = if high > low { high - low } else { 1.0 };
        let cells = n.max(3) - 1;
        let step = spread * (1.0 + 2.0 * MARGIN) / (cells - 1) as f64;
        let below = ((MARGIN * spread - low) / step).round();
        // On a coarse grid the margin gives way: all of the range is on it.
        let below = below.max((-low / step).ceil()).min((cells as f64 - high / step).floor());
        let min = -below * step;
        Self { min, max: min + cells as f64 * step, n: cells + 1 }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected {EXPECTED}");
        let parts: Vec<&str> = text.split(':').collect();
        let [min, max, n] = parts[..] else { return Err(expected()) };
        let number = |s: &str| s.trim().parse::<f64>().ok().filter(|v| v.is_finite());
        let (min, max) = number(min).zip(number(max)).ok_or_else(expected)?;
        let n: usize = n.trim().parse().map_err(|_| expected())?;
        if !(min < max && (2..=MOST).contains(&n)) {
            return Err(expected());
        }
        let span = Self { min, max, n };
        let points = span.points();
        // Ends that a double cannot tell apart so often, or whose difference overflows.
        if points.windows(2).all(|w| w[0] < w[1] && w[1].is_finite()) {
            Ok(span)
        } else {
            Err(expected())
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.min, self.max, self.n)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_typed_is_read() {
        let span: Span = "-1:1:51".parse().unwrap();
        assert_eq!(span, Span::REFERENCE);
        let points = span.points();
        assert_eq!((points.len(), points[0], points[25], points[50]), (51, -1.0, 0.0, 1.0));
        assert_eq!("-0.3:0.3:7".parse::<Span>().unwrap().points()[3], 0.0);
        assert_eq!(span.to_string(), "-1:1:51");
        for wrong in [
            "",
            "1",
            "1:2",
            "1:1:5",
            "2:1:5",
            "0:1:1",
            "0:1:5000",
            "a:1:5",
            "0:inf:5",
            "0:1:5:6",
            "nan:1:3",
            "1:1.0000000000000002:5",
        ] {
            assert!(wrong.parse::<Span>().unwrap_err().contains("MIN:MAX:N"), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_span_around_a_path_holds_it_and_the_origin(a in -1e3..1e3f64, b in -1e3..1e3f64, n in 3usize..80) {
            let (low, high) = (a.min(b), a.max(b));
            let span = Span::around(low, high, n);
            let points = span.points();
            prop_assert_eq!(points.len(), n);
            prop_assert!(points.windows(2).all(|w| w[0] < w[1]));
            let cell = points[1] - points[0];
            prop_assert!(points.iter().any(|p| p.abs() < 1e-6 * cell));
            let rounding = 1e-9 * cell;
            let holds = points[0] <= low + rounding && points[n - 1] >= high - rounding;
            prop_assert!(holds, "{points:?} {low} {high}");
        }
    }
}
