//! The grain of salt beside a path: how much of the motion its plane holds, how far the map is from the losses on it,
//! and how old the map is; in as many words as there is room for.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::arm_piece;
use crate::telemetry::path::PathView;
use crate::telemetry::snapshot::{LossMap, Snapshot};
use crate::ui::format;
use crate::ui::paint::{Piece, columns, text};
use crate::ui::theme::Theme;
use crate::ui::view::ViewState;

/// Columns of words beside a map, at least, and a blank before them.
const BESIDE: u16 = 13;
/// Rows of a part from which on words stand beside the map rather than above.
const TALL: u16 = 9;
/// A plane that holds less of the motion's variance misses most of it.
const LITTLE: f64 = 0.5;

/// Beyond this share of the loss it no longer matters how many times over a map is off.
const MOST_SHARE: f64 = 9.99;

/// One thing that is told: in full, in short, in few characters, and in as few as can be.
pub struct Item {
    forms: [String; 4],
    style: Style,
    /// Whether it may be left out.
    is_extra: bool,
}

/// Where things stand in an arm's part of the panel.
pub struct Room {
    /// The map: twice as many columns as rows, as characters are twice as high as wide.
    pub square: Rect,
    words: Rect,
    /// Lines of words with their pieces.
    lines: Vec<Vec<Piece>>,
}

/// What is told of a path.
pub fn told(
    snapshot: &Snapshot,
    index: usize,
    path: &PathView,
    map: Option<&LossMap>,
    view: &ViewState,
) -> Vec<Item> {
    let theme = view.theme;
    let (name, style) = arm_piece(snapshot, index, view);
    let badge = theme.badge(index).to_string();
    let forms = [name.clone(), name.clone(), name, badge];
    let mut told = vec![Item { forms, style: style.patch(theme.strong()), is_extra: false }];
    if path.points.len() < 2 {
        return told;
    }
    told.extend(plane(path, theme));
    told.extend(gap(path, map, theme));
    let when = match map {
        Some(map) => {
            let age = format::duration(snapshot.elapsed_s - map.taken_s);
            let step = format!("map of step {}", map.step);
            let short = format!("step {}", map.step);
            [format!("{step}, {age} old"), short, String::new(), String::new()]
        }
        None => ["no map yet", "no map", "no map", "no map"].map(ToOwned::to_owned),
    };
    told.push(Item { forms: when, style: theme.dim(), is_extra: map.is_some() });
    told
}

/// The share of the motion in the plane.
fn plane(path: &PathView, theme: Theme) -> Vec<Item> {
    let [x, y, ..] = path.shares[..] else {
        let forms = ["no plane yet", "no plane", "no plane", "no plane"].map(ToOwned::to_owned);
        return vec![Item { forms, style: theme.dim(), is_extra: false }];
    };
    let misses = x + y < LITTLE;
    let style = if misses { theme.warning() } else { theme.text() };
    let (x, y) = (format::whole_percent(x), format::whole_percent(y));
    let bare = x.trim_end_matches('%');
    let few = format!("{bare}+{y}");
    let forms = [format!("plane holds {x} + {y}"), format!("plane {few}"), few.clone(), few];
    let mut told = vec![Item { forms, style, is_extra: false }];
    if misses {
        let forms = ["it misses most of the motion", "misses most", "", ""].map(ToOwned::to_owned);
        told.push(Item { forms, style, is_extra: false });
    }
    told
}

/// How far the map is from the losses on the path.
fn gap(path: &PathView, map: Option<&LossMap>, theme: Theme) -> Vec<Item> {
    let Some(map) = map.filter(|_| path.gap.median.is_finite()) else { return Vec::new() };
    // What a coarse map is off by is its interpolation too: no verdict before the last pass.
    let large = map.complete && path.gap_is_large();
    let style = if large { theme.warning() } else { theme.text() };
    let nats = format::short(path.gap.median);
    let share = match path.gap.relative {
        share if share >= MOST_SHARE => format!(">{}", format::whole_percent(MOST_SHARE)),
        share => format::whole_percent(share),
    };
    let few = format!("gap {share}{}", if large { "!" } else { "" });
    let forms =
        [format!("gap {nats} nats, {share}"), format!("gap {nats} {share}"), few.clone(), few];
    let mut told = vec![Item { forms, style, is_extra: false }];
    let most = format!("at most {}", format::short(path.gap.max));
    let forms = [most.clone(), most, String::new(), String::new()];
    told.push(Item { forms, style, is_extra: true });
    if large {
        let forms = ["map is not the loss on the path", "not the loss!", "", ""];
        told.push(Item { forms: forms.map(ToOwned::to_owned), style, is_extra: false });
    }
    told
}

impl Room {
    /// Words beside the map where that leaves it as large as it can be, above it elsewhere, in the longest form that fits.
    pub fn around(told: &[Item], part: Rect) -> Self {
        let side = part.width.saturating_sub(2 * part.height);
        if side >= BESIDE && part.height >= TALL {
            let square = Rect { width: 2 * part.height, ..part };
            let words = Rect { x: square.right() + 1, width: side - 1, ..part };
            return Self { square, words, lines: stacked(told, words.width, words.height) };
        }
        // A line of words costs a row of the map.
        let most = match part.height {
            0..=3 => 1,
            4..=11 => 2,
            _ => 3,
        };
        // But for a map that is as wide as can be.
        let most = most.max(usize::from(part.height.saturating_sub(part.width / 2)));
        let tries = [(0, 1), (0, most), (1, 1), (1, most), (2, most), (3, most)];
        let fitting = |(form, most): (usize, usize)| {
            let (lines, whole) = flowing(told, form, part.width, most);
            (whole || form == 3).then_some(lines)
        };
        let lines = tries.into_iter().find_map(fitting).unwrap_or_default();
        let height = (lines.len() as u16).min(part.height);
        let below = Rect { y: part.y + height, height: part.height - height, ..part };
        let rows = below.height.min(below.width / 2);
        let square = Rect {
            x: below.x + (below.width - 2 * rows) / 2,
            width: 2 * rows,
            height: rows,
            ..below
        };
        Self { square, words: Rect { height, ..part }, lines }
    }

    /// With squares of one size and, below words, at one height.
    pub fn alike(mut rooms: Vec<Self>) -> Vec<Self> {
        let rows = rooms.iter().map(|r| r.square.height).min().unwrap_or(0);
        let above = |r: &Self| r.square.y - r.words.y;
        let words = rooms.iter().map(above).max().unwrap_or(0);
        for room in &mut rooms {
            let square = room.square;
            let less = square.height - rows;
            room.square = Rect {
                x: square.x + less,
                y: room.words.y + if above(room) > 0 { words } else { 0 },
                width: square.width - 2 * less,
                height: rows,
            };
        }
        rooms
    }

    /// Writes the words.
    pub fn write(&self, buf: &mut Buffer) {
        for (line, y) in self.lines.iter().zip(self.words.y..self.words.bottom()) {
            let mut x = self.words.x;
            for (piece, style) in line {
                x += text(buf, x, y, self.words.right().saturating_sub(x), piece, *style);
            }
        }
    }
}

/// Everything in one form on at most so many lines, two blanks apart; whether all that must be told fits.
fn flowing(told: &[Item], form: usize, width: u16, most: usize) -> (Vec<Vec<Piece>>, bool) {
    let space = if form == 0 { "  " } else { " " };
    let mut lines: Vec<(u16, Vec<Piece>)> = vec![(0, Vec::new())];
    let mut whole = true;
    for item in told.iter().filter(|i| !i.forms[form].is_empty()) {
        let wide = columns(&item.forms[form]);
        let piece = (item.forms[form].clone(), item.style);
        let Some((used, last)) = lines.last_mut() else { break };
        let gap = if *used == 0 { "" } else { space };
        if *used + columns(gap) + wide <= width {
            *used += columns(gap) + wide;
            last.extend([(gap.to_owned(), Style::default()), piece]);
        } else if lines.len() < most && wide <= width {
            lines.push((wide, vec![piece]));
        } else {
            whole &= item.is_extra;
        }
    }
    (lines.into_iter().map(|(_, line)| line).collect(), whole)
}

/// Everything in full, one below the other, broken between words; in short where that is more than there is room for.
fn stacked(told: &[Item], width: u16, height: u16) -> Vec<Vec<Piece>> {
    let in_form = |form: usize| -> Vec<Vec<Piece>> {
        let lines = told.iter().filter(|i| !i.forms[form].is_empty()).flat_map(|item| {
            broken(&item.forms[form], width).into_iter().map(|line| vec![(line, item.style)])
        });
        lines.collect()
    };
    let full = in_form(0);
    if full.len() <= usize::from(height) { full } else { in_form(1) }
}

/// A text in lines of at most so many columns, broken between words.
fn broken(text: &str, width: u16) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if columns(line) + 1 + columns(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
