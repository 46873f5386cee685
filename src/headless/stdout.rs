//! Standard output for all that is printed. It notices when its reader leaves, as in `landscope ... | head`, which is well,
//! and when it cannot be written, which is told once, on stderr: whatever is at work goes on, and the exit status tells.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::record::metrics::Sink;

/// Of the process, as standard output is.
static LEFT: AtomicBool = AtomicBool::new(false);
static FAILED: AtomicBool = AtomicBool::new(false);

/// Standard output; once its reader has left or a write has failed, what is written is dropped without an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stdout;

impl Stdout {
    /// Whether the reader has left.
    pub fn is_closed(self) -> bool {
        LEFT.load(Ordering::Relaxed)
    }

    /// Whether something could not be written.
    pub fn has_failed(self) -> bool {
        FAILED.load(Ordering::Relaxed)
    }

    /// Takes notice of how a write ended that somebody else made.
    pub fn notice(self, result: io::Result<()>) {
        let Err(error) = result else { return };
        if error.kind() == ErrorKind::BrokenPipe {
            LEFT.store(true, Ordering::Relaxed);
        } else if !FAILED.swap(true, Ordering::Relaxed) {
            // Without a panic where stderr cannot be written either.
            let _ = writeln!(io::stderr(), "landscope: standard output: {error}");
        }
    }

    fn noticed(self, done: io::Result<usize>, all: usize) -> io::Result<usize> {
        match done {
            Err(e) if e.kind() == ErrorKind::Interrupted => Err(e),
            Err(e) => {
                self.notice(Err(e));
                Ok(all)
            }
            done => done,
        }
    }
}

impl Sink for Stdout {}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_closed() || self.has_failed() {
            return Ok(bytes.len());
        }
        self.noticed(io::stdout().write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_closed() || self.has_failed() {
            return Ok(());
        }
        self.noticed(io::stdout().flush().map(|()| 0), 0).map(|_| ())
    }
}
