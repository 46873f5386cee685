//! What can be wrong with a data set: one line that names the file, what was found and what is accepted.

use std::path::PathBuf;

/// A data set that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A data set of files without a folder; the config refuses it earlier.
    #[error("data.dir is missing: the folder that holds the data set's files")]
    NoFolder,
    /// A file that is not there or cannot be read.
    #[error("{}: {source}; expected {hint}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
        /// Which file that should be.
        hint: String,
    },
    /// A file of the wrong length.
    #[error("{}: {found} bytes; expected {expected}", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        found: u64,
        /// What is accepted.
        expected: String,
    },
    /// A file whose head is not that of its format.
    #[error("{}: {found}; expected {expected}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it begins with.
        found: String,
        /// What is accepted.
        expected: String,
    },
    /// A label that is no class.
    #[error("{}: image {index} has label {label}; expected 0 to {}", path.display(), classes - 1)]
    Label {
        /// The file.
        path: PathBuf,
        /// The image, from 0.
        index: usize,
        /// Its label.
        label: u8,
        /// Number of classes.
        classes: i64,
    },
    /// As many images as labels are needed.
    #[error("{}: {labels} labels for {images} images", path.display())]
    Count {
        /// The label file.
        path: PathBuf,
        /// Labels in it.
        labels: usize,
        /// Images in the other file.
        images: usize,
    },
    /// More images asked for than there are.
    #[error("data.limit = {limit}: the data set has {images} training images")]
    Limit {
        /// Asked for.
        limit: usize,
        /// There.
        images: usize,
    },
    /// Too few images to train or test on.
    #[error("{images} {split} images: at least 2 are needed")]
    TooFew {
        /// `train` or `test`.
        split: &'static str,
        /// There.
        images: usize,
    },
    /// torch failed.
    #[error("torch: {0}")]
    Torch(#[from] tch::TchError),
}
