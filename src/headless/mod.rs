//! The same run without a screen: events as JSON lines or as text on stdout, a progress bar on stderr.

mod report;
mod stdout;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Experiment;
use crate::engine::{Ending, Engine, EngineError, Options};
use crate::link::Client;
use crate::record::Recorder;
use crate::record::metrics::JsonLines;
use crate::telemetry::command::Command;
use crate::telemetry::snapshot::{Phase, Snapshot};
use report::TextReport;
use stdout::Stdout;

/// How often the engine's end and a closed stdout are looked for.
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

/// Runs an experiment to its end, to a signal (INT, TERM, HUP: a checkpoint is written), or until nobody reads stdout.
///
/// # Errors
/// Why the run could not be started.
pub fn run(
    experiment: Experiment,
    mut options: Options,
    format: Format,
    start: Instant,
) -> Result<Outcome, EngineError> {
    let stdout = Stdout::default();
    let closed = stdout.closed();
    let bar = progress_bar();
    let recorder: Box<dyn Recorder> = match format {
        Format::Json => Box::new(JsonLines::new(stdout)),
        Format::Text => Box::new(TextReport::new(stdout, bar.clone())),
    };
    options.recorders.push(recorder);
    let (engine, client) = Engine::start(experiment, options, start)?;
    attend(&engine, &client, HangUp::Stops, &closed, &bar)?;
    bar.finish_and_clear();
    let ending = engine.join()?;
    Ok(Outcome { ending, reader_left: closed.load(Ordering::Relaxed) })
}

/// Runs an experiment to its end or to a signal (INT, TERM: a checkpoint is written), for viewers of other processes
/// alone. Nothing is printed, and a terminal's end is not its end.
///
/// # Errors
/// Why the run could not be started.
pub fn serve(
    experiment: Experiment,
    options: Options,
    start: Instant,
) -> Result<Ending, EngineError> {
    let (engine, client) = Engine::start(experiment, options, start)?;
    attend(&engine, &client, HangUp::Ignored, &Closed::default(), &ProgressBar::hidden())?;
    engine.join()
}

/// What a terminal's end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HangUp {
    Stops,
    Ignored,
}

/// Waits for the engine's end; asks it to stop on a signal, or once nobody reads any more.
fn attend(
    engine: &Engine,
    client: &Client,
    hang_up: HangUp,
    closed: &Closed,
    bar: &ProgressBar,
) -> Result<(), EngineError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(EngineError::Thread)?;
    runtime.block_on(async {
        let mut signals = Signals::new(hang_up).map_err(EngineError::Thread)?;
        let mut stopping = false;
        while !engine.has_ended() {
            let asked = tokio::select! {
                () = tokio::time::sleep(TICK) => false,
                () = signals.next() => true,
            };
            if (asked || closed.load(Ordering::Relaxed)) && !stopping {
                stopping = ask_to_stop(client);
            }
            show(bar, &client.snapshot());
        }
        Ok(())
    })
}

/// False if the engine is too busy to take the request: it is asked again at the next tick.
fn ask_to_stop(client: &Client) -> bool {
    client.send(Command::Stop).is_ok()
}

/// The signals that end a run. Taken up before the first, so that none ends the program by itself; a second one does.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    on_hang_up: HangUp,
    /// Sent when a file has grown to its limit. Taken up so that it does not end the program: the write that did it
    /// fails, and that is told.
    _too_large: tokio::signal::unix::Signal,
    seen: bool,
}

impl Signals {
    fn new(on_hang_up: HangUp) -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            on_hang_up,
            _too_large: signal(SignalKind::from_raw(libc::SIGXFSZ))?,
            seen: false,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = hung_up(&mut self.hang_up, self.on_hang_up) => {}
        }
        if std::mem::replace(&mut self.seen, true) {
            // Asked twice: whoever asks does not want to wait for the checkpoint. 128 + SIGINT, as shells say it.
            std::process::exit(130);
        }
    }
}

/// Waits for a hang-up that means something.
async fn hung_up(signal: &mut tokio::signal::unix::Signal, meaning: HangUp) {
    while signal.recv().await.is_some() {
        if meaning == HangUp::Stops {
            return;
        }
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

/// Shares whether stdout's reader has left.
type Closed = Arc<std::sync::atomic::AtomicBool>;
