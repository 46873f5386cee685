//! Gradient norms through the layers, arm beside arm, stem to head, on one logarithmic scale.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::{arm_piece, blocks, framed, heat, side_by_side};
use crate::geometry::color::contrast;
use crate::geometry::ticks;
use crate::telemetry::snapshot::{ArmView, Snapshot};
use crate::ui::format;
use crate::ui::paint::{Piece, columns, pieces, put, text};
use crate::ui::theme::Theme;
use crate::ui::view::{PanelId, ViewState};

/// Rows from which on the flow over time stands below the flow now.
const TALL: u16 = 16;
/// Columns for labels, at least.
const GUTTER: u16 = 5;
/// Eighths of a full block.
const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The common scale: least and largest norm of all arms, as whole powers of ten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decades {
    low: f64,
    high: f64,
}

impl Decades {
    /// Over what all arms show now and showed first; none without any figure.
    pub fn of(snapshot: &Snapshot) -> Option<Self> {
        let arms = snapshot.arms.values();
        let all = arms.flat_map(|a| a.flow.now.iter().chain(&a.flow.first));
        let logs = all.filter(|v| v.is_finite() && **v > 0.0).map(|v| v.log10());
        let (low, high) =
            logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let (low, high) = (low.floor(), high.ceil());
        (low <= high).then(|| Self { low, high: high.max(low + 2.0) })
    }

    /// A norm's place, 0 to 1; none for what is no norm.
    pub fn place(self, norm: f64) -> Option<f64> {
        let at = (norm.log10() - self.low) / (self.high - self.low);
        at.is_finite().then_some(at.clamp(0.0, 1.0))
    }

    /// Powers of ten for so many rows, each with its place.
    fn labels(self, rows: u16) -> Vec<(f64, String)> {
        if rows == 0 {
            return Vec::new();
        }
        let span = (self.high - self.low) as i32;
        let every = span / i32::from(rows / 2).max(1) + 1;
        let shown = || (0..=span).step_by(usize::try_from(every).unwrap_or(1));
        let values: Vec<f64> = shown().map(|i| 10f64.powi(self.low as i32 + i)).collect();
        shown().map(|i| f64::from(i) / f64::from(span)).zip(ticks::labels(&values)).collect()
    }
}

/// Draws the panel.
pub fn render(snapshot: &Snapshot, view: &ViewState, area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let title = vec![
        (" gradient flow".to_owned(), theme.strong()),
        (" |dL/dW| by layer ".to_owned(), theme.dim()),
    ];
    let inner = framed(PanelId::Flow, &title, view, area, buf);
    let Some(scale) = Decades::of(snapshot) else {
        text(buf, inner.x, inner.y, inner.width, "no step yet", theme.dim());
        return;
    };
    let top = match inner.height {
        TALL.. if view.zoomed => inner.height * 2 / 5,
        TALL.. => inner.height * 3 / 5,
        all => all,
    };
    let labels = scale.labels(top.saturating_sub(2));
    let widest = labels.iter().map(|(_, label)| columns(label)).max().unwrap_or(0);
    let gutter = (widest + 1).max(GUTTER).min(inner.width);
    let body = Rect { x: inner.x + gutter, width: inner.width - gutter, ..inner };
    let (now, later) = if inner.height >= TALL {
        let rest = Rect { y: body.y + top, height: body.height - top, ..body };
        (Rect { height: top, ..body }, Some(rest))
    } else {
        (body, None)
    };
    let bars = Rect { y: now.y + 1, height: now.height.saturating_sub(2), ..now };
    for (share, label) in labels {
        let row = ((1.0 - share) * f64::from(bars.height - 1)).round() as u16;
        if let Some(x) = body.x.checked_sub(1 + columns(&label)).filter(|x| *x >= inner.x) {
            text(buf, x, bars.y + row, gutter, &label, theme.dim());
        }
    }
    let parts = side_by_side(now, snapshot.arms.len());
    for ((id, arm), part) in snapshot.arms.iter().zip(&parts) {
        heading(snapshot, arm, id.index(), view, *part, buf);
        let bars = Rect { y: bars.y, height: bars.height, ..*part };
        profile(arm, scale, bars, buf, theme);
        if now.height >= 3 {
            ends(Rect { y: now.bottom() - 1, height: 1, ..*part }, buf, theme);
        }
    }
    if let Some(rest) = later {
        let (history, decomposition) = if view.zoomed {
            let top = rest.height / 2;
            let below = Rect { y: rest.y + top, height: rest.height - top, ..rest };
            (Rect { height: top, ..rest }, Some(below))
        } else {
            (rest, None)
        };
        heat::render(snapshot, scale, view, history, buf);
        if let Some(area) = decomposition {
            blocks::render(snapshot, view, area, buf);
        }
    }
}

/// The arm, and how much the gradient grew on its way from the last conv to the stem.
fn heading(
    snapshot: &Snapshot,
    arm: &ArmView,
    index: usize,
    view: &ViewState,
    part: Rect,
    buf: &mut Buffer,
) {
    let theme = view.theme;
    let mut told: Vec<Piece> = vec![arm_piece(snapshot, index, view)];
    if let Some([stem, last]) = arm.info.ends_of_trunk(&arm.flow.now) {
        told.push((format!(" {}", growth(stem / last, theme)), theme.strong()));
        told.push((format!("  stem {}", format::short(stem)), theme.dim()));
        told.push((format!("  last conv {}", format::short(last)), theme.dim()));
    }
    pieces(buf, part.x, part.y, part.width, &told);
}

/// Stem over last conv: how often the gradient has grown (x57) or shrunk (1/57).
fn growth(ratio: f64, theme: Theme) -> String {
    let times = if theme.ascii { 'x' } else { '×' };
    // Two figures are enough, and fit where a terminal of 80 columns shows several arms.
    let told = |by: f64| match by {
        ..10.0 => format!("{by:.1}"),
        ..1e4 => format!("{by:.0}"),
        _ => format::short(by),
    };
    if ratio >= 1.0 {
        format!("{times}{}", told(ratio))
    } else if ratio > 0.0 {
        format!("{times}1/{}", told(1.0 / ratio))
    } else {
        String::new()
    }
}

/// Bars of the newest norms, with the first step's as a line over them.
fn profile(arm: &ArmView, scale: Decades, area: Rect, buf: &mut Buffer, theme: Theme) {
    let (now, first) = (gathered(&arm.flow.now, area.width), gathered(&arm.flow.first, area.width));
    for column in 0..area.width {
        let at = |values: &[f64]| values.get(usize::from(column)).and_then(|v| scale.place(*v));
        let place = at(&now);
        if let Some(place) = place {
            bar(area, column, place, buf, theme);
        }
        if let Some(start) = at(&first).filter(|_| area.height > 0) {
            let row = ((1.0 - start) * f64::from(area.height - 1)).round() as u16;
            let (x, y) = (area.x + column, area.y + row);
            let within = place.is_some_and(|p| p >= start);
            let style = if within && theme.has_colors() {
                let below = theme.heat_color(place.unwrap_or(0.0));
                Style::default().fg(theme.color(contrast(below))).bg(theme.color(below))
            } else {
                theme.text()
            };
            put(buf, x, y, if theme.ascii { '-' } else { '─' }, style);
        }
    }
}

/// One bar, in eighths of a row.
fn bar(area: Rect, column: u16, place: f64, buf: &mut Buffer, theme: Theme) {
    let style = Style::default().fg(theme.color(theme.heat_color(place)));
    let eighths = (place * f64::from(area.height) * 8.0).round().max(1.0) as u16;
    for up in 0..area.height {
        let left = eighths.saturating_sub(up * 8).min(8);
        if left == 0 {
            break;
        }
        let full = if theme.ascii { '#' } else { EIGHTHS[usize::from(left) - 1] };
        put(buf, area.x + column, area.bottom() - 1 - up, full, style);
    }
}

/// The layers' norms spread over `width` columns: layers that share a column are their geometric mean, and a layer
/// that has several columns fills them.
fn gathered(norms: &[f64], width: u16) -> Vec<f64> {
    let (n, width) = (norms.len(), usize::from(width));
    if n == 0 || width == 0 {
        return Vec::new();
    }
    let of = |column: usize| {
        let (from, to) = (column * n / width, ((column + 1) * n).div_ceil(width).min(n));
        let logs: Vec<f64> = norms[from..to.max(from + 1)]
            .iter()
            .map(|v| v.ln())
            .filter(|v| v.is_finite())
            .collect();
        (logs.iter().sum::<f64>() / logs.len() as f64).exp()
    };
    (0..width).map(of).collect()
}

/// What lies at both ends of the bars.
fn ends(line: Rect, buf: &mut Buffer, theme: Theme) {
    text(buf, line.x, line.y, line.width, "stem", theme.dim());
    if line.width >= 12 {
        text(buf, line.right() - 4, line.y, 4, "head", theme.dim());
    }
    let note = if theme.ascii { "- step 1" } else { "─ step 1" };
    if line.width >= 22 {
        let at = line.x + (line.width - columns(note)) / 2;
        text(buf, at, line.y, columns(note), note, theme.dim());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_spread_over_columns_by_geometric_mean() {
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a / b - 1.0).abs() < 1e-9);
        assert!(close(&gathered(&[1.0, 100.0, 3.0, 3.0], 2), &[10.0, 3.0]));
        assert!(close(&gathered(&[2.0, 5.0], 4), &[2.0, 2.0, 5.0, 5.0]));
        assert!(gathered(&[0.0, f64::NAN], 1)[0].is_nan());
        assert!(gathered(&[], 3).is_empty());
    }

    #[test]
    fn a_norm_has_its_place_on_the_decades() {
        let scale = Decades { low: -2.0, high: 2.0 };
        assert_eq!(scale.place(1.0), Some(0.5));
        assert_eq!([scale.place(1e9), scale.place(1e-9)], [Some(1.0), Some(0.0)]);
        assert_eq!([scale.place(0.0), scale.place(f64::NAN)], [None, None]);
    }
}
