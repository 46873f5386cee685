//! The centre and the training's path.

use super::axes::Panel;
use super::font;
use super::svg::{Spot, Svg, Words, number, polyline};
use crate::telemetry::chart::Path;

/// Units of the page between two arrow heads.
const ARROW_EVERY: f64 = 80.0;
const ARROW: f64 = 8.0;
/// More points than this are not dotted: the dots would run together.
const MOST_DOTS: usize = 150;
const LABEL: f64 = 10.5;
const INK: &str = "#c1121f";
const HALO: &str =
    "stroke=\"#fff\" stroke-width=\"3\" stroke-linejoin=\"round\" paint-order=\"stroke\"";

/// A cross at the weights.
pub(super) fn center(page: &mut Svg, panel: &Panel) {
    let (x, y) = panel.at(0.0, 0.0);
    if !panel.holds((x, y), 0.0) {
        return;
    }
    let arm = 6.0;
    let d = polyline(&[(x - arm, y), (x + arm, y)]) + &polyline(&[(x, y - arm), (x, y + arm)]);
    page.open("id=\"center\" fill=\"none\" stroke-linecap=\"round\"");
    page.path(&d, "stroke=\"#fff\" stroke-width=\"4\"");
    page.path(&d, "stroke=\"#111\" stroke-width=\"1.8\"");
    page.close();
}

/// The path with its direction, its start (a ring) and its end (a disc).
pub(super) fn draw(page: &mut Svg, path: &Path, panel: &Panel) {
    let spots: Vec<Spot> = path.points.iter().map(|(x, y)| panel.at(*x, *y)).collect();
    spots_on(page, &spots, &path.ends, |s| panel.holds(s, 0.0), Some(panel));
}

/// As [`draw`], of spots of the page; those that `inside` denies are not marked.
pub(super) fn spots_on(
    page: &mut Svg,
    spots: &[Spot],
    ends: &(String, String),
    inside: impl Fn(Spot) -> bool,
    panel: Option<&Panel>,
) {
    let clip = if panel.is_some() { " clip-path=\"url(#field)\"" } else { "" };
    page.open(&format!("id=\"trajectory\"{clip}"));
    let d = polyline(spots);
    let line = "fill=\"none\" stroke-linejoin=\"round\"";
    page.path(&d, &format!("{line} stroke=\"#fff\" stroke-opacity=\"0.85\" stroke-width=\"4\""));
    page.path(&d, &format!("{line} stroke=\"{INK}\" stroke-width=\"1.7\""));
    if spots.len() <= MOST_DOTS {
        for spot in spots.iter().filter(|s| inside(**s)) {
            page.circle(*spot, 1.9, &format!("fill=\"{INK}\""));
        }
    }
    for (tip, angle) in arrows(spots).into_iter().filter(|(tip, _)| inside(*tip)) {
        let (x, y) = (number(tip.0), number(tip.1));
        page.path(
            &format!("M{} {}L0 0L{} {}Z", -ARROW, ARROW * 0.42, -ARROW, -ARROW * 0.42),
            &format!(
                "fill=\"{INK}\" stroke=\"#fff\" stroke-width=\"0.8\" transform=\"translate({x} {y}) rotate({})\"",
                number(angle)
            ),
        );
    }
    page.close();
    page.open("id=\"ends\"");
    let next = |from: Option<&Spot>, to: Option<&Spot>| match (from, to) {
        (Some(a), Some(b)) => b.0 - a.0,
        _ => 0.0,
    };
    let count = spots.len();
    let both = [
        (spots.first(), next(spots.first(), spots.get(1)), &ends.0, "#fff"),
        (spots.last(), next(spots.last(), spots.get(count.wrapping_sub(2))), &ends.1, INK),
    ];
    for (spot, away, word, fill) in both {
        let Some(spot) = spot.filter(|s| inside(**s)) else { continue };
        page.circle(*spot, 4.5, "fill=\"#fff\"");
        page.circle(*spot, 3.8, &format!("fill=\"{fill}\" stroke=\"{INK}\" stroke-width=\"1.6\""));
        // Off the path, on the side that it does not run to, if there is room on the panel.
        let wide = font::width(word, LABEL, false) + 9.0;
        let fits_right = panel.is_none_or(|p| spot.0 + wide < p.left + p.width);
        let fits_left = panel.is_none_or(|p| spot.0 - wide > p.left);
        let right = if away > 0.0 { !fits_left } else { fits_right };
        let (dx, anchor) = if right { (8.0, "start") } else { (-8.0, "end") };
        let style = Words { size: LABEL, anchor, color: INK, more: HALO, ..Words::default() };
        page.words((spot.0 + dx, spot.1 - 5.0), word, style);
    }
    page.close();
}

/// Tips of arrow heads along the path, and how they are turned, degrees.
fn arrows(spots: &[Spot]) -> Vec<(Spot, f64)> {
    let mut found = Vec::new();
    let mut until = ARROW_EVERY / 2.0;
    for pair in spots.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let step = dx.hypot(dy);
        if !step.is_finite() {
            continue;
        }
        until -= step;
        if until < 0.0 {
            // One to a step, however long that is.
            found.push(((from.0 + dx * 0.6, from.1 + dy * 0.6), dy.atan2(dx).to_degrees()));
            until = ARROW_EVERY;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_along_the_path() {
        let spots: Vec<Spot> = (0..=10).map(|i| (f64::from(i) * 30.0, 0.0)).collect();
        let found = arrows(&spots);
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|(_, angle)| *angle == 0.0));
        assert!(arrows(&[(0.0, 0.0), (f64::NAN, 1.0)]).is_empty());
    }
}
