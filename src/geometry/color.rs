//! Colour maps.

/// Red, green, blue.
pub type Rgb = (u8, u8, u8);

/// Low to high: the perceptually even map `viridis`, at nine points.
pub const VIRIDIS: [Rgb; 9] = [
    (68, 1, 84),
    (71, 44, 122),
    (59, 81, 139),
    (44, 113, 142),
    (33, 144, 141),
    (39, 173, 129),
    (92, 200, 99),
    (170, 220, 50),
    (253, 231, 37),
];

/// Angles of a path to the isocurves, on paper: along (0 degrees) in blue, across (90) in orange, brighter all the way and
/// apart for those who do not tell red from green.
pub const ANGLE: [Rgb; 5] =
    [(24, 48, 140), (88, 80, 160), (150, 90, 150), (215, 100, 90), (245, 140, 20)];

/// The colour at a place of a map, 0 to 1; its first where that is no number. `colors` holds two or more.
pub fn ramp(colors: &[Rgb], at: f64) -> Rgb {
    let at = if at.is_finite() { at.clamp(0.0, 1.0) } else { 0.0 } * (colors.len() - 1) as f64;
    let low = (at as usize).min(colors.len() - 2);
    let t = at - low as f64;
    let mix = |a: u8, b: u8| (f64::from(a) + t * (f64::from(b) - f64::from(a))).round() as u8;
    let (a, b) = (colors[low], colors[low + 1]);
    (mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// How bright the eye finds a colour, 0 to 255.
pub fn luma((r, g, b): Rgb) -> f64 {
    0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b)
}

/// Black or white, whichever is read better on `rgb`.
pub fn contrast(rgb: Rgb) -> Rgb {
    if luma(rgb) > 130.0 { (0, 0, 0) } else { (255, 255, 255) }
}

/// A colour in light of a strength: 1 leaves it, less darkens it, down to black at 0.
pub fn lit((r, g, b): Rgb, strength: f64) -> Rgb {
    let strength = if strength.is_finite() { strength.clamp(0.0, 1.0) } else { 1.0 };
    let dim = |v: u8| (f64::from(v) * strength).round() as u8;
    (dim(r), dim(g), dim(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_holds_its_ends() {
        assert_eq!(ramp(&VIRIDIS, f64::NAN), VIRIDIS[0]);
        assert_eq!(ramp(&VIRIDIS, 2.0), VIRIDIS[8]);
        assert_eq!(ramp(&[(0, 0, 0), (100, 200, 50)], 0.5), (50, 100, 25));
    }

    /// A colour as one sees it who lacks the cones for red or for green (Vienot, Brettel and Mollon 1999).
    fn dichromat((r, g, b): Rgb, lacks_red: bool) -> [f64; 3] {
        let linear = |v: u8| (f64::from(v) / 255.0).powf(2.2);
        let [r, g, b] = [r, g, b].map(linear);
        let (mut l, mut m, s) = (
            17.8824 * r + 43.5161 * g + 4.11935 * b,
            3.45565 * r + 27.1554 * g + 3.86714 * b,
            0.0299566 * r + 0.184309 * g + 1.46709 * b,
        );
        if lacks_red {
            l = 2.02344 * m - 2.52581 * s;
        } else {
            m = 0.494207 * l + 1.24827 * s;
        }
        let seen = [
            0.0809444479 * l - 0.130504409 * m + 0.116721066 * s,
            -0.0102485335 * l + 0.0540193266 * m - 0.113614708 * s,
            -0.000365296938 * l - 0.00412161469 * m + 0.693511405 * s,
        ];
        seen.map(|v: f64| v.clamp(0.0, 1.0).powf(1.0 / 2.2) * 255.0)
    }

    #[test]
    fn angles_are_told_apart_by_the_colour_blind() {
        for lacks_red in [true, false] {
            let seen = ANGLE.map(|color| dichromat(color, lacks_red));
            let far = |a: [f64; 3], b: [f64; 3]| {
                a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt()
            };
            let steps: Vec<f64> = seen.windows(2).map(|w| far(w[0], w[1])).collect();
            assert!(steps.iter().all(|d| *d > 25.0), "neighbours: {steps:?}");
            assert!(far(seen[0], seen[4]) > 150.0);
        }
    }

    #[test]
    fn scales_brighten_all_the_way() {
        assert!(VIRIDIS.windows(2).all(|w| luma(w[0]) < luma(w[1])));
        assert!(ANGLE.windows(2).all(|w| luma(w[0]) < luma(w[1])));
        assert_eq!([contrast(VIRIDIS[0]), contrast(VIRIDIS[8])], [(255, 255, 255), (0, 0, 0)]);
        assert_eq!(lit((100, 50, 200), 0.5), (50, 25, 100));
    }
}
