//! The points of a surface: which are known, which are computed, what is kept of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tch::Device;

use super::super::crew::{Crew, Means};
use super::super::error::LandscapeError;
use super::super::file::SurfaceFile;
use super::super::journal::{Entries, Journal};
use super::super::plane::Plane;
use super::super::principal::Visited;
use super::super::refine::Refinement;
use super::super::request::Request;
use super::super::shard::Shard;
use super::super::source::Source;
use super::Progress;
use crate::config::Precision;
use crate::data::Split;
use crate::model::Tally;

/// Points that are computed again in single precision: enough to see the worst, few beside a map's thousands.
const SAMPLE: usize = 32;

/// A surface's points in the making.
pub struct Points {
    journal: Journal,
    adaptive: bool,
    shard: Option<Shard>,
    /// Loss and accuracy of points that are known.
    known: Vec<Option<(f64, f64)>>,
    /// Points computed by this process.
    pub computed: usize,
}

impl Points {
    /// The points of `content`: what the journal and an earlier file hold is known.
    pub fn new(
        content: &SurfaceFile,
        request: &Request,
        journal: Journal,
        entries: &Entries,
        earlier: Option<&SurfaceFile>,
    ) -> Self {
        let len = content.surface.len();
        let mut new = Self {
            journal,
            adaptive: request.adaptive,
            shard: request.shard,
            known: vec![None; len],
            computed: 0,
        };
        if let Some(SurfaceFile { surface, .. }) = earlier {
            for (index, known) in new.known.iter_mut().enumerate() {
                let computed = surface.computed.as_ref().is_none_or(|c| c[index]);
                // A point whose loss is no number was computed if its accuracy is one.
                let found = (surface.loss[index], surface.acc[index]);
                *known = (computed && !found.1.is_nan()).then_some(found);
            }
        }
        for (index, loss, acc) in &entries.points {
            if let Some(known) = new.known.get_mut(*index) {
                *known = Some((*loss, *acc));
            }
        }
        new
    }

    /// Computes what is not known, and puts all of it into `content`.
    ///
    /// # Errors
    /// When a device fails or the journal cannot be written; what is known is in `content` and in the journal.
    pub fn compute(
        &mut self,
        content: &mut SurfaceFile,
        crew: &mut Crew,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<(), LandscapeError> {
        let places: Vec<(f64, f64)> =
            (0..content.surface.len()).map(|i| content.surface.place(i)).collect();
        if self.adaptive {
            return self.refine(content, &places, crew, stop, tell);
        }
        let wanted: Vec<usize> =
            (0..places.len()).filter(|i| self.shard.is_none_or(|shard| shard.holds(*i))).collect();
        let result = self.some(&wanted, wanted.len(), &places, crew, stop, tell);
        for (index, known) in self.known.iter().enumerate() {
            if let Some((loss, acc)) = known {
                content.surface.loss[index] = *loss;
                content.surface.acc[index] = *acc;
            }
        }
        result
    }

    /// Computes those of `wanted` that are not known.
    fn some(
        &mut self,
        wanted: &[usize],
        total: usize,
        places: &[(f64, f64)],
        crew: &mut Crew,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<(), LandscapeError> {
        let missing: Vec<usize> =
            wanted.iter().copied().filter(|i| self.known[*i].is_none()).collect();
        let mut done = total - missing.len();
        let what = "loss";
        tell(Progress { what, done, total });
        let at: Vec<(f64, f64)> = missing.iter().map(|i| places[*i]).collect();
        let (known, journal, computed) = (&mut self.known, &mut self.journal, &mut self.computed);
        crew.compute(&at, stop, &mut |point: usize, tally: Tally| {
            let index = missing[point];
            let found = (tally.mean_loss(), tally.accuracy());
            journal.point((index, found.0, found.1))?;
            known[index] = Some(found);
            *computed += 1;
            done += 1;
            tell(Progress { what, done, total });
            Ok(())
        })
    }

    fn refine(
        &mut self,
        content: &mut SurfaceFile,
        places: &[(f64, f64)],
        crew: &mut Crew,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<(), LandscapeError> {
        let (nx, ny) = (content.surface.xs.len(), content.surface.ys.len().max(1));
        let mut grid = Refinement::new(nx, ny);
        let (mut asked, mut result) = (0, Ok(()));
        while !grid.wanted().is_empty() {
            let wanted = grid.wanted().to_vec();
            asked += wanted.len();
            result = self.some(&wanted, asked, places, crew, stop, tell);
            let found: Option<Vec<(f64, f64)>> = wanted.iter().map(|i| self.known[*i]).collect();
            match (found, &result) {
                (Some(found), Ok(())) => grid.take(&found),
                // Stopped, or failed: what is known so far is kept without the interpolation of a part.
                _ => break,
            }
        }
        let (loss, acc, computed) = grid.known();
        content.surface.loss.copy_from_slice(loss);
        content.surface.acc.copy_from_slice(acc);
        let mut mask = computed.to_vec();
        for (index, known) in self.known.iter().enumerate() {
            if let Some((loss, acc)) = known {
                content.surface.loss[index] = *loss;
                content.surface.acc[index] = *acc;
                mask[index] = true;
            }
        }
        content.surface.computed = Some(mask);
        result
    }

    /// The journal, for what is measured besides.
    pub fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// Ends the journal of a surface whose file is whole.
    pub fn end(self) {
        self.journal.remove();
    }
}

/// Largest relative difference of the losses in `content` from single precision, over a sample of its points.
///
/// # Errors
/// When a device fails.
pub fn rounding(
    content: &SurfaceFile,
    plane: &Plane,
    split: &Split,
    chosen: &[i64],
    means: &Means,
) -> Result<Option<f64>, LandscapeError> {
    let surface = &content.surface;
    let computed = |i: &usize| surface.computed.as_ref().is_none_or(|c| c[*i]);
    // By the place in the whole grid, so that all shards together have the whole's sample.
    let every = surface.len().div_ceil(SAMPLE).max(1);
    let sample = (0..surface.len()).step_by(every);
    let sample: Vec<usize> =
        sample.filter(|i| surface.loss[*i].is_finite() && computed(i)).collect();
    let places: Vec<(f64, f64)> = sample.iter().map(|i| surface.place(*i)).collect();
    let exact = Means { precision: Precision::F32, ..means.clone() };
    let mut worst: Option<f64> = None;
    Crew::new(plane, split, chosen, &exact)?.compute(
        &places,
        &AtomicBool::new(false),
        &mut |point, tally| {
            let off = (surface.loss[sample[point]] / tally.mean_loss() - 1.0).abs();
            if off.is_finite() {
                worst = Some(worst.map_or(off, |w| w.max(off)));
            }
            Ok(())
        },
    )?;
    Ok(worst)
}

/// The loss of the true weights at every checkpoint of the path, on the surface's images.
///
/// # Errors
/// When a device fails.
pub fn losses_on_path(
    content: &mut SurfaceFile,
    visited: &Visited,
    source: &Source,
    (split, chosen, means): (&Split, &[i64], &Means),
    stop: &AtomicBool,
    tell: &mut dyn FnMut(Progress),
) -> Result<(), LandscapeError> {
    let mut losses = Vec::new();
    let total = visited.weights().len();
    for weights in visited.weights() {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        tell(Progress { what: "checkpoints", done: losses.len(), total });
        let center = weights.copy_to(Device::Cpu)?;
        let point = Plane::new(Arc::clone(&source.plan), center, Vec::new(), None)?;
        let mut crew = Crew::new(&point, split, chosen, means)?;
        crew.compute(&[(0.0, 0.0)], &AtomicBool::new(false), &mut |_, tally| {
            losses.push(tally.mean_loss());
            Ok(())
        })?;
    }
    if let Some(path) = &mut content.trajectory {
        path.loss = losses;
    }
    Ok(())
}
