//! The run folder: checkpoints/NAME-STAMP.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

pub use crate::config::RUN_FILE;

use super::metrics;
use crate::config::{Experiment, in_clone};
use crate::telemetry::event::{Event, RunStatus};

/// Runs of one name that may start within the same second.
const SAME_SECOND: usize = 100;

/// Why a run folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It could not be made.
    #[error("run folder {}: {source}; choose another place with --out", path.display())]
    NotMade {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file in it cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process trains in it.
    #[error("run folder {}: another landscope trains in it; landscope attach shows it", .0.display())]
    InUse(PathBuf),
    /// There is no such run.
    #[error("run {name}: no folder of that name here or in {}, with a run.toml in it{}", out.display(), listed(.known))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Where runs are.
        out: PathBuf,
        /// The newest runs there.
        known: Vec<String>,
    },
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; the newest are {}", names.join(", ")) }
}

/// The folder of the run `name`: a path, or the name of a folder below `out`.
///
/// # Errors
/// When there is no such run; names the newest there are.
pub fn find(name: &str, out: &Path) -> Result<PathBuf, FolderError> {
    let places = [in_clone(Path::new(name)), out.join(name)];
    places.into_iter().find(|p| p.join(RUN_FILE).is_file()).ok_or_else(|| {
        let mut known = all(out);
        known.truncate(3);
        let known = known
            .iter()
            .filter_map(|p| p.file_name())
            .map(|n| n.to_string_lossy().into_owned())
            .collect();
        FolderError::Unknown { name: name.to_owned(), out: out.to_owned(), known }
    })
}

/// The run folders below `out`, newest first.
pub fn all(out: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(out).into_iter().flatten().flatten();
    let mut runs: Vec<(SystemTime, PathBuf)> = entries
        .map(|e| e.path())
        .filter_map(|p| Some((fs::metadata(p.join(RUN_FILE)).ok()?.modified().ok()?, p)))
        .collect();
    runs.sort();
    runs.into_iter().rev().map(|(_, path)| path).collect()
}

/// The runs called `name` below `out` that have begun and were neither finished nor given up, newest first: cut off,
/// stopped, or alive.
pub fn unfinished(name: &str, out: &Path) -> Vec<PathBuf> {
    let is_named = |path: &PathBuf| {
        let folder = path.file_name().unwrap_or_default().to_string_lossy();
        let stamp = folder.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        // The name of another experiment may begin with this one's.
        stamp.is_some_and(is_stamp)
    };
    let has_steps_left = |path: &PathBuf| {
        let end = metrics::last_event(&path.join(metrics::FILE_NAME));
        match end {
            Ok(Some(Event::Done(done))) => done.status == RunStatus::Stopped,
            Ok(_) => true,
            // Nothing was ever written: it cannot be gone on with.
            Err(_) => false,
        }
    };
    all(out).into_iter().filter(is_named).filter(has_steps_left).collect()
}

/// Whether a text is a [`stamp`], with the number of a run of the same second behind it or not.
fn is_stamp(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    matches!(parts[..], [day, time] | [day, time, _] if day.len() == 8 && time.len() == 6)
        && parts.iter().all(|p| digits(p))
}

/// Makes a new run folder below `out`, readable by its owner alone, with `run.toml` in it.
///
/// # Errors
/// When the file system refuses.
pub fn create(out: &Path, experiment: &Experiment) -> Result<PathBuf, FolderError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| FolderError::NotMade { path, source }
    };
    fs::create_dir_all(out).map_err(failed(out))?;
    let stem = format!("{}-{}", experiment.name, stamp(SystemTime::now()));
    let names =
        (1..=SAME_SECOND).map(|n| if n == 1 { stem.clone() } else { format!("{stem}-{n}") });
    for name in names {
        let path = out.join(name);
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {
                write_experiment(&path, experiment).map_err(failed(&path.join(RUN_FILE)))?;
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

/// Writes `run.toml`, whole or not at all. Data is named by a path that holds from any folder.
///
/// # Errors
/// When the file system refuses.
pub fn write_experiment(folder: &Path, experiment: &Experiment) -> io::Result<()> {
    let mut typed = experiment.to_typed();
    if let Some(dir) = &mut typed.data.dir {
        *dir = std::path::absolute(&dir)?;
    }
    let text = toml::to_string(&typed).map_err(io::Error::other)?;
    let new = folder.join(".run.toml.new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, folder.join(RUN_FILE))
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
    use crate::telemetry::event::RunDone;

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
        assert_eq!(find(a.file_name().unwrap().to_str().unwrap(), out.path()).unwrap(), a);
        assert_eq!(find(a.to_str().unwrap(), Path::new("elsewhere")).unwrap(), a);
        let other = Experiment { name: "demo-more".to_owned(), ..experiment.clone() };
        let other = create(out.path(), &other).unwrap();
        assert!(unfinished("demo", out.path()).is_empty(), "none has begun");
        let line = |folder: &Path, text: &str| fs::write(folder.join(metrics::FILE_NAME), text);
        let done = |status| {
            let done = RunDone { status, step: 1, t: 0.0, arms: Vec::new() };
            serde_json::to_string(&Event::Done(done)).unwrap() + "\n"
        };
        line(&other, "").unwrap();
        line(&a, &format!("{}{{\"event\":\"st", done(RunStatus::Finished))).unwrap();
        line(&b, &done(RunStatus::Stopped)).unwrap();
        assert_eq!(unfinished("demo", out.path()), vec![b.clone()]);
        line(&b, &done(RunStatus::Failed)).unwrap();
        assert!(unfinished("demo", out.path()).is_empty());
        let said = find("no-such-run", out.path()).unwrap_err().to_string();
        assert!(
            said.contains("run no-such-run") && said.contains("the newest are demo-"),
            "{said}"
        );
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
