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

    #[test]
    fn viridis_brightens_all_the_way() {
        assert!(VIRIDIS.windows(2).all(|w| luma(w[0]) < luma(w[1])));
        assert_eq!([contrast(VIRIDIS[0]), contrast(VIRIDIS[8])], [(255, 255, 255), (0, 0, 0)]);
        assert_eq!(lit((100, 50, 200), 0.5), (50, 25, 100));
    }
}
