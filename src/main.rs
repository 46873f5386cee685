//! The program `landscope`.

use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    landscope::cli::main(Instant::now())
}
