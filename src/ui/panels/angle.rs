//! The angle at which each arm's step crosses the isocurve of the loss, and what the step is made of.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{arm_piece, framed, last_step, marks};
use crate::telemetry::event::StepShare;
use crate::telemetry::snapshot::{ArmView, Snapshot};
use crate::ui::paint::{columns, pieces, put, text};
use crate::ui::plot::{Line, Plot, Scale};
use crate::ui::theme::Theme;
use crate::ui::view::{PanelId, ViewState};

/// Most columns of the bar of shares: beyond, it tells no more.
const WIDEST_BAR: u16 = 40;

/// Draws the panel.
pub fn render(snapshot: &Snapshot, view: &ViewState, area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let title = vec![
        (" angle to the isocurve".to_owned(), theme.strong()),
        (" 90 downhill, 0 along ".to_owned(), theme.dim()),
    ];
    let inner = framed(PanelId::Angle, &title, view, area, buf);
    let arms = u16::try_from(snapshot.arms.len()).unwrap_or(0);
    // The plot comes first; rows of shares are left out before it gets too low to read.
    let shown = arms.min(inner.height.saturating_sub(4));
    let plot_area =
        Rect { height: inner.height.saturating_sub(shown + u16::from(shown > 0)), ..inner };
    plot(snapshot, view).render(plot_area, buf, theme);
    if shown == 0 {
        return;
    }
    let [gradient, momentum, decay] = theme.parts();
    let legend = vec![
        ("step made of ".to_owned(), theme.dim()),
        ("gradient ".to_owned(), gradient),
        ("momentum ".to_owned(), momentum),
        ("decay".to_owned(), decay),
    ];
    pieces(buf, inner.x, plot_area.bottom(), inner.width, &legend);
    let names =
        snapshot.arms.values().map(|a| columns(a.info.name.as_str()) + 2).max().unwrap_or(0);
    for (id, arm) in snapshot.arms.iter().take(usize::from(shown)) {
        let y = plot_area.bottom() + 1 + u16::try_from(id.index()).unwrap_or(0);
        let line = Rect { y, height: 1, ..inner };
        let (badge, style) = arm_piece(snapshot, id.index(), view);
        text(buf, line.x, y, line.width, &badge, style);
        let rest = Rect {
            x: line.x + names.min(line.width),
            width: line.width.saturating_sub(names),
            ..line
        };
        shares(arm, rest, buf, theme);
    }
}

fn plot(snapshot: &Snapshot, view: &ViewState) -> Plot {
    let line = |index: usize, arm: &ArmView| Line {
        points: arm.curves.angle.points().iter().map(|p| (p.step as f64, p.mean)).collect(),
        style: view.theme.arm(index),
        letter: view.theme.letter(index),
    };
    let last = last_step(snapshot);
    let zero = Line { points: vec![(1.0, 0.0), (last, 0.0)], style: view.theme.dim(), letter: '.' };
    let mut lines: Vec<Line> =
        snapshot.arms.iter().map(|(id, arm)| line(id.index(), arm)).collect();
    lines.push(zero);
    Plot {
        lines,
        dots: Vec::new(),
        marks: marks(snapshot),
        x: (1.0, last),
        y: Some((-90.0, 90.0)),
        scale: Scale::Linear,
        ticks: vec![90.0, 45.0, 0.0, -45.0, -90.0],
        x_name: "step".to_owned(),
    }
}

/// The newest angle, the parts' shares in figures, and a bar of them.
fn shares(arm: &ArmView, line: Rect, buf: &mut Buffer, theme: Theme) {
    let Some(step) = &arm.latest else { return };
    let degree = if theme.ascii { "deg" } else { "°" };
    let angle = match step.angle.full_deg.is_finite() {
        true => format!(" {:>3.0}{degree} ", step.angle.full_deg),
        false => format!("   -{degree} "),
    };
    let parts = [step.step_share.gradient, step.step_share.momentum, step.step_share.decay];
    let mut told = vec![(angle, theme.strong())];
    for (share, style) in parts.iter().zip(theme.parts()) {
        // Without the sign of a zero.
        let per_cent = (share * 100.0).round() + 0.0;
        told.push((
            if share.is_finite() { format!("{per_cent:>4.0}%") } else { "   -".to_owned() },
            style,
        ));
    }
    let used = pieces(buf, line.x, line.y, line.width, &told);
    let bar = Rect {
        x: line.x + used + 1,
        width: line.width.saturating_sub(used + 1).min(WIDEST_BAR),
        ..line
    };
    share_bar(&step.step_share, bar, buf, theme);
}

/// The parts as lengths of one bar. A part that works against the step has no length: its figure says so.
fn share_bar(share: &StepShare, bar: Rect, buf: &mut Buffer, theme: Theme) {
    if bar.width < 4 {
        return;
    }
    let parts =
        [share.gradient, share.momentum, share.decay].map(|s| if s > 0.0 { s } else { 0.0 });
    let total: f64 = parts.iter().sum();
    if !(total > 0.0 && total.is_finite()) {
        return;
    }
    let symbols = if theme.ascii || !theme.has_colors() { ['g', 'm', 'd'] } else { ['█'; 3] };
    let mut until = 0.0;
    let mut x = bar.x;
    for ((part, symbol), style) in parts.iter().zip(symbols).zip(theme.parts()) {
        until += part / total * f64::from(bar.width);
        let end = bar.x + (until.round() as u16).min(bar.width);
        while x < end {
            put(buf, x, bar.y, symbol, style);
            x += 1;
        }
    }
}
