//! Where live runs are found, whatever folder one stands in: a link to each run's socket in the user's state folder. Its
//! short path serves `ssh -L` as well.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{lock, socket};

/// Runs of one name in different places.
const SAME_NAME: usize = 100;
const ENDING: &str = "sock";

/// A run's entry; dropped, it is gone.
#[derive(Debug)]
pub struct Entry(PathBuf);

/// One run that may be alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The run folder's name.
    pub name: String,
    /// The entry, by which its socket is reached.
    pub entry: PathBuf,
    /// The run folder.
    pub folder: PathBuf,
}

/// The folder of the entries: `LANDSCOPE_STATE`, else `landscope` in the user's state folder.
pub fn place(var: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let set = |name| var(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let state = || {
        Some(set("XDG_STATE_HOME").or(Some(set("HOME")?.join(".local/state")))?.join("landscope"))
    };
    set("LANDSCOPE_STATE").or_else(state).map(|p| p.join("live"))
}

/// Enters the run in `folder` into `place`.
///
/// # Errors
/// When the file system refuses.
pub fn enter(place: &Path, folder: &Path) -> io::Result<Entry> {
    DirBuilder::new().recursive(true).mode(0o700).create(place)?;
    let folder = std::path::absolute(folder)?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for number in 1..=SAME_NAME {
        let name = if number == 1 { name.clone() } else { format!("{name}-{number}") };
        let entry = place.join(format!("{name}.{ENDING}"));
        match symlink(folder.join(socket::NAME), &entry) {
            Ok(()) => return Ok(Entry(entry)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                // Its own entry of an engine that was killed, or a dead one's.
                let target = fs::read_link(&entry).unwrap_or_default();
                if target == folder.join(socket::NAME) {
                    return Ok(Entry(entry));
                }
                if clear_if_dead(&target, &entry) {
                    symlink(folder.join(socket::NAME), &entry)?;
                    return Ok(Entry(entry));
                }
            }
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many live runs of one name"))
}

impl Drop for Entry {
    fn drop(&mut self) {
        // One that is gone already is no harm.
        let _ = fs::remove_file(&self.0);
    }
}

/// The entries, newest first. What a killed engine has left, its entry and its socket, is cleared.
pub fn found(place: &Path) -> Vec<Found> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let mut found: Vec<(SystemTime, Found)> = Vec::new();
    for entry in entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == ENDING)) {
        let Ok(target) = fs::read_link(&entry) else { continue };
        match socket::connect(&target) {
            Ok(_) => {
                let made = fs::symlink_metadata(&entry).and_then(|m| m.modified());
                let folder = target.parent().unwrap_or(Path::new("/")).to_owned();
                let name = entry.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                found.push((made.unwrap_or(SystemTime::UNIX_EPOCH), Found { name, entry, folder }));
            }
            Err(_) => drop(clear_if_dead(&target, &entry)),
        }
    }
    found.sort_by_key(|(made, _)| std::cmp::Reverse(*made));
    found.into_iter().map(|(_, f)| f).collect()
}

/// Removes the socket `target` and its `entry` if nobody trains in the folder any more, which its lock tells: an engine that
/// cannot be reached may be just beginning, or on another machine that shares this home. Whether they were removed.
fn clear_if_dead(target: &Path, entry: &Path) -> bool {
    let Some(folder) = target.parent().filter(|_| target.ends_with(socket::NAME)) else {
        return false;
    };
    let is_socket = fs::symlink_metadata(target).map(|m| m.file_type().is_socket());
    match (is_socket, lock::take_left(folder)) {
        // Held while both go, so that no engine begins meanwhile.
        (Ok(true), Ok(Some(_held))) => {
            let _ = fs::remove_file(target);
            fs::remove_file(entry).is_ok()
        }
        // The folder, or all that was in it, is gone.
        (Err(e), Ok(lock)) if e.kind() == io::ErrorKind::NotFound => {
            (lock.is_some() || !folder.join(lock::NAME).exists()) && fs::remove_file(entry).is_ok()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_follows_the_environment() {
        let with = |pairs: &'static [(&str, &str)]| {
            place(move |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into()))
        };
        assert_eq!(with(&[("HOME", "/h")]), Some("/h/.local/state/landscope/live".into()));
        assert_eq!(
            with(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")]),
            Some("/s/landscope/live".into())
        );
        assert_eq!(with(&[("LANDSCOPE_STATE", "/x"), ("HOME", "/h")]), Some("/x/live".into()));
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn live_runs_are_found_and_dead_ones_cleared() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("state/live");
        let folders = ["one/run", "two/run", "one/dead"].map(|f| root.path().join(f));
        for folder in &folders {
            fs::create_dir_all(folder).unwrap();
        }
        let _listening = [&folders[0], &folders[1]].map(|f| socket::listen(f).unwrap());
        drop(socket::listen(&folders[2]).unwrap());
        let _training = [&folders[0], &folders[1]].map(|f| lock::take(f).unwrap().unwrap());
        drop(lock::take(&folders[2]).unwrap());
        // Alive, but not to be reached: it is just beginning, or trains on another machine.
        let beginning = root.path().join("one/beginning");
        fs::create_dir_all(&beginning).unwrap();
        let _lock = lock::take(&beginning).unwrap().unwrap();
        drop(socket::listen(&beginning).unwrap());
        let _its_entry = enter(&place, &beginning).unwrap();
        // A link to something else is nobody's socket.
        let precious = root.path().join("precious.sock");
        fs::write(&precious, "x").unwrap();
        symlink(&precious, place.join("odd.sock")).unwrap();
        let entries = folders.each_ref().map(|f| enter(&place, f).unwrap());
        let names: Vec<String> = found(&place).into_iter().map(|f| f.name).collect();
        assert_eq!(names.len(), 2);
        assert!(names.contains(&"run".to_owned()) && names.contains(&"run-2".to_owned()));
        assert!(!folders[2].join(socket::NAME).exists(), "the dead socket is gone");
        assert!(beginning.join(socket::NAME).exists(), "a living one is not");
        assert!(precious.exists());
        drop(entries);
        assert!(found(&place).is_empty());
    }
}
