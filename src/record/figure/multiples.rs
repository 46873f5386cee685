//! Several arms' paths side by side, as Figure 9 of Li et al. draws them: a panel each, all with the same levels and colours,
//! so that they compare.

use std::path::Path;

use super::caption::{changes, figure, percent};
use super::compose::draw_levels;
use super::layout::{
    self, AXES, BAR, CAPTION, CAPTION_LINE, MARGIN, SUBTITLE, Space, TITLE, fitted,
};
use super::svg::{Svg, Words};
use super::{FigureError, Levels, Options, Size, angle, axes, compose, font, keep};
use crate::geometry::levels::common_top;
use crate::geometry::scale::Scale;
use crate::landscape::file::SurfaceFile;
use crate::telemetry::chart::{Chart, View};

/// Panels in a row; more stand in two rows.
const MOST_IN_A_ROW: usize = 4;
/// Side of a panel's field where no size is asked for.
const FIELD: f64 = 250.0;
/// Upper edge of the panels.
const TOP: f64 = 58.0;
/// Over a field: whose it is.
const PANEL_HEAD: f64 = 24.0;
const PANEL_TITLE: f64 = 12.0;
/// Between a field and the next one's axis.
const GUTTER: f64 = 14.0;
/// The least that is left for a field of a small page.
const LEAST: f64 = 40.0;
/// What the caption tells of each arm.
const OFF: &str = "Off: |map - loss of the weights themselves| and its share of that loss + 0.1, medians over the path.";
/// Pixels of a unit of the page.
const PIXELS: f64 = 2.0;

/// One arm's part of the figure.
pub struct Drawn<'a> {
    /// The map in the plane of its path, and the path.
    pub file: &'a SurfaceFile,
    /// Whose it is: `sgd, weight decay 5e-4, batch 128`.
    pub title: String,
    /// Its name, in the caption.
    pub arm: String,
    /// What changed on the path, as [`Options::marks`].
    pub marks: Vec<(u64, String)>,
}

/// The whole figure, composed.
pub struct Multiples {
    title: String,
    subtitle: String,
    panels: Vec<(String, Chart)>,
    caption: Vec<String>,
}

impl Multiples {
    /// The arms' maps with common levels and colours; `more` ends the caption.
    ///
    /// # Errors
    /// When a file holds no map.
    pub fn compose(
        title: &str,
        arms: &[Drawn<'_>],
        levels: &Levels,
        more: &[String],
    ) -> Result<Self, FigureError> {
        let mut panels = Vec::new();
        for arm in arms {
            let options =
                Options { levels: levels.clone(), marks: arm.marks.clone(), ..Options::default() };
            let mut chart = compose(arm.file, View::Contour, &options, &[])?;
            let share =
                |i: usize| arm.file.about.variance.get(i).map(|v| format!(" {}", percent(*v)));
            chart.x_label = format!("PC1{}", share(0).unwrap_or_default());
            chart.y_label = format!("PC2{}", share(1).unwrap_or_default());
            panels.push((arm.title.clone(), chart));
        }
        together(panels.iter_mut().map(|(_, chart)| chart), levels);
        let images = arms.iter().map(|a| a.file.images.len()).max().unwrap_or(0);
        let of = if images > 0 { format!(" of {images} images") } else { String::new() };
        Ok(Self {
            title: title.to_owned(),
            subtitle: format!(
                "loss{of} in the plane in which each network moved most (L2 distance from its last weights), \
                 levels and colours common to all"
            ),
            caption: [OFF.to_owned()]
                .into_iter()
                .chain(arms.iter().map(told))
                .chain(more.iter().cloned())
                .collect(),
            panels,
        })
    }

    /// Draws the figure into a file, in a size that suits it where none is given.
    ///
    /// # Errors
    /// When the file's ending is unknown or it cannot be written.
    pub fn write(&self, path: &Path, size: Option<Size>) -> Result<(), FigureError> {
        let (width, height) = self.natural();
        let pixels =
            |units: f64| ((PIXELS * units).round() as u32).clamp(Size::SIDES.0, Size::SIDES.1);
        let size = size.unwrap_or(Size { width: pixels(width), height: pixels(height) });
        keep(|| self.draw(size), path, size)
    }

    fn columns(&self) -> usize {
        let count = self.panels.len().max(1);
        if count > MOST_IN_A_ROW { count.div_ceil(2) } else { count }
    }

    fn rows(&self) -> usize {
        self.panels.len().div_ceil(self.columns()).max(1)
    }

    fn key(&self) -> f64 {
        let has = |(_, c): &(String, Chart)| c.path.as_ref().is_some_and(|p| p.has_angles());
        if self.panels.iter().any(has) { angle::KEY } else { 0.0 }
    }

    /// Width and height of the page, in its units, that suit the fields.
    fn natural(&self) -> (f64, f64) {
        let width = 2.0 * MARGIN + self.columns() as f64 * (AXES.0 + FIELD + GUTTER) + BAR;
        let lines = font::wrap(&self.caption.join(" "), CAPTION, width - 2.0 * MARGIN).len();
        let foot = lines as f64 * CAPTION_LINE + MARGIN + self.key();
        (width, TOP + self.rows() as f64 * (PANEL_HEAD + self.field_height() + AXES.1) + foot)
    }

    /// What the highest of the fields needs where each is as wide as it may be.
    fn field_height(&self) -> f64 {
        let aspects = self.panels.iter().map(|(_, chart)| layout::aspect(chart));
        FIELD / aspects.fold(f64::INFINITY, f64::min).max(1.0)
    }

    /// The figure as SVG.
    pub(super) fn draw(&self, size: Size) -> String {
        let (wide, high) = (f64::from(size.width), f64::from(size.height));
        let natural = self.natural();
        let unit = (wide / natural.0).min(high / natural.1);
        let (width, height) = (wide / unit, high / unit);
        let room = width - 2.0 * MARGIN;
        let mut page = Svg::new(width, height, (size.width, size.height), &self.title);
        let mut head = |text: &str, y: f64, size: f64, bold: bool, color: &str| {
            let size = fitted(text, size, room, bold);
            page.words((MARGIN, y), text, Words { size, bold, color, ..Words::default() });
        };
        head(&self.title, 30.0, TITLE, true, "#111");
        head(&self.subtitle, 48.0, SUBTITLE, false, "#555");
        let lines = font::wrap(&self.caption.join(" "), CAPTION, room);
        let foot = height - MARGIN - lines.len() as f64 * CAPTION_LINE;
        page.open("id=\"caption\"");
        for (i, line) in lines.iter().enumerate() {
            let y = foot + (i as f64 + 1.0) * CAPTION_LINE - 2.0;
            page.words(
                (MARGIN, y),
                line,
                Words { size: CAPTION, color: "#333", ..Words::default() },
            );
        }
        page.close();
        let cell =
            ((room - BAR) / self.columns() as f64, (foot - self.key() - TOP) / self.rows() as f64);
        for (index, (title, chart)) in self.panels.iter().enumerate() {
            let (column, row) = (index % self.columns(), index / self.columns());
            let (left, upper) = (MARGIN + column as f64 * cell.0, TOP + row as f64 * cell.1);
            let space = Space {
                left: left + AXES.0,
                top: upper + PANEL_HEAD,
                width: (cell.0 - AXES.0 - GUTTER).max(LEAST),
                height: (cell.1 - PANEL_HEAD - AXES.1).max(LEAST),
            };
            page.begin_part(index);
            page.open_named("panel", "");
            let size = fitted(title, PANEL_TITLE, space.width + AXES.0, true);
            let style =
                Words { size, bold: true, anchor: "middle", color: "#111", ..Words::default() };
            page.words((space.left + space.width / 2.0, space.top - 8.0), title, style);
            layout::map(&mut page, chart, View::Contour, space);
            page.close();
        }
        if let Some((_, chart)) = self.panels.first() {
            let left = width - MARGIN - BAR + 8.0;
            let top = TOP + PANEL_HEAD;
            let all = (foot - self.key() - AXES.1 - top).max(LEAST);
            axes::color_bar(&mut page, chart, View::Contour, left, (top, all));
        }
        if self.key() > 0.0 {
            angle::key(&mut page, (MARGIN, room), foot - self.key() / 2.0 + 2.0);
        }
        page.finish()
    }
}

/// Gives charts the colours and levels of all their values together, up to [`common_top`].
fn together<'a>(charts: impl Iterator<Item = &'a mut Chart>, levels: &Levels) {
    let mut charts: Vec<&mut Chart> = charts.collect();
    let top = common_top(charts.iter().map(|c| &c.values[..]));
    let all = charts.iter().flat_map(|c| c.values.iter().copied());
    let values: Vec<f64> = all.filter(|v| *v <= top).collect();
    let scale = Scale::over(&values, true);
    let levels = levels.of(&values, charts.iter().any(|c| c.path.is_some()));
    for chart in &mut charts {
        chart.scale = scale;
    }
    draw_levels(&mut charts, &levels);
}

/// The grain of salt of one arm, and what its marks are.
fn told(arm: &Drawn<'_>) -> String {
    let mut told = Vec::new();
    let shares = &arm.file.about.variance;
    if !shares.is_empty() {
        told.push(format!("{} of the variance in the plane", percent(shares.iter().sum())));
    }
    let gap = arm.file.trajectory.as_ref().map(|path| path.gap(arm.file.surface.grid()));
    told.push(match gap.filter(|gap| gap.median.is_finite()) {
        Some(gap) => {
            let share = percent(gap.relative);
            let warning = match (arm.file.about.coarse, gap.is_large()) {
                (true, _) => " (of a coarse map)",
                (false, true) => " (a large gap: not what was trained on)",
                (false, false) => "",
            };
            format!(
                "{} nats ({share}) off{warning}, {} at most",
                figure(gap.median),
                figure(gap.max)
            )
        }
        None => "no loss of the weights themselves is known".to_owned(),
    });
    told.extend(changes(arm.file, &arm.marks));
    format!("{}: {}.", arm.arm, told.join(", "))
}
