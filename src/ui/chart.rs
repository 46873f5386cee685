//! A chart in the terminal: title, picture, axes, colour bar, and the caption beside or below.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::field::{Field, Fill, color_bar, dots};
use super::paint::{columns, text};
use super::plot::{self, Dots, Line};
use super::theme::Theme;
use super::track::Track;
use super::{marks, path, print, relief};
use crate::geometry::ticks;
use crate::telemetry::chart::{Chart, Second, View};

/// The least that holds a picture, and the most that is drawn.
const LEAST: (u16, u16) = (20, 8);
const MOST: (u16, u16) = (600, 300);
/// Columns beside a picture from which on the caption stands there.
const WIDE_FOR_CAPTION: u16 = 26;
/// Rows from which on there is a line for the subtitle.
const HIGH_FOR_SUBTITLE: u16 = 14;
/// Rows of a map from which on there is a line for the key to a path's colours.
const HIGH_FOR_KEY: u16 = 10;
/// Of so many rows, one may be the caption's where it stands below.
const CAPTION_SHARE: u16 = 3;
/// Columns of the labels on the right axis of a profile: "100%".
const RIGHT_AXIS: u16 = 5;
/// Width of a relief over its height, in the same units: what the box is seen as.
const RELIEF: f64 = 1.25;
/// Colours of a profile's two curves, among those of arms, and of the path.
const CURVES: (usize, usize) = (0, 1);

/// The chart as lines of text.
pub fn drawn(chart: &Chart, view: View, (columns, rows): (u16, u16), theme: Theme) -> String {
    let width = columns.clamp(LEAST.0, MOST.0);
    let height = rows.clamp(LEAST.1, MOST.1);
    let mut buf = Buffer::empty(Rect::new(0, 0, width, height));
    render(chart, view, buf.area, &mut buf, theme);
    if theme.ascii {
        buf.content.iter_mut().for_each(|cell| {
            let symbol = ascii(cell.symbol());
            cell.set_symbol(&symbol);
        });
    }
    print::lines(&buf, theme.has_colors())
}

/// A character in ASCII, one for one.
fn ascii(symbol: &str) -> String {
    let near = |c: char| match c {
        c if c.is_ascii() => c,
        '×' => 'x',
        '−' | '–' => '-',
        'λ' => 'l',
        '…' => '.',
        _ => '?',
    };
    symbol.chars().map(near).collect()
}

/// Draws the chart.
pub fn render(chart: &Chart, view: View, area: Rect, buf: &mut Buffer, theme: Theme) {
    let mut top = area.y + 1;
    let (subtitle, rest) = fitting(&chart.subtitle, area.width);
    let used = text(buf, area.x, area.y, area.width, &chart.title, theme.strong());
    if area.height >= HIGH_FOR_SUBTITLE {
        text(buf, area.x, top, area.width, subtitle, theme.dim());
        top += 1;
    } else if used + 2 < area.width {
        text(buf, area.x + used + 2, area.y, area.width - used - 2, &chart.subtitle, theme.dim());
    }
    let body = Rect { y: top, height: area.bottom().saturating_sub(top), ..area };
    let aspect = match view {
        View::Profile => f64::INFINITY,
        View::ThreeD => RELIEF,
        _ => aspect(chart),
    };
    let gutter = gutter(chart, view);
    let mut told = statements(chart, view);
    if let (Some(rest), true) = (rest, area.height >= HIGH_FOR_SUBTITLE) {
        told.insert(0, format!("{rest}."));
    }
    // Characters are twice as high as wide.
    let wanted = (f64::from(body.height.saturating_sub(2)) * 2.0 * aspect).min(1e4) as u16 + gutter;
    let beside = body.width.saturating_sub(wanted + 3);
    let picture = if beside >= WIDE_FOR_CAPTION {
        let x = body.x + wanted + 3;
        caption(&told, Rect { x, width: body.right() - x, ..body }, buf, theme);
        Rect { width: wanted, ..body }
    } else {
        let lines = wrapped(&told, body.width).len();
        let most = usize::from(body.height / CAPTION_SHARE).max(1);
        let below = u16::try_from(lines.min(most)).unwrap_or(1);
        let picture = Rect { height: body.height - below, ..body };
        let place = Rect { y: picture.bottom(), height: below, ..body };
        caption(&told, place, buf, theme);
        picture
    };
    match view {
        View::Profile => profile(chart, picture, buf, theme),
        _ => map(chart, view, picture, gutter, aspect, buf, theme),
    }
}

/// As many of the parts between commas as a width has room for, and the rest.
fn fitting(parts: &str, width: u16) -> (&str, Option<&str>) {
    if columns(parts) <= width {
        return (parts, None);
    }
    let cuts = parts.match_indices(", ").map(|(at, _)| at);
    match cuts.filter(|at| columns(&parts[..*at]) <= width).last() {
        Some(at) => (&parts[..at], Some(&parts[at + 2..])),
        None => (parts, None),
    }
}

/// The width of a map's area over its height, both in the map's units; 1 where one is much longer.
fn aspect(chart: &Chart) -> f64 {
    let (x0, x1, y0, y1) = chart.extent();
    let aspect = (x1 - x0) / (y1 - y0);
    if (0.25..=4.0).contains(&aspect) { aspect } else { 1.0 }
}

fn y_ticks(chart: &Chart, rows: u16) -> Vec<(f64, String)> {
    let (_, _, y0, y1) = chart.extent();
    let wanted = usize::from((rows / 4).clamp(2, 8));
    labelled(y0, y1, wanted)
}

fn labelled(low: f64, high: f64, wanted: usize) -> Vec<(f64, String)> {
    let values = ticks::even(low, high, wanted);
    let labels = ticks::labels(&values);
    values.into_iter().zip(labels).collect()
}

/// Columns left of a map for the labels of its rows.
fn gutter(chart: &Chart, view: View) -> u16 {
    if matches!(view, View::Profile | View::ThreeD) {
        return 0;
    }
    y_ticks(chart, 40).iter().map(|(_, l)| columns(l)).max().unwrap_or(0) + 1
}

/// Statements in lines of a width, each beginning a new one.
fn wrapped(statements: &[String], width: u16) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for statement in statements {
        let mut line = String::new();
        for word in statement.split(' ').filter(|w| !w.is_empty()) {
            if !line.is_empty() && columns(&line) + 1 + columns(word) > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if !line.is_empty() {
            lines.push(line);
        }
    }
    lines
}

/// The caption's statements; after them what the axes of a map are, for which there is no room beside them.
fn statements(chart: &Chart, view: View) -> Vec<String> {
    let axes = [format!("x: {}.", chart.x_label), format!("y: {}.", chart.y_label)];
    let axes = axes.into_iter().filter(|_| view != View::Profile);
    chart.caption.iter().cloned().chain(axes).collect()
}

fn caption(statements: &[String], area: Rect, buf: &mut Buffer, theme: Theme) {
    // One paragraph where rows are few, a statement to a line where they are not.
    let apart = wrapped(statements, area.width);
    let lines = match apart.len() > usize::from(area.height) {
        true => wrapped(&[statements.join(" ")], area.width),
        false => apart,
    };
    for (row, line) in (area.y..area.bottom()).zip(&lines) {
        text(buf, area.x, row, area.width, line, theme.text());
    }
    if lines.len() > usize::from(area.height) && area.height > 0 && area.width > 3 {
        text(buf, area.right() - 3, area.bottom() - 1, 3, "...", theme.text());
    }
}

/// Contour, filled contour, heat map, relief; under it the axes' names and the colour bar.
fn map(
    chart: &Chart,
    view: View,
    area: Rect,
    gutter: u16,
    aspect: f64,
    buf: &mut Buffer,
    theme: Theme,
) {
    let with_axis = area.height >= 8 && view != View::ThreeD;
    let with_bar = area.height >= 5;
    let has_angles = chart.path.as_ref().is_some_and(|p| p.has_angles());
    let with_key = area.height >= HIGH_FOR_KEY && has_angles && chart.scale.is_some();
    let below = u16::from(with_axis) + u16::from(with_bar) + u16::from(with_key);
    let height = area.height - below;
    let room = area.width.saturating_sub(gutter);
    let width = ((f64::from(height) * 2.0 * aspect).min(1e4) as u16).clamp(1, room.max(1));
    // Where the width is the narrower, rows are given up to keep the shape.
    let height = height.min(((f64::from(width) / 2.0 / aspect).ceil() as u16).max(3));
    let field = Rect { x: area.x + gutter, y: area.y, width, height };
    if chart.scale.is_none() {
        text(
            buf,
            field.x,
            field.y,
            area.width,
            "no value of this surface is known",
            theme.warning(),
        );
    } else if view == View::ThreeD {
        relief::render(chart, field, buf, theme);
    } else {
        draw_field(chart, view, field, buf, theme);
    }
    let mut line = Rect { y: field.bottom(), height: 1, ..area };
    if with_axis {
        axes(chart, field, buf, theme);
        line.y += 1;
    }
    if let Some(scale) = chart.scale.filter(|_| with_bar) {
        let bar = Rect { x: field.x, width: line.right() - field.x, ..line };
        let unit = if chart.quantity.unit.is_empty() { "" } else { chart.quantity.unit };
        color_bar(scale, unit, false, bar, buf, theme);
        line.y += 1;
    }
    if with_key {
        path::key(Rect { x: field.x, width: line.right() - field.x, ..line }, buf, theme);
    }
}

fn draw_field(chart: &Chart, view: View, area: Rect, buf: &mut Buffer, theme: Theme) {
    let too_small = chart.xs.len() < 2 || chart.ys.len() < 2;
    let fill = match view {
        View::Heat => Fill::Cells,
        _ if too_small => Fill::Cells,
        View::Filled => Fill::Bands,
        _ => Fill::Empty,
    };
    let field = Field {
        grid: chart.grid(),
        scale: chart.scale,
        isolines: &chart.isolines,
        levels: &chart.levels,
        fill,
        faint: false,
    };
    field.draw(area, buf, theme);
    let Some(to_dots) = dots(chart.grid(), area) else { return };
    let track = chart.path.as_ref().map(|known| path::track(known, &to_dots, area, theme));
    if fill != Fill::Cells {
        let taken = track.as_ref().map(Track::taken).unwrap_or_default();
        field.draw_isolines(area, &taken, buf, theme);
    }
    let under = |across: f64, down: f64| field.on_field(field.at(across, down), theme);
    if let Some(track) = track {
        let at = |i: u16, n: u16| (f64::from(i) + 0.5) / f64::from(n);
        let under = |column, row| under(at(column, area.width), at(row, area.height));
        track.draw(under, buf);
    }
    marks::center(to_dots((0.0, 0.0)), &under, area, buf, theme);
}

/// Labels left of a field and below it, and what its axes are.
fn axes(chart: &Chart, field: Rect, buf: &mut Buffer, theme: Theme) {
    let (x0, x1, y0, y1) = chart.extent();
    let mut last = None;
    for (value, label) in y_ticks(chart, field.height) {
        let down = (y1 - value) / (y1 - y0) * f64::from(field.height.saturating_sub(1));
        let y = field.y + down.round() as u16;
        if y >= field.y && y < field.bottom() && last != Some(y) {
            let wide = columns(&label);
            if let Some(x) = field.x.checked_sub(wide + 1) {
                text(buf, x, y, wide, &label, theme.dim());
                last = Some(y);
            }
        }
    }
    let y = field.bottom();
    let mut free = field.x.saturating_sub(1);
    let wanted = usize::from((field.width / 10).clamp(2, 8));
    for (value, label) in labelled(x0, x1, wanted) {
        let wide = columns(&label);
        let across = (value - x0) / (x1 - x0) * f64::from(field.width.saturating_sub(1));
        let x = (field.x + across.round() as u16).saturating_sub(wide / 2);
        if x >= free && x + wide <= buf.area.right() {
            text(buf, x, y, wide, &label, theme.dim());
            free = x + wide + 1;
        }
    }
}

/// Loss and accuracy along x.
fn profile(chart: &Chart, area: Rect, buf: &mut Buffer, theme: Theme) {
    let Some(height) = chart.height else {
        text(buf, area.x, area.y, area.width, "no value of this profile is known", theme.warning());
        return;
    };
    let mut scale = height;
    if !scale.has_length() {
        (scale.low, scale.high) = (height.low - 0.5, height.high + 0.5);
    }
    let line = |values: Vec<f64>, index: usize| Line {
        points: chart.xs.iter().copied().zip(values).collect(),
        style: theme.arm(index),
        letter: theme.letter(index),
        dashed: false,
    };
    let mut lines = vec![line(chart.values.clone(), CURVES.0)];
    // The second curve is drawn on the first one's scale, where its share of 100 % lies.
    if let Some(Second { values, .. }) = &chart.second {
        lines.push(line(values.iter().map(|v| scale.value(v / 100.0)).collect(), CURVES.1));
    }
    let (x0, x1, ..) = chart.extent();
    let plot = plot::Plot {
        lines,
        dots: Vec::<Dots>::new(),
        marks: chart.marks.clone(),
        x: (x0, x1),
        y: Some((scale.low, scale.high)),
        scale: if height.log { plot::Scale::Shifted } else { plot::Scale::Linear },
        ticks: Vec::new(),
        x_name: chart.x_label.clone(),
    };
    legend(chart, area, buf, theme);
    let right = if chart.second.is_some() { RIGHT_AXIS } else { 0 };
    let body = Rect {
        y: area.y + 1,
        height: area.height.saturating_sub(1),
        width: area.width.saturating_sub(right),
        ..area
    };
    plot.render(body, buf, theme);
    let rows = if body.height >= 4 { body.height - 1 } else { body.height };
    if right > 0 && rows > 2 {
        let style = theme.arm(CURVES.1);
        for (share, label) in [(1.0, "100%"), (0.5, "50%"), (0.0, "0%")] {
            let y = body.y + ((1.0 - share) * f64::from(rows - 1)).round() as u16;
            text(buf, body.right() + 1, y, RIGHT_AXIS - 1, label, style);
        }
    }
}

/// Which curve is which.
fn legend(chart: &Chart, area: Rect, buf: &mut Buffer, theme: Theme) {
    let mut x = area.x;
    let log = if chart.height.is_some_and(|h| h.log) { " on a scale of ln(z + 0.1)" } else { "" };
    let names = [
        Some((chart.quantity.label() + log, CURVES.0)),
        chart.second.as_ref().map(|s| (s.quantity.label(), CURVES.1)),
    ];
    for (name, index) in names.into_iter().flatten() {
        let told = format!("{} {name}  ", theme.badge(index));
        let style: Style = theme.arm(index);
        x += text(buf, x, area.y, area.right().saturating_sub(x), &told, style);
    }
}

#[cfg(test)]
mod tests;
