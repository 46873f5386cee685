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
/// Columns and rows from which on all panels are seen at once, the trajectory with them.
const ALL: (u16, u16) = (110, 40);
/// Columns from which on the panels stand in three columns.
const WIDE: u16 = 150;

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
        for (panel, place) in layout(body, view) {
            panels::render(panel, snapshot, view, place, buf);
        }
    }
    footer::render(snapshot, view, bottom, buf);
    overlay::render(snapshot, view, area, buf);
}

/// Where the panels stand: curves over angle on the left; flow over maps and trajectory on the right, which share a place
/// on a small screen; on a wide one the trajectory has a column of its own.
fn layout(body: Rect, view: &ViewState) -> Vec<(PanelId, Rect)> {
    let part = |start: u16, end: u16| Rect { x: body.x + start, width: end - start, ..body };
    let rows = |column: Rect, ends: &[u16]| -> Vec<Rect> {
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let ends = ends.iter().copied().chain([column.height]);
        let one = |(from, to): (u16, u16)| Rect { y: column.y + from, height: to - from, ..column };
        starts.zip(ends).map(one).collect()
    };
    let large = body.width >= LARGE.0 && body.height >= LARGE.1 - 6;
    let all = body.width >= ALL.0 && body.height >= ALL.1 - 8;
    let (width, height) = (body.width, body.height);
    use PanelId::{Angle, Curves, Flow, Maps, Trajectory};
    let columns: Vec<(Rect, Vec<u16>, Vec<PanelId>)> = if all && width >= WIDE {
        // The trajectory's maps are square and the more of them the higher it is: the rest of the width is shared.
        let third = width / 3;
        vec![
            (part(0, third), vec![height / 2], vec![Curves, Angle]),
            (part(third, 2 * third), vec![height / 2], vec![Flow, Maps]),
            (part(2 * third, width), vec![], vec![Trajectory]),
        ]
    } else {
        let (left, right) = (part(0, width / 2), part(width / 2, width));
        if all {
            let ends = vec![height * 3 / 11, height * 6 / 11];
            vec![
                (left, vec![height / 2], vec![Curves, Angle]),
                (right, ends, vec![Flow, Maps, Trajectory]),
            ]
        } else {
            let (front, flow) = match (view.trajectory, large) {
                // Words and a square need more rows than a map that fills its place.
                (true, _) => (Trajectory, height * 2 / 5),
                (false, true) => (Maps, height * 9 / 20),
                (false, false) => (Maps, height / 2),
            };
            let curves = if large { height * 3 / 5 } else { height / 2 };
            vec![(left, vec![curves], vec![Curves, Angle]), (right, vec![flow], vec![Flow, front])]
        }
    };
    let places = columns.into_iter().flat_map(|(column, ends, panels)| {
        panels.into_iter().zip(rows(column, &ends)).collect::<Vec<_>>()
    });
    places.collect()
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
