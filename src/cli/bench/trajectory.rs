//! `landscope bench --trajectory`: what keeping the arms' paths costs the training.

use std::process::ExitCode;

use color_eyre::eyre::Result;

use super::super::args::BenchArgs;
use super::super::say::say;
use super::{Subject, experiment, median, ratios, time};
use crate::config::Experiment;
use crate::engine::snapshots_every;
use crate::train::tune;

/// Steps between snapshots where the config counts in epochs: such a run is long.
const EPOCHS_EVERY: u64 = 100;

/// Times runs with and without paths in turn and prints the ratio.
pub fn bench(args: &BenchArgs) -> Result<ExitCode> {
    let run = experiment(args, Subject::Path)?;
    tune::tune(&run.arms);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        // Whatever favours the first or the second of a pair favours each as often.
        let (path, none) = if round % 2 == 1 {
            let path = time(args, Subject::Path)?;
            (path, time(args, Subject::Telemetry)?)
        } else {
            let none = time(args, Subject::Telemetry)?;
            (time(args, Subject::Path)?, none)
        };
        say(format_args!(
            "round {round}: mean step {:.2} ms with paths, {:.2} ms without",
            path.mean_ms, none.mean_ms
        ));
        with.push(path.mean_ms);
        without.push(none.mean_ms);
    }
    let cost = ratios(&with, &without);
    say(format_args!(
        "medians of {} rounds of {} steps, in turn, maps off:",
        args.rounds, args.steps
    ));
    say(format_args!(
        "  snapshots kept, one every                         {:4} of {} steps",
        run.trajectory.keep, run.trajectory.every
    ));
    say(format_args!(
        "  mean step with paths                              {:8.2} ms",
        median(with)
    ));
    say(format_args!(
        "  mean step without                                 {:8.2} ms",
        median(without)
    ));
    say(format_args!(
        "  keeping and projecting the paths costs            {:8.1} %",
        (cost - 1.0) * 100.0
    ));
    Ok(ExitCode::SUCCESS)
}

/// Steps between snapshots in the run that a config describes.
pub(super) fn every(run: &Experiment) -> Result<u64> {
    match run.trajectory.every {
        0 => Ok(snapshots_every(run)?.unwrap_or(EPOCHS_EVERY)),
        every => Ok(every),
    }
}
