//! The thread `eval`: the test set under copies of the arms' weights, while the arms go on.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use super::mailbox::Mailbox;
use super::message::Message;
use super::workers::guarded;
use crate::arm::ArmName;
use crate::data::Split;
use crate::landscape::whole_split::evaluate;
use crate::model::{Plan, Weights};
use crate::telemetry::event::{EvalSample, Event};
use crate::train::device::use_threads;

/// One arm's weights to be tested.
pub struct EvalJob {
    /// Whose.
    pub name: ArmName,
    /// Its network.
    pub plan: Arc<Plan>,
    /// Steps done.
    pub step: u64,
    /// Its weights.
    pub weights: Weights,
}

/// Evaluates jobs until the mailbox is closed.
pub fn run(jobs: &Mailbox<EvalJob>, test: &Split, out: &SyncSender<Message>, start: Instant) {
    use_threads(1);
    while let Some(job) = jobs.take() {
        let result = guarded(|| {
            let tally = evaluate(&job.plan, &job.weights, test).map_err(|e| e.to_string())?;
            Ok(Event::Eval(EvalSample {
                arm: job.name.clone(),
                step: job.step,
                t: start.elapsed().as_secs_f64(),
                test_loss: tally.mean_loss(),
                test_err: 1.0 - tally.accuracy(),
            }))
        })
        .map_err(|e| format!("the test set could not be evaluated for {}: {e}", job.name));
        if out.send(Message::EvalDone(result)).is_err() {
            return;
        }
    }
}
