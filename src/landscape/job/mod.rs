//! A surface from its request to its file.

mod curvature;
mod points;
mod setup;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tch::Device;

use super::crew::{Crew, Means};
use super::error::LandscapeError;
use super::file::SurfaceFile;
use super::journal::{Identity, Journal, refuse_other};
use super::request::Request;
use crate::config::Precision;
use curvature::Curved;
use points::Points;
use setup::Setup;

/// With what a surface is computed.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The CPU, or GPUs that share the grid.
    pub devices: Vec<Device>,
    /// Threads on the CPU.
    pub threads: usize,
    /// Whether our own kernel may be used on the CPU; libtorch else.
    pub kernel: bool,
}

/// How far a surface is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// What is being done, for people.
    pub what: &'static str,
    /// Points known.
    pub done: usize,
    /// Points there will be; of a refined grid those that are wanted so far.
    pub total: usize,
}

/// What came of it.
pub struct Outcome {
    /// The file.
    pub file: PathBuf,
    /// What it holds.
    pub content: SurfaceFile,
    /// Whether all is done, or what was done when it was stopped.
    pub finished: bool,
    /// Points computed now; the others were known from before.
    pub computed: usize,
    /// Time spent on them.
    pub took: Duration,
}

/// Computes the surface that `request` asks for, goes on with one that was stopped, and writes its file. Once `stop` is
/// set it ends after the points in the making and keeps what is done. `note` is told what is to be known of the weights.
///
/// # Errors
/// When something cannot be read, computed or written; what was computed until then stays in the journal.
pub fn run(
    request: &Request,
    machine: &Machine,
    stop: &AtomicBool,
    note: &mut dyn FnMut(&str),
    tell: &mut dyn FnMut(Progress),
) -> Result<Outcome, LandscapeError> {
    request.check()?;
    let Setup { source, plane, mut content, chosen, file, visited, notes } = Setup::new(request)?;
    notes.iter().for_each(|line| note(line));
    let identity = Identity::of(&content);
    if let Some(folder) = file.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|e| LandscapeError::input(folder, e))?;
    }
    let path = Journal::path_of(&file);
    let begun = path.is_file();
    let (journal, entries) = Journal::open(&path, &identity)?;
    // Read with the journal's lock held: nobody else finishes it meanwhile.
    let earlier = match earlier(&file, &identity, begun) {
        Ok(earlier) => earlier,
        Err(error) => {
            if !begun {
                journal.remove();
            }
            return Err(error);
        }
    };
    let split = if request.test { &source.data.test } else { &source.data.train };
    let means = Means {
        devices: machine.devices.clone(),
        threads: machine.threads,
        statistics: request.bn,
        precision: request.precision,
        kernel: machine.kernel,
    };
    let mut points = Points::new(&content, request, journal, &entries, earlier.as_ref());
    let start = Instant::now();
    let mut crew = Crew::new(&plane, split, &chosen, &means)?;
    points.compute(&mut content, &mut crew, stop, tell)?;
    let took = start.elapsed();
    let mut finished = !stop.load(Ordering::Relaxed);
    if let (Some(visited), true) = (&visited, finished) {
        let on = (split, &chosen[..], &means);
        points::losses_on_path(&mut content, visited, &source, on, stop, tell)?;
        finished = !stop.load(Ordering::Relaxed);
    }
    if request.precision != Precision::F32 && finished {
        content.rounding = points::rounding(&content, &plane, split, &chosen, &means)?;
    }
    // What a failing device leaves undone must not lose what is done: the file is written first.
    let curved = Curved {
        plane: &plane,
        split,
        chosen: &chosen,
        threads: machine.threads,
        shard: request.shard,
    };
    let known = (points.journal(), &entries.curvature[..]);
    let measured =
        curved.measure(&mut content, request.hessian, earlier.as_ref(), known, stop, tell);
    content.write(&file)?;
    finished &= measured?;
    let computed = points.computed;
    if finished {
        points.end();
    }
    Ok(Outcome { file, content, finished, computed, took })
}

/// What an earlier file of the same surface holds; none without one. `begun`: a journal of this surface lies beside it.
fn earlier(
    file: &Path,
    identity: &Identity,
    begun: bool,
) -> Result<Option<SurfaceFile>, LandscapeError> {
    if !file.exists() {
        return Ok(None);
    }
    if super::file::ending(file) != Ok("h5") {
        // These are not read again; with a journal beside it, it is what a stopped program of this surface has left.
        let text = "is there already; choose another --out, or remove it";
        return if begun { Ok(None) } else { Err(LandscapeError::input(file, text)) };
    }
    let found = SurfaceFile::read(file).map_err(|e| LandscapeError::input(file, e.reason()))?;
    refuse_other(file, &Identity::of(&found), identity)?;
    Ok(Some(found))
}
