//! landscope: an oscilloscope for training neural networks.
//!
//! One module per room; `README.md` says which room knows what.

/// Tells a person that a test did not test, past the harness, which would swallow it with the output of one that passed.
#[cfg(test)]
macro_rules! skipped {
    ($($why:tt)*) => {
        let _ = std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("skipped: {}\n", format_args!($($why)*)),
        );
    };
}

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
