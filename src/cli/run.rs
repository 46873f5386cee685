//! `landscope run`

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use color_eyre::eyre::Result;

use super::args::{OutputFormat, RunArgs};
use super::say::complain;
use super::watch::{Look, watch};
use super::{FAILED, engine};
use crate::config::{self, Experiment, Override};
use crate::engine::{Ending, EngineError, Options, Place};
use crate::headless;
use crate::link::dial;
use crate::record::{folder, log};
use crate::telemetry::event::RunStatus;
use crate::telemetry::snapshot::{Phase, RunHeader, Snapshot};
use crate::train::tune;

/// Trains, on a dashboard if stdout is a terminal.
pub fn run(args: &RunArgs, start: Instant) -> Result<ExitCode> {
    let (experiment, options) = ordered(args)?;
    let _ = tune::tune(&experiment.arms);
    log::install();
    if args.headless || !std::io::stdout().is_terminal() {
        let format = match args.format {
            OutputFormat::Text => headless::Format::Text,
            OutputFormat::Json => headless::Format::Json,
        };
        let options = Options { serve: true, ..options };
        let outcome = headless::run(experiment, options, format, start)?;
        if outcome.reader_left {
            let folder = outcome.ending.folder.display();
            complain(format_args!(
                "nobody reads stdout any more; the run was stopped, its folder is {folder}"
            ));
        }
        return Ok(status(&outcome.ending));
    }
    dashboard(&experiment, &options, args)
}

/// Starts the engine in a process of its own and shows it.
fn dashboard(experiment: &Experiment, options: &Options, args: &RunArgs) -> Result<ExitCode> {
    let look = Look { ascii: args.ascii, readonly: args.readonly, tunnelled: false };
    // Of a new run, run.toml says everything.
    let sets = if args.resume.is_some() { lengths(args) } else { Vec::new() };
    let engine = engine::start(experiment, options, &sets)?;
    let phase = Phase::Starting("starting the engine".to_owned());
    let folder = engine.folder.display().to_string();
    let run = RunHeader { name: experiment.name.clone(), folder, ..RunHeader::default() };
    let initial = Snapshot { run, phase, ..Snapshot::default() };
    let child = engine.clone();
    let died = move || child.has_died();
    let (client, fate) =
        dial::attach_when_ready(engine.socket.clone(), look.wants(), initial, died)?;
    let code = watch(client, &fate, look, || engine.last_words());
    engine.clear_if_refused();
    code
}

/// The flags that a run which is taken up again may change.
fn lengths(args: &RunArgs) -> Vec<String> {
    let steps = args.steps.map(|n| format!("steps={n}"));
    let epochs = args.epochs.map(|n| format!("epochs={n:?}"));
    let device = args.device.as_ref().map(|d| format!("device={d}"));
    [steps, epochs, device].into_iter().flatten().collect()
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

/// A run's end as an exit status.
pub fn status(ending: &Ending) -> ExitCode {
    match ending.status {
        RunStatus::Finished | RunStatus::Stopped => ExitCode::SUCCESS,
        RunStatus::Failed => ExitCode::from(FAILED),
    }
}
