//! Where a run lives: its folder, locked, and the socket in it; from the first check to the last viewer's leave.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{Ending, EngineError, Options, Place, hub, prepare};
use crate::config::Experiment;
use crate::link::lock::{self, FolderLock};
use crate::link::server::Server;
use crate::link::{Commands, Door, Publisher, registry, socket};
use crate::record::folder::{self, FolderError};
use crate::record::log;
use crate::telemetry::snapshot::{Phase, Snapshot};

/// A run's folder while it is ours.
pub struct House {
    /// The folder.
    pub folder: PathBuf,
    /// Whether the run goes on from a checkpoint in it.
    pub resumed: bool,
    /// Whether it was made here.
    made: bool,
    _lock: FolderLock,
}

impl House {
    fn enter(place: Place, experiment: &Experiment) -> Result<Self, EngineError> {
        let resumed = matches!(place, Place::Resume(_));
        let (folder, made) = match place {
            Place::Below(out) => (folder::create(&out, experiment)?, true),
            Place::Made(folder) | Place::Resume(folder) => (folder, false),
        };
        let absolute = std::path::absolute(&folder);
        let folder = absolute.map_err(|source| FolderError::NotMade { path: folder, source })?;
        let lock = lock(&folder)?;
        Ok(Self { folder, resumed, made, _lock: lock })
    }
}

/// Makes sure that no other process trains in `folder`.
///
/// # Errors
/// When one does, or the file system refuses.
pub fn lock(folder: &Path) -> Result<FolderLock, EngineError> {
    let failed = |source| FolderError::Io { path: folder.join(lock::NAME), source };
    let taken = lock::take(folder).map_err(failed)?;
    taken.ok_or_else(|| FolderError::InUse(folder.to_owned()).into())
}

/// Runs an experiment from its first check to its end.
pub fn run(
    experiment: Experiment,
    mut options: Options,
    start: Instant,
    publisher: Publisher,
    commands: Commands,
    door: Door,
) -> Result<Ending, EngineError> {
    let refuse = |error: EngineError| {
        let text = error.to_string();
        let phase = Phase::Refused { text, bad_input: error.is_bad_input() };
        publisher.publish(Snapshot { phase, ..Snapshot::default() });
        error
    };
    let house = House::enter(options.place.clone(), &experiment).map_err(refuse)?;
    // A log that cannot be had is no reason not to train.
    let _ = log::open(&house.folder.join(log::FILE_NAME));
    let _answering = options.serve.then(|| answer(&house.folder, &door));
    let replay = options.replay.take();
    match prepare::prepare(experiment, options, replay.as_deref(), &house, start, &publisher) {
        Ok(run) => hub::run(run, publisher.clone(), commands),
        Err(error) => {
            if house.made {
                // Nothing but what was laid out for the run that never was.
                let _ = fs::remove_dir_all(&house.folder);
            }
            Err(refuse(error))
        }
    }
}

/// What is taken down when the run is over: first nobody is let in any more, then the last state is told.
struct Answering {
    _entry: Option<registry::Entry>,
    _server: Option<Server>,
    socket: PathBuf,
}

impl Drop for Answering {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}

/// Answers viewers. A run that cannot be watched is still worth making: what fails goes to the log.
fn answer(folder: &Path, door: &Door) -> Answering {
    let server = socket::listen(folder)
        .and_then(|listener| Server::start(listener, folder.to_owned(), door.clone()))
        .inspect_err(|e| tracing::error!("no viewer can attach: {}: {e}", folder.display()));
    let place = registry::place(|name| std::env::var_os(name));
    let entry = place.and_then(|place| {
        registry::enter(&place, folder)
            .inspect_err(|e| tracing::warn!("not listed: {}: {e}", place.display()))
            .ok()
    });
    Answering { _entry: entry, _server: server.ok(), socket: folder.join(socket::NAME) }
}
