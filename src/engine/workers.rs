//! The threads `arm-NAME`: each runs one worker and tells how it ended, well, in error or in panic.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};

use super::message::Message;
use crate::telemetry::snapshot::ArmState;
use crate::train::lockstep::Place;
use crate::train::worker::{Directive, Report, Worker, WorkerError};

/// Starts a worker's thread.
///
/// # Errors
/// When the system has no thread left.
pub fn spawn(
    worker: Worker,
    place: Place<Directive>,
    out: SyncSender<Message>,
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
        drop(place);
        let _ = out.send(Message::Worker(Report::Ended { arm: id }));
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
