//! The same run without a screen: events as JSON lines or as text on stdout, a progress bar on stderr.

mod report;
mod stdout;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::config::Experiment;
use crate::engine::{Ending, Engine, EngineError, Options};
use crate::link::Client;
use crate::record::Recorder;
use crate::record::metrics::JsonLines;
use crate::telemetry::command::Command;
use crate::telemetry::snapshot::{Phase, Snapshot};
use report::TextReport;
pub use stdout::Stdout;

/// How often the engine's end, a signal and a closed stdout are looked for.
const TICK: Duration = Duration::from_millis(50);

/// What stdout is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Lines for people, with a summary.
    #[default]
    Text,
    /// One event a line.
    Json,
}

/// How a headless run ended.
#[derive(Debug)]
pub struct Outcome {
    /// How the engine ended.
    pub ending: Ending,
    /// Whether stdout's reader left before the end.
    pub reader_left: bool,
}

/// Runs an experiment to its end, until `stop` is set (a checkpoint is written), or until nobody reads stdout.
///
/// # Errors
/// Why the run could not be started.
pub fn run(
    experiment: Experiment,
    mut options: Options,
    format: Format,
    start: Instant,
    stop: &AtomicBool,
) -> Result<Outcome, EngineError> {
    let stdout = Stdout;
    let bar = progress_bar();
    let recorder: Box<dyn Recorder> = match format {
        Format::Json => Box::new(JsonLines::new(stdout)),
        Format::Text => Box::new(TextReport::new(stdout, bar.clone())),
    };
    options.recorders.push(recorder);
    let (engine, client) = Engine::start(experiment, options, start)?;
    attend(&engine, &client, stop, &bar);
    bar.finish_and_clear();
    let ending = engine.join()?;
    Ok(Outcome { ending, reader_left: stdout.is_closed() })
}

/// Runs an experiment to its end or until `stop` is set (a checkpoint is written), for viewers of other processes alone.
/// Nothing is printed.
///
/// # Errors
/// Why the run could not be started.
pub fn serve(
    experiment: Experiment,
    options: Options,
    start: Instant,
    stop: &AtomicBool,
) -> Result<Ending, EngineError> {
    let (engine, client) = Engine::start(experiment, options, start)?;
    attend(&engine, &client, stop, &ProgressBar::hidden());
    engine.join()
}

/// Waits for the engine's end; asks it to stop once that is wanted, or nobody reads any more.
fn attend(engine: &Engine, client: &Client, stop: &AtomicBool, bar: &ProgressBar) {
    let mut stopping = false;
    while !engine.has_ended() {
        if (stop.load(Ordering::Relaxed) || Stdout.is_closed()) && !stopping {
            // An engine that is too busy to take the request is asked again at the next tick.
            stopping = client.send(Command::Stop).is_ok();
        }
        show(bar, &client.snapshot());
        thread::sleep(TICK);
    }
}

/// A bar on stderr, if that is a terminal.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
    let style = "{bar:30} step {pos}/{len}  {per_sec:>10}  {eta} left  {msg}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, snapshot: &Snapshot) {
    if bar.is_hidden() {
        return;
    }
    bar.set_length(snapshot.run.steps);
    bar.set_position(snapshot.step);
    bar.set_message(match &snapshot.phase {
        Phase::Starting(what) => what.clone(),
        Phase::Finishing => "last evaluations, maps and checkpoint".to_owned(),
        _ => losses(snapshot),
    });
}

fn losses(snapshot: &Snapshot) -> String {
    let one = |arm: &crate::telemetry::snapshot::ArmView| {
        arm.latest.as_ref().map(|s| format!("{} {:.3}", arm.info.name, s.loss))
    };
    snapshot.arms.values().filter_map(one).collect::<Vec<_>>().join("  ")
}
