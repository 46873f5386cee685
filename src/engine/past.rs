//! What a run that is taken up again, or made again, has behind it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::EngineError;
use crate::arm::{ArmName, PerArm};
use crate::config::{ArmSpec, Experiment};
use crate::data::BatchOrder;
use crate::model::{Plan, initial_weights};
use crate::record::folder::FolderError;
use crate::record::{metrics, rewind};
use crate::telemetry::event::{Alert, ControlChange, Event, Level, PAUSED};
use crate::telemetry::snapshot::ArmState;
use crate::train::checkpoint::{clear_partial, folder_name, steps_in};
use crate::train::control::Settings;
use crate::train::restore::{self, RestoreError, Restored};
use crate::train::worker::Origin;

/// Changes that a run which makes another one again has to make.
const REPLAY: &str = "replay.json";

/// What is behind a run when its process starts; nothing for a new one.
#[derive(Default)]
pub struct Past {
    /// Steps done.
    pub done: u64,
    /// Seconds taken.
    pub elapsed_s: f64,
    /// Its events up to the checkpoint; none for a new run.
    pub metrics: Option<PathBuf>,
    /// Those of them that say what became of arms.
    pub alerts: Vec<Alert>,
    /// The arms' newest evaluations: who, and the steps that it had made.
    pub evaluated: Vec<(ArmName, u64)>,
    /// Changes by hand up to the checkpoint.
    pub controls: Vec<ControlChange>,
    /// Those of them that the events have lost: a disk that took the checkpoint had not taken them.
    pub lost_controls: Vec<ControlChange>,
    /// What its user should know of how it was taken up.
    pub notes: Vec<Alert>,
}

/// A run as its newest whole checkpoint holds it.
pub struct TakenUp {
    /// The arms, forks among them.
    pub specs: PerArm<ArmSpec>,
    /// Their networks.
    pub plans: PerArm<Arc<Plan>>,
    /// What each arm starts from; none for one that had failed.
    pub origins: PerArm<Option<Origin>>,
    /// What each arm trains with.
    pub settings: PerArm<Settings>,
    /// What is behind.
    pub past: Past,
}

/// A run from its beginning.
pub fn begin(experiment: &Experiment, plans: PerArm<Arc<Plan>>, images: usize) -> TakenUp {
    let origins = plans.map(|_, p| Some(Origin::Drawn(initial_weights(p, experiment.seed))));
    let settings = experiment.arms.map(|_, a| Settings::of(&a.train, images));
    TakenUp { specs: experiment.arms.clone(), plans, origins, settings, past: Past::default() }
}

/// Takes up the run in `folder` at its newest whole checkpoint; at its beginning if it was cut off before the first.
///
/// # Errors
/// When its checkpoints are broken, when all steps are made, or when the folder cannot be written.
pub fn take_up(
    folder: &Path,
    experiment: &Experiment,
    plans: PerArm<Arc<Plan>>,
    images: usize,
    steps: u64,
    threads: usize,
) -> Result<TakenUp, EngineError> {
    clear_partial(folder);
    let path = folder.join(metrics::FILE_NAME);
    let io = |source| FolderError::Io { path: path.clone(), source };
    let (restored, broken) = match restore::newest(folder, &experiment.arms, &plans) {
        Ok(found) => found,
        Err(RestoreError::None(_)) if path.exists() => {
            rewind::rewind(&path, 0, 0).map_err(io)?;
            let mut taken_up = begin(experiment, plans, images);
            taken_up.past.metrics = Some(path);
            taken_up.past.notes.push(note(
                Level::Info,
                "resumed",
                "taken up at its beginning: there is no checkpoint".to_owned(),
                (0, 0.0),
            ));
            return Ok(taken_up);
        }
        Err(error) => return Err(error.into()),
    };
    let Restored { folder: checkpoint, state, specs, plans, arms } = restored;
    if state.step >= steps {
        return Err(EngineError::NothingLeft { folder: folder.to_owned(), done: state.step });
    }
    set_aside_newer(folder, state.step)?;
    rewind::rewind(&path, state.step, state.controls.len()).map_err(io)?;
    let mut past = Past {
        done: state.step,
        elapsed_s: state.elapsed_s,
        controls: state.controls,
        metrics: Some(path.clone()),
        ..Past::default()
    };
    let mut told = 0;
    let look = |event| match event {
        Event::Alert(alert) => past.alerts.push(alert),
        Event::Eval(e) => {
            past.evaluated.retain(|(arm, _)| *arm != e.arm);
            past.evaluated.push((e.arm, e.step));
        }
        Event::Control(_) => told += 1,
        _ => {}
    };
    rewind::for_each(&path, look).map_err(io)?;
    past.lost_controls = past.controls.iter().skip(told).cloned().collect();
    let at = (state.step, state.elapsed_s);
    for error in broken {
        let text = format!("{error}; left aside");
        past.notes.push(note(Level::Warning, "checkpoint-broken", text, at));
    }
    if state.threads != threads && state.threads > 0 {
        let text = format!(
            "each arm trained with {} threads before and has {threads} now: results may differ in the last bits",
            state.threads
        );
        past.notes.push(note(Level::Warning, "threads-differ", text, at));
    }
    let from = checkpoint.file_name().unwrap_or_default().to_string_lossy();
    past.notes.push(note(Level::Info, "resumed", format!("taken up at {from}"), at));
    let settings = specs.iter().zip(arms.values());
    let settings = settings.map(|((_, spec), copy)| {
        let training = copy.as_ref().and_then(|c| c.training.as_ref());
        training.map_or_else(|| Settings::of(&spec.train, images), |t| t.settings)
    });
    let settings = settings.collect();
    let origins = arms.into_iter().map(|copy| copy.map(|c| Origin::Copy(Box::new(c)))).collect();
    Ok(TakenUp { specs, plans, origins, settings, past })
}

fn note(level: Level, kind: &str, text: String, (step, t): (u64, f64)) -> Alert {
    Alert { arm: None, step, t, kind: kind.to_owned(), level, text }
}

/// Renames checkpoints beyond `step`, which are broken, so that the run can write them anew.
fn set_aside_newer(folder: &Path, step: u64) -> Result<(), FolderError> {
    for newer in steps_in(folder).into_iter().filter(|s| *s > step) {
        let name = folder_name(newer);
        let aside = folder.join(format!(".{name}.broken"));
        // Of an earlier time: what is aside now is the newer one.
        let _ = fs::remove_dir_all(&aside);
        let path = folder.join(&name);
        fs::rename(&path, &aside).map_err(|source| FolderError::Io { path, source })?;
    }
    Ok(())
}

/// Keeps in `folder` what the run in it has to make again of the run `of`.
///
/// # Errors
/// When the changes cannot be read or kept.
pub fn plan_replay(folder: &Path, of: &Path) -> Result<Vec<ControlChange>, EngineError> {
    let changes = changes(of)?;
    let path = folder.join(REPLAY);
    let text = serde_json::to_vec_pretty(&changes).map_err(io::Error::other);
    text.and_then(|t| fs::write(&path, t)).map_err(|source| FolderError::Io { path, source })?;
    Ok(changes)
}

/// What the run in `folder` still has to make again after its first `done` steps; nothing for most runs.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn replay_left(folder: &Path, done: u64) -> Result<Vec<ControlChange>, EngineError> {
    let path = folder.join(REPLAY);
    let text = match fs::read(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text,
    };
    let changes = text.and_then(|t| Ok(serde_json::from_slice::<Vec<ControlChange>>(&t)?));
    let changes = changes.map_err(|source| FolderError::Io { path, source })?;
    // At a checkpoint the changes before the next step are made already.
    Ok(changes.into_iter().filter(|c| done == 0 || c.step > done + 1).collect())
}

/// The changes by hand of the run in `folder`, for a run that makes them again.
fn changes(folder: &Path) -> Result<Vec<ControlChange>, EngineError> {
    let path = folder.join(metrics::FILE_NAME);
    let mut changes = Vec::new();
    let keep = |event| {
        if let Event::Control(change) = event {
            changes.push(change);
        }
    };
    rewind::for_each(&path, keep).map_err(|source| FolderError::Io { path, source })?;
    changes.retain(|c| c.key != PAUSED);
    Ok(changes)
}

/// How an arm ended before the run did, by the alerts; none if it did not.
pub fn how_it_ended(name: &str, alerts: &[Alert]) -> Option<ArmState> {
    let own = alerts.iter().rev().filter(|a| a.arm.as_ref().is_some_and(|n| n.as_str() == name));
    let mut ends = own.filter_map(|a| match a.kind.as_str() {
        "diverged" => Some(ArmState::Diverged { step: a.step }),
        "worker-failed" => Some(ArmState::Failed(a.text.clone())),
        _ => None,
    });
    ends.next()
}

/// Whether the pass that ends with this arm's checkpoint has not been evaluated.
pub fn owes_evaluation(name: &str, origin: &Origin, images: usize, seed: u64, past: &Past) -> bool {
    let Origin::Copy(copy) = origin else { return false };
    let Some(training) = &copy.training else { return false };
    let at_end =
        BatchOrder::at(seed, images, training.order).is_at_pass_end(training.settings.batch);
    let told = past.evaluated.iter().any(|(arm, made)| arm.as_str() == name && *made == copy.made);
    at_end && !told
}
