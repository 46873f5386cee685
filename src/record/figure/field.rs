//! What lies under the lines of a map: cells, bands, and where nothing is known.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::axes::{Panel, band_color};
use super::svg::{Spot, Svg, hex, number, rings};
use crate::geometry::color::{VIRIDIS, contrast, ramp};
use crate::geometry::region::{Ring, above, unknown};
use crate::telemetry::chart::Chart;

/// Steps of the colour scale of a heat map: finer ones no eye tells apart, and each has a path.
const SHADES: f64 = 255.0;
/// Cells smaller than this, units of the page, have no room for a mark.
const ROOM_FOR_A_MARK: f64 = 6.0;

/// Each point's cell in its colour; interpolated ones with a dot.
pub(super) fn heat(page: &mut Svg, chart: &Chart, panel: &Panel) {
    let Some(scale) = chart.scale else { return };
    let (columns, rows) = (borders(&chart.xs), borders(&chart.ys));
    let mut shades: BTreeMap<u8, String> = BTreeMap::new();
    let mut dots: Vec<(Spot, u8)> = Vec::new();
    let nx = chart.xs.len();
    for (index, value) in chart.values.iter().enumerate().filter(|(_, v)| v.is_finite()) {
        let (row, col) = (index / nx, index % nx);
        let (from, to) =
            (panel.at(columns[col], rows[row]), panel.at(columns[col + 1], rows[row + 1]));
        let shade = (scale.place(*value) * SHADES).round() as u8;
        let [left, lower, right, upper] = [from.0, from.1, to.0, to.1].map(number);
        let _ = write!(shades.entry(shade).or_default(), "M{left} {lower}H{right}V{upper}H{left}Z");
        let small = (to.0 - from.0).min(from.1 - to.1) < ROOM_FOR_A_MARK;
        if !small && chart.computed.as_ref().is_some_and(|c| !c[index]) {
            dots.push((panel.at(chart.xs[col], chart.ys[row]), shade));
        }
    }
    page.open_named("heat", "shape-rendering=\"crispEdges\"");
    for (shade, d) in shades {
        let color = hex(ramp(&VIRIDIS, f64::from(shade) / SHADES));
        page.path(&d, &format!("fill=\"{color}\""));
    }
    page.close();
    page.open_named("interpolated", "fill-opacity=\"0.55\"");
    for (spot, shade) in dots {
        let color = hex(contrast(ramp(&VIRIDIS, f64::from(shade) / SHADES)));
        page.circle(spot, 1.1, &format!("fill=\"{color}\""));
    }
    page.close();
}

/// The borders of cells round the points of an axis, one more than points.
fn borders(axis: &[f64]) -> Vec<f64> {
    let halves: Vec<f64> = axis.windows(2).map(|w| w[0] + (w[1] - w[0]) / 2.0).collect();
    let (Some(first), Some(last)) = (axis.first(), axis.last()) else { return Vec::new() };
    let (Some(low), Some(high)) = (halves.first(), halves.last()) else {
        return vec![first - 0.5, first + 0.5];
    };
    let (before, after) = (2.0 * first - low, 2.0 * last - high);
    [before].into_iter().chain(halves.iter().copied()).chain([after]).collect()
}

fn on_page(found: Vec<Ring>, panel: &Panel) -> String {
    rings(found.into_iter().map(|r| r.into_iter().map(|(x, y)| panel.at(x, y)).collect()))
}

/// The bands between the levels, each painted over the one below.
pub(super) fn bands(page: &mut Svg, chart: &Chart, panel: &Panel) {
    let Some(scale) = chart.scale else { return };
    let inside = |l: &&f64| **l > scale.low && **l < scale.high;
    let levels: Vec<f64> = chart.levels.iter().filter(inside).copied().collect();
    page.open_named("bands", "");
    for (band, from) in [f64::NEG_INFINITY].iter().chain(&levels).enumerate() {
        let color = hex(band_color(&levels, band, scale));
        page.path(&on_page(above(chart.grid(), *from), panel), &format!("fill=\"{color}\""));
    }
    page.close();
}

/// Hatches where nothing is known.
pub(super) fn holes(page: &mut Svg, chart: &Chart, panel: &Panel) {
    let d =
        if chart.scale.is_none() { panel.outline() } else { on_page(unknown(chart.grid()), panel) };
    let (name, hatch, clipped) = (page.name("unknown"), page.name("hatch"), page.clipped());
    page.path(&d, &format!("id=\"{name}\" fill=\"url(#{hatch})\" {clipped}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_a_cell() {
        assert_eq!(borders(&[0.0, 1.0, 3.0]), [-0.5, 0.5, 2.0, 4.0]);
        assert_eq!(borders(&[0.0, 1.0]), [-0.5, 0.5, 1.5]);
        assert_eq!(borders(&[2.0]), [1.5, 2.5]);
        assert!(borders(&[]).is_empty());
    }
}
