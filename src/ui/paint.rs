//! Putting characters on the screen, never outside it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::symbols::border;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Widget};

use super::theme::Theme;

/// A piece of text in one style.
pub type Piece = (String, Style);

/// A frame of ASCII characters.
const ASCII_BORDER: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// One character; nothing outside the buffer.
pub fn put(buf: &mut Buffer, x: u16, y: u16, symbol: char, style: Style) {
    if let Some(cell) = buf.cell_mut((x, y)) {
        cell.set_char(symbol).set_style(style);
    }
}

/// Text from `x` on, cut off after `width` columns; the columns used.
pub fn text(buf: &mut Buffer, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
    let area = buf.area;
    if y < area.y || y >= area.bottom() || x < area.x || x >= area.right() {
        return 0;
    }
    let (end, _) = buf.set_stringn(x, y, text, usize::from(width), style);
    end.saturating_sub(x)
}

/// Pieces from `x` on; the first that does not fit whole into `width` columns, and all after it, are left out. The
/// columns used.
pub fn pieces(buf: &mut Buffer, x: u16, y: u16, width: u16, pieces: &[Piece]) -> u16 {
    let mut used = 0;
    for (piece, style) in pieces {
        let wide = columns(piece);
        if used + wide > width {
            break;
        }
        used += text(buf, x + used, y, width - used, piece, *style);
    }
    used
}

/// Columns that a text takes.
pub fn columns(text: &str) -> u16 {
    u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX)
}

/// A panel's frame; what is left inside.
pub fn frame(buf: &mut Buffer, area: Rect, title: &[Piece], focused: bool, theme: Theme) -> Rect {
    let area = area.intersection(buf.area);
    let set = if theme.ascii {
        ASCII_BORDER
    } else if focused {
        border::THICK
    } else {
        border::ROUNDED
    };
    let style = if focused { theme.focus() } else { theme.frame() };
    let mut room = area.width.saturating_sub(4);
    let mut spans = Vec::new();
    for (piece, style) in title {
        let wide = columns(piece);
        if wide > room {
            break;
        }
        room -= wide;
        spans.push(Span::styled(piece.clone(), *style));
    }
    let block = Block::new()
        .borders(Borders::ALL)
        .border_set(set)
        .border_style(style)
        .title_style(Style::default().fg(Color::Reset))
        .title(Line::from(spans));
    let inner = block.inner(area);
    block.render(area, buf);
    inner
}

/// The first of some variants that fits, long ones first, on the lower edge of a panel's frame.
pub fn footnote(buf: &mut Buffer, frame: Rect, variants: &[Vec<Piece>]) {
    let room = frame.width.saturating_sub(6);
    let wide = |pieces: &[Piece]| pieces.iter().map(|(text, _)| columns(text)).sum::<u16>();
    let Some(told) = variants.iter().find(|v| wide(v) <= room) else { return };
    if frame.height < 2 {
        return;
    }
    let y = frame.bottom() - 1;
    let end = frame.x + 3 + pieces(buf, frame.x + 3, y, room, told);
    for x in [frame.x + 2, end] {
        put(buf, x, y, ' ', Style::default());
    }
}

/// Clears an area, so that an overlay is not written over what lies below.
pub fn clear(buf: &mut Buffer, area: Rect) {
    ratatui::widgets::Clear.render(area.intersection(buf.area), buf);
}
