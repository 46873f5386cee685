//! The newest map in the plane of an arm's path, among the files in a run's `surfaces/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::landscape::file::SurfaceFile;
use crate::landscape::source::steps;
use crate::landscape::trajectory::file as snapshot;

/// Where surfaces lie in a run folder.
const SURFACES: &str = "surfaces";
/// The plane of a path, as files and their names say it.
const PCA: &str = "pca";
/// Checkpoints, or snapshots and a checkpoint, below which `surface --plane pca` has no plane.
const FEWEST: usize = 3;

/// A map in the plane of an arm's path.
#[derive(Clone, Debug)]
pub struct Laid {
    /// Its file.
    pub file: PathBuf,
    /// What it holds, path included.
    pub content: SurfaceFile,
}

/// A file that may be one, by its name.
struct Candidate {
    step: u64,
    made: SystemTime,
    file: PathBuf,
}

/// The newest map in the plane of the path of `arm` in the run `folder`: of the latest step, and of several of that step
/// the one made last. Files that are broken, unfinished, parts of a map, or of another arm are passed over.
pub fn newest(folder: &Path, arm: &str) -> Option<Laid> {
    let entries = fs::read_dir(folder.join(SURFACES)).into_iter().flatten().flatten();
    let mut found: Vec<Candidate> = entries.filter_map(|e| candidate(&e.path(), arm)).collect();
    found.sort_by(|a, b| (b.step, b.made, &b.file).cmp(&(a.step, a.made, &a.file)));
    found.into_iter().find_map(|Candidate { file, .. }| {
        let content = SurfaceFile::read(&file).ok()?;
        is_laid(&content, arm).then_some(Laid { file, content })
    })
}

/// STEP-ARM-...pca....h5, as the engine and `surface` name such files.
fn candidate(file: &Path, arm: &str) -> Option<Candidate> {
    let name = file.file_name()?.to_str()?.strip_suffix(".h5")?;
    let (step, rest) = name.split_once('-')?;
    let told = rest.strip_prefix(arm)?.strip_prefix('-')?;
    told.split('-').any(|word| word == PCA).then_some(())?;
    let made = fs::metadata(file).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    Some(Candidate { step: step.parse().ok()?, made, file: file.to_owned() })
}

fn is_laid(content: &SurfaceFile, arm: &str) -> bool {
    let about = &content.about;
    let has_path = content.trajectory.as_ref().is_some_and(|t| t.xs.len() > 1);
    let known = content.surface.loss.iter().any(|v| v.is_finite());
    about.plane == PCA
        && about.arm == arm
        && about.shard.is_none()
        && has_path
        && known
        && !content.surface.is_profile()
}

/// How to get a map in the plane of the path of `arm`, in a few words.
pub fn hint(folder: &Path, arm: &str) -> String {
    let weights = |step: &PathBuf| step.join(format!("{arm}.safetensors")).is_file();
    let kept = steps(folder).iter().filter(|(_, step)| weights(step)).count();
    let snapshots = snapshot::steps(&folder.join(snapshot::FOLDER).join(arm)).len();
    let folder = folder.display();
    let of = match (kept, snapshots) {
        (1.., n) if n + 1 >= FEWEST => Some(format!("{n} snapshots")),
        (FEWEST.., _) => Some(format!("{kept} checkpoints")),
        _ => None,
    };
    if let Some(of) = of {
        format!("landscope surface {folder} --arm {arm} --plane pca --y=auto makes one of its {of}")
    } else {
        "a run draws it from its third snapshot on, at every map.every steps, where map.plane is pca or both \
         and trajectory.keep is not 0"
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_arm_and_plane() {
        let is = |name: &str, arm: &str| candidate(Path::new(name), arm).map(|c| c.step);
        assert_eq!(is("00000240-sgd-pca.h5", "sgd"), Some(240));
        assert_eq!(is("00000240-sgd-51x51-32-images-pca.h5", "sgd"), Some(240));
        assert_eq!(is("00000240-sgd-wd-pca.h5", "sgd-wd"), Some(240));
        for (name, arm) in [
            ("00000240-sgd.h5", "sgd"),
            ("00000240-sgd-pca.h5", "sg"),
            ("00000240-sgd-pca.h5.part", "sgd"),
            ("x-sgd-pca.h5", "sgd"),
            ("sgd", "sgd"),
        ] {
            assert_eq!(is(name, arm), None, "{name}");
        }
    }
}
