//! `landscope completions SHELL`

use std::process::ExitCode;

use clap::CommandFactory;
use color_eyre::eyre::Result;

use super::args::Cli;

/// Prints the shell's completions on stdout.
pub fn print(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "landscope", &mut script);
    super::data::write_stdout(&script)
}
