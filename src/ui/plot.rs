//! Curves over steps with axes: the plot that several panels share.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::braille::Raster;
use super::paint::{columns, put, text};
use super::theme::Theme;
use crate::geometry::{scale, ticks};

/// Dots of a dash, and of the gap after it.
const DASH: f64 = 4.0;

/// One curve.
pub struct Line {
    /// (x, y), x rising; y that is not finite leaves a gap.
    pub points: Vec<(f64, f64)>,
    /// Its colour.
    pub style: Style,
    /// Its character where there are no colours.
    pub letter: char,
    /// Whether it is dashed.
    pub dashed: bool,
}

/// Single points drawn over the curves.
pub struct Dots {
    /// (x, y)
    pub points: Vec<(f64, f64)>,
    /// Their colour.
    pub style: Style,
    /// Their character.
    pub symbol: char,
}

/// How y is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By its logarithm; what is not above 0 is left out.
    Log,
    /// By ln(y + 0.1), as losses of a surface are.
    Shifted,
}

/// Curves, points and marks over common axes.
pub struct Plot {
    /// Curves; the first is drawn on top.
    pub lines: Vec<Line>,
    /// Points over the curves.
    pub dots: Vec<Dots>,
    /// Upright marks with a short label.
    pub marks: Vec<(f64, String)>,
    /// First and last x.
    pub x: (f64, f64),
    /// Least and largest y; the data's own where missing.
    pub y: Option<(f64, f64)>,
    /// How y is drawn.
    pub scale: Scale,
    /// Places of labels on y; chosen where empty.
    pub ticks: Vec<f64>,
    /// What x is.
    pub x_name: String,
}

impl Plot {
    /// Draws the plot with its axes.
    pub fn render(&self, area: Rect, buf: &mut Buffer, theme: Theme) {
        let area = area.intersection(buf.area);
        if area.width < 8 || area.height < 2 {
            return;
        }
        let Some((low, high)) = self.range() else {
            text(buf, area.x, area.y, area.width, "no figures yet", theme.dim());
            return;
        };
        let rows = if area.height >= 4 { area.height - 1 } else { area.height };
        let ticks = self.labels(low, high, rows);
        let gutter = ticks.iter().map(|(_, label)| columns(label)).max().unwrap_or(0);
        let gutter = gutter.min(area.width / 2);
        let body = Rect {
            x: area.x + gutter + 1,
            y: area.y,
            width: area.width.saturating_sub(gutter + 1),
            height: rows,
        };
        let axis = if theme.ascii { '|' } else { '│' };
        let tick = if theme.ascii { '+' } else { '┤' };
        for y in body.y..body.bottom() {
            put(buf, body.x - 1, y, axis, theme.dim());
        }
        for (value, label) in &ticks {
            let row = self.row(*value, low, high, rows) / 4.0;
            if !(0.0..f64::from(rows)).contains(&row) {
                continue;
            }
            let y = body.y + row as u16;
            // A part of a figure would be another one.
            if columns(label) <= gutter {
                text(buf, body.x - 1 - columns(label), y, gutter, label, theme.dim());
            }
            put(buf, body.x - 1, y, tick, theme.dim());
        }
        self.draw_bars(body, buf, theme);
        self.draw_lines(body, buf, theme, (low, high));
        self.draw_mark_labels(body, buf, theme);
        if rows < area.height {
            let y = area.bottom() - 1;
            let [first, last] = x_ends(self.x);
            text(buf, body.x, y, body.width, &first, theme.dim());
            let at = body.right().saturating_sub(columns(&last));
            text(buf, at.max(body.x), y, body.width, &last, theme.dim());
            let middle = &self.x_name;
            let at = body.x + (body.width.saturating_sub(columns(middle))) / 2;
            if body.width > 12 + columns(middle) {
                text(buf, at, y, columns(middle), middle, theme.dim());
            }
        }
    }

    fn visible(&self) -> impl Iterator<Item = f64> + '_ {
        // Single points do not stretch the axis: one beyond it is drawn at its end, as such.
        let positive = self.scale == Scale::Log;
        self.lines
            .iter()
            .flat_map(|l| &l.points)
            .map(|p| p.1)
            .filter(move |y| y.is_finite() && (!positive || *y > 0.0))
    }

    /// Least and largest y, never equal; none without any value.
    fn range(&self) -> Option<(f64, f64)> {
        if self.y.is_some() {
            return self.y;
        }
        let (low, high) = self
            .visible()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), y| (l.min(y), h.max(y)));
        if low > high {
            return None;
        }
        Some(match self.scale {
            // At least a factor of two, so that noise does not fill the panel.
            Scale::Log if high < 2.0 * low => (low / 1.5, high * 1.5),
            Scale::Linear | Scale::Shifted if high - low < 1e-9 * high.abs().max(1.0) => {
                (low - 0.5, high + 0.5)
            }
            _ => (low, high),
        })
    }

    /// How far down a value lies, in dots.
    fn row(&self, value: f64, low: f64, high: f64, rows: u16) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - low) / (high - low),
            Scale::Log => (value / low).ln() / (high / low).ln(),
            Scale::Shifted => shifted(low, high).place(value),
        };
        (1.0 - share) * (f64::from(rows) * 4.0 - 1.0)
    }

    fn column(&self, x: f64, width: u16) -> f64 {
        let span = (self.x.1 - self.x.0).max(f64::MIN_POSITIVE);
        (x - self.x.0) / span * (f64::from(width) * 2.0 - 1.0)
    }

    /// Labelled values of the y axis, no two on one row.
    fn labels(&self, low: f64, high: f64, rows: u16) -> Vec<(f64, String)> {
        let wanted = usize::from((rows / 3).clamp(2, 8));
        let mut values = match self.scale {
            _ if !self.ticks.is_empty() => self.ticks.clone(),
            Scale::Linear => ticks::even(low, high, wanted),
            Scale::Log => ticks::log(low, high, wanted),
            Scale::Shifted => shifted(low, high).ticks(wanted),
        };
        let mut taken = Vec::new();
        values.retain(|v| {
            let row = (self.row(*v, low, high, rows) / 4.0) as i64;
            let free = !taken.contains(&row);
            taken.push(row);
            free
        });
        let labels = ticks::labels(&values);
        values.into_iter().zip(labels).collect()
    }

    /// The marks' columns on the screen, with their labels.
    fn placed_marks(&self, body: Rect) -> impl Iterator<Item = (u16, &str)> {
        self.marks.iter().filter_map(move |(x, label)| {
            let column = self.column(*x, body.width) / 2.0;
            let inside = (0.0..f64::from(body.width)).contains(&column);
            inside.then(|| (body.x + column as u16, label.as_str()))
        })
    }

    fn draw_bars(&self, body: Rect, buf: &mut Buffer, theme: Theme) {
        let bar = if theme.ascii { ':' } else { '┊' };
        for (at, _) in self.placed_marks(body) {
            for y in body.y..body.bottom() {
                put(buf, at, y, bar, theme.warning());
            }
        }
    }

    /// Labels stand over the curves; one that would run into the one before is left out, its bar stays.
    fn draw_mark_labels(&self, body: Rect, buf: &mut Buffer, theme: Theme) {
        let mut free_from = body.x;
        for (at, label) in self.placed_marks(body) {
            if at >= free_from && at + columns(label) <= body.right() {
                text(buf, at, body.y, columns(label), label, theme.warning());
                free_from = at + columns(label) + 1;
            }
        }
    }

    fn draw_lines(&self, body: Rect, buf: &mut Buffer, theme: Theme, (low, high): (f64, f64)) {
        let mut raster = Raster::new(body.width, body.height);
        for (ink, line) in self.lines.iter().enumerate().rev() {
            let placed = line.points.iter().filter(|p| self.scale != Scale::Log || p.1 > 0.0);
            let placed = placed
                .map(|(x, y)| (self.column(*x, body.width), self.row(*y, low, high, body.height)));
            let binned = bin(placed);
            for pair in binned.windows(2) {
                if line.dashed && pair[0].0.rem_euclid(2.0 * DASH) >= DASH {
                    continue;
                }
                raster.line(pair[0], pair[1], ink);
            }
            if let [only] = binned[..] {
                raster.line(only, only, ink);
            }
        }
        for row in 0..body.height {
            for column in 0..body.width {
                let cell = raster.cell(column, row);
                let Some(line) = self.lines.get(cell.ink).filter(|_| cell.mask != 0) else {
                    continue;
                };
                let plain = theme.ascii || !theme.has_colors();
                let symbol = if plain { line.letter } else { cell.symbol() };
                put(buf, body.x + column, body.y + row, symbol, line.style);
            }
        }
        for dots in &self.dots {
            for (x, y) in &dots.points {
                let column = self.column(*x, body.width) / 2.0;
                let row = self.row(*y, low, high, body.height) / 4.0;
                if !(0.0..f64::from(body.width)).contains(&column) || row.is_nan() {
                    continue;
                }
                let last = f64::from(body.height) - 1.0;
                let symbol = match row {
                    _ if (0.0..last + 1.0).contains(&row) => dots.symbol,
                    _ if row < 0.0 => {
                        if theme.ascii {
                            '^'
                        } else {
                            '▲'
                        }
                    }
                    _ => {
                        if theme.ascii {
                            'v'
                        } else {
                            '▼'
                        }
                    }
                };
                let row = row.clamp(0.0, last) as u16;
                put(buf, body.x + column as u16, body.y + row, symbol, dots.style);
            }
        }
    }
}

fn shifted(low: f64, high: f64) -> scale::Scale {
    scale::Scale { low, high, log: true }
}

/// The ends of the x axis: steps, or coordinates.
fn x_ends((first, last): (f64, f64)) -> [String; 2] {
    match first.fract() == 0.0 && last.fract() == 0.0 {
        true => [first, last].map(|x| format!("{x:.0}")),
        false => ticks::ends(first, last),
    }
}

/// One point per column of dots: the mean of those that fall on it.
fn bin(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut bins: Vec<(f64, f64, f64)> = Vec::new();
    for (x, y) in points {
        match bins.last_mut() {
            Some((at, sum, count)) if at.floor() == x.floor() => {
                *sum += y;
                *count += 1.0;
            }
            _ => bins.push((x, y, 1.0)),
        }
    }
    bins.into_iter().map(|(x, sum, count)| (x, sum / count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::theme::ColorDepth;

    #[test]
    fn a_label_without_room_is_left_out_rather_than_cut() {
        let (low, high) = (1_234_500.0, 1_234_700.0);
        let line = Line {
            points: vec![(1.0, low), (2.0, high)],
            style: Style::default(),
            letter: 'x',
            dashed: false,
        };
        let plot = Plot {
            lines: vec![line],
            dots: Vec::new(),
            marks: Vec::new(),
            x: (1.0, 2.0),
            y: None,
            scale: Scale::Linear,
            ticks: Vec::new(),
            x_name: "step".to_owned(),
        };
        let gutter = |width: u16| {
            let mut buf = Buffer::empty(Rect::new(0, 0, width, 8));
            let theme = Theme { depth: ColorDepth::None, ascii: true };
            plot.render(buf.area, &mut buf, theme);
            let rows = buf.content.chunks(usize::from(width));
            let rows = rows.map(|r| r.iter().map(|c| c.symbol()).collect::<String>());
            let labels = rows.filter_map(|r| Some(r.split_once('+')?.0.trim().to_owned()));
            labels.collect::<Vec<_>>()
        };
        assert_eq!(gutter(40), ["1234700", "1234600", "1234500"]);
        assert_eq!(gutter(12), ["", "", ""]);
    }

    #[test]
    fn points_on_one_column_are_their_mean() {
        let binned = bin([(0.1, 1.0), (0.9, 3.0), (1.5, 7.0)].into_iter());
        assert_eq!(binned, [(0.1, 2.0), (1.5, 7.0)]);
    }
}
