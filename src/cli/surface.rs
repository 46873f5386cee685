//! `landscope surface`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use color_eyre::eyre::{Result, WrapErr};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::FAILED;
use super::args::OutputFormat;
use super::say::{complain, say};
use super::statistics;
use super::surface_args::SurfaceArgs;
use crate::config::{DeviceChoice, default_out};
use crate::engine::EngineError;
use crate::geometry::statistics::SurfaceStatistics;
use crate::landscape::error::LandscapeError;
use crate::landscape::job::{self, Machine, Outcome, Progress};
use crate::landscape::request::{Request, Rows};
use crate::landscape::shard::Shard;
use crate::record::log;
use crate::signals::{HangUp, stop_flag};
use crate::train::device;

/// Set to `off`, libtorch computes what our own kernel would on the CPU: to compare the two.
const KERNEL: &str = "LANDSCOPE_KERNEL";

/// Computes the surface around a checkpoint.
pub fn surface(args: &SurfaceArgs) -> Result<ExitCode> {
    let request = request(args)?;
    let choice =
        DeviceChoice::from_str(&args.device).map_err(|expected| LandscapeError::Option {
            name: "--device",
            value: args.device.clone(),
            text: format!("expected {expected}"),
        })?;
    log::install();
    let devices = device::choose_all(choice).map_err(EngineError::from)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = std::env::var_os(KERNEL).is_none_or(|v| v != "off");
    let stop = stop_flag(HangUp::Ends).wrap_err("signals")?;
    let bar = bar();
    let machine = Machine { devices, threads, kernel };
    let outcome =
        job::run(&request, &machine, &stop, &mut |line| complain(line), &mut |at| show(&bar, at));
    bar.finish_and_clear();
    let outcome = outcome?;
    match args.format {
        OutputFormat::Text => tell(&outcome),
        OutputFormat::Json => say(json(&outcome)),
    }
    if !outcome.finished {
        // Not well, so that no script goes on with a part.
        complain("stopped; the same command goes on with it");
        return Ok(ExitCode::from(FAILED));
    }
    Ok(ExitCode::SUCCESS)
}

fn request(args: &SurfaceArgs) -> Result<Request, LandscapeError> {
    let variable = |name: &str| std::env::var(name).ok();
    Ok(Request {
        checkpoint: found(&args.checkpoint),
        to: args.to.clone(),
        arm: args.arm.clone(),
        config: args.config.clone(),
        x: args.x,
        y: args.y.map_or(Rows::None, |rows| rows.0),
        plane: args.plane.meaning(),
        path: args.path,
        norm: args.norm.meaning(),
        ignore: args.ignore.meaning(),
        seed: args.seed,
        images: args.images.0,
        test: args.data.meaning(),
        bn: args.bn.meaning(),
        precision: args.precision.meaning(),
        adaptive: args.adaptive,
        hessian: args.hessian.map(|h| h.meaning()),
        non_finite: args.non_finite,
        shard: args.shard.as_deref().map(|text| Shard::parse(text, variable)).transpose()?,
        out: args.out.clone(),
    })
}

/// The path as it is typed; else of a run by its name, as `attach` finds it.
fn found(path: &Path) -> PathBuf {
    let below = default_out().join(path);
    if !path.exists() && below.exists() { below } else { path.to_owned() }
}

/// A bar on stderr, if that is a terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {msg} {pos}/{len}{rate} {eta} left")
    {
        let rate = |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            let _ = match state.per_sec() {
                rate if rate > 0.0 && rate.is_finite() => write!(to, " {rate:.1}/s"),
                _ => Ok(()),
            };
        };
        bar.set_style(style.with_key("rate", rate));
    }
    bar
}

fn show(bar: &ProgressBar, at: Progress) {
    if bar.message() != at.what {
        bar.set_message(at.what);
        bar.reset();
        // What was known before says nothing of the rate.
        bar.set_position(at.done as u64);
        bar.reset_eta();
    }
    bar.set_length(at.total as u64);
    bar.set_position(at.done as u64);
}

fn tell(outcome: &Outcome) {
    let Outcome { file, content, finished, computed, took } = outcome;
    let total = content.surface.len();
    let rate = *computed as f64 / took.as_secs_f64().max(1e-9);
    match (*computed, finished) {
        (0, true) => {
            say(format_args!("{}: {total} points, nothing left to compute", file.display()))
        }
        _ => say(format_args!(
            "{}: {total} points, {computed} computed in {:.1} s ({rate:.1} a second, {} images)",
            file.display(),
            took.as_secs_f64(),
            content.images.len()
        )),
    }
    if !finished {
        // Figures of a part would be read as the whole's.
        return;
    }
    for (name, value) in statistics::lines(content) {
        say(format_args!("  {name:<36}{value}"));
    }
}

fn json(outcome: &Outcome) -> String {
    let Outcome { file, content, finished, computed, took } = outcome;
    let center = content.center_curvature.map(|c| {
        serde_json::json!({"max": c.lambda_max, "min": c.lambda_min, "products": c.products, "converged": c.converged})
    });
    serde_json::json!({
        "file": file,
        "finished": finished,
        "points": content.surface.len(),
        "computed": computed,
        "seconds": took.as_secs_f64(),
        "images": content.images.len(),
        "about": content.about,
        "statistics": SurfaceStatistics::of(content.surface.grid()),
        "hessian": center,
    })
    .to_string()
}
