//! An arm's curves as they travel: as many points as a screen shows, in pieces; angles in two bytes.

use serde::{Deserialize, Serialize};

use crate::telemetry::history::{Curve, Point};
use crate::telemetry::snapshot::Curves;

/// Points of a curve to a piece: small, because the last piece is sent again until it is full.
const POINTS_A_PIECE: usize = 4;
/// Parts of a degree in which angles are told: finer than any screen, and 90 degrees fit into two bytes.
const DEGREE: f64 = 64.0;

/// A curve of an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Which {
    /// Batch loss.
    Loss,
    /// Batch accuracy.
    Acc,
    /// Test loss.
    TestLoss,
    /// Test error.
    TestErr,
    /// Angle to the isocurve.
    Angle,
    /// Its running median.
    AngleMedian,
    /// The angle in the plane of the path.
    PlaneAngle,
    /// Its running median.
    PlaneAngleMedian,
    /// Running median of the angle with weight decay the other way.
    CounterfactualMedian,
}

impl Which {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Loss,
        Self::Acc,
        Self::TestLoss,
        Self::TestErr,
        Self::Angle,
        Self::AngleMedian,
        Self::PlaneAngle,
        Self::PlaneAngleMedian,
        Self::CounterfactualMedian,
    ];

    fn is_angle(self) -> bool {
        !matches!(self, Self::Loss | Self::Acc | Self::TestLoss | Self::TestErr)
    }

    fn of(self, curves: &Curves) -> &Curve {
        match self {
            Self::Loss => &curves.loss,
            Self::Acc => &curves.acc,
            Self::TestLoss => &curves.test_loss,
            Self::TestErr => &curves.test_err,
            Self::Angle => &curves.angle,
            Self::AngleMedian => &curves.angle_median,
            Self::PlaneAngle => &curves.plane_angle,
            Self::PlaneAngleMedian => &curves.plane_angle_median,
            Self::CounterfactualMedian => &curves.counterfactual_median,
        }
    }

    /// The curve, to be set.
    pub fn of_mut(self, curves: &mut Curves) -> &mut Curve {
        match self {
            Self::Loss => &mut curves.loss,
            Self::Acc => &mut curves.acc,
            Self::TestLoss => &mut curves.test_loss,
            Self::TestErr => &mut curves.test_err,
            Self::Angle => &mut curves.angle,
            Self::AngleMedian => &mut curves.angle_median,
            Self::PlaneAngle => &mut curves.plane_angle,
            Self::PlaneAngleMedian => &mut curves.plane_angle_median,
            Self::CounterfactualMedian => &mut curves.counterfactual_median,
        }
    }
}

/// Points of an angle: steps after the one before, the first after no step, and the angle in a [`DEGREE`]th.
type Angles = Vec<(u64, i16)>;

/// A curve's pieces for a screen of so many columns. Angles are many and noisy: one point to a column of the screen,
/// two dots of a panel that has all of it.
pub fn pieces(which: Which, curves: &Curves, columns: u16) -> Vec<Vec<u8>> {
    let columns = usize::from(columns).max(8);
    let most = if which.is_angle() { columns } else { 2 * columns };
    let points = thinned(which.of(curves).points(), most);
    let bytes = |piece: &[(u64, f32)]| {
        let told = if which.is_angle() {
            postcard::to_allocvec(&angles(piece))
        } else {
            postcard::to_allocvec(piece)
        };
        // Plain data always has bytes.
        told.unwrap_or_default()
    };
    points.chunks(POINTS_A_PIECE).map(bytes).collect()
}

/// The points of a piece.
///
/// # Errors
/// When it is none, or a longer one than is sent.
pub fn points(which: Which, bytes: &[u8]) -> Result<Vec<Point>, postcard::Error> {
    let point = |step, mean| Point { step, mean, min: mean, max: mean };
    let bounded = |count| match count {
        0..=POINTS_A_PIECE => Ok(()),
        _ => Err(postcard::Error::DeserializeBadEncoding),
    };
    if !which.is_angle() {
        let told: Vec<(u64, f32)> = postcard::from_bytes(bytes)?;
        bounded(told.len())?;
        return Ok(told.into_iter().map(|(step, mean)| point(step, f64::from(mean))).collect());
    }
    let told: Angles = postcard::from_bytes(bytes)?;
    bounded(told.len())?;
    let mut step = 0u64;
    let next = |(after, angle): (u64, i16)| {
        step = step.wrapping_add(after);
        point(step, f64::from(angle) / DEGREE)
    };
    Ok(told.into_iter().map(next).collect())
}

fn angles(points: &[(u64, f32)]) -> Angles {
    let mut before = 0;
    let one = |(step, angle): &(u64, f32)| {
        let after = step.wrapping_sub(before);
        before = *step;
        // Saturates at 512 degrees.
        (after, (f64::from(*angle) * DEGREE).round() as i16)
    };
    points.iter().map(one).collect()
}

/// At most `most` points: neighbours merged in groups of a power of two, counted from the start, so that what was sent
/// stays as it is while the curve grows.
pub fn thinned(points: &[Point], most: usize) -> Vec<(u64, f32)> {
    let group = points.len().div_ceil(most).max(1).next_power_of_two();
    let merged = |group: &[Point]| {
        let mean = group.iter().map(|p| p.mean).sum::<f64>() / group.len() as f64;
        (group.last().map_or(0, |p| p.step), mean as f32)
    };
    points.chunks(group).map(merged).collect()
}
