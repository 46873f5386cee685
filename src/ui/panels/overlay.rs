//! What lies over the panels: the help, and the question before quitting.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::telemetry::snapshot::{Phase, Snapshot};
use crate::ui::keys::KEYS;
use crate::ui::paint::{clear, columns, frame, text};
use crate::ui::view::{Overlay, ViewState};

/// Draws what lies on top, if anything does.
pub fn render(snapshot: &Snapshot, view: &ViewState, area: Rect, buf: &mut Buffer) {
    match view.overlay {
        Overlay::None => {}
        Overlay::Help => boxed(" keys ", &help_lines(), view, area, buf),
        Overlay::Quit => boxed(" quit? ", &quit_lines(snapshot), view, area, buf),
    }
}

fn help_lines() -> Vec<String> {
    let keys = KEYS.iter().map(|b| columns(b.keys)).max().unwrap_or(0);
    let width = usize::from(keys);
    KEYS.iter().map(|b| format!("{:>width$}  {}", b.keys, b.help)).collect()
}

fn quit_lines(snapshot: &Snapshot) -> Vec<String> {
    let what = match snapshot.phase {
        Phase::Ended(_) => "The run is over; everything is on disk.",
        _ => "The run will stop after a checkpoint.",
    };
    let folder = &snapshot.run.folder;
    let mut lines = vec![what.to_owned()];
    if !folder.is_empty() {
        lines.push(format!("Run folder: {folder}"));
    }
    lines.extend([String::new(), "y or Enter  quit      any other key  stay".to_owned()]);
    lines
}

fn boxed(title: &str, lines: &[String], view: &ViewState, area: Rect, buf: &mut Buffer) {
    let inside = lines.iter().map(|l| columns(l)).max().unwrap_or(0);
    let width = (inside + 4).min(area.width);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    clear(buf, place);
    let title = [(title.to_owned(), view.theme.strong())];
    let inner = frame(buf, place, &title, true, view.theme);
    for (line, y) in lines.iter().zip(inner.y..inner.bottom()) {
        text(buf, inner.x + 1, y, inner.width.saturating_sub(2), line, view.theme.text());
    }
}
