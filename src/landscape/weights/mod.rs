//! Weights from files: which kind of file it is, what is said of it, what is refused.

mod pickle;
mod torch_file;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::digest::Sum;
use super::error::LandscapeError;
use crate::model::{Plan, StateError, Translated, Weights, entries, shown, translate};

/// Bytes that a file may have for each of the network's numbers: a state dict in double precision, and in a file of
/// torch.save the optimizer's buffers, averages and the like beside it.
const BYTES_EACH: u64 = 64;
/// Bytes that it may have besides: names, shapes, and what else was thought worth saving.
const BYTES_BESIDE: u64 = 256 << 20;
/// Bytes in which it shows what kind of file it is.
const HEAD: u64 = 512;
/// What opens a file of torch.save of before 1.6, or without its zip: a number in a pickle of its own.
const LEGACY: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// What a TAR has, and where: torch.save of before 0.1.10.
const TAR: (usize, &[u8]) = (257, b"ustar");

/// Reads weights, and keeps what is to be said of them.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    /// Whether weights that are not finite are taken.
    non_finite: bool,
    notes: Vec<String>,
}

/// Why a file gave no weights.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    State(#[from] StateError),
    /// It is no such file, or says what is not done.
    #[error("{0}")]
    Other(String),
}

impl Reader {
    /// One that takes weights that are not finite, or refuses them.
    pub fn new(non_finite: bool) -> Self {
        Self { non_finite, notes: Vec::new() }
    }

    /// The weights of `plan` in a file of safetensors or of torch.save, and the file's SHA-256 in hex.
    ///
    /// # Errors
    /// When the file cannot be read, holds another network, or weights that are not finite and are not to be taken.
    pub fn read(&mut self, file: &Path, plan: &Plan) -> Result<(Weights, String), LandscapeError> {
        let refuse = |text: String| LandscapeError::input(file, text);
        let found = content(file, plan).map_err(|e| refuse(e.to_string()))?;
        let (Translated { weights, told, not_finite }, sha256) = found;
        if !told.is_empty() {
            self.note(file, &format!("translated: {}", told.join("; ")));
        }
        match not_finite {
            Some(which) if self.non_finite => self.note(file, &format!("not finite: {which}")),
            Some(which) => {
                return Err(refuse(format!("not finite: {which}; --non-finite goes on with it")));
            }
            None => {}
        }
        Ok((weights, sha256))
    }

    /// What is to be said of what was read so far, a line each.
    pub fn into_notes(self) -> Vec<String> {
        self.notes
    }

    /// Keeps a line; of a file that is read twice once.
    fn note(&mut self, file: &Path, text: &str) {
        let line = format!("{}: {text}", file.display());
        if !self.notes.contains(&line) {
            self.notes.push(line);
        }
    }
}

fn content(file: &Path, plan: &Plan) -> Result<(Translated, String), Refusal> {
    // Asked before it is opened: a pipe would wait for who writes into it.
    let about = fs::metadata(file)?;
    if !about.is_file() {
        return Err(Refusal::Other("is no regular file; expected a state dict".to_owned()));
    }
    if about.len() == 0 {
        // So are files of /proc, some of which wait for what comes.
        return Err(Refusal::Other("is empty; expected a state dict".to_owned()));
    }
    let numbers = (plan.scalars() + 2 * plan.statistics()).unsigned_abs();
    let most = BYTES_EACH * numbers + BYTES_BESIDE;
    if about.len() > most {
        let (size, most) = (about.len() >> 20, most >> 20);
        return Err(Refusal::Other(format!(
            "has {size} MiB; expected at most {most}, of a network with {numbers} numbers"
        )));
    }
    let mut head = Vec::new();
    File::open(file)?.take(HEAD).read_to_end(&mut head)?;
    if head.starts_with(b"PK") {
        let found = torch_file::read(file, plan)?;
        return Ok((found, sha256(file)?));
    }
    if is_legacy(&head) {
        let text = "is of torch.save without its zip (before PyTorch 1.6); expected safetensors, or \
                    the file saved again: torch.save(torch.load(FILE), FILE)";
        return Err(Refusal::Other(text.to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(file)?.take(about.len()).read_to_end(&mut bytes)?;
    let found = translate(plan, entries(&bytes)?)?;
    let mut digest = Sum::default();
    digest.add(&bytes);
    Ok((found, digest.hex()))
}

/// Whether a file that begins with `head` is one that torch.save wrote before it wrote zips.
fn is_legacy(head: &[u8]) -> bool {
    let (at, magic) = TAR;
    let tar = head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    tar || head.get(..64).unwrap_or(head).windows(LEGACY.len()).any(|bytes| bytes == LEGACY)
}

fn sha256(file: &Path) -> io::Result<String> {
    let mut digest = Sum::default();
    let mut open = File::open(file)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match open.read(&mut buffer)? {
            0 => return Ok(digest.hex()),
            n => digest.add(&buffer[..n]),
        }
    }
}

/// Text of a file or of a library that reads it, as one line of a message.
fn line(text: impl ToString) -> String {
    shown(&text.to_string())
}
