//! What a run that is taken up again, or made again, has behind it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::EngineError;
use crate::arm::PerArm;
use crate::config::{ArmSpec, Experiment};
use crate::data::BatchOrder;
use crate::model::Plan;
use crate::record::folder::FolderError;
use crate::record::{metrics, rewind};
use crate::telemetry::event::{Alert, ControlChange, Event, Level, PAUSED};
use crate::telemetry::snapshot::ArmState;
use crate::train::control::Settings;
use crate::train::restore::{self, Restored};
use crate::train::worker::Origin;

/// What is behind a run when its process starts; nothing for a new one.
#[derive(Default)]
pub struct Past {
    /// Steps done.
    pub done: u64,
    /// Seconds taken.
    pub elapsed_s: f64,
    /// Its events up to the checkpoint.
    pub events: Vec<Event>,
    /// Changes by hand up to the checkpoint.
    pub controls: Vec<ControlChange>,
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

/// Takes up the run in `folder` at its newest whole checkpoint.
///
/// # Errors
/// When there is none, when all steps are made, or when the folder cannot be written.
pub fn take_up(
    folder: &Path,
    experiment: &Experiment,
    plans: &PerArm<Arc<Plan>>,
    steps: u64,
    threads: usize,
) -> Result<TakenUp, EngineError> {
    let (restored, broken) = restore::newest(folder, &experiment.arms, plans)?;
    let Restored { folder: checkpoint, state, specs, plans, arms } = restored;
    if state.step >= steps {
        return Err(EngineError::NothingLeft { folder: folder.to_owned(), done: state.step });
    }
    let path = folder.join(metrics::FILE_NAME);
    let events = rewind::rewind(&path, state.step, state.controls.len())
        .map_err(|source| FolderError::Io { path, source })?;
    let note = |level, kind: &str, text: String| Alert {
        arm: None,
        step: state.step,
        t: state.elapsed_s,
        kind: kind.to_owned(),
        level,
        text,
    };
    let mut notes = Vec::new();
    for error in broken {
        notes.push(note(Level::Warning, "checkpoint-broken", format!("{error}; left aside")));
    }
    if state.threads != threads && state.threads > 0 {
        let text = format!(
            "each arm trained with {} threads before and has {threads} now: results may differ in the last bits",
            state.threads
        );
        notes.push(note(Level::Warning, "threads-differ", text));
    }
    let from = checkpoint.file_name().unwrap_or_default().to_string_lossy();
    notes.push(note(Level::Info, "resumed", format!("taken up at {from}")));
    let settings = specs.iter().zip(arms.values());
    let settings = settings.map(|((_, spec), copy)| {
        let training = copy.as_ref().and_then(|c| c.training.as_ref());
        training.map_or_else(|| Settings::of(&spec.train, usize::MAX), |t| t.settings)
    });
    let settings = settings.collect();
    set_aside_newer(folder, state.step);
    Ok(TakenUp {
        specs,
        plans,
        origins: arms.into_iter().map(|copy| copy.map(|c| Origin::Copy(Box::new(c)))).collect(),
        settings,
        past: Past {
            done: state.step,
            elapsed_s: state.elapsed_s,
            events,
            controls: state.controls,
            notes,
        },
    })
}

/// Renames checkpoints beyond `step`, which are broken, so that the run can write them anew.
fn set_aside_newer(folder: &Path, step: u64) {
    use crate::train::checkpoint::{folder_name, steps_in};
    for newer in steps_in(folder).into_iter().filter(|s| *s > step) {
        let name = folder_name(newer);
        // One that cannot be renamed is told when the run comes to write it.
        let _ = fs::rename(folder.join(&name), folder.join(format!(".{name}.broken")));
    }
}

/// The changes by hand of the run in `folder`, for a run that makes them again.
///
/// # Errors
/// When its events cannot be read.
pub fn changes(folder: &Path) -> Result<Vec<ControlChange>, EngineError> {
    let path = folder.join(metrics::FILE_NAME);
    let events =
        rewind::events(&path).map_err(|source| FolderError::Io { path: path.clone(), source })?;
    let changes = events.into_iter().filter_map(|event| match event {
        Event::Control(change) if change.key != PAUSED => Some(change),
        _ => None,
    });
    Ok(changes.collect())
}

/// How an arm that is not in a checkpoint had ended, by the events before it.
pub fn how_it_ended(name: &str, events: &[Event]) -> ArmState {
    let own = events.iter().rev().filter_map(|e| match e {
        Event::Alert(a) if a.arm.as_ref().is_some_and(|n| n.as_str() == name) => Some(a),
        _ => None,
    });
    let ends = own.filter_map(|a| match a.kind.as_str() {
        "diverged" => Some(ArmState::Diverged { step: a.step }),
        "worker-failed" => Some(ArmState::Failed(a.text.clone())),
        _ => None,
    });
    let mut ends = ends;
    ends.next().unwrap_or_else(|| ArmState::Failed("it is not in the checkpoint".to_owned()))
}

/// Whether the pass that ends with this arm's checkpoint has not been evaluated.
pub fn owes_evaluation(name: &str, origin: &Origin, images: usize, seed: u64, past: &Past) -> bool {
    let Origin::Copy(copy) = origin else { return false };
    let Some(training) = &copy.training else { return false };
    let at_end =
        BatchOrder::at(seed, images, training.order).is_at_pass_end(training.settings.batch);
    let evaluated = past
        .events
        .iter()
        .rev()
        .any(|e| matches!(e, Event::Eval(e) if e.arm.as_str() == name && e.step == past.done));
    at_end && !evaluated
}
