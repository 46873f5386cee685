//! The second stage: an experiment in which every value is present and has been checked.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::typed::{
    Typed, TypedArm, TypedCheckpoint, TypedData, TypedMap, TypedModel, TypedRecord, TypedTrain,
    TypedTrajectory,
};
use crate::arm::{ArmName, PerArm};

/// Everything that decides a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// The run folder's first part: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Seed of everything drawn.
    pub seed: u64,
    /// Where the networks live.
    pub device: DeviceChoice,
    /// When the run ends.
    pub length: Length,
    /// The data set.
    pub data: DataSpec,
    /// The networks, one to eight.
    pub arms: PerArm<ArmSpec>,
    /// Checkpoints.
    pub checkpoint: CheckpointSpec,
    /// What is recorded how often.
    pub record: RecordSpec,
    /// Maps of the loss.
    pub map: MapSpec,
    /// The arms' paths.
    pub trajectory: TrajectorySpec,
}

impl Experiment {
    /// The first value that `found` has differently, as `arm.skip.lr is 0.1 there and 0.05 here`. How long it runs and where
    /// is not looked at: both may change from one go to the next.
    pub fn differs_from(&self, found: &Self) -> Option<String> {
        let flat = |experiment: &Self| {
            let Self { length, device, .. } = *self;
            let mut typed = Self { length, device, ..experiment.clone() }.to_typed();
            // `run.toml` names it so that it holds from any folder.
            typed.data.dir = typed.data.dir.map(|dir| std::path::absolute(&dir).unwrap_or(dir));
            let mut values = BTreeMap::new();
            flatten("", &serde_json::to_value(typed).unwrap_or_default(), &mut values);
            values
        };
        let (here, there) = (flat(self), flat(found));
        let mut keys = here.keys().chain(there.keys());
        let key = keys.find(|key| here.get(*key) != there.get(*key))?;
        let value = |of: &BTreeMap<String, String>| {
            of.get(key).map_or("not set", String::as_str).to_owned()
        };
        Some(format!("{key} is {} there and {} here", value(&there), value(&here)))
    }
}

/// The leaves of a value by their dotted keys.
fn flatten(key: &str, value: &serde_json::Value, into: &mut BTreeMap<String, String>) {
    let below = |part: &str| if key.is_empty() { part.to_owned() } else { format!("{key}.{part}") };
    match value {
        serde_json::Value::Object(map) => {
            map.iter().for_each(|(part, value)| flatten(&below(part), value, into));
        }
        serde_json::Value::Array(list) => {
            // Arms go by their names, as in `--set`.
            let name = |item: &serde_json::Value| item.get("name")?.as_str().map(str::to_owned);
            for (i, item) in list.iter().enumerate() {
                flatten(&below(&name(item).unwrap_or_else(|| i.to_string())), item, into);
            }
        }
        serde_json::Value::Null => {}
        leaf => drop(into.insert(key.to_owned(), leaf.to_string())),
    }
}

/// Which device a run asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU if there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// This GPU.
    Cuda(usize),
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl std::str::FromStr for DeviceChoice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "auto, cpu, cuda or cuda:N";
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                let index = text.strip_prefix("cuda:").ok_or(expected)?;
                index.parse().map(Self::Cuda).map_err(|_| expected)
            }
        }
    }
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// After so many optimizer steps.
    Steps(u64),
    /// After so many passes over the training set.
    Epochs(f64),
}

/// Data sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataKind {
    /// The UCI digits, built in.
    Digits,
    /// CIFAR-10, official binary layout.
    Cifar10,
    /// CIFAR-100, official binary layout, fine labels.
    Cifar100,
    /// MNIST, IDX files, plain or gzipped.
    Mnist,
    /// Fashion-MNIST, IDX files, plain or gzipped.
    FashionMnist,
}

/// The data of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSpec {
    /// Which data set.
    pub kind: DataKind,
    /// Where its files lie; none for a built-in set.
    pub dir: Option<PathBuf>,
    /// Side of the square images that the networks see; the files' own where missing.
    pub size: Option<i64>,
    /// Training images to use, from the front of the file order; all where missing.
    pub limit: Option<usize>,
    /// Random crop with padding 4 and horizontal flip.
    pub augment: bool,
}

/// Network families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// The CIFAR ResNet, 6n+2 layers.
    Resnet,
    /// VGG-9 with batch norms: seven convs, two linear layers.
    Vgg9,
}

/// How weights are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Convs N(0, 2 / fan-in), linear N(0, 1e-3), batch-norm weight 1 and bias 0.
    KaimingNormal,
}

/// One network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelSpec {
    /// Family.
    pub family: Family,
    /// Layers with weights: 6n+2, or 9.
    pub depth: i64,
    /// Channels of the first stage before widening.
    pub width: i64,
    /// Factor on the width of every stage.
    pub widen: i64,
    /// How weights are drawn.
    pub init: Init,
}

/// Optimizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Stochastic gradient descent with momentum, L2-coupled decay.
    Sgd,
    /// Adam, L2-coupled decay.
    Adam,
    /// Adam with decoupled decay.
    Adamw,
}

impl OptimizerKind {
    /// The config's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sgd => "sgd",
            Self::Adam => "adam",
            Self::Adamw => "adamw",
        }
    }
}

/// How one network is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainSpec {
    /// Which optimizer.
    pub optimizer: OptimizerKind,
    /// Learning rate.
    pub lr: f64,
    /// Momentum of SGD; beta1 of Adam.
    pub momentum: f64,
    /// Nesterov momentum (SGD).
    pub nesterov: bool,
    /// Weight decay.
    pub weight_decay: f64,
    /// Images a step.
    pub batch: usize,
    /// Most images in memory at once; missing for no limit.
    pub micro_batch: Option<usize>,
    /// Epochs at which the learning rate drops, rising.
    pub lr_decay_at: Vec<f64>,
    /// Factor of a drop.
    pub lr_decay: f64,
    /// Largest gradient norm; missing for no clipping.
    pub clip: Option<f64>,
}

/// One arm.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmSpec {
    /// Its name.
    pub name: ArmName,
    /// Whether its blocks have skip connections.
    pub skip: bool,
    /// Its network.
    pub model: ModelSpec,
    /// Its training.
    pub train: TrainSpec,
}

/// When checkpoints are written and kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CheckpointSpec {
    /// Steps between checkpoints; 0 for only at the end.
    pub every: u64,
    /// Minutes between checkpoints; 0 for none by time.
    pub minutes: f64,
    /// Newest checkpoints kept; 0 for all.
    pub keep: usize,
    /// Checkpoints of steps that this divides are kept for good; 0 for none.
    pub keep_every: u64,
}

/// What is recorded how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSpec {
    /// Steps between `step` events.
    pub every: u64,
    /// Steps between recorded layer norms and blocks.
    pub layers_every: u64,
    /// MB (10^6 bytes) that `metrics.jsonl` stays under by holding ever fewer of these steps; 0 for no limit.
    pub limit: u64,
}

/// How directions are scaled to the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectionNorm {
    /// Each filter to the norm of the weights' filter.
    Filter,
    /// Each tensor to the norm of the weights' tensor.
    Layer,
    /// Each entry times the weight.
    Weight,
    /// As drawn.
    None,
}

/// Which parameters directions leave alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IgnoreParams {
    /// Biases and batch-norm weights and biases.
    Biasbn,
    /// None.
    None,
}

/// Arithmetic of the forward passes behind a surface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// bfloat16 products, summed in single precision.
    Bf16,
}

/// Through which directions maps are laid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapPlane {
    /// Two random directions.
    Random,
    /// The plane in which the arm has moved most.
    Pca,
    /// One map of each.
    #[default]
    Both,
}

impl MapPlane {
    /// Whether maps along random directions are made.
    pub fn is_random(self) -> bool {
        self != Self::Pca
    }

    /// Whether maps in the plane of the path are made.
    pub fn is_pca(self) -> bool {
        self != Self::Random
    }
}

/// How snapshots of the weights are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotPrecision {
    /// Half precision, as differences from the first snapshot.
    #[default]
    F16,
    /// Single precision.
    F32,
}

/// The arms' paths through the space of their weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrajectorySpec {
    /// Snapshots that an arm keeps; 0 for none.
    pub keep: usize,
    /// Steps between snapshots at first; 0 for what fills `keep` once in the planned run.
    pub every: u64,
    /// How they are kept.
    pub precision: SnapshotPrecision,
    /// Memory for the snapshots of all arms, MiB.
    pub memory: u64,
}

/// Maps of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapSpec {
    /// Steps between maps; 0 for only on request.
    pub every: u64,
    /// Points on a side of the finest grid, odd.
    pub grid: usize,
    /// Half width, in units of the directions.
    pub range: f64,
    /// Training images behind each point.
    pub images: usize,
    /// How directions are scaled.
    pub norm: DirectionNorm,
    /// Which parameters do not move.
    pub ignore: IgnoreParams,
    /// Through which directions.
    pub plane: MapPlane,
    /// Share of the cores' time that maps may take, in (0, 1].
    pub budget: f64,
    /// Arithmetic.
    pub precision: Precision,
    /// Maps of an arm and a plane, of those made by themselves, that stay on disk; 0 for all.
    pub keep: usize,
}

impl Experiment {
    /// The experiment as a config with every key told: what `run.toml` holds. Resolving it gives the same experiment.
    pub fn to_typed(&self) -> Typed {
        let (steps, epochs) = match self.length {
            Length::Steps(n) => (Some(n), None),
            Length::Epochs(n) => (None, Some(n)),
        };
        Typed {
            name: Some(self.name.clone()),
            seed: Some(self.seed),
            device: Some(self.device.to_string()),
            steps,
            epochs,
            data: TypedData {
                kind: Some(self.data.kind),
                dir: self.data.dir.clone(),
                size: self.data.size,
                limit: self.data.limit,
                augment: Some(self.data.augment),
            },
            model: TypedModel::default(),
            train: TypedTrain::default(),
            checkpoint: TypedCheckpoint {
                every: Some(self.checkpoint.every),
                minutes: Some(self.checkpoint.minutes),
                keep: Some(self.checkpoint.keep),
                keep_every: Some(self.checkpoint.keep_every),
            },
            record: TypedRecord {
                every: Some(self.record.every),
                layers_every: Some(self.record.layers_every),
                limit: Some(self.record.limit),
            },
            map: TypedMap {
                every: Some(self.map.every),
                grid: Some(self.map.grid),
                range: Some(self.map.range),
                images: Some(self.map.images),
                norm: Some(self.map.norm),
                ignore: Some(self.map.ignore),
                plane: Some(self.map.plane),
                budget: Some(self.map.budget),
                precision: Some(self.map.precision),
                keep: Some(self.map.keep),
            },
            trajectory: TypedTrajectory {
                keep: Some(self.trajectory.keep),
                every: Some(self.trajectory.every),
                precision: Some(self.trajectory.precision),
                memory: Some(self.trajectory.memory),
            },
            arm: self.arms.values().map(ArmSpec::to_typed).collect(),
        }
    }
}

impl ArmSpec {
    fn to_typed(&self) -> TypedArm {
        let (m, t) = (&self.model, &self.train);
        let model = TypedModel {
            family: Some(m.family),
            depth: Some(m.depth),
            width: Some(m.width),
            widen: Some(m.widen),
            init: Some(m.init),
        };
        let train = TypedTrain {
            optimizer: Some(t.optimizer),
            lr: Some(t.lr),
            momentum: Some(t.momentum),
            nesterov: Some(t.nesterov),
            weight_decay: Some(t.weight_decay),
            batch: Some(t.batch),
            micro_batch: Some(t.micro_batch.unwrap_or(0)),
            lr_decay_at: Some(t.lr_decay_at.clone()),
            lr_decay: Some(t.lr_decay),
            clip: Some(t.clip.unwrap_or(0.0)),
        };
        TypedArm::whole(self.name.as_str(), self.skip, model, train)
    }
}
