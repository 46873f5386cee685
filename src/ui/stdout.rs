//! A chart on stdout, whatever that is.

use std::io::IsTerminal;

use super::ask::Asked;
use super::chart::drawn;
use super::detect::Characters;
use super::terminal_size;
use super::theme::{ColorDepth, Theme};
use crate::telemetry::chart::{Chart, View};

/// Columns and rows where stdout is no terminal, or one without a size.
const SIZE: (u16, u16) = (80, 24);

/// Prints the chart for stdout as it is: with the terminal's size, characters and colours, or as plain text where it is
/// none. `colors` says whether there are some whatever stdout is; `forced` what is drawn with whatever the terminal
/// answers.
pub fn on_stdout(
    chart: &Chart,
    view: View,
    colors: Option<bool>,
    forced: Option<Characters>,
    print: impl FnOnce(&str),
) {
    let is_terminal = std::io::stdout().is_terminal();
    let size = terminal_size().filter(|(w, h)| is_terminal && *w > 0 && *h > 0);
    // The shell's next prompt has the last line.
    let (columns, rows) = size.map_or(SIZE, |(w, h)| (w, h.saturating_sub(1)));
    let var = |name: &str| {
        let asked = colors == Some(true) && name == "NO_COLOR";
        std::env::var(name).ok().filter(|_| !asked)
    };
    // Held while the chart is printed: an answer that comes late must not be echoed into it.
    let (_asked, heard) = is_terminal.then(|| Asked::on_line(forced, var)).unzip();
    let mut theme = Theme::detect(forced, heard, var);
    theme.depth = match colors {
        Some(false) => ColorDepth::None,
        None if !is_terminal => ColorDepth::None,
        Some(true) if theme.depth == ColorDepth::None => ColorDepth::Ansi,
        _ => theme.depth,
    };
    print(&drawn(chart, view, (columns, rows), theme));
}
