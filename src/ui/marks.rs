//! What stands on a surface: the weights.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::paint::put;
use super::theme::Theme;
use super::track::cell;

/// The weights at a place in dots; `under` is the style of what is written at a place of the area, 0 to 1.
pub fn center(
    at: (f64, f64),
    under: &impl Fn(f64, f64) -> Style,
    area: Rect,
    buf: &mut Buffer,
    theme: Theme,
) {
    let Some((column, row)) = cell(at, area) else { return };
    let across = (f64::from(column) + 0.5) / f64::from(area.width);
    let down = (f64::from(row) + 0.5) / f64::from(area.height);
    let symbol = if theme.ascii { 'X' } else { '✚' };
    put(buf, area.x + column, area.y + row, symbol, under(across, down).patch(theme.strong()));
}
