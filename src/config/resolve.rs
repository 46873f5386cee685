//! From what was typed to an [`Experiment`]: defaults filled in, every value checked, before anything starts.

use super::error::ConfigError;
use super::experiment::{
    ArmSpec, CheckpointSpec, DataKind, DataSpec, DeviceChoice, DirectionNorm, Experiment, Family,
    IgnoreParams, Length, MapPlane, MapSpec, OptimizerKind, RecordSpec, TrainSpec, TrajectorySpec,
};
use super::network::{model, skip, usual_arms};
use super::typed::{
    Typed, TypedArm, TypedCheckpoint, TypedData, TypedMap, TypedRecord, TypedTrain, TypedTrajectory,
};
use crate::arm::{ArmName, MAX_ARMS, PerArm};

/// Sides of images accepted: a ResNet's stages halve the side twice, a VGG-9's pools three times, and a pixel is left.
const SIZES: std::ops::RangeInclusive<i64> = 8..=256;
/// Grids accepted: below, a map shows nothing; above, it takes longer than the run.
const GRIDS: std::ops::RangeInclusive<usize> = 5..=201;
/// Snapshots that a path may keep: below, thinning leaves nothing to see; above, their Gram matrix takes longer than the
/// steps between them.
const SNAPSHOTS: std::ops::RangeInclusive<usize> = 8..=1000;
/// Most memory for snapshots accepted: a tebibyte.
const MAX_MEMORY_MIB: u64 = 1 << 20;
/// Longest run accepted: what a step counter in an `f64` figure still tells apart.
const MAX_STEPS: u64 = 1_000_000_000_000;

pub(super) type Resolved<T> = Result<T, ConfigError>;

/// Checks every value of a typed config and fills in what it leaves out.
///
/// # Errors
/// The first value that cannot be run, with its key and what is accepted.
pub fn resolve(typed: &Typed) -> Resolved<Experiment> {
    let (map, trajectory) = (map(&typed.map)?, trajectory(&typed.trajectory)?);
    if map.plane == MapPlane::Pca && trajectory.keep == 0 {
        let expected = "random or both, or trajectory.keep above 0: without a path it has no plane";
        return Err(ConfigError::value("map.plane", "pca", expected));
    }
    Ok(Experiment {
        name: name(typed.name.as_deref().unwrap_or("demo"), "name")?,
        seed: typed.seed.unwrap_or(0),
        device: device(typed.device.as_deref().unwrap_or("auto"))?,
        length: length(typed)?,
        data: data(&typed.data)?,
        arms: arms(typed)?,
        checkpoint: checkpoint(&typed.checkpoint)?,
        record: record(&typed.record)?,
        map,
        trajectory,
    })
}

/// The value if `ok`, else an error that names it.
pub(super) fn checked<T: ToString>(
    key: &str,
    value: T,
    ok: impl FnOnce(&T) -> bool,
    expected: &str,
) -> Resolved<T> {
    if ok(&value) { Ok(value) } else { Err(ConfigError::value(key, value, expected)) }
}

fn name(text: &str, key: &str) -> Resolved<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let ok = !text.is_empty()
        && text.len() <= 64
        && text.chars().all(fits)
        && !text.starts_with(['.', '-']);
    checked(
        key,
        text.to_owned(),
        |_| ok,
        "1 to 64 of letters, digits, `-`, `_`, `.`, not starting with `.` or `-`",
    )
}

fn device(text: &str) -> Resolved<DeviceChoice> {
    text.parse().map_err(|expected| ConfigError::value("device", text, expected))
}

fn length(typed: &Typed) -> Resolved<Length> {
    match (typed.steps, typed.epochs) {
        (Some(_), Some(epochs)) => {
            Err(ConfigError::value("epochs", epochs, "either steps or epochs, not both"))
        }
        (None, Some(epochs)) => {
            let expected = "a number above 0 and at most 1e6";
            checked("epochs", epochs, |e| *e > 0.0 && *e <= 1e6, expected).map(Length::Epochs)
        }
        (steps, None) => {
            let expected = "a whole number from 1 to 1e12";
            checked("steps", steps.unwrap_or(600), |s| (1..=MAX_STEPS).contains(s), expected)
                .map(Length::Steps)
        }
    }
}

fn data(typed: &TypedData) -> Resolved<DataSpec> {
    let kind = typed.kind.unwrap_or(DataKind::Digits);
    if kind != DataKind::Digits && typed.dir.is_none() {
        return Err(ConfigError::value(
            "data.dir",
            "(missing)",
            "the folder that holds the data set's files",
        ));
    }
    if let (DataKind::Digits, Some(dir)) = (kind, &typed.dir) {
        let expected = "no folder: data.kind is digits, which is built in; set data.kind as well";
        return Err(ConfigError::value("data.dir", dir.display(), expected));
    }
    // The UCI digits are 8x8; three stages of a ResNet want more.
    let default_size = (kind == DataKind::Digits).then_some(16);
    let size = typed.size.or(default_size);
    if let Some(size) = size {
        checked("data.size", size, |s| SIZES.contains(s), "a side from 8 to 256 pixels")?;
    }
    if let Some(limit) = typed.limit {
        checked("data.limit", limit, |l| *l >= 2, "at least 2 training images")?;
    }
    Ok(DataSpec {
        kind,
        dir: typed.dir.clone(),
        size,
        limit: typed.limit,
        augment: typed.augment.unwrap_or(false),
    })
}

fn arms(typed: &Typed) -> Resolved<PerArm<ArmSpec>> {
    let usual: Vec<TypedArm>;
    let given = if typed.arm.is_empty() {
        usual = usual_arms(typed.model.family.unwrap_or(Family::Resnet));
        &usual
    } else {
        &typed.arm
    };
    checked("[[arm]] count", given.len(), |n| *n <= MAX_ARMS, &format!("1 to {MAX_ARMS} arms"))?;
    let mut arms: Vec<ArmSpec> = Vec::new();
    for (index, arm) in given.iter().enumerate() {
        let Some(text) = arm.name.as_deref() else {
            return Err(ConfigError::value(
                format!("arm {}.name", index + 1),
                "(missing)",
                "a name for the arm",
            ));
        };
        let text = name(text, &format!("arm {}.name", index + 1))?;
        if arms.iter().any(|other| other.name.as_str() == text) {
            return Err(ConfigError::value(
                format!("arm {}.name", index + 1),
                text,
                "a name that no other arm has",
            ));
        }
        let own_model = arm.model();
        let own_train = arm.train();
        let label = |section: &str| format!("{section} (arm {text})");
        arms.push(ArmSpec {
            name: ArmName::new(&text),
            skip: skip(arm, &typed.model, &text)?,
            model: model(&own_model, &typed.model, &label("model"))?,
            train: train(&own_train, &typed.train, &label("train"))?,
        });
    }
    Ok(arms.into_iter().collect())
}

fn train(own: &TypedTrain, shared: &TypedTrain, section: &str) -> Resolved<TrainSpec> {
    let key = |k: &str| format!("{section}.{k}");
    let optimizer = own.optimizer.or(shared.optimizer).unwrap_or(OptimizerKind::Sgd);
    let sgd = optimizer == OptimizerKind::Sgd;
    // What `[train]` says of another optimizer's step is not this arm's.
    let same = shared.optimizer.unwrap_or(OptimizerKind::Sgd) == optimizer;
    let step = |own: Option<f64>, shared: Option<f64>| own.or(shared.filter(|_| same));
    let lr = step(own.lr, shared.lr).unwrap_or(if sgd { 0.1 } else { 1e-3 });
    let momentum = step(own.momentum, shared.momentum).unwrap_or(0.9);
    let nesterov = own.nesterov.or(shared.nesterov.filter(|_| same)).unwrap_or(sgd);
    let weight_decay = own.weight_decay.or(shared.weight_decay).unwrap_or(5e-4);
    let batch = own.batch.or(shared.batch).unwrap_or(64);
    let lr_decay_at =
        own.lr_decay_at.clone().or_else(|| shared.lr_decay_at.clone()).unwrap_or_default();
    let lr_decay = own.lr_decay.or(shared.lr_decay).unwrap_or(0.1);
    let clip = own.clip.or(shared.clip).unwrap_or(0.0);
    checked(&key("lr"), lr, |v| v.is_finite() && *v > 0.0, "a number above 0")?;
    checked(&key("momentum"), momentum, |v| (0.0..1.0).contains(v), "a number from 0 to below 1")?;
    checked(
        &key("weight_decay"),
        weight_decay,
        |v| v.is_finite() && *v >= 0.0,
        "a number from 0 up",
    )?;
    checked(&key("batch"), batch, |v| *v >= 2, "at least 2 images: batch norm needs them")?;
    checked(&key("lr_decay"), lr_decay, |v| v.is_finite() && *v > 0.0, "a number above 0")?;
    checked(
        &key("clip"),
        clip,
        |v| v.is_finite() && *v >= 0.0,
        "a gradient norm above 0, or 0 for no clipping",
    )?;
    let micro_batch = own.micro_batch.or(shared.micro_batch).unwrap_or(0);
    let expected = "at least 2 images a pass, or 0 for the whole batch at once";
    checked(&key("micro_batch"), micro_batch, |n| *n != 1, expected)?;
    let rising = lr_decay_at.windows(2).all(|w| w[0] < w[1])
        && lr_decay_at.iter().all(|e| e.is_finite() && *e > 0.0);
    checked(&key("lr_decay_at"), format!("{lr_decay_at:?}"), |_| rising, "rising epochs above 0")?;
    if nesterov && !sgd {
        return Err(ConfigError::value(key("nesterov"), true, "false unless the optimizer is sgd"));
    }
    if nesterov && momentum == 0.0 {
        return Err(ConfigError::value(key("nesterov"), true, "false while momentum is 0"));
    }
    Ok(TrainSpec {
        optimizer,
        lr,
        momentum,
        nesterov,
        weight_decay,
        batch,
        micro_batch: (micro_batch > 0).then_some(micro_batch),
        lr_decay_at,
        lr_decay,
        clip: (clip > 0.0).then_some(clip),
    })
}

fn checkpoint(typed: &TypedCheckpoint) -> Resolved<CheckpointSpec> {
    let minutes = typed.minutes.unwrap_or(0.0);
    checked(
        "checkpoint.minutes",
        minutes,
        |m| (0.0..1e6).contains(m),
        "minutes from 0 up; 0 for none by time",
    )?;
    Ok(CheckpointSpec {
        every: typed.every.unwrap_or(0),
        minutes,
        keep: typed.keep.unwrap_or(3),
        keep_every: typed.keep_every.unwrap_or(0),
    })
}

fn record(typed: &TypedRecord) -> Resolved<RecordSpec> {
    let every = checked("record.every", typed.every.unwrap_or(1), |n| *n >= 1, "at least 1 step")?;
    let layers_every = typed.layers_every.unwrap_or(1);
    checked("record.layers_every", layers_every, |n| *n >= 1, "at least 1 step")?;
    Ok(RecordSpec { every, layers_every, limit: typed.limit.unwrap_or(200) })
}

fn map(typed: &TypedMap) -> Resolved<MapSpec> {
    let odd = |n: &usize| GRIDS.contains(n) && n % 2 == 1;
    let grid = checked(
        "map.grid",
        typed.grid.unwrap_or(17),
        odd,
        "an odd number of points from 5 to 201",
    )?;
    let wide = |r: &f64| *r > 0.0 && *r <= 1e3;
    let range = checked(
        "map.range",
        typed.range.unwrap_or(1.0),
        wide,
        "a number above 0 and at most 1000",
    )?;
    let images =
        checked("map.images", typed.images.unwrap_or(64), |n| *n >= 1, "at least 1 image")?;
    let share = |b: &f64| *b > 0.0 && *b <= 1.0;
    let budget = checked(
        "map.budget",
        typed.budget.unwrap_or(0.25),
        share,
        "a share above 0 and at most 1",
    )?;
    Ok(MapSpec {
        every: typed.every.unwrap_or(150),
        grid,
        range,
        images,
        norm: typed.norm.unwrap_or(DirectionNorm::Filter),
        ignore: typed.ignore.unwrap_or(IgnoreParams::Biasbn),
        plane: typed.plane.unwrap_or_default(),
        budget,
        precision: typed.precision.unwrap_or_default(),
        keep: checked(
            "map.keep",
            typed.keep.unwrap_or(32),
            |n| *n == 0 || *n >= 3,
            "at least 3 maps, or 0 for all",
        )?,
    })
}

fn trajectory(typed: &TypedTrajectory) -> Resolved<TrajectorySpec> {
    let fits = |n: &usize| *n == 0 || SNAPSHOTS.contains(n);
    let keep = checked(
        "trajectory.keep",
        typed.keep.unwrap_or(64),
        fits,
        "from 8 to 1000 snapshots, or 0 for no path",
    )?;
    let memory = typed.memory.unwrap_or(1024);
    checked("trajectory.memory", memory, |m| *m <= MAX_MEMORY_MIB, "MiB from 0 to 1048576")?;
    Ok(TrajectorySpec {
        keep,
        every: typed.every.unwrap_or(0),
        precision: typed.precision.unwrap_or_default(),
        memory,
    })
}

#[cfg(test)]
mod tests;
