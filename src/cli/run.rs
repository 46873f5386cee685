//! `landscope run`

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use color_eyre::eyre::{Report, Result};

use super::FAILED;
use super::args::{OutputFormat, RunArgs};
use crate::config::{self, Experiment, Override};
use crate::engine::{Ending, Engine, EngineError, Options, Place};
use crate::headless;
use crate::link::Client;
use crate::record::{folder, log};
use crate::telemetry::event::RunStatus;
use crate::telemetry::snapshot::Phase;
use crate::train::tune;
use crate::ui;

/// How long the dashboard waits for the engine to refuse the run: a wrong data folder is then told on a plain terminal,
/// and a first frame is still there within half a second.
const REFUSAL_WAIT: Duration = Duration::from_millis(150);

/// Trains, on a dashboard if stdout is a terminal.
pub fn run(args: &RunArgs, start: Instant) -> Result<ExitCode> {
    let (experiment, options) = ordered(args)?;
    tune::tune(&experiment.arms);
    log::install();
    if args.headless || !std::io::stdout().is_terminal() {
        let format = match args.format {
            OutputFormat::Text => headless::Format::Text,
            OutputFormat::Json => headless::Format::Json,
        };
        let outcome = headless::run(experiment, options, format, start)?;
        if outcome.reader_left {
            let folder = outcome.ending.folder.display();
            eprintln!(
                "landscope: nobody reads stdout any more; the run was stopped, its folder is {folder}"
            );
        }
        return Ok(status(&outcome.ending));
    }
    dashboard(experiment, options, args, start)
}

fn dashboard(
    experiment: Experiment,
    options: Options,
    args: &RunArgs,
    start: Instant,
) -> Result<ExitCode> {
    let (engine, client) = Engine::start(experiment, options, start)?;
    wait_for_refusal(&engine, &client);
    if !engine.has_ended() {
        let left = ui::run(client, &ui::Options { ascii: args.ascii, start });
        match left {
            Ok(ui::Left::Done) => {}
            // 128 + SIGINT, as shells say it.
            Ok(ui::Left::Abandoned) => return Ok(ExitCode::from(130)),
            Err(error) => {
                // The engine has been asked to stop: its checkpoint is waited for, then the reason is told.
                let _ = engine.join();
                return Err(Report::new(error).wrap_err("terminal"));
            }
        }
    }
    let ending = engine.join()?;
    let word = match ending.status {
        RunStatus::Finished => "finished",
        RunStatus::Stopped => "stopped",
        RunStatus::Failed => "failed",
    };
    println!("{word}: {}", ending.folder.display());
    Ok(status(&ending))
}

/// Waits until the engine has refused the run, has passed its first checks, or the time is up.
fn wait_for_refusal(engine: &Engine, client: &Client) {
    let begun = Instant::now();
    while begun.elapsed() < REFUSAL_WAIT
        && !engine.has_ended()
        && matches!(client.snapshot().phase, Phase::Starting(_))
    {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What the arguments ask for: a new run, one to go on with, or one to be made again.
fn ordered(args: &RunArgs) -> Result<(Experiment, Options)> {
    let mut overrides =
        args.set.iter().map(|s| Override::parse(s)).collect::<Result<Vec<_>, _>>()?;
    if let Some(steps) = args.steps {
        let steps = i64::try_from(steps).unwrap_or(i64::MAX);
        overrides.push(Override::flag(&format!("--steps {steps}"), "steps", steps));
    }
    if let Some(epochs) = args.epochs {
        overrides.push(Override::flag(&format!("--epochs {epochs}"), "epochs", epochs));
    }
    if let Some(device) = &args.device {
        overrides.push(Override::flag(&format!("--device {device}"), "device", device.as_str()));
    }
    let earlier = |name: &str| -> Result<(PathBuf, Experiment)> {
        let folder = folder::find(name, &args.out).map_err(EngineError::from)?;
        let file = folder.join(folder::RUN_FILE);
        let experiment = config::load(&file.to_string_lossy(), &overrides)?;
        Ok((folder, experiment))
    };
    let below = Place::Below(args.out.clone());
    Ok(match (&args.resume, &args.replay) {
        (Some(name), _) => {
            let (folder, experiment) = earlier(name)?;
            (experiment, Options::at(Place::Resume(folder)))
        }
        (None, Some(name)) => {
            let (folder, experiment) = earlier(name)?;
            (experiment, Options { replay: Some(folder), ..Options::at(below) })
        }
        (None, None) => (config::load(&args.config, &overrides)?, Options::at(below)),
    })
}

fn status(ending: &Ending) -> ExitCode {
    match ending.status {
        RunStatus::Finished | RunStatus::Stopped => ExitCode::SUCCESS,
        RunStatus::Failed => ExitCode::from(FAILED),
    }
}
