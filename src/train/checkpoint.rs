//! Checkpoints on disk: written aside, synced, then renamed, so that a crash leaves the old one or the new one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::counterfactual::Parting;
use super::worker::ArmCopy;
use crate::arm::ArmName;
use crate::data::OrderPosition;
use crate::model::{Plan, StateError, save_state, state_bytes};
use crate::telemetry::event::ControlChange;

/// Why a checkpoint could not be written. Earlier ones are untouched.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no room.
    #[error("{}: {source}; {needed} bytes are needed, {free} bytes are free there", path.display())]
    Full {
        /// Where.
        path: PathBuf,
        /// As the system says it.
        source: io::Error,
        /// Bytes of the file.
        needed: u64,
        /// Bytes that the file system has left.
        free: u64,
    },
    /// The weights could not be turned into a file.
    #[error("arm {arm}: {source}")]
    State {
        /// Whose.
        arm: ArmName,
        /// Why.
        source: StateError,
    },
}

/// One arm's part of a checkpoint.
pub struct Part<'a> {
    /// The arm's name, its files' stem.
    pub name: &'a ArmName,
    /// Its network.
    pub plan: &'a Plan,
    /// Its copy.
    pub copy: &'a ArmCopy,
}

/// `state.json`: counters and positions, all that training needs besides tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateFile {
    /// Steps done.
    pub step: u64,
    /// The run's seed.
    pub seed: u64,
    /// Seconds that the run has taken so far, over all its processes.
    #[serde(default)]
    pub elapsed_s: f64,
    /// Threads that each arm trained with: with others, sums round otherwise.
    #[serde(default)]
    pub threads: usize,
    /// Every change by hand so far, in order: what a replay repeats.
    #[serde(default)]
    pub controls: Vec<ControlChange>,
    /// The arms.
    pub arms: Vec<ArmStateFile>,
}

/// One arm in `state.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmStateFile {
    /// Its name.
    pub name: ArmName,
    /// Steps of its optimizer.
    pub optimizer_steps: i64,
    /// Where its data order stands.
    pub order: OrderPosition,
    /// Learning rate before the schedule's factor.
    pub lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Images a step.
    pub batch: usize,
    /// What the buffer [`DECAY_BUFFER`] holds; missing where there is none.
    #[serde(default)]
    pub decay: Option<Parting>,
}

/// Name of the tensor of decay terms beside the optimizer's own: figures hang on it, the training does not.
pub const DECAY_BUFFER: &str = "decay_buffer";

/// What a checkpoint holds of the run, besides its arms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moment {
    /// Steps done.
    pub step: u64,
    /// The run's seed.
    pub seed: u64,
    /// Seconds that the run has taken so far.
    pub elapsed_s: f64,
    /// Threads that each arm trains with.
    pub threads: usize,
    /// Every change by hand so far.
    pub controls: Vec<ControlChange>,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CheckpointError + '_ {
    |source| CheckpointError::Io { path: path.to_owned(), source }
}

/// Name of the folder of `step` in the run folder.
pub fn folder_name(step: u64) -> String {
    format!("step-{step:08}")
}

/// Which checkpoints stay when a new one is safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// So many of the newest; 0: all.
    pub newest: usize,
    /// Those of steps that this divides; 0: none.
    pub every: u64,
}

/// Writes the checkpoint of `moment` into the run folder `root`, points `latest` to it, then removes those that `keep` does
/// not name. Returns its folder. One of the same step and the same changes by hand is left as it is; any other is
/// replaced.
///
/// # Errors
/// When the file system refuses; what was there before stays whole.
pub fn write(
    root: &Path,
    moment: &Moment,
    parts: &[Part<'_>],
    keep: Keep,
) -> Result<PathBuf, CheckpointError> {
    let name = folder_name(moment.step);
    let place = root.join(&name);
    if holds(&place, moment) {
        point_latest(root, &name)?;
        return Ok(place);
    }
    let aside = root.join(format!(".{name}.partial"));
    // Of an attempt that did not end.
    let _ = fs::remove_dir_all(&aside);
    let written = write_files(&aside, moment, parts);
    if let Err(error) = written {
        let _ = fs::remove_dir_all(&aside);
        return Err(error);
    }
    // What is there is of other changes, or broken: it goes once the new one is whole.
    let old = root.join(format!(".{name}.old"));
    let _ = fs::remove_dir_all(&old);
    let replaced = fs::rename(&place, &old).is_ok();
    fs::rename(&aside, &place).map_err(at(&place))?;
    sync_folder(root)?;
    point_latest(root, &name)?;
    if replaced {
        let _ = fs::remove_dir_all(&old);
    }
    prune(root, keep);
    Ok(place)
}

/// Whether the checkpoint in `place` is of this moment.
fn holds(place: &Path, moment: &Moment) -> bool {
    let text = fs::read(place.join("state.json")).unwrap_or_default();
    serde_json::from_slice::<StateFile>(&text)
        .is_ok_and(|state| (state.step, state.controls) == (moment.step, moment.controls.clone()))
}

/// Removes what writes that did not end have left.
pub fn clear_partial(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(".step-") && (name.ends_with(".partial") || name.ends_with(".old")) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn write_files(folder: &Path, moment: &Moment, parts: &[Part<'_>]) -> Result<(), CheckpointError> {
    fs::create_dir(folder).map_err(at(folder))?;
    let mut arms = Vec::new();
    for Part { name, plan, copy } in parts {
        let failed = |source| CheckpointError::State { arm: (*name).clone(), source };
        let weights = state_bytes(plan, &copy.weights).map_err(failed)?;
        write_synced(&folder.join(format!("{name}.safetensors")), &weights)?;
        if let Some(training) = &copy.training {
            let mut buffers: Vec<_> = training.buffers.iter().map(|(n, t)| (*n, t)).collect();
            buffers.extend(training.decay.iter().map(|(_, mean)| (DECAY_BUFFER, mean)));
            let bytes = save_state(&buffers).map_err(failed)?;
            write_synced(&folder.join(format!("{name}.optim.safetensors")), &bytes)?;
            arms.push(ArmStateFile {
                name: (*name).clone(),
                optimizer_steps: training.optimizer_steps,
                order: training.order,
                lr: training.settings.lr,
                weight_decay: training.settings.weight_decay,
                batch: training.settings.batch,
                decay: training.decay.as_ref().map(|(parting, _)| *parting),
            });
        }
    }
    let path = folder.join("state.json");
    let Moment { step, seed, elapsed_s, threads, ref controls } = *moment;
    let state = StateFile { step, seed, elapsed_s, threads, controls: controls.clone(), arms };
    let text = serde_json::to_vec_pretty(&state)
        .map_err(|e| CheckpointError::Io { path: path.clone(), source: e.into() })?;
    write_synced(&path, &text)?;
    sync_folder(folder)
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            let free = path.parent().and_then(|folder| rustix::fs::statvfs(folder).ok());
            CheckpointError::Full {
                path: path.to_owned(),
                source,
                needed: bytes.len() as u64,
                free: free.map_or(0, |stat| stat.f_bavail * stat.f_frsize),
            }
        }
        _ => CheckpointError::Io { path: path.to_owned(), source },
    })
}

/// Makes names in a folder last over a power cut.
fn sync_folder(folder: &Path) -> Result<(), CheckpointError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(at(folder))
}

/// Points the link `latest` to `name` in one step.
fn point_latest(root: &Path, name: &str) -> Result<(), CheckpointError> {
    let (new, link) = (root.join(".latest.new"), root.join("latest"));
    let _ = fs::remove_file(&new);
    std::os::unix::fs::symlink(name, &new).map_err(at(&new))?;
    fs::rename(&new, &link).map_err(at(&link))
}

/// The steps of the checkpoints in a run folder, rising.
pub fn steps_in(root: &Path) -> Vec<u64> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut steps: Vec<u64> = entries
        .filter_map(|e| e.file_name().to_str()?.strip_prefix("step-")?.parse().ok())
        .collect();
    steps.sort_unstable();
    steps
}

/// Removes the checkpoints that `keep` does not name; one that cannot be removed stays.
fn prune(root: &Path, keep: Keep) {
    let steps = steps_in(root);
    let old = if keep.newest == 0 { 0 } else { steps.len().saturating_sub(keep.newest) };
    let stays = |step: u64| keep.every > 0 && step.is_multiple_of(keep.every);
    for step in steps[..old].iter().filter(|step| !stays(**step)) {
        let _ = fs::remove_dir_all(root.join(folder_name(*step)));
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::config::{Family, Init, ModelSpec};
    use crate::model::{Weights, initial_weights, load_state};
    use crate::train::control::Settings;
    use crate::train::worker::TrainingState;

    fn at_step(step: u64) -> Moment {
        Moment { step, ..Moment::default() }
    }

    fn plan() -> Plan {
        let spec = ModelSpec {
            family: Family::Resnet,
            depth: 8,
            width: 2,
            widen: 1,
            init: Init::KaimingNormal,
        };
        Plan::resnet(&spec, true, 1, 10)
    }

    fn copy(plan: &Plan) -> ArmCopy {
        let theta = plan.pack(&initial_weights(plan, 0), Device::Cpu).unwrap();
        let buffers = vec![("momentum_buffer", theta.copy())];
        let settings = Settings { lr: 0.1, weight_decay: 5e-4, batch: 64 };
        let order = OrderPosition { epoch: 3, next: 128 };
        ArmCopy {
            weights: Weights {
                theta,
                running: plan.fresh_statistics(Device::Cpu).unwrap(),
                batches: 5,
            },
            made: 5,
            training: Some(TrainingState {
                buffers,
                optimizer_steps: 5,
                order,
                decay: None,
                settings,
            }),
        }
    }

    #[test]
    fn a_checkpoint_is_whole_is_the_latest_and_old_ones_go() {
        let (dir, plan) = (tempfile::tempdir().unwrap(), plan());
        let (name, copy) = (ArmName::new("skip"), copy(&plan));
        let parts = [Part { name: &name, plan: &plan, copy: &copy }];
        for step in [50, 100, 150, 200, 300] {
            let keep = Keep { newest: 2, every: 100 };
            write(dir.path(), &Moment { seed: 7, ..at_step(step) }, &parts, keep).unwrap();
        }
        let latest = dir.path().join("latest");
        assert_eq!(fs::read_link(&latest).unwrap(), Path::new("step-00000300"));
        let bytes = fs::read(latest.join("skip.safetensors")).unwrap();
        assert_eq!(load_state(&plan, &bytes, Device::Cpu).unwrap().theta, copy.weights.theta);
        let state: StateFile =
            serde_json::from_slice(&fs::read(latest.join("state.json")).unwrap()).unwrap();
        assert_eq!((state.step, state.seed, state.arms[0].order.next), (300, 7, 128));
        let mut names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["latest", "step-00000100", "step-00000200", "step-00000300"]);
    }

    #[test]
    fn a_checkpoint_of_the_same_step_with_other_changes_replaces_the_first() {
        let (dir, plan) = (tempfile::tempdir().unwrap(), plan());
        let (name, mut copy) = (ArmName::new("skip"), copy(&plan));
        write(
            dir.path(),
            &at_step(5),
            &[Part { name: &name, plan: &plan, copy: &copy }],
            Keep::default(),
        )
        .unwrap();
        let change = ControlChange {
            arm: None,
            step: 6,
            t: 0.0,
            key: "lr".to_owned(),
            from: 0.1,
            to: 0.05,
            name: None,
        };
        let moment = Moment { controls: vec![change], ..at_step(5) };
        if let Some(training) = &mut copy.training {
            training.settings.lr = 0.05;
        }
        for _ in 0..2 {
            let parts = [Part { name: &name, plan: &plan, copy: &copy }];
            let place = write(dir.path(), &moment, &parts, Keep::default()).unwrap();
            let text = fs::read(place.join("state.json")).unwrap();
            let state: StateFile = serde_json::from_slice(&text).unwrap();
            assert_eq!((state.arms[0].lr, state.controls.len()), (0.05, 1));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "the checkpoint and `latest`");
    }

    #[test]
    fn a_refused_write_names_the_place_and_leaves_the_old_one() {
        let (dir, plan) = (tempfile::tempdir().unwrap(), plan());
        let (name, copy) = (ArmName::new("skip"), copy(&plan));
        let parts = [Part { name: &name, plan: &plan, copy: &copy }];
        write(dir.path(), &at_step(100), &parts, Keep::default()).unwrap();
        // A file where the folder should be: nothing can be written below it.
        fs::write(dir.path().join(".step-00000200.partial"), b"").unwrap();
        let said =
            write(dir.path(), &at_step(200), &parts, Keep::default()).unwrap_err().to_string();
        assert!(said.contains(".step-00000200.partial"), "{said}");
        assert_eq!(fs::read_link(dir.path().join("latest")).unwrap(), Path::new("step-00000100"));
        assert!(dir.path().join("latest/skip.safetensors").is_file());
    }
}
