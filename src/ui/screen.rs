//! The whole screen: header, panels, bottom line, overlay.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::paint::text;
use super::panels::{self, footer, overlay, status};
use super::view::{PanelId, ViewState};
use crate::telemetry::snapshot::Snapshot;

/// Least columns and rows on which the panels can be read.
pub const LEAST: (u16, u16) = (60, 18);
/// Columns and rows from which on the panels have unequal shares: plots need width, maps height.
const LARGE: (u16, u16) = (110, 36);

/// Draws everything.
pub fn render(snapshot: &Snapshot, view: &ViewState, area: Rect, buf: &mut Buffer) {
    if area.width < LEAST.0 || area.height < LEAST.1 {
        too_small(view, area, buf);
        return;
    }
    let top = status::height(snapshot, area.height.saturating_sub(LEAST.1 - 6));
    let header = Rect { height: top, ..area };
    let bottom = Rect { y: area.bottom() - 1, height: 1, ..area };
    let body = Rect { y: area.y + top, height: area.height - top - 1, ..area };
    status::render(snapshot, view, header, buf);
    if view.zoomed {
        panels::render(view.focus, snapshot, view, body, buf);
    } else {
        for (panel, place) in layout(body) {
            panels::render(panel, snapshot, view, place, buf);
        }
    }
    footer::render(snapshot, view, bottom, buf);
    overlay::render(snapshot, view, area, buf);
}

/// Where the panels stand: curves over angle on the left, flow over maps on the right.
fn layout(body: Rect) -> [(PanelId, Rect); 4] {
    let left = Rect { width: body.width / 2, ..body };
    let right = Rect { x: left.right(), width: body.width - left.width, ..body };
    let large = body.width >= LARGE.0 && body.height >= LARGE.1 - 6;
    let (left_top, right_top) = if large {
        (body.height * 3 / 5, body.height * 9 / 20)
    } else {
        (body.height / 2, body.height / 2)
    };
    let split = |side: Rect, top: u16| {
        let below = Rect { y: side.y + top, height: side.height - top, ..side };
        (Rect { height: top, ..side }, below)
    };
    let ((curves, angle), (flow, maps)) = (split(left, left_top), split(right, right_top));
    [
        (PanelId::Curves, curves),
        (PanelId::Flow, flow),
        (PanelId::Angle, angle),
        (PanelId::Maps, maps),
    ]
}

fn too_small(view: &ViewState, area: Rect, buf: &mut Buffer) {
    let (columns, rows) = LEAST;
    let lines = [
        "landscope".to_owned(),
        format!("needs {columns}x{rows}"),
        format!("this is {}x{}", area.width, area.height),
        "q leaves, the run goes on".to_owned(),
    ];
    for (line, y) in lines.iter().zip(area.y..area.bottom()) {
        text(buf, area.x, y, area.width, line, view.theme.text());
    }
}
