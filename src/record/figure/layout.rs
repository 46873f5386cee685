//! The page: title above, field with its axes and colour bar, caption below.

use super::axes::{self, Panel};
use super::svg::{Svg, Words};
use super::{Size, angle, contour, field, font, path, profile, three_d};
use crate::telemetry::chart::{Chart, View};

/// The page's area in its own units: sizes of letters are of a page of 700 by 700.
const AREA: f64 = 700.0 * 700.0;
pub(super) const MARGIN: f64 = 18.0;
pub(super) const TITLE: f64 = 17.0;
pub(super) const SUBTITLE: f64 = 11.0;
/// From the page's upper edge to the field.
pub(super) const HEAD: f64 = 66.0;
pub(super) const CAPTION: f64 = 10.5;
pub(super) const CAPTION_LINE: f64 = 14.5;
/// For ticks and titles of the axes, left and below.
pub(super) const AXES: (f64, f64) = (52.0, 50.0);
/// For the colour bar on the right.
pub(super) const BAR: f64 = 88.0;
/// For a second axis on the right.
const SECOND_AXIS: f64 = 52.0;
/// The least that is left for the field of a small page.
const LEAST: f64 = 40.0;
/// How much longer one axis of a map may be than the other before the scales go apart.
const UNEVEN: f64 = 4.0;

/// The whole figure as SVG.
pub fn draw(chart: &Chart, view: View, size: Size) -> String {
    let (wide, high) = (f64::from(size.width), f64::from(size.height));
    let unit = (wide * high / AREA).sqrt();
    let (width, height) = (wide / unit, high / unit);
    let room = width - 2.0 * MARGIN;
    let mut page = Svg::new(width, height, (size.width, size.height), &chart.title);
    let mut head = |text: &str, y: f64, size: f64, bold: bool, color: &str| {
        let size = fitted(text, size, room, bold);
        page.words((MARGIN, y), text, Words { size, bold, color, ..Words::default() });
    };
    head(&chart.title, 30.0, TITLE, true, "#111");
    head(&chart.subtitle, 48.0, SUBTITLE, false, "#555");
    let lines = font::wrap(&chart.caption.join(" "), CAPTION, room);
    let foot = height - MARGIN - lines.len() as f64 * CAPTION_LINE;
    page.open("id=\"caption\"");
    for (i, line) in lines.iter().enumerate() {
        let y = foot + (i as f64 + 1.0) * CAPTION_LINE - 2.0;
        let style = Words { size: CAPTION, color: "#333", ..Words::default() };
        page.words((MARGIN, y), line, style);
    }
    page.close();
    let right = if view == View::Profile { SECOND_AXIS } else { BAR };
    // A relief has its axes within its space.
    let axes = if view == View::ThreeD { (0.0, 0.0) } else { AXES };
    let key = key_height(chart);
    let space = Space {
        left: MARGIN + axes.0,
        top: HEAD,
        width: (room - axes.0 - right).max(LEAST),
        height: (foot - HEAD - axes.1 - key).max(LEAST),
    };
    match view {
        View::Profile => profile::draw(&mut page, chart, space),
        View::ThreeD => three_d::draw(&mut page, chart, space),
        _ => {
            let panel = map(&mut page, chart, view, space);
            let left = panel.left + panel.width + 18.0;
            axes::color_bar(&mut page, chart, view, left, (panel.top, panel.height));
        }
    }
    if key > 0.0 {
        angle::key(&mut page, (MARGIN, room), foot - key / 2.0 + 2.0);
    }
    page.finish()
}

/// What the key to the path's colours takes; nothing where it has none.
fn key_height(chart: &Chart) -> f64 {
    let has = chart.path.as_ref().is_some_and(|p| p.has_angles());
    if has { angle::KEY } else { 0.0 }
}

/// Width over height of a map's field: the map's own, or 1 where its axes are too uneven for one scale.
pub(super) fn aspect(chart: &Chart) -> f64 {
    let (x0, x1, y0, y1) = chart.extent();
    let aspect = (x1 - x0) / (y1 - y0);
    if (1.0 / UNEVEN..=UNEVEN).contains(&aspect) { aspect } else { 1.0 }
}

/// The size, in pixels, that suits a chart: two to a unit, and of a map no wider or higher than it needs.
pub fn suited(chart: &Chart, view: View) -> Size {
    let aspect = match view {
        View::Profile => return Size { width: 1600, height: 1120 },
        View::ThreeD => return Size { width: 1600, height: 1300 },
        _ => aspect(chart),
    };
    let round = (
        2.0 * MARGIN + AXES.0 + BAR,
        HEAD + AXES.1 + MARGIN + 3.0 * CAPTION_LINE + key_height(chart),
    );
    // The width at which (width - round.0) / (height - round.1) is the aspect and width * height the area:
    // width * (round.1 + (width - round.0) / aspect) = AREA, a quadratic equation.
    let b = aspect * round.1 - round.0;
    let width = (-b + (b * b + 4.0 * aspect * AREA).sqrt()) / 2.0;
    let pixels = |units: f64| (2.0 * units).round() as u32;
    Size { width: pixels(width), height: pixels(AREA / width) }
}

/// The largest size up to `most` at which a text is no wider than `room`.
pub(super) fn fitted(text: &str, most: f64, room: f64, bold: bool) -> f64 {
    let wide = font::width(text, most, bold);
    if wide > room { (most * room / wide).max(most / 2.0) } else { most }
}

/// A part of the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    /// Its left edge.
    pub left: f64,
    /// Its upper edge.
    pub top: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
}

/// Contour, filled contour and heat map, with axes and path: the rectangle that it takes.
pub(super) fn map(page: &mut Svg, chart: &Chart, view: View, space: Space) -> Panel {
    // A row or a point has no isolines: it is drawn as cells.
    let too_small = chart.xs.len() < 2 || chart.ys.len() < 2;
    let view = if too_small { View::Heat } else { view };
    let (mut x0, mut x1, mut y0, mut y1) = chart.extent();
    if view == View::Heat {
        // Each point has a cell round it, so the outermost ones reach beyond the grid.
        let half = |axis: &[f64], a: usize, b: usize| match (axis.get(a), axis.get(b)) {
            (Some(a), Some(b)) => (b - a).abs() / 2.0,
            _ => 0.0,
        };
        let (nx, ny) = (chart.xs.len(), chart.ys.len());
        (x0, x1) = (x0 - half(&chart.xs, 0, 1), x1 + half(&chart.xs, nx.wrapping_sub(2), nx - 1));
        (y0, y1) = (y0 - half(&chart.ys, 0, 1), y1 + half(&chart.ys, ny.wrapping_sub(2), ny - 1));
    }
    let (mut width, mut height) = (space.width, space.height);
    let aspect = (x1 - x0) / (y1 - y0);
    if (1.0 / UNEVEN..=UNEVEN).contains(&aspect) {
        width = width.min(height * aspect);
        height = width / aspect;
    }
    let left = space.left + (space.width - width) / 2.0;
    let panel = Panel { left, top: space.top, width, height, x: (x0, x1), y: (y0, y1) };
    axes::clip(page, &panel);
    match view {
        View::Heat => field::heat(page, chart, &panel),
        View::Filled => {
            field::bands(page, chart, &panel);
            contour::draw(page, chart, &panel, true);
        }
        _ => contour::draw(page, chart, &panel, false),
    }
    field::holes(page, chart, &panel);
    axes::frame(page, &panel, &chart.x_label, &chart.y_label);
    path::center(page, &panel);
    if let Some(known) = &chart.path {
        path::draw(page, known, &panel);
    }
    panel
}
