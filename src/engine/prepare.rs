//! From an experiment to a run that is ready to start: data, device, networks' plans, run folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::house::House;
use super::past::{self, Past, TakenUp};
use super::{EngineError, Options};
use crate::arm::PerArm;
use crate::config::{ArmSpec, ConfigError, Experiment, Family, Length, ModelSpec, RecordSpec};
use crate::data::{Dataset, Split};
use crate::link::Publisher;
use crate::model::Plan;
use crate::record::Recorder;
use crate::record::folder::FolderError;
use crate::record::metrics::{JsonLines, LineFile};
use crate::record::thinned::{self, Thinned};
use crate::record::{folder, metrics};
use crate::telemetry::event::{
    ArmInfo, ControlChange, Event, FORK, RunStarted, StepRule, Versions,
};
use crate::telemetry::snapshot::{Phase, RunHeader, Snapshot};
use crate::telemetry::system::SystemProbe;
use crate::train::control::Settings;
use crate::train::device::{self, Device};
use crate::train::worker::{Fault, Origin};

/// Everything that a run needs.
pub struct Run {
    pub experiment: Experiment,
    pub plans: PerArm<Arc<Plan>>,
    /// What each arm starts from; none for one that had failed before the run was taken up again.
    pub origins: PerArm<Option<Origin>>,
    /// What each arm trains with at first.
    pub settings: PerArm<Settings>,
    pub past: Past,
    /// Changes to be made again, in order.
    pub replay: Vec<ControlChange>,
    pub train: Split,
    pub test: Split,
    pub device: Device,
    pub cores: usize,
    /// Threads for each arm's operators.
    pub threads: usize,
    pub steps: u64,
    /// Steps that each arm makes.
    pub arm_steps: PerArm<u64>,
    pub folder: PathBuf,
    pub header: RunHeader,
    pub started: RunStarted,
    pub recorders: Vec<Box<dyn Recorder>>,
    pub probe: SystemProbe,
    /// The run's start; that of the first process, by its own count of seconds, if it is taken up again.
    pub start: Instant,
    pub fault: Option<(usize, Fault)>,
}

/// Prepares a run; viewers are shown what is being done.
pub fn prepare(
    mut experiment: Experiment,
    options: Options,
    replay: Option<&Path>,
    house: &House,
    start: Instant,
    publisher: &Publisher,
) -> Result<Run, EngineError> {
    let name = experiment.name.clone();
    let show = |what: &str| {
        let phase = Phase::Starting(what.to_owned());
        let folder = house.folder.display().to_string();
        let header = RunHeader { name: name.clone(), folder, ..RunHeader::default() };
        publisher.publish(Snapshot { run: header, phase, ..Snapshot::default() });
    };
    show("looking for a GPU");
    let device = device::choose(experiment.device)?;
    show("reading the data");
    let data = Dataset::load(&experiment.data)?;
    fits(&experiment, &data)?;
    show("building the networks");
    let Dataset { classes, shape, .. } = data;
    let plan = |spec: &ArmSpec| Arc::new(Plan::of(&spec.model, spec.skip, shape.sizes(), classes));
    let plans = experiment.arms.map(|_, spec| plan(spec));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // Of the arms that the run begins with: a fork must not change how the others' sums round.
    let threads = (cores / plans.len().max(1)).max(1);
    let steps = steps(&experiment, data.train.len());
    let folder = house.folder.clone();
    let metrics_path = folder.join(metrics::FILE_NAME);
    let failed = |source| FolderError::Io { path: metrics_path.clone(), source };
    let (taken_up, metrics) = if house.resumed {
        show("reading the checkpoint");
        let images = data.train.len();
        let taken_up = past::take_up(&folder, &experiment, plans, images, steps, threads)?;
        // Its length may have been changed.
        let file = folder.join(folder::RUN_FILE);
        folder::write_experiment(&folder, &experiment)
            .map_err(|source| FolderError::Io { path: file, source })?;
        (taken_up, LineFile::append(&metrics_path).map_err(failed)?)
    } else {
        let fresh = past::begin(&experiment, plans, data.train.len());
        (fresh, LineFile::create(&metrics_path).map_err(failed)?)
    };
    let replay = match replay {
        Some(of) => past::plan_replay(&folder, of)?,
        None => past::replay_left(&folder, taken_up.past.done)?,
    };
    let TakenUp { specs, plans, origins, settings, past } = taken_up;
    let configured = experiment.arms.len();
    experiment.arms = specs;
    let arm_steps = experiment.arms.map(|id, spec| match &origins[id] {
        // A fork goes on to the end of the run.
        Some(origin) if id.index() >= configured => origin.made() + steps.saturating_sub(past.done),
        _ => arm_steps(experiment.length, spec, data.train.len()),
    });
    let before = Duration::try_from_secs_f64(past.elapsed_s).unwrap_or_default();
    let mut probe = SystemProbe::new(device::bus_id(device));
    let figures = probe.read();
    let device_text = match (&figures.gpu, device) {
        (Some(gpu), _) => format!("{} {}", device::name(device), gpu.name),
        (None, Device::Cpu) => format!("cpu, {cores} cores"),
        (None, _) => device::name(device),
    };
    let names: Vec<_> =
        plans.iter().map(|(id, plan)| plan.info(&experiment.arms[id].name)).collect();
    let (began, forks) = names.split_at(configured);
    let rule = steps_kept(&past, experiment.record, began);
    // Those of which the file has lost the event are told to it again.
    let lost = past.lost_controls.iter().filter(|c| c.key == FORK).count();
    let count = (began.len(), forks.len().saturating_sub(lost));
    let lines = Thinned::new(JsonLines::new(metrics), rule.clone(), experiment.record, count);
    let mut recorders: Vec<Box<dyn Recorder>> = vec![Box::new(lines)];
    recorders.extend(options.recorders);
    let header = RunHeader {
        name: experiment.name.clone(),
        data: data.describe(),
        model: describe_models(&experiment.arms),
        device: device_text,
        steps,
        folder: folder.display().to_string(),
    };
    let started = RunStarted {
        t: start.elapsed().as_secs_f64(),
        experiment: serde_json::to_value(experiment.to_typed()).unwrap_or_default(),
        versions: Versions {
            landscope: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: device::libtorch_version().to_owned(),
        },
        device: device::name(device),
        arms: names,
        steps_kept: rule,
    };
    Ok(Run {
        plans,
        origins,
        settings,
        past,
        replay,
        train: data.train.to_device(device)?,
        test: data.test.to_device(device)?,
        device,
        cores,
        threads,
        steps,
        arm_steps,
        folder,
        header,
        started,
        recorders,
        probe,
        start: start.checked_sub(before).unwrap_or(start),
        fault: options.fault,
        experiment,
    })
}

/// Which steps the file holds: a run that is taken up goes by the rule that its file tells.
fn steps_kept(past: &Past, record: RecordSpec, arms: &[ArmInfo]) -> StepRule {
    let told = past.metrics.as_deref().and_then(|path| metrics::first_event(path).ok().flatten());
    match told {
        Some(Event::Run(first)) if !first.steps_kept.rule.is_empty() => first.steps_kept,
        _ => thinned::rule(record, arms),
    }
}

/// Refuses what only the data tells: a batch beyond the training set.
fn fits(experiment: &Experiment, data: &Dataset) -> Result<(), ConfigError> {
    let images = data.train.len();
    for arm in experiment.arms.values() {
        if arm.train.batch > images {
            let key = format!("train (arm {}).batch", arm.name);
            let expected = format!("at most {images}, the training images of {}", data.describe());
            return Err(ConfigError::value(key, arm.train.batch, expected));
        }
    }
    Ok(())
}

/// Steps of the whole run: those of the arm that makes most.
fn steps(experiment: &Experiment, images: usize) -> u64 {
    experiment
        .arms
        .values()
        .map(|spec| arm_steps(experiment.length, spec, images))
        .max()
        .unwrap_or(1)
}

/// Steps that an arm makes: as many as all others, or those of as many passes.
fn arm_steps(length: Length, spec: &ArmSpec, images: usize) -> u64 {
    match length {
        Length::Steps(n) => n,
        Length::Epochs(epochs) => {
            let per_epoch = (images / spec.train.batch.max(1)).max(1);
            ((epochs * per_epoch as f64).ceil() as u64).max(1)
        }
    }
}

/// The arms' networks, each told once.
pub fn describe_models(arms: &PerArm<ArmSpec>) -> String {
    let one = |a: &ArmSpec| {
        let ModelSpec { family, depth, width, widen, .. } = a.model;
        let family = match family {
            Family::Resnet => format!("ResNet-{depth}"),
            Family::Vgg9 => "VGG-9".to_owned(),
        };
        format!("{family} width {}", width * widen)
    };
    let mut told: Vec<String> = Vec::new();
    for text in arms.values().map(one) {
        if !told.contains(&text) {
            told.push(text);
        }
    }
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Override, load};

    #[test]
    fn epochs_are_turned_into_steps() {
        let with = |set: &str| load("demo", &[Override::parse(set).unwrap()]).unwrap();
        assert_eq!(steps(&with("steps=7"), 1437), 7);
        // 1437 / 64 = 22 whole batches a pass.
        assert_eq!(steps(&with("epochs=2.0"), 1437), 44);
        assert_eq!(steps(&with("epochs=0.01"), 1437), 1);
        // Each arm by its own batch; the run is as long as the longest.
        let sets = ["epochs=2.0", "arm.noskip.batch=700"].map(|s| Override::parse(s).unwrap());
        let e = load("demo", &sets).unwrap();
        let each: Vec<u64> = e.arms.values().map(|a| arm_steps(e.length, a, 1437)).collect();
        assert_eq!((each, steps(&e, 1437)), (vec![44, 4], 44));
    }

    #[test]
    fn models_are_told_once_unless_they_differ() {
        let e = load("demo", &[]).unwrap();
        assert_eq!(describe_models(&e.arms), "ResNet-56 width 8");
        let e = load("demo", &[Override::parse("arm.noskip.depth=20").unwrap()]).unwrap();
        assert_eq!(describe_models(&e.arms), "ResNet-56 width 8, ResNet-20 width 8");
        let sets = ["arm.noskip.family=vgg9", "arm.noskip.widen=2"];
        let e = load("demo", &sets.map(|s| Override::parse(s).unwrap())).unwrap();
        assert_eq!(describe_models(&e.arms), "ResNet-56 width 8, VGG-9 width 128");
    }
}
