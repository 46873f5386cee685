//! An arm's path over a field: its line coloured by the angle to the isocurves, arrows, ends, and marks on the way.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::braille::Raster;
use super::field::Taken;
use super::paint::{Piece, columns, put};
use super::theme::Theme;
use crate::telemetry::path::PathPoint;

/// Columns from which on marks have labels.
const WIDE_FOR_LABELS: u16 = 22;
/// Columns from which on the line is two dots thick.
const THICK: u16 = 24;
/// Dots of the path from arrow to arrow, at least; they are four to a row.
const ARROW_EVERY: f64 = 26.0;
/// Arrows on a path at most: more would hide the angles.
const MOST_ARROWS: f64 = 9.0;
/// Dots of the path before and after an arrow that its direction is taken from.
const ARROW_REACH: f64 = 5.0;
/// Right, down right, down ...: as the screen's rows grow.
const ARROWS: [char; 8] = ['→', '↘', '↓', '↙', '←', '↖', '↑', '↗'];
const ASCII_ARROWS: [char; 8] = ['>', '>', 'v', '<', '<', '<', '^', '>'];

/// Something that happened on the way.
pub struct Mark {
    /// Where, in the plane.
    pub at: (f64, f64),
    /// What, in a word or two.
    pub label: String,
    /// Whether somebody did it, rather than the schedule.
    pub by_hand: bool,
}

/// How a mark is drawn.
pub fn mark_symbol(by_hand: bool, theme: Theme) -> char {
    match (by_hand, theme.ascii) {
        (true, false) => '◆',
        (false, false) => '▼',
        (true, true) => '!',
        (false, true) => '%',
    }
}

/// How the ends are drawn: first and newest.
pub fn end_symbols(theme: Theme) -> (char, char) {
    if theme.ascii { ('S', '@') } else { ('○', '◉') }
}

/// What the colours or characters of angles mean.
pub fn angle_key(theme: Theme) -> Vec<Piece> {
    let dim = |text: &str| (text.to_owned(), theme.dim());
    let mut told = Vec::new();
    if theme.has_colors() && !theme.ascii {
        told.push(dim("along "));
        // In the middle of each tenth.
        told.extend((0..9).map(|i| ("━".to_owned(), theme.angle(f64::from(i) * 10.0 + 5.0))));
        told.push(dim(" across "));
        told.push(("━━".to_owned(), theme.angle(-80.0)));
        told.push(dim(" uphill"));
    } else {
        let letters = [(0.0, "along"), (45.0, "aslant"), (90.0, "across"), (-90.0, "uphill")];
        for (degrees, word) in letters {
            let space = if told.is_empty() { "" } else { " " };
            told.push((format!("{space}{}", theme.angle_letter(degrees)), theme.angle(degrees)));
            told.push(dim(&format!(" {word}")));
        }
    }
    told
}

/// What is drawn at a column and row of the area.
type Sign = (u16, u16, char, Style);

/// A path as it will be drawn, so that what lies below can keep off it.
pub struct Track {
    area: Rect,
    /// From the line to the labels: the later lies on top.
    signs: Vec<Sign>,
}

impl Track {
    /// The path through `points` in the arm's `style`, with words at its `ends`, if there are any; `to_dots` says where a
    /// place of the plane lies, in braille's dots from the upper left of `area`.
    pub fn new(
        points: &[PathPoint],
        marks: &[Mark],
        ends: [&str; 2],
        to_dots: impl Fn((f64, f64)) -> (f64, f64),
        style: Style,
        area: Rect,
        theme: Theme,
    ) -> Self {
        let strong = style.patch(theme.strong());
        let places: Vec<(f64, f64)> = points.iter().map(|p| to_dots((p.x, p.y))).collect();
        let mut signs = line(points, &places, style, area, theme);
        signs.extend(arrows(&places, strong, area, theme));
        let marked = marks.iter().filter_map(|mark| Some((mark, cell(to_dots(mark.at), area)?)));
        let marked: Vec<(&Mark, (u16, u16))> = marked.collect();
        let sign = |(mark, (column, row)): &(&Mark, (u16, u16))| {
            (*column, *row, mark_symbol(mark.by_hand, theme), theme.warning())
        };
        let mut fixed: Vec<Sign> = marked.iter().map(sign).collect();
        let mut words: Vec<Word<'_>> = Vec::new();
        let (first, newest) = end_symbols(theme);
        let symbols = [(places.first(), first), (places.last(), newest)];
        for ((place, symbol), word) in symbols.into_iter().zip(ends) {
            if let Some((column, row)) = place.and_then(|p| cell(*p, area)) {
                fixed.push((column, row, symbol, strong));
                words.push((word, (column, row), strong));
            }
        }
        words.retain(|(word, ..)| !word.is_empty());
        words.extend(marked.iter().map(|(mark, at)| (&*mark.label, *at, theme.warning())));
        let labels = if area.width >= WIDE_FOR_LABELS {
            labels(&words, &fixed, &signs, area)
        } else {
            Vec::new()
        };
        signs.extend(fixed.into_iter().chain(labels));
        Self { area, signs }
    }

    /// What it covers of the screen.
    pub fn taken(&self) -> Vec<Taken> {
        let place = |(column, row, ..): &Sign| (self.area.x + column, self.area.y + row);
        Taken::runs(self.signs.iter().map(place))
    }

    /// Draws it; `under` is the style of the field at a column and row of the area.
    pub fn draw(&self, under: impl Fn(u16, u16) -> Style, buf: &mut Buffer) {
        for (column, row, symbol, style) in &self.signs {
            let style = under(*column, *row).patch(*style);
            put(buf, self.area.x + column, self.area.y + row, *symbol, style);
        }
    }
}

/// The line, each stretch in the colour of its angle, in the arm's where that is not known.
fn line(
    points: &[PathPoint],
    places: &[(f64, f64)],
    style: Style,
    area: Rect,
    theme: Theme,
) -> Vec<Sign> {
    let mut raster = Raster::new(area.width, area.height);
    // Thicker than an isoline where there is room.
    let offsets: &[(f64, f64)] = match area.width {
        ..THICK => &[(0.0, 0.0)],
        _ => &[(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.0, 0.0)],
    };
    for (ink, pair) in places.windows(2).enumerate() {
        for (dx, dy) in offsets {
            let moved = |(x, y): (f64, f64)| (x + dx, y + dy);
            raster.line(moved(pair[0]), moved(pair[1]), ink);
        }
    }
    let plain = theme.ascii || !theme.has_colors();
    let mut signs = Vec::new();
    for row in 0..area.height {
        for column in 0..area.width {
            let cell = raster.cell(column, row);
            if cell.mask == 0 {
                continue;
            }
            let angle = points.get(cell.ink).map_or(f64::NAN, |p| p.angle_deg);
            let symbol = if plain { theme.angle_letter(angle) } else { cell.symbol() };
            let style = if angle.is_finite() { theme.angle(angle) } else { style };
            signs.push((column, row, symbol, style.patch(theme.strong())));
        }
    }
    signs
}

fn arrows(places: &[(f64, f64)], style: Style, area: Rect, theme: Theme) -> Vec<Sign> {
    let way = Way::along(places.iter().copied());
    let count = (way.length() / ARROW_EVERY).min(MOST_ARROWS);
    // Not a number compares as false.
    let count = if count >= 0.4 { count.ceil() } else { 0.0 };
    let arrow = |i: usize| {
        let at = (i as f64 + 0.5) / count * way.length();
        let (from, to) = (way.at(at - ARROW_REACH), way.at(at + ARROW_REACH));
        let turn = (to.1 - from.1).atan2(to.0 - from.0) / std::f64::consts::FRAC_PI_4;
        let arrows = if theme.ascii { ASCII_ARROWS } else { ARROWS };
        let symbol = arrows[(turn.round() as i64).rem_euclid(8) as usize];
        let (column, row) = cell(way.at(at), area)?;
        Some((column, row, symbol, style))
    };
    (0..count as usize).filter_map(arrow).collect()
}

/// A text, the column and row that it belongs to, and how it is written.
type Word<'a> = (&'a str, (u16, u16), Style);

/// Words beside what they belong to, off the line if they can, and where neither marks nor other words are; one without a
/// place is left out.
fn labels(words: &[Word<'_>], fixed: &[Sign], line: &[Sign], area: Rect) -> Vec<Sign> {
    let mut taken: Vec<(u16, u16, u16)> = fixed.iter().map(|s| (s.1, s.0, s.0)).collect();
    let mut signs = Vec::new();
    for (word, (column, row), style) in words {
        let wide = columns(word);
        let (right, left) = (column + 2, column.wrapping_sub(wide + 1));
        let (above, below) = (row.wrapping_sub(1), row + 1);
        let places = [
            (right, *row),
            (left, *row),
            (right, above),
            (right, below),
            (left, above),
            (left, below),
        ];
        let is_free = |(x, y): &(u16, u16)| {
            let end = x.saturating_add(wide);
            let clear = |t: &(u16, u16, u16)| t.0 != *y || end < t.1 || *x > t.2 + 1;
            *y < area.height && end <= area.width && taken.iter().all(clear)
        };
        let is_off = |(x, y): &(u16, u16)| {
            let end = x.saturating_add(wide);
            line.iter().all(|(column, row, ..)| row != y || end < *column || x > column)
        };
        let off = places.iter().find(|p| is_free(p) && is_off(p));
        let Some((x, y)) = off.or_else(|| places.iter().find(|p| is_free(p))).copied() else {
            continue;
        };
        for (symbol, at) in word.chars().zip(x..area.width) {
            signs.push((at, y, symbol, *style));
        }
        taken.push((y, x, x + wide));
    }
    signs
}

/// The column and row that hold a place in dots; none outside, or for no number.
pub fn cell((x, y): (f64, f64), area: Rect) -> Option<(u16, u16)> {
    let (wide, high) = (f64::from(area.width) * 2.0, f64::from(area.height) * 4.0);
    let inside = x >= 0.0 && y >= 0.0 && x < wide && y < high;
    inside.then(|| ((x / 2.0) as u16, (y / 4.0) as u16))
}

/// A polyline by the length of the way along it.
struct Way {
    /// Length up to a point, and the point.
    points: Vec<(f64, (f64, f64))>,
}

impl Way {
    /// Along the points that are numbers.
    fn along(points: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut way: Vec<(f64, (f64, f64))> = Vec::new();
        for point in points.filter(|p| p.0.is_finite() && p.1.is_finite()) {
            let length = match way.last() {
                Some((length, last)) => length + (point.0 - last.0).hypot(point.1 - last.1),
                None => 0.0,
            };
            way.push((length, point));
        }
        Self { points: way }
    }

    fn length(&self) -> f64 {
        self.points.last().map_or(0.0, |(length, _)| *length)
    }

    /// The point after so much of the way; an end before or behind.
    fn at(&self, length: f64) -> (f64, f64) {
        let next = self.points.partition_point(|(l, _)| *l < length);
        let nan = (f64::NAN, f64::NAN);
        let Some((l1, to)) = self.points.get(next) else {
            return self.points.last().map_or(nan, |(_, p)| *p);
        };
        let Some((l0, from)) = next.checked_sub(1).and_then(|i| self.points.get(i)) else {
            return *to;
        };
        let part = (length - l0) / (l1 - l0);
        (from.0 + part * (to.0 - from.0), from.1 + part * (to.1 - from.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::theme::ColorDepth;

    const THEME: Theme = Theme { depth: ColorDepth::True, ascii: false };

    /// A path straight across a field of 40 by 20, in dots.
    fn drawn(points: &[(f64, f64)], angle: f64, marks: &[Mark], theme: Theme) -> Buffer {
        let area = Rect::new(0, 0, 40, 20);
        let mut buf = Buffer::empty(area);
        let point = |(x, y): &(f64, f64)| {
            let mut p = PathPoint::new(0, (*x, *y), 1.0);
            p.angle_deg = angle;
            p
        };
        let points: Vec<PathPoint> = points.iter().map(point).collect();
        let track = Track::new(&points, marks, ["", ""], |p| p, theme.arm(0), area, theme);
        track.draw(|_, _| Style::default(), &mut buf);
        buf
    }

    fn row(buf: &Buffer, y: u16) -> String {
        (0..buf.area.width).map(|x| buf[(x, y)].symbol()).collect()
    }

    #[test]
    fn arrows_point_the_way_that_the_path_goes() {
        let arrow = |from, to| {
            let buf = drawn(&[from, to], 0.0, &[], THEME);
            let found =
                buf.content.iter().find(|c| ARROWS.iter().any(|a| c.symbol() == a.to_string()));
            found.map(|c| c.symbol().to_owned()).unwrap()
        };
        assert_eq!(arrow((2.0, 40.0), (70.0, 40.0)), "→");
        assert_eq!(arrow((70.0, 40.0), (2.0, 40.0)), "←");
        assert_eq!(arrow((20.0, 70.0), (20.0, 10.0)), "↑");
        assert_eq!(arrow((10.0, 10.0), (70.0, 70.0)), "↘");
    }

    #[test]
    fn a_line_has_the_colour_of_its_angle() {
        let across = drawn(&[(2.0, 41.0), (70.0, 41.0)], 90.0, &[], THEME);
        assert_eq!(across[(5, 10)].fg, THEME.angle(90.0).fg.unwrap());
        let unknown = drawn(&[(2.0, 41.0), (70.0, 41.0)], f64::NAN, &[], THEME);
        assert_eq!(unknown[(5, 10)].fg, THEME.arm(0).fg.unwrap());
        let plain = Theme { depth: ColorDepth::None, ascii: true };
        let letters = |angle| row(&drawn(&[(2.0, 41.0), (70.0, 41.0)], angle, &[], plain), 10);
        assert!(letters(85.0).contains("xxx") && letters(3.0).contains("==="));
        assert!(letters(-85.0).contains("uuu") && letters(45.0).starts_with(" Sooo"));
    }

    #[test]
    fn marks_have_labels_where_there_is_room() {
        let mark =
            |x: f64, label: &str| Mark { at: (x, 41.0), label: label.to_owned(), by_hand: true };
        let marks = [mark(20.0, "wd 0"), mark(22.0, "lr 0.1"), mark(76.0, "b 64")];
        let buf = drawn(&[(2.0, 41.0), (78.0, 41.0)], 0.0, &marks, THEME);
        let all: Vec<String> = (9..12).map(|y| row(&buf, y)).collect();
        for label in ["wd 0", "lr 0.1", "b 64"] {
            assert_eq!(all.iter().filter(|r| r.contains(label)).count(), 1, "{label} {all:#?}");
        }
        assert!(all[1].contains("◆◆") && all[1].contains('◉'), "{all:#?}");
    }
}
