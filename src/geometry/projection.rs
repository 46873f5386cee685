//! Where a vector lies on a plane, from inner products alone.

/// Squared sine of the angle between two directions below which they span no plane: at 1e-5 radians, single-precision
/// directions no longer tell one coordinate from the other.
const PARALLEL: f64 = 1e-10;

/// The inner products of two directions x and y with themselves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Basis {
    /// <x, x>.
    pub xx: f64,
    /// <x, y>.
    pub xy: f64,
    /// <y, y>.
    pub yy: f64,
}

impl Basis {
    /// The (a, b) for which a x + b y comes closest to the vector v of which <x, v> and <y, v> are given; the
    /// directions need be neither orthogonal nor of unit length (method.md 12). None if they are parallel or zero, or a
    /// figure is not finite.
    pub fn project(&self, x_dot_v: f64, y_dot_v: f64) -> Option<(f64, f64)> {
        let (x, y) = (self.xx.sqrt(), self.yy.sqrt());
        // In unit directions, where the determinant is the squared sine.
        let (cosine, p, q) = (self.xy / x / y, x_dot_v / x, y_dot_v / y);
        let sine2 = (1.0 - cosine) * (1.0 + cosine);
        let at = ((p - cosine * q) / sine2 / x, (q - cosine * p) / sine2 / y);
        (sine2 > PARALLEL && at.0.is_finite() && at.1.is_finite()).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    fn project(x: &[f64], y: &[f64], v: &[f64]) -> Option<(f64, f64)> {
        Basis { xx: dot(x, x), xy: dot(x, y), yy: dot(y, y) }.project(dot(x, v), dot(y, v))
    }

    #[test]
    fn hand_worked_projections() {
        // Orthogonal: each by itself.
        assert_eq!(project(&[2.0, 0.0, 0.0], &[0.0, 1.0, 0.0], &[3.0, 4.0, 5.0]), Some((1.5, 4.0)));
        // x = (1, 0), y = (1, 1), v = (3, 2) = x + 2 y, where the inner products alone would say (3, 5).
        let (a, b) = project(&[1.0, 0.0], &[1.0, 1.0], &[3.0, 2.0]).unwrap();
        assert!((a - 1.0).abs() < 1e-12 && (b - 2.0).abs() < 1e-12);
    }

    #[test]
    fn parallel_directions_span_no_plane() {
        assert_eq!(project(&[1.0, 2.0], &[2.0, 4.0], &[1.0, 0.0]), None);
        assert_eq!(project(&[1.0, 2.0], &[-0.5, -1.0], &[1.0, 0.0]), None);
        assert_eq!(project(&[0.0, 0.0], &[2.0, 4.0], &[1.0, 0.0]), None);
        assert_eq!(project(&[1.0, 0.0], &[0.0, 1.0], &[f64::NAN, 0.0]), None);
        assert_eq!(Basis { xx: -1.0, xy: 0.0, yy: 1.0 }.project(1.0, 1.0), None);
    }

    proptest! {
        /// What is left stands upright on both directions, and scaling a direction scales its coordinate.
        #[test]
        fn the_rest_is_orthogonal(
            x in prop::array::uniform4(-2.0..2.0f64), y in prop::array::uniform4(-2.0..2.0f64),
            v in prop::array::uniform4(-2.0..2.0f64), scale in 1e-6..1e6f64,
        ) {
            prop_assume!(dot(&x, &x) > 1e-2 && dot(&y, &y) > 1e-2);
            prop_assume!(dot(&x, &y).powi(2) < 0.99 * dot(&x, &x) * dot(&y, &y));
            let (a, b) = project(&x, &y, &v).unwrap();
            let rest: Vec<f64> = (0..4).map(|i| v[i] - a * x[i] - b * y[i]).collect();
            prop_assert!(dot(&rest, &x).abs() < 1e-9 && dot(&rest, &y).abs() < 1e-9);
            let (c, d) = project(&x.map(|t| t * scale), &y, &v).unwrap();
            prop_assert!((c * scale - a).abs() < 1e-8 && (d - b).abs() < 1e-8);
        }
    }
}
