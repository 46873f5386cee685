//! What a run tells of itself: plain samples, bounded histories, the snapshot that viewers draw, commands back.
//! Nothing of torch and nothing of the screen.

pub mod angles;
pub mod chart;
pub mod command;
pub mod event;
#[cfg(test)]
pub(crate) mod fixture;
pub mod health;
pub mod history;
pub mod number;
pub mod path;
pub mod snapshot;
pub mod system;
