//! `landscope run`

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use color_eyre::eyre::{Result, WrapErr};

use super::args::{OutputFormat, RunArgs};
use super::live::refuse;
use super::say::complain;
use super::watch::{Look, watch};
use super::{FAILED, engine as engine_process};
use crate::config::{self, ConfigError, DEFAULT_CONFIG, Experiment, Length, Override};
use crate::engine::{self, Ending, EngineError, Options, Place};
use crate::headless;
use crate::link::dial;
use crate::record::{folder, log};
use crate::signals::{HangUp, stop_flag};
use crate::telemetry::event::RunStatus;
use crate::telemetry::snapshot::{Phase, RunHeader, Snapshot};
use crate::train::tune;

/// What `--resume` takes in place of a run's name.
const AUTO: &str = "auto";

/// Trains, on a dashboard if stdout is a terminal.
pub fn run(args: &RunArgs, start: Instant) -> Result<ExitCode> {
    let headless = args.headless || !std::io::stdout().is_terminal();
    // Before anything that takes time: a signal may come at any moment.
    let stop = headless.then(|| stop_flag(HangUp::Ends)).transpose().wrap_err("signals")?;
    let (experiment, options) = match ordered(args)? {
        Ok(ordered) => ordered,
        Err(text) => return Ok(refuse(&text)),
    };
    let _ = tune::tune(&experiment.arms);
    log::install();
    if let Some(stop) = stop {
        let format = match args.format {
            OutputFormat::Text => headless::Format::Text,
            OutputFormat::Json => headless::Format::Json,
        };
        let options = Options { serve: true, ..options };
        let outcome = headless::run(experiment, options, format, start, &stop)?;
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
    let look =
        Look { characters: args.characters.forced(), readonly: args.readonly, tunnelled: false };
    // Of a new run, run.toml says everything.
    let resumed = matches!(options.place, Place::Resume(_));
    let sets = if resumed { lengths(experiment) } else { Vec::new() };
    let engine = engine_process::start(experiment, options, &sets)?;
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

/// What may have changed in a run that is taken up again, for the process that loads its `run.toml`.
fn lengths(experiment: &Experiment) -> Vec<String> {
    let length = match experiment.length {
        Length::Steps(n) => format!("steps={n}"),
        Length::Epochs(n) => format!("epochs={n:?}"),
    };
    vec![length, format!("device={}", experiment.device)]
}

/// What the arguments ask for: a new run, one to go on with, or one to be made again; or why they cannot be had.
fn ordered(args: &RunArgs) -> Result<Result<(Experiment, Options), String>> {
    let mut lengths = Vec::new();
    if let Some(steps) = args.steps {
        let steps = i64::try_from(steps).unwrap_or(i64::MAX);
        lengths.push(Override::flag(&format!("--steps {steps}"), "steps", steps));
    }
    if let Some(epochs) = args.epochs {
        lengths.push(Override::flag(&format!("--epochs {epochs}"), "epochs", epochs));
    }
    if let Some(device) = &args.device {
        lengths.push(Override::flag(&format!("--device {device}"), "device", device.as_str()));
    }
    let sets = args.set.iter().map(|s| Override::parse(s)).collect::<Result<Vec<_>, _>>()?;
    let auto = args.resume.as_deref() == Some(AUTO);
    if args.resume.is_some() && !auto && (args.config.is_some() || !sets.is_empty()) {
        let text = "--resume RUN goes on with that run's own config; CONFIG and --set go with \
                    --resume auto alone";
        return Ok(Err(text.to_owned()));
    }
    let below = Place::Below(args.out.clone());
    let earlier = |name: &str| folder::find(name, &args.out).map_err(EngineError::from);
    Ok(Ok(match (&args.resume, &args.replay) {
        (Some(name), _) if !auto => {
            let folder = earlier(name)?;
            (load_run(&folder, &lengths)?, Options::at(Place::Resume(folder)))
        }
        (None, Some(name)) => {
            let folder = earlier(name)?;
            let experiment = load_run(&folder, &lengths)?;
            (experiment, Options { replay: Some(folder), ..Options::at(below) })
        }
        _ => {
            let config = args.config.as_deref().unwrap_or(DEFAULT_CONFIG);
            let overrides: Vec<_> = sets.into_iter().chain(lengths).collect();
            let experiment = config::load(config, &overrides)?;
            let found = if auto { unfinished(&experiment, &args.out) } else { None };
            match found {
                Some((folder, experiment)) => (experiment, Options::at(Place::Resume(folder))),
                None => (experiment, Options::at(below)),
            }
        }
    }))
}

fn load_run(folder: &Path, overrides: &[Override]) -> Result<Experiment, ConfigError> {
    config::load(&folder.join(folder::RUN_FILE).to_string_lossy(), overrides)
}

/// The newest run of this experiment below `out` that has steps left and that nobody trains in. What was found, or why
/// a run that may be meant was not taken, is told on stderr.
fn unfinished(wanted: &Experiment, out: &Path) -> Option<(PathBuf, Experiment)> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for folder in folder::unfinished(&wanted.name, out) {
        // A run whose config this version cannot read is none that it could go on with.
        let Ok(found) = load_run(&folder, &[]) else { continue };
        if let Some(differs) = wanted.differs_from(&found) {
            complain(format_args!("--resume auto: {} is left alone: {differs}", name(&folder)));
        } else if let Err(error) = engine::lock(&folder) {
            complain(format_args!("--resume auto: {error}"));
        } else {
            complain(format_args!("--resume auto: going on with {}", folder.display()));
            let Experiment { length, device, .. } = *wanted;
            return Some((folder, Experiment { length, device, ..found }));
        }
    }
    let text = "no unfinished run of this config below";
    complain(format_args!("--resume auto: {text} {}: beginning one", out.display()));
    None
}

/// A run's end as an exit status.
pub fn status(ending: &Ending) -> ExitCode {
    match ending.status {
        RunStatus::Finished | RunStatus::Stopped => ExitCode::SUCCESS,
        RunStatus::Failed => ExitCode::from(FAILED),
    }
}
