//! The run folder: checkpoints/NAME-STAMP.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::Experiment;

/// Runs of one name that may start within the same second.
const SAME_SECOND: usize = 100;

/// Why a run folder could not be made.
#[derive(Debug, thiserror::Error)]
#[error("run folder {}: {source}; choose another place with --out", path.display())]
pub struct FolderError {
    /// Where.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Makes a new run folder below `out`, readable by its owner alone, with `run.toml` in it.
///
/// # Errors
/// When the file system refuses.
pub fn create(out: &Path, experiment: &Experiment) -> Result<PathBuf, FolderError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| FolderError { path, source }
    };
    fs::create_dir_all(out).map_err(failed(out))?;
    let stem = format!("{}-{}", experiment.name, stamp(SystemTime::now()));
    let names =
        (1..=SAME_SECOND).map(|n| if n == 1 { stem.clone() } else { format!("{stem}-{n}") });
    for name in names {
        let path = out.join(name);
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {
                let text = toml::to_string(&experiment.to_typed()).map_err(io::Error::other);
                let file = path.join("run.toml");
                text.and_then(|t| fs::write(&file, t)).map_err(failed(&file))?;
                fs::create_dir(path.join("surfaces")).map_err(failed(&path))?;
                return Ok(path);
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(failed(&path)(e)),
        }
    }
    let taken =
        io::Error::new(io::ErrorKind::AlreadyExists, "as many runs as fit have this second's name");
    Err(failed(&out.join(stem))(taken))
}

/// A moment as YYYYMMDD-HHMMSS, UTC.
fn stamp(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days since 1970 (H. Hinnant's algorithm), for dates after year 0.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}-{:02}{:02}{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;
    use crate::config::{Typed, resolve};

    #[test]
    fn stamps_are_dates() {
        let at = |s| stamp(UNIX_EPOCH + Duration::from_secs(s));
        assert_eq!(at(0), "19700101-000000");
        assert_eq!(at(951_782_400), "20000229-000000");
        assert_eq!(at(1_798_761_599), "20261231-235959");
    }

    #[test]
    fn a_folder_is_private_new_and_enough_to_run_again() {
        let out = tempfile::tempdir().unwrap();
        let experiment = resolve(&Typed::default()).unwrap();
        let (a, b) =
            (create(out.path(), &experiment).unwrap(), create(out.path(), &experiment).unwrap());
        assert_ne!(a, b);
        assert_eq!(fs::metadata(&a).unwrap().permissions().mode() & 0o777, 0o700);
        let again = crate::config::load(a.join("run.toml").to_str().unwrap(), &[]).unwrap();
        assert_eq!(again, experiment);
        let file = out.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(
            create(&file.join("x"), &experiment)
                .unwrap_err()
                .to_string()
                .contains("choose another place with --out")
        );
    }
}
