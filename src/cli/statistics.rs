//! A surface's figures, in lines for people.

use crate::geometry::statistics::{RISE, SurfaceStatistics};
use crate::landscape::file::SurfaceFile;

/// Name of the line that tells what coarser arithmetic costs.
const ROUNDING: &str = "Relative difference";
/// Name of the line that tells curvature.
const HESSIAN: &str = "Hessian at the centre";

/// The figures of a surface and the grain of salt that goes with it: name and value, for a table or a caption.
pub fn lines(content: &SurfaceFile) -> Vec<(&'static str, String)> {
    let found = SurfaceStatistics::of(content.surface.grid());
    let number = |value: Option<f64>| value.map_or("-".to_owned(), short);
    let per_cent =
        |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{:.0} %", v * 100.0));
    let rising = found.rising_share.unwrap_or(0.0);
    let flatness = match found.flatness {
        Some(radius) => format!("{} (least {})", short(radius), number(found.flatness_least)),
        None => format!(
            "beyond the map in half of the directions: {} of them rise by {RISE} (least {})",
            per_cent(Some(rising)),
            number(found.flatness_least)
        ),
    };
    let mut told = vec![
        ("centre", format!("{} nats", number(found.center))),
        ("flatness", flatness),
        ("convex", per_cent(found.convex_share)),
        ("minima", found.minima.map_or("-".to_owned(), |n| n.to_string())),
        ("roughness", number(found.roughness)),
    ];
    if let Some([min, q5, q25, median, q75, q95, max]) = found.quantiles {
        let all = [min, q5, q25, median, q75, q95, max].map(short).join("  ");
        told.push(("loss at 0, 5, 25, 50, 75, 95, 100 %", all));
    }
    if let Some(c) = content.center_curvature {
        let settled = if c.converged { "" } else { ", not settled" };
        let (max, min) = (short(c.lambda_max), short(c.lambda_min));
        let ratio = short((c.lambda_min / c.lambda_max).abs());
        let text = format!("{min} to {max}, |min/max| {ratio} ({} products{settled})", c.products);
        told.push((HESSIAN, text));
    }
    if let Some(rounding) = content.rounding {
        let text = format!("{rounding:.1e} from f32 at most, over a sample of the points");
        told.push((ROUNDING, text));
    }
    if content.about.cosine.is_finite() {
        told.push(("cosine of the directions", short(content.about.cosine)));
    }
    if let [first, rest @ ..] = &content.about.variance[..] {
        let shares = std::iter::once(first).chain(rest).map(|s| format!("{:.1}", s * 100.0));
        let sum: f64 = content.about.variance.iter().sum();
        let shares = shares.collect::<Vec<_>>().join(" + ");
        told.push(("variance in the plane", format!("{shares} = {:.1} %", sum * 100.0)));
    }
    told
}

/// The figures of a surface as sentences, for the caption of a drawing, which tells centre and range by itself.
pub fn sentences(content: &SurfaceFile) -> Vec<String> {
    let wanted = ["flatness", "convex", "minima", "roughness"];
    let all = lines(content);
    let told = all.iter().filter(|(name, value)| wanted.contains(name) && value != "-");
    let told: Vec<String> = told.map(|(name, value)| format!("{name} {value}")).collect();
    let mut sentences = Vec::new();
    if !told.is_empty() {
        let mut text = told.join("; ");
        if let Some(first) = text.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        sentences.push(format!("{text}."));
    }
    let alone = all.iter().filter(|(name, _)| [HESSIAN, ROUNDING].contains(name));
    sentences.extend(alone.map(|(name, value)| format!("{name}: {value}.")));
    sentences
}

/// A number in as few characters as tell it.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        v if (1e-3..1e5).contains(&v) => {
            let digits = (3 - v.log10().floor() as i32).clamp(0, 6) as usize;
            format!("{value:.digits$}")
        }
        _ => format!("{value:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landscape::surface::Surface;

    #[test]
    fn a_bowl_is_told_by_hand() {
        let xs: Vec<f64> = (0..41).map(|i| f64::from(i) / 20.0 - 1.0).collect();
        let mut surface = Surface::new(xs.clone(), xs);
        for i in 0..surface.len() {
            let (x, y) = surface.place(i);
            surface.loss[i] = 0.5 + x * x + y * y;
        }
        let told = lines(&SurfaceFile::of(surface.clone()));
        let of = |name: &str| told.iter().find(|(n, _)| *n == name).unwrap().1.clone();
        assert_eq!(of("centre"), "0.5000 nats");
        // sqrt(0.1) = 0.316
        assert!(of("flatness").starts_with("0.31"), "{}", of("flatness"));
        assert_eq!((of("convex").as_str(), of("minima").as_str()), ("100 %", "1"));
        let caption = sentences(&SurfaceFile::of(surface)).join(" ");
        assert!(
            caption.starts_with("Flatness 0.31") && caption.contains("convex 100 %"),
            "{caption}"
        );
        assert!(of("loss at 0, 5, 25, 50, 75, 95, 100 %").ends_with("2.500"));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [short(0.0), short(12.3456), short(-0.5), short(1e9)],
            ["0", "12.35", "-0.5000", "1.000e9"]
        );
    }
}
