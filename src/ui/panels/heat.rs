//! Gradient norms over the run: steps across, layers down, colour for the norm.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::flow::Decades;
use super::side_by_side;
use crate::telemetry::snapshot::{FlowRow, Snapshot};
use crate::ui::paint::{put, text};
use crate::ui::theme::Theme;
use crate::ui::view::ViewState;

/// From little to much, where there are no colours.
const DENSITY: [char; 8] = [' ', '.', ':', '-', '=', '+', '#', '@'];

/// Draws all arms' heat maps on the scale of the bars above them.
pub fn render(snapshot: &Snapshot, scale: Decades, view: &ViewState, area: Rect, buf: &mut Buffer) {
    if area.height < 3 {
        return;
    }
    let theme = view.theme;
    text(buf, area.x, area.y, area.width, "over the run: stem on top, head below", theme.dim());
    let field = Rect { y: area.y + 1, height: area.height - 2, ..area };
    for (arm, part) in snapshot.arms.values().zip(side_by_side(field, snapshot.arms.len())) {
        let rows = &arm.flow.rows;
        if rows.is_empty() {
            continue;
        }
        for column in 0..part.width {
            draw_column(&rows[at(rows, column, part.width)], scale, part, column, buf, theme);
        }
        let (first, last) = (rows[0].step, rows[rows.len() - 1].step);
        let line = format!("step {first} to {last}");
        text(buf, part.x, part.bottom(), part.width, &line, theme.dim());
    }
}

/// Which row stands in a column of so many: by its step, as the rows of a long run that was read back are not even.
fn at(rows: &[FlowRow], column: u16, columns: u16) -> usize {
    let (first, last) = (rows[0].step, rows[rows.len() - 1].step);
    let span = u128::from(last.saturating_sub(first));
    // An even row holds up to the next one, the last as long as the others.
    let each = span.checked_div(rows.len() as u128 - 1).unwrap_or(0);
    let step = u128::from(first) + (span + each) * u128::from(column) / u128::from(columns.max(1));
    rows.partition_point(|row| u128::from(row.step) <= step).saturating_sub(1)
}

/// One step: two layers' places to a character, upper and lower half.
fn draw_column(
    row: &FlowRow,
    scale: Decades,
    part: Rect,
    column: u16,
    buf: &mut Buffer,
    theme: Theme,
) {
    let halves = usize::from(part.height) * 2;
    let place = |half: usize| {
        let layer = half * row.norms.len() / halves;
        row.norms.get(layer).and_then(|v| scale.place(*v))
    };
    for line in 0..part.height {
        let (upper, lower) = (place(usize::from(line) * 2), place(usize::from(line) * 2 + 1));
        let (x, y) = (part.x + column, part.y + line);
        if theme.has_colors() && !theme.ascii {
            let color = |p: Option<f64>| p.map(|p| theme.color(theme.heat_color(p)));
            let style = Style { fg: color(upper), bg: color(lower), ..Style::default() };
            put(buf, x, y, if upper.is_some() { '▀' } else { ' ' }, style);
        } else if let Some(p) = upper.or(lower) {
            let symbol = DENSITY[((p * 7.99) as usize).min(7)];
            put(buf, x, y, symbol, Style::default().fg(theme.color(theme.heat_color(p))));
        }
    }
}
