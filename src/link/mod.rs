//! The seam between the engine and its viewers: snapshots one way, commands the other. In one process for now; both
//! sides hold only what can be sent.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::telemetry::command::Command;
use crate::telemetry::snapshot::Snapshot;

/// Commands that may wait for the engine: more than a person types between two step boundaries.
const WAITING_COMMANDS: usize = 64;

/// Why a command could not be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The engine has not taken up earlier commands yet.
    #[error("the engine is busy with earlier commands")]
    Busy,
    /// The engine has ended.
    #[error("the engine has ended")]
    Gone,
}

/// A viewer's end.
#[derive(Clone, Debug)]
pub struct Client {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    commands: mpsc::Sender<Command>,
}

/// The engine's end: what goes out.
#[derive(Debug)]
pub struct Publisher(watch::Sender<Arc<Snapshot>>);

/// The engine's end: what comes in.
#[derive(Debug)]
pub struct Commands(mpsc::Receiver<Command>);

/// Both ends of a link whose viewers first see `initial`.
pub fn pair(initial: Snapshot) -> (Publisher, Commands, Client) {
    let (snapshot_tx, snapshot_rx) = watch::channel(Arc::new(initial));
    let (command_tx, command_rx) = mpsc::channel(WAITING_COMMANDS);
    let client = Client { snapshots: snapshot_rx, commands: command_tx };
    (Publisher(snapshot_tx), Commands(command_rx), client)
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

    /// Hands a command to the engine without waiting.
    pub fn send(&self, command: Command) -> Result<(), SendError> {
        self.commands.try_send(command).map_err(|e| match e {
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
        self.0.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_bounded_and_a_dead_engine_is_told() {
        let (_publisher, mut commands, client) = pair(Snapshot::default());
        for _ in 0..WAITING_COMMANDS {
            client.send(Command::MapNow).unwrap();
        }
        assert_eq!(client.send(Command::MapNow), Err(SendError::Busy));
        assert_eq!(commands.take(), Some(Command::MapNow));
        client.send(Command::Stop).unwrap();
        drop(commands);
        assert_eq!(client.send(Command::Stop), Err(SendError::Gone));
    }
}
