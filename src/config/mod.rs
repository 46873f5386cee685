//! Two stages: what was typed (every field optional, unknown keys refused), then the validated [`Experiment`].
//!
//! Order of precedence, last wins: built-in defaults, config file, `--set` in the order given, command-line flags.

mod error;
mod experiment;
mod network;
mod place;
mod resolve;
mod source;
mod typed;

/// The resolved experiment in a run folder.
pub const RUN_FILE: &str = "run.toml";

pub use error::ConfigError;
pub use experiment::{
    ArmSpec, CheckpointSpec, DataKind, DataSpec, DeviceChoice, DirectionNorm, Experiment, Family,
    IgnoreParams, Init, Length, MapPlane, MapSpec, ModelSpec, OptimizerKind, Precision, RecordSpec,
    SnapshotPrecision, TrainSpec, TrajectorySpec,
};
pub use place::{default_out, in_clone};
pub use resolve::resolve;
pub use source::{DEFAULT_CONFIG, Override, load};
pub use typed::Typed;
