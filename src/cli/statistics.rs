//! A surface's figures, in lines for people.

use crate::geometry::statistics::{RISE, SurfaceStatistics};
use crate::landscape::file::SurfaceFile;
use crate::telemetry::number::short;

/// Name of the line that tells what coarser arithmetic costs.
const ROUNDING: &str = "Relative difference";
/// The figures of a surface and the grain of salt that goes with it: name and value, for a table or a caption.
pub fn lines(content: &SurfaceFile) -> Vec<(&'static str, String)> {
    let found = SurfaceStatistics::of(content.surface.grid());
    let number = |value: Option<f64>| value.map_or("-".to_owned(), short);
    let per_cent =
        |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{:.0} %", v * 100.0));
    let step = spacing(content);
    let radius = |r: f64| match r < step {
        // A chord between grid points, no figure of the surface.
        true => format!("below {}, the grid's step", short(step)),
        false => short(r),
    };
    let flatness = match (found.flatness, found.flatness_least, found.rising_share) {
        (Some(median), Some(least), _) if median >= step => {
            format!("{} (least {})", short(median), radius(least))
        }
        (Some(median), ..) => radius(median),
        (None, least, Some(rising)) if found.center.is_some() => format!(
            "none: {} of the directions rise by {RISE} on the map (least {})",
            per_cent(Some(rising)),
            least.map_or("-".to_owned(), radius)
        ),
        _ => "-".to_owned(),
    };
    let on_grid = |axis: &[f64]| axis.is_empty() || axis.contains(&0.0);
    let interpolated = !(on_grid(&content.surface.xs) && on_grid(&content.surface.ys));
    let center = match (found.center, interpolated) {
        (None, _) => "-".to_owned(),
        (Some(loss), false) => format!("{} nats", short(loss)),
        (Some(loss), true) => {
            format!("{} nats, interpolated: no point of the grid lies there", short(loss))
        }
    };
    let mut told = vec![
        ("centre", center),
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
        told.push(("Hessian at the centre", text));
    }
    let surface = &content.surface;
    let (known, finite) =
        surface.acc.iter().zip(&surface.loss).fold((0, 0), |(k, f), (acc, loss)| {
            (k + usize::from(!acc.is_nan()), f + usize::from(!acc.is_nan() && loss.is_finite()))
        });
    if known > finite {
        told.push(("not finite", format!("the loss at {} of {known} points", known - finite)));
    }
    if known < surface.len() {
        told.push((
            "not computed",
            format!("{} of {} points", surface.len() - known, surface.len()),
        ));
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

/// The finer of the two axes' spacings.
fn spacing(content: &SurfaceFile) -> f64 {
    let step = |axis: &[f64]| match axis {
        [first, .., last] => (last - first) / (axis.len() - 1) as f64,
        _ => f64::INFINITY,
    };
    step(&content.surface.xs).min(step(&content.surface.ys))
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
    // Curvature has a sentence of its own in every caption.
    let alone = all.iter().filter(|(name, _)| *name == ROUNDING);
    sentences.extend(alone.map(|(name, value)| format!("{name}: {value}.")));
    sentences
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
            surface.acc[i] = 1.0;
        }
        let told = lines(&SurfaceFile::of(surface.clone()));
        let of = |name: &str| told.iter().find(|(n, _)| *n == name).unwrap().1.clone();
        assert_eq!(of("centre"), "0.500 nats");
        // sqrt(0.1) = 0.316
        assert!(of("flatness").starts_with("0.31"), "{}", of("flatness"));
        let mut coarse = Surface::new(vec![-1.0, -0.25, 0.5], vec![-1.0, 0.0, 1.0]);
        coarse.loss = vec![9.0, 9.0, 9.0, 9.0, 1.0, 2.0, 9.0, 9.0, 9.0];
        coarse.acc = vec![0.5; 9];
        let coarse = lines(&SurfaceFile::of(coarse));
        assert!(coarse[0].1.contains("interpolated"), "{coarse:?}");
        assert_eq!(coarse[1].1, "below 0.750, the grid's step");
        assert_eq!((of("convex").as_str(), of("minima").as_str()), ("100 %", "1"));
        let caption = sentences(&SurfaceFile::of(surface)).join(" ");
        assert!(
            caption.starts_with("Flatness 0.31") && caption.contains("convex 100 %"),
            "{caption}"
        );
        assert!(of("loss at 0, 5, 25, 50, 75, 95, 100 %").ends_with("2.500"));
    }
}
