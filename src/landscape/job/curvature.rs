//! Extreme eigenvalues of the Hessian, at the centre and over the grid.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tch::Device;

use super::super::error::LandscapeError;
use super::super::file::{CenterCurvature, CurvatureMap, SurfaceFile};
use super::super::hessian::{Curvature, HessianProbe};
use super::super::journal::{Entry, Journal};
use super::super::lanczos::{Limits, SpectrumError};
use super::super::plane::Plane;
use super::super::pool;
use super::super::request::CurvatureKind;
use super::super::shard::Shard;
use super::Progress;
use crate::data::Split;
use crate::model::use_threads;

/// What curvature is measured on.
pub struct Curved<'a> {
    /// Around which weights, in which plane; on the CPU.
    pub plane: &'a Plane,
    /// Of which images.
    pub split: &'a Split,
    /// Which of them.
    pub chosen: &'a [i64],
    /// Threads, a point to each.
    pub threads: usize,
    /// The part of the grid that is measured here.
    pub shard: Option<Shard>,
}

impl Curved<'_> {
    /// Measures what `kind` asks for and is not known yet: `earlier` is an earlier file of the surface, `entries` what
    /// the journal holds. False if it was stopped before all is known.
    ///
    /// # Errors
    /// When torch fails or the journal cannot be written; what is known is in `content` and in the journal.
    pub fn measure(
        &self,
        content: &mut SurfaceFile,
        kind: Option<CurvatureKind>,
        earlier: Option<&SurfaceFile>,
        (journal, entries): (&mut Journal, &[Entry]),
        stop: &AtomicBool,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<bool, LandscapeError> {
        content.center_curvature = earlier.and_then(|e| e.center_curvature);
        let mut known: Vec<Option<(f64, f64)>> = vec![None; content.surface.len()];
        if let Some(CurvatureMap { lambda_max, lambda_min }) =
            earlier.and_then(|e| e.curvature.as_ref())
        {
            for (known, (max, min)) in known.iter_mut().zip(lambda_max.iter().zip(lambda_min)) {
                *known = (!max.is_nan()).then_some((*max, *min));
            }
        }
        for (index, max, min) in entries {
            if let Some(place) = known.get_mut(*index) {
                *place = Some((*max, *min));
            }
        }
        if let (Some(_), None) = (kind, content.center_curvature) {
            tell(Progress { what: "curvature at the centre", done: 0, total: 1 });
            use_threads(self.threads);
            let found =
                self.probe(content.about.seed).and_then(|p| at(&p, self.plane, (0.0, 0.0), stop));
            use_threads(1);
            content.center_curvature = found?.map(|c| CenterCurvature {
                lambda_max: c.lambda_max,
                lambda_min: c.lambda_min,
                products: c.iterations as u64,
                converged: c.converged,
            });
        }
        let mut result = Ok(());
        if kind == Some(CurvatureKind::Map) {
            result = self.map(content, &mut known, journal, stop, tell);
        }
        if known.iter().any(Option::is_some) {
            let of = |pick: fn((f64, f64)) -> f64| {
                known.iter().map(|k| k.map_or(f64::NAN, pick)).collect()
            };
            let (lambda_max, lambda_min) = (of(|k| k.0), of(|k| k.1));
            content.curvature = Some(CurvatureMap { lambda_max, lambda_min });
        }
        result.map(|()| !stop.load(Ordering::Relaxed))
    }

    /// Every point of this part of the grid that is not known, a point to a thread.
    fn map(
        &self,
        content: &SurfaceFile,
        known: &mut [Option<(f64, f64)>],
        journal: &mut Journal,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<(), LandscapeError> {
        let what = "curvature";
        let here: Vec<usize> =
            (0..known.len()).filter(|i| self.shard.is_none_or(|s| s.holds(*i))).collect();
        let missing: Vec<usize> = here.iter().copied().filter(|i| known[*i].is_none()).collect();
        let (mut done, total) = (here.len() - missing.len(), here.len());
        tell(Progress { what, done, total });
        let seed = content.about.seed;
        let mut workers = Vec::new();
        for _ in 0..self.threads.max(1) {
            workers.push((self.probe(seed)?, self.plane.on(Device::Cpu)?));
        }
        let surface = &content.surface;
        let measured = |(probe, plane): &mut (HessianProbe, Plane), task: usize| {
            at(probe, plane, surface.place(missing[task]), stop)
        };
        let take = |task: usize, found: Option<Curvature>| {
            if found.is_none() && stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let (max, min) = found.map_or((f64::NAN, f64::NAN), |c| (c.lambda_max, c.lambda_min));
            journal.curvature((missing[task], max, min))?;
            known[missing[task]] = Some((max, min));
            done += 1;
            tell(Progress { what, done, total });
            Ok(())
        };
        pool::run(&mut workers, "curvature", (missing.len(), None), stop, measured, take)
    }

    fn probe(&self, seed: u64) -> Result<HessianProbe, LandscapeError> {
        let plan = Arc::clone(self.plane.plan());
        let running = self.plane.weights_at(0.0, 0.0)?.running;
        let limits = Limits::default();
        Ok(HessianProbe::new(plan, running, self.split, self.chosen, seed, limits)?)
    }
}

/// The curvature at a place; none where it is no number, or when told to stop.
fn at(
    probe: &HessianProbe,
    plane: &Plane,
    (a, b): (f64, f64),
    stop: &AtomicBool,
) -> Result<Option<Curvature>, LandscapeError> {
    let weights = tch::no_grad(|| plane.weights_at(a, b)).map_err(LandscapeError::from)?;
    match probe.at_weights(&weights, stop) {
        Ok(found) => Ok(Some(found)),
        Err(SpectrumError::Torch(error)) => Err(error.into()),
        // Told to stop, or no figure that could be told.
        Err(_) => Ok(None),
    }
}
