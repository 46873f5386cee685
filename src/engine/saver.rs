//! The thread `saver`: writes checkpoints while the arms go on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use super::mailbox::Mailbox;
use super::message::Message;
use super::workers::guarded;
use crate::arm::ArmName;
use crate::model::Plan;
use crate::telemetry::event::{CheckpointWritten, Event};
use crate::train::checkpoint::{self, Keep, Moment, Part};
use crate::train::device::use_threads;
use crate::train::worker::ArmCopy;

/// All arms at one step.
pub struct SaveJob {
    /// What it holds of the run.
    pub moment: Moment,
    /// The arms that are still whole.
    pub arms: Vec<(ArmName, Arc<Plan>, ArmCopy)>,
}

/// Where and how checkpoints are kept.
pub struct Saver {
    /// The run folder.
    pub root: PathBuf,
    /// Which are kept.
    pub keep: Keep,
    /// The run's start.
    pub start: Instant,
}

impl Saver {
    /// Writes jobs until the mailbox is closed.
    pub fn run(&self, jobs: &Mailbox<SaveJob>, out: &SyncSender<Message>) {
        use_threads(1);
        while let Some(job) = jobs.take() {
            let parts: Vec<Part<'_>> =
                job.arms.iter().map(|(name, plan, copy)| Part { name, plan, copy }).collect();
            let result = guarded(|| {
                checkpoint::write(&self.root, &job.moment, &parts, self.keep)
                    .map(|dir| self.event(job.moment.step, &dir))
                    .map_err(|e| e.to_string())
            })
            .map_err(|e| format!("checkpoint of step {} not written: {e}", job.moment.step));
            if out.send(Message::SaveDone(result)).is_err() {
                return;
            }
        }
    }

    fn event(&self, step: u64, dir: &Path) -> Event {
        let t = self.start.elapsed().as_secs_f64();
        Event::Checkpoint(CheckpointWritten { step, t, dir: dir.display().to_string() })
    }
}
