//! `metrics.jsonl`: one event a line, in order.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::Recorder;
use crate::telemetry::event::Event;

/// Writes events as JSON lines to anything that takes bytes.
pub struct JsonLines<W: Write> {
    to: BufWriter<W>,
}

impl JsonLines<File> {
    /// A new file, which must not be there yet.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self::new(File::options().write(true).create_new(true).open(path)?))
    }
}

impl<W: Write> JsonLines<W> {
    /// Lines to `to`.
    pub fn new(to: W) -> Self {
        Self { to: BufWriter::new(to) }
    }
}

impl<W: Write + Send> Recorder for JsonLines<W> {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        serde_json::to_writer(&mut self.to, event)?;
        self.to.write_all(b"\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::ArmName;
    use crate::telemetry::event::{CheckpointWritten, EvalSample};

    #[test]
    fn one_object_a_line_tagged_by_event() {
        let mut bytes = Vec::new();
        let mut lines = JsonLines::new(&mut bytes);
        lines
            .record(&Event::Checkpoint(CheckpointWritten { step: 3, t: 0.5, dir: "x".into() }))
            .unwrap();
        let eval = EvalSample {
            arm: ArmName::new("skip"),
            step: 3,
            t: 1.0,
            test_loss: f64::NAN,
            test_err: 0.25,
        };
        lines.record(&Event::Eval(eval)).unwrap();
        lines.flush().unwrap();
        drop(lines);
        let wanted = "{\"event\":\"checkpoint\",\"step\":3,\"t\":0.5,\"dir\":\"x\"}\n\
            {\"event\":\"eval\",\"arm\":\"skip\",\"step\":3,\"t\":1.0,\"test_loss\":null,\"test_err\":0.25}\n";
        assert_eq!(String::from_utf8(bytes).unwrap(), wanted);
    }
}
