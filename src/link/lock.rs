//! The lock in a run folder: held by the process that trains in it, and the one sign by which others tell whether it lives.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// The lock's name in a run folder.
pub const NAME: &str = "engine.lock";

/// Held while a process trains in a folder; the system frees it when the process ends, however it does.
#[derive(Debug)]
pub struct FolderLock(#[allow(dead_code, reason = "its lock is what it is held for")] File);

/// Takes the lock of `folder`; none if another process holds it. A file system that knows no locks lets everybody in.
///
/// # Errors
/// When the file cannot be made.
pub fn take(folder: &Path) -> io::Result<Option<FolderLock>> {
    let path = folder.join(NAME);
    of(File::options().write(true).create(true).truncate(false).open(path)?)
}

/// Takes the lock of `folder` if somebody has trained there; none if somebody does, or nobody ever has.
///
/// # Errors
/// When the file cannot be opened.
pub fn take_left(folder: &Path) -> io::Result<Option<FolderLock>> {
    match File::options().write(true).open(folder.join(NAME)) {
        Ok(file) => of(file),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn of(file: File) -> io::Result<Option<FolderLock>> {
    match file.try_lock() {
        Ok(()) => Ok(Some(FolderLock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => {
            tracing::warn!("the run folder cannot be locked: {e}");
            Ok(Some(FolderLock(file)))
        }
        Err(TryLockError::Error(e)) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        assert!(take_left(folder.path()).unwrap().is_none(), "nobody has trained here");
        let held = take(folder.path()).unwrap();
        assert!(held.is_some());
        assert!(take(folder.path()).unwrap().is_none());
        assert!(take_left(folder.path()).unwrap().is_none());
        drop(held);
        assert!(take_left(folder.path()).unwrap().is_some());
    }
}
