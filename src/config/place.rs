//! Where a config, its data and a clone's folders are, so that what names one works from any directory of the clone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where run folders are made, at the top of a clone.
const CHECKPOINTS: &str = "checkpoints";

/// Bytes of the longest config that is read.
const MOST_BYTES: u64 = 1 << 20;

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

/// The folder of a config's data: as it is written where that is there, else beside the config, else in the clone.
pub(super) fn folder_of_data(dir: &Path, config: Option<&Path>) -> PathBuf {
    let beside = config.and_then(Path::parent).map(|folder| folder.join(dir));
    match beside {
        // By one path from wherever it is asked for.
        Some(beside) if !dir.exists() && beside.exists() => beside.canonicalize().unwrap_or(beside),
        _ => in_clone(dir),
    }
}

/// The text of a file that is one: a device or a pipe may have no end.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let about = fs::metadata(path)?;
    if about.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !about.is_file() || about.len() > MOST_BYTES {
        let text = format!("expected a file of at most {MOST_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    fs::read_to_string(path)
}

/// Where run folders are made: at the top of the clone, else here.
pub fn default_out() -> PathBuf {
    above().map_or_else(|| PathBuf::from(CHECKPOINTS), |top| top.join(CHECKPOINTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_are_found_beside_their_config_by_one_path() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("conf/sets")).unwrap();
        let (plain, around) = (top.join("conf/a.toml"), top.join("conf/../conf/a.toml"));
        for config in [&plain, &around] {
            assert_eq!(folder_of_data(Path::new("sets"), Some(config)), top.join("conf/sets"));
        }
        let none = Path::new("no-such-sets");
        assert_eq!(folder_of_data(none, Some(&plain)), none, "as it is written, for the error");
        assert!(read_text(Path::new("/dev/zero")).is_err() && read_text(&top).is_err());
    }

    #[test]
    fn a_clone_is_told_by_its_configs() {
        let clone = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(top_of(&clone.join("src/config")), Some(clone));
        assert_eq!(top_of(clone), Some(clone));
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(top_of(dir.path()), None);
    }
}
