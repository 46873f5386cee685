//! Surface files: what they hold, and how it is read and written by the ending of their names.

pub mod hdf5;

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

/// The path of the training in the plane of the surface.
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
    /// Curvature at the centre, where it was asked for.
    pub center_curvature: Option<CenterCurvature>,
    /// Curvature over the grid, where it was asked for.
    pub curvature: Option<CurvatureMap>,
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
            center_curvature: None,
            curvature: None,
        }
    }

    /// Reads an HDF5 file.
    ///
    /// # Errors
    /// When the file cannot be read or is not one: cut short, of another shape, with axes that do not rise.
    pub fn read(path: &Path) -> Result<Self, SurfaceError> {
        let failed = |text: String| SurfaceError::File { path: path.to_owned(), text };
        let bytes = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
        hdf5::parse(bytes).map_err(failed)
    }
}
