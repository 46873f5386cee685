//! What may be typed after `surface` and `merge`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::args::{OutputFormat, input};
use crate::config::{DirectionNorm, IgnoreParams, Precision};
use crate::landscape::evaluate::NormStatistics;
use crate::landscape::request::{CurvatureKind, ImageCount, PlaneKind, Rows};
use crate::landscape::span::Span;

/// A word of an option and what it means.
macro_rules! words {
    ($(#[$about:meta])* $name:ident => $meaning:ty { $($(#[$doc:meta])* $word:ident => $value:expr,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
        pub enum $name { $($(#[$doc])* $word,)* }

        impl $name {
            /// What is meant.
            pub fn meaning(self) -> $meaning {
                match self { $(Self::$word => $value,)* }
            }
        }
    };
}

words! {
    /// `--norm`
    NormArg => DirectionNorm {
        /// Every filter to its weights' norm
        #[default]
        Filter => DirectionNorm::Filter,
        /// Every tensor to its weights' norm
        Layer => DirectionNorm::Layer,
        /// Every entry times the weight
        Weight => DirectionNorm::Weight,
        /// As drawn
        None => DirectionNorm::None,
    }
}
words! {
    /// `--ignore`
    IgnoreArg => IgnoreParams {
        /// Biases and batch norms stay
        #[default]
        Biasbn => IgnoreParams::Biasbn,
        /// Everything moves
        None => IgnoreParams::None,
    }
}
words! {
    /// `--plane`
    PlaneArg => PlaneKind {
        /// Random directions
        #[default]
        Random => PlaneKind::Random,
        /// Principal components of the run's snapshots, or of its checkpoints
        Pca => PlaneKind::Pca,
    }
}
words! {
    /// `--data`
    DataArg => bool {
        /// Training images
        #[default]
        Train => false,
        /// Test images
        Test => true,
    }
}
words! {
    /// `--bn`
    BnArg => NormStatistics {
        /// The checkpoint's running statistics
        #[default]
        Frozen => NormStatistics::Frozen,
        /// Those of each batch of 128 images
        Batch => NormStatistics::Batch,
    }
}
words! {
    /// `--precision`
    PrecisionArg => Precision {
        /// Single precision
        #[default]
        F32 => Precision::F32,
        /// bfloat16 products
        Bf16 => Precision::Bf16,
    }
}
words! {
    /// `--hessian`
    HessianArg => CurvatureKind {
        /// At the centre
        #[default]
        Center => CurvatureKind::Center,
        /// At every point of the grid
        Map => CurvatureKind::Map,
    }
}

/// `--y`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowsArg(pub Rows);

impl FromStr for RowsArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self(Rows::Fitting)),
            _ => text.parse().map(|span| Self(Rows::Given(span))),
        }
    }
}

/// `--images`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImagesArg(pub ImageCount);

impl FromStr for ImagesArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self(ImageCount::All)),
            (_, Ok(count)) if count > 0 => Ok(Self(ImageCount::Count(count))),
            _ => Err("expected a number from 1, or all"),
        }
    }
}

/// `surface ...`
#[derive(Debug, Args)]
pub struct SurfaceArgs {
    /// The weights in the middle: a state dict (.safetensors, .pt), or the folder of a run (its newest checkpoint) or of a step
    #[arg(value_parser = input())]
    pub checkpoint: PathBuf,
    /// Columns, as MIN:MAX:N [default: -1:1:51; with --to -0.5:1.5:41; with --plane pca what holds the path]
    #[arg(long, value_name = "MIN:MAX:N", allow_hyphen_values = true)]
    pub x: Option<Span>,
    /// Rows, as MIN:MAX:N, or `auto` for what fits; left out: a profile along x
    #[arg(long, value_name = "MIN:MAX:N", allow_hyphen_values = true)]
    pub y: Option<RowsArg>,
    /// Scaling of random directions
    #[arg(long, value_enum, default_value_t)]
    pub norm: NormArg,
    /// What random directions leave alone: biases and batch norms, or nothing
    #[arg(long, value_enum, default_value_t)]
    pub ignore: IgnoreArg,
    /// Random directions, or the principal components of the run's snapshots, or of its checkpoints
    #[arg(long, value_enum, default_value_t)]
    pub plane: PlaneArg,
    /// Draw the run's path in a plane that was not laid through it: the places nearest to its snapshots, or to its checkpoints
    #[arg(long)]
    pub path: bool,
    /// Interpolate to this checkpoint, which lies at x = 1; batch-norm statistics move along
    #[arg(long, value_name = "CHECKPOINT", value_parser = input())]
    pub to: Option<PathBuf>,
    /// Seed of random directions [default: the run's]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Images behind every point, or `all`
    #[arg(long, value_name = "N", default_value = "512")]
    pub images: ImagesArg,
    /// Training or test images
    #[arg(long, value_enum, default_value_t)]
    pub data: DataArg,
    /// Batch-norm statistics: the checkpoint's own, or those of the images at hand
    #[arg(long, value_enum, default_value_t)]
    pub bn: BnArg,
    /// Arithmetic of the forward passes
    #[arg(long, value_enum, default_value_t)]
    pub precision: PrecisionArg,
    /// Compute points only where interpolation would show; a mask in the file tells which
    #[arg(long)]
    pub adaptive: bool,
    /// Extreme eigenvalues of the Hessian, at the centre or at every point
    #[arg(long, value_enum, value_name = "WHERE", num_args = 0..=1, default_missing_value = "center")]
    pub hessian: Option<HessianArg>,
    /// Go on with weights that are NaN or infinite
    #[arg(long)]
    pub non_finite: bool,
    /// Compute part I of N into a file of its own; `auto` takes Slurm's or MPI's rank
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,
    /// Which network, where the checkpoint does not say
    #[arg(long, value_name = "NAME")]
    pub arm: Option<String>,
    /// The config of a checkpoint outside a run folder
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// auto, cpu, cuda or cuda:N; auto shares the grid between all GPUs
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: String,
    /// The file, .h5, .npz or .vts [default: in the run folder's surfaces/, else here]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// `merge ...`
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The shards' files
    #[arg(required = true, value_parser = input())]
    pub files: Vec<PathBuf>,
    /// The whole, .h5, .npz or .vts
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}
