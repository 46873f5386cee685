//! What stands on a surface: the weights.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::paint::put;
use super::theme::Theme;

/// The character that holds a place given in braille's dots from the area's upper left; none outside, or for no number.
pub fn cell((x, y): (f64, f64), area: Rect) -> Option<(u16, u16)> {
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
