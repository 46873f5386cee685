//! How often each arm's steps took which angle, before and after the newest change of weight decay.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{arm_piece, side_by_side};
use crate::geometry::histogram::{BIN_DEG, BINS};
use crate::telemetry::angles::AngleHistogram;
use crate::telemetry::snapshot::Snapshot;
use crate::ui::format;
use crate::ui::paint::{Piece, columns, pieces, put, text};
use crate::ui::theme::Theme;
use crate::ui::view::ViewState;

/// Eighths of a full block.
const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns of a bar at most.
const WIDEST: u16 = 3;
/// Columns below which two histograms do not stand side by side.
const LEAST_WIDTH: u16 = 40;

/// Rows that the histograms of so many arms take of `room`, with bars of at most `highest` rows; none where it is too
/// little.
pub fn rows(arms: u16, width: u16, room: u16, highest: u16) -> u16 {
    if arms == 0 || width < LEAST_WIDTH {
        return 0;
    }
    // A heading, and for each arm a line of words and its bars.
    let bars = (room.saturating_sub(1) / arms).saturating_sub(1).min(highest);
    if bars == 0 { 0 } else { 1 + arms * (1 + bars) }
}

/// Draws them, in as many rows as [`rows`] says.
pub fn render(snapshot: &Snapshot, view: &ViewState, area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let arms = u16::try_from(snapshot.arms.len()).unwrap_or(u16::MAX).max(1);
    let each = area.height.saturating_sub(1) / arms;
    if each < 2 {
        return;
    }
    let to = if theme.ascii { "to" } else { "…" };
    let heading: [Piece; 3] = [
        ("steps by |angle|".to_owned(), theme.strong()),
        (format!(" 0 along {to} 90 across"), theme.dim()),
        (if view.plane { ", in the plane" } else { ", full space" }.to_owned(), theme.dim()),
    ];
    pieces(buf, area.x, area.y, area.width, &heading);
    let names =
        snapshot.arms.values().map(|a| columns(a.info.name.as_str()) + 4).max().unwrap_or(0);
    for ((id, arm), y) in snapshot.arms.iter().zip((area.y + 1..).step_by(usize::from(each))) {
        let (name, style) = arm_piece(snapshot, id.index(), view);
        text(buf, area.x, y, area.width, &name, style);
        let names = names.min(area.width);
        let place = Rect { x: area.x + names, y, width: area.width - names, height: each };
        let shown = &arm.histograms[arm.histograms.len().saturating_sub(2)..];
        for (histogram, place) in shown.iter().zip(side_by_side(place, 2)) {
            one(histogram, view, place, buf);
        }
    }
}

/// One histogram: its weight decay and the share of steps above 45 degrees, and its bars below.
fn one(histogram: &AngleHistogram, view: &ViewState, place: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let share = histogram.share_across(view.plane);
    let told: [Piece; 4] = [
        (format!("wd {:<6}", format::setting(histogram.weight_decay)), theme.warning()),
        (format!("{:>4}", format::whole_percent(share)), theme.strong()),
        (if theme.ascii { " >45" } else { " >45°" }.to_owned(), theme.dim()),
        (format!("  from step {}", histogram.from_step), theme.dim()),
    ];
    pieces(buf, place.x, place.y, place.width, &told);
    let bars = Rect { y: place.y + 1, height: place.height - 1, ..place };
    let wide = (bars.width / BINS as u16).min(WIDEST);
    let counts = histogram.counts(view.plane);
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    for (bin, count) in counts.iter().take(BINS).enumerate() {
        let filled = *count as f64 / most as f64 * f64::from(bars.height);
        let style = match count {
            0 => theme.dim(),
            _ => theme.angle((bin as f64 + 0.5) * BIN_DEG),
        };
        for up in 0..bars.height {
            let symbol = match (count, up) {
                // Not as one that is hardly filled.
                (0, 0) => Some(if theme.ascii { '.' } else { '·' }),
                _ => symbol(filled - f64::from(up), up == 0, theme),
            };
            let Some(symbol) = symbol else { continue };
            for column in 0..wide {
                let x = bars.x + bin as u16 * wide + column;
                put(buf, x, bars.bottom() - 1 - up, symbol, style);
            }
        }
    }
}

/// What a row of a bar shows that reaches so many rows above the row's foot; a bar's lowest row is never empty, so that
/// the scale is seen.
fn symbol(rows: f64, is_lowest: bool, theme: Theme) -> Option<char> {
    let eighths = (rows * 8.0).round();
    match (theme.ascii, eighths) {
        (_, e) if e < 1.0 => is_lowest.then_some(if theme.ascii { '_' } else { '▁' }),
        (true, e) => Some(if e >= 4.0 { '#' } else { '_' }),
        (false, e) => Some(EIGHTHS[(e as usize - 1).min(7)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_take_what_room_there_is() {
        assert_eq!([4, 5, 9, 90].map(|room| rows(2, 60, room, 3)), [0, 5, 9, 9]);
        assert_eq!([rows(2, 60, 90, 6), rows(2, 20, 90, 6), rows(0, 60, 90, 6)], [15, 0, 0]);
    }
}
