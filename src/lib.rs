//! landscope: an oscilloscope for training neural networks.
//!
//! One module per room; `README.md` says which room knows what.

pub mod arm;
pub mod cli;
pub mod config;
pub mod data;
pub mod engine;
pub mod geometry;
pub mod headless;
pub mod landscape;
pub mod link;
pub mod model;
pub mod record;
pub mod signals;
pub mod telemetry;
pub mod train;
pub mod ui;

/// Tells a person that a test did not test, past the harness, which would swallow it with the output of one that passed.
#[cfg(test)]
fn skipped(why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
