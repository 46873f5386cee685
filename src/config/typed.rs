//! The first stage: a config as it was typed. Every field is optional; a key that is not here is refused.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::experiment::{
    DataKind, DirectionNorm, Family, IgnoreParams, Init, MapPlane, OptimizerKind, Precision,
    SnapshotPrecision,
};

/// A whole config file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Typed {
    /// The run folder's first part.
    pub name: Option<String>,
    /// Seed of everything drawn: weights, batches, directions.
    pub seed: Option<u64>,
    /// `auto`, `cpu`, `cuda`, `cuda:N`.
    pub device: Option<String>,
    /// Optimizer steps to make.
    pub steps: Option<u64>,
    /// Passes over the training set to make, in place of `steps`.
    pub epochs: Option<f64>,
    /// `[data]`
    #[serde(default)]
    pub data: TypedData,
    /// `[model]`
    #[serde(default)]
    pub model: TypedModel,
    /// `[train]`
    #[serde(default)]
    pub train: TypedTrain,
    /// `[checkpoint]`
    #[serde(default)]
    pub checkpoint: TypedCheckpoint,
    /// `[record]`
    #[serde(default)]
    pub record: TypedRecord,
    /// `[map]`
    #[serde(default)]
    pub map: TypedMap,
    /// `[trajectory]`
    #[serde(default)]
    pub trajectory: TypedTrajectory,
    /// `[[arm]]`
    #[serde(default)]
    pub arm: Vec<TypedArm>,
}

/// `[data]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypedData {
    /// Which data set.
    pub kind: Option<DataKind>,
    /// Where its files lie.
    pub dir: Option<PathBuf>,
    /// Side of the square images that the networks see, pixels.
    pub size: Option<i64>,
    /// Training images to use, from the front of the file order.
    pub limit: Option<usize>,
    /// Random crop with padding 4 and horizontal flip.
    pub augment: Option<bool>,
}

/// `[model]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypedModel {
    /// Network family.
    pub family: Option<Family>,
    /// Layers with weights: 6n+2 of a ResNet, 9 of a VGG-9.
    pub depth: Option<i64>,
    /// Channels of the first stage.
    pub width: Option<i64>,
    /// Factor on the width of every stage.
    pub widen: Option<i64>,
    /// How weights are drawn.
    pub init: Option<Init>,
}

/// `[train]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypedTrain {
    /// Which optimizer.
    pub optimizer: Option<OptimizerKind>,
    /// Learning rate.
    pub lr: Option<f64>,
    /// Momentum of SGD; beta1 of Adam.
    pub momentum: Option<f64>,
    /// Nesterov momentum.
    pub nesterov: Option<bool>,
    /// Weight decay.
    pub weight_decay: Option<f64>,
    /// Images a step.
    pub batch: Option<usize>,
    /// Most images in memory at once: a larger batch is made of several passes; 0 for no limit.
    pub micro_batch: Option<usize>,
    /// Epochs at which the learning rate is multiplied by `lr_decay`, rising.
    pub lr_decay_at: Option<Vec<f64>>,
    /// Factor of a drop.
    pub lr_decay: Option<f64>,
    /// Largest gradient norm; 0 for no clipping.
    pub clip: Option<f64>,
}

/// `[checkpoint]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypedCheckpoint {
    /// Steps between checkpoints; 0 for only at the end.
    pub every: Option<u64>,
    /// Minutes between checkpoints; 0 for none by time.
    pub minutes: Option<f64>,
    /// Newest checkpoints kept; 0 for all.
    pub keep: Option<usize>,
    /// Checkpoints of steps that this divides are kept for good; 0 for none.
    pub keep_every: Option<u64>,
}

/// `[record]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypedRecord {
    /// Steps between `step` events.
    pub every: Option<u64>,
    /// Steps between recorded layer norms and blocks.
    pub layers_every: Option<u64>,
    /// MB that `metrics.jsonl` stays under; 0 for no limit.
    pub limit: Option<u64>,
}

/// `[map]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypedMap {
    /// Steps between maps; 0 for only on request.
    pub every: Option<u64>,
    /// Points on a side.
    pub grid: Option<usize>,
    /// Half width of the map, in units of the directions.
    pub range: Option<f64>,
    /// Training images behind each point.
    pub images: Option<usize>,
    /// How directions are scaled.
    pub norm: Option<DirectionNorm>,
    /// Which parameters do not move.
    pub ignore: Option<IgnoreParams>,
    /// Through which directions maps are laid.
    pub plane: Option<MapPlane>,
    /// Share of the cores' time that maps may take, in (0, 1].
    pub budget: Option<f64>,
    /// Arithmetic of the forward passes.
    pub precision: Option<Precision>,
    /// Maps of an arm and a plane that stay on disk; 0 for all.
    pub keep: Option<usize>,
}

/// `[trajectory]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypedTrajectory {
    /// Snapshots of its weights that an arm keeps; 0 for none.
    pub keep: Option<usize>,
    /// Steps between snapshots at first; 0 for what fills `keep` once in the planned run.
    pub every: Option<u64>,
    /// How they are kept.
    pub precision: Option<SnapshotPrecision>,
    /// Memory for the snapshots of all arms, MiB; those beyond it are read from disk.
    pub memory: Option<u64>,
}

/// `[[arm]]`: a name, the skip switch, and any key of `[model]` or `[train]` to differ in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypedArm {
    /// The arm's name.
    pub name: Option<String>,
    /// Whether blocks have skip connections.
    pub skip: Option<bool>,
    // serde cannot flatten under deny_unknown_fields: the keys of [model] and [train] stand here again.
    /// As in `[model]`.
    pub family: Option<Family>,
    /// As in `[model]`.
    pub depth: Option<i64>,
    /// As in `[model]`.
    pub width: Option<i64>,
    /// As in `[model]`.
    pub widen: Option<i64>,
    /// As in `[model]`.
    pub init: Option<Init>,
    /// As in `[train]`.
    pub optimizer: Option<OptimizerKind>,
    /// As in `[train]`.
    pub lr: Option<f64>,
    /// As in `[train]`.
    pub momentum: Option<f64>,
    /// As in `[train]`.
    pub nesterov: Option<bool>,
    /// As in `[train]`.
    pub weight_decay: Option<f64>,
    /// As in `[train]`.
    pub batch: Option<usize>,
    /// As in `[train]`.
    pub micro_batch: Option<usize>,
    /// As in `[train]`.
    pub lr_decay_at: Option<Vec<f64>>,
    /// As in `[train]`.
    pub lr_decay: Option<f64>,
    /// As in `[train]`.
    pub clip: Option<f64>,
}

impl TypedArm {
    /// The arm's own keys of `[model]`.
    pub fn model(&self) -> TypedModel {
        TypedModel {
            family: self.family,
            depth: self.depth,
            width: self.width,
            widen: self.widen,
            init: self.init,
        }
    }

    /// The arm's own keys of `[train]`.
    pub fn train(&self) -> TypedTrain {
        TypedTrain {
            optimizer: self.optimizer,
            lr: self.lr,
            momentum: self.momentum,
            nesterov: self.nesterov,
            weight_decay: self.weight_decay,
            batch: self.batch,
            micro_batch: self.micro_batch,
            lr_decay_at: self.lr_decay_at.clone(),
            lr_decay: self.lr_decay,
            clip: self.clip,
        }
    }

    /// An arm with every key told.
    pub fn whole(name: &str, skip: bool, model: TypedModel, train: TypedTrain) -> Self {
        Self {
            name: Some(name.to_owned()),
            skip: Some(skip),
            family: model.family,
            depth: model.depth,
            width: model.width,
            widen: model.widen,
            init: model.init,
            optimizer: train.optimizer,
            lr: train.lr,
            momentum: train.momentum,
            nesterov: train.nesterov,
            weight_decay: train.weight_decay,
            batch: train.batch,
            micro_batch: train.micro_batch,
            lr_decay_at: train.lr_decay_at,
            lr_decay: train.lr_decay,
            clip: train.clip,
        }
    }
}
