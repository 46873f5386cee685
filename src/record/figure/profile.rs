//! The loss along a line, and the accuracy beside it, as the reference code's plot_1D draws them.

use super::axes::{INK, Panel, TICK, labelled, tick, upright, x_axis};
use super::layout::Space;
use super::svg::{Spot, Svg, Words, polyline};
use crate::geometry::scale::Scale;
use crate::telemetry::chart::{Chart, Second};

const FIRST: &str = "#1f5fa8";
const SECOND: &str = "#c1440e";
/// Share of the height that stays free above and below a curve.
const FREE: f64 = 0.05;
/// Curves of more points have no marks on them.
const MOST_MARKS: usize = 120;
/// Least and largest accuracy drawn, %.
const PER_CENT: Scale = Scale { low: 0.0, high: 100.0, log: false };
const MARK: f64 = 10.5;

/// Draws both curves with their axes.
pub(super) fn draw(page: &mut Svg, chart: &Chart, space: Space) {
    let (x0, x1, ..) = chart.extent();
    let Space { left, top, width, height } = space;
    let panel = Panel { left, top, width, height, x: (x0, x1), y: (0.0, 1.0) };
    super::axes::clip(page, &panel);
    if chart.scale.is_none() {
        page.path(&panel.outline(), "id=\"unknown\" fill=\"url(#hatch)\"");
    }
    marks(page, chart, &panel);
    if let Some(Second { quantity, values }) = &chart.second {
        curve(page, chart, values, PER_CENT, &panel, ("second", SECOND));
        y_axis(page, &panel, PER_CENT, &quantity.label(), false);
    }
    if let Some(scale) = chart.height {
        curve(page, chart, &chart.values, scale, &panel, ("first", FIRST));
        let log = if scale.log { ", on a scale of ln(z + 0.1)" } else { "" };
        y_axis(page, &panel, scale, &(chart.quantity.label() + log), true);
    }
    page.open("id=\"axes\"");
    x_axis(page, &panel, &chart.x_label);
    page.path(&panel.outline(), "fill=\"none\" stroke=\"#222\" stroke-width=\"1\"");
    page.close();
}

fn height_of(scale: Scale, value: f64) -> f64 {
    FREE + (1.0 - 2.0 * FREE) * if scale.has_length() { scale.place(value) } else { 0.5 }
}

fn curve(
    page: &mut Svg,
    chart: &Chart,
    values: &[f64],
    scale: Scale,
    panel: &Panel,
    (id, color): (&str, &str),
) {
    let spots: Vec<(usize, Spot)> = chart
        .xs
        .iter()
        .zip(values)
        .enumerate()
        .filter(|(_, (_, v))| v.is_finite())
        .map(|(i, (x, v))| (i, panel.at(*x, height_of(scale, *v))))
        .collect();
    page.open(&format!("id=\"{id}\""));
    // Points that follow each other are joined; what is unknown leaves a gap.
    let mut d = String::new();
    for run in spots.chunk_by(|a, b| a.0 + 1 == b.0) {
        d += &polyline(&run.iter().map(|(_, s)| *s).collect::<Vec<_>>());
    }
    page.path(
        &d,
        &format!("fill=\"none\" stroke=\"{color}\" stroke-width=\"1.8\" stroke-linejoin=\"round\""),
    );
    if spots.len() <= MOST_MARKS {
        for (index, spot) in spots {
            let is_computed = chart.computed.as_ref().is_none_or(|c| c.get(index) == Some(&true));
            let fill = if is_computed { color } else { "#fff" };
            page.circle(
                spot,
                2.3,
                &format!("fill=\"{fill}\" stroke=\"{color}\" stroke-width=\"1\""),
            );
        }
    }
    page.close();
}

fn y_axis(page: &mut Svg, panel: &Panel, scale: Scale, label: &str, is_left: bool) {
    let (x, out, anchor, color) = match is_left {
        true => (panel.left, -1.0, "end", FIRST),
        false => (panel.left + panel.width, 1.0, "start", SECOND),
    };
    page.open(if is_left { "id=\"left\"" } else { "id=\"right\"" });
    for (value, text) in labelled(scale.ticks((panel.height / 40.0).clamp(2.0, 9.0) as usize)) {
        let (_, y) = panel.at(panel.x.0, height_of(scale, value));
        tick(page, (x, y), (out * 4.0, 0.0));
        let style = Words { size: TICK, anchor, color, ..Words::default() };
        page.words((x + out * 7.0, y + TICK * 0.36), &text, style);
    }
    upright(page, (x + out * 46.0, panel), label, color);
    page.close();
}

/// Upright marks: the weights, or both ends of an interpolation.
fn marks(page: &mut Svg, chart: &Chart, panel: &Panel) {
    page.open("id=\"marks\"");
    for (x, word) in chart.marks.iter().filter(|(x, _)| *x >= panel.x.0 && *x <= panel.x.1) {
        let (at, bottom) = panel.at(*x, 0.0);
        page.line((at, panel.top), (at, bottom), "stroke=\"#777\" stroke-dasharray=\"4 3\"");
        // Towards the middle, so that it stays on the panel.
        let is_left = at < panel.left + panel.width / 2.0;
        let (dx, anchor) = if is_left { (5.0, "start") } else { (-5.0, "end") };
        let style = Words { size: MARK, anchor, color: INK, ..Words::default() };
        page.words((at + dx, panel.top + 14.0), word, style);
    }
    page.close();
}
