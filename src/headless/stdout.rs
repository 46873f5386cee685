//! Standard output that notices when its reader leaves, as in `landscope ... | head`.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::Ordering;

use super::Closed;
use crate::record::metrics::Sink;

/// Standard output; once its reader has left, what is written is dropped without an error.
#[derive(Default)]
pub struct Stdout {
    closed: Closed,
}

impl Stdout {
    /// Set once the reader has left.
    pub fn closed(&self) -> Closed {
        Closed::clone(&self.closed)
    }

    fn noticed(&self, result: io::Result<usize>, len: usize) -> io::Result<usize> {
        match result {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                self.closed.store(true, Ordering::Relaxed);
                Ok(len)
            }
            other => other,
        }
    }
}

impl Sink for Stdout {}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed.load(Ordering::Relaxed) {
            return Ok(bytes.len());
        }
        self.noticed(io::stdout().write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.noticed(io::stdout().flush().map(|()| 0), 0).map(|_| ())
    }
}
