//! The checkpoint in the middle of a surface: which file is meant, whose network it is, on which images it was trained.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::LandscapeError;
use super::weights::Reader;
use crate::arm::{ArmName, PerArm};
use crate::config::{self, ArmSpec, Experiment, RUN_FILE};
use crate::data::Dataset;
use crate::model::{Plan, Weights};
use crate::telemetry::event::{ControlChange, FORK};

/// Ending of weights.
const WEIGHTS: &str = "safetensors";
/// Endings of weights that PyTorch saves; looked for where there are none of the other kind.
const OTHER_WEIGHTS: [&str; 2] = ["pt", "pth"];
/// End of the stem of what lies beside them and is none.
const OPTIMIZER: &str = ".optim";

/// A checkpoint's file, and what its place says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    /// The weights.
    pub file: PathBuf,
    /// The run folder that it lies in.
    pub run: Option<PathBuf>,
    /// Steps done, if its folder says so.
    pub step: Option<u64>,
    /// The file's stem: the arm's name in a run folder.
    pub stem: String,
}

/// A network, its weights, and its data.
pub struct Source {
    /// Where the weights lie.
    pub located: Located,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// Whose weights they are.
    pub arm: ArmName,
    /// The network.
    pub plan: Arc<Plan>,
    /// Its weights, on the CPU.
    pub weights: Weights,
    /// What it was trained on.
    pub data: Dataset,
    /// The run's seed, which its live maps' directions are drawn by.
    pub seed: u64,
}

impl Source {
    /// Reads the checkpoint that `path` means: a file, or a folder of a run or of a step in which `arm` chooses. The
    /// experiment is that of the run folder, or `config` where given.
    ///
    /// # Errors
    /// When there is no such checkpoint, its experiment is not known, or it holds another network.
    pub fn open(
        path: &Path,
        arm: Option<&str>,
        config: Option<&Path>,
        reader: &mut Reader,
    ) -> Result<Self, LandscapeError> {
        let located = locate(path, arm)?;
        let experiment = experiment(&located, config)?;
        let arms = arms_of(&experiment, &located)?;
        let spec = choose(&arms, &located, arm)?;
        let data = Dataset::load(&experiment.data)?;
        let plan = Plan::of(&spec.model, spec.skip, data.shape.sizes(), data.classes);
        let (weights, sha256) = reader.read(&located.file, &plan)?;
        let seed = experiment.seed;
        Ok(Self {
            arm: spec.name.clone(),
            located,
            sha256,
            plan: Arc::new(plan),
            weights,
            data,
            seed,
        })
    }
}

/// The file that `path` means.
///
/// # Errors
/// When there is none, or several and no `arm` to choose by.
pub fn locate(path: &Path, arm: Option<&str>) -> Result<Located, LandscapeError> {
    let file = match path.is_dir() {
        false => path.to_owned(),
        true => inside(path, arm)?,
    };
    if !file.is_file() {
        let text = if file.exists() {
            "is no regular file; expected a state dict or a run folder"
        } else {
            "no such checkpoint; expected a .safetensors or .pt file, or a run folder"
        };
        return Err(LandscapeError::input(&file, text));
    }
    let folder = file.canonicalize().ok().and_then(|f| Some(f.parent()?.to_owned()));
    let step = folder.as_deref().and_then(step_of);
    let run = folder.and_then(|f| f.parent().map(Path::to_owned));
    let run = run.filter(|r| r.join(RUN_FILE).is_file());
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Located { file, run, step, stem })
}

fn step_of(folder: &Path) -> Option<u64> {
    folder.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()
}

/// The checkpoint in a run's or a step's folder.
fn inside(folder: &Path, arm: Option<&str>) -> Result<PathBuf, LandscapeError> {
    let steps = steps(folder);
    let place = match steps.last() {
        Some((_, newest)) => newest.clone(),
        None => folder.to_owned(),
    };
    let mut files = ending_with(&place, &[WEIGHTS]);
    if files.is_empty() {
        files = ending_with(&place, &OTHER_WEIGHTS);
    }
    let found: Vec<&str> = files.iter().map(|(stem, _)| &stem[..]).collect();
    let named: Vec<&PathBuf> = files
        .iter()
        .filter(|(stem, _)| arm.is_none_or(|arm| arm == stem))
        .map(|(_, f)| f)
        .collect();
    match (arm, &found[..]) {
        _ if named.len() == 1 => Ok(named[0].clone()),
        (_, []) => Err(LandscapeError::input(folder, "holds no checkpoint")),
        (Some(arm), _) => Err(LandscapeError::Option {
            name: "--arm",
            value: arm.to_owned(),
            text: format!("{} holds {}", place.display(), found.join(", ")),
        }),
        (None, _) => {
            let text = format!("holds {}; choose one with --arm", found.join(", "));
            Err(LandscapeError::input(&place, text))
        }
    }
}

/// The files in a folder with one of the endings, by their stems.
fn ending_with(folder: &Path, endings: &[&str]) -> Vec<(String, PathBuf)> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let stem = |file: PathBuf| {
        let stem = file.file_stem()?.to_str()?.to_owned();
        let fits = endings.iter().any(|e| file.extension().is_some_and(|own| own == *e));
        (fits && !stem.ends_with(OPTIMIZER)).then_some((stem, file))
    };
    let mut found: Vec<_> = files.filter_map(stem).collect();
    found.sort();
    found
}

/// The checkpoints of a run folder, oldest first.
pub fn steps(run: &Path) -> Vec<(u64, PathBuf)> {
    let entries = fs::read_dir(run).into_iter().flatten().flatten().map(|e| e.path());
    let mut found: Vec<_> = entries.filter_map(|p| Some((step_of(&p)?, p))).collect();
    found.sort();
    found
}

fn experiment(located: &Located, config: Option<&Path>) -> Result<Experiment, LandscapeError> {
    let own = located.run.as_ref().map(|run| run.join(RUN_FILE));
    match config.map(Path::to_owned).or(own) {
        Some(file) => Ok(config::load(&file.to_string_lossy(), &[])?),
        None => {
            let text = "lies in no run folder; say with --config which network and data it has";
            Err(LandscapeError::input(&located.file, text))
        }
    }
}

/// The arms of the run at the checkpoint: those that it began with, and their forks.
fn arms_of(experiment: &Experiment, located: &Located) -> Result<PerArm<ArmSpec>, LandscapeError> {
    #[derive(serde::Deserialize)]
    struct State {
        #[serde(default)]
        controls: Vec<ControlChange>,
    }
    let mut arms = experiment.arms.clone();
    let path = located.file.with_file_name("state.json");
    let Ok(text) = fs::read(&path) else { return Ok(arms) };
    let state: State =
        serde_json::from_slice(&text).map_err(|e| LandscapeError::input(&path, e))?;
    for change in state.controls.iter().filter(|c| c.key == FORK) {
        let parent = arms.ids().nth(change.from as usize);
        if let (Some(parent), Some(name)) = (parent, &change.name) {
            arms.push(ArmSpec { name: name.clone(), ..arms[parent].clone() });
        }
    }
    Ok(arms)
}

/// The arm that the weights are of: the one named, else the one that the file is named for, else the only one.
fn choose<'a>(
    arms: &'a PerArm<ArmSpec>,
    located: &Located,
    arm: Option<&str>,
) -> Result<&'a ArmSpec, LandscapeError> {
    let of = |name: &str| arms.values().find(|a| a.name.as_str() == name);
    let known = || arms.values().map(|a| a.name.to_string()).collect::<Vec<_>>().join(", ");
    match arm {
        Some(name) if name != located.stem && of(&located.stem).is_some() => {
            Err(LandscapeError::Option {
                name: "--arm",
                value: name.to_owned(),
                text: format!("{} holds the weights of {}", located.file.display(), located.stem),
            })
        }
        Some(name) => of(name).ok_or_else(|| LandscapeError::Option {
            name: "--arm",
            value: name.to_owned(),
            text: format!("the config's arms are {}", known()),
        }),
        None => {
            let only = arms.values().next().filter(|_| arms.len() == 1);
            of(&located.stem).or(only).ok_or_else(|| {
                let text = format!("which network is it? Name one with --arm: {}", known());
                LandscapeError::input(&located.file, text)
            })
        }
    }
}
