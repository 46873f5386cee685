//! What a request amounts to: the network, the plane, the grid, the file.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::about::{About, word};
use super::super::direction::{DirectionSpec, by_parameter};
use super::super::error::LandscapeError;
use super::super::file::{SurfaceFile, Trajectory};
use super::super::images::{ImageSet, choose_images};
use super::super::plane::{Plane, axes};
use super::super::principal::Visited;
use super::super::request::{ImageCount, PlaneKind, Request, Rows};
use super::super::source::{Source, locate};
use super::super::span::Span;
use super::super::surface::Surface;
use super::super::weights::Reader;
use crate::model::Weights;
use tch::Device;

/// Points on a side where the range follows a path.
const SIDE: usize = 51;

/// Everything that is known before the first point.
pub struct Setup {
    /// The network in the middle.
    pub source: Source,
    /// The plane through it.
    pub plane: Plane,
    /// The file as it will be, its points unknown.
    pub content: SurfaceFile,
    /// Images used.
    pub chosen: Vec<i64>,
    /// Where the file goes.
    pub file: PathBuf,
    /// The run's checkpoints, of a principal plane.
    pub visited: Option<Visited>,
    /// What is to be said of the weights.
    pub notes: Vec<String>,
}

impl Setup {
    /// Reads and checks what `request` names.
    ///
    /// # Errors
    /// When it cannot be followed.
    pub fn new(request: &Request) -> Result<Self, LandscapeError> {
        let mut reader = Reader::new(request.non_finite);
        let (arm, config) = (request.arm.as_deref(), request.config.as_deref());
        let source = Source::open(&request.checkpoint, arm, config, &mut reader)?;
        let profile =
            request.y == Rows::None || (request.to.is_some() && request.y == Rows::Fitting);
        let seed = request.seed.unwrap_or(source.seed);
        if request.out.as_deref().is_some_and(std::path::Path::is_dir) {
            let out = request.out.clone().unwrap_or_default();
            return Err(LandscapeError::input(&out, "is a folder; expected the name of a file"));
        }
        let mut about = About {
            checkpoint: source.located.file.display().to_string(),
            weights_sha256: source.sha256.clone(),
            arm: source.arm.to_string(),
            step: source.located.step.unwrap_or(0),
            plane: "random".to_owned(),
            norm: word(&request.norm),
            ignore: word(&request.ignore),
            seed,
            split: request.split().to_owned(),
            bn: word(&request.bn),
            precision: word(&request.precision),
            shard: request.shard.map(|s| (s.index, s.of)),
            ..About::default()
        };
        let center = source.weights.copy_to(Device::Cpu)?;
        let plan = Arc::clone(&source.plan);
        let mut path: Option<Trajectory> = None;
        let mut visited = None;
        let spec = DirectionSpec { seed, norm: request.norm, ignore: request.ignore };
        let plane = match (&request.to, request.plane) {
            (Some(to), _) => {
                let located = locate(to, request.arm.as_deref().or(Some(source.arm.as_str())))?;
                let (other, sha256) = reader.read(&located.file, &plan)?;
                about.to = located.file.display().to_string();
                about.to_sha256 = sha256;
                about.plane = "line".to_owned();
                line(plan, center, &other, (!profile).then_some(spec))?
            }
            (None, PlaneKind::Random) => Plane::random(plan, center, spec, axes(profile))?,
            (None, PlaneKind::Pca) => {
                let all = way_of(&source, ("--plane", "pca"), &mut reader)?;
                let found = all.plane(&plan, if profile { 1 } else { 2 })?;
                about.plane = "pca".to_owned();
                about.variance = found.shares;
                path = Some(found.path);
                visited = Some(all);
                Plane::new(plan, center, found.directions, None)?
            }
        };
        // Rules of random directions say nothing of these.
        if request.to.is_some() && profile {
            (about.norm, about.ignore) = ("none".to_owned(), "none".to_owned());
        } else if request.plane == PlaneKind::Pca {
            (about.norm, about.ignore) = ("none".to_owned(), "biasbn".to_owned());
        }
        about.cosine = plane.cosine()?;
        let (xs, ys) = coordinates(request, profile, path.as_ref());
        if request.path && visited.is_none() {
            let all = way_of(&source, ("--path", "with this checkpoint"), &mut reader)?;
            path = Some(all.project(plane.directions())?);
            visited = Some(all);
        }
        let split = if request.test { &source.data.test } else { &source.data.train };
        let count = match request.images {
            ImageCount::All => split.len(),
            ImageCount::Count(count) => count,
        };
        let chosen = choose_images(split.len(), count);
        about.images_sha256 = ImageSet::new(split, &chosen, Device::Cpu)?.sha256()?;
        let file = request.file(&source.located, source.arm.as_str(), (xs.len(), ys.len()));
        let directions = plane.directions().iter().map(|d| by_parameter(plane.plan(), d));
        let directions = directions.collect::<Result<_, _>>()?;
        let images = chosen.clone();
        let surface = Surface::new(xs, ys);
        let content =
            SurfaceFile { about, images, directions, trajectory: path, ..SurfaceFile::of(surface) };
        let notes = reader.into_notes();
        Ok(Self { source, plane, content, chosen, file, visited, notes })
    }
}

/// Where the run of the checkpoint has been up to it, for the `option` that asks for it.
fn way_of(
    source: &Source,
    option: (&'static str, &str),
    reader: &mut Reader,
) -> Result<Visited, LandscapeError> {
    let refuse =
        |text: String| LandscapeError::Option { name: option.0, value: option.1.to_owned(), text };
    let run = source.located.run.clone().ok_or_else(|| {
        refuse("needs a checkpoint in a run folder, beside others of its run".to_owned())
    })?;
    let step = source.located.step.unwrap_or(u64::MAX);
    let all = Visited::read(&run, (source.arm.as_str(), step), &source.plan, option, reader)?;
    if all.last_sha256() != source.sha256 {
        return Err(refuse(format!(
            "{} is not the run's own checkpoint of {} at step {step}",
            source.located.file.display(),
            source.arm
        )));
    }
    Ok(all)
}

/// The line from `center` to `other`; with `across`, a random direction beside it.
fn line(
    plan: Arc<crate::model::Plan>,
    center: Weights,
    other: &Weights,
    across: Option<DirectionSpec>,
) -> Result<Plane, LandscapeError> {
    let Some(spec) = across else { return Ok(Plane::between(plan, center, other)?) };
    let _no_grad = tch::no_grad_guard();
    let way = other.theta.f_sub(&center.theta)?;
    let statistics = other.running.f_sub(&center.running)?;
    let side =
        super::super::direction::draw(&plan, &center, spec, super::super::direction::Axis::Y)?;
    Ok(Plane::new(plan, center, vec![way, side], Some(statistics))?)
}

/// Columns and rows: as asked, else what fits the plane.
fn coordinates(
    request: &Request,
    profile: bool,
    path: Option<&Trajectory>,
) -> (Vec<f64>, Vec<f64>) {
    let fitting = |along: fn(&Trajectory) -> &Vec<f64>| match path {
        None => Span::REFERENCE,
        Some(path) => {
            let values = along(path);
            let low = values.iter().copied().fold(0.0, f64::min);
            let high = values.iter().copied().fold(0.0, f64::max);
            Span::around(low, high, SIDE)
        }
    };
    let x = request.x.unwrap_or_else(|| match request.to {
        Some(_) => Span::LINE,
        None => fitting(|p| &p.xs),
    });
    let ys = match request.y {
        _ if profile => Vec::new(),
        Rows::Given(span) => span.points(),
        Rows::Fitting | Rows::None => fitting(|p| &p.ys).points(),
    };
    (x.points(), ys)
}
