//! A surface made ready to be drawn, on paper or in a terminal: numbers, scales, lines and words; nothing of files.

use crate::geometry::contour::{Grid, Isoline};
use crate::geometry::scale::Scale;

/// How a chart is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Isolines with their levels.
    Contour,
    /// The bands between isolines, filled.
    Filled,
    /// Each grid point's cell in its colour.
    Heat,
    /// As a relief.
    ThreeD,
    /// A curve along x.
    Profile,
}

/// What is drawn: name, unit, and how they are told together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// As in `loss`.
    pub name: &'static str,
    /// As in `nats`; empty for a ratio.
    pub unit: &'static str,
}

impl Quantity {
    /// Name and unit, as on an axis.
    pub fn label(&self) -> String {
        if self.unit.is_empty() {
            self.name.to_owned()
        } else {
            format!("{} ({})", self.name, self.unit)
        }
    }
}

/// The training's path over the surface.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Path {
    /// (x, y), oldest first; all finite.
    pub points: Vec<(f64, f64)>,
    /// Words at its start and its end.
    pub ends: (String, String),
    /// Angle at which the stretch from each point to the next crosses the isocurves of the loss, degrees: 90 straight
    /// downhill, 0 along them, below 0 uphill. One a point; NaN where unknown, as of the last; empty where none is known.
    pub angles: Vec<f64>,
    /// Places on it where what it is trained with changed, and what became of it in a few letters.
    pub marks: Vec<((f64, f64), String)>,
}

impl Path {
    /// Whether the angle of any stretch is known.
    pub fn has_angles(&self) -> bool {
        self.angles.iter().any(|a| a.is_finite())
    }

    /// The angle of the stretch that leaves a point, degrees; none where unknown.
    pub fn angle(&self, point: usize) -> Option<f64> {
        self.angles.get(point).copied().filter(|a| a.is_finite())
    }
}

/// A second curve of a profile, on an axis of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Second {
    /// What it shows.
    pub quantity: Quantity,
    /// Values, as [`Chart::values`]; NaN where unknown.
    pub values: Vec<f64>,
}

/// A surface, or a profile, and everything that is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// In a few words.
    pub title: String,
    /// What was measured, on what.
    pub subtitle: String,
    /// Columns, rising [nx].
    pub xs: Vec<f64>,
    /// Rows, rising [ny]; a single one of a profile.
    pub ys: Vec<f64>,
    /// Values [ny * nx], row = y; not finite where unknown.
    pub values: Vec<f64>,
    /// Which were computed rather than interpolated, where that is told.
    pub computed: Option<Vec<bool>>,
    /// What the values are.
    pub quantity: Quantity,
    /// Colours; none where no value is finite.
    pub scale: Option<Scale>,
    /// Heights of the relief and of the profile, where [`Chart::scale`] is.
    pub height: Option<Scale>,
    /// What x is.
    pub x_label: String,
    /// What y is.
    pub y_label: String,
    /// Levels of the isolines, rising.
    pub levels: Vec<f64>,
    /// Isolines at the levels.
    pub isolines: Vec<Isoline>,
    /// The training's path, where it is known.
    pub path: Option<Path>,
    /// Upright marks of a profile.
    pub marks: Vec<(f64, String)>,
    /// A second curve of a profile.
    pub second: Option<Second>,
    /// What must be known to judge the picture, one thing each.
    pub caption: Vec<String>,
}

impl Chart {
    /// The values as geometry takes them.
    pub fn grid(&self) -> Grid<'_> {
        Grid { xs: &self.xs, ys: &self.ys, values: &self.values }
    }

    /// Whether there is but one row.
    pub fn is_profile(&self) -> bool {
        self.ys.len() < 2
    }

    /// First and last x, first and last y; an axis of one point is widened.
    pub fn extent(&self) -> (f64, f64, f64, f64) {
        let ends = |axis: &[f64]| match (axis.first(), axis.last()) {
            (Some(a), Some(b)) if a < b => (*a, *b),
            (Some(a), _) => (a - 0.5, a + 0.5),
            _ => (-0.5, 0.5),
        };
        let ((x0, x1), (y0, y1)) = (ends(&self.xs), ends(&self.ys));
        (x0, x1, y0, y1)
    }
}
