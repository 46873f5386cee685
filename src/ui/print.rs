//! A drawn buffer as lines of text, with the terminal's codes for colours where it has them.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// The buffer line by line, blanks at their ends left out; `styled` with codes, else characters alone.
pub fn lines(buf: &Buffer, styled: bool) -> String {
    let width = usize::from(buf.area.width).max(1);
    let mut text = String::new();
    for row in buf.content.chunks(width) {
        let is_blank = |c: &Cell| c.symbol() == " " && (!styled || c.bg == Color::Reset);
        let used = row.iter().rposition(|c| !is_blank(c)).map_or(0, |last| last + 1);
        let mut style = String::new();
        for cell in &row[..used] {
            let wanted = if styled { code(cell) } else { String::new() };
            if wanted != style {
                // From one style to the next over none: what the last one set must not stay.
                let _ = write!(text, "\x1b[0{wanted}m");
                style = wanted;
            }
            text.push_str(cell.symbol());
        }
        if !style.is_empty() {
            text.push_str("\x1b[0m");
        }
        text.push('\n');
    }
    text
}

/// The codes of a cell's style, each after a semicolon.
pub fn code(cell: &Cell) -> String {
    let mut found = String::new();
    for (modifier, number) in [(Modifier::BOLD, 1), (Modifier::DIM, 2)] {
        if cell.modifier.contains(modifier) {
            let _ = write!(found, ";{number}");
        }
    }
    found + &color(cell.fg, 30) + &color(cell.bg, 40)
}

/// The code of a colour; `base` is 30 for the foreground, 40 for the background.
fn color(color: Color, base: u8) -> String {
    let plain = |n: u8| format!(";{}", base + n);
    let light = |n: u8| format!(";{}", base + 60 + n);
    match color {
        Color::Reset => String::new(),
        Color::Black => plain(0),
        Color::Red => plain(1),
        Color::Green => plain(2),
        Color::Yellow => plain(3),
        Color::Blue => plain(4),
        Color::Magenta => plain(5),
        Color::Cyan => plain(6),
        Color::Gray => plain(7),
        Color::DarkGray => light(0),
        Color::LightRed => light(1),
        Color::LightGreen => light(2),
        Color::LightYellow => light(3),
        Color::LightBlue => light(4),
        Color::LightMagenta => light(5),
        Color::LightCyan => light(6),
        Color::White => light(7),
        Color::Indexed(n) => format!(";{};5;{n}", base + 8),
        Color::Rgb(r, g, b) => format!(";{};2;{r};{g};{b}", base + 8),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn styles_begin_and_end_where_they_change() {
        let mut buf = Buffer::empty(Rect::new(0, 0, 6, 2));
        buf.set_string(0, 0, "ab", Style::default().fg(Color::Rgb(1, 2, 3)));
        buf.set_string(2, 0, "c", Style::default());
        buf.set_string(
            0,
            1,
            "d",
            Style::default().bg(Color::Indexed(9)).add_modifier(Modifier::BOLD),
        );
        assert_eq!(lines(&buf, false), "abc\nd\n");
        assert_eq!(lines(&buf, true), "\x1b[0;38;2;1;2;3mab\x1b[0mc\n\x1b[0;1;48;5;9md\x1b[0m\n");
    }
}
