//! What can be wrong with a config: one line that names the place, the key, the value and what is accepted.

use std::path::PathBuf;

/// A config that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or cannot be read.
    #[error("config {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No file and no built-in config has this name.
    #[error("config `{name}`: no such file, nor {beside}; built in: {known}", beside = beside.display())]
    Unknown {
        /// What was asked for.
        name: String,
        /// The file of that name in `configs/`.
        beside: PathBuf,
        /// The built-in names.
        known: String,
    },
    /// Not TOML.
    #[error("{origin}: not valid TOML: {message}")]
    Syntax {
        /// File or flag.
        origin: String,
        /// The parser's word, on one line.
        message: String,
    },
    /// A key that does not exist, or a value of the wrong type.
    #[error("{origin}: {key}: {message}")]
    Key {
        /// File or flag.
        origin: String,
        /// The key with its section.
        key: String,
        /// What is wrong and what is accepted.
        message: String,
    },
    /// `--set` without `=`.
    #[error("--set {text}: expected KEY=VALUE, as in --set train.lr=0.05")]
    NotAnOverride {
        /// What was typed.
        text: String,
    },
    /// `--set arm.NAME.KEY` for an arm that the config does not have.
    #[error("--set {key}: no arm is named `{name}`; the arms are {known}")]
    NoSuchArm {
        /// The whole key.
        key: String,
        /// The arm's name in it.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A value outside what can be run.
    #[error("{key} = {value}: expected {expected}")]
    Value {
        /// The key with its section.
        key: String,
        /// The value found.
        value: String,
        /// What is accepted.
        expected: String,
    },
}

impl ConfigError {
    /// A value outside what is accepted.
    pub fn value(
        key: impl Into<String>,
        value: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Value { key: key.into(), value: value.to_string(), expected: expected.into() }
    }
}
