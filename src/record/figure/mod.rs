//! Figures of surface files, worth putting into a paper: composed once, drawn as SVG, and rendered from that as PNG.

mod angle;
mod axes;
mod caption;
mod compose;
mod contour;
mod field;
mod font;
mod layout;
mod levels;
mod multiples;
mod path;
mod png;
mod profile;
mod svg;
#[cfg(test)]
mod tests;
mod three_d;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use compose::compose;
pub use levels::Levels;
pub use multiples::{Drawn, Multiples};

use crate::telemetry::chart::{Chart, View};

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum FigureError {
    /// A profile has no second direction.
    #[error("this file is a profile, along one direction; expected --view profile")]
    IsProfile,
    /// The file has no curvature over its grid.
    #[error(
        "--what hessian: this file has no map of the Hessian's eigenvalues; expected loss or acc"
    )]
    NoCurvature,
    /// The ending of the file's name is none that can be written.
    #[error("--out {}: expected a name that ends in .png or .svg", .0.display())]
    Ending(PathBuf),
    /// It could not be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not be rendered.
    #[error("the figure could not be rendered: {0}")]
    Render(String),
}

/// What of a file is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum What {
    /// The loss.
    #[default]
    Loss,
    /// The accuracy.
    Accuracy,
    /// |lambda_min / lambda_max| of the Hessian.
    Hessian,
}

/// How a file is drawn, whatever the view.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// What is drawn.
    pub what: What,
    /// Which isolines.
    pub levels: Levels,
    /// Heights and colours by ln(z + 0.1); the colours of a loss always are.
    pub log: bool,
    /// What changed on the path, where the file has one: steps done when it did, and what became of it in a few
    /// letters.
    pub marks: Vec<(u64, String)>,
}

/// Width and height of a figure, pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl Size {
    /// Smallest and largest side: less holds no words, more no machine's memory.
    pub const SIDES: (u32, u32) = (200, 8192);
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (least, most) = Self::SIDES;
        let side = |t: &str| t.parse().ok().filter(|n| (least..=most).contains(n));
        let both = text.split_once(['x', 'X']);
        both.and_then(|(w, h)| Some(Self { width: side(w)?, height: side(h)? })).ok_or_else(|| {
            format!("expected WIDTHxHEIGHT, each from {least} to {most}, as in 1600x1200")
        })
    }
}

/// The kinds of files that figures are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Pixels.
    Png,
    /// Lines and words.
    Svg,
}

impl Format {
    /// By the ending of a file's name.
    ///
    /// # Errors
    /// When the ending is another.
    pub fn of(path: &Path) -> Result<Self, FigureError> {
        let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        match ending.as_deref() {
            Some("png") => Ok(Self::Png),
            Some("svg") => Ok(Self::Svg),
            _ => Err(FigureError::Ending(path.to_owned())),
        }
    }
}

/// Draws a chart into a file, written aside and then renamed; in a size that suits it where none is given.
///
/// # Errors
/// When the file's ending is unknown or it cannot be written.
pub fn write(
    chart: &Chart,
    view: View,
    path: &Path,
    size: Option<Size>,
) -> Result<(), FigureError> {
    let size = size.unwrap_or_else(|| layout::suited(chart, view));
    keep(|| layout::draw(chart, view, size), path, size)
}

/// Writes a drawing into a file, aside first.
fn keep(draw: impl Fn() -> String, path: &Path, size: Size) -> Result<(), FigureError> {
    let format = Format::of(path)?;
    let drawing = draw();
    let bytes = match format {
        Format::Svg => drawing.into_bytes(),
        Format::Png => png::render(&drawing, size)?,
    };
    let mut aside = path.file_name().unwrap_or_default().to_owned();
    aside.push(".new");
    let aside = path.with_file_name(aside);
    let written = File::create(&aside)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&aside, path));
    written.map_err(|source| {
        // What was begun is of no use; that it cannot be removed either changes nothing.
        let _ = fs::remove_file(&aside);
        FigureError::Io { path: path.to_owned(), source }
    })
}
