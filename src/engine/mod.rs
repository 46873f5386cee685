//! What trains: prepares a run, starts its threads, folds what they tell into a snapshot, records it, and ends well.
//!
//! Threads: `arm-NAME` each, `eval`, `maps`, `paths`, `saver`, and the engine's own, the hub. All are joined.

mod arm_map;
mod conductor;
mod evaluator;
mod gather;
mod handing;
mod house;
mod hub;
mod keeping;
mod look_back;
mod mailbox;
mod maps;
mod message;
mod old_maps;
mod past;
mod paths;
mod planes;
mod prepare;
mod saver;
mod spacing;
mod start;
mod views;
mod workers;

use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Instant;

pub use house::lock;
pub use look_back::look_back;
pub use spacing::snapshots_every;

use crate::config::Experiment;
use crate::data::DataError;
use crate::link::{self, Client};
use crate::record::Recorder;
use crate::record::folder::FolderError;
use crate::telemetry::event::RunStatus;
use crate::telemetry::snapshot::{Phase, Snapshot};
use crate::train::device::{DeviceError, TorchError};
use crate::train::restore::RestoreError;
use crate::train::worker::Fault;

/// Why a run could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The data set cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The run folder cannot be made.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The experiment does not fit the data.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The run's checkpoints cannot be taken up.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The run that is to be taken up has made all its steps.
    #[error("run folder {}: all {done} steps are made; --steps with a larger number goes on", folder.display())]
    NothingLeft {
        /// The run.
        folder: PathBuf,
        /// Its steps.
        done: u64,
    },
    /// A thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(std::io::Error),
    /// torch failed before the first step.
    #[error("torch: {0}")]
    Torch(#[from] TorchError),
    /// The engine itself failed.
    #[error("the engine failed: {0}")]
    Panic(String),
}

/// Where a run is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a new folder below this one, made once the run is known to be possible.
    Below(PathBuf),
    /// In this folder, made for it; whoever made it clears it away should the run be refused.
    Made(PathBuf),
    /// In this folder, whose newest whole checkpoint it is taken up at.
    Resume(PathBuf),
}

/// What an engine is started with, besides the experiment.
pub struct Options {
    /// Where the run is kept.
    pub place: Place,
    /// The folder of a run whose changes by hand are made again.
    pub replay: Option<PathBuf>,
    /// Whether viewers of other processes are answered on a socket in the run folder.
    pub serve: bool,
    /// Shown every event, besides `metrics.jsonl`.
    pub recorders: Vec<Box<dyn Recorder>>,
    /// A failure to act out in the arm of that position, for tests of what follows one.
    pub fault: Option<(usize, Fault)>,
}

impl EngineError {
    /// Whether what was typed or given is wrong, rather than the machine.
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Data(_)
            | Self::Device(_)
            | Self::Folder(_)
            | Self::Config(_)
            | Self::Restore(_)
            | Self::NothingLeft { .. } => true,
            Self::Thread(_) | Self::Torch(_) | Self::Panic(_) => false,
        }
    }
}

impl Options {
    /// A run kept in `place`, and nothing besides.
    pub fn at(place: Place) -> Self {
        Self { place, replay: None, serve: false, recorders: Vec::new(), fault: None }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// How.
    pub status: RunStatus,
    /// Its folder.
    pub folder: PathBuf,
}

/// A running engine.
pub struct Engine {
    thread: JoinHandle<Result<Ending, EngineError>>,
}

impl Engine {
    /// Starts an engine on a thread of its own and returns at once, with a viewer's end of the link. The start of the
    /// run, `t` = 0, is `start`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        experiment: Experiment,
        options: Options,
        start: Instant,
    ) -> Result<(Self, Client), EngineError> {
        let phase = Phase::Starting("reading the data".to_owned());
        let initial = Snapshot { phase, ..Snapshot::default() };
        let (publisher, commands, door) = link::pair(initial);
        let client = door.client(false);
        let body = move || house::run(experiment, options, start, publisher, commands, door);
        let thread = thread::Builder::new()
            .name("engine".to_owned())
            .spawn(body)
            .map_err(EngineError::Thread)?;
        Ok((Self { thread }, client))
    }

    /// Whether the engine has ended.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Why the run could not be started.
    pub fn join(self) -> Result<Ending, EngineError> {
        match self.thread.join() {
            Ok(result) => result,
            Err(payload) => Err(EngineError::Panic(workers::panic_text(payload.as_ref()))),
        }
    }
}
