//! Ratatui's crossterm backend, with codes that a terminal of 16 colours or none knows.

use std::io::{self, Write};

use crossterm::cursor::MoveTo;
use crossterm::queue;
use crossterm::style::Print;
use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};

use super::print;

/// What cells are drawn through.
pub struct Codes<W: Write> {
    inner: CrosstermBackend<W>,
    /// Whether the 16 colours are written as 30 to 37 and 90 to 97. Crossterm writes `38;5;n` for these too, which older
    /// terminals take for blinking, and codes for colours even where there are none.
    pub plain: bool,
}

impl<W: Write> Codes<W> {
    /// Drawn to `writer`, with crossterm's own codes.
    pub fn new(writer: W) -> Self {
        Self { inner: CrosstermBackend::new(writer), plain: false }
    }

    fn draw_plainly<'a>(
        &mut self,
        content: impl Iterator<Item = (u16, u16, &'a Cell)>,
    ) -> io::Result<()> {
        let mut style = String::new();
        let mut next = None;
        for (x, y, cell) in content {
            if next != Some((x, y)) {
                queue!(self.inner, MoveTo(x, y))?;
            }
            next = Some((x + 1, y));
            let wanted = print::code(cell);
            if wanted != style {
                queue!(self.inner, Print(format_args!("\x1b[0{wanted}m")))?;
                style = wanted;
            }
            queue!(self.inner, Print(cell.symbol()))?;
        }
        if style.is_empty() { Ok(()) } else { queue!(self.inner, Print("\x1b[0m")) }
    }
}

impl<W: Write> Backend for Codes<W> {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        if self.plain { self.draw_plainly(content) } else { self.inner.draw(content) }
    }

    fn append_lines(&mut self, n: u16) -> io::Result<()> {
        self.inner.append_lines(n)
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.inner.hide_cursor()
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.inner.show_cursor()
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        self.inner.get_cursor_position()
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.inner.set_cursor_position(position)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.inner.clear()
    }

    fn clear_region(&mut self, clear_type: ClearType) -> io::Result<()> {
        self.inner.clear_region(clear_type)
    }

    fn size(&self) -> io::Result<Size> {
        self.inner.size()
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        self.inner.window_size()
    }

    fn flush(&mut self) -> io::Result<()> {
        Backend::flush(&mut self.inner)
    }
}

#[cfg(test)]
mod tests {
    use ratatui::buffer::Buffer;
    use ratatui::layout::Rect;
    use ratatui::style::{Color, Style};

    use super::*;

    #[test]
    fn plain_codes_are_those_of_ansi() {
        let mut buf = Buffer::empty(Rect::new(0, 0, 4, 1));
        buf.set_string(0, 0, "ab", Style::default().fg(Color::LightRed));
        buf.set_string(3, 0, "c", Style::default().bg(Color::Blue));
        let cells = [0, 1, 3].map(|x: u16| (x, 0, &buf[(x, 0)]));
        let mut out = Vec::new();
        let mut codes = Codes { plain: true, ..Codes::new(&mut out) };
        codes.draw(cells.into_iter()).unwrap();
        let wanted = "\x1b[1;1H\x1b[0;91mab\x1b[1;4H\x1b[0;44mc\x1b[0m";
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }
}
