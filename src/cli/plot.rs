//! `landscope plot FILE`

use std::path::Path;
use std::process::ExitCode;

use color_eyre::eyre::Result;

use super::args::{ColorChoice, PlotArgs};
use super::say::{print, say};
use super::statistics;
use crate::config;
use crate::landscape::file::SurfaceFile;
use crate::record::figure::{self, Format, What};
use crate::record::folder;
use crate::record::trajectory::{self, Change};
use crate::telemetry::chart::View;
use crate::ui;

/// What changed on the file's path, where it lies in a run's folder whose events tell of it. They are worth no error: the
/// surface is what was asked for.
fn on_the_way(path: &Path, file: &SurfaceFile) -> Vec<(u64, String)> {
    let run = path.canonicalize().ok().and_then(|p| Some(p.parent()?.parent()?.to_owned()));
    let has_path = file.trajectory.as_ref().is_some_and(|t| !t.steps.is_empty());
    let Some(run) = run.filter(|r| has_path && r.join(folder::RUN_FILE).is_file()) else {
        return Vec::new();
    };
    let experiment = config::load(&run.join(folder::RUN_FILE).to_string_lossy(), &[]);
    let arms = experiment.ok().and_then(|e| trajectory::read(&run, &e).ok()).unwrap_or_default();
    let arm = arms.iter().find(|a| a.arm.as_str() == file.about.arm);
    arm.map(|a| Change::marks(&a.changes)).unwrap_or_default()
}

/// Draws a surface file.
pub fn plot(args: &PlotArgs) -> Result<ExitCode> {
    // Before anything is read: a name that cannot be written needs no work.
    args.out.as_deref().map(Format::of).transpose()?;
    let file = SurfaceFile::read(&args.file)?;
    let known = file.surface.acc.iter().filter(|v| !v.is_nan()).count();
    let own = match file.surface.is_profile() {
        true => View::Profile,
        // Of a shard, or a map that was stopped, isolines show nothing: cells do.
        false if known * 10 < file.surface.len() * 9 => View::Heat,
        false => View::Contour,
    };
    let view = args.view.map_or(own, View::from);
    let marks = on_the_way(&args.file, &file);
    let options = figure::Options {
        what: args.what.into(),
        levels: args.levels.clone(),
        log: args.log,
        marks,
    };
    // They are figures of the loss.
    let statistics = match options.what {
        What::Loss => statistics::sentences(&file),
        _ => Vec::new(),
    };
    let chart = figure::compose(&file, view, &options, &statistics)?;
    match &args.out {
        Some(path) => {
            figure::write(&chart, view, path, args.size)?;
            say(path.display());
        }
        None => {
            let colors = match args.color {
                ColorChoice::Auto => None,
                ColorChoice::Always => Some(true),
                ColorChoice::Never => Some(false),
            };
            let forced = args.characters.forced();
            ui::chart_on_stdout(&chart, view, colors, forced, |text| print(text.as_bytes()));
        }
    }
    Ok(ExitCode::SUCCESS)
}
