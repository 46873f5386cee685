//! `metrics.jsonl`: one event a line, in order.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Recorder;
use crate::telemetry::event::Event;

/// The run's events in its folder.
pub const FILE_NAME: &str = "metrics.jsonl";
/// Bytes that may wait for a disk that takes none: some minutes of a run; beyond, the oldest lines are lost.
const MOST_WAITING: usize = 64 << 20;
/// Bytes at the end of a file within which its last event is looked for: longer than any line.
const MOST_TAIL: u64 = 1 << 20;
/// Bytes that wait before they are written without being asked to.
const WRITE_AT: usize = 64 << 10;

/// The last whole event of a file; none in an empty one, or where a write tore the only line. Reads its end alone.
///
/// # Errors
/// When the file cannot be read.
pub fn last_event(path: &Path) -> io::Result<Option<Event>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(MOST_TAIL)))?;
    file.read_to_end(&mut tail)?;
    Ok(tail.rsplit(|b| *b == b'\n').find_map(|line| serde_json::from_slice(line).ok()))
}

/// The first event of a file, which says what is run; none in an empty one, or where a write tore the only line.
///
/// # Errors
/// When the file cannot be read.
pub fn first_event(path: &Path) -> io::Result<Option<Event>> {
    let mut line = Vec::new();
    BufReader::new(File::open(path)?).take(MOST_TAIL).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line).ok())
}

/// Writes events as JSON lines to anything that takes bytes.
///
/// What cannot be written waits and is tried again at every flush, so that a full disk costs no event once there is
/// room again.
pub struct JsonLines<W: Sink> {
    to: W,
    waiting: Vec<u8>,
    /// Lines that had to be given up.
    lost: u64,
    /// The last write failed: the next is at the next flush, not at the next event.
    failing: bool,
}

/// Where lines go.
pub trait Sink: Write + Send {
    /// Takes back what a write that did not end has left behind the last [`Sink::keep`]; false if it cannot.
    fn take_back(&mut self) -> bool {
        false
    }

    /// Brings what was written to where a power cut leaves it.
    ///
    /// # Errors
    /// When it cannot.
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Told once `count` more bytes are safely there.
    fn keep(&mut self, count: usize) {
        let _ = count;
    }
}

/// A file of lines that no failed write tears.
pub struct LineFile {
    file: File,
    whole: u64,
}

impl LineFile {
    /// A new file, which must not be there yet.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::options().write(true).create_new(true).open(path)?, whole: 0 })
    }

    /// A file that is there, to be gone on with.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn append(path: &Path) -> io::Result<Self> {
        let mut file = File::options().write(true).open(path)?;
        let whole = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, whole })
    }
}

impl Write for LineFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.file.metadata()?.nlink() {
            0 => Err(io::Error::new(io::ErrorKind::NotFound, "the file has been removed")),
            _ => Ok(()),
        }
    }
}

impl Sink for LineFile {
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn take_back(&mut self) -> bool {
        self.file.set_len(self.whole).is_ok() && self.file.seek(SeekFrom::Start(self.whole)).is_ok()
    }

    fn keep(&mut self, count: usize) {
        self.whole += count as u64;
    }
}

impl<W: Sink> JsonLines<W> {
    /// Lines to `to`.
    pub fn new(to: W) -> Self {
        Self { to, waiting: Vec::new(), lost: 0, failing: false }
    }

    /// Writes what waits, whole lines at a time.
    fn write_waiting(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        while !self.waiting.is_empty() && result.is_ok() {
            let most = self.waiting.len().min(WRITE_AT);
            let line = self.waiting[..most].iter().rposition(|b| *b == b'\n');
            // A line longer than a write goes as it is.
            let end = line.map_or(self.waiting.len(), |at| at + 1);
            result = self.write_lines(end);
        }
        let result = result.and_then(|()| self.to.flush());
        self.failing = result.is_err();
        match result {
            Err(error) if self.lost > 0 => {
                Err(io::Error::new(error.kind(), format!("{error}; {} events lost", self.lost)))
            }
            result => result,
        }
    }

    fn write_lines(&mut self, end: usize) -> io::Result<()> {
        let mut done = 0;
        let result = loop {
            if done == end {
                break Ok(());
            }
            match self.to.write(&self.waiting[done..end]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => break Err(e),
            }
        };
        if result.is_ok() || !self.to.take_back() {
            self.to.keep(done);
            self.waiting.drain(..done);
        }
        if result.is_err() {
            self.give_up_oldest();
        }
        result
    }

    /// Keeps what waits within its bound.
    fn give_up_oldest(&mut self) {
        let over = self.waiting.len().saturating_sub(MOST_WAITING);
        if over > 0 {
            // Some room at once: moving what is left costs as much as all of it.
            let over = over + MOST_WAITING / 8;
            let end = self.waiting[over..].iter().position(|b| *b == b'\n').map_or(0, |i| i + 1);
            let gone = self.waiting.drain(..over + end);
            self.lost += gone.filter(|b| *b == b'\n').count() as u64;
        }
    }
}

impl<W: Sink> Recorder for JsonLines<W> {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        serde_json::to_writer(&mut self.waiting, event)?;
        self.waiting.push(b'\n');
        if self.waiting.len() >= WRITE_AT && !self.failing {
            return self.write_waiting();
        }
        if self.failing {
            self.give_up_oldest();
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_waiting()
    }

    fn sync(&mut self) -> io::Result<()> {
        self.write_waiting()?;
        self.to.sync()
    }
}

impl<W: Sink> Drop for JsonLines<W> {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.write_waiting();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::arm::ArmName;
    use crate::telemetry::event::{CheckpointWritten, EvalSample};

    /// A disk with room for so many bytes.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize, usize)>>);

    impl Disk {
        fn room(&self, bytes: usize) {
            self.0.lock().unwrap().1 = bytes;
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().0.clone()).unwrap()
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            let count = bytes.len().min(disk.1 - disk.0.len());
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.0.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Disk {
        fn take_back(&mut self) -> bool {
            let mut disk = self.0.lock().unwrap();
            let whole = disk.2;
            disk.0.truncate(whole);
            true
        }

        fn keep(&mut self, count: usize) {
            self.0.lock().unwrap().2 += count;
        }
    }

    fn checkpoint(step: u64) -> Event {
        Event::Checkpoint(CheckpointWritten { step, t: 0.5, dir: "x".into() })
    }

    #[test]
    fn one_object_a_line_tagged_by_event() {
        let disk = Disk::default();
        disk.room(1000);
        let mut lines = JsonLines::new(disk.clone());
        lines.record(&checkpoint(3)).unwrap();
        let eval = EvalSample {
            arm: ArmName::new("skip"),
            step: 3,
            t: 1.0,
            test_loss: f64::NAN,
            test_err: 0.25,
        };
        lines.record(&Event::Eval(eval)).unwrap();
        lines.flush().unwrap();
        let wanted = "{\"event\":\"checkpoint\",\"step\":3,\"t\":0.5,\"dir\":\"x\"}\n\
            {\"event\":\"eval\",\"arm\":\"skip\",\"step\":3,\"t\":1.0,\"test_loss\":null,\"test_err\":0.25}\n";
        assert_eq!(disk.text(), wanted);
    }

    #[test]
    fn a_full_disk_tears_no_line_and_costs_none_once_there_is_room() {
        let disk = Disk::default();
        disk.room(70);
        let mut lines = JsonLines::new(disk.clone());
        for step in 0..3 {
            lines.record(&checkpoint(step)).unwrap();
        }
        assert_eq!(lines.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.text(), "", "no half line");
        lines.record(&checkpoint(3)).unwrap();
        disk.room(1000);
        lines.flush().unwrap();
        let steps: Vec<u64> = disk
            .text()
            .lines()
            .map(|l| {
                serde_json::from_str::<serde_json::Value>(l).unwrap()["step"].as_u64().unwrap()
            })
            .collect();
        assert_eq!(steps, [0, 1, 2, 3]);
    }

    #[test]
    fn a_file_is_gone_on_with_at_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let mut lines = JsonLines::new(LineFile::create(&path).unwrap());
        lines.record(&checkpoint(1)).unwrap();
        drop(lines);
        assert!(LineFile::create(&path).is_err(), "it is there already");
        let mut lines = JsonLines::new(LineFile::append(&path).unwrap());
        lines.record(&checkpoint(2)).unwrap();
        lines.flush().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        std::fs::remove_file(&path).unwrap();
        assert!(lines.flush().unwrap_err().to_string().contains("has been removed"));
    }
}
