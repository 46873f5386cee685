//! Surface files: what they hold, and how it is read and written by the ending of their names.

pub mod hdf5;
pub mod npz;
pub mod path;
pub mod vts;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::about::About;
use super::surface::Surface;

/// Why a surface could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SurfaceError {
    /// The file system or the format refused.
    #[error("{}: {text}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        text: String,
    },
    /// torch failed.
    #[error("torch: {0}")]
    Torch(#[from] tch::TchError),
}

impl SurfaceError {
    /// What is wrong, without the file's name.
    pub fn reason(&self) -> String {
        match self {
            Self::File { text, .. } => text.clone(),
            Self::Torch(_) => self.to_string(),
        }
    }
}

/// One parameter's part of a direction, row-major as PyTorch has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DirectionTensor {
    /// Shape.
    pub shape: Vec<u64>,
    /// Entries.
    pub values: Vec<f32>,
}

/// A direction, parameter by parameter in state-dict order.
pub type Direction = Vec<DirectionTensor>;

/// The path of the training in the plane of the surface: `proj_xcoord`, `proj_ycoord`, `proj_step`, `proj_loss` of a
/// file, each [n]. Beside them stand what the map says of it ([`path`]): `proj_angle` [n], and the attributes `gap_median`,
/// `gap_max` (nats) and `gap_relative`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trajectory {
    /// Coordinates along x, oldest first.
    pub xs: Vec<f64>,
    /// Coordinates along y.
    pub ys: Vec<f64>,
    /// Steps done at each point; empty where a file does not tell.
    pub steps: Vec<u64>,
    /// The loss of the true weights, not of their projections, on the surface's images; empty where not measured.
    pub loss: Vec<f64>,
}

/// Extreme eigenvalues of the Hessian at the points of the grid, NaN where not computed; as [`Surface::loss`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CurvatureMap {
    /// Largest eigenvalue.
    pub lambda_max: Vec<f64>,
    /// Smallest eigenvalue.
    pub lambda_min: Vec<f64>,
}

/// Extreme eigenvalues of the Hessian at the centre.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CenterCurvature {
    /// Largest eigenvalue.
    pub lambda_max: f64,
    /// Smallest eigenvalue.
    pub lambda_min: f64,
    /// Hessian-vector products made.
    pub products: u64,
    /// Whether both have settled.
    pub converged: bool,
}

/// Everything that a surface file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct SurfaceFile {
    /// The numbers.
    pub surface: Surface,
    /// Where they come from.
    pub about: About,
    /// Images used, in the data set's file order.
    pub images: Vec<i64>,
    /// The directions: none in files that do not tell, one of a profile, two of a map.
    pub directions: Vec<Direction>,
    /// The training's path, where the plane has one.
    pub trajectory: Option<Trajectory>,
    /// Largest relative difference of a loss from single precision, over a sample of the points, where other arithmetic
    /// was used.
    pub rounding: Option<f64>,
    /// Curvature at the centre, where it was asked for.
    pub center_curvature: Option<CenterCurvature>,
    /// Curvature over the grid, where it was asked for.
    pub curvature: Option<CurvatureMap>,
}

/// Endings of surface files.
pub const ENDINGS: [&str; 3] = ["h5", "npz", "vts"];

/// The ending of a surface file's name.
///
/// # Errors
/// When it is none of [`ENDINGS`]: a line that says what is accepted.
pub fn ending(path: &Path) -> Result<&'static str, String> {
    let typed = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let known = |e: &str| e == typed || (e == "h5" && typed == "hdf5");
    ENDINGS.into_iter().find(|e| known(e)).ok_or_else(|| {
        "expected a name that ends in .h5 (HDF5), .npz (NumPy) or .vts (ParaView)".to_owned()
    })
}

impl SurfaceFile {
    /// A file of these numbers alone.
    pub fn of(surface: Surface) -> Self {
        Self {
            surface,
            about: About::default(),
            images: Vec::new(),
            directions: Vec::new(),
            trajectory: None,
            rounding: None,
            center_curvature: None,
            curvature: None,
        }
    }

    /// Writes the file as its ending asks, aside first and then renamed: what was there before stays until it is whole.
    ///
    /// # Errors
    /// When the file system refuses, or the ending is none of [`ENDINGS`].
    pub fn write(&self, path: &Path) -> Result<(), SurfaceError> {
        let failed = |text: String| SurfaceError::File { path: path.to_owned(), text };
        let ending = ending(path).map_err(failed)?;
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".new");
        let aside = path.with_file_name(name);
        let written = match ending {
            "npz" => File::create(&aside)
                .map_err(|e| e.to_string())
                .and_then(|file| npz::write(self, BufWriter::new(file))),
            "vts" => File::create(&aside)
                .and_then(|file| {
                    let mut file = BufWriter::new(file);
                    vts::write(self, &mut file)?;
                    file.flush()
                })
                .map_err(|e| e.to_string()),
            _ => hdf5::write(self, &aside).map_err(|e| e.reason()),
        };
        let synced = |()| File::open(&aside).and_then(|f| f.sync_all()).map_err(|e| e.to_string());
        let renamed = |()| std::fs::rename(&aside, path).map_err(|e| e.to_string());
        written.and_then(synced).and_then(renamed).map_err(|text| {
            let _ = std::fs::remove_file(&aside);
            failed(text)
        })
    }

    /// Reads an HDF5 file.
    ///
    /// # Errors
    /// When the file cannot be read or is not one: cut short, of another shape, with axes that do not rise.
    pub fn read(path: &Path) -> Result<Self, SurfaceError> {
        let failed = |text: String| SurfaceError::File { path: path.to_owned(), text };
        if path.is_dir() {
            return Err(failed("is a folder; expected a surface file (.h5)".to_owned()));
        }
        // A device may have no end, and a pipe no writer.
        let is_file = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?.is_file();
        is_file.then_some(()).ok_or_else(|| failed("not a regular file".to_owned()))?;
        let bytes = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
        hdf5::parse(bytes).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_whole_and_by_their_ending() {
        let dir = tempfile::tempdir().unwrap();
        let mut content = SurfaceFile::of(Surface::new(vec![0.0, 1.0], Vec::new()));
        content.surface.loss = vec![1.0, 2.0];
        content.images = vec![0];
        for ending in ENDINGS {
            content.write(&dir.path().join(format!("s.{ending}"))).unwrap();
        }
        let mut names: Vec<String> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["s.h5", "s.npz", "s.vts"], "nothing is left aside");
        let told = content.write(&dir.path().join("s.csv")).unwrap_err().to_string();
        assert!(told.contains("s.csv: expected a name that ends in .h5"), "{told}");
        let told = content.write(Path::new("/nonexistent/s.npz")).unwrap_err().to_string();
        assert!(told.contains("/nonexistent/s.npz: "), "{told}");
    }
}
