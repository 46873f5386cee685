//! The angle at which a step crosses the isocurve of the loss, from inner products alone.

/// Angle of the step `delta` to the isocurve of a loss with gradient `g`, degrees in [-90, 90]:
/// phi = asin(-<delta, g> / (|delta| |g|)). +90: straight downhill; 0: along the isocurve; -90: uphill.
/// NaN for a zero step, a zero gradient or figures that are not numbers: there is no angle then.
pub fn isocurve_angle_deg(delta_dot_g: f64, delta_norm: f64, g_norm: f64) -> f64 {
    let scale = delta_norm * g_norm;
    if scale > 0.0 && scale.is_finite() {
        // Rounding may push the sine of a collinear pair just past 1.
        (-delta_dot_g / scale).clamp(-1.0, 1.0).asin().to_degrees()
    } else {
        f64::NAN
    }
}

/// Share of a `part` of the step `delta`: the part's component along the step over the step's length,
/// <part, delta> / |delta|^2. The shares of parts that add up to the step add up to 1. NaN for a zero step.
pub fn share_along_step(part_dot_delta: f64, delta_norm: f64) -> f64 {
    let squared = delta_norm * delta_norm;
    if squared > 0.0 && squared.is_finite() { part_dot_delta / squared } else { f64::NAN }
}

/// Inner products of a part of a step: with the gradient, with the step, with itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartProducts {
    /// <part, g>
    pub part_g: f64,
    /// <part, delta>
    pub part_delta: f64,
    /// <part, part>
    pub part_part: f64,
}

/// The angle of the step `delta` with a part added `times` over (-1: taken out of it), as [`isocurve_angle_deg`].
pub fn angle_with_part_deg(
    delta_dot_g: f64,
    delta_norm: f64,
    g_norm: f64,
    part: PartProducts,
    times: f64,
) -> f64 {
    let PartProducts { part_g, part_delta, part_part } = part;
    let squared = delta_norm * delta_norm + 2.0 * times * part_delta + times * times * part_part;
    // A difference within the rounding of single-precision products is no step.
    let rounding = 1e-6 * (delta_norm * delta_norm + part_part);
    if squared <= rounding {
        return f64::NAN;
    }
    isocurve_angle_deg(delta_dot_g + times * part_g, squared.sqrt(), g_norm)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    fn angle(delta: &[f64], g: &[f64]) -> f64 {
        isocurve_angle_deg(dot(delta, g), dot(delta, delta).sqrt(), dot(g, g).sqrt())
    }

    #[test]
    fn hand_worked_angles() {
        let g = [2.0, 0.0];
        assert_eq!(angle(&[-3.0, 0.0], &g), 90.0);
        assert_eq!(angle(&[3.0, 0.0], &g), -90.0);
        assert_eq!(angle(&[0.0, 5.0], &g), 0.0);
        // 30 degrees off the isocurve, downhill: sin 30 = 1/2.
        assert!((angle(&[-0.5, 0.75f64.sqrt()], &g) - 30.0).abs() < 1e-12);
        // Bowl L = (x^2 + 4 y^2) / 2 at (1, 1): g = (1, 4); a step straight to the minimum, (-1, -1), crosses at
        // asin(5 / (sqrt 2 sqrt 17)) = 59.04 degrees.
        assert!((angle(&[-1.0, -1.0], &[1.0, 4.0]) - 59.036_243).abs() < 1e-5);
    }

    #[test]
    fn no_step_has_no_angle() {
        assert!(angle(&[0.0, 0.0], &[1.0, 0.0]).is_nan());
        assert!(angle(&[1.0, 0.0], &[0.0, 0.0]).is_nan());
        assert!(angle(&[f64::NAN, 0.0], &[1.0, 0.0]).is_nan());
        assert!(isocurve_angle_deg(1.0, f64::INFINITY, 1.0).is_nan());
    }

    #[test]
    fn a_part_taken_out_by_hand() {
        // Step (-1, -1) of a gradient part (-1, 0), straight down g = (1, 0), and a decay part (0, -1) along the isocurve.
        let (delta, g, decay) = ([-1.0, -1.0], [1.0, 0.0], [0.0, -1.0]);
        let products = |part: &[f64]| PartProducts {
            part_g: dot(part, &g),
            part_delta: dot(part, &delta),
            part_part: dot(part, part),
        };
        let with = |part: &[f64], times| {
            angle_with_part_deg(dot(&delta, &g), 2f64.sqrt(), 1.0, products(part), times)
        };
        assert!((with(&decay, -1.0) - 90.0).abs() < 1e-5);
        assert!((with(&decay, 0.0) - 45.0).abs() < 1e-5);
        // asin(1 / sqrt 5)
        assert!((with(&decay, 1.0) - 26.565_051).abs() < 1e-5);
        assert!(with(&delta, -1.0).is_nan(), "pure decay leaves no step");
    }

    #[test]
    fn hand_worked_shares() {
        // Step (-2, 0) of a gradient part (-1, 1) and a decay part (-1, -1): half each.
        let delta = [-2.0, 0.0];
        assert_eq!(share_along_step(dot(&[-1.0, 1.0], &delta), 2.0), 0.5);
        assert_eq!(share_along_step(dot(&[-1.0, -1.0], &delta), 2.0), 0.5);
        assert!(share_along_step(0.0, 0.0).is_nan());
    }

    proptest! {
        #[test]
        fn scaling_changes_no_angle_and_reversal_flips_it(
            delta in prop::array::uniform4(-10.0..10.0f64), g in prop::array::uniform4(-10.0..10.0f64), k in 0.01..100.0f64,
        ) {
            let phi = angle(&delta, &g);
            prop_assume!(phi.is_finite());
            prop_assert!((-90.0..=90.0).contains(&phi));
            prop_assert!((angle(&delta.map(|v| v * k), &g) - phi).abs() < 1e-4);
            prop_assert!((angle(&delta.map(|v| -v), &g) + phi).abs() < 1e-4);
        }

        #[test]
        fn shares_of_parts_sum_to_one(
            a in prop::array::uniform4(-1.0..1.0f64), b in prop::array::uniform4(-1.0..1.0f64), c in prop::array::uniform4(-1.0..1.0f64),
        ) {
            let delta: Vec<f64> = (0..4).map(|i| a[i] + b[i] + c[i]).collect();
            let norm = dot(&delta, &delta).sqrt();
            prop_assume!(norm > 1e-3);
            let sum: f64 = [a, b, c].iter().map(|p| share_along_step(dot(p, &delta), norm)).sum();
            prop_assert!((sum - 1.0).abs() < 1e-9);
        }
    }
}
