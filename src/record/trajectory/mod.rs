//! What a run's folder tells of its arms' paths: figures from `metrics.jsonl`, the newest map in the plane of each path,
//! and a table of them.

mod angles;
mod changes;
mod maps;
mod read;
pub mod table;

use std::path::PathBuf;

use serde::Serialize;

pub use angles::AngleFigures;
pub use changes::Change;
pub use maps::{Laid, hint, newest};
pub use read::read;

use crate::arm::ArmName;
use crate::config::OptimizerKind;
use crate::telemetry::number::{null_as_nan, nulls_as_nan, setting};
use crate::telemetry::path::PathGap;

/// Why a run's paths cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum TrajectoryError {
    /// A file of the run cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its events are none of a run.
    #[error("{}: tells of no run; expected the events of one, a line each", .0.display())]
    NoRun(PathBuf),
}

/// What is told of one arm: a line of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArmFigures {
    /// Which arm.
    pub arm: ArmName,
    /// How it is trained.
    pub optimizer: OptimizerKind,
    /// Weight decay of its first step; `changes` tells of later ones.
    pub weight_decay: f64,
    /// Images of its first step.
    pub batch: usize,
    /// Its last recorded step; 0 before the first.
    pub steps: u64,
    /// Share of the snapshots' variance along each axis of the plane, strongest first, in [0, 1]; missing without one.
    #[serde(serialize_with = "shares")]
    pub explained: Vec<f64>,
    /// Between the losses on the path and the map under them.
    pub gap: PathGap,
    /// Angle of the steps to the isocurves in the whole space.
    pub full: AngleFigures,
    /// The same in the plane of the path.
    pub plane: AngleFigures,
    /// Share of test images classified wrongly by the newest weights that were tested.
    #[serde(with = "null_as_nan")]
    pub test_err: f64,
    /// How it ended before the run did.
    pub ended: Option<Ended>,
    /// Changes of its learning rate, whether by schedule or by hand, and every other change by hand, in order.
    pub changes: Vec<Change>,
    /// The map in the plane of its path from which `explained` and `gap` are, if there is one.
    pub map: Option<PathBuf>,
    /// The arm's steps at that map.
    pub map_step: Option<u64>,
    /// Whether that map gave way to a newer one before its finest grid: no gap is judged by it.
    pub map_coarse: bool,
}

/// Both shares, or null.
fn shares<S: serde::Serializer>(found: &[f64], to: S) -> Result<S::Ok, S::Error> {
    if found.is_empty() { to.serialize_none() } else { nulls_as_nan::serialize(found, to) }
}

/// An arm's end before the run's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ended {
    /// `diverged` or `worker-failed`.
    pub kind: String,
    /// Steps done.
    pub step: u64,
}

impl ArmFigures {
    /// An arm of which nothing is told but how it begins.
    fn new(arm: ArmName, optimizer: OptimizerKind, weight_decay: f64, batch: usize) -> Self {
        Self {
            arm,
            optimizer,
            weight_decay,
            batch,
            steps: 0,
            explained: Vec::new(),
            gap: PathGap::NONE,
            full: AngleFigures::of(&[]),
            plane: AngleFigures::of(&[]),
            test_err: f64::NAN,
            ended: None,
            changes: Vec::new(),
            map: None,
            map_step: None,
            map_coarse: false,
        }
    }

    /// Takes the figures of the arm's map.
    pub fn take(&mut self, laid: &Laid) {
        self.explained.clone_from(&laid.content.about.variance);
        if let Some(path) = &laid.content.trajectory {
            self.gap = path.gap(laid.content.surface.grid());
        }
        self.map = Some(laid.file.clone());
        self.map_step = Some(laid.content.about.step);
        self.map_coarse = laid.content.about.coarse;
    }

    /// Whether the map is far from the losses on the path, and is not merely unfinished.
    pub fn gap_is_large(&self) -> bool {
        self.gap.is_large() && !self.map_coarse
    }

    /// What tells this arm from others: `sgd, weight decay 5e-4, batch 128`, as it began.
    pub fn settings(&self) -> String {
        let (optimizer, decay) = (self.optimizer.word(), setting(self.weight_decay));
        format!("{optimizer}, weight decay {decay}, batch {}", self.batch)
    }
}
