//! `landscope trajectory RUN`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use color_eyre::eyre::Result;

use super::args::{OutputFormat, TrajectoryArgs};
use super::live::{folder_of, refuse};
use super::say::{complain, say};
use crate::config::{self, default_out};
use crate::landscape::file::SurfaceFile;
use crate::landscape::journal::Identity;
use crate::record::figure::{self, Drawn, Multiples, Options};
use crate::record::folder;
use crate::record::trajectory::{self, ArmFigures, Change, Laid, hint, newest, table};
use crate::telemetry::chart::View;

/// What is made of the paths, by the ending of the file's name.
enum Wanted<'a> {
    Figure(&'a Path),
    /// One arm's map and path.
    Export(&'a Path),
}

impl<'a> Wanted<'a> {
    fn of(path: &'a Path) -> Result<Self, String> {
        let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        match ending.as_deref() {
            Some("png" | "svg") => Ok(Self::Figure(path)),
            Some("h5" | "hdf5" | "npz") => Ok(Self::Export(path)),
            _ => Err(format!(
                "--out {}: expected a name that ends in .png or .svg (a figure), .h5 or .npz (one arm's map and path)",
                path.display()
            )),
        }
    }
}

/// Tells of the paths of a run's arms, and draws or exports them.
pub fn trajectory(args: &TrajectoryArgs) -> Result<ExitCode> {
    // Before anything is read: a name that cannot be written needs no work.
    let wanted = match args.out.as_deref().map(Wanted::of).transpose() {
        Ok(wanted) => wanted,
        Err(text) => return Ok(refuse(&text)),
    };
    let run = match folder_of(&args.run, &default_out()) {
        Ok(run) => run,
        Err(text) => return Ok(refuse(&text)),
    };
    let experiment = config::load(&run.join(folder::RUN_FILE).to_string_lossy(), &[])?;
    let mut arms = trajectory::read(&run, &experiment)?;
    let names = arms.iter().map(|a| a.arm.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(name) = &args.arm {
        arms.retain(|a| a.arm.as_str() == name);
        if arms.is_empty() {
            return Ok(refuse(&format!("--arm {name}: the run's arms are {names}")));
        }
    }
    if let (Some(Wanted::Export(path)), 2..) = (&wanted, arms.len()) {
        let path = path.display();
        return Ok(refuse(&format!(
            "--out {path}: a file of this kind holds one arm; choose one with --arm: {names}"
        )));
    }
    let exported = matches!(wanted, Some(Wanted::Export(_)));
    let map = |arm: &ArmFigures| {
        let mut map = newest(&run, arm.arm.as_str())?;
        if !exported {
            // Two vectors as long as the network, of every arm, that no figure shows.
            map.content.directions = Vec::new();
        }
        Some(map)
    };
    let maps: Vec<Option<Laid>> = arms.iter().map(map).collect();
    for (arm, map) in arms.iter_mut().zip(&maps) {
        if let Some(map) = map {
            arm.take(map);
        }
    }
    let laid: Vec<(&ArmFigures, &Laid)> =
        arms.iter().zip(&maps).filter_map(|(arm, map)| Some((arm, map.as_ref()?))).collect();
    let lacking = arms.iter().zip(&maps).filter(|(_, map)| map.is_none()).map(|(arm, _)| arm);
    let lacking: Vec<&str> = lacking.map(|a| a.arm.as_str()).collect();
    if let (Some(_), []) = (&wanted, &laid[..]) {
        return Ok(refuse(&no_map(&run, &lacking)));
    }
    let written = match &wanted {
        Some(Wanted::Figure(path)) => {
            draw(&run, &laid, &lacking, args)?;
            Some(path)
        }
        Some(Wanted::Export(path)) => {
            if let Some((_, map)) = laid.first()
                && let Err(text) = export(&map.content, path)?
            {
                return Ok(refuse(&text));
            }
            Some(path)
        }
        None => None,
    };
    tell(&run, &arms, &lacking, written.copied(), args.format);
    Ok(ExitCode::SUCCESS)
}

/// The table, the file that was written, and what is missing for a picture.
fn tell(
    run: &Path,
    arms: &[ArmFigures],
    lacking: &[&str],
    written: Option<&Path>,
    format: OutputFormat,
) {
    match format {
        OutputFormat::Json => arms.iter().for_each(|arm| say(table::json(arm))),
        OutputFormat::Text => {
            say(table::text(arms));
            if let Some(path) = written {
                say(path.display());
            }
        }
    }
    match (lacking, written) {
        ([], _) => {}
        (_, Some(_)) => complain(format_args!("not drawn: {}", no_map(run, lacking))),
        // A script that reads objects asks for no advice.
        (_, None) if format == OutputFormat::Json => {}
        (_, None) => say(no_map(run, lacking)),
    }
}

/// That there is no map, and how to get one.
fn no_map(run: &Path, lacking: &[&str]) -> String {
    let arm = lacking.first().copied().unwrap_or_default();
    format!(
        "run {}: no map in the plane of the path of {}; {}",
        run.display(),
        lacking.join(", "),
        hint(run, arm)
    )
}

/// One arm as a figure of its own, several side by side.
fn draw(
    run: &Path,
    laid: &[(&ArmFigures, &Laid)],
    lacking: &[&str],
    args: &TrajectoryArgs,
) -> Result<()> {
    let Some(path) = &args.out else { return Ok(()) };
    let marks = |arm: &ArmFigures| Change::marks(&arm.changes);
    let whole = |arm: &ArmFigures| match &arm.ended {
        Some(ended) => format!("{} ({})", arm.settings(), ended.kind.replace('-', " ")),
        None => arm.settings(),
    };
    if let [(arm, map)] = laid {
        let options =
            Options { levels: args.levels.clone(), marks: marks(arm), ..Options::default() };
        let mut chart = figure::compose(&map.content, View::Contour, &options, &[])?;
        chart.title = format!("Path of {}: {}", arm.arm, whole(arm));
        return Ok(figure::write(&chart, View::Contour, path, args.size)?);
    }
    let drawn: Vec<Drawn<'_>> = laid
        .iter()
        .map(|(arm, map)| Drawn {
            file: &map.content,
            title: format!("{}: {}", arm.arm, whole(arm)),
            arm: arm.arm.to_string(),
            marks: marks(arm),
        })
        .collect();
    let more: Vec<String> = match lacking {
        [] => Vec::new(),
        arms => vec![format!("Without a map in the plane of its path: {}.", arms.join(", "))],
    };
    let name = run.canonicalize().unwrap_or_else(|_| run.to_owned());
    let title = format!(
        "Paths of {}, coloured by the angle at which they cross the isocurves",
        name.file_name().unwrap_or_default().to_string_lossy()
    );
    Multiples::compose(&title, &drawn, &args.levels, &more)?.write(path, args.size)?;
    Ok(())
}

/// Writes one arm's map and path; a line that says why where another surface is there already.
fn export(content: &SurfaceFile, path: &Path) -> Result<Result<PathBuf, String>> {
    if path.exists() {
        let same = SurfaceFile::read(path)
            .is_ok_and(|there| Identity::of(&there).difference(&Identity::of(content)).is_none());
        if !same {
            let text =
                "is there already, and is not this surface; choose another --out, or remove it";
            return Ok(Err(format!("{}: {text}", path.display())));
        }
    }
    content.write(path)?;
    Ok(Ok(path.to_owned()))
}
