//! `landscope bench`: medians and ratios of runs made in turn, in one sitting.

mod surface;
mod trajectory;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use color_eyre::eyre::{Result, WrapErr, bail};

use super::args::BenchArgs;
use super::say::say;
use crate::config::{self, DataKind, Experiment, Override};
use crate::engine::{Engine, Options, Place};
use crate::record::Recorder;
use crate::telemetry::event::Event;
use crate::train::tune;
use crate::ui::Offscreen;

/// A cadence that no run reaches.
const NEVER: i64 = 1_000_000_000;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Subject {
    /// Every step and layer recorded, dashboard drawn off screen at 160x48.
    Telemetry,
    /// That, and the arms' paths as the config keeps them.
    Path,
    /// Nothing recorded but the first and the last step, nothing drawn.
    Bare,
}

/// Runs everything in turn and prints medians and ratios.
pub fn bench(args: &BenchArgs) -> Result<ExitCode> {
    if args.surface {
        return surface::bench(args);
    }
    if args.trajectory {
        return trajectory::bench(args);
    }
    let own = tune::tune(&experiment(args, Subject::Telemetry)?.arms);
    let (mut steps, mut with, mut bare, mut peer) = (vec![], vec![], vec![], vec![]);
    for round in 1..=args.rounds {
        let telemetry = time(args, Subject::Telemetry)?;
        let nothing = time(args, Subject::Bare)?;
        let mut line = format!(
            "round {round}: mean step {:.1} ms, {:.1} ms without telemetry; median step {:.1} ms",
            telemetry.mean_ms, nothing.mean_ms, telemetry.median_ms
        );
        steps.push(telemetry.median_ms);
        with.push(telemetry.mean_ms);
        bare.push(nothing.mean_ms);
        if let Some(dir) = &args.peer {
            let figure = peer_ms(args, dir, own)?;
            line += &format!(", peer's {figure:.1} ms");
            peer.push(figure);
        }
        say(format_args!("{line}"));
    }
    say(format_args!("medians of {} rounds, in turn, maps off:", args.rounds));
    // Ratios round by round first: what else the machine does changes from round to round, and meets both sides.
    let cost = ratios(&with, &bare);
    say(format_args!(
        "  mean step, all telemetry and a 160x48 dashboard   {:8.1} ms",
        median(with)
    ));
    say(format_args!(
        "  mean step, nothing recorded or drawn              {:8.1} ms",
        median(bare)
    ));
    say(format_args!(
        "  telemetry costs                                   {:8.1} %",
        (cost - 1.0) * 100.0
    ));
    let faster = ratios(&peer, &steps);
    say(format_args!(
        "  median twin step, all telemetry                   {:8.1} ms",
        median(steps)
    ));
    if !peer.is_empty() {
        say(format_args!(
            "  median twin step of peer_train.py                 {:8.1} ms",
            median(peer)
        ));
        say(format_args!("  peer over landscope                               {faster:8.2} times"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The median of the ratios of figures taken in the same rounds; NaN without any.
fn ratios(above: &[f64], below: &[f64]) -> f64 {
    let ratios: Vec<f64> = above.iter().zip(below).map(|(a, b)| a / b).collect();
    if ratios.is_empty() { f64::NAN } else { median(ratios) }
}

/// How long a twin step takes, from one step's end to the next one's.
struct Timing {
    /// Over the whole run, evaluations beside it included, milliseconds.
    mean_ms: f64,
    /// As the peer tells it, milliseconds; NaN if the steps between were not told.
    median_ms: f64,
}

/// Times one run.
fn time(args: &BenchArgs, subject: Subject) -> Result<Timing> {
    let out = std::env::temp_dir().join(format!("landscope-bench-{}", std::process::id()));
    let experiment = experiment(args, subject)?;
    let (sender, receiver) = sync_channel(1);
    let recorder = Box::new(StepTimes { times: Vec::new(), to: sender });
    let place = Place::Below(out.clone());
    let options = Options { recorders: vec![recorder], ..Options::at(place) };
    let (engine, client) = Engine::start(experiment, options, Instant::now())?;
    let ending = match subject {
        Subject::Telemetry | Subject::Path => {
            let mut screen = Offscreen::new(160, 48);
            while !engine.has_ended() {
                screen.draw(&client.snapshot());
                std::thread::sleep(Offscreen::FRAME);
            }
            engine.join()
        }
        Subject::Bare => {
            drop(client);
            engine.join()
        }
    };
    // Whatever became of the run, its folder goes.
    let removed = std::fs::remove_dir_all(&out);
    ending?;
    removed.wrap_err_with(|| out.display().to_string())?;
    timing(&receiver, args.steps)
}

/// The run that is timed: the config's, without maps.
fn experiment(args: &BenchArgs, subject: Subject) -> Result<Experiment> {
    let mut overrides =
        args.set.iter().map(|s| Override::parse(s)).collect::<Result<Vec<_>, _>>()?;
    match subject {
        // As often as in the config's own run, however short this one is.
        Subject::Path => {
            let own = config::load(&args.config, &overrides)?;
            let every = i64::try_from(trajectory::every(&own)?)?;
            overrides.push(Override::flag("bench", "trajectory.every", every));
        }
        Subject::Telemetry | Subject::Bare => {
            overrides.push(Override::flag("bench", "trajectory.keep", 0));
        }
    }
    overrides.push(Override::flag("bench", "steps", i64::try_from(args.steps)?));
    overrides.push(Override::flag("bench", "map.every", 0));
    if subject == Subject::Bare {
        overrides.push(Override::flag("bench", "record.every", NEVER));
    }
    Ok(config::load(&args.config, &overrides)?)
}

/// Hands the moments of the steps to the bench at the end of the run: at every step there is one moment per arm.
struct StepTimes {
    times: Vec<(u64, f64)>,
    to: std::sync::mpsc::SyncSender<Vec<(u64, f64)>>,
}

impl Recorder for StepTimes {
    fn record(&mut self, event: &Event) -> std::io::Result<()> {
        match event {
            Event::Step(s) => self.times.push((s.step, s.t)),
            Event::Done(_) => drop(self.to.try_send(std::mem::take(&mut self.times))),
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Figures of the run that `times` tells: a step ends when its slowest arm has.
fn timing(times: &Receiver<Vec<(u64, f64)>>, steps: u64) -> Result<Timing> {
    let times = times.recv().wrap_err("the run told no step")?;
    let mut ends: BTreeMap<u64, f64> = BTreeMap::new();
    for (step, t) in times {
        ends.entry(step).and_modify(|end| *end = end.max(t)).or_insert(t);
    }
    let (Some(first), Some(last)) = (ends.get(&1), ends.get(&steps)) else {
        bail!("the run ended early")
    };
    let mean_ms = (last - first) * 1e3 / (steps - 1) as f64;
    let between: Vec<f64> = ends.values().zip(ends.values().skip(1)).map(|(a, b)| b - a).collect();
    let whole = ends.len() as u64 == steps;
    Ok(Timing { mean_ms, median_ms: if whole { median(between) * 1e3 } else { f64::NAN } })
}

/// The peer's own figure, milliseconds; without the environment variable `own`, which is for this program.
fn peer_ms(args: &BenchArgs, dir: &Path, own: Option<&str>) -> Result<f64> {
    let script = dir.join("peer_train.py");
    let experiment = experiment(args, Subject::Telemetry)?;
    let mut command = Command::new(&args.python);
    command.arg(&script);
    // The peer runs as PyTorch does by itself.
    if let Some(variable) = own {
        command.env_remove(variable);
    }
    if let Some(arm) = experiment.arms.values().next() {
        let colour = matches!(experiment.data.kind, DataKind::Cifar10 | DataKind::Cifar100);
        let batch = i64::try_from(arm.train.batch)?;
        for (flag, value) in [
            ("--depth", arm.model.depth),
            ("--width", arm.model.width * arm.model.widen),
            ("--size", experiment.data.size.unwrap_or(if colour { 32 } else { 28 })),
            ("--channels", if colour { 3 } else { 1 }),
            ("--batch", batch),
        ] {
            command.arg(flag).arg(value.to_string());
        }
    }
    let run = command.output();
    let run = run.wrap_err_with(|| format!("--python {}", args.python.display()))?;
    let said = String::from_utf8_lossy(&run.stdout);
    let line = said.lines().last().unwrap_or_default();
    let figure = serde_json::from_str::<serde_json::Value>(line)
        .ok()
        .and_then(|v| v.get("twin_step_ms")?.as_f64());
    let Some(figure) = figure else {
        let why = String::from_utf8_lossy(&run.stderr);
        bail!("{}: {}", script.display(), why.lines().last().unwrap_or("printed no twin_step_ms"))
    };
    Ok(figure)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (values[(n - 1) / 2] + values[n / 2]) / 2.0
}
