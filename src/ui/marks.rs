//! What stands on a surface: the weights, and the training's path.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::braille::Raster;
use super::paint::{columns, put, text};
use super::theme::Theme;
use crate::telemetry::chart::Path;

/// Columns from which on the ends of a path are told in words.
const WIDE_FOR_WORDS: u16 = 30;

/// The character that holds a place given in braille's dots from the area's upper left; none outside, or for no number.
fn cell((x, y): (f64, f64), area: Rect) -> Option<(u16, u16)> {
    let (wide, high) = (f64::from(area.width) * 2.0, f64::from(area.height) * 4.0);
    let inside = x >= 0.0 && y >= 0.0 && x < wide && y < high;
    inside.then(|| (area.x + (x / 2.0) as u16, area.y + (y / 4.0) as u16))
}

/// The weights at a place in dots; `under` is the style of what is written at a place of the area, 0 to 1.
pub fn center(
    at: (f64, f64),
    under: &impl Fn(f64, f64) -> Style,
    area: Rect,
    buf: &mut Buffer,
    theme: Theme,
) {
    let Some((x, y)) = cell(at, area) else { return };
    let across = (f64::from(x - area.x) + 0.5) / f64::from(area.width);
    let down = (f64::from(y - area.y) + 0.5) / f64::from(area.height);
    let symbol = if theme.ascii { 'X' } else { '✚' };
    put(buf, x, y, symbol, under(across, down).patch(theme.strong()));
}

/// The training's path, its ends marked; `to_dots` says where a place of the surface lies, not a number where nowhere.
pub fn path(
    path: &Path,
    to_dots: &impl Fn((f64, f64)) -> (f64, f64),
    area: Rect,
    buf: &mut Buffer,
    theme: Theme,
) {
    let mut raster = Raster::new(area.width, area.height);
    for pair in path.points.windows(2) {
        raster.line(to_dots(pair[0]), to_dots(pair[1]), 0);
    }
    let plain = theme.ascii || !theme.has_colors();
    for row in 0..area.height {
        for column in 0..area.width {
            let dots = raster.cell(column, row);
            if dots.mask != 0 {
                // Without colours it must look otherwise than isolines do.
                let symbol = if plain { '*' } else { dots.symbol() };
                put(buf, area.x + column, area.y + row, symbol, theme.error());
            }
        }
    }
    let (start, end) = if theme.ascii { ('o', '@') } else { ('○', '●') };
    for (point, symbol, word) in
        [(path.points.first(), start, &path.ends.0), (path.points.last(), end, &path.ends.1)]
    {
        let Some((x, y)) = point.and_then(|p| cell(to_dots(*p), area)) else { continue };
        put(buf, x, y, symbol, theme.error());
        // Blanks around it, so that no isoline's label runs into it.
        let word = format!(" {word} ");
        let wide = columns(&word);
        let fits = x + 1 + wide <= area.right();
        // Off the path where that leaves to the right, as well as characters allow: on the line above, or below.
        let row = if y > area.y { y - 1 } else { y + 1 };
        let column = if fits { x + 1 } else { x.saturating_sub(wide).max(area.x) };
        let with_words = area.width >= WIDE_FOR_WORDS && row < area.bottom();
        if with_words && wide <= area.right().saturating_sub(column) {
            text(buf, column, row, wide, &word, theme.error());
        }
    }
}
