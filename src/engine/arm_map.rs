//! One arm's map in the making.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::maps::{Interrupted, MapArm};
use super::planes::Laid;
use crate::arm::{ArmId, ArmName};
use crate::config::MapSpec;
use crate::landscape::about::{About, word};
use crate::landscape::crew::Means;
use crate::landscape::direction::{DirectionSpec, by_parameter};
use crate::landscape::evaluate::{Evaluator, ReadyImages};
use crate::landscape::file::{SurfaceError, SurfaceFile, Trajectory};
use crate::landscape::images::ImageSet;
use crate::landscape::plane::{Plane, axes};
use crate::landscape::refine::Refinement;
use crate::landscape::span::Span;
use crate::landscape::surface::Surface;
use crate::telemetry::event::TrajectorySample;
use crate::train::device::TorchError;

/// Lines on a side below which a map shows nothing worth a look.
const FEWEST_SHOWN: usize = 5;

/// One arm's map: coarse first, then finer where interpolation would show.
pub struct ArmMap {
    /// Whose.
    pub arm: ArmId,
    /// Steps that it has made.
    pub step: u64,
    /// Its name.
    pub name: ArmName,
    /// Cosine of the two directions.
    pub cosine: f64,
    /// The path in whose plane it lies; none of a map along random directions.
    pub path: Option<Arc<Laid>>,
    evaluator: Evaluator,
    grid: Refinement,
    /// Columns and rows, as many of each.
    axes: [Vec<f64>; 2],
    /// Loss and accuracy of the wanted points so far.
    found: Vec<(f64, f64)>,
    /// Lines on which every point is known.
    shown: Vec<usize>,
}

impl ArmMap {
    /// A map around `weights` along random directions, nothing of it known.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn random(
        MapArm { id, made, name, plan, weights }: MapArm,
        spec: &MapSpec,
        seed: u64,
        images: &ImageSet,
    ) -> Result<Self, TorchError> {
        let directions = DirectionSpec { seed, norm: spec.norm, ignore: spec.ignore };
        let plane = Plane::random(plan, weights, directions, axes(false))?;
        let axis = Span { min: -spec.range, max: spec.range, n: spec.grid };
        Self::of((id, made, name), plane, [axis, axis], spec, images)
    }

    /// A map in the plane of an arm's path, whose newest point `weights` are; it reaches around the whole path.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn of_path(
        MapArm { id, made, name, plan, weights }: MapArm,
        path: Arc<Laid>,
        spec: &MapSpec,
        images: &ImageSet,
    ) -> Result<Self, TorchError> {
        let directions = path.axes.tensors(weights.theta.device())?;
        let plane = Plane::new(plan, weights, directions, None)?;
        let spans = Span::square_around(path.points.iter().map(|(_, place, _)| *place), spec.grid);
        let map = Self::of((id, made, name), plane, spans, spec, images)?;
        Ok(Self { path: Some(path), ..map })
    }

    fn of(
        (arm, step, name): (ArmId, u64, ArmName),
        plane: Plane,
        spans: [Span; 2],
        spec: &MapSpec,
        images: &ImageSet,
    ) -> Result<Self, TorchError> {
        let cosine = plane.cosine()?;
        let means = Means { precision: spec.precision, ..Means::one_thread() };
        let ready = ReadyImages::new(plane.plan(), images.share(), &means)?;
        Ok(Self {
            arm,
            step,
            name,
            cosine,
            path: None,
            evaluator: Evaluator::new(plane, ready)?,
            grid: Refinement::new(spec.grid, spec.grid),
            axes: spans.map(|span| span.points()),
            found: Vec::new(),
            shown: Vec::new(),
        })
    }

    /// The plane's name in events and files.
    pub fn plane(&self) -> &'static str {
        if self.path.is_some() { "pca" } else { "random" }
    }

    /// What is told of the path in the map's plane, if it is one's.
    pub fn path_sample(&self, t: f64) -> Option<TrajectorySample> {
        let path = self.path.as_ref()?;
        Some(TrajectorySample {
            arm: self.name.clone(),
            step: self.step,
            t,
            snapshots: path.points.len(),
            explained: path.axes.shares.to_vec(),
            gap: trajectory(path).gap(self.surface().grid()),
        })
    }

    /// Points that this pass still wants.
    pub fn left(&self) -> usize {
        self.grid.wanted().len() - self.found.len()
    }

    /// Points known, computed or interpolated.
    pub fn known(&self) -> usize {
        // A last look at the isolines computes points that were known by interpolation.
        let all = self.axes[0].len() * self.axes[1].len();
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
        self.shown.len() >= FEWEST_SHOWN.min(self.axes[0].len())
    }

    /// Computes the next point of the pass, and ends the pass with its last.
    pub fn point(&mut self, cancelled: &AtomicBool) -> Result<(), Interrupted> {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Interrupted::Superseded);
        }
        let Some(point) = self.grid.wanted().get(self.found.len()) else { return Ok(()) };
        let [xs, ys] = &self.axes;
        let n = xs.len();
        let tally = self.evaluator.at(xs[point % n], ys[point / n])?;
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
            xs: self.axes[0].clone(),
            ys: self.axes[1].clone(),
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
            plane: self.plane().to_owned(),
            // Rules of random directions say nothing of a path's.
            norm: if self.path.is_some() { "none".to_owned() } else { word(&spec.norm) },
            ignore: if self.path.is_some() { "biasbn".to_owned() } else { word(&spec.ignore) },
            variance: self.path.as_ref().map(|p| p.axes.shares.to_vec()).unwrap_or_default(),
            seed,
            bn: "frozen".to_owned(),
            precision: word(&spec.precision),
            cosine: self.cosine,
            coarse: !self.is_complete(),
            ..About::default()
        };
        let plane = self.evaluator.plane();
        let directions = plane.directions().iter().map(|d| by_parameter(plane.plan(), d));
        let directions = directions.collect::<Result<_, _>>()?;
        let images = images.to_vec();
        let trajectory = self.path.as_deref().map(trajectory);
        let surface = SurfaceFile::of(self.surface());
        Ok(SurfaceFile { about, images, directions, trajectory, ..surface })
    }
}

/// A path as a file holds it.
fn trajectory(path: &Laid) -> Trajectory {
    let (mut xs, mut ys, mut steps, mut losses) = (vec![], vec![], vec![], vec![]);
    for (step, (x, y), loss) in &path.points {
        xs.push(*x);
        ys.push(*y);
        steps.push(*step);
        losses.push(*loss);
    }
    Trajectory { xs, ys, steps, loss: losses }
}
