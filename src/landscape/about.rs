//! What a surface file says of itself besides its numbers.

use serde::{Deserialize, Serialize};

/// Where a surface comes from: the attributes of its file, in their words. A file of other origin leaves them empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The checkpoint of the centre; empty if the weights came from a run as it was.
    pub checkpoint: String,
    /// SHA-256 of the checkpoint file, in hex; empty as above.
    pub weights_sha256: String,
    /// SHA-256 of the images' pixels and labels as the network sees them, in hex; empty where a file does not tell.
    pub images_sha256: String,
    /// The checkpoint at x = 1, of an interpolation; empty else.
    pub to: String,
    /// SHA-256 of that file.
    pub to_sha256: String,
    /// Whose weights are the centre.
    pub arm: String,
    /// Steps done.
    pub step: u64,
    /// `random`, `pca` or `line`.
    pub plane: String,
    /// Scaling of random directions: `filter`, `layer`, `weight`, `none`.
    pub norm: String,
    /// What did not move: `biasbn`, `none`.
    pub ignore: String,
    /// Seed of random directions.
    pub seed: u64,
    /// Which images: `train`, `test`.
    pub split: String,
    /// Batch-norm statistics: `frozen`, `batch`.
    pub bn: String,
    /// Arithmetic of the forward passes: `f32`, `bf16`.
    pub precision: String,
    /// Cosine of the two directions; NaN if there is but one.
    #[serde(with = "crate::telemetry::number::null_as_nan")]
    pub cosine: f64,
    /// Share of the trajectory's variance along each direction; empty unless the plane is `pca`.
    pub variance: Vec<f64>,
    /// Which part of the grid this is, of how many; none for the whole.
    pub shard: Option<(u64, u64)>,
    /// Whether finer grids were planned: a live map that gave way to a newer one, or to the run's end. Interpolation between
    /// its points is then a part of every gap.
    #[serde(default)]
    pub coarse: bool,
}

impl Default for About {
    fn default() -> Self {
        Self {
            checkpoint: String::new(),
            weights_sha256: String::new(),
            images_sha256: String::new(),
            to: String::new(),
            to_sha256: String::new(),
            arm: String::new(),
            step: 0,
            plane: String::new(),
            norm: String::new(),
            ignore: String::new(),
            seed: 0,
            split: TRAIN.to_owned(),
            bn: String::new(),
            precision: String::new(),
            cosine: f64::NAN,
            variance: Vec::new(),
            shard: None,
            coarse: false,
        }
    }
}

/// The training images, as [`About::split`] names them.
pub const TRAIN: &str = "train";
/// The test images.
pub const TEST: &str = "test";

/// A word of the config as it is typed.
pub fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

impl About {
    /// The first thing in which two files differ that must not where both belong to one surface: its name, and what
    /// each says. The paths of checkpoints may differ where their bytes do not.
    pub fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let words = |a: &Self| {
            [
                ("weights_sha256", a.weights_sha256.clone()),
                ("to_sha256", a.to_sha256.clone()),
                ("images_sha256", a.images_sha256.clone()),
                ("arm", a.arm.clone()),
                ("step", a.step.to_string()),
                ("plane", a.plane.clone()),
                ("norm", a.norm.clone()),
                ("ignore", a.ignore.clone()),
                ("seed", a.seed.to_string()),
                ("split", a.split.clone()),
                ("bn", a.bn.clone()),
                ("precision", a.precision.clone()),
            ]
        };
        words(self)
            .into_iter()
            .zip(words(other))
            .find(|(a, b)| a != b)
            .map(|((name, a), (_, b))| (name, a, b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_may_differ_and_weights_may_not() {
        let a = About { checkpoint: "here".to_owned(), seed: 3, ..About::default() };
        let b = About { checkpoint: "there".to_owned(), shard: Some((1, 2)), ..a.clone() };
        assert_eq!(a.difference(&b), None);
        let c = About { seed: 4, ..a.clone() };
        assert_eq!(a.difference(&c), Some(("seed", "3".to_owned(), "4".to_owned())));
    }
}
