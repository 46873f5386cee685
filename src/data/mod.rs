//! Data sets: reading, normalising, shuffling by seed. Both arms are given the same batches.

mod augment;
mod cifar;
mod digits;
mod error;
mod idx;
mod order;
mod resize;
mod split;

pub use augment::Augment;
pub use error::DataError;
pub use order::{BatchOrder, OrderPosition, Picked};
pub use split::{Batch, Split};

use crate::config::{DataKind, DataSpec};
use split::{Normalisation, Pixels};

/// A data set in memory, ready to be trained on.
#[derive(Debug)]
pub struct Dataset {
    /// Its name, as in the config.
    pub name: &'static str,
    /// Number of classes.
    pub classes: i64,
    /// Shape of the images that the networks see.
    pub shape: ImageShape,
    /// Training images.
    pub train: Split,
    /// Test images.
    pub test: Split,
}

/// Shape of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// Colour channels.
    pub channels: i64,
    /// Rows.
    pub height: i64,
    /// Columns.
    pub width: i64,
}

impl ImageShape {
    /// `[channels, height, width]`.
    pub fn sizes(self) -> [i64; 3] {
        [self.channels, self.height, self.width]
    }
}

/// A data set as its reader leaves it.
struct Raw {
    name: &'static str,
    classes: i64,
    train: Pixels,
    test: Pixels,
    /// Known constants; measured on the training images where missing.
    normalisation: Option<Normalisation>,
    /// Whether a mirrored image still is of its class.
    may_flip: bool,
}

impl Dataset {
    /// Reads and prepares the data set that `spec` names.
    ///
    /// # Errors
    /// A file that is missing, cut short or holds something else: one line that says what, where, and what is expected.
    pub fn load(spec: &DataSpec) -> Result<Self, DataError> {
        let dir = || spec.dir.as_deref().ok_or(DataError::NoFolder);
        let mut raw = match spec.kind {
            DataKind::Digits => digits::read()?,
            DataKind::Cifar10 => cifar::read_cifar10(dir()?)?,
            DataKind::Cifar100 => cifar::read_cifar100(dir()?)?,
            DataKind::Mnist => idx::read(dir()?, "mnist")?,
            DataKind::FashionMnist => idx::read(dir()?, "fashion-mnist")?,
        };
        if let Some(limit) = spec.limit {
            if limit > raw.train.len() {
                return Err(DataError::Limit { limit, images: raw.train.len() });
            }
            raw.train.truncate(limit)?;
        }
        if let Some(size) = spec.size {
            raw.train = resize::resize(&raw.train, size)?;
            raw.test = resize::resize(&raw.test, size)?;
        }
        let shape = raw.train.shape();
        let normalisation = match raw.normalisation {
            Some(known) => known,
            None => Normalisation::measure(&raw.train)?,
        };
        Ok(Self {
            name: raw.name,
            classes: raw.classes,
            shape,
            train: Split::new(raw.train, &normalisation, raw.may_flip)?,
            test: Split::new(raw.test, &normalisation, raw.may_flip)?,
        })
    }

    /// The data set with its sizes, for people.
    pub fn describe(&self) -> String {
        let ImageShape { height, width, .. } = self.shape;
        format!(
            "{} {height}x{width}, {} train, {} test",
            self.name,
            self.train.len(),
            self.test.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(kind: DataKind) -> DataSpec {
        DataSpec { kind, dir: None, size: None, limit: None, augment: false }
    }

    #[test]
    fn limit_and_size_are_obeyed() {
        let data =
            Dataset::load(&DataSpec { size: Some(12), limit: Some(100), ..spec(DataKind::Digits) })
                .unwrap();
        assert_eq!((data.train.len(), data.test.len()), (100, 360));
        assert_eq!(data.shape, ImageShape { channels: 1, height: 12, width: 12 });
        assert_eq!(data.describe(), "digits 12x12, 100 train, 360 test");
    }

    #[test]
    fn a_limit_beyond_the_set_is_refused() {
        let said = Dataset::load(&DataSpec { limit: Some(5000), ..spec(DataKind::Digits) })
            .unwrap_err()
            .to_string();
        assert_eq!(said, "data.limit = 5000: the data set has 1437 training images");
    }

    #[test]
    fn the_cifar10_subset_loads_if_it_is_there() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
        if !dir.is_dir() {
            skipped!("no CIFAR-10 subset at {}", dir.display());
            return;
        }
        let data =
            Dataset::load(&DataSpec { dir: Some(dir), size: Some(16), ..spec(DataKind::Cifar10) })
                .unwrap();
        assert_eq!((data.train.len(), data.test.len(), data.classes), (3805, 761, 10));
        assert_eq!(data.shape, ImageShape { channels: 3, height: 16, width: 16 });
        let batch = data.train.range(0, 3805).unwrap();
        let mean: f64 = batch.images.mean(tch::Kind::Float).try_into().unwrap();
        assert!(mean.abs() < 0.1, "{mean}");
    }
}
