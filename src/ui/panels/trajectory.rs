//! The path of each arm over the loss in its plane: which way it goes, where it crosses the isocurves and where it
//! follows them, what was changed on the way, and how far the picture can be trusted.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::salt::{self, Room};
use super::{change_label, framed, grid};
use crate::geometry::contour::Grid;
use crate::geometry::scale::Scale;
use crate::telemetry::event::PAUSED;
use crate::telemetry::path::{PathPoint, PathView};
use crate::telemetry::snapshot::{ArmView, LossMap, Phase, Snapshot};
use crate::ui::field::{Field, Fill, Taken, color_bar, dots};
use crate::ui::format;
use crate::ui::paint::{Piece, footnote, put, text};
use crate::ui::theme::Theme;
use crate::ui::track::{Mark, Track, angle_key, end_symbols, mark_symbol};
use crate::ui::view::{PanelId, ViewState};

/// Rows from which on the loss has its colour bar.
const TALL: u16 = 16;
/// What is shown of a path beside its map, as a share of the map's side: a path that left it is to be seen, but a point
/// astray must not make the map a dot.
const BESIDE: f64 = 0.75;

/// Draws the panel.
pub fn render(snapshot: &Snapshot, view: &ViewState, area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let mut title: Vec<Piece> = vec![
        (" trajectory".to_owned(), theme.strong()),
        (" in each path's plane".to_owned(), theme.dim()),
    ];
    let maps = &snapshot.path_maps;
    if let Some(m) = maps.arms.values().flatten().next() {
        let size = format!(", {}x{}, {} images", m.xs.len(), m.ys.len(), m.images);
        title.push((size, theme.dim()));
    }
    title.push((" ".to_owned(), theme.text()));
    let inner = framed(PanelId::Trajectory, &title, view, area, buf);
    if snapshot.arms.values().all(|a| a.path.points.len() < 2) {
        let hint = match snapshot.phase {
            Phase::Ended(_) => "no path was kept, or no map in the plane of one",
            _ => "no snapshots of the weights yet",
        };
        text(buf, inner.x, inner.y, inner.width, hint, theme.dim());
        return;
    }
    let scale = maps.range.map(|(low, high)| Scale { low, high, log: true });
    let with_bar = inner.height >= TALL && scale.is_some();
    let parts = Rect { height: inner.height - u16::from(with_bar), ..inner };
    let maps_of: Vec<Option<&LossMap>> =
        snapshot.arms.ids().map(|id| maps.arms.get(id).and_then(Option::as_ref)).collect();
    let rooms = grid(parts, snapshot.arms.len()).into_iter().zip(snapshot.arms.iter());
    let rooms = rooms.zip(&maps_of).map(|((part, (id, arm)), map)| {
        Room::around(&salt::told(snapshot, id.index(), &arm.path, *map, view), part)
    });
    let rooms = Room::alike(rooms.collect());
    for ((room, arm), map) in rooms.iter().zip(snapshot.arms.iter()).zip(&maps_of) {
        one(snapshot, (arm.0.index(), arm.1, *map), scale, view, room, buf);
    }
    if let Some(scale) = scale.filter(|_| with_bar) {
        let line = Rect { y: inner.bottom() - 1, height: 1, ..inner };
        color_bar(scale, "nats", true, line, buf, theme);
    }
    footnote(buf, area, &legends(theme));
}

/// What colours and characters mean, long and short.
fn legends(theme: Theme) -> [Vec<Piece>; 3] {
    let dim = |text: &str| (text.to_owned(), theme.dim());
    let angles = angle_key(theme);
    let (first, newest) = end_symbols(theme);
    let ends = vec![dim(&format!("  {first} start  {newest} now"))];
    let marks = vec![
        (format!("  {}", mark_symbol(true, theme)), theme.warning()),
        dim(" by hand"),
        (format!("  {}", mark_symbol(false, theme)), theme.warning()),
        dim(" lr drop"),
    ];
    let long = [angles.clone(), ends.clone(), marks].concat();
    [long, [angles.clone(), ends].concat(), angles]
}

/// One arm: the map as a square, and beside or above it what must be known of it.
fn one(
    snapshot: &Snapshot,
    (index, arm, map): (usize, &ArmView, Option<&LossMap>),
    scale: Option<Scale>,
    view: &ViewState,
    room: &Room,
    buf: &mut Buffer,
) {
    let theme = view.theme;
    let path = &arm.path;
    room.write(buf);
    if path.points.len() < 2 {
        let hint = "no snapshots yet";
        text(buf, room.square.x, room.square.y, room.square.width, hint, theme.dim());
        return;
    }
    let map = map.filter(|m| Extent::of(m).is_some());
    let Some(extent) = map
        .and_then(Extent::of)
        .map_or_else(|| Extent::around(&path.points), |extent| Some(extent.with(&path.points)))
    else {
        return;
    };
    let area = room.square;
    let padded = map.map_or_else(|| extent.empty(), |m| extent.padded(m));
    let field = Field {
        grid: Grid { xs: &padded.xs, ys: &padded.ys, values: &padded.values },
        scale,
        isolines: map.map_or(&[], |m| &m.isolines),
        levels: &snapshot.path_maps.levels,
        fill: if theme.has_colors() && !theme.ascii { Fill::Bands } else { Fill::Empty },
        faint: true,
    };
    let Some(to_dots) = dots(field.grid, area) else { return };
    let marks = marks(snapshot, arm);
    let arm = theme.arm(index);
    let track = Track::new(&path.points, &marks, ["", ""], to_dots, arm, area, theme);
    if map.is_some() {
        field.draw(area, buf, theme);
        let beside = padded.beside(area);
        field.draw_isolines(area, &[track.taken(), beside.clone()].concat(), buf, theme);
        for Taken { row, from, to } in beside {
            (from..=to).for_each(|x| put(buf, x, row, ' ', Style::reset()));
        }
    }
    let under = |column: u16, row: u16| {
        let at = |i: u16, n: u16| (f64::from(i) + 0.5) / f64::from(n);
        let value = field.at(at(column, area.width), at(row, area.height));
        if value.is_finite() { field.on_field(value, theme) } else { Style::reset() }
    };
    track.draw(under, buf);
}

/// What happened to an arm on its way. Pauses change no bit of it.
fn marks(snapshot: &Snapshot, arm: &ArmView) -> Vec<Mark> {
    let concerns = |name: &Option<_>| name.as_ref().is_none_or(|n| *n == arm.info.name);
    let changes = snapshot.marks.iter().filter(|m| m.key != PAUSED && concerns(&m.arm));
    let changes = changes.map(|m| (m.step, change_label(m), true));
    let drops = arm.lr_drops.iter();
    let drops = drops.map(|(step, lr)| (*step, format!("lr {}", format::setting(*lr)), false));
    // They hold from a step on: that one leaves the place where the arm was after the step before.
    let place = |path: &PathView, step: u64| path.at(step.saturating_sub(1));
    drops
        .chain(changes)
        .filter_map(|(step, label, by_hand)| {
            Some(Mark { at: place(&arm.path, step)?, label, by_hand })
        })
        .collect()
}

/// A square of the plane.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Extent {
    x: (f64, f64),
    y: (f64, f64),
}

/// A map in a wider extent, unknown beside its own.
struct Padded {
    xs: Vec<f64>,
    ys: Vec<f64>,
    values: Vec<f64>,
    own: Extent,
}

impl Extent {
    /// A map's own; none for one that has none.
    fn of(map: &LossMap) -> Option<Self> {
        let ends = |axis: &[f64]| {
            let (first, last) = (*axis.first()?, *axis.last()?);
            let rises = axis.windows(2).all(|w| w[0] < w[1]);
            (rises && first < last && (last - first).is_finite()).then_some((first, last))
        };
        let filled = map.loss.len() == map.xs.len() * map.ys.len();
        filled.then_some(())?;
        Some(Self { x: ends(&map.xs)?, y: ends(&map.ys)? })
    }

    /// Around a path without a map, with a rim; none round no point.
    fn around(points: &[PathPoint]) -> Option<Self> {
        let mut points = points.iter().filter(|p| p.x.is_finite() && p.y.is_finite());
        let first = points.next()?;
        let point = Self { x: (first.x, first.x), y: (first.y, first.y) };
        let all = points.fold(point, |e, p| e.including(p));
        let rim = (0.1 * all.side()).max(f64::MIN_POSITIVE.sqrt());
        let wide = |(low, high): (f64, f64)| (low - rim, high + rim);
        Some(Self { x: wide(all.x), y: wide(all.y) }.squared())
    }

    fn including(self, p: &PathPoint) -> Self {
        let wide = |(low, high): (f64, f64), v: f64| (low.min(v), high.max(v));
        Self { x: wide(self.x, p.x), y: wide(self.y, p.y) }
    }

    /// With the points that are not far from it.
    fn with(self, points: &[PathPoint]) -> Self {
        let rim = BESIDE * self.side();
        let near = |v: f64, (low, high): (f64, f64)| v >= low - rim && v <= high + rim;
        let near = points.iter().filter(|p| near(p.x, self.x) && near(p.y, self.y));
        let all = near.fold(self, |e, p| e.including(p));
        // Squaring a square again would move it by a rounding.
        if all == self { self } else { all.squared() }
    }

    fn side(self) -> f64 {
        (self.x.1 - self.x.0).max(self.y.1 - self.y.0)
    }

    /// The square that holds it, and shares its middle.
    fn squared(self) -> Self {
        let half = |(low, high): (f64, f64)| (self.side() - (high - low)) / 2.0;
        let wide = |ends: (f64, f64)| (ends.0 - half(ends), ends.1 + half(ends));
        Self { x: wide(self.x), y: wide(self.y) }
    }

    /// Nothing known in all of it.
    fn empty(self) -> Padded {
        let (xs, ys) = (vec![self.x.0, self.x.1], vec![self.y.0, self.y.1]);
        Padded { xs, ys, values: vec![f64::NAN; 4], own: self }
    }

    /// A map in this extent, which holds its own.
    fn padded(self, map: &LossMap) -> Padded {
        let own = Self::of(map).unwrap_or(self);
        let widened = |axis: &[f64], own: (f64, f64), to: (f64, f64)| {
            let before = (to.0 < own.0).then_some(to.0);
            let behind = (to.1 > own.1).then_some(to.1);
            let all: Vec<f64> =
                before.into_iter().chain(axis.iter().copied()).chain(behind).collect();
            (all, usize::from(before.is_some()))
        };
        let (xs, left) = widened(&map.xs, own.x, self.x);
        let (ys, below) = widened(&map.ys, own.y, self.y);
        let mut values = vec![f64::NAN; xs.len() * ys.len()];
        for (row, line) in map.loss.chunks(map.xs.len().max(1)).enumerate() {
            let start = (row + below) * xs.len() + left;
            if let Some(to) = values.get_mut(start..start + line.len()) {
                to.copy_from_slice(line);
            }
        }
        Padded { xs, ys, values, own }
    }
}

impl Padded {
    /// What lies beside the map, where nothing is known because it was not asked.
    fn beside(&self, area: Rect) -> Vec<Taken> {
        let (Some(x0), Some(x1)) = (self.xs.first(), self.xs.last()) else { return Vec::new() };
        let (Some(y0), Some(y1)) = (self.ys.first(), self.ys.last()) else { return Vec::new() };
        let share = |i: u16, n: u16, part: f64| (f64::from(i) + part) / f64::from(n);
        let within = |v: f64, (low, high): (f64, f64)| v >= low && v <= high;
        let is_beside =
            |column: &u16| !within(x0 + share(*column, area.width, 0.5) * (x1 - x0), self.own.x);
        let columns: Vec<u16> = (0..area.width).filter(is_beside).collect();
        let mut found = Vec::new();
        for row in 0..area.height {
            // Both halves of a character must be the map's.
            let halves = [0.25, 0.75].map(|part| y1 - share(row, area.height, part) * (y1 - y0));
            let y = area.y + row;
            if halves.iter().all(|y| within(*y, self.own.y)) {
                found.extend(Taken::runs(columns.iter().map(|column| (area.x + column, y))));
            } else if area.width > 0 {
                found.push(Taken { row: y, from: area.x, to: area.right() - 1 });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::fixture;

    fn map() -> (LossMap, Vec<PathPoint>) {
        let run = fixture::run(1, 120);
        let map = run.path_maps.arms.values().next().unwrap().clone().unwrap();
        (map, run.arms.values().next().unwrap().path.points.clone())
    }

    #[test]
    fn a_map_stays_as_it_is_until_the_path_leaves_it() {
        let (map, points) = map();
        let own = Extent::of(&map).unwrap();
        assert_eq!(own.with(&points), own);
        assert_eq!(own.padded(&map).values, map.loss);
        let side = own.side();
        let outside = PathPoint::new(130, (own.x.1 + 0.5 * side, 0.0), 1.0);
        let wide = own.with(&[points.clone(), vec![outside]].concat());
        assert!((wide.side() - 1.5 * side).abs() < 1e-9, "{wide:?}");
        assert!((wide.y.1 - wide.y.0 - wide.side()).abs() < 1e-9, "it is a square");
        let padded = wide.padded(&map);
        // Wider on one side only, and as much higher above as below.
        assert_eq!((padded.xs.len(), padded.ys.len()), (map.xs.len() + 1, map.ys.len() + 2));
        assert_eq!(padded.values.iter().filter(|v| v.is_finite()).count(), map.loss.len());
        assert_eq!(padded.values[padded.xs.len()], map.loss[0]);
        let astray = PathPoint::new(130, (1e6 * side, f64::NAN), 1.0);
        assert_eq!(own.with(&[astray]), own);
    }

    #[test]
    fn without_a_map_the_path_is_framed() {
        let (_, points) = map();
        let extent = Extent::around(&points).unwrap();
        assert!(points.iter().all(|p| p.x > extent.x.0 && p.x < extent.x.1 && p.y > extent.y.0));
        assert_eq!(Extent::around(&[]), None);
        let still = Extent::around(&[PathPoint::new(0, (1.0, 1.0), 1.0); 3]).unwrap();
        assert!(still.x.0 <= 1.0 && still.x.1 >= 1.0);
    }

    #[test]
    fn marks_stand_where_their_step_left() {
        let run = fixture::run(2, 120);
        let arm = run.arms.values().next().unwrap();
        let found = marks(&run, arm);
        let told: Vec<_> = found.iter().map(|m| (m.label.as_str(), m.by_hand)).collect();
        assert_eq!(told, [("lr 0.05", false), ("wd 0", true)]);
        assert_eq!(Some(found[1].at), arm.path.at(89));
        let mut other = run.clone();
        other.marks[0].arm = Some(crate::arm::ArmName::new("noskip"));
        assert_eq!(marks(&other, arm).len(), 1, "a change of another arm is none of this one");
    }
}
