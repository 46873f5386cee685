//! `landscope bench`: medians and ratios of runs made in turn, in one sitting.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use color_eyre::eyre::{Result, WrapErr, bail};

use super::args::BenchArgs;
use crate::config::{self, DataKind, Experiment, Override};
use crate::engine::{Engine, Options};
use crate::record::Recorder;
use crate::telemetry::event::Event;
use crate::ui::Offscreen;

/// A cadence that no run reaches.
const NEVER: i64 = 1_000_000_000;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Subject {
    /// Every step and layer recorded, dashboard drawn off screen at 160x48.
    Telemetry,
    /// Nothing recorded but the first and the last step, nothing drawn.
    Bare,
}

/// Runs everything in turn and prints medians and ratios.
pub fn bench(args: &BenchArgs) -> Result<ExitCode> {
    let (mut with, mut bare, mut peer) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        with.push(twin_step_ms(args, Subject::Telemetry)?);
        bare.push(twin_step_ms(args, Subject::Bare)?);
        let mut line = format!(
            "round {round}: twin step {:.1} ms, {:.1} ms without telemetry",
            with[with.len() - 1],
            bare[bare.len() - 1]
        );
        if let Some(dir) = &args.peer {
            peer.push(peer_ms(args, dir)?);
            line += &format!(", peer {:.1} ms", peer[peer.len() - 1]);
        }
        println!("{line}");
    }
    let (with, bare) = (median(with), median(bare));
    println!("twin step, all telemetry on, maps off   {with:8.1} ms (median of {})", args.rounds);
    println!("the same without telemetry              {bare:8.1} ms");
    println!("telemetry costs                         {:8.1} %", (with / bare - 1.0) * 100.0);
    if !peer.is_empty() {
        let peer = median(peer);
        println!("peer_train.py (PyTorch eager)           {peer:8.1} ms");
        println!("peer over landscope                     {:8.2} times", peer / with);
    }
    Ok(ExitCode::SUCCESS)
}

/// Mean wall time of a twin step, milliseconds.
fn twin_step_ms(args: &BenchArgs, subject: Subject) -> Result<f64> {
    let out = std::env::temp_dir().join(format!("landscope-bench-{}", std::process::id()));
    let experiment = experiment(args, subject)?;
    let (sender, receiver) = sync_channel(1);
    let recorder = Box::new(StepTimes { times: Vec::new(), to: sender });
    let options = Options { out: out.clone(), recorders: vec![recorder], fault: None };
    let (engine, client) = Engine::start(experiment, options, Instant::now())?;
    let ending = match subject {
        Subject::Telemetry => {
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
    period(&receiver, args.steps)
}

/// The run that is timed: the config's, without maps.
fn experiment(args: &BenchArgs, subject: Subject) -> Result<Experiment> {
    let mut overrides =
        args.set.iter().map(|s| Override::parse(s)).collect::<Result<Vec<_>, _>>()?;
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

/// Milliseconds a step: the mean from the first step's end to the last's, the only two that both subjects tell.
fn period(times: &Receiver<Vec<(u64, f64)>>, steps: u64) -> Result<f64> {
    let times = times.recv().wrap_err("the run told no step")?;
    let at = |step: u64| times.iter().filter(|(s, _)| *s == step).map(|(_, t)| *t).reduce(f64::max);
    let (first, last) = (at(1), at(steps));
    let (Some(first), Some(last)) = (first, last) else { bail!("the run ended early") };
    Ok((last - first) * 1e3 / (steps - 1) as f64)
}

/// The peer's own figure, milliseconds.
fn peer_ms(args: &BenchArgs, dir: &Path) -> Result<f64> {
    let script = dir.join("peer_train.py");
    let experiment = experiment(args, Subject::Telemetry)?;
    let mut command = Command::new(&args.python);
    command.arg(&script);
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
