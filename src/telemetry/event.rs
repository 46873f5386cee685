//! The events of a run: what `metrics.jsonl` and headless JSON hold, one object a line.
//!
//! `step` counts optimizer steps from 1; `t` is seconds since the start; fractions lie in [0, 1]; a figure that does
//! not exist is NaN here and `null` in JSON.

use serde::{Deserialize, Serialize};

use super::number::{null_as_nan, nulls_as_nan};
use super::path::PathGap;
use crate::arm::ArmName;

/// Everything that a run reports, tagged by `event`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Once, before the first step.
    Run(Box<RunStarted>),
    /// One optimizer step of one arm.
    Step(StepSample),
    /// Residual decomposition of one arm's gradient, block by block.
    Blocks(BlocksSample),
    /// The test set, after an epoch or at the end.
    Eval(EvalSample),
    /// A change that somebody made while the run went on.
    Control(ControlChange),
    /// Something that the user should know.
    Alert(Alert),
    /// A finished map of the loss around an arm's weights.
    Surface(SurfaceWritten),
    /// The plane of an arm's path, as the newest map of it is drawn.
    Trajectory(TrajectorySample),
    /// A complete checkpoint on disk.
    Checkpoint(CheckpointWritten),
    /// Once, at the end.
    Done(RunDone),
}

/// What is being run, on what, with which versions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunStarted {
    /// Seconds since the start.
    pub t: f64,
    /// The resolved experiment, as in `run.toml`.
    pub experiment: serde_json::Value,
    /// landscope's and libtorch's versions.
    pub versions: Versions,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// The arms, in order.
    pub arms: Vec<ArmInfo>,
    /// Which of the steps told `metrics.jsonl` holds.
    #[serde(default)]
    pub steps_kept: StepRule,
}

/// Which of the steps that are told a file holds; without a bound, every one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepRule {
    /// Every step that is told is kept up to this one, then ever fewer. Null: every one, whatever the run's length.
    pub every_one_until: Option<u64>,
    /// The rule in words.
    pub rule: String,
}

/// Versions that a result depends on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    /// This program.
    pub landscope: String,
    /// The libtorch it runs on.
    pub libtorch: String,
}

/// One arm's network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmInfo {
    /// The arm's name.
    pub name: ArmName,
    /// Number of trained scalars.
    pub parameters: u64,
    /// Conv and linear weights from stem to head: the order of `layer_grad_norms`.
    pub layers: Vec<LayerInfo>,
    /// Residual blocks, or their twins without shortcut; 0 if the network has none.
    #[serde(default)]
    pub blocks: usize,
}

impl ArmInfo {
    /// What `norms`, one for every layer, say of the stem and of the last conv, where the gradient's way back begins: linear
    /// layers start near zero and say nothing of the trunk.
    pub fn ends_of_trunk(&self, norms: &[f64]) -> Option<[f64; 2]> {
        let last = self.layers.iter().rposition(LayerInfo::is_conv)?;
        Some([*norms.first()?, *norms.get(last)?])
    }
}

/// One conv or linear weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// PyTorch's name (`layer1.0.conv1.weight`).
    pub name: String,
    /// Shape, output channels first.
    pub shape: Vec<i64>,
}

impl LayerInfo {
    /// Whether it is a conv's weight, [out, in, k, k].
    pub fn is_conv(&self) -> bool {
        self.shape.len() == 4
    }
}

/// One optimizer step of one arm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepSample {
    /// Which arm.
    pub arm: ArmName,
    /// The step, from 1.
    pub step: u64,
    /// Seconds since the start.
    pub t: f64,
    /// Passes over the training set, fractional.
    pub epoch: f64,
    /// Mean cross-entropy of the step's batch, in nats, before the step.
    #[serde(with = "null_as_nan")]
    pub loss: f64,
    /// Share of the batch classified rightly.
    #[serde(with = "null_as_nan")]
    pub acc: f64,
    /// Learning rate that the step used.
    pub lr: f64,
    /// Weight decay that the step used.
    pub weight_decay: f64,
    /// Images in the batch.
    pub batch: usize,
    /// L2 norm of the whole gradient of the data loss, before decay and clipping.
    #[serde(with = "null_as_nan")]
    pub grad_norm: f64,
    /// L2 norm of dL/dW for every entry of [`ArmInfo::layers`]; empty on steps where layers are not recorded.
    #[serde(with = "nulls_as_nan")]
    pub layer_grad_norms: Vec<f64>,
    /// |delta theta| / |theta|.
    #[serde(with = "null_as_nan")]
    pub update_ratio: f64,
    /// How the step crosses the isocurve of the loss.
    pub angle: Angle,
    /// What the step is made of.
    pub step_share: StepShare,
    /// Wall time of the step, milliseconds, waiting for the other arms left out.
    pub ms: f64,
}

/// Angle of the step to the isocurve, degrees in [-90, 90]: +90 straight downhill, 0 along the isocurve, -90 uphill.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Angle {
    /// In the whole parameter space.
    #[serde(with = "null_as_nan")]
    pub full_deg: f64,
    /// Of step and gradient as they project into the plane of the trajectory; missing while there is no such plane.
    #[serde(with = "null_as_nan")]
    pub plane_deg: f64,
    /// Share of the step's squared length that lies in that plane, in [0, 1].
    #[serde(with = "null_as_nan", default = "nan")]
    pub plane_share: f64,
    /// In the whole space, of the step that the same gradients would have made with weight decay the other way: off
    /// where it is on, and on where it is off.
    #[serde(with = "null_as_nan", default = "nan")]
    pub counterfactual_deg: f64,
}

impl Angle {
    /// No angle at all.
    pub const NONE: Self = Self {
        full_deg: f64::NAN,
        plane_deg: f64::NAN,
        plane_share: f64::NAN,
        counterfactual_deg: f64::NAN,
    };
}

/// The only plane of earlier versions.
fn random() -> String {
    "random".to_owned()
}

/// What a file of an earlier version does not tell.
fn nan() -> f64 {
    f64::NAN
}

/// Each part's component along the step over the step's length; the three sum to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepShare {
    /// This step's gradient of the data loss.
    #[serde(with = "null_as_nan")]
    pub gradient: f64,
    /// What earlier steps left in the momentum buffer.
    #[serde(with = "null_as_nan")]
    pub momentum: f64,
    /// This step's weight-decay term.
    #[serde(with = "null_as_nan")]
    pub decay: f64,
}

/// Residual decomposition of one arm's gradient at one step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BlocksSample {
    /// Which arm.
    pub arm: ArmName,
    /// The step.
    pub step: u64,
    /// Seconds since the start.
    pub t: f64,
    /// From the first block to the last.
    pub blocks: Vec<BlockFlow>,
}

impl BlocksSample {
    /// Of how many steps that tell their layers one tells its blocks. Probing every block costs a fifth of a step; this
    /// keeps it at 1 %.
    pub const EVERY: u64 = 20;
}

/// dL/dx = dL/dh * dF/dx + dL/dh at one block (h = F(x) + x before the last ReLU).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockFlow {
    /// PyTorch's name of the block (`layer1.0`).
    pub name: String,
    /// Norm of what the shortcut hands back: |dL/dh| for an identity; 0 without a skip.
    #[serde(with = "null_as_nan")]
    pub carry: f64,
    /// Norm of what the convolutions hand back: |dL/dx - carry|.
    #[serde(with = "null_as_nan")]
    pub branch: f64,
    /// Cosine between the two; missing where one is zero.
    #[serde(with = "null_as_nan")]
    pub cos: f64,
    /// |dL/dx| / |dL/dh|.
    #[serde(with = "null_as_nan")]
    pub gain: f64,
}

/// The whole test set under one arm's weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EvalSample {
    /// Which arm.
    pub arm: ArmName,
    /// Steps done when the weights were taken.
    pub step: u64,
    /// Seconds since the start.
    pub t: f64,
    /// Mean cross-entropy, nats.
    #[serde(with = "null_as_nan")]
    pub test_loss: f64,
    /// Share of test images classified wrongly.
    #[serde(with = "null_as_nan")]
    pub test_err: f64,
}

/// A change of a running experiment; `arm` is null where it held for all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlChange {
    /// The arm, or null for all.
    pub arm: Option<ArmName>,
    /// The first step that the change holds for.
    pub step: u64,
    /// Seconds since the start.
    pub t: f64,
    /// `lr`, `weight_decay` or `batch` as in the config; [`PAUSED`]; [`FORK`], from the position of the arm that was copied
    /// to that of the copy.
    pub key: String,
    /// Value before.
    pub from: f64,
    /// Value after.
    pub to: f64,
    /// The new arm's name, if the change is a fork.
    #[serde(default)]
    pub name: Option<ArmName>,
}

/// Key of a change that holds all arms, or lets them go on: it changes no bit of the run.
pub const PAUSED: &str = "paused";
/// Key of a change that copies an arm into a new one.
pub const FORK: &str = "fork";

/// How bad an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Worth knowing.
    Info,
    /// The picture or the run suffers.
    Warning,
    /// An arm or a part of the program has stopped.
    Error,
}

/// Something that the user should know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The arm, or null if it is the run's.
    pub arm: Option<ArmName>,
    /// Steps done when it was seen.
    pub step: u64,
    /// Seconds since the start.
    pub t: f64,
    /// Short name of the finding (`diverged`, `exploding-gradient`, `worker-failed`).
    pub kind: String,
    /// How bad it is.
    pub level: Level,
    /// One line for people.
    pub text: String,
}

/// A map of the loss that is complete and on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SurfaceWritten {
    /// Which arm.
    pub arm: ArmName,
    /// The step whose weights are the centre.
    pub step: u64,
    /// Seconds since the start.
    pub t: f64,
    /// Path below the run folder; null if it could not be written.
    pub file: Option<String>,
    /// `random`, or `pca` for the plane of the arm's path.
    #[serde(default = "random")]
    pub plane: String,
    /// Figures of the surface.
    pub stats: SurfaceStats,
}

/// Figures of a surface, over its finite points.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SurfaceStats {
    /// Loss at the centre, nats.
    #[serde(with = "null_as_nan")]
    pub center: f64,
    /// Smallest loss.
    #[serde(with = "null_as_nan")]
    pub min: f64,
    /// Median loss.
    #[serde(with = "null_as_nan")]
    pub median: f64,
    /// Largest loss.
    #[serde(with = "null_as_nan")]
    pub max: f64,
    /// Points computed.
    pub points: usize,
}

/// The plane of an arm's path, and how far its picture can be trusted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrajectorySample {
    /// Which arm.
    pub arm: ArmName,
    /// Steps done at the newest point: the plane's origin.
    pub step: u64,
    /// Seconds since the start.
    pub t: f64,
    /// Snapshots that the plane was laid through.
    pub snapshots: usize,
    /// Share of their variance along each axis, in [0, 1].
    #[serde(with = "nulls_as_nan")]
    pub explained: Vec<f64>,
    /// Between the loss of the weights on the path and the map under them.
    pub gap: PathGap,
}

/// A complete checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckpointWritten {
    /// The step that it holds.
    pub step: u64,
    /// Seconds since the start.
    pub t: f64,
    /// Its folder.
    pub dir: String,
}

/// How the run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// All steps were made.
    Finished,
    /// Somebody stopped it.
    Stopped,
    /// No arm could go on.
    Failed,
}

/// The end of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunDone {
    /// How it ended.
    pub status: RunStatus,
    /// Steps made.
    pub step: u64,
    /// Seconds since the start.
    pub t: f64,
    /// What became of each arm.
    pub arms: Vec<ArmDone>,
}

/// What became of one arm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ArmDone {
    /// The arm's name.
    pub name: ArmName,
    /// Last training loss, nats.
    #[serde(with = "null_as_nan")]
    pub loss: f64,
    /// Share of test images classified wrongly by the last weights.
    #[serde(with = "null_as_nan")]
    pub test_err: f64,
    /// `healthy`, or what is wrong (`diverged`, `vanishing-gradient` ...).
    pub verdict: String,
}
