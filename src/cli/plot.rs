//! `landscope plot FILE`

use std::process::ExitCode;

use color_eyre::eyre::Result;

use super::args::{ColorChoice, PlotArgs};
use super::data::write_stdout;
use super::statistics;
use crate::landscape::file::SurfaceFile;
use crate::record::figure::{self, Format, What};
use crate::telemetry::chart::View;
use crate::ui;

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
    let options =
        figure::Options { what: args.what.into(), levels: args.levels.clone(), log: args.log };
    // They are figures of the loss.
    let statistics = match options.what {
        What::Loss => statistics::sentences(&file),
        _ => Vec::new(),
    };
    let chart = figure::compose(&file, view, &options, &statistics)?;
    match &args.out {
        Some(path) => {
            figure::write(&chart, view, path, args.size)?;
            super::say::say(path.display());
        }
        None => {
            let colors = match args.color {
                ColorChoice::Auto => None,
                ColorChoice::Always => Some(true),
                ColorChoice::Never => Some(false),
            };
            let text = ui::chart_on_stdout(&chart, view, colors, args.ascii);
            return write_stdout(text.as_bytes());
        }
    }
    Ok(ExitCode::SUCCESS)
}
