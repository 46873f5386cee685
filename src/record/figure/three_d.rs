//! The surface as a relief: shaded patches from back to front, isolines on them, in a box with axes.

use std::collections::{HashMap, HashSet};

use super::axes::{TICK, color_bar, labelled};
use super::font;
use super::layout::{Space, fitted};
use super::path::{Traced, spots_on};
use super::svg::{Spot, Svg, Words, hex, polyline};
use crate::geometry::bilinear::at;
use crate::geometry::color::{VIRIDIS, contrast, lit, ramp};
use crate::geometry::contour::{Grid, Isoline, isolines};
use crate::geometry::scale::Scale;
use crate::geometry::solid::{Eye, Point, division, mapped};
use crate::geometry::ticks;
use crate::telemetry::chart::{Chart, View};

/// Patches on a side: enough to be smooth, few enough for a file that opens at once.
const SIDE: usize = 72;
/// Room beside the box, and above and below it, for its labels.
const ROUND: (f64, f64) = (46.0, 24.0);
const LABEL: f64 = 12.0;
const WALL: &str = "fill=\"#f7f7f7\" stroke=\"#ccc\" stroke-width=\"0.7\"";
const RULE: &str = "stroke=\"#dcdcdc\" stroke-width=\"0.7\"";
/// Isolines on bright and on dark parts of the scale.
const INKS: [&str; 2] = ["#000000", "#ffffff"];
const EDGE: &str = "stroke=\"#222\" stroke-width=\"1\"";

/// From places of the box to the page.
struct Stage {
    eye: Eye,
    scale: f64,
    middle: Spot,
    offset: Spot,
    x: (f64, f64),
    y: (f64, f64),
}

impl Stage {
    fn new(chart: &Chart, space: Space) -> Self {
        let eye = Eye::default();
        let (left, right, bottom, top) = eye.bounds();
        let room = |wide: f64, round: f64| (wide - 2.0 * round).max(20.0);
        let across = room(space.width, ROUND.0) / (right - left);
        let scale = across.min(room(space.height, ROUND.1) / (top - bottom));
        let (x0, x1, y0, y1) = chart.extent();
        Self {
            eye,
            scale,
            middle: (space.left + space.width / 2.0, space.top + space.height / 2.0),
            offset: ((left + right) / 2.0, (bottom + top) / 2.0),
            x: (x0, x1),
            y: (y0, y1),
        }
    }

    fn page(&self, (x, y): (f64, f64)) -> Spot {
        (
            self.middle.0 + (x - self.offset.0) * self.scale,
            self.middle.1 - (y - self.offset.1) * self.scale,
        )
    }

    fn spot(&self, point: Point) -> Spot {
        self.page(self.eye.project(point).0)
    }

    /// A place of the surface in the box, -1 to 1.
    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let even = |v: f64, (a, b): (f64, f64)| -1.0 + 2.0 * (v - a) / (b - a);
        (even(x, self.x), even(y, self.y))
    }
}

/// Draws the box, the surface in it, and the colour bar.
pub(super) fn draw(page: &mut Svg, chart: &Chart, space: Space) {
    let stage = Stage::new(chart, space);
    walls(page, chart, &stage);
    let (Some(scale), Some(height)) = (chart.scale, chart.height) else {
        let style = Words { size: LABEL, anchor: "middle", ..Words::default() };
        page.words(stage.middle, "no value of this surface is known", style);
        return;
    };
    // Bilinear heights, as the patches have them: what lies on the surface lies on them.
    let heights = mapped(chart.grid(), |v| height.place(v));
    let on_surface = |x: f64, y: f64| {
        let (a, b) = stage.place(x, y);
        let up = at(Grid { values: &heights, ..chart.grid() }, x, y);
        up.is_finite().then(|| stage.spot([a, b, up]))
    };
    let seen = &on_surface;
    // Of the heights too, so that each stands level on the relief.
    let inside = chart.levels.iter().filter(|l| **l > height.low && **l < height.high);
    let lines: Vec<Isoline> = inside
        .flat_map(|level| {
            let found = isolines(Grid { values: &heights, ..chart.grid() }, height.place(*level));
            found.into_iter().map(|line| Isoline { level: *level, ..line })
        })
        .collect();
    surface(page, (chart, &lines), &stage, (scale, height), seen);
    if let Some(spot) = seen(0.0, 0.0) {
        page.open("id=\"center\"");
        page.circle(spot, 4.4, "fill=\"#fff\"");
        page.circle(spot, 3.0, "fill=\"#111\"");
        page.close();
    }
    if let Some(path) = &chart.path {
        spots_on(page, &Traced::new(path, seen), |_| true, None);
    }
    let bar = space.height * 0.7;
    let top = space.top + (space.height - bar) / 2.0;
    color_bar(page, chart, View::ThreeD, space.left + space.width + 18.0, (top, bar));
}

/// Patches, each with the pieces of isolines that lie on it.
fn surface(
    page: &mut Svg,
    (chart, lines): (&Chart, &[Isoline]),
    stage: &Stage,
    (scale, height): (Scale, Scale),
    seen: &impl Fn(f64, f64) -> Option<Spot>,
) {
    let (up, shade) = (|v| height.place(v), |v| scale.place(v));
    let patches = stage.eye.patches(chart.grid(), SIDE, up, shade);
    let known: HashSet<(usize, usize)> = patches.iter().map(|p| p.place).collect();
    let lines = pieces((chart, lines), stage, scale, seen, &known);
    page.open("id=\"surface\" stroke-linejoin=\"round\"");
    for patch in &patches {
        let color = ramp(&VIRIDIS, patch.shade);
        let fill = hex(lit(color, patch.light));
        let corners = patch.corners.map(|c| stage.page(c));
        // Outlined in its own colour: no seams between neighbours.
        let style = format!("fill=\"{fill}\" stroke=\"{fill}\" stroke-width=\"0.5\"");
        page.path(&(polyline(&corners) + "Z"), &style);
        for (d, ink) in lines.get(&patch.place).into_iter().flatten().zip(INKS) {
            let style = "fill=\"none\" stroke-width=\"0.8\" stroke-opacity=\"0.75\"";
            page.path(d, &format!("class=\"isoline\" stroke=\"{ink}\" {style}"));
        }
    }
    page.close();
}

/// Isolines cut into pieces, each by the patch that it is drawn after: the neighbour of its own that is nearest to the
/// eye, so that no patch covers a piece that lies on its border; its own where there is no such neighbour.
fn pieces(
    (chart, lines): (&Chart, &[Isoline]),
    stage: &Stage,
    scale: Scale,
    seen: &impl Fn(f64, f64) -> Option<Spot>,
    known: &HashSet<(usize, usize)>,
) -> HashMap<(usize, usize), [String; 2]> {
    let (rows, columns) = division(chart.grid(), SIDE);
    let (far_x, far_y) = stage.eye.far_sides();
    let nearer = |at: usize, far: f64, count: usize| match far > 0.0 {
        true => at.saturating_sub(1),
        false => (at + 1).min(count.saturating_sub(1)),
    };
    let mut found: HashMap<(usize, usize), [String; 2]> = HashMap::new();
    let index = |at: f64, count: usize| {
        (((at + 1.0) / 2.0 * count as f64) as usize).min(count.saturating_sub(1))
    };
    for line in lines {
        let is_light = contrast(ramp(&VIRIDIS, scale.place(line.level))) != (0, 0, 0);
        for pair in line.points.windows(2) {
            let (from, to) = (stage.place(pair[0].0, pair[0].1), stage.place(pair[1].0, pair[1].1));
            let far = ((to.0 - from.0) * columns as f64).hypot((to.1 - from.1) * rows as f64);
            // Some three pieces to a patch, so that none lies far over a border.
            let cuts = ((far * 1.5).ceil() as usize).clamp(1, 4 * SIDE);
            let along = |i: f64| {
                let t = i / cuts as f64;
                let (a, b) = (pair[0], pair[1]);
                (a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1))
            };
            for i in (0..cuts).map(|i| i as f64) {
                let [from, middle, to] = [i, i + 0.5, i + 1.0].map(along);
                let (Some(a), Some(b)) = (seen(from.0, from.1), seen(to.0, to.1)) else { continue };
                let (x, y) = stage.place(middle.0, middle.1);
                let own = (index(y, rows), index(x, columns));
                let next = (nearer(own.0, far_y, rows), nearer(own.1, far_x, columns));
                let patch = if known.contains(&next) { next } else { own };
                let d = polyline(&[a, b]);
                found.entry(patch).or_default()[usize::from(is_light)].push_str(&d);
            }
        }
    }
    found
}

/// Floor, the two far walls, their rules, and the axes along the near edges.
fn walls(page: &mut Svg, chart: &Chart, stage: &Stage) {
    let (fx, fy) = stage.eye.far_sides();
    let (nx, ny) = (-fx, -fy);
    let face = |points: [Point; 4]| polyline(&points.map(|p| stage.spot(p))) + "Z";
    page.open("id=\"box\"");
    for d in [
        face([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]]),
        face([[fx, -1.0, 0.0], [fx, 1.0, 0.0], [fx, 1.0, 1.0], [fx, -1.0, 1.0]]),
        face([[-1.0, fy, 0.0], [1.0, fy, 0.0], [1.0, fy, 1.0], [-1.0, fy, 1.0]]),
    ] {
        page.path(&d, WALL);
    }
    let mut rule = |a: Point, b: Point| page.line(stage.spot(a), stage.spot(b), RULE);
    let even = |(a, b): (f64, f64)| labelled(ticks::even(a, b, 5));
    let x_ticks: Vec<_> = even(stage.x).map(|(v, text)| (text, stage.place(v, 0.0).0)).collect();
    let y_ticks: Vec<_> = even(stage.y).map(|(v, text)| (text, stage.place(0.0, v).1)).collect();
    for &(_, x) in &x_ticks {
        rule([x, -1.0, 0.0], [x, 1.0, 0.0]);
        rule([x, fy, 0.0], [x, fy, 1.0]);
    }
    for &(_, y) in &y_ticks {
        rule([-1.0, y, 0.0], [1.0, y, 0.0]);
        rule([fx, y, 0.0], [fx, y, 1.0]);
    }
    let heights =
        chart.height.map(|h| labelled(h.ticks(6)).map(move |(v, text)| (text, h.place(v))));
    let heights: Vec<(String, f64)> = heights.into_iter().flatten().collect();
    for (_, up) in &heights {
        rule([fx, -1.0, *up], [fx, 1.0, *up]);
        rule([-1.0, fy, *up], [1.0, fy, *up]);
    }
    page.close();
    page.open("id=\"axes\"");
    let along_x = |t: f64| [t, ny, 0.0];
    let along_y = |t: f64| [nx, t, 0.0];
    edge(page, stage, &along_x, (0.0, ny), &x_ticks, &chart.x_label);
    edge(page, stage, &along_y, (nx, 0.0), &y_ticks, &chart.y_label);
    upright_axis(page, chart, stage, &heights);
    page.close();
}

/// An axis along a near edge of the floor; `out` leads away from the box.
fn edge(
    page: &mut Svg,
    stage: &Stage,
    along: &impl Fn(f64) -> Point,
    out: (f64, f64),
    ticks: &[(String, f64)],
    label: &str,
) {
    let (from, to) = (stage.spot(along(-1.0)), stage.spot(along(1.0)));
    page.line(from, to, EDGE);
    let away = |t: f64, by: f64| {
        let [x, y, z] = along(t);
        let (a, b) = (stage.spot([x, y, z]), stage.spot([x + out.0 * 0.1, y + out.1 * 0.1, z]));
        let length = (b.0 - a.0).hypot(b.1 - a.1).max(1e-9);
        (a.0 + (b.0 - a.0) / length * by, a.1 + (b.1 - a.1) / length * by)
    };
    for (text, t) in ticks {
        page.line(away(*t, 0.0), away(*t, 5.0), EDGE);
        let spot = away(*t, 15.0);
        let style = Words { size: TICK, anchor: "middle", ..Words::default() };
        page.words((spot.0, spot.1 + TICK * 0.36), text, style);
    }
    let mut turned = (to.1 - from.1).atan2(to.0 - from.0).to_degrees();
    if turned.abs() > 90.0 {
        turned -= 180.0_f64.copysign(turned);
    }
    let length = (to.0 - from.0).hypot(to.1 - from.1);
    let size = fitted(label, LABEL, length + 20.0, false);
    let style = Words { size, anchor: "middle", turned, ..Words::default() };
    page.words(away(0.0, 36.0), label, style);
}

/// The axis of the heights, on the upright edge that is farthest left.
fn upright_axis(page: &mut Svg, chart: &Chart, stage: &Stage, heights: &[(String, f64)]) {
    let corners = [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)];
    let left = corners
        .into_iter()
        .min_by(|a, b| stage.spot([a.0, a.1, 0.0]).0.total_cmp(&stage.spot([b.0, b.1, 0.0]).0));
    let Some((x, y)) = left else { return };
    page.line(stage.spot([x, y, 0.0]), stage.spot([x, y, 1.0]), EDGE);
    let mut widest: f64 = 0.0;
    for (label, up) in heights {
        let (a, b) = stage.spot([x, y, *up]);
        page.line((a, b), (a - 5.0, b), EDGE);
        widest = widest.max(font::width(label, TICK, false));
        let style = Words { size: TICK, anchor: "end", ..Words::default() };
        page.words((a - 8.0, b + TICK * 0.36), label, style);
    }
    let (a, b) = stage.spot([x, y, 0.5]);
    let log = if chart.height.is_some_and(|h| h.log) { ", ln(z + 0.1)" } else { "" };
    let label = chart.quantity.label() + log;
    let style = Words { size: LABEL, anchor: "middle", turned: -90.0, ..Words::default() };
    page.words((a - 18.0 - widest, b), &label, style);
}
