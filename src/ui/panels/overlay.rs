//! What lies over the panels: the help, and the question before quitting.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::telemetry::snapshot::Snapshot;
use crate::ui::keys::{KEYS, STOP};
use crate::ui::paint::{clear, columns, frame, text};
use crate::ui::view::{Overlay, ViewState};

/// Draws what lies on top, if anything does.
pub fn render(snapshot: &Snapshot, view: &ViewState, area: Rect, buf: &mut Buffer) {
    match view.overlay {
        Overlay::None => {}
        Overlay::Help => boxed(" keys ", &help_lines(), view, area, buf),
        Overlay::Quit => boxed(" quit? ", &quit_lines(snapshot, view), view, area, buf),
    }
}

fn help_lines() -> Vec<String> {
    let keys = KEYS.iter().map(|b| columns(b.keys)).max().unwrap_or(0);
    let width = usize::from(keys);
    KEYS.iter().map(|b| format!("{:>width$}  {}", b.keys, b.help)).collect()
}

fn quit_lines(snapshot: &Snapshot, view: &ViewState) -> Vec<String> {
    let folder = &snapshot.run.folder;
    let mut lines = Vec::new();
    if !folder.is_empty() {
        lines.push(format!("Run folder: {folder}"));
    }
    if snapshot.phase.is_over() {
        lines.insert(0, "The run is over; everything is on disk.".to_owned());
        lines.extend([String::new(), "q or Enter  leave     any other key  stay".to_owned()]);
        return lines;
    }
    lines.extend([String::new(), "d or q  detach: the run goes on".to_owned()]);
    if !view.readonly {
        lines.push(format!("{:6}  stop it after a checkpoint", STOP.1));
    }
    lines.push("any other key  stay".to_owned());
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
