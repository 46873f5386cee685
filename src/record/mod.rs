//! What is kept of a run: its folder, its events on disk, figures of its surfaces.

pub mod figure;
pub mod folder;
pub mod log;
pub mod metrics;
pub mod rewind;
pub mod thinned;
pub mod trajectory;

use crate::telemetry::event::{Event, RunStarted};

/// Something that is shown every event, in order, and loses none.
pub trait Recorder: Send {
    /// Takes note of a run that is taken up again, whose `run` event was told when it began.
    fn taken_up(&mut self, _: &RunStarted) {}

    /// Takes one event.
    ///
    /// # Errors
    /// When it cannot be kept; the run goes on and tells so.
    fn record(&mut self, event: &Event) -> std::io::Result<()>;

    /// Brings what was taken so far to where a crash leaves it; called about once a second.
    ///
    /// # Errors
    /// As [`Recorder::record`].
    fn flush(&mut self) -> std::io::Result<()>;

    /// Brings what was taken so far to where a power cut leaves it; called before a checkpoint is written.
    ///
    /// # Errors
    /// As [`Recorder::record`].
    fn sync(&mut self) -> std::io::Result<()> {
        self.flush()
    }
}
