//! The command line: clap's types and one short function per subcommand; errors become one line and an exit status.

mod args;
mod bench;
mod completions;
mod data;
mod engine;
mod live;
mod merge;
mod panics;
mod plot;
mod run;
mod say;
mod statistics;
mod surface;
mod surface_args;
mod trajectory;
mod watch;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use color_eyre::eyre::Report;

use args::{Cli, DataCommand, Sub};
use say::complain;

use crate::config::ConfigError;
use crate::engine::EngineError;
use crate::headless::Stdout;
use crate::landscape::error::LandscapeError;
use crate::landscape::file::SurfaceError;
use crate::record::figure::FigureError;
use crate::record::trajectory::TrajectoryError;

/// Exit status of a run that failed while running.
const FAILED: u8 = 1;
/// Exit status of bad usage, config or input; clap's own as well.
const BAD_INPUT: u8 = 2;

/// The whole program; `start` is the process's start, from which every `t` counts.
pub fn main(start: Instant) -> ExitCode {
    let code = run_it(start);
    let _ = Stdout.flush();
    match Stdout.has_failed() && code == ExitCode::SUCCESS {
        true => ExitCode::from(FAILED),
        false => code,
    }
}

fn run_it(start: Instant) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => {
            // Help and the version too: clap's own way ends with 0 wherever they went.
            let printed = told.print();
            if !told.use_stderr() {
                Stdout.notice(printed);
            }
            return ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(BAD_INPUT));
        }
    };
    panics::install();
    let done = match cli.command {
        None => run::run(&cli.run, start),
        Some(Sub::Run(args)) => run::run(&args, start),
        Some(Sub::Engine(args)) => engine::engine(&args, start),
        Some(Sub::Ls(args)) => live::ls(&args),
        Some(Sub::Attach(args)) => live::attach(&args),
        Some(Sub::Stop(args)) => live::stop(&args),
        Some(Sub::Surface(args)) => surface::surface(&args),
        Some(Sub::Merge(args)) => merge::merge(&args),
        Some(Sub::Plot(args)) => plot::plot(&args),
        Some(Sub::Trajectory(args)) => trajectory::trajectory(&args),
        Some(Sub::Data { command: DataCommand::List }) => Ok(data::list()),
        Some(Sub::Bench(args)) => bench::bench(&args),
        Some(Sub::Completions { shell }) => Ok(completions::print(shell)),
    };
    done.unwrap_or_else(|report| {
        let status = status_of(&report);
        // One line, for logs and scripts. Errors of the rooms are whole sentences that hold their source already.
        let is_whole = report.is::<ConfigError>()
            || report.is::<EngineError>()
            || report.is::<LandscapeError>()
            || report.is::<SurfaceError>()
            || report.is::<FigureError>()
            || report.is::<TrajectoryError>();
        match is_whole {
            true => complain(&report),
            false => complain(format_args!("{report:#}")),
        }
        ExitCode::from(status)
    })
}

/// What was typed or given is the user's to mend; the rest failed while running.
fn status_of(report: &Report) -> u8 {
    let is_input = |e: &SurfaceError| matches!(e, SurfaceError::File { .. });
    let is_asked = |e: &FigureError| !matches!(e, FigureError::Render(_));
    if report.is::<ConfigError>()
        || report.is::<TrajectoryError>()
        || report.downcast_ref().is_some_and(is_asked)
        || report.downcast_ref().is_some_and(is_input)
    {
        return BAD_INPUT;
    }
    let engine = report.downcast_ref::<EngineError>().is_some_and(EngineError::is_bad_input);
    let landscape =
        report.downcast_ref::<LandscapeError>().is_some_and(LandscapeError::is_bad_input);
    if engine || landscape { BAD_INPUT } else { FAILED }
}
