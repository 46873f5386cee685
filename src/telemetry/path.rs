//! Where an arm has been, in the plane in which it moved most, and how far the picture can be trusted.

use serde::{Deserialize, Serialize};

use super::number::{null_as_nan, nulls_as_nan};
use super::snapshot::LossMap;
use crate::geometry::contour::Grid;
use crate::geometry::crossing;

/// How far a map in the plane of a path is from the loss of the weights on the path.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathGap {
    /// Median over the path's length of |map - loss|, nats.
    #[serde(with = "null_as_nan")]
    pub median: f64,
    /// Largest, nats.
    #[serde(with = "null_as_nan")]
    pub max: f64,
    /// Median of |map - loss| / (loss + 0.1).
    #[serde(with = "null_as_nan")]
    pub relative: f64,
}

/// Relative gap beyond which a map is not what was trained on: half of the loss itself.
pub const LARGE_GAP: f64 = 0.5;

impl PathGap {
    /// Whether the map is far from the losses on the path.
    pub fn is_large(&self) -> bool {
        self.relative > LARGE_GAP
    }

    /// No map, or no point on it.
    pub const NONE: Self = Self { median: f64::NAN, max: f64::NAN, relative: f64::NAN };
}

impl From<crossing::Gap> for PathGap {
    fn from(crossing::Gap { median, max, relative }: crossing::Gap) -> Self {
        Self { median, max, relative }
    }
}

impl Default for PathGap {
    fn default() -> Self {
        Self::NONE
    }
}

/// One arm's path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PathView {
    /// Steps done at the origin: the newest snapshot when the axes were taken.
    pub origin_step: u64,
    /// Share of the snapshots' variance along each axis, which keep their places where two are near each other; empty before there is a plane.
    #[serde(with = "nulls_as_nan")]
    pub shares: Vec<f64>,
    /// The kept snapshots, oldest first; the first and the newest are always there.
    pub points: Vec<PathPoint>,
    /// Between the points' losses and the map under them.
    pub gap: PathGap,
}

/// One snapshot of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathPoint {
    /// Steps done.
    pub step: u64,
    /// Along the first axis, L2 distance from the origin.
    #[serde(with = "null_as_nan")]
    pub x: f64,
    /// Along the second axis.
    #[serde(with = "null_as_nan")]
    pub y: f64,
    /// Loss of these weights, not of their projection, on the maps' images, nats.
    #[serde(with = "null_as_nan")]
    pub loss: f64,
    /// The map under the point, nats; NaN without a map.
    #[serde(with = "null_as_nan")]
    pub drawn: f64,
    /// Angle at which the stretch from here to the next point crosses the map's isocurves, degrees; NaN for the last
    /// point and without a map.
    #[serde(with = "null_as_nan")]
    pub angle_deg: f64,
}

impl PathPoint {
    /// A point of which the map says nothing yet.
    pub fn new(step: u64, (x, y): (f64, f64), loss: f64) -> Self {
        Self { step, x, y, loss, drawn: f64::NAN, angle_deg: f64::NAN }
    }
}

impl PathView {
    /// Reads off the map what it says of the path: the loss under each point, the angle of each stretch, the gap.
    pub fn read_off(&mut self, map: &LossMap) {
        let grid = Grid { xs: &map.xs, ys: &map.ys, values: &map.loss };
        let places: Vec<(f64, f64)> = self.points.iter().map(|p| (p.x, p.y)).collect();
        let angles = crossing::stretch_angles(grid, &places);
        for (index, point) in self.points.iter_mut().enumerate() {
            point.drawn = crossing::value_under(grid, (point.x, point.y));
            point.angle_deg = angles.get(index).copied().unwrap_or(f64::NAN);
        }
        let told: Vec<_> = self.points.iter().map(|p| ((p.x, p.y), p.loss, p.drawn)).collect();
        self.gap = crossing::gap(&told).into();
    }

    /// Reads off the map the loss under each point, and nothing else.
    pub fn read_under(&mut self, map: &LossMap) {
        let grid = Grid { xs: &map.xs, ys: &map.ys, values: &map.loss };
        for point in &mut self.points {
            point.drawn = crossing::value_under(grid, (point.x, point.y));
        }
    }

    /// Whether the map is far from the losses on the path.
    pub fn gap_is_large(&self) -> bool {
        self.gap.is_large()
    }

    /// Where the arm was after `step` steps: between the two points around it; none outside the path.
    pub fn at(&self, step: u64) -> Option<(f64, f64)> {
        place_at(self.points.iter().map(|p| (p.step, (p.x, p.y))), step)
    }
}

/// Where a path of (steps done, place), oldest first, was after `step` steps: between the two points around it; none
/// outside the path.
pub fn place_at(
    points: impl IntoIterator<Item = (u64, (f64, f64))>,
    step: u64,
) -> Option<(f64, f64)> {
    let mut before: Option<(u64, (f64, f64))> = None;
    for (at, (x, y)) in points {
        if at == step {
            return Some((x, y));
        }
        if at > step {
            let (from, (x0, y0)) = before?;
            let part = (step - from) as f64 / (at - from) as f64;
            return Some((x0 + part * (x - x0), y0 + part * (y - y0)));
        }
        before = Some((at, (x, y)));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::event::SurfaceStats;

    #[test]
    fn a_path_down_a_bowl_crosses_its_isocurves() {
        // (x^2 + y^2) / 2 + 0.25 on a grid, and a path straight in along x.
        let axis: Vec<f64> = (-8..=8).map(|i| f64::from(i) / 2.0).collect();
        let loss = axis.iter().flat_map(|y| axis.iter().map(move |x| 0.5 * (x * x + y * y) + 0.25));
        let nan = f64::NAN;
        let map = LossMap {
            step: 30,
            taken_s: 0.0,
            loss: loss.collect(),
            xs: axis.clone(),
            ys: axis,
            isolines: Vec::new(),
            images: 1,
            cosine: 0.0,
            complete: true,
            stats: SurfaceStats { center: nan, min: nan, median: nan, max: nan, points: 0 },
        };
        let point = |step: u64, x: f64| PathPoint::new(step, (x, 0.0), 0.5 * x * x);
        let points = vec![point(0, 3.0), point(10, 2.0), point(20, 1.0), point(30, 0.0)];
        let mut path = PathView { points, ..PathView::default() };
        path.read_off(&map);
        assert!(path.points[..3].iter().all(|p| (p.angle_deg - 90.0).abs() < 1e-9));
        assert!(path.points[3].angle_deg.is_nan());
        assert_eq!(path.points[0].drawn, 4.75);
        // The map lies 0.25 too high everywhere: 0.25 / (4.5, 2, 0.5, 0 + 0.1), in the middle (0.25 / 2.1, 0.25 / 0.6).
        assert!((path.gap.median - 0.25).abs() < 1e-12 && (path.gap.max - 0.25).abs() < 1e-12);
        assert!((path.gap.relative - 0.5 * (0.25 / 2.1 + 0.25 / 0.6)).abs() < 1e-12);
        assert!(!path.gap_is_large());
        assert_eq!(path.at(15), Some((1.5, 0.0)));
        assert_eq!((path.at(0), path.at(31)), (Some((3.0, 0.0)), None));
    }
}
