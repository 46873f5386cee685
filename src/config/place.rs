//! Where a clone's folders are, so that what names one works from any directory below it.

use std::path::{Path, PathBuf};

/// Where run folders are made, at the top of a clone.
const CHECKPOINTS: &str = "checkpoints";

/// The top of the clone that the working directory lies in; none at the top itself, and outside of one.
fn above() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let top = top_of(&here)?;
    (top != here).then(|| top.to_owned())
}

/// The nearest folder, from `here` upwards, that holds landscope's configs and its Cargo.toml.
fn top_of(here: &Path) -> Option<&Path> {
    here.ancestors()
        .find(|f| f.join("configs/demo.toml").is_file() && f.join("Cargo.toml").is_file())
}

/// A path as it is typed; where there is nothing and the clone has it, from the clone's top.
pub fn in_clone(path: &Path) -> PathBuf {
    let there = || above().map(|top| top.join(path)).filter(|there| there.exists());
    let found = if path.exists() { None } else { there() };
    found.unwrap_or_else(|| path.to_owned())
}

/// Where run folders are made: at the top of the clone, else here.
pub fn default_out() -> PathBuf {
    above().map_or_else(|| PathBuf::from(CHECKPOINTS), |top| top.join(CHECKPOINTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_told_by_its_configs() {
        let clone = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(top_of(&clone.join("src/config")), Some(clone));
        assert_eq!(top_of(clone), Some(clone));
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(top_of(dir.path()), None);
    }
}
