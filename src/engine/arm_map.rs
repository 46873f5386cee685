//! One arm's map in the making.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::maps::Interrupted;
use crate::arm::{ArmId, ArmName};
use crate::config::MapSpec;
use crate::landscape::about::{About, word};
use crate::landscape::crew::Means;
use crate::landscape::direction::{DirectionSpec, by_parameter};
use crate::landscape::evaluate::{Evaluator, ReadyImages};
use crate::landscape::file::{SurfaceError, SurfaceFile};
use crate::landscape::images::ImageSet;
use crate::landscape::plane::{Plane, axes};
use crate::landscape::refine::Refinement;
use crate::landscape::span::Span;
use crate::landscape::surface::Surface;
use crate::model::{Plan, Weights};
use crate::train::device::TorchError;

/// Lines on a side below which a map shows nothing worth a look.
const FEWEST_SHOWN: usize = 5;

/// One arm's map: coarse first, then finer where interpolation would show.
pub struct ArmMap {
    /// Whose.
    pub arm: ArmId,
    /// Its name.
    pub name: ArmName,
    /// Cosine of the two directions.
    pub cosine: f64,
    evaluator: Evaluator,
    grid: Refinement,
    axis: Vec<f64>,
    /// Loss and accuracy of the wanted points so far.
    found: Vec<(f64, f64)>,
    /// Lines on which every point is known.
    shown: Vec<usize>,
}

impl ArmMap {
    /// A map around `weights`, nothing of it known.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn new(
        (arm, name, plan, weights): (ArmId, ArmName, Arc<Plan>, Weights),
        spec: &MapSpec,
        seed: u64,
        images: &ImageSet,
    ) -> Result<Self, TorchError> {
        let directions = DirectionSpec { seed, norm: spec.norm, ignore: spec.ignore };
        let plane = Plane::random(plan, weights, directions, axes(false))?;
        let cosine = plane.cosine()?;
        let means = Means { precision: spec.precision, ..Means::one_thread() };
        let ready = ReadyImages::new(plane.plan(), images.share(), &means)?;
        let evaluator = Evaluator::new(plane, ready)?;
        let axis = Span { min: -spec.range, max: spec.range, n: spec.grid }.points();
        let grid = Refinement::new(spec.grid, spec.grid);
        Ok(Self { arm, name, cosine, evaluator, grid, axis, found: Vec::new(), shown: Vec::new() })
    }

    /// Points that this pass still wants.
    pub fn left(&self) -> usize {
        self.grid.wanted().len() - self.found.len()
    }

    /// Points known, computed or interpolated.
    pub fn known(&self) -> usize {
        // A last look at the isolines computes points that were known by interpolation.
        let all = self.axis.len() * self.axis.len();
        (self.shown.len() * self.shown.len() + self.found.len()).min(all)
    }

    /// Points on a side that the running pass completes.
    pub fn side(&self) -> usize {
        self.grid.lines().0.len()
    }

    /// Whether the whole grid is known.
    pub fn is_complete(&self) -> bool {
        self.grid.wanted().is_empty()
    }

    /// Whether it is worth a look.
    pub fn is_shown(&self) -> bool {
        self.shown.len() >= FEWEST_SHOWN.min(self.axis.len())
    }

    /// Computes the next point of the pass, and ends the pass with its last.
    pub fn point(&mut self, cancelled: &AtomicBool) -> Result<(), Interrupted> {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Interrupted::Superseded);
        }
        let Some(point) = self.grid.wanted().get(self.found.len()) else { return Ok(()) };
        let n = self.axis.len();
        let tally = self.evaluator.at(self.axis[point % n], self.axis[point / n])?;
        self.found.push((tally.mean_loss(), tally.accuracy()));
        if self.left() == 0 {
            // Rows and columns are refined alike.
            self.shown = self.grid.lines().0.to_vec();
            self.grid.take(&std::mem::take(&mut self.found));
            if self.is_complete() {
                // Finer passes may have wanted no point at all.
                self.shown = self.grid.lines().0.to_vec();
            }
        }
        Ok(())
    }

    /// What is known: the map on the lines of the last pass, its points marked as computed or interpolated.
    pub fn surface(&self) -> Surface {
        let (loss, acc, computed) = self.grid.known();
        let whole = Surface {
            xs: self.axis.clone(),
            ys: self.axis.clone(),
            loss: loss.to_vec(),
            acc: acc.to_vec(),
            computed: Some(computed.to_vec()),
        };
        whole.on_lines(&self.shown)
    }

    /// The file of what is known.
    ///
    /// # Errors
    /// When the directions cannot be copied off the device.
    pub fn file(
        &self,
        step: u64,
        seed: u64,
        spec: &MapSpec,
        images: &[i64],
    ) -> Result<SurfaceFile, SurfaceError> {
        let about = About {
            arm: self.name.to_string(),
            step,
            plane: "random".to_owned(),
            norm: word(&spec.norm),
            ignore: word(&spec.ignore),
            seed,
            bn: "frozen".to_owned(),
            precision: word(&spec.precision),
            cosine: self.cosine,
            ..About::default()
        };
        let plane = self.evaluator.plane();
        let directions = plane.directions().iter().map(|d| by_parameter(plane.plan(), d));
        let directions = directions.collect::<Result<_, _>>()?;
        let images = images.to_vec();
        Ok(SurfaceFile { about, images, directions, ..SurfaceFile::of(self.surface()) })
    }
}
