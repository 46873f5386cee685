//! The threads `arm-NAME`: each runs one worker and tells how it ended, well, in error or in panic.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};

use super::message::Message;
use super::planes::PlaneBoard;
use crate::arm::ArmId;
use crate::config::TrajectorySpec;
use crate::telemetry::snapshot::ArmState;
use crate::train::lockstep::Place;
use crate::train::worker::{Course, Directive, PlaneSource, Report, Worker, WorkerError};

/// Which arms are at work, told by their own threads: what the conductor may ask of an arm at the gate.
#[derive(Clone, Debug, Default)]
pub struct AtWork(Arc<AtomicU64>);

impl AtWork {
    fn bit(arm: ArmId) -> u64 {
        1 << arm.index().min(63)
    }

    /// This one is from now on.
    pub fn begins(&self, arm: ArmId) {
        self.0.fetch_or(Self::bit(arm), Ordering::SeqCst);
    }

    fn ends(&self, arm: ArmId) {
        self.0.fetch_and(!Self::bit(arm), Ordering::SeqCst);
    }

    /// Whether this one is.
    pub fn is(&self, arm: ArmId) -> bool {
        self.0.load(Ordering::SeqCst) & Self::bit(arm) != 0
    }
}

/// What it takes to start a worker of a run.
pub struct Crew {
    pub course: Course,
    pub at_work: AtWork,
    pub out: SyncSender<Message>,
    /// Where the planes of paths are told; none if no path is kept.
    pub board: Option<Arc<PlaneBoard>>,
    /// How paths are kept.
    pub trajectory: TrajectorySpec,
}

impl Crew {
    /// Where a worker gets the plane of its path.
    pub fn plane_of(&self, arm: ArmId) -> PlaneSource {
        match self.board.clone() {
            None => Box::new(|_| None),
            Some(board) => {
                Box::new(move |step| Some(Arc::clone(&board.for_steps(arm, step)?.axes.flat)))
            }
        }
    }

    /// Starts a worker's thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn hire(&self, worker: Worker, place: Place<Directive>) -> std::io::Result<JoinHandle<()>> {
        let id = worker.id;
        self.at_work.begins(id);
        let started = spawn(worker, place, self.out.clone(), self.at_work.clone());
        started.inspect_err(|_| self.at_work.ends(id))
    }
}

fn spawn(
    worker: Worker,
    place: Place<Directive>,
    out: SyncSender<Message>,
    at_work: AtWork,
) -> std::io::Result<JoinHandle<()>> {
    let (id, arm) = (worker.id, worker.spec.name.clone());
    thread::Builder::new().name(format!("arm-{arm}")).spawn(move || {
        let reports = out.clone();
        let outlet = Box::new(move |report| {
            reports.send(Message::Worker(report)).map_err(|_| WorkerError::Gone)
        });
        // Nothing of the worker is looked at after a panic but its place, whose drop lets the others go on.
        let ended = catch_unwind(AssertUnwindSafe(|| worker.run(&place, outlet)));
        let failure = match ended {
            Ok(Ok(()) | Err(WorkerError::Gone)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(payload) => Some(format!("panic: {}", panic_text(payload.as_ref()))),
        };
        if let Some(text) = failure {
            tracing::error!("arm {arm}: {text}");
            let _ =
                out.send(Message::Worker(Report::State { arm: id, state: ArmState::Failed(text) }));
        }
        at_work.ends(id);
        // Told before the others go on, so that nothing of a later step mixes with what this arm leaves unfinished.
        let _ = out.send(Message::Worker(Report::Ended { arm: id }));
        drop(place);
    })
}

/// Runs a job of a thread beside the arms; a panic ends the job, not the thread, so that whoever waits for the job is
/// told.
pub fn guarded<T>(job: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    // What a job leaves behind half done is its own: the next one starts from its own data.
    catch_unwind(AssertUnwindSafe(job))
        .unwrap_or_else(|payload| Err(format!("panic: {}", panic_text(payload.as_ref()))))
}

/// What a panic said, on one line.
pub fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "without a word".to_owned())
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}
