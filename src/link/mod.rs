//! The seam between the engine and its viewers: snapshots one way, commands the other, in one process or over a socket.
//!
//! [`pair`] makes both ends in one process. [`server`] answers viewers on the socket in the run folder, [`dial`] is a
//! viewer's end of it and looks like the one in the same process. [`parts`] and [`wire`] are what goes over it, and
//! [`registry`] is where live runs are found.

mod curves;
pub mod dial;
mod figures;
pub mod lock;
pub mod parts;
mod paths;
pub mod registry;
pub mod server;
pub mod socket;
pub mod wire;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::telemetry::command::Command;
use crate::telemetry::snapshot::Snapshot;
use parts::Size;

/// Commands that may wait for the engine: more than a person types between two step boundaries.
const WAITING_COMMANDS: usize = 64;

/// What a viewer says after its hello.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Said {
    /// A request to the engine.
    Command(Command),
    /// Its screen has another size.
    Size(Size),
}

/// Why a command could not be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The engine has not taken up earlier commands yet.
    #[error("the engine is busy with earlier commands")]
    Busy,
    /// The engine has ended.
    #[error("the engine has ended")]
    Gone,
    /// The viewer has given up commands.
    #[error("this viewer is read-only")]
    ReadOnly,
}

/// A viewer's end.
#[derive(Clone, Debug)]
pub struct Client {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    said: mpsc::Sender<Said>,
    readonly: bool,
}

/// The engine's end: what goes out.
#[derive(Clone, Debug)]
pub struct Publisher(Arc<watch::Sender<Arc<Snapshot>>>);

/// The engine's end: what comes in.
#[derive(Debug)]
pub struct Commands(mpsc::Receiver<Said>);

/// Where further viewers' ends are had.
#[derive(Clone, Debug)]
pub struct Door {
    snapshots: Publisher,
    said: mpsc::Sender<Said>,
}

/// Both ends of a link whose viewers first see `initial`, and where more viewers are let in.
pub fn pair(initial: Snapshot) -> (Publisher, Commands, Door) {
    let (snapshots, _) = watch::channel(Arc::new(initial));
    let (said, heard) = mpsc::channel(WAITING_COMMANDS);
    let publisher = Publisher(Arc::new(snapshots));
    let door = Door { snapshots: publisher.clone(), said };
    (publisher, Commands(heard), door)
}

impl Door {
    /// One more viewer's end.
    pub fn client(&self, readonly: bool) -> Client {
        Client { snapshots: self.snapshots.0.subscribe(), said: self.said.clone(), readonly }
    }
}

impl Client {
    /// The newest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// Waits for a snapshot that has not been seen; false once the engine has ended and no more will come.
    pub async fn changed(&mut self) -> bool {
        self.snapshots.changed().await.is_ok()
    }

    /// The newest snapshot, marked as seen.
    pub fn take(&mut self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow_and_update())
    }

    /// Whether the other end is gone and no more snapshots will come.
    pub fn is_gone(&self) -> bool {
        self.snapshots.has_changed().is_err()
    }

    /// Whether commands are refused.
    pub fn is_readonly(&self) -> bool {
        self.readonly
    }

    /// Hands a command to the engine without waiting.
    ///
    /// # Errors
    /// When it cannot be taken.
    pub fn send(&self, command: Command) -> Result<(), SendError> {
        if self.readonly {
            return Err(SendError::ReadOnly);
        }
        self.say(Said::Command(command))
    }

    /// Tells how much the viewer can show; a size that cannot be handed over is told again with the next.
    pub fn resized(&self, columns: u16, rows: u16) {
        let _ = self.say(Said::Size(Size { columns, rows }));
    }

    fn say(&self, said: Said) -> Result<(), SendError> {
        self.said.try_send(said).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => SendError::Busy,
            mpsc::error::TrySendError::Closed(_) => SendError::Gone,
        })
    }
}

impl Publisher {
    /// Shows viewers a new snapshot.
    pub fn publish(&self, snapshot: Snapshot) {
        self.0.send_replace(Arc::new(snapshot));
    }

    /// Whether anybody looks; a snapshot need not be made for nobody.
    pub fn has_viewers(&self) -> bool {
        self.0.receiver_count() > 0
    }
}

impl Commands {
    /// The next command that waits, if any.
    pub fn take(&mut self) -> Option<Command> {
        loop {
            match self.0.try_recv().ok()? {
                Said::Command(command) => return Some(command),
                // A viewer in the same process is shown everything.
                Said::Size(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_bounded_and_a_dead_engine_is_told() {
        let (_publisher, mut commands, door) = pair(Snapshot::default());
        let client = door.client(false);
        client.resized(80, 24);
        for _ in 1..WAITING_COMMANDS {
            client.send(Command::MapNow).unwrap();
        }
        assert_eq!(client.send(Command::MapNow), Err(SendError::Busy));
        assert_eq!(commands.take(), Some(Command::MapNow));
        client.send(Command::Stop).unwrap();
        drop(commands);
        assert_eq!(client.send(Command::Stop), Err(SendError::Gone));
        assert_eq!(door.client(true).send(Command::Stop), Err(SendError::ReadOnly));
    }

    #[test]
    fn viewers_are_counted() {
        let (publisher, _commands, door) = pair(Snapshot::default());
        assert!(!publisher.has_viewers());
        let client = door.client(false);
        assert!(publisher.has_viewers());
        drop(client);
        assert!(!publisher.has_viewers());
    }
}
