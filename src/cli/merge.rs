//! `landscope merge`

use std::process::ExitCode;

use color_eyre::eyre::Result;

use super::FAILED;
use super::say::{complain, say};
use super::statistics;
use super::surface_args::MergeArgs;
use crate::landscape::error::LandscapeError;
use crate::landscape::file::{SurfaceFile, ending};
use crate::landscape::journal::Identity;
use crate::landscape::merge;

/// Puts the shards of a surface together.
pub fn merge(args: &MergeArgs) -> Result<ExitCode> {
    ending(&args.out).map_err(|text| LandscapeError::Option {
        name: "--out",
        value: args.out.display().to_string(),
        text,
    })?;
    let (whole, missing) = merge::merge(&args.files)?;
    if args.out.exists() {
        let same = SurfaceFile::read(&args.out)
            .is_ok_and(|there| Identity::of(&there).difference(&Identity::of(&whole)).is_none());
        if !same {
            let text =
                "is there already, and is not this surface; choose another --out, or remove it";
            return Err(LandscapeError::input(&args.out, text).into());
        }
    }
    // As it is: a place that cannot be written is the user's to mend.
    whole.write(&args.out)?;
    let count = whole.surface.len();
    let known = count - missing;
    let files = args.files.len();
    say(format_args!("{}: {known} of {count} points from {files} files", args.out.display()));
    for (name, value) in statistics::lines(&whole) {
        say(format_args!("  {name:<36}{value}"));
    }
    if missing > 0 {
        // Not well, so that no script goes on with a part.
        complain(format_args!(
            "{missing} of {count} points are in none of the files, or lack curvature"
        ));
        return Ok(ExitCode::from(FAILED));
    }
    Ok(ExitCode::SUCCESS)
}
