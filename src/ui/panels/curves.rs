//! Loss and accuracy of all arms over the run.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{arm_piece, framed, last_step, marks};
use crate::telemetry::history::Curve;
use crate::telemetry::snapshot::{ArmView, Snapshot};
use crate::ui::format;
use crate::ui::paint::{Piece, pieces};
use crate::ui::plot::{Dots, Line, Plot, Scale};
use crate::ui::view::{PanelId, ViewState};

/// Rows from which on the two plots stand one above the other.
const TALL: u16 = 16;

/// Draws the panel.
pub fn render(snapshot: &Snapshot, view: &ViewState, area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let scale = if view.log_scale { " loss (log)" } else { " loss" };
    let mut title =
        vec![(scale.to_owned(), theme.strong()), (" accuracy".to_owned(), theme.strong())];
    for (id, arm) in snapshot.arms.iter() {
        title.push((" ".to_owned(), theme.text()));
        title.push(arm_piece(snapshot, id.index(), view));
        let loss = arm.latest.as_ref().map_or(f64::NAN, |s| s.loss);
        title.push((format!(" {}", format::short(loss)), theme.text()));
    }
    title.push((" ".to_owned(), theme.text()));
    let inner = framed(PanelId::Curves, &title, view, area, buf);
    let (loss, accuracy) = if inner.height >= TALL {
        let top = inner.height * 3 / 5;
        (
            Rect { height: top, ..inner },
            Rect { y: inner.y + top, height: inner.height - top, ..inner },
        )
    } else {
        let left = inner.width * 11 / 20;
        (
            Rect { width: left, ..inner },
            Rect { x: inner.x + left, width: inner.width - left, ..inner },
        )
    };
    loss_plot(snapshot, view).render(loss, buf, theme);
    let legend: Vec<Piece> = vec![
        ("accuracy ".to_owned(), theme.dim()),
        (test_symbol(view, 0).to_string(), theme.text()),
        (" test".to_owned(), theme.dim()),
    ];
    let room = Rect { height: 1, ..accuracy };
    let below = Rect { y: accuracy.y + 1, height: accuracy.height.saturating_sub(1), ..accuracy };
    pieces(buf, room.x + room.width / 4, room.y, room.width * 3 / 4, &legend);
    accuracy_plot(snapshot, view).render(below, buf, theme);
}

fn loss_plot(snapshot: &Snapshot, view: &ViewState) -> Plot {
    Plot {
        lines: lines(snapshot, view, |a| &a.curves.loss),
        dots: test_dots(snapshot, view, |a| points(&a.curves.test_loss)),
        marks: marks(snapshot),
        x: (1.0, last_step(snapshot)),
        y: None,
        scale: if view.log_scale { Scale::Log } else { Scale::Linear },
        ticks: Vec::new(),
        x_name: "step".to_owned(),
    }
}

fn accuracy_plot(snapshot: &Snapshot, view: &ViewState) -> Plot {
    let right =
        |a: &ArmView| points(&a.curves.test_err).into_iter().map(|(x, y)| (x, 1.0 - y)).collect();
    Plot {
        lines: lines(snapshot, view, |a| &a.curves.acc),
        dots: test_dots(snapshot, view, right),
        marks: marks(snapshot).into_iter().map(|(x, _)| (x, String::new())).collect(),
        x: (1.0, last_step(snapshot)),
        y: Some((0.0, 1.0)),
        scale: Scale::Linear,
        ticks: Vec::new(),
        x_name: "step".to_owned(),
    }
}

fn lines(snapshot: &Snapshot, view: &ViewState, curve: impl Fn(&ArmView) -> &Curve) -> Vec<Line> {
    let line = |index: usize, arm: &ArmView| Line {
        points: points(curve(arm)),
        style: view.theme.arm(index),
        letter: view.theme.letter(index),
        dashed: false,
    };
    snapshot.arms.iter().map(|(id, arm)| line(id.index(), arm)).collect()
}

fn test_dots(
    snapshot: &Snapshot,
    view: &ViewState,
    figures: impl Fn(&ArmView) -> Vec<(f64, f64)>,
) -> Vec<Dots> {
    let dots = |index: usize, arm: &ArmView| Dots {
        points: figures(arm),
        style: view.theme.arm(index).patch(view.theme.strong()),
        symbol: test_symbol(view, index),
    };
    snapshot.arms.iter().map(|(id, arm)| dots(id.index(), arm)).collect()
}

/// Test figures: a diamond, or the arm's number where neither colour nor diamonds are to be had.
fn test_symbol(view: &ViewState, index: usize) -> char {
    if view.theme.ascii || !view.theme.has_colors() {
        char::from_digit(index as u32 + 1, 10).unwrap_or('t')
    } else {
        '◆'
    }
}

fn points(curve: &Curve) -> Vec<(f64, f64)> {
    curve.points().iter().map(|p| (p.step as f64, p.mean)).collect()
}
