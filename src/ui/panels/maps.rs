//! Maps of the loss around the weights of each arm: colour field, labelled isolines, centre, age; one scale for all.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{arm_piece, framed, grid};
use crate::geometry::contour::Grid;
use crate::geometry::scale::Scale;
use crate::telemetry::snapshot::{LossMap, MapsView, Phase, Snapshot};
use crate::ui::field::{Field, Fill, Taken, color_bar};
use crate::ui::format;
use crate::ui::paint::{Piece, pieces, put, text};
use crate::ui::theme::Theme;
use crate::ui::view::{PanelId, ViewState};

/// Draws the panel.
pub fn render(snapshot: &Snapshot, view: &ViewState, area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let mut title: Vec<Piece> = vec![(" loss surface".to_owned(), theme.strong())];
    let points = |m: &LossMap| (m.xs.len(), m.ys.len(), m.images);
    if let Some((nx, ny, images)) = snapshot.maps.arms.values().flatten().map(points).next() {
        title.push((format!(" {nx}x{ny}, {images} images"), theme.dim()));
    }
    let nothing = snapshot.maps.arms.values().all(Option::is_none);
    // A run whose maps are all of its paths' planes.
    let elsewhere = nothing && snapshot.path_maps.arms.values().any(Option::is_some);
    if elsewhere {
        title.push((" of the paths alone".to_owned(), theme.dim()));
    } else if let Some(job) = &snapshot.maps.job {
        let share = job.done as f64 / job.total.max(1) as f64;
        title.push((format!(" step {} {:.0}%", job.step, share * 100.0), theme.warning()));
    } else if let Some(next) = snapshot.maps.next_step {
        title.push((format!(" next at step {next}"), theme.dim()));
    }
    title.push((" ".to_owned(), theme.text()));
    let inner = framed(PanelId::Maps, &title, view, area, buf);
    if nothing {
        let hint = match (&snapshot.maps.job, snapshot.maps.next_step) {
            _ if elsewhere => "the maps are in the planes of the paths: press t",
            _ if snapshot.phase.is_over() => "no map was made",
            (Some(_), _) => "computing the first map",
            (None, Some(_)) => "the first map follows the first step",
            (None, None) if matches!(snapshot.phase, Phase::Starting(_)) => "no map yet",
            (None, None) => "press m for a map",
        };
        text(buf, inner.x, inner.y, inner.width, hint, theme.dim());
        return;
    }
    let with_bar = inner.height >= 5;
    let maps = Rect { height: inner.height - u16::from(with_bar), ..inner };
    for ((id, map), part) in snapshot.maps.arms.iter().zip(grid(maps, snapshot.maps.arms.len())) {
        let name = arm_piece(snapshot, id.index(), view);
        one(map.as_ref(), &snapshot.maps, name, snapshot.elapsed_s, part, buf, theme);
    }
    if let Some((low, high)) = snapshot.maps.range.filter(|_| with_bar) {
        let line = Rect { y: inner.bottom() - 1, height: 1, ..inner };
        color_bar(Scale { low, high, log: true }, "nats", false, line, buf, theme);
    }
}

/// A map on the common scale, ln(loss + 0.1), with the common levels.
fn field<'a>(map: &'a LossMap, maps: &'a MapsView) -> Field<'a> {
    Field {
        grid: Grid { xs: &map.xs, ys: &map.ys, values: &map.loss },
        scale: maps.range.map(|(low, high)| Scale { low, high, log: true }),
        isolines: &map.isolines,
        levels: &maps.levels,
        fill: Fill::Smooth,
        faint: false,
    }
}

fn one(
    map: Option<&LossMap>,
    maps: &MapsView,
    name: Piece,
    now: f64,
    part: Rect,
    buf: &mut Buffer,
    theme: Theme,
) {
    if part.height < 3 || part.width < 6 {
        return;
    }
    let Some(map) = map else {
        pieces(buf, part.x, part.y, part.width, &[name, (" no map".to_owned(), theme.dim())]);
        return;
    };
    let age = format::duration(now - map.taken_s);
    let told = [
        name,
        (format!(" {age} old"), theme.dim()),
        (format!("  step {}", map.step), theme.dim()),
        (format!("  centre {}", format::short(map.stats.center)), theme.text()),
        (format!("  max {}", format::short(map.stats.max)), theme.dim()),
        (format!("  cos {}", format::short(map.cosine)), theme.dim()),
    ];
    pieces(buf, part.x, part.y, part.width, &told);
    let area = Rect { y: part.y + 1, height: part.height - 1, ..part };
    let field = field(map, maps);
    field.draw(area, buf, theme);
    let (x, y) = (area.x + area.width / 2, area.y + area.height / 2);
    let cross = Taken { row: y, from: x.saturating_sub(1), to: x + 1 };
    field.draw_isolines(area, &[cross], buf, theme);
    let center = if theme.ascii { '+' } else { '✚' };
    put(buf, x, y, center, field.on_field(field.at(0.5, 0.5), theme).patch(theme.strong()));
}
