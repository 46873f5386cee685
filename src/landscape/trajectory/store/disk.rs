//! What of a path lies on disk: taken up, let go of, put aside.

use std::fs;
use std::path::PathBuf;

use super::super::file::{self, Content, FileError};
use super::super::values::Values;
use super::{Room, Store};

impl Store {
    /// Steps of the snapshots in the folder, rising.
    pub fn on_disk(&self) -> Vec<u64> {
        file::steps(&self.folder)
    }

    /// Removes the snapshots of steps later than `last` from the folder: a run that goes on from there makes them again.
    pub fn forget_after(&self, last: u64) {
        for step in self.on_disk().into_iter().filter(|s| *s > last) {
            let _ = fs::remove_file(file::path(&self.folder, step));
        }
    }

    /// Removes all snapshots from the folder: those of an arm that was lost with its fork are no part of the path of another
    /// that has its name.
    pub fn forget_all(&self) {
        for step in self.on_disk() {
            let _ = fs::remove_file(file::path(&self.folder, step));
        }
    }

    /// Moves the folder to one beside it: what a file system refuses today it may give tomorrow. The new place, or none if it
    /// is refused too.
    pub fn set_aside(&self) -> Option<PathBuf> {
        let name = self.folder.file_name()?.to_string_lossy();
        let place = |n: u32| self.folder.with_file_name(format!("{name}.lost-{n}"));
        let free = (1..=u32::MAX).map(place).find(|folder| !folder.exists())?;
        fs::rename(&self.folder, &free).ok().map(|()| free)
    }

    /// Reads the snapshots in the folder that are newer than those here, up to `last`. What cannot be read is left out
    /// and told; a file that is broken is removed, so that it holds up nobody else.
    pub fn restore(&mut self, last: u64, room: &mut Room) -> Vec<FileError> {
        let mut told = Vec::new();
        let here = self.rows.last().map(|r| r.step);
        let mut steps = self.on_disk();
        steps.retain(|s| *s <= last && here.is_none_or(|here| *s > here));
        let Some(newest) = steps.last().copied() else { return told };
        let first = self.rows.first().map(|r| r.step).or(steps.first().copied()).unwrap_or(newest);
        self.thin(newest, room);
        for step in steps {
            let path = file::path(&self.folder, step);
            if !self.thinning.keeps(first, newest, step) {
                let _ = fs::remove_file(&path);
                continue;
            }
            match Content::read(&path, self.first.len(), self.statistics) {
                Ok(content) => self.take_up(step, content, room),
                Err(error) => {
                    if matches!(error, FileError::Content { .. }) {
                        let _ = fs::remove_file(&path);
                    }
                    told.push(error);
                }
            }
        }
        told
    }

    /// Adds what a file holds. A path begins with a first snapshot, from which the others differ: what comes before one is
    /// of another path.
    fn take_up(&mut self, step: u64, content: Content, room: &mut Room) {
        match content.theta {
            Some(theta) => {
                self.let_go(room);
                self.first = theta;
            }
            None if self.rows.is_empty() => return,
            None => {}
        }
        self.push(step, content.loss, content.difference, room);
    }

    /// The numbers of a snapshot that lies on disk alone; none if they cannot be read.
    pub(super) fn read(&self, step: u64) -> Option<Values> {
        let path = file::path(&self.folder, step);
        Content::read(&path, self.first.len(), self.statistics).ok().map(|c| c.difference)
    }
}
