//! A surface seen from above, in characters: colours, isolines and their labels, the colour bar.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::braille::Raster;
use super::paint::{columns, put, text};
use super::theme::Theme;
use crate::geometry::bilinear;
use crate::geometry::color::{Rgb, contrast};
use crate::geometry::contour::{Grid, Isoline};
use crate::geometry::scale::Scale;
use crate::geometry::ticks;

/// From low to high, where there are no colours.
const DENSITY: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];
/// Columns of a field from which on its isolines are labelled.
const WIDE_FOR_LABELS: u16 = 16;
/// Rows of a field for every isoline drawn on it: a level is crossed at least twice from bottom to top.
const ROWS_PER_LEVEL: u16 = 2;

/// What lies on a rectangle of the screen, row = y upwards.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// The function.
    pub grid: Grid<'a>,
    /// Its colours; without one all is at the lowest.
    pub scale: Option<Scale>,
    /// Its isolines, in the grid's coordinates.
    pub isolines: &'a [Isoline],
    /// Their levels, rising.
    pub levels: &'a [f64],
    /// What is coloured.
    pub fill: Fill,
    /// Whether it steps back, for what is drawn over it.
    pub faint: bool,
}

/// How a field is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Evenly, between grid points too.
    Smooth,
    /// One colour from level to level.
    Bands,
    /// One colour round each grid point.
    Cells,
    /// Not at all: isolines have the colour.
    Empty,
}

/// Characters of a row that no label may run into, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Row of the screen.
    pub row: u16,
    /// First column.
    pub from: u16,
    /// Last column.
    pub to: u16,
}

impl Taken {
    /// Single characters, neighbours as one where they come one after the other.
    pub fn runs(characters: impl Iterator<Item = (u16, u16)>) -> Vec<Self> {
        let mut runs: Vec<Self> = Vec::new();
        for (x, row) in characters {
            match runs.last_mut() {
                Some(run) if run.row == row && run.to.checked_add(1) == Some(x) => run.to = x,
                _ => runs.push(Self { row, from: x, to: x }),
            }
        }
        runs
    }
}

/// The density's character for a place of the scale.
pub fn density(place: f64) -> char {
    DENSITY[((place * 9.99) as usize).min(9)]
}

/// What is written where nothing is known.
pub fn unknown(theme: Theme) -> char {
    if theme.ascii { '?' } else { '╳' }
}

impl Field<'_> {
    /// The value at a place of the field, 0 to 1 from the left and from the top; NaN where it is unknown.
    pub fn at(&self, across: f64, down: f64) -> f64 {
        let (nx, ny) = (self.grid.xs.len(), self.grid.ys.len());
        if self.fill == Fill::Cells && nx > 0 && ny > 0 {
            let nearest = |at: f64, n: usize| ((at * n as f64) as usize).min(n - 1);
            let index = nearest(1.0 - down, ny) * nx + nearest(across, nx);
            return self.grid.values.get(index).copied().unwrap_or(f64::NAN);
        }
        if nx < 2 || ny < 2 {
            return f64::NAN;
        }
        // By coordinates, as the isolines lie: lines of a coarse pass need not be evenly apart. Rows rise with y; the
        // top of the field is the last row. Rounding must not lead beyond the last line.
        let along = |axis: &[f64], t: f64| {
            let (first, last) = (axis[0], axis[axis.len() - 1]);
            (first + t * (last - first)).min(last)
        };
        bilinear::at(self.grid, along(self.grid.xs, across), along(self.grid.ys, 1.0 - down))
    }

    /// A value's place on the scale, 0 to 1; of a banded field that of its band's middle.
    pub fn place(&self, value: f64) -> f64 {
        let Some(scale) = self.scale else { return 0.0 };
        if self.fill != Fill::Bands {
            return scale.place(value);
        }
        let above = self.levels.partition_point(|l| *l <= value);
        let end = |level: Option<&f64>, none: f64| level.map_or(none, |l| scale.place(*l));
        let low = end(above.checked_sub(1).and_then(|i| self.levels.get(i)), 0.0);
        (low + end(self.levels.get(above), 1.0)) / 2.0
    }

    fn color(&self, value: f64, theme: Theme) -> Rgb {
        let place = self.place(value);
        if self.faint { theme.loss_faint(place) } else { theme.loss_color(place) }
    }

    /// Colours, two values to a character, or densities where there are none; what is unknown is crossed out.
    pub fn draw(&self, area: Rect, buf: &mut Buffer, theme: Theme) {
        for row in 0..area.height {
            for column in 0..area.width {
                let across = (f64::from(column) + 0.5) / f64::from(area.width);
                let down = |half: f64| (f64::from(row) + half) / f64::from(area.height);
                let (upper, lower) = (self.at(across, down(0.25)), self.at(across, down(0.75)));
                let (x, y) = (area.x + column, area.y + row);
                if !(upper.is_finite() && lower.is_finite()) {
                    put(buf, x, y, unknown(theme), theme.dim());
                } else if self.fill == Fill::Empty {
                    continue;
                } else if theme.has_colors() && !theme.ascii {
                    let color = |z: f64| theme.color(self.color(z, theme));
                    put(buf, x, y, '▀', Style::default().fg(color(upper)).bg(color(lower)));
                } else if theme.ascii || self.fill != Fill::Smooth {
                    put(buf, x, y, density(self.place((upper + lower) / 2.0)), theme.text());
                }
            }
        }
    }

    /// Isolines over the field, as many as there is room for, with their labels, which keep off what is `taken`.
    pub fn draw_isolines(&self, area: Rect, taken: &[Taken], buf: &mut Buffer, theme: Theme) {
        let Some(to_dots) = dots(self.grid, area) else { return };
        let mut raster = Raster::new(area.width, area.height);
        let levels = self.shown_levels(area);
        for line in self.isolines {
            let Some(ink) = levels.iter().position(|l| *l == line.level) else { continue };
            for pair in line.points.windows(2) {
                raster.line(to_dots(pair[0]), to_dots(pair[1]), ink);
            }
        }
        // ASCII has no dots: on a field of densities these are the picture, and labels stand on it.
        if !theme.ascii || self.fill == Fill::Empty {
            for row in 0..area.height {
                for column in 0..area.width {
                    let cell = raster.cell(column, row);
                    if cell.mask == 0 {
                        continue;
                    }
                    let across = (f64::from(column) + 0.5) / f64::from(area.width);
                    let down = (f64::from(row) + 0.5) / f64::from(area.height);
                    let level = levels.get(cell.ink).copied().unwrap_or(f64::NAN);
                    let style = match self.fill {
                        Fill::Empty => self.of_level(level, theme),
                        _ => self.on_field(self.at(across, down), theme),
                    };
                    let symbol = if theme.ascii { cell.ascii() } else { cell.symbol() };
                    put(buf, area.x + column, area.y + row, symbol, style);
                }
            }
        }
        if area.width >= WIDE_FOR_LABELS {
            self.draw_labels(&levels, area, taken, buf, theme, &to_dots);
        }
    }

    /// The levels that a field has room for: every one, or every second, third ... where lines would run together.
    fn shown_levels(&self, area: Rect) -> Vec<f64> {
        let room = usize::from(area.height / ROWS_PER_LEVEL).max(2);
        let every = self.levels.len().div_ceil(room).max(1);
        self.levels.iter().copied().skip(every / 2).step_by(every).collect()
    }

    /// What is written on the field: black or white, on the field's colour.
    pub fn on_field(&self, value: f64, theme: Theme) -> Style {
        if !theme.has_colors() || !value.is_finite() || self.fill == Fill::Empty {
            return theme.text();
        }
        let below = self.color(value, theme);
        let over = if self.faint { theme.loss_line(self.place(value)) } else { contrast(below) };
        Style::default().fg(theme.color(over)).bg(theme.color(below))
    }

    /// An isoline's own colour.
    fn of_level(&self, level: f64, theme: Theme) -> Style {
        match theme.has_colors() {
            true => Style::default().fg(theme.color(self.color(level, theme))),
            false => theme.text(),
        }
    }

    /// Each level's label once, on its longest line, where no other label is near.
    fn draw_labels(
        &self,
        levels: &[f64],
        area: Rect,
        taken: &[Taken],
        buf: &mut Buffer,
        theme: Theme,
        to_dots: &impl Fn((f64, f64)) -> (f64, f64),
    ) {
        let mut taken = taken.to_vec();
        let texts = ticks::labels(self.levels);
        let texts: Vec<(&f64, String)> = self.levels.iter().zip(texts).collect();
        for (turn, level) in levels.iter().enumerate() {
            let lines = self.isolines.iter().filter(|l| l.level == *level);
            let Some(line) = lines.max_by_key(|l| l.points.len()) else { continue };
            let Some((_, label)) = texts.iter().find(|(l, _)| *l == level) else { continue };
            let wide = columns(label);
            let count = line.points.len();
            // Spread round the centre: every level begins its search elsewhere on its line.
            let order = (0..count).map(|i| (i + turn * count / levels.len()) % count);
            for vertex in order {
                let (dx, dy) = to_dots(line.points[vertex]);
                let (column, row) = ((dx / 2.0) as u16, (dy / 4.0) as u16);
                let start = (area.x + column).saturating_sub(wide / 2).max(area.x);
                let (y, end) = (area.y + row, start + wide);
                let free = taken
                    .iter()
                    .all(|t| t.row.abs_diff(y) > 1 || end + 1 < t.from || start > t.to + 1);
                if free && end <= area.right() && y < area.bottom() {
                    let style = match self.fill {
                        Fill::Empty => self.of_level(*level, theme),
                        _ => self.on_field(*level, theme),
                    };
                    text(buf, start, y, wide, label, style.patch(theme.strong()));
                    taken.push(Taken { row: y, from: start, to: end });
                    break;
                }
            }
        }
    }
}

/// Where a place of the grid lies on a field, in braille's dots; none for a grid without extent.
pub fn dots(grid: Grid<'_>, area: Rect) -> Option<impl Fn((f64, f64)) -> (f64, f64) + use<>> {
    let (x0, x1) = (*grid.xs.first()?, *grid.xs.last()?);
    let (y0, y1) = (*grid.ys.first()?, *grid.ys.last()?);
    let (wide, high) = (f64::from(area.width) * 2.0, f64::from(area.height) * 4.0);
    Some(move |(x, y): (f64, f64)| {
        ((x - x0) / (x1 - x0) * (wide - 1.0), (y1 - y) / (y1 - y0) * (high - 1.0))
    })
}

/// A scale from low to high, on a line; `faint` as of the field.
pub fn color_bar(
    scale: Scale,
    unit: &str,
    faint: bool,
    line: Rect,
    buf: &mut Buffer,
    theme: Theme,
) {
    let [low, high] = ticks::ends(scale.low, scale.high);
    let (low_text, high_text) = (format!("{low} "), format!(" {high} {unit}"));
    let high_text = high_text.trim_end();
    let start = line.x + text(buf, line.x, line.y, line.width, &low_text, theme.dim());
    let wide = line.width.saturating_sub(columns(&low_text) + columns(high_text)).min(60);
    for i in 0..wide {
        let p = f64::from(i) / f64::from(wide.max(2) - 1);
        let (symbol, style) = if theme.has_colors() && !theme.ascii {
            let color = if faint { theme.loss_faint(p) } else { theme.loss_color(p) };
            ('█', Style::default().fg(theme.color(color)))
        } else {
            (density(p), theme.text())
        };
        put(buf, start + i, line.y, symbol, style);
    }
    text(buf, start + wide, line.y, columns(high_text), high_text, theme.dim());
}

#[cfg(test)]
mod tests {
    use super::*;

    const AXIS: [f64; 3] = [-1.0, 0.0, 1.0];

    fn field(values: &[f64], fill: Fill) -> Field<'_> {
        let grid = Grid { xs: &AXIS, ys: &AXIS, values };
        let scale = Some(Scale { low: 0.0, high: 8.0, log: false });
        Field { grid, scale, isolines: &[], levels: &[2.0, 4.0], fill, faint: false }
    }

    #[test]
    fn up_is_along_the_second_direction_and_right_along_the_first() {
        // Row = y: the lower left is 0, the upper right 8.
        let values: Vec<f64> = (0..9).map(f64::from).collect();
        let f = field(&values, Fill::Smooth);
        assert_eq!(
            [f.at(0.0, 1.0), f.at(1.0, 1.0), f.at(0.0, 0.0), f.at(1.0, 0.0)],
            [0.0, 2.0, 6.0, 8.0]
        );
        assert_eq!(f.at(0.25, 0.5), 3.5);
        let cells = field(&values, Fill::Cells);
        assert_eq!([cells.at(0.0, 1.0), cells.at(0.5, 0.5), cells.at(0.99, 0.3)], [0.0, 4.0, 8.0]);
    }

    #[test]
    fn a_missing_corner_leaves_a_hole() {
        let mut values: Vec<f64> = (0..9).map(f64::from).collect();
        values[8] = f64::NAN;
        let f = field(&values, Fill::Smooth);
        assert!(f.at(0.9, 0.1).is_nan() && f.at(0.1, 0.9).is_finite());
    }

    #[test]
    fn bands_have_one_colour_each() {
        let f = field(&[0.0; 9], Fill::Bands);
        assert_eq!(
            [0.0, 1.9, 2.0, 3.9, 5.0, 8.0].map(|v| f.place(v) * 8.0),
            [1.0, 1.0, 3.0, 3.0, 6.0, 6.0]
        );
    }
}
