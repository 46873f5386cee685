//! A surface as a relief: coloured halves of characters, a mesh of braille dots, or densities, as the terminal allows.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::braille::{Raster, inside};
use super::field::density;
use super::paint::put;
use super::theme::Theme;
use super::{marks, path};
use crate::geometry::bilinear::at;
use crate::geometry::color::{Rgb, lit};
use crate::geometry::contour::Grid;
use crate::geometry::scale::Scale;
use crate::geometry::solid::{Eye, Patch, Point, mapped};
use crate::telemetry::chart::Chart;

/// Patches on a side where they are filled, and of a mesh for so many columns.
const FILLED: usize = 72;
const COLUMNS_PER_MESH: u16 = 4;
/// Sides of a mesh: fewer show no shape.
const MESH: (usize, usize) = (8, 40);

/// From the picture's plane onto a raster of dots.
struct Stage {
    eye: Eye,
    scale: (f64, f64),
    left: f64,
    top: f64,
}

impl Stage {
    /// The whole box on a raster of `size`, `tall` times as many dots to a length down as across.
    fn new(size: (usize, usize), tall: f64) -> Self {
        let eye = Eye::default();
        let (left, right, bottom, top) = eye.bounds();
        let (width, height) = (size.0 as f64, size.1 as f64);
        let scale = (width / (right - left)).min(height / (top - bottom) / tall);
        let spare = (width / scale - (right - left)).max(0.0) / 2.0;
        Self { eye, scale: (scale, scale * tall), left: left - spare, top }
    }

    fn dot(&self, (x, y): (f64, f64)) -> (f64, f64) {
        ((x - self.left) * self.scale.0, (self.top - y) * self.scale.1)
    }

    fn spot(&self, point: Point) -> (f64, f64) {
        self.dot(self.eye.project(point).0)
    }
}

/// Draws the relief; nothing where no value is known.
pub fn render(chart: &Chart, area: Rect, buf: &mut Buffer, theme: Theme) {
    let (Some(scale), Some(height)) = (chart.scale, chart.height) else { return };
    if area.width < 4 || area.height < 3 {
        return;
    }
    let mut raster = Raster::new(area.width, area.height);
    let dots = raster.dots();
    let stage = Stage::new(dots, 1.0);
    walls(&stage, &mut raster);
    let plain = theme.ascii || !theme.has_colors();
    let mut pixels = Pixels::new(area, if theme.ascii { 1 } else { 2 });
    if plain && !theme.ascii {
        let side = usize::from(area.width / COLUMNS_PER_MESH).clamp(MESH.0, MESH.1);
        mesh(&stage, &patches(&stage, chart, (height, scale), side), &mut raster);
    } else {
        let stage = Stage::new(pixels.size(), f64::from(pixels.per_row) / 2.0);
        for patch in patches(&stage, chart, (height, scale), FILLED) {
            let place = patch.shade;
            let color = lit(theme.loss_color(place), patch.light);
            pixels.fill(patch.corners.map(|c| stage.dot(c)), (color, place));
        }
    }
    for row in 0..area.height {
        for column in 0..area.width {
            let (x, y) = (area.x + column, area.y + row);
            match pixels.pair(column, row) {
                (None, None) => {
                    let cell = raster.cell(column, row);
                    if cell.mask != 0 {
                        let symbol = if theme.ascii { cell.ascii() } else { cell.symbol() };
                        let style = if cell.ink == WALL { theme.dim() } else { theme.text() };
                        put(buf, x, y, symbol, style);
                    }
                }
                (Some((_, place)), _) if theme.ascii => {
                    // The lowest is not drawn as a blank: it would look like a hole.
                    put(buf, x, y, density(0.1 + 0.9 * place), theme.text());
                }
                (upper, lower) => {
                    let color = |half: Option<Pixel>| half.map(|(rgb, _)| theme.color(rgb));
                    let (symbol, style) = match (color(upper), color(lower)) {
                        (Some(u), Some(l)) => ('▀', Style::default().fg(u).bg(l)),
                        (Some(u), None) => ('▀', Style::default().fg(u)),
                        (None, Some(l)) => ('▄', Style::default().fg(l)),
                        (None, None) => (' ', Style::default()),
                    };
                    put(buf, x, y, symbol, style);
                }
            }
        }
    }
    marked(chart, height, area, buf, theme);
}

/// Inks of the raster.
const WALL: usize = 0;
const EDGE: usize = 1;

fn patches(stage: &Stage, chart: &Chart, scales: (Scale, Scale), side: usize) -> Vec<Patch> {
    let (height, shade) = scales;
    stage.eye.patches(chart.grid(), side, |v| height.place(v), |v| shade.place(v))
}

/// The edges of the floor and of the far walls.
fn walls(stage: &Stage, raster: &mut Raster) {
    let (fx, fy) = stage.eye.far_sides();
    let mut edge = |a: Point, b: Point| raster.line(stage.spot(a), stage.spot(b), WALL);
    for t in [-1.0, 1.0] {
        edge([t, -1.0, 0.0], [t, 1.0, 0.0]);
        edge([-1.0, t, 0.0], [1.0, t, 0.0]);
    }
    edge([fx, -1.0, 1.0], [fx, 1.0, 1.0]);
    edge([-1.0, fy, 1.0], [1.0, fy, 1.0]);
    for (x, y) in [(fx, fy), (fx, -fy), (-fx, fy)] {
        edge([x, y, 0.0], [x, y, 1.0]);
    }
}

/// Patches as their edges, each taking away what lies behind it.
fn mesh(stage: &Stage, patches: &[Patch], raster: &mut Raster) {
    for patch in patches {
        let [a, b, c, d] = patch.corners.map(|p| stage.dot(p));
        raster.erase([a, b, c]);
        raster.erase([a, c, d]);
        for (from, to) in [(a, b), (b, c), (c, d), (d, a)] {
            raster.line(from, to, EDGE);
        }
    }
}

/// The weights and the path, where the surface is known; over the relief even where it hides them.
fn marked(chart: &Chart, height: Scale, area: Rect, buf: &mut Buffer, theme: Theme) {
    let stage = Stage::new((usize::from(area.width) * 2, usize::from(area.height) * 4), 1.0);
    let (x0, x1, y0, y1) = chart.extent();
    let even = |v: f64, a: f64, b: f64| -1.0 + 2.0 * (v - a) / (b - a);
    let heights = mapped(chart.grid(), |v| height.place(v));
    let to_dots = |(x, y): (f64, f64)| {
        let up = at(Grid { values: &heights, ..chart.grid() }, x, y);
        stage.spot([even(x, x0, x1), even(y, y0, y1), up])
    };
    if let Some(known) = &chart.path {
        path::track(known, &to_dots, area, theme).draw(|_, _| Style::default(), buf);
    }
    marks::center(to_dots((0.0, 0.0)), &|_, _| theme.warning(), area, buf, theme);
}

/// A colour, and its value's place on the scale.
type Pixel = (Rgb, f64);

/// Colours and places of the scale, `per_row` to a character from top to bottom.
struct Pixels {
    width: usize,
    height: usize,
    per_row: u8,
    found: Vec<Option<Pixel>>,
}

impl Pixels {
    fn new(area: Rect, per_row: u8) -> Self {
        let (width, height) =
            (usize::from(area.width), usize::from(area.height) * usize::from(per_row));
        Self { width, height, per_row, found: vec![None; width * height] }
    }

    fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    fn fill(&mut self, [a, b, c, d]: [(f64, f64); 4], with: Pixel) {
        for triangle in [[a, b, c], [a, c, d]] {
            for (x, y) in inside(triangle, self.size()) {
                self.found[y * self.width + x] = Some(with);
            }
        }
    }

    /// The upper and the lower half of a character; the same twice where there is one to a character.
    fn pair(&self, column: u16, row: u16) -> (Option<Pixel>, Option<Pixel>) {
        let per_row = usize::from(self.per_row);
        let at = |half: usize| {
            let index = (usize::from(row) * per_row + half) * self.width + usize::from(column);
            self.found.get(index).copied().flatten()
        };
        (at(0), at(per_row - 1))
    }
}
