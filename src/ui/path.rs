//! The path on a surface of a file, drawn as the panel of paths draws it, and the key to its colours.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

use super::paint::{Piece, pieces};
use super::theme::Theme;
use super::track::{Mark, Track, angle_key};
use crate::telemetry::chart::Path;
use crate::telemetry::path::PathPoint;

/// A file's path; `to_dots` says where a place of the surface lies, in braille's dots from the area's upper left, not a
/// number where nowhere.
pub fn track(
    path: &Path,
    to_dots: &impl Fn((f64, f64)) -> (f64, f64),
    area: Rect,
    theme: Theme,
) -> Track {
    let point = |(i, place): (usize, &(f64, f64))| PathPoint {
        angle_deg: path.angle(i).unwrap_or(f64::NAN),
        ..PathPoint::new(0, *place, f64::NAN)
    };
    let points: Vec<PathPoint> = path.points.iter().enumerate().map(point).collect();
    let mark =
        |(at, label): &((f64, f64), String)| Mark { at: *at, label: label.clone(), by_hand: true };
    let marks: Vec<Mark> = path.marks.iter().map(mark).collect();
    // Where stretches have colours that mean something, what else there is of the path has none.
    let style = match path.has_angles() {
        true => Style::default().fg(Color::Reset),
        false => theme.error(),
    };
    Track::new(&points, &marks, [&path.ends.0, &path.ends.1], to_dots, style, area, theme)
}

/// The key to the colours or characters, on a line.
pub fn key(line: Rect, buf: &mut Buffer, theme: Theme) {
    let mut told: Vec<Piece> = vec![("path: ".to_owned(), theme.dim())];
    told.extend(angle_key(theme));
    pieces(buf, line.x, line.y, line.width, &told);
}
