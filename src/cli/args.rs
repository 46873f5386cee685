//! What may be typed.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::surface_args::{MergeArgs, SurfaceArgs};
use crate::config::{DEFAULT_CONFIG, default_out, in_clone};
use crate::record::figure::{Levels, Size, What};
use crate::telemetry::chart::View;
use crate::ui::Characters;

/// An oscilloscope for training neural networks: a network with skip connections and its twin without them, on the same
/// batches, side by side.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub struct Cli {
    /// What to do; `run` where nothing is named.
    #[command(subcommand)]
    pub command: Option<Sub>,
    /// `run` is understood.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Sub {
    /// Train, on a dashboard or headless
    Run(RunArgs),
    /// Live runs
    Ls(LsArgs),
    /// Show a live run, the newest if none is named; or the last state of one that is over
    Attach(AttachArgs),
    /// Stop a live run after a checkpoint
    Stop(StopArgs),
    /// Compute the loss around a checkpoint
    Surface(SurfaceArgs),
    /// Put the shards of a surface together
    Merge(MergeArgs),
    /// Draw a surface file: in the terminal, or as PNG or SVG
    Plot(PlotArgs),
    /// Tell how the arms of a run moved: angles, spread, and the plane of each path; draw or export the paths
    Trajectory(TrajectoryArgs),
    /// Data sets
    Data {
        /// What to do with them.
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Measure the twin step and what telemetry costs, beside a PyTorch peer if one is named
    Bench(BenchArgs),
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// The process that trains; `run` starts it
    #[command(hide = true)]
    Engine(EngineArgs),
}

/// `data ...`
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// List the data sets, their files and how to use them
    List,
}

/// `run ...`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A config file, or the name of one in configs/ without its ending; demo where none is named
    pub config: Option<String>,
    /// Lay a value over the config, as in train.lr=0.05 or arm.noskip.lr=0.01
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Optimizer steps to make
    #[arg(long, value_name = "N", conflicts_with = "epochs")]
    pub steps: Option<u64>,
    /// Passes over the training set to make
    #[arg(long, value_name = "N")]
    pub epochs: Option<f64>,
    /// auto, cpu, cuda or cuda:N
    #[arg(long)]
    pub device: Option<String>,
    /// Where run folders are made
    #[arg(long, value_name = "DIR", default_value_os_t = default_out())]
    pub out: PathBuf,
    /// Go on with a run from its newest whole checkpoint: a run folder, or its name. Or auto: the newest unfinished run
    /// of this config below --out, or a new one where there is none
    #[arg(long, value_name = "RUN", conflicts_with = "replay")]
    pub resume: Option<String>,
    /// Make a run again, with every change that was made by hand, in a new folder
    #[arg(long, value_name = "RUN", conflicts_with_all = ["config", "set"])]
    pub replay: Option<String>,
    /// No dashboard; so it is by itself when stdout is no terminal
    #[arg(long)]
    pub headless: bool,
    /// What a headless run prints on stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
    /// What is drawn with.
    #[command(flatten)]
    pub characters: CharacterArgs,
    /// Only look: keys that change the run do nothing
    #[arg(long)]
    pub readonly: bool,
}

/// What is drawn with in the terminal.
#[derive(Clone, Copy, Debug, Args)]
pub struct CharacterArgs {
    /// Draw with ASCII characters alone; so it is by itself where the terminal shows nothing else
    #[arg(long)]
    pub ascii: bool,
    /// Draw with lines, blocks and braille, whatever the terminal answers
    #[arg(long, conflicts_with = "ascii")]
    pub unicode: bool,
}

impl CharacterArgs {
    /// What is asked for, if anything is.
    pub fn forced(self) -> Option<Characters> {
        match self {
            Self { ascii: true, .. } => Some(Characters::Ascii),
            Self { unicode: true, .. } => Some(Characters::Unicode),
            _ => None,
        }
    }
}

/// `ls ...`
#[derive(Debug, Args)]
pub struct LsArgs {
    /// A table for people, or one object a line
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// `attach ...`
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// Its name as `ls` shows it, the beginning of it, or its folder
    pub run: Option<String>,
    /// Where run folders are
    #[arg(long, value_name = "DIR", default_value_os_t = default_out())]
    pub out: PathBuf,
    /// The engine's socket itself, as forwarded by ssh -L
    #[arg(long, value_name = "PATH", conflicts_with = "run")]
    pub socket: Option<PathBuf>,
    /// Only look: keys that change the run do nothing
    #[arg(long)]
    pub readonly: bool,
    /// What is drawn with.
    #[command(flatten)]
    pub characters: CharacterArgs,
}

/// `stop ...`
#[derive(Debug, Args)]
pub struct StopArgs {
    /// Its name as `ls` shows it, the beginning of it, or its folder
    pub run: String,
    /// Where run folders are
    #[arg(long, value_name = "DIR", default_value_os_t = default_out())]
    pub out: PathBuf,
}

/// `plot ...`
#[derive(Debug, Args)]
pub struct PlotArgs {
    /// A surface file, as in a run's surfaces/
    #[arg(value_parser = input())]
    pub file: PathBuf,
    /// Write a figure, PNG or SVG by the name's ending, instead of drawing in the terminal
    #[arg(long, value_name = "FIGURE")]
    pub out: Option<PathBuf>,
    /// How it is drawn; a map as its contour, a profile as such, where this is not said
    #[arg(long, value_enum)]
    pub view: Option<PlotView>,
    /// What is drawn
    #[arg(long, value_enum, default_value_t)]
    pub what: PlotWhat,
    /// Isolines: published (0.1, 0.6 ... 9.6), quantiles, quantiles:N, or a list as in 0.1,0.5,1
    #[arg(long, default_value = "quantiles", allow_hyphen_values = true)]
    pub levels: Levels,
    /// Heights and all colours by ln(z + 0.1); the colours of a loss always are
    #[arg(long)]
    pub log: bool,
    /// Pixels of a figure, as in 1600x1200
    #[arg(long, value_name = "WIDTHxHEIGHT")]
    pub size: Option<Size>,
    /// What is drawn with.
    #[command(flatten)]
    pub characters: CharacterArgs,
    /// Colours in the terminal; by themselves where stdout is one and NO_COLOR is not set
    #[arg(long, value_enum, default_value_t)]
    pub color: ColorChoice,
}

/// `trajectory ...`
#[derive(Debug, Args)]
pub struct TrajectoryArgs {
    /// A run: its folder, its name below checkpoints/, or the beginning of a live run's name
    pub run: String,
    /// Draw the paths, .png or .svg, or export one arm's map and path, .h5 or .npz
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// One arm alone
    #[arg(long, value_name = "NAME")]
    pub arm: Option<String>,
    /// Isolines of a figure, the same for all arms: published, quantiles, quantiles:N, or a list as in 0.1,0.5,1
    #[arg(long, default_value = "quantiles", allow_hyphen_values = true)]
    pub levels: Levels,
    /// Pixels of a figure, as in 2400x900
    #[arg(long, value_name = "WIDTHxHEIGHT")]
    pub size: Option<Size>,
    /// A table for people, or one object a line
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// How a surface is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlotView {
    /// Isolines with their levels
    Contour,
    /// The bands between isolines, filled
    Filled,
    /// Each point's cell in its colour
    Heat,
    /// A relief
    #[value(name = "3d")]
    ThreeD,
    /// Loss and accuracy along x; of a map, along the row nearest to y = 0
    Profile,
}

impl From<PlotView> for View {
    fn from(view: PlotView) -> Self {
        match view {
            PlotView::Contour => Self::Contour,
            PlotView::Filled => Self::Filled,
            PlotView::Heat => Self::Heat,
            PlotView::ThreeD => Self::ThreeD,
            PlotView::Profile => Self::Profile,
        }
    }
}

/// What of a surface is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PlotWhat {
    /// The loss
    #[default]
    Loss,
    /// The accuracy
    Acc,
    /// |lambda_min / lambda_max| of the Hessian, where the file has it
    Hessian,
}

impl From<PlotWhat> for What {
    fn from(what: PlotWhat) -> Self {
        match what {
            PlotWhat::Loss => Self::Loss,
            PlotWhat::Acc => Self::Accuracy,
            PlotWhat::Hessian => Self::Hessian,
        }
    }
}

/// When there are colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal that has them
    #[default]
    Auto,
    /// Even into a file or a pipe
    Always,
    /// Not at all
    Never,
}

/// `engine ...`
#[derive(Debug, Args)]
pub struct EngineArgs {
    /// The run folder
    pub folder: PathBuf,
    /// Go on from its newest whole checkpoint
    #[arg(long)]
    pub resume: bool,
    /// Make the changes of the run in this folder
    #[arg(long, value_name = "FOLDER")]
    pub replay: Option<PathBuf>,
    /// Values over those of run.toml
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// A file or folder to be read: one that the clone has is found from any directory of it.
pub(super) fn input() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().map(|path| in_clone(&path))
}

/// What is printed on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// `bench ...`
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// A config file, or the name of one in configs/ without its ending
    #[arg(default_value = DEFAULT_CONFIG)]
    pub config: String,
    /// Lay a value over the config
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Measure loss surfaces in place of training
    #[arg(long)]
    pub surface: bool,
    /// Measure what keeping the arms' paths costs the training; give --steps the run's own length
    #[arg(long, conflicts_with_all = ["surface", "peer"])]
    pub trajectory: bool,
    /// The folder of peer_train.py and peer_surface.py, to be run in turn with landscope
    #[arg(long, value_name = "DIR", value_parser = input())]
    pub peer: Option<PathBuf>,
    /// The Python that has torch
    #[arg(long, value_name = "PATH", default_value = "python3")]
    pub python: PathBuf,
    /// Steps of each run
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(20..=100_000))]
    pub steps: u64,
    /// Rounds: each runs everything once, in turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub rounds: u64,
}
