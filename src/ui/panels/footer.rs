//! The bottom line: the answer to the last key, or the keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::telemetry::snapshot::Snapshot;
use crate::ui::keys::KEYS;
use crate::ui::paint::{Piece, columns, pieces, put, text};
use crate::ui::view::{Prompt, ViewState};

/// Draws the line.
pub fn render(snapshot: &Snapshot, view: &ViewState, area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    if let Some(Prompt { text: typed, answer }) = &view.prompt {
        // The end of a line that is longer than the screen is where one types.
        let room = usize::from(area.width).saturating_sub(2);
        let skip = typed.chars().count().saturating_sub(room);
        let shown: String = typed.chars().skip(skip).collect();
        let used = text(buf, area.x, area.y, area.width, &format!(":{shown}"), theme.strong());
        let cursor = if theme.ascii { '_' } else { '▏' };
        put(buf, area.x + used, area.y, cursor, theme.strong());
        let rest = area.width.saturating_sub(used + 2);
        text(buf, area.x + used + 2, area.y, rest, answer, theme.warning());
        return;
    }
    if view.stopping && !snapshot.phase.is_over() {
        text(
            buf,
            area.x,
            area.y,
            area.width,
            "stopping: the checkpoint is being written",
            theme.warning(),
        );
        return;
    }
    let notice = view.notice.as_deref().unwrap_or_default();
    let used = text(buf, area.x, area.y, area.width, notice, theme.warning());
    let mut hints: Vec<Piece> = Vec::new();
    for binding in KEYS.iter().filter(|b| !b.hint.is_empty()) {
        let space = if hints.is_empty() { "" } else { "  " };
        hints.push((format!("{space}{} {}", binding.keys, binding.hint), theme.dim()));
    }
    let start = if used > 0 { used + 3 } else { 0 };
    let room = area.width.saturating_sub(start);
    // From the right end of the list the rarest are left out first, but never the help.
    let help = hints.pop().unwrap_or_default();
    let kept = room.saturating_sub(columns(&help.0));
    let end = pieces(buf, area.x + start, area.y, kept, &hints);
    pieces(buf, area.x + start + end, area.y, room.saturating_sub(end), &[help]);
}
