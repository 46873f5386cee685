//! An arm's path as it travels: a head, and its points in pieces, some eight bytes each. What the map says under a point
//! is not told: the viewer has the map.

use serde::{Deserialize, Serialize};

use super::figures::{narrow, widen};
use crate::telemetry::path::{PathGap, PathPoint, PathView};
use crate::telemetry::snapshot::LossMap;

/// Points to a piece: new ones are rare, so that the last piece is seldom sent again.
const POINTS_A_PIECE: usize = 16;
/// Pieces beyond which a path is not one of ours: twice the snapshots that can be configured.
pub const MOST_PIECES: usize = 128;
/// Axes beyond which a plane is none.
const MOST_AXES: usize = 8;
/// Steps of a decade in which losses are told: a tenth of a per cent.
const DECADE: f64 = 2048.0;
/// Steps of the outermost coordinate: far finer than dots.
const FINEST: f64 = 32_000.0;
/// Coordinates below are next to nothing, for no network moves so little.
const SMALLEST: f64 = 1e-30;
/// A coordinate or a loss that is none.
const NONE: i16 = i16::MIN;
/// An angle that is none.
const NO_ANGLE: i8 = i8::MIN;

/// What a path has besides its points.
#[derive(Serialize, Deserialize)]
pub struct PathHead {
    origin_step: u64,
    shares: Vec<f32>,
    /// median, max, relative
    gap: [f32; 3],
    /// Coordinates are told in two to the power of this, so that it stays as it is while the path grows a little.
    unit: i16,
    /// Whether the points have been read off the map.
    is_read: bool,
}

/// Neighbouring points, each as what it adds to the one before.
#[derive(Serialize, Deserialize)]
pub struct Stretch(Vec<Told>);

/// A point: step, x, y, loss, angle.
type Told = (u64, i16, i16, i16, i8);

/// A path's head and pieces.
pub fn take_apart(path: &PathView) -> (PathHead, Vec<Stretch>) {
    let coordinates = path.points.iter().flat_map(|p| [p.x.abs(), p.y.abs()]);
    let outermost = coordinates.filter(|v| v.is_finite()).fold(SMALLEST, f64::max);
    let unit = (outermost / FINEST).log2().ceil();
    let head = PathHead {
        origin_step: path.origin_step,
        shares: narrow(&path.shares),
        gap: [path.gap.median, path.gap.max, path.gap.relative].map(|v| v as f32),
        unit: unit as i16,
        is_read: path.points.iter().any(|p| p.drawn.is_finite()),
    };
    let place = |v: f64| if v.is_finite() { (v / power(head.unit)).round() as i16 } else { NONE };
    let angle = |v: f64| if v.is_finite() { v.round().clamp(-90.0, 90.0) as i8 } else { NO_ANGLE };
    let stretch = |points: &[PathPoint]| {
        let (mut step, mut figures) = (0, [0i16; 3]);
        let one = |p: &PathPoint| {
            let now = [place(p.x), place(p.y), level(p.loss)];
            let [x, y, loss] = [0, 1, 2].map(|i: usize| now[i].wrapping_sub(figures[i]));
            let after = p.step.wrapping_sub(step);
            (step, figures) = (p.step, now);
            (after, x, y, loss, angle(p.angle_deg))
        };
        Stretch(points.iter().map(one).collect())
    };
    let stretches = path.points.chunks(POINTS_A_PIECE).map(stretch).collect();
    (head, stretches)
}

/// A path from its head and pieces, and what `map` says of it; none if it is more than one of ours.
pub fn put_together(
    head: PathHead,
    stretches: &[Stretch],
    map: Option<&LossMap>,
) -> Option<PathView> {
    if stretches.len() > MOST_PIECES || head.shares.len() > MOST_AXES {
        return None;
    }
    let place = |v: i16| if v == NONE { f64::NAN } else { f64::from(v) * power(head.unit) };
    let loss = |v: i16| if v == NONE { f64::NAN } else { 10f64.powf(f64::from(v) / DECADE) };
    let angle = |v: i8| if v == NO_ANGLE { f64::NAN } else { f64::from(v) };
    let mut points = Vec::new();
    for Stretch(told) in stretches {
        if told.len() > POINTS_A_PIECE {
            return None;
        }
        let (mut step, mut figures) = (0u64, [0i16; 3]);
        for (after, x, y, l, a) in told {
            step = step.wrapping_add(*after);
            for (figure, by) in figures.iter_mut().zip([x, y, l]) {
                *figure = figure.wrapping_add(*by);
            }
            let mut point =
                PathPoint::new(step, (place(figures[0]), place(figures[1])), loss(figures[2]));
            point.angle_deg = angle(*a);
            points.push(point);
        }
    }
    let [median, max, relative] = head.gap.map(f64::from);
    let mut path = PathView {
        origin_step: head.origin_step,
        shares: widen(&head.shares),
        points,
        gap: PathGap { median, max, relative },
    };
    if let Some(map) = map.filter(|_| head.is_read) {
        path.read_under(map);
    }
    Some(path)
}

fn power(unit: i16) -> f64 {
    2f64.powi(i32::from(unit))
}

/// A loss as a power of ten in steps of a [`DECADE`]th; none of what has no logarithm but 0, which is next to it.
fn level(loss: f64) -> i16 {
    let level = (loss.max(f64::MIN_POSITIVE).log10() * DECADE).round();
    if loss >= 0.0 && level.is_finite() { level.clamp(-32_000.0, 32_000.0) as i16 } else { NONE }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::telemetry::fixture;

    #[test]
    fn a_path_comes_back_as_a_screen_shows_it() {
        let run = fixture::run(2, 120);
        for (id, arm) in run.arms.iter() {
            let map = run.path_maps.arms[id].as_ref();
            let (head, stretches) = take_apart(&arm.path);
            let bytes: usize =
                stretches.iter().map(|s| postcard::to_allocvec(s).unwrap().len()).sum();
            assert!(bytes <= 9 * arm.path.points.len(), "{bytes} for {}", arm.path.points.len());
            let back = put_together(head, &stretches, map).unwrap();
            assert_eq!(back.points.len(), arm.path.points.len());
            assert_eq!((back.origin_step, back.gap_is_large()), (100, arm.path.gap_is_large()));
            let near = |a: f64, b: f64, by: f64| (a - b).abs() <= by || (a.is_nan() && b.is_nan());
            for (a, b) in back.points.iter().zip(&arm.path.points) {
                assert_eq!(a.step, b.step);
                assert!(near(a.x, b.x, 1e-3) && near(a.y, b.y, 1e-3), "{a:?} {b:?}");
                assert!(near(a.loss, b.loss, 1e-3 * b.loss) && near(a.angle_deg, b.angle_deg, 0.5));
                assert!(near(a.drawn, b.drawn, 1e-2) && a.drawn.is_finite() == b.drawn.is_finite());
            }
        }
    }

    #[test]
    fn more_than_is_kept_is_refused() {
        let long = PathView {
            points: (0..=(MOST_PIECES * POINTS_A_PIECE) as u64)
                .map(|s| PathPoint::new(s, (0.0, 0.0), 1.0))
                .collect(),
            ..PathView::default()
        };
        let (head, stretches) = take_apart(&long);
        assert!(put_together(head, &stretches, None).is_none());
    }

    proptest! {
        /// Whatever the figures, no more than rounding is lost, and what is none stays so.
        #[test]
        fn any_point_comes_back(x in any::<f64>(), y in any::<f64>(), loss in any::<f64>(), angle in any::<f64>()) {
            let mut point = PathPoint::new(7, (x, y), loss);
            point.angle_deg = angle;
            let path = PathView { points: vec![point; 40], ..PathView::default() };
            let (head, stretches) = take_apart(&path);
            let back = put_together(head, &stretches, None).unwrap();
            prop_assert_eq!(back.points.len(), 40);
            let large = [x, y].iter().map(|v| v.abs()).filter(|v| v.is_finite()).fold(0.0, f64::max);
            for p in back.points {
                prop_assert_eq!((p.step, p.x.is_finite(), p.y.is_finite()), (7, x.is_finite(), y.is_finite()));
                prop_assert!(!x.is_finite() || (p.x - x).abs() <= large / FINEST + SMALLEST);
                prop_assert_eq!(p.loss.is_nan(), !(loss >= 0.0 && loss.is_finite()));
                prop_assert!(p.angle_deg.is_nan() || (-90.0..=90.0).contains(&p.angle_deg));
            }
        }
    }
}
