//! What `run` and `attach` share: the dashboard on a run of another process, and what is told when it is left.

use std::path::Path;
use std::process::ExitCode;

use color_eyre::eyre::{Report, Result};

use super::say::{complain, say};
use super::{BAD_INPUT, FAILED};
use crate::link::Client;
use crate::link::dial::Fate;
use crate::link::parts::Size;
use crate::link::wire::Wants;
use crate::telemetry::event::RunStatus;
use crate::telemetry::snapshot::Phase;
use crate::ui;

/// Bytes a second that a viewer takes over a network, at 80x24; in proportion on larger screens. Below 4 KB, for what
/// keys and the line itself add.
const LINE_RATE: u32 = 3600;
const LINE_CELLS: u32 = 80 * 24;

/// How a viewer looks.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// What is drawn with, whatever the terminal answers.
    pub characters: Option<ui::Characters>,
    /// No commands.
    pub readonly: bool,
    /// The socket, rather than the terminal, is at the end of a line.
    pub tunnelled: bool,
}

impl Look {
    /// What the engine is told.
    pub fn wants(self) -> Wants {
        let size = terminal_size();
        let rate = self.tunnelled.then(|| line_rate(size));
        Wants::View { size, readonly: self.readonly, rate }
    }

    /// Bytes a second for the terminal, if that is at the end of a line.
    fn terminal_rate(self) -> Option<u32> {
        let over_ssh = ["SSH_CONNECTION", "SSH_TTY"].iter().any(|v| std::env::var_os(v).is_some());
        over_ssh.then(|| line_rate(terminal_size()))
    }
}

/// The terminal's size, or the least that is drawn where it has none.
fn terminal_size() -> Size {
    let (columns, rows) = ui::terminal_size().unwrap_or((80, 24));
    Size { columns, rows }
}

fn line_rate(size: Size) -> u32 {
    let cells = u32::from(size.columns).saturating_mul(u32::from(size.rows)).max(LINE_CELLS);
    cells.saturating_mul(LINE_RATE) / LINE_CELLS
}

/// Shows the run until the dashboard is left; tells what became of it. `words` are an engine's last ones, if it is ours.
pub fn watch(
    client: Client,
    fate: &Fate,
    look: Look,
    words: impl Fn() -> Option<(String, u8)>,
) -> Result<ExitCode> {
    let options = ui::Options { characters: look.characters, rate: look.terminal_rate() };
    let last = client.clone();
    let left = ui::run(client, &options);
    let seen = last.snapshot();
    let folder = &seen.run.folder;
    let name = Path::new(folder).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let left = left.map_err(|error| {
        let goes_on = format!("terminal (the run goes on; landscope attach {name} shows it)");
        Report::new(error).wrap_err(goes_on)
    })?;
    match (left, &seen.phase) {
        (_, Phase::Refused { text, bad_input }) => {
            complain(text);
            Ok(ExitCode::from(if *bad_input { BAD_INPUT } else { FAILED }))
        }
        (_, Phase::Ended(status)) => {
            let (word, code) = match status {
                RunStatus::Finished => ("finished", ExitCode::SUCCESS),
                RunStatus::Stopped => ("stopped", ExitCode::SUCCESS),
                RunStatus::Failed => ("failed", ExitCode::from(FAILED)),
            };
            say(format_args!("{word}: {folder}"));
            Ok(code)
        }
        (ui::Left::Lost, _) => {
            let why = fate.take().map(|error| (error.to_string(), FAILED));
            let gone = || (format!("the engine is gone; {folder}/engine.log may say why"), FAILED);
            let (why, code) = words().or(why).unwrap_or_else(gone);
            let next = if seen.step > 0 {
                format!("; landscope --resume {folder} goes on")
            } else {
                String::new()
            };
            complain(format_args!("{why}{next}"));
            Ok(ExitCode::from(code))
        }
        _ => {
            say(format_args!("detached; the run goes on: landscope attach {name}"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_carries_in_proportion_to_the_screen() {
        let rate = |columns, rows| line_rate(Size { columns, rows });
        assert_eq!(
            [rate(80, 24), rate(20, 5), rate(160, 48)],
            [LINE_RATE, LINE_RATE, 4 * LINE_RATE]
        );
        assert!(rate(u16::MAX, u16::MAX) > rate(160, 48));
    }
}
