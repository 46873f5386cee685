//! The panels: each draws a part of a snapshot into a rectangle, and nothing else.

pub mod angle;
pub mod blocks;
pub mod curves;
pub mod flow;
pub mod footer;
pub mod heat;
pub mod histograms;
pub mod maps;
pub mod overlay;
mod salt;
pub mod status;
pub mod trajectory;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::format;
use super::paint::{self, Piece};
use super::view::{PanelId, ViewState};
use crate::telemetry::event::{ControlChange, FORK, PAUSED};
use crate::telemetry::snapshot::Snapshot;

/// Draws one of the panels.
pub fn render(panel: PanelId, snapshot: &Snapshot, view: &ViewState, area: Rect, buf: &mut Buffer) {
    match panel {
        PanelId::Curves => curves::render(snapshot, view, area, buf),
        PanelId::Flow => flow::render(snapshot, view, area, buf),
        PanelId::Angle => angle::render(snapshot, view, area, buf),
        PanelId::Maps => maps::render(snapshot, view, area, buf),
        PanelId::Trajectory => trajectory::render(snapshot, view, area, buf),
    }
}

/// A panel's frame with its title; what is left inside.
fn framed(panel: PanelId, title: &[Piece], view: &ViewState, area: Rect, buf: &mut Buffer) -> Rect {
    paint::frame(buf, area, title, view.focus == panel, view.theme)
}

/// An arm's badge and name.
fn arm_piece(snapshot: &Snapshot, index: usize, view: &ViewState) -> Piece {
    let name = snapshot.arms.values().nth(index).map_or("", |a| a.info.name.as_str());
    (format!("{} {name}", view.theme.badge(index)), view.theme.arm(index))
}

/// `area` in `count` parts side by side with a column between them; the rest goes to the first ones.
fn side_by_side(area: Rect, count: usize) -> Vec<Rect> {
    let count = u16::try_from(count).unwrap_or(u16::MAX).max(1);
    let room = area.width.saturating_sub(count - 1);
    let mut x = area.x;
    (0..count)
        .map(|i| {
            let width = room / count + u16::from(i < room % count);
            let part = Rect { x, width, ..area };
            x += width + 1;
            part.intersection(area)
        })
        .collect()
}

/// `area` in a grid of `count` parts, as near to square as the characters' shape (1 by 2) allows.
fn grid(area: Rect, count: usize) -> Vec<Rect> {
    let count = count.max(1);
    let best = (1..=count).max_by_key(|columns| {
        let rows = count.div_ceil(*columns);
        let (w, h) = (usize::from(area.width) / columns, usize::from(area.height) / rows * 2);
        (w.min(h), count - columns)
    });
    let columns = best.unwrap_or(1);
    let rows = u16::try_from(count.div_ceil(columns)).unwrap_or(1);
    let height = area.height / rows;
    let lines = (0..rows).map(|r| Rect { y: area.y + r * height, height, ..area });
    lines.flat_map(|line| side_by_side(line, columns)).take(count).collect()
}

/// The last step on the axis of a plot: round, not far beyond what is done, not beyond the run.
fn last_step(snapshot: &Snapshot) -> f64 {
    let planned = snapshot.run.steps.max(2) as f64;
    let mut decade = 10.0;
    while decade < planned {
        for round in [decade, 2.0 * decade, 5.0 * decade] {
            if snapshot.step as f64 <= round {
                return round.min(planned);
            }
        }
        decade *= 10.0;
    }
    planned
}

/// A change by hand in a word.
fn change_label(m: &ControlChange) -> String {
    match m.key.as_str() {
        "weight_decay" => format!("wd {}", format::setting(m.to)),
        "batch" => format!("b {:.0}", m.to),
        PAUSED if m.to != 0.0 => "pause".to_owned(),
        PAUSED => "go".to_owned(),
        FORK => m.name.as_ref().map_or_else(|| FORK.to_owned(), ToString::to_string),
        key => format!("{key} {}", format::setting(m.to)),
    }
}

/// Changes by hand as marks for a plot.
fn marks(snapshot: &Snapshot) -> Vec<(f64, String)> {
    snapshot.marks.iter().map(|m| (m.step as f64, change_label(m))).collect()
}
