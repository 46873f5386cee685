//! Axes, frames and colour bars.

use super::font;
use super::layout::fitted;
use super::svg::{Spot, Svg, Words, hex, number, polyline};
use crate::geometry::color::{Rgb, VIRIDIS, contrast, ramp};
use crate::geometry::scale::Scale;
use crate::geometry::ticks;
use crate::telemetry::chart::{Chart, View};

pub(super) const INK: &str = "#222";
pub(super) const TICK: f64 = 10.5;
const LABEL: f64 = 12.0;
const TICK_LENGTH: f64 = 4.0;
const BAR_WIDTH: f64 = 14.0;
/// Units of the page between two labels on an upright axis.
const LABEL_EVERY: f64 = 34.0;

/// A rectangle of the page on which places of the surface lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel {
    /// Its left edge.
    pub left: f64,
    /// Its upper edge.
    pub top: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
    /// First and last x.
    pub x: (f64, f64),
    /// First and last y.
    pub y: (f64, f64),
}

impl Panel {
    /// Where a place of the surface lies on the page.
    pub fn at(&self, x: f64, y: f64) -> Spot {
        let share = |v: f64, (a, b): (f64, f64)| (v - a) / (b - a);
        (
            self.left + share(x, self.x) * self.width,
            self.top + (1.0 - share(y, self.y)) * self.height,
        )
    }

    /// Whether a spot of the page lies on it, `by` units or more from its edges.
    pub fn holds(&self, (x, y): Spot, by: f64) -> bool {
        x >= self.left + by
            && x <= self.left + self.width - by
            && y >= self.top + by
            && y <= self.top + self.height - by
    }

    /// Its outline.
    pub fn outline(&self) -> String {
        let Self { left, top, width, height, .. } = *self;
        let (right, bottom) = (left + width, top + height);
        polyline(&[(left, top), (right, top), (right, bottom), (left, bottom)]) + "Z"
    }
}

/// Defines `clip-path="url(#field)"`: nothing beyond the panel; and `fill="url(#hatch)"` for what is not known.
pub(super) fn clip(page: &mut Svg, panel: &Panel) {
    let (field, hatch) = (page.name("field"), page.name("hatch"));
    page.raw(&format!(
        "<defs><clipPath id=\"{field}\"><path d=\"{}\"/></clipPath>\
         <pattern id=\"{hatch}\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
         <rect width=\"6\" height=\"6\" fill=\"#f2f2f2\"/><rect width=\"1.2\" height=\"6\" fill=\"#b5b5b5\"/></pattern></defs>",
        panel.outline()
    ));
}

/// The values of one axis with their labels.
pub(super) fn labelled(values: Vec<f64>) -> impl Iterator<Item = (f64, String)> {
    let labels = ticks::labels(&values);
    values.into_iter().zip(labels.into_iter().map(|l| l.replace('-', "−")))
}

/// Frame, ticks and titles of both axes.
pub(super) fn frame(page: &mut Svg, panel: &Panel, x_label: &str, y_label: &str) {
    page.open_named("axes", "");
    x_axis(page, panel, x_label);
    let wanted = (panel.height / LABEL_EVERY).clamp(2.0, 9.0) as usize;
    for (value, label) in labelled(ticks::even(panel.y.0, panel.y.1, wanted)) {
        let (_, y) = panel.at(panel.x.0, value);
        tick(page, (panel.left, y), (-TICK_LENGTH, 0.0));
        let style = Words { size: TICK, anchor: "end", color: INK, ..Words::default() };
        page.words((panel.left - 7.0, y + TICK * 0.36), &label, style);
    }
    upright(page, (panel.left - 42.0, panel), y_label, INK);
    page.path(&panel.outline(), "fill=\"none\" stroke=\"#222\" stroke-width=\"1\"");
    page.close();
}

/// Ticks and title below.
pub(super) fn x_axis(page: &mut Svg, panel: &Panel, label: &str) {
    let bottom = panel.top + panel.height;
    let wanted = (panel.width / (1.6 * LABEL_EVERY)).clamp(2.0, 9.0) as usize;
    for (value, text) in labelled(ticks::even(panel.x.0, panel.x.1, wanted)) {
        let (x, _) = panel.at(value, panel.y.0);
        tick(page, (x, bottom), (0.0, TICK_LENGTH));
        let style = Words { size: TICK, anchor: "middle", color: INK, ..Words::default() };
        page.words((x, bottom + 17.0), &text, style);
    }
    let size = fitted(label, LABEL, panel.width + 60.0, false);
    let style = Words { size, anchor: "middle", color: INK, ..Words::default() };
    page.words((panel.left + panel.width / 2.0, bottom + 36.0), label, style);
}

pub(super) fn tick(page: &mut Svg, from: Spot, (dx, dy): (f64, f64)) {
    page.line(from, (from.0 + dx, from.1 + dy), "stroke=\"#222\" stroke-width=\"1\"");
}

/// A title beside an upright axis, read from below.
pub(super) fn upright(page: &mut Svg, (x, panel): (f64, &Panel), label: &str, color: &str) {
    let size = fitted(label, LABEL, panel.height + 16.0, false);
    let style = Words { size, anchor: "middle", color, turned: -90.0, ..Words::default() };
    page.words((x, panel.top + panel.height / 2.0), label, style);
}

/// The colour bar: where colours change evenly or, of a filled contour, from band to band; levels are marked on it.
pub(super) fn color_bar(
    page: &mut Svg,
    chart: &Chart,
    view: View,
    left: f64,
    (top, height): (f64, f64),
) {
    let Some(scale) = chart.scale else { return };
    let y_of = |place: f64| top + (1.0 - place) * height;
    page.open("id=\"colorbar\"");
    let area = |low: f64, high: f64| {
        let (upper, lower) = (y_of(high), y_of(low));
        polyline(&[
            (left, upper),
            (left + BAR_WIDTH, upper),
            (left + BAR_WIDTH, lower),
            (left, lower),
        ]) + "Z"
    };
    let inside = |l: &&f64| **l > scale.low && **l < scale.high;
    let levels: Vec<f64> = chart.levels.iter().filter(inside).copied().collect();
    // A scale without length is of one colour.
    if view == View::Filled || !scale.has_length() {
        let mut from = 0.0;
        for (band, to) in levels.iter().map(|l| scale.place(*l)).chain([1.0]).enumerate() {
            let color = hex(band_color(&levels, band, scale));
            page.path(&area(from, to), &format!("fill=\"{color}\" shape-rendering=\"crispEdges\""));
            from = to;
        }
    } else {
        let stops = VIRIDIS.iter().enumerate().map(|(i, color)| {
            let at = number(i as f64 / (VIRIDIS.len() - 1) as f64);
            format!("<stop offset=\"{at}\" stop-color=\"{}\"/>", hex(*color))
        });
        let stops: String = stops.collect();
        page.raw(&format!(
            "<defs><linearGradient id=\"scale\" x1=\"0\" y1=\"1\" x2=\"0\" y2=\"0\">{stops}</linearGradient></defs>"
        ));
        page.path(&area(0.0, 1.0), "fill=\"url(#scale)\"");
    }
    let with_levels = matches!(view, View::Contour | View::Filled | View::ThreeD);
    for l in levels.iter().filter(|_| with_levels) {
        let place = scale.place(*l);
        let color = hex(contrast(ramp(&VIRIDIS, place)));
        let (from, to) = ((left, y_of(place)), (left + BAR_WIDTH, y_of(place)));
        page.line(from, to, &format!("stroke=\"{color}\" stroke-width=\"0.8\""));
    }
    page.path(&area(0.0, 1.0), "fill=\"none\" stroke=\"#222\" stroke-width=\"0.8\"");
    let (mut free_below, mut widest) = (f64::INFINITY, 0.0f64);
    let wanted = (height / LABEL_EVERY).clamp(2.0, 12.0) as usize;
    for (value, text) in labelled(scale.ticks(wanted)) {
        let y = y_of(scale.place(value));
        // Ticks rise; two on one spot are those of a scale without length.
        if y > free_below {
            continue;
        }
        free_below = y - TICK;
        tick(page, (left + BAR_WIDTH, y), (TICK_LENGTH, 0.0));
        let style = Words { size: TICK, color: INK, ..Words::default() };
        widest = widest.max(font::width(&text, TICK, false));
        page.words((left + BAR_WIDTH + 7.0, y + TICK * 0.36), &text, style);
    }
    let label = match scale.log {
        true => format!("{}, on a scale of ln(z + 0.1)", chart.quantity.label()),
        false => chart.quantity.label(),
    };
    let size = fitted(&label, LABEL, height, false);
    let style = Words { size, anchor: "middle", color: INK, turned: -90.0, ..Words::default() };
    page.words((left + BAR_WIDTH + widest + 24.0, top + height / 2.0), &label, style);
    page.close();
}

/// The colour of the band above level `band - 1` and below level `band`: that of the middle of its places.
pub(super) fn band_color(levels: &[f64], band: usize, scale: Scale) -> Rgb {
    if !scale.has_length() {
        return ramp(&VIRIDIS, 0.0);
    }
    let low = band.checked_sub(1).and_then(|b| levels.get(b)).map_or(0.0, |l| scale.place(*l));
    let high = levels.get(band).map_or(1.0, |l| scale.place(*l));
    ramp(&VIRIDIS, (low + high) / 2.0)
}
