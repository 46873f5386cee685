//! The whole state of a run as a viewer draws it: plain, complete, cheap to clone behind an `Arc`, fit to be sent.

use serde::{Deserialize, Serialize};

use super::angles::AngleHistogram;
use super::event::{Alert, ArmInfo, BlockFlow, ControlChange, RunStatus, StepSample, SurfaceStats};
use super::health::Verdict;
use super::history::Curve;
use super::number::{null_as_nan, nulls_as_nan};
use super::path::PathView;
use super::system::SystemFigures;
use crate::arm::PerArm;
use crate::geometry::contour::{Grid, Isoline, isolines};

/// Everything that a viewer shows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// What is being run.
    pub run: RunHeader,
    /// What the engine is doing.
    pub phase: Phase,
    /// Seconds since the start.
    pub elapsed_s: f64,
    /// Steps done by the arm that is furthest.
    pub step: u64,
    /// Passes over the training set.
    pub epoch: f64,
    /// Steps per second of the twin step, over the last seconds; NaN before the second step.
    #[serde(with = "null_as_nan")]
    pub steps_per_s: f64,
    /// Seconds left at this rate; NaN while unknown.
    #[serde(with = "null_as_nan")]
    pub eta_s: f64,
    /// The arms.
    pub arms: PerArm<ArmView>,
    /// The maps of the loss.
    pub maps: MapsView,
    /// The maps in the planes of the arms' paths, each with its origin at the arm's newest point when it was asked for;
    /// `job` and `next_step` are told in `maps`.
    pub path_maps: MapsView,
    /// Changes made by hand, oldest first, bounded.
    pub marks: Vec<ControlChange>,
    /// Alerts, oldest first, bounded.
    pub alerts: Vec<Alert>,
    /// The newest complete checkpoint: its step and folder.
    pub checkpoint: Option<(u64, String)>,
    /// The machine.
    pub system: SystemFigures,
}

/// What is being run; fixed once the engine has started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RunHeader {
    /// The experiment's name.
    pub name: String,
    /// The data set with its sizes, for people (`digits 16x16, 1437 train, 360 test`).
    pub data: String,
    /// The networks, for people (`ResNet-56 width 8`).
    pub model: String,
    /// `cpu (2 threads)`, `cuda:0 NVIDIA H200`.
    pub device: String,
    /// Steps that the run will make.
    pub steps: u64,
    /// The run folder.
    pub folder: String,
}

/// What the engine is doing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Phase {
    /// Reading data, building networks: what exactly, for people.
    Starting(String),
    /// The run cannot be started.
    Refused {
        /// Why, for people.
        text: String,
        /// Whether what was typed or given is wrong, rather than the machine.
        bad_input: bool,
    },
    /// Steps are being made.
    #[default]
    Training,
    /// Held by the user.
    Paused,
    /// The last step is made; evaluations, maps and the checkpoint are being finished.
    Finishing,
    /// Over; nothing will change any more.
    Ended(RunStatus),
}

impl Phase {
    /// Whether nothing will change any more.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Refused { .. })
    }
}

/// What one arm's worker is doing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum ArmState {
    /// Not yet at its first step.
    #[default]
    Waiting,
    /// Making steps.
    Training,
    /// Its loss is no longer a number; it makes no more steps.
    Diverged {
        /// The step at which that was seen.
        step: u64,
    },
    /// Its worker failed; one line that says how.
    Failed(String),
    /// All steps made.
    Finished,
}

/// One arm as a viewer draws it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ArmView {
    /// Name, size, layers.
    pub info: ArmInfo,
    /// Whether its blocks have skip connections.
    pub skip: bool,
    /// What it is doing.
    pub state: ArmState,
    /// What the figures say of its health.
    pub verdict: Verdict,
    /// Configured weight decay, which `w` toggles back to.
    pub configured_weight_decay: f64,
    /// Its optimizer, by the config's word (`sgd`, `adam`, `adamw`).
    pub optimizer: String,
    /// The newest step, with its layer norms if they were recorded on it.
    pub latest: Option<StepSample>,
    /// Curves over the whole run.
    pub curves: Curves,
    /// Gradient norms through the layers.
    pub flow: Flow,
    /// Newest residual decomposition, first block to last; empty before the first.
    pub blocks: Vec<BlockFlow>,
    /// Newest test error in [0, 1] with its step.
    pub test: Option<(u64, f64)>,
    /// How often the steps took which angle, between changes of weight decay, oldest first, bounded.
    pub histograms: Vec<AngleHistogram>,
    /// Drops of the learning rate by schedule, oldest first, bounded: the step, and the rate from then on.
    pub lr_drops: Vec<(u64, f64)>,
    /// Where it has been.
    pub path: PathView,
}

/// One arm's curves over the whole run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Curves {
    /// Batch loss, nats.
    pub loss: Curve,
    /// Share of the batch classified rightly.
    pub acc: Curve,
    /// Test loss, nats.
    pub test_loss: Curve,
    /// Share of test images classified wrongly.
    pub test_err: Curve,
    /// Angle of the step to the isocurve, degrees, full space.
    pub angle: Curve,
    /// Its running median.
    pub angle_median: Curve,
    /// The angle in the plane of the path.
    pub plane_angle: Curve,
    /// Its running median.
    pub plane_angle_median: Curve,
    /// Running median of the angle that the steps would have had with weight decay the other way, full space.
    pub counterfactual_median: Curve,
}

/// Gradient norms through the layers of one arm, stem first, in the order of [`ArmInfo::layers`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Flow {
    /// At the newest recorded step; empty before the first.
    #[serde(with = "nulls_as_nan")]
    pub now: Vec<f64>,
    /// At the first recorded step.
    #[serde(with = "nulls_as_nan")]
    pub first: Vec<f64>,
    /// Over the run, oldest first, bounded (evenly thinned): what a heat map over time draws.
    pub rows: Vec<FlowRow>,
}

/// All layers' gradient norms at one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowRow {
    /// The step.
    pub step: u64,
    /// L2 norm of dL/dW, layer by layer.
    #[serde(with = "nulls_as_nan")]
    pub norms: Vec<f64>,
}

/// The maps of all arms, on one scale.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MapsView {
    /// One per arm; missing before the first coarse pass.
    pub arms: PerArm<Option<LossMap>>,
    /// Isoline levels common to all arms, rising, nats.
    #[serde(with = "nulls_as_nan")]
    pub levels: Vec<f64>,
    /// Least and largest finite loss over all arms' maps: the ends of the common colour scale; missing without a map.
    pub range: Option<(f64, f64)>,
    /// The job at work, if one is.
    pub job: Option<MapProgress>,
    /// The step at which the next map is due by itself; missing if only on request.
    pub next_step: Option<u64>,
}

impl ArmView {
    /// Whether its counterfactual angles take out this step's decay alone: Adam's moments are not linear in it.
    pub fn is_adam(&self) -> bool {
        self.optimizer.starts_with("adam")
    }
}

impl MapsView {
    /// Draws every map's isolines anew, at the common levels.
    pub fn trace_isolines(&mut self) {
        for map in self.arms.iter_mut().filter_map(|(_, map)| map.as_mut()) {
            let grid = Grid { xs: &map.xs, ys: &map.ys, values: &map.loss };
            map.isolines = self.levels.iter().flat_map(|level| isolines(grid, *level)).collect();
        }
    }
}

/// Loss on a grid around the weights of one arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossMap {
    /// Steps done when the weights were taken.
    pub step: u64,
    /// Seconds since the start when the weights were taken.
    pub taken_s: f64,
    /// Coordinates along the first direction, rising [nx].
    pub xs: Vec<f64>,
    /// Coordinates along the second direction, rising [ny].
    pub ys: Vec<f64>,
    /// Mean cross-entropy, nats, row = y, column = x [ny * nx]; NaN where it is not a number.
    #[serde(with = "nulls_as_nan")]
    pub loss: Vec<f64>,
    /// Isolines at [`MapsView::levels`], in the map's coordinates.
    pub isolines: Vec<Isoline>,
    /// Training images behind each point.
    pub images: usize,
    /// Cosine of the two directions.
    #[serde(with = "null_as_nan")]
    pub cosine: f64,
    /// Whether the grid is the finest of its job.
    pub complete: bool,
    /// Figures of the surface.
    pub stats: SurfaceStats,
}

/// How far a map job is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapProgress {
    /// Steps done when its weights were taken.
    pub step: u64,
    /// Points on a side of the grid being computed.
    pub grid: usize,
    /// Points done, all arms and passes.
    pub done: usize,
    /// Points to do, all arms and passes.
    pub total: usize,
}
