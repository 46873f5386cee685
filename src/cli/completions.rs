//! `landscope completions SHELL`

use std::process::ExitCode;

use clap::CommandFactory;

use super::args::Cli;

/// Prints the shell's completions on stdout.
pub fn print(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "landscope", &mut script);
    super::say::print(&script);
    ExitCode::SUCCESS
}
