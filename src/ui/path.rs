//! The training's path on a surface, in characters: each stretch in the colour, or as the character, of its angle to the
//! isocurves; and the key to them.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

use super::braille::Raster;
use super::marks::cell;
use super::paint::{Piece, columns, pieces, put, text};
use super::theme::Theme;
use crate::geometry::color::{Rgb, ramp};
use crate::telemetry::chart::Path;

/// Columns from which on the ends of a path are told in words.
const WIDE_FOR_WORDS: u16 = 30;
/// From along to across, bright enough for a dark screen and dark enough for a bright one, told apart also by the
/// colour-blind.
const ANGLES: [Rgb; 3] = [(60, 140, 255), (190, 140, 200), (255, 140, 20)];
/// Uphill, which has a character of its own too.
const UPHILL: Rgb = (240, 80, 200);
/// Degrees from which on a stretch, where there are no colours, is neither along nor across; and across.
const SLANTED: (f64, f64) = (30.0, 60.0);
/// Dots of the path between two arrows.
const ARROW_EVERY: f64 = 26.0;
/// From the right on, against the clock.
const ARROWS: [char; 8] = ['→', '↗', '↑', '↖', '←', '↙', '↓', '↘'];
/// Columns of the key's scale.
const SCALE: u16 = 9;

/// The colour of an angle to the isocurves, degrees: [`Theme::error`]'s where it is not known, as of a path without angles.
pub fn style(degrees: Option<f64>, theme: Theme) -> Style {
    let fg = |rgb| Style::default().fg(theme.color(rgb));
    match degrees {
        _ if !theme.has_colors() => theme.error(),
        None => theme.error(),
        Some(up) if up < 0.0 => fg(UPHILL),
        Some(phi) => fg(ramp(&ANGLES, phi / 90.0)),
    }
}

/// The character of an angle where there are no colours: along as two lines side by side, across as lines that cross.
pub fn letter(degrees: Option<f64>) -> char {
    match degrees {
        Some(up) if up < 0.0 => '^',
        Some(phi) if phi < SLANTED.0 => '=',
        Some(phi) if phi >= SLANTED.1 => '#',
        _ => '*',
    }
}

/// Draws the path, its direction, its marks and its ends; `to_dots` says where a place of the surface lies, in braille's dots from the
/// area's upper left, not a number where nowhere.
pub fn draw(
    path: &Path,
    to_dots: &impl Fn((f64, f64)) -> (f64, f64),
    area: Rect,
    buf: &mut Buffer,
    theme: Theme,
) {
    let mut raster = Raster::new(area.width, area.height);
    for (stretch, pair) in path.points.windows(2).enumerate() {
        raster.line(to_dots(pair[0]), to_dots(pair[1]), stretch);
    }
    let plain = theme.ascii || !theme.has_colors();
    for row in 0..area.height {
        for column in 0..area.width {
            let dots = raster.cell(column, row);
            if dots.mask != 0 {
                let angle = path.angle(dots.ink);
                let symbol = match angle {
                    // Without colours it must look otherwise than isolines do.
                    _ if plain => letter(angle),
                    Some(up) if up < 0.0 => '▴',
                    _ => dots.symbol(),
                };
                put(buf, area.x + column, area.y + row, symbol, style(angle, theme));
            }
        }
    }
    if !theme.ascii && path.has_angles() {
        arrows(path, to_dots, area, buf, theme);
    }
    let mark = if theme.ascii { '%' } else { '◆' };
    for (place, _) in &path.marks {
        if let Some((x, y)) = cell(to_dots(*place), area) {
            put(buf, x, y, mark, theme.strong().fg(Color::Reset));
        }
    }
    let (start, end) = if theme.ascii { ('o', '@') } else { ('○', '●') };
    // Stretches have colours that mean something: the ends have none.
    let ends = if path.has_angles() { theme.strong().fg(Color::Reset) } else { theme.error() };
    for (point, symbol, word) in
        [(path.points.first(), start, &path.ends.0), (path.points.last(), end, &path.ends.1)]
    {
        let Some((x, y)) = point.and_then(|p| cell(to_dots(*p), area)) else { continue };
        put(buf, x, y, symbol, ends);
        // Blanks around it, so that no isoline's label runs into it.
        let word = format!(" {word} ");
        let wide = columns(&word);
        let fits = x + 1 + wide <= area.right();
        // Off the path where that leaves to the right, as well as characters allow: on the line above, or below.
        let row = if y > area.y { y - 1 } else { y + 1 };
        let column = if fits { x + 1 } else { x.saturating_sub(wide).max(area.x) };
        let with_words = area.width >= WIDE_FOR_WORDS && row < area.bottom();
        if with_words && wide <= area.right().saturating_sub(column) {
            text(buf, column, row, wide, &word, ends);
        }
    }
}

/// Arrows along the path, one to a stretch at most.
fn arrows(
    path: &Path,
    to_dots: &impl Fn((f64, f64)) -> (f64, f64),
    area: Rect,
    buf: &mut Buffer,
    theme: Theme,
) {
    let mut until = ARROW_EVERY / 2.0;
    for (stretch, pair) in path.points.windows(2).enumerate() {
        let (from, to) = (to_dots(pair[0]), to_dots(pair[1]));
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        if !length.is_finite() {
            continue;
        }
        until -= length;
        if until < 0.0
            && let Some((x, y)) = cell((from.0 + 0.6 * dx, from.1 + 0.6 * dy), area)
        {
            // Dots run down, angles up.
            let eighth = (-dy).atan2(dx).to_degrees() / 45.0;
            let symbol = ARROWS[eighth.round().rem_euclid(8.0) as usize % ARROWS.len()];
            put(buf, x, y, symbol, style(path.angle(stretch), theme));
            until = ARROW_EVERY;
        }
    }
}

/// The key to the colours or characters, on a line.
pub fn key(line: Rect, buf: &mut Buffer, theme: Theme) {
    let plain = |text: &str| (text.to_owned(), theme.dim());
    let told: Vec<Piece> = if theme.ascii || !theme.has_colors() {
        vec![
            plain("path: = along the isocurves"),
            plain("  * slanted"),
            plain("  # across"),
            plain("  ^ uphill"),
        ]
    } else {
        let cell = |i: u16| {
            ("█".to_owned(), style(Some(90.0 * f64::from(i) / f64::from(SCALE - 1)), theme))
        };
        let mut told = vec![plain("path: along 0° ")];
        told.extend((0..SCALE).map(cell));
        told.extend([
            plain(" 90° across  "),
            ("▴".to_owned(), style(Some(-1.0), theme)),
            plain(" uphill"),
        ]);
        told
    };
    pieces(buf, line.x, line.y, line.width, &told);
}

#[cfg(test)]
mod tests {
    use super::super::theme::ColorDepth;
    use super::*;

    const COLORS: Theme = Theme { depth: ColorDepth::True, ascii: false };
    const ASCII: Theme = Theme { depth: ColorDepth::None, ascii: true };

    fn drawn(theme: Theme) -> Buffer {
        let path = Path {
            points: vec![(0.0, 2.0), (20.0, 2.0), (40.0, 2.0), (60.0, 2.0), (79.0, 2.0)],
            angles: vec![5.0, 45.0, 85.0, -30.0, f64::NAN],
            marks: vec![((62.0, 2.0), "wd 0".to_owned())],
            ..Path::default()
        };
        let area = Rect::new(0, 0, 40, 1);
        let mut buf = Buffer::empty(area);
        draw(&path, &|p| p, area, &mut buf, theme);
        buf
    }

    #[test]
    fn stretches_are_told_apart_without_colours() {
        let text: String = drawn(ASCII).content.iter().map(|c| c.symbol()).collect();
        assert_eq!(text, "o=========**********##########^%^^^^^^^@");
    }

    #[test]
    fn stretches_have_the_colours_of_their_angles_and_arrows() {
        let buf = drawn(COLORS);
        let color = |x: usize| buf.content[x].fg;
        let of = |degrees| style(Some(degrees), COLORS).fg.unwrap();
        assert_eq!(
            [color(3), color(13), color(24), color(37)],
            [of(5.0), of(45.0), of(85.0), of(-30.0)]
        );
        assert_eq!(buf.content[37].symbol(), "▴");
        assert!(buf.content.iter().any(|c| c.symbol() == "→"), "{buf:?}");
        assert!(!buf.content.iter().any(|c| c.symbol() == "←"));
    }
}
