//! The dashboard: draws snapshots, turns keys into commands; knows the run only by the link. Charts in the terminal.

mod answer;
mod app;
mod ask;
mod backend;
mod braille;
mod chart;
mod detect;
mod field;
mod format;
mod keys;
mod marks;
mod paint;
mod panels;
mod path;
mod plot;
mod print;
mod prompt;
mod relief;
mod screen;
mod stdout;
mod terminal;
#[cfg(test)]
mod tests;
mod theme;
mod track;
mod view;

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

pub use app::{Left, Options, run};
pub use detect::Characters;
pub use stdout::on_stdout as chart_on_stdout;
pub use terminal::restore as restore_terminal;
pub use terminal::size as terminal_size;

use crate::telemetry::snapshot::Snapshot;
use theme::{ColorDepth, Theme};
use view::ViewState;

/// A dashboard without a terminal, for measuring what drawing costs.
pub struct Offscreen {
    buffer: Buffer,
    view: ViewState,
}

impl Offscreen {
    /// Time between two frames, as on a terminal.
    pub const FRAME: Duration = app::FRAME;

    /// A screen of so many columns and rows, in full colour.
    pub fn new(columns: u16, rows: u16) -> Self {
        let theme = Theme { depth: ColorDepth::True, ascii: false };
        Self { buffer: Buffer::empty(Rect::new(0, 0, columns, rows)), view: ViewState::new(theme) }
    }

    /// Draws a frame.
    pub fn draw(&mut self, snapshot: &Snapshot) {
        self.buffer.reset();
        screen::render(snapshot, &self.view, self.buffer.area, &mut self.buffer);
    }
}
