//! A snapshot on disk: `trajectory/ARM/STEP.safetensors` in the run folder.
//!
//! Tensors: `theta`, flat in the layout of [`crate::model::Network`], of the first snapshot; `difference` from it, of all
//! others, in half or single precision; `running`, the batch norms' statistics. Metadata: `loss`, nats, and `batches`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata};

use super::values::Values;
use crate::model::TensorBytes;

/// The folder of all arms' snapshots in a run folder, with a folder for each arm.
pub const FOLDER: &str = "trajectory";
const ENDING: &str = "safetensors";

/// What a snapshot's file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// The first snapshot's parameters; others have a difference instead.
    pub theta: Option<Vec<f32>>,
    /// Difference from the first.
    pub difference: Values,
    /// Running means, then running variances.
    pub running: Vec<f32>,
    /// Batches that they have seen.
    pub batches: i64,
    /// Loss of these weights on the maps' images, nats; NaN if it was not measured.
    pub loss: f64,
}

/// A snapshot that could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no snapshot of this network.
    #[error("{}: {text}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        text: String,
    },
}

/// The file of `step` in an arm's folder.
pub fn path(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("{step:08}.{ENDING}"))
}

/// Steps of the snapshots in an arm's folder, rising.
pub fn steps(folder: &Path) -> Vec<u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let step = |entry: fs::DirEntry| {
        let path = entry.path();
        let named = path.extension().is_some_and(|e| e == ENDING);
        path.file_stem().filter(|_| named)?.to_str()?.parse().ok()
    };
    let mut steps: Vec<u64> = entries.filter_map(step).collect();
    steps.sort_unstable();
    steps
}

impl Content {
    /// Writes the file aside, syncs and renames it: a checkpoint that follows it stands for it too.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        let failed = |source| FileError::Io { path: path.to_owned(), source };
        let mut tensors =
            vec![("running", TensorBytes::singles(vec![self.running.len()], &self.running))];
        if let Some(theta) = &self.theta {
            tensors.push(("theta", TensorBytes::singles(vec![theta.len()], theta)));
        }
        match &self.difference {
            Values::Zero => {}
            Values::Half(v) => tensors.push(("difference", TensorBytes::halves(vec![v.len()], v))),
            Values::Single(v) => {
                tensors.push(("difference", TensorBytes::singles(vec![v.len()], v)))
            }
        }
        let told = [("loss", self.loss.to_string()), ("batches", self.batches.to_string())];
        let told: HashMap<String, String> =
            told.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        let bytes = safetensors::serialize(tensors, Some(told))
            .map_err(|e| failed(io::Error::other(e.to_string())))?;
        let aside = path.with_extension("partial");
        let written = File::create(&aside).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&aside, path)
        });
        written.map_err(|source| {
            let _ = fs::remove_file(&aside);
            failed(source)
        })
    }

    /// Reads a file of a network with `scalars` parameters and `statistics` running figures.
    ///
    /// # Errors
    /// When it cannot be read or is none.
    pub fn read(path: &Path, scalars: usize, statistics: usize) -> Result<Self, FileError> {
        let bytes =
            fs::read(path).map_err(|source| FileError::Io { path: path.to_owned(), source })?;
        Self::parse(&bytes, scalars, statistics)
            .map_err(|text| FileError::Content { path: path.to_owned(), text })
    }

    fn parse(bytes: &[u8], scalars: usize, statistics: usize) -> Result<Self, String> {
        let strange = |e: safetensors::SafeTensorError| format!("not a whole snapshot: {e}");
        let (_, head): (usize, Metadata) = SafeTensors::read_metadata(bytes).map_err(strange)?;
        let file = SafeTensors::deserialize(bytes).map_err(strange)?;
        let told = |key: &str| head.metadata().as_ref().and_then(|m| m.get(key));
        let tensor = |name: &str, len: usize| -> Result<Option<Values>, String> {
            let Ok(found) = file.tensor(name) else { return Ok(None) };
            if found.shape() != [len] {
                return Err(format!("tensor `{name}` is {:?}; expected [{len}]", found.shape()));
            }
            let data = found.data();
            let values = match found.dtype() {
                Dtype::F32 => {
                    let numbers = data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
                    Values::Single(numbers.collect())
                }
                Dtype::F16 => {
                    let numbers = data.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b));
                    Values::Half(numbers.collect())
                }
                other => return Err(format!("tensor `{name}` is {other:?}; expected F16 or F32")),
            };
            // One that is not would be in every product with the others.
            if !values.are_finite() {
                return Err(format!("tensor `{name}` holds a number that is not finite"));
            }
            Ok(Some(values))
        };
        let whole = |name: &str, len: usize| match tensor(name, len)? {
            Some(Values::Single(v)) => Ok(Some(v)),
            Some(_) => Err(format!("tensor `{name}` is F16; expected F32")),
            None => Ok(None),
        };
        let theta = whole("theta", scalars)?;
        let difference = tensor("difference", scalars)?;
        if theta.is_some() == difference.is_some() {
            return Err("expected either a tensor `theta` or a tensor `difference`".to_owned());
        }
        let running = whole("running", statistics)?;
        let running = running.ok_or_else(|| "tensor `running` is missing".to_owned())?;
        Ok(Self {
            theta,
            difference: difference.unwrap_or(Values::Zero),
            running,
            batches: told("batches").and_then(|v| v.parse().ok()).unwrap_or(0),
            loss: told("loss").and_then(|v| v.parse().ok()).unwrap_or(f64::NAN),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SnapshotPrecision;

    fn content(precision: Option<SnapshotPrecision>) -> Content {
        let theta = vec![0.5f32, -1.0, 2.0, 3.25];
        Content {
            difference: precision
                .map_or(Values::Zero, |p| Values::difference(&theta, &[0.0, 1.0, 2.0, 3.0], p)),
            theta: precision.is_none().then_some(theta),
            running: vec![0.0, 1.0],
            batches: 7,
            loss: 0.1 + 0.2,
        }
    }

    #[test]
    fn a_snapshot_comes_back_and_a_strange_one_says_why() {
        let dir = tempfile::tempdir().unwrap();
        for (step, precision) in
            [(0, None), (10, Some(SnapshotPrecision::F16)), (20, Some(SnapshotPrecision::F32))]
        {
            let at = path(dir.path(), step);
            content(precision).write(&at).unwrap();
            assert_eq!(Content::read(&at, 4, 2).unwrap(), content(precision));
            let said = Content::read(&at, 5, 2).unwrap_err().to_string();
            assert!(said.contains("[4]; expected [5]") && !said.contains('\n'), "{said}");
        }
        fs::write(dir.path().join("00000030.partial"), b"x").unwrap();
        fs::write(dir.path().join("notes.safetensors"), b"x").unwrap();
        assert_eq!(steps(dir.path()), [0, 10, 20]);
        let cut = path(dir.path(), 40);
        fs::write(&cut, &fs::read(path(dir.path(), 0)).unwrap()[..40]).unwrap();
        let said = Content::read(&cut, 4, 2).unwrap_err().to_string();
        assert!(said.contains("not a whole snapshot"), "{said}");
        assert!(content(None).write(Path::new("/nonexistent/1.safetensors")).is_err());
        let not_a_number = path(dir.path(), 50);
        for difference in [
            Values::Half(vec![f16::NAN, f16::ONE, f16::ONE, f16::ONE]),
            Values::Half(vec![f16::NEG_INFINITY, f16::ONE, f16::ONE, f16::ONE]),
            Values::Single(vec![1.0, 1.0, f32::INFINITY, 1.0]),
        ] {
            let whole = content(Some(SnapshotPrecision::F16));
            Content { difference, ..whole }.write(&not_a_number).unwrap();
            let said = Content::read(&not_a_number, 4, 2).unwrap_err().to_string();
            assert!(said.contains("`difference` holds a number that is not finite"), "{said}");
        }
    }
}
