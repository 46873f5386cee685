//! `landscope merge`

use std::process::ExitCode;

use color_eyre::eyre::Result;

use super::say::{complain, say};
use super::statistics;
use super::surface_args::MergeArgs;
use crate::landscape::error::LandscapeError;
use crate::landscape::file::ending;
use crate::landscape::merge;

/// Puts the shards of a surface together.
pub fn merge(args: &MergeArgs) -> Result<ExitCode> {
    ending(&args.out).map_err(|text| LandscapeError::Option {
        name: "--out",
        value: args.out.display().to_string(),
        text,
    })?;
    let (whole, missing) = merge::merge(&args.files)?;
    whole.write(&args.out).map_err(LandscapeError::from)?;
    let count = whole.surface.len();
    say(format_args!("{}: {count} points of {} files", args.out.display(), args.files.len()));
    for (name, value) in statistics::lines(&whole) {
        say(format_args!("  {name:<36}{value}"));
    }
    if missing > 0 {
        complain(format_args!("{missing} of {count} points are in none of the files"));
    }
    Ok(ExitCode::SUCCESS)
}
