//! What the engine's threads tell the hub.

use crate::arm::ArmId;
use crate::config::ArmSpec;
use crate::landscape::surface::Surface;
use crate::telemetry::event::{Event, SurfaceWritten};
use crate::telemetry::path::PathPoint;
use crate::telemetry::snapshot::{MapProgress, Phase};
use crate::train::worker::Report;

/// Messages that may wait for the hub: some seconds of a fast GPU run; then the workers wait, and nothing is lost.
pub const WAITING: usize = 1024;

/// Everything that reaches the hub.
pub enum Message {
    /// From a worker.
    Worker(Report),
    /// An event made by another thread.
    Event(Event),
    /// The conductor holds the arms or lets them go on.
    Phase(Phase),
    /// An arm joins: a copy of another follows from that one.
    Fork(Box<Fork>),
    /// An evaluation is done, well or not.
    EvalDone(Result<Event, String>),
    /// A checkpoint is written, or not.
    SaveDone(Result<Event, String>),
    /// The map job at work goes on.
    MapProgress(MapProgress),
    /// A pass over one arm's map is done.
    MapPass(Box<MapPass>),
    /// A map file is written.
    MapWritten(SurfaceWritten),
    /// What is known of an arm's path at the start.
    Path(Box<PathUpdate>),
    /// A snapshot is kept, or not.
    PathDone(Box<PathDone>),
    /// The map job has ended; what went wrong, if anything.
    MapDone(Result<(), String>),
}

/// An arm that begins from another.
pub struct Fork {
    /// From whom.
    pub parent: ArmId,
    /// Who.
    pub child: ArmId,
    /// What it trains with.
    pub spec: ArmSpec,
}

/// An arm's path as viewers are shown it.
pub struct PathUpdate {
    /// Whose.
    pub arm: ArmId,
    /// Steps done at the origin.
    pub origin_step: u64,
    /// Share of the variance along each axis; empty before there are any.
    pub shares: Vec<f64>,
    /// The points, oldest first.
    pub points: Vec<PathPoint>,
}

/// What became of a snapshot.
pub struct PathDone {
    /// Whose.
    pub arm: ArmId,
    /// The path with it.
    pub update: Option<PathUpdate>,
    /// What its user should know.
    pub alert: Option<String>,
}

/// One pass over one arm's map.
pub struct MapPass {
    /// Whether it lies in the plane of the arm's path, else along random directions.
    pub of_path: bool,
    /// Whose.
    pub arm: ArmId,
    /// The step whose weights are the centre.
    pub step: u64,
    /// When they were taken, seconds since the start.
    pub taken_s: f64,
    /// The grid so far: every point computed.
    pub surface: Surface,
    /// Images behind each point.
    pub images: usize,
    /// Cosine of the directions.
    pub cosine: f64,
    /// Whether it was the last pass.
    pub complete: bool,
}
