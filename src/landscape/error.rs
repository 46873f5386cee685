//! Why a surface cannot be made.

use std::path::{Path, PathBuf};

use super::file::SurfaceError;
use crate::config::ConfigError;
use crate::data::DataError;

/// Why a surface cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LandscapeError {
    /// The run's config.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// An option that cannot be followed.
    #[error("{name} {value}: {text}")]
    Option {
        /// The option as it is typed.
        name: &'static str,
        /// What was given.
        value: String,
        /// What is wrong and what is accepted.
        text: String,
    },
    /// A file that is not what it should be.
    #[error("{}: {text}", path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        text: String,
    },
    /// A surface file could not be read or written.
    #[error(transparent)]
    Surface(#[from] SurfaceError),
    /// A file could not be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// torch failed.
    #[error("torch: {0}")]
    Torch(#[from] tch::TchError),
    /// A thread ended by itself.
    #[error("a thread that evaluates points panicked")]
    Panic,
}

impl LandscapeError {
    /// An input at `path` that is not what it should be.
    pub fn input(path: &Path, text: impl ToString) -> Self {
        Self::Input { path: path.to_owned(), text: text.to_string() }
    }

    /// A file at `path` that could not be written.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// Whether what was typed or given is wrong, rather than the machine.
    pub fn is_bad_input(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Data(_) | Self::Option { .. } | Self::Input { .. })
    }
}
