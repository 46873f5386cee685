//! `landscope bench --surface`: points a second, how exact they are, how near to the machine's limit; refined maps beside
//! whole ones.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use color_eyre::eyre::{Result, WrapErr, bail};

use super::super::args::BenchArgs;
use super::super::say::say;
use super::{median, ratios};
use crate::config::{self, Override, Precision};
use crate::engine::{Engine, Options, Place};
use crate::geometry::deviation::farthest;
use crate::geometry::levels::{LEVELS, quantile_levels};
use crate::landscape::job::{self, Machine, Outcome};
use crate::landscape::request::{ImageCount, Request, Rows};
use crate::landscape::span::Span;
use crate::landscape::trial::{Shape, Trial, largest_difference, matrix_rate};
use crate::train::device::Device;

/// The networks of the peer's README.
const NETWORKS: [Shape; 2] = [
    Shape { depth: 56, width: 8, size: 16, channels: 1, images: 512 },
    Shape { depth: 20, width: 16, size: 32, channels: 3, images: 512 },
];
/// Time of each measurement.
const TIME: Duration = Duration::from_secs(6);
/// Side of the grid on which exactness is measured.
const SIDE: usize = 5;
/// Points of a whole map.
const MAP: usize = 51 * 51;
/// Steps after which the trained checkpoints are taken.
const STEPS: i64 = 100;

/// Measures and prints.
pub fn bench(args: &BenchArgs) -> Result<ExitCode> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut peers = Vec::new();
    for shape in NETWORKS {
        let Shape { depth, width, size, channels, images } = shape;
        say(format_args!(
            "ResNet-{depth} width {width}, {channels}x{size}x{size}, {images} images, {threads} threads"
        ));
        let peer = rates(args, shape, threads)?;
        peers.push(peer);
    }
    maps(threads, peers.first().copied().flatten())?;
    Ok(ExitCode::SUCCESS)
}

/// Points a second of one network, ours and the peer's in turn; the peer's median.
fn rates(args: &BenchArgs, shape: Shape, threads: usize) -> Result<Option<f64>> {
    let trial = Trial::new(shape, threads)?;
    let (mut single, mut half, mut torch, mut peer, mut limit) =
        (vec![], vec![], vec![], vec![], vec![]);
    for round in 1..=args.rounds {
        single.push(trial.rate(Precision::F32, true, TIME)?);
        if let Some(dir) = &args.peer {
            peer.push(peer_rate(args, dir, shape)?);
        }
        half.push(trial.rate(Precision::Bf16, true, TIME)?);
        torch.push(trial.rate(Precision::F32, false, TIME)?);
        limit.push(matrix_rate(threads)? / trial.operations());
        let last = |v: &[f64]| v.last().copied().unwrap_or(f64::NAN);
        say(format_args!(
            "  round {round}: f32 {:.1} points/s, bf16 {:.1}, libtorch folded {:.1}{}, a matrix product's rate {:.1}",
            last(&single),
            last(&half),
            last(&torch),
            peer.last().map_or(String::new(), |rate| format!(", peer {rate:.1}")),
            last(&limit)
        ));
    }
    let images = shape.images as f64;
    let line = |name: &str, rates: &[f64]| {
        let per_image = 1e6 / median(rates.to_vec()) / images;
        let over = if peer.is_empty() {
            String::new()
        } else {
            format!(", {:.2} times the peer", ratios(rates, &peer))
        };
        let share = 100.0 * ratios(rates, &limit);
        say(format_args!(
            "  {name:<16}{:8.1} points/s {per_image:7.1} us/image{over}, {share:.0} % of a matrix product's rate",
            median(rates.to_vec())
        ));
    };
    line("f32", &single);
    line("bf16", &half);
    line("libtorch folded", &torch);
    for (name, precision) in [("f32", Precision::F32), ("bf16", Precision::Bf16)] {
        let off = trial.difference(precision, SIDE)?;
        say(format_args!("  {name:<16}largest relative difference from libtorch's f32 {off:.1e}"));
    }
    if peer.is_empty() {
        return Ok(None);
    }
    line("peer", &peer);
    Ok(Some(median(peer)))
}

/// The peer's points a second.
fn peer_rate(args: &BenchArgs, dir: &Path, shape: Shape) -> Result<f64> {
    let script = dir.join("peer_surface.py");
    let mut command = Command::new(&args.python);
    command.arg(&script);
    for (flag, value) in [
        ("--depth", shape.depth),
        ("--width", shape.width),
        ("--size", shape.size),
        ("--channels", shape.channels),
        ("--images", shape.images),
        ("--seconds", TIME.as_secs() as i64),
    ] {
        command.arg(flag).arg(value.to_string());
    }
    let run = command.output();
    let run = run.wrap_err_with(|| format!("--python {}", args.python.display()))?;
    let said = String::from_utf8_lossy(&run.stdout);
    let figure = serde_json::from_str::<serde_json::Value>(said.lines().last().unwrap_or_default())
        .ok()
        .and_then(|v| v.get("points_per_s")?.as_f64());
    let Some(figure) = figure else {
        let why = String::from_utf8_lossy(&run.stderr);
        bail!("{}: {}", script.display(), why.lines().last().unwrap_or("printed no points_per_s"))
    };
    Ok(figure)
}

/// Whole and refined 51x51 maps of three checkpoints of the default network: trained with and without skips, and fresh.
fn maps(threads: usize, peer: Option<f64>) -> Result<()> {
    let out = std::env::temp_dir().join(format!("landscope-bench-{}", std::process::id()));
    let result = three_maps(&out, threads, peer);
    // Whatever became of them, the files go.
    let removed = std::fs::remove_dir_all(&out);
    result?;
    removed.wrap_err_with(|| out.display().to_string())
}

fn three_maps(out: &Path, threads: usize, peer: Option<f64>) -> Result<()> {
    let trained = run_of(out, STEPS)?;
    // One step at no learning rate: the network as it is drawn.
    let fresh = run_of(out, 1)?;
    say(format_args!("51x51 maps, 512 images, ResNet-56 width 8 on the digits, {threads} threads"));
    for (name, run, arm) in
        [("skip", &trained, "skip"), ("noskip", &trained, "noskip"), ("fresh skip", &fresh, "skip")]
    {
        let start = Instant::now();
        let refined = map(run, arm, threads, true, true)?;
        let took = start.elapsed().as_secs_f64();
        let whole = map(run, arm, threads, false, true)?;
        let (a, b) = (whole.content.surface.grid(), refined.content.surface.grid());
        let levels = quantile_levels(a.values, LEVELS);
        let off: Vec<f64> = levels.iter().filter_map(|l| farthest(a, b, *l)).collect();
        let worst = off.iter().copied().fold(0.0, f64::max);
        let beside = peer.map_or(String::new(), |rate| {
            format!(", {:.2} of the peer's time", took / (MAP as f64 / rate))
        });
        let exact = largest_difference(a.values, b.values);
        say(format_args!(
            "  {name:<12}refined {took:6.1} s ({} of {MAP} points){beside}; whole {:.1} s; isolines at {} quantiles within {worst:.2} cells; largest interpolation error {:.1} %",
            refined.computed,
            whole.took.as_secs_f64(),
            off.len(),
            exact * 100.0
        ));
    }
    Ok(())
}

/// A run folder with a checkpoint after so many steps of the default run.
fn run_of(out: &Path, steps: i64) -> Result<PathBuf> {
    let mut overrides =
        vec![Override::flag("bench", "steps", steps), Override::flag("bench", "map.every", 0)];
    if steps == 1 {
        // Nothing is learnt in it.
        overrides.push(Override::flag("bench", "train.lr", 1e-12));
    }
    let experiment = config::load(config::DEFAULT_CONFIG, &overrides)?;
    let options = Options::at(Place::Below(out.to_owned()));
    let (engine, _client) = Engine::start(experiment, options, Instant::now())?;
    Ok(engine.join()?.folder)
}

fn map(run: &Path, arm: &str, threads: usize, adaptive: bool, kernel: bool) -> Result<Outcome> {
    let request = Request {
        arm: Some(arm.to_owned()),
        y: Rows::Given(Span::REFERENCE),
        images: ImageCount::Count(512),
        adaptive,
        ..Request::of(run)
    };
    let machine = Machine { devices: vec![Device::Cpu], threads, kernel };
    Ok(job::run(&request, &machine, &AtomicBool::new(false), &mut |_| {}, &mut |_| {})?)
}
