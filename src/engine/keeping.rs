//! Events to whoever keeps them; what cannot be kept is told, and tried again.

use std::time::Instant;

use super::hub::Hub;
use crate::record::Recorder;
use crate::telemetry::event::Event;

/// A recorder, and whether it could not do its work the last time.
pub struct Recording {
    pub recorder: Box<dyn Recorder>,
    pub failing: bool,
}

impl Recording {
    /// One that works, as far as is known.
    pub fn new(recorder: Box<dyn Recorder>) -> Self {
        Self { recorder, failing: false }
    }
}

impl Hub {
    pub(super) fn record(&mut self, event: &Event) {
        for index in 0..self.recorders.len() {
            // Taken is not yet written: only a flush tells that all is well again.
            if let Err(error) = self.recorders[index].recorder.record(event) {
                self.recording_failed(index, &error);
            }
        }
    }

    pub(super) fn flush(&mut self) {
        self.bring_out(|recorder| recorder.flush());
    }

    pub(super) fn sync(&mut self) {
        self.bring_out(|recorder| recorder.sync());
    }

    fn bring_out(&mut self, act: impl Fn(&mut dyn Recorder) -> std::io::Result<()>) {
        self.flushed = Instant::now();
        for index in 0..self.recorders.len() {
            match act(self.recorders[index].recorder.as_mut()) {
                Err(error) => self.recording_failed(index, &error),
                Ok(()) if std::mem::take(&mut self.recorders[index].failing) => {
                    self.alert("recording-again", "events are written again".to_owned());
                }
                Ok(()) => {}
            }
        }
        if self.publisher.has_viewers() {
            self.views.shown().system = self.probe.read();
        }
    }

    /// A recorder that fails is told once and tried again; the run goes on.
    fn recording_failed(&mut self, index: usize, error: &std::io::Error) {
        if !std::mem::replace(&mut self.recorders[index].failing, true) {
            let text = format!("events cannot be written: {error}; they wait and are tried again");
            self.alert("recording-failed", text);
        }
    }
}
