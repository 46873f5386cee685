//! What of a surface is done, on disk point by point: a killed program goes on where it was.
//!
//! One line a point, appended in one write; numbers in the shortest decimals that read back to the same bits. The first
//! line says whose points they are.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::about::About;
use super::digest::Sum;
use super::error::LandscapeError;
use super::file::SurfaceFile;

/// What a surface is of, all but its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// As its file tells.
    pub about: About,
    /// Both axes in words, and their digest.
    pub grid: String,
    /// Digest of the images' indices.
    pub images: String,
    /// Digest of the directions.
    pub directions: String,
}

impl Identity {
    /// The identity of a file.
    pub fn of(content: &SurfaceFile) -> Self {
        let SurfaceFile { surface, about, images, directions, .. } = content;
        let axis = |values: &[f64]| match values {
            [first, .., last] => format!("{first}:{last}:{}", values.len()),
            _ => values.iter().map(f64::to_string).collect(),
        };
        let axes = surface.xs.iter().chain([f64::NAN].iter()).chain(&surface.ys);
        let exact = digest(axes.map(|v| v.to_le_bytes()));
        let values = directions.iter().flatten().flat_map(|d| &d.values);
        Self {
            about: about.clone(),
            grid: format!("{} {} {exact}", axis(&surface.xs), axis(&surface.ys)),
            images: digest(images.iter().map(|i| i.to_le_bytes())),
            directions: digest(values.map(|v| v.to_le_bytes())),
        }
    }

    /// The first thing in which two identities differ, and what each says; none if they are of one surface. Parts of
    /// one surface do not differ by being other parts.
    pub fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let digests = |i: &Self| {
            [
                ("grid", i.grid.clone()),
                ("images", i.images.clone()),
                ("directions", i.directions.clone()),
            ]
        };
        self.about.difference(&other.about).or_else(|| {
            let mut pairs = digests(self).into_iter().zip(digests(other));
            let ((name, a), (_, b)) = pairs.find(|(a, b)| a != b)?;
            Some((name, short(&a), short(&b)))
        })
    }
}

/// What people read of a difference: words whole, of a digest the beginning.
fn short(text: &str) -> String {
    let words = text.split(' ').filter(|w| !w.is_empty());
    words
        .map(|w| w.chars().take(if w.contains(':') { 60 } else { 8 }).collect::<String>())
        .collect::<Vec<_>>()
        .join(" ")
}

fn digest<const N: usize>(parts: impl Iterator<Item = [u8; N]>) -> String {
    let mut sum = Sum::default();
    sum.add_all(parts);
    sum.hex()
}

/// Two figures of a point: its index in the grid and what was found there.
pub type Entry = (usize, f64, f64);

/// What a journal holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entries {
    /// Loss and accuracy.
    pub points: Vec<Entry>,
    /// Largest and smallest eigenvalue of the Hessian.
    pub curvature: Vec<Entry>,
}

/// A journal that is being written.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Where the journal of a surface file lies.
    pub fn path_of(file: &Path) -> PathBuf {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        file.with_file_name(name)
    }

    /// Opens the journal at `path`, new or left by a program that was stopped, for the surface `identity`.
    ///
    /// # Errors
    /// When another process holds it, it is another surface's, or the file system refuses.
    pub fn open(path: &Path, identity: &Identity) -> Result<(Self, Entries), LandscapeError> {
        let io = || LandscapeError::io(path);
        let options = File::options().read(true).append(true).create(true).to_owned();
        let mut file = options.open(path).map_err(|e| {
            LandscapeError::input(path, format!("{e}; choose another place with --out"))
        })?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(LandscapeError::input(path, "another landscope computes this surface"));
            }
            // A file system that knows no locks lets everybody in.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io())?;
        let no_journal = || LandscapeError::input(path, "is no journal of a surface; move it away");
        let mut journal = Self { path: path.to_owned(), file };
        let header = serde_json::to_string(identity).map_err(|e| LandscapeError::input(path, e))?;
        // The last line may have been cut off.
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let text = String::from_utf8_lossy(&bytes[..whole]);
        let mut lines = text.lines();
        let Some(first) = lines.next() else {
            // Nothing, or the beginning of a header of ours; anything else is left as it is.
            if !header.as_bytes().starts_with(&bytes) {
                return Err(no_journal());
            }
            journal.file.set_len(0).map_err(io())?;
            journal.line(&header)?;
            return Ok((journal, Entries::default()));
        };
        let left: Identity = serde_json::from_str(first).map_err(|_| no_journal())?;
        refuse_other(path, &left, identity)?;
        journal.file.set_len(whole as u64).map_err(io())?;
        Ok((journal, read_entries(lines)))
    }

    /// Adds a point's loss and accuracy.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn point(&mut self, (index, loss, acc): Entry) -> Result<(), LandscapeError> {
        self.line(&format!("p {index} {loss:?} {acc:?}"))
    }

    /// Adds a point's extreme eigenvalues.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn curvature(&mut self, (index, max, min): Entry) -> Result<(), LandscapeError> {
        self.line(&format!("h {index} {max:?} {min:?}"))
    }

    fn line(&mut self, text: &str) -> Result<(), LandscapeError> {
        self.file.write_all(format!("{text}\n").as_bytes()).map_err(LandscapeError::io(&self.path))
    }

    /// Removes the journal of a surface whose file is whole.
    pub fn remove(self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Refuses what is not of the surface `wanted`.
///
/// # Errors
/// Names the first difference.
pub fn refuse_other(
    path: &Path,
    found: &Identity,
    wanted: &Identity,
) -> Result<(), LandscapeError> {
    let shards = (found.about.shard, wanted.about.shard);
    let told = |s: Option<(u64, u64)>| s.map_or("whole".to_owned(), |(i, n)| format!("{i}/{n}"));
    let shard = (shards.0 != shards.1).then(|| ("shard", told(shards.0), told(shards.1)));
    match found.difference(wanted).or(shard) {
        None => Ok(()),
        Some((name, there, here)) => Err(LandscapeError::input(
            path,
            format!(
                "is of another surface ({name} {there}, here {here}); choose another --out, or remove it"
            ),
        )),
    }
}

fn read_entries<'a>(lines: impl Iterator<Item = &'a str>) -> Entries {
    let mut entries = Entries::default();
    for line in lines {
        let mut words = line.split(' ');
        let (kind, index) = (words.next(), words.next().and_then(|w| w.parse().ok()));
        let mut number = || words.next().and_then(|w| w.parse::<f64>().ok());
        // A line that is none was torn in some way that no write of ours makes: its point is computed again.
        if let (Some(index), Some(a), Some(b)) = (index, number(), number()) {
            match kind {
                Some("p") => entries.points.push((index, a, b)),
                Some("h") => entries.curvature.push((index, a, b)),
                _ => {}
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::surface::Surface;
    use super::*;

    fn identity(seed: u64) -> Identity {
        let about = About { seed, arm: "skip".to_owned(), cosine: 0.5, ..About::default() };
        let surface = Surface::new(vec![0.0, 1.0], vec![0.0, 1.0]);
        Identity::of(&SurfaceFile { about, images: vec![1, 2], ..SurfaceFile::of(surface) })
    }

    #[test]
    fn what_was_written_comes_back_to_the_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = Journal::path_of(&dir.path().join("s.h5"));
        assert!(path.ends_with("s.h5.part"));
        let (mut journal, entries) = Journal::open(&path, &identity(1)).unwrap();
        assert_eq!(entries, Entries::default());
        let told = Journal::open(&path, &identity(1)).unwrap_err().to_string();
        assert!(told.contains("another landscope"), "{told}");
        journal.point((3, 0.1 + 0.2, 1.0 / 3.0)).unwrap();
        journal.point((0, f64::NAN, f64::INFINITY)).unwrap();
        journal.curvature((3, -1e-300, 2.5)).unwrap();
        drop(journal);
        // A kill in the middle of a line.
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"p 2 0.5").unwrap();
        let (mut journal, entries) = Journal::open(&path, &identity(1)).unwrap();
        assert_eq!(entries.points[0], (3, 0.1 + 0.2, 1.0 / 3.0));
        assert!(entries.points[1].1.is_nan() && entries.points[1].2 == f64::INFINITY);
        assert_eq!((entries.points.len(), &entries.curvature[..]), (2, &[(3, -1e-300, 2.5)][..]));
        journal.point((2, 0.5, 0.25)).unwrap();
        drop(journal);
        let (journal, entries) = Journal::open(&path, &identity(1)).unwrap();
        assert_eq!(entries.points[2], (2, 0.5, 0.25));
        journal.remove();
        assert!(!path.exists());
    }

    #[test]
    fn another_surfaces_journal_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.h5.part");
        drop(Journal::open(&path, &identity(1)).unwrap());
        let told = Journal::open(&path, &identity(2)).unwrap_err();
        assert!(told.is_bad_input());
        assert!(told.to_string().contains("another surface (seed 1, here 2)"), "{told}");
        for stranger in ["hello\n", "hello", "a\nb"] {
            fs::write(&path, stranger).unwrap();
            let told = Journal::open(&path, &identity(1)).unwrap_err().to_string();
            assert!(told.contains("no journal"), "{told}");
            assert_eq!(fs::read_to_string(&path).unwrap(), stranger, "left as it is");
        }
        // Killed in the middle of the header.
        fs::write(&path, "{\"about\":{").unwrap();
        Journal::open(&path, &identity(1)).unwrap();
    }

    proptest! {
        /// Cut off anywhere, what was written whole before comes back to the bit, and nothing else.
        #[test]
        fn a_cut_journal_holds_its_whole_lines(
            values in prop::collection::vec((0usize..100, any::<f64>(), any::<f64>()), 1..20),
            keep in 0.0..1.0f64,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("j.part");
            let (mut journal, _) = Journal::open(&path, &identity(1)).unwrap();
            values.iter().for_each(|v| journal.point(*v).unwrap());
            drop(journal);
            let bytes = fs::read(&path).unwrap();
            let header = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
            let cut = header + ((bytes.len() - header) as f64 * keep) as usize;
            fs::write(&path, &bytes[..cut]).unwrap();
            let whole = bytes[header..cut].iter().filter(|b| **b == b'\n').count();
            let (_, entries) = Journal::open(&path, &identity(1)).unwrap();
            prop_assert_eq!(entries.points.len(), whole);
            for (found, wanted) in entries.points.iter().zip(&values) {
                let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
                prop_assert!(found.0 == wanted.0 && same(found.1, wanted.1) && same(found.2, wanted.2));
            }
        }
    }
}
