//! Maps of the loss around the weights of each arm: colour field, labelled isolines, centre, age; one scale for all.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::{arm_piece, framed, grid};
use crate::telemetry::snapshot::{LossMap, MapsView, Phase, Snapshot};
use crate::ui::braille::Raster;
use crate::ui::format;
use crate::ui::paint::{Piece, columns, pieces, put, text};
use crate::ui::theme::{Theme, contrast};
use crate::ui::view::{PanelId, ViewState};

/// From low to high, where there are no colours.
const DENSITY: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];
/// Added to the loss before the logarithm, as the reference code does.
const LOG_SHIFT: f64 = 0.1;
/// Columns of a map from which on its isolines are labelled.
const WIDE_FOR_LABELS: u16 = 16;
/// Rows of a field for every isoline drawn on it: a level is crossed at least twice from bottom to top.
const ROWS_PER_LEVEL: u16 = 2;

/// Draws the panel.
pub fn render(snapshot: &Snapshot, view: &ViewState, area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let mut title: Vec<Piece> = vec![(" loss surface".to_owned(), theme.strong())];
    let points = |m: &LossMap| (m.xs.len(), m.ys.len(), m.images);
    if let Some((nx, ny, images)) = snapshot.maps.arms.values().flatten().map(points).next() {
        title.push((format!(" {nx}x{ny}, {images} images"), theme.dim()));
    }
    if let Some(job) = &snapshot.maps.job {
        let share = job.done as f64 / job.total.max(1) as f64;
        title.push((format!(" step {} {:.0}%", job.step, share * 100.0), theme.warning()));
    } else if let Some(next) = snapshot.maps.next_step {
        title.push((format!(" next at step {next}"), theme.dim()));
    }
    title.push((" ".to_owned(), theme.text()));
    let inner = framed(PanelId::Maps, &title, view, area, buf);
    if snapshot.maps.arms.values().all(Option::is_none) {
        let hint = match (&snapshot.maps.job, snapshot.maps.next_step) {
            (Some(_), _) => "computing the first map",
            (None, Some(_)) => "the first map follows the first step",
            (None, None) if matches!(snapshot.phase, Phase::Starting(_)) => "no map yet",
            (None, None) => "press m for a map",
        };
        text(buf, inner.x, inner.y, inner.width, hint, theme.dim());
        return;
    }
    let with_bar = inner.height >= 5;
    let maps = Rect { height: inner.height - u16::from(with_bar), ..inner };
    for ((id, map), part) in snapshot.maps.arms.iter().zip(grid(maps, snapshot.maps.arms.len())) {
        let name = arm_piece(snapshot, id.index(), view);
        one(map.as_ref(), &snapshot.maps, name, snapshot.elapsed_s, part, buf, theme);
    }
    if with_bar {
        let line = Rect { y: inner.bottom() - 1, height: 1, ..inner };
        color_bar(&snapshot.maps, line, buf, theme);
    }
}

/// A loss's place on the common scale, 0 to 1, by ln(z + 0.1).
fn place(loss: f64, range: Option<(f64, f64)>) -> f64 {
    let Some((low, high)) = range else { return 0.0 };
    let log = |z: f64| (z.max(0.0) + LOG_SHIFT).ln();
    let span = log(high) - log(low);
    if span > 0.0 { ((log(loss) - log(low)) / span).clamp(0.0, 1.0) } else { 0.0 }
}

fn one(
    map: Option<&LossMap>,
    maps: &MapsView,
    name: Piece,
    now: f64,
    part: Rect,
    buf: &mut Buffer,
    theme: Theme,
) {
    if part.height < 3 || part.width < 6 {
        return;
    }
    let Some(map) = map else {
        pieces(buf, part.x, part.y, part.width, &[name, (" no map".to_owned(), theme.dim())]);
        return;
    };
    let age = format::duration(now - map.taken_s);
    let told = [
        name,
        (format!(" {age} old"), theme.dim()),
        (format!("  step {}", map.step), theme.dim()),
        (format!("  centre {}", format::short(map.stats.center)), theme.text()),
        (format!("  max {}", format::short(map.stats.max)), theme.dim()),
        (format!("  cos {}", format::short(map.cosine)), theme.dim()),
    ];
    pieces(buf, part.x, part.y, part.width, &told);
    let field = Rect { y: part.y + 1, height: part.height - 1, ..part };
    draw_field(map, maps, field, buf, theme);
    draw_isolines(map, maps, field, buf, theme);
    let (x, y) = (field.x + field.width / 2, field.y + field.height / 2);
    let center = if theme.ascii { '+' } else { '✚' };
    let style = on_field(at(map, 0.5, 0.5), maps, theme).patch(theme.strong());
    put(buf, x, y, center, style);
}

/// The loss at a place of the field, 0 to 1 from the left and from the top; bilinear between grid points, NaN where a
/// corner is missing.
fn at(map: &LossMap, across: f64, down: f64) -> f64 {
    let (nx, ny) = (map.xs.len(), map.ys.len());
    if nx < 2 || ny < 2 || map.loss.len() != nx * ny {
        return f64::NAN;
    }
    let x = across * (nx - 1) as f64;
    // Rows rise with y; the top of the field is the last row.
    let y = (1.0 - down) * (ny - 1) as f64;
    let (c, r) = ((x as usize).min(nx - 2), (y as usize).min(ny - 2));
    let (u, v) = (x - c as f64, y - r as f64);
    let z = |r: usize, c: usize| map.loss[r * nx + c];
    let low = z(r, c) * (1.0 - u) + z(r, c + 1) * u;
    let high = z(r + 1, c) * (1.0 - u) + z(r + 1, c + 1) * u;
    low * (1.0 - v) + high * v
}

fn draw_field(map: &LossMap, maps: &MapsView, field: Rect, buf: &mut Buffer, theme: Theme) {
    for row in 0..field.height {
        for column in 0..field.width {
            let across = (f64::from(column) + 0.5) / f64::from(field.width);
            let down = |half: f64| (f64::from(row) + half) / f64::from(field.height);
            let (upper, lower) = (at(map, across, down(0.25)), at(map, across, down(0.75)));
            let (x, y) = (field.x + column, field.y + row);
            if !(upper.is_finite() && lower.is_finite()) {
                put(buf, x, y, if theme.ascii { '?' } else { '╳' }, theme.dim());
            } else if theme.has_colors() && !theme.ascii {
                let color = |z: f64| theme.color(theme.loss_color(place(z, maps.range)));
                put(buf, x, y, '▀', Style::default().fg(color(upper)).bg(color(lower)));
            } else if theme.ascii {
                let p = place((upper + lower) / 2.0, maps.range);
                put(buf, x, y, DENSITY[((p * 9.99) as usize).min(9)], theme.text());
            }
        }
    }
}

fn draw_isolines(map: &LossMap, maps: &MapsView, field: Rect, buf: &mut Buffer, theme: Theme) {
    let (Some(x0), Some(x1)) = (map.xs.first(), map.xs.last()) else { return };
    let (Some(y0), Some(y1)) = (map.ys.first(), map.ys.last()) else { return };
    let mut raster = Raster::new(field.width, field.height);
    let (wide, high) = raster.dots();
    let to_dots = |(x, y): (f64, f64)| {
        ((x - x0) / (x1 - x0) * (wide as f64 - 1.0), (y1 - y) / (y1 - y0) * (high as f64 - 1.0))
    };
    let levels = shown_levels(maps, field);
    for line in map.isolines.iter().filter(|l| levels.contains(&l.level)) {
        for pair in line.points.windows(2) {
            raster.line(to_dots(pair[0]), to_dots(pair[1]), 0);
        }
    }
    // ASCII has no dots: there the field's characters are the picture, and labels stand on it.
    if !theme.ascii {
        for row in 0..field.height {
            for column in 0..field.width {
                let cell = raster.cell(column, row);
                if cell.mask == 0 {
                    continue;
                }
                let across = (f64::from(column) + 0.5) / f64::from(field.width);
                let down = (f64::from(row) + 0.5) / f64::from(field.height);
                let style = on_field(at(map, across, down), maps, theme);
                put(buf, field.x + column, field.y + row, cell.symbol(), style);
            }
        }
    }
    if field.width >= WIDE_FOR_LABELS {
        draw_labels(map, maps, &levels, field, buf, theme, &to_dots);
    }
}

/// The levels that a field has room for: every one, or every second, third ... where lines would run together.
fn shown_levels(maps: &MapsView, field: Rect) -> Vec<f64> {
    let room = usize::from(field.height / ROWS_PER_LEVEL).max(2);
    let every = maps.levels.len().div_ceil(room).max(1);
    maps.levels.iter().copied().skip(every / 2).step_by(every).collect()
}

/// What is written on the field: black or white, on the field's colour.
fn on_field(loss: f64, maps: &MapsView, theme: Theme) -> Style {
    if !theme.has_colors() || !loss.is_finite() {
        return theme.text();
    }
    let below = theme.loss_color(place(loss, maps.range));
    Style::default().fg(theme.color(contrast(below))).bg(theme.color(below))
}

/// Each level's label once, on its longest line, where no other label is near.
fn draw_labels(
    map: &LossMap,
    maps: &MapsView,
    levels: &[f64],
    field: Rect,
    buf: &mut Buffer,
    theme: Theme,
    to_dots: &impl Fn((f64, f64)) -> (f64, f64),
) {
    let center = (field.x + field.width / 2, field.y + field.height / 2);
    let mut taken: Vec<(u16, u16, u16)> =
        vec![(center.1, center.0.saturating_sub(1), center.0 + 1)];
    for (turn, level) in levels.iter().enumerate() {
        let lines = map.isolines.iter().filter(|l| l.level == *level);
        let Some(line) = lines.max_by_key(|l| l.points.len()) else { continue };
        let label = format::level(*level);
        let wide = columns(&label);
        let count = line.points.len();
        // Spread round the centre: every level begins its search elsewhere on its line.
        let order = (0..count).map(|i| (i + turn * count / levels.len()) % count);
        for vertex in order {
            let (dx, dy) = to_dots(line.points[vertex]);
            let (column, row) = ((dx / 2.0) as u16, (dy / 4.0) as u16);
            let start = (field.x + column).saturating_sub(wide / 2).max(field.x);
            let (y, end) = (field.y + row, start + wide);
            let free = taken
                .iter()
                .all(|(ty, from, to)| ty.abs_diff(y) > 1 || end + 1 < *from || start > *to + 1);
            if free && end <= field.right() && y < field.bottom() {
                let style = on_field(*level, maps, theme).patch(theme.strong());
                text(buf, start, y, wide, &label, style);
                taken.push((y, start, end));
                break;
            }
        }
    }
}

/// The common scale, low to high.
fn color_bar(maps: &MapsView, line: Rect, buf: &mut Buffer, theme: Theme) {
    let Some((low, high)) = maps.range else { return };
    let (low_text, high_text) =
        (format!("{} ", format::short(low)), format!(" {} nats", format::short(high)));
    let start = line.x + text(buf, line.x, line.y, line.width, &low_text, theme.dim());
    let wide = line.width.saturating_sub(columns(&low_text) + columns(&high_text)).min(60);
    for i in 0..wide {
        let p = f64::from(i) / f64::from(wide.max(2) - 1);
        let (symbol, style) = if theme.has_colors() && !theme.ascii {
            ('█', Style::default().fg(theme.color(theme.loss_color(p))))
        } else {
            (DENSITY[((p * 9.99) as usize).min(9)], theme.text())
        };
        put(buf, start + i, line.y, symbol, style);
    }
    text(buf, start + wide, line.y, columns(&high_text), &high_text, theme.dim());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> LossMap {
        LossMap {
            step: 1,
            taken_s: 0.0,
            xs: vec![-1.0, 0.0, 1.0],
            ys: vec![-1.0, 0.0, 1.0],
            // Row = y: the lower left is 0, the upper right 8.
            loss: (0..9).map(f64::from).collect(),
            isolines: Vec::new(),
            images: 1,
            cosine: 0.0,
            complete: true,
            stats: crate::telemetry::event::SurfaceStats {
                center: 4.0,
                min: 0.0,
                median: 4.0,
                max: 8.0,
                points: 9,
            },
        }
    }

    #[test]
    fn up_is_along_the_second_direction_and_right_along_the_first() {
        let m = map();
        assert_eq!(
            [at(&m, 0.0, 1.0), at(&m, 1.0, 1.0), at(&m, 0.0, 0.0), at(&m, 1.0, 0.0)],
            [0.0, 2.0, 6.0, 8.0]
        );
        assert_eq!(at(&m, 0.25, 0.5), 3.5);
    }

    #[test]
    fn a_missing_corner_leaves_a_hole() {
        let mut m = map();
        m.loss[8] = f64::NAN;
        assert!(at(&m, 0.9, 0.1).is_nan() && at(&m, 0.1, 0.9).is_finite());
    }

    #[test]
    fn the_scale_runs_from_low_to_high() {
        let range = Some((0.0, 9.9));
        assert_eq!([place(0.0, range), place(9.9, range), place(1e9, range)], [0.0, 1.0, 1.0]);
        assert!(
            (place(0.9, range) - 0.5).abs() < 1e-9,
            "ln(1.0) lies half way from ln(0.1) to ln(10)"
        );
        assert_eq!(place(5.0, None), 0.0);
    }
}
