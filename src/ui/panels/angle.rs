//! The angle at which each arm's step crosses the isocurve of the loss, what it would be with weight decay the other
//! way, how often which angle was taken, and what the step is made of.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{arm_piece, framed, histograms, last_step, marks};
use crate::telemetry::angles::MEDIAN_STEPS;
use crate::telemetry::event::StepShare;
use crate::telemetry::history::Curve;
use crate::telemetry::snapshot::{ArmView, Snapshot};
use crate::ui::format;
use crate::ui::paint::{Piece, columns, footnote, pieces, put, text};
use crate::ui::plot::{Line, Plot, Scale};
use crate::ui::theme::Theme;
use crate::ui::view::{PanelId, ViewState};

/// Most columns of the bar of shares: beyond, it tells no more.
const WIDEST_BAR: u16 = 40;
/// Columns from which on histograms stand beside the plot, and how many they have there.
const SIDE: (u16, u16) = (96, 52);
/// Rows of a bar at most, below the plot and beside it.
const BARS: (u16, u16) = (3, 6);
/// Rows that the plot keeps when histograms stand below it.
const LEAST_PLOT: u16 = 8;
/// Rows from which on a plot shows single steps too: in fewer they would hide the medians.
const SINGLE_STEPS: u16 = 6;
/// Where the axis ends if no angle is below: most steps lead downhill.
const LOW: f64 = -30.0;
/// Columns of a line from which on the counterfactual angle is told in words.
const WIDE_LINE: u16 = 64;

/// A curve, or several together, of decay off where it is on and on where it is off.
const OTHER_WAY: &str = "decay the other way";

/// Draws the panel.
pub fn render(snapshot: &Snapshot, view: &ViewState, area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let title = vec![
        (" angle to the isocurve".to_owned(), theme.strong()),
        (if view.plane { " in the plane" } else { " full space" }.to_owned(), theme.text()),
        (" 90 downhill, 0 along".to_owned(), theme.dim()),
        (" ".to_owned(), theme.text()),
    ];
    let inner = framed(PanelId::Angle, &title, view, area, buf);
    footnote(buf, area, &legends(snapshot, view));
    let arms = u16::try_from(snapshot.arms.len()).unwrap_or(0);
    let room = inner.height.saturating_sub(arms + 1 + LEAST_PLOT);
    let inner = if inner.width >= SIDE.0 {
        let side = Rect { x: inner.right() - SIDE.1, width: SIDE.1, ..inner };
        let height = histograms::rows(arms, side.width, inner.height, BARS.1);
        histograms::render(snapshot, view, Rect { height, ..side }, buf);
        Rect { width: inner.width - SIDE.1 - 2, ..inner }
    } else {
        let height = histograms::rows(arms, inner.width, room, BARS.0);
        let below = Rect { y: inner.bottom() - height, height, ..inner };
        histograms::render(snapshot, view, below, buf);
        Rect { height: inner.height - height, ..inner }
    };
    // The plot comes first; rows of shares are left out before it gets too low to read.
    let shown = arms.min(inner.height.saturating_sub(4));
    let plot_area =
        Rect { height: inner.height.saturating_sub(shown + u16::from(shown > 0)), ..inner };
    plot(snapshot, view, plot_area.height).render(plot_area, buf, theme);
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
        shares(arm, rest, view, buf);
    }
}

/// What a dashed curve is: the words for one arm, whose decay may have been on and off.
fn without(arm: &ArmView) -> &'static str {
    let newest = arm.latest.as_ref().map(|step| step.weight_decay);
    let on = |decay: f64| decay > 0.0;
    let mut all = arm.histograms.iter().map(|h| h.weight_decay).chain(newest).map(on);
    match all.next() {
        Some(first) if !all.all(|way| way == first) => OTHER_WAY,
        Some(true) => "without decay",
        _ => "with decay",
    }
}

/// What the curves are, long and short. Of Adam the dashed one must be told what it is, however short.
fn legends(snapshot: &Snapshot, view: &ViewState) -> Vec<Vec<Piece>> {
    let theme = view.theme;
    let dim = |text: String| (text, theme.dim());
    let (line, dash) = if theme.ascii { ("-", "- -") } else { ("━", "╌╌") };
    let median = format!("{line} median of {MEDIAN_STEPS} steps");
    if view.plane {
        return vec![vec![dim(format!("{median}, in the plane of the path"))], vec![dim(median)]];
    }
    let words: Vec<&str> = snapshot.arms.values().map(without).collect();
    let way = match words.first() {
        Some(first) if words.iter().all(|w| w == first) => *first,
        Some(_) => OTHER_WAY,
        None => return vec![vec![dim(median)]],
    };
    let adam = snapshot.arms.values().filter(|a| a.is_adam()).map(|a| a.optimizer.as_str());
    let [long, short, shortest] = match adam.clone().next() {
        None => [(); 3].map(|()| format!("{dash} {way}")),
        Some(name) => [
            format!("{dash} {way} ({name}: this step's decay only)"),
            format!("{dash} {name}: this step's decay only"),
            format!("{dash} this step's decay"),
        ],
    };
    vec![
        vec![dim(format!("{median}, thin each step  {long}"))],
        vec![dim(format!("{median}  {long}"))],
        vec![dim(format!("{line} median  {long}"))],
        vec![dim(format!("{line} median  {short}"))],
        vec![dim(format!("{line} median  {shortest}"))],
        vec![dim(short)],
        vec![dim(shortest)],
    ]
}

fn plot(snapshot: &Snapshot, view: &ViewState, height: u16) -> Plot {
    let points = |curve: &Curve| curve.points().iter().map(|p| (p.step as f64, p.mean)).collect();
    let theme = view.theme;
    let arms = || snapshot.arms.iter().map(|(id, arm)| (id.index(), arm));
    let median = arms().map(|(i, arm)| Line {
        points: points(if view.plane {
            &arm.curves.plane_angle_median
        } else {
            &arm.curves.angle_median
        }),
        style: theme.arm(i).patch(theme.strong()),
        letter: theme.letter(i),
        dashed: false,
    });
    let other = arms().filter(|_| !view.plane).map(|(i, arm)| Line {
        points: points(&arm.curves.counterfactual_median),
        style: theme.arm_dim(i),
        letter: theme.letter(i),
        dashed: true,
    });
    let raw = arms().filter(|_| height >= SINGLE_STEPS).map(|(i, arm)| Line {
        points: points(if view.plane { &arm.curves.plane_angle } else { &arm.curves.angle }),
        style: theme.arm_faint(i),
        letter: '.',
        dashed: false,
    });
    let last = last_step(snapshot);
    let zero = Line {
        points: vec![(1.0, 0.0), (last, 0.0)],
        style: theme.dim(),
        letter: '.',
        dashed: false,
    };
    let lines: Vec<Line> = median.chain(other).chain(raw).chain([zero]).collect();
    let is_low = lines.iter().flat_map(|l| &l.points).any(|p| p.1 < LOW);
    Plot {
        lines,
        dots: Vec::new(),
        marks: marks(snapshot),
        x: (1.0, last),
        y: Some((if is_low { -90.0 } else { LOW }, 90.0)),
        scale: Scale::Linear,
        ticks: vec![90.0, 45.0, 0.0, -45.0, -90.0],
        x_name: "step".to_owned(),
    }
}

/// The newest angle and what it would have been, the parts' shares in figures, and a bar of them.
fn shares(arm: &ArmView, line: Rect, view: &ViewState, buf: &mut Buffer) {
    let theme = view.theme;
    let Some(step) = &arm.latest else { return };
    let degree = if theme.ascii { "deg" } else { "°" };
    let degrees = |angle: f64| match angle.is_finite() {
        true => format!("{:>3.0}{degree}", angle.round() + 0.0),
        false => format!("  -{degree}"),
    };
    let angle = if view.plane { step.angle.plane_deg } else { step.angle.full_deg };
    let mut told = vec![(format!(" {} ", degrees(angle)), theme.strong())];
    if !view.plane {
        let dash = if theme.ascii { "-" } else { "╌" };
        let other = degrees(step.angle.counterfactual_deg);
        let words = match line.width {
            WIDE_LINE.. if arm.is_adam() => {
                format!(" {} ({}: this step's)", without(arm), arm.optimizer)
            }
            WIDE_LINE.. => format!(" {}", without(arm)),
            _ => String::new(),
        };
        told.push((format!("{dash}{other}{words} "), theme.dim()));
    }
    let parts = [step.step_share.gradient, step.step_share.momentum, step.step_share.decay];
    for (share, style) in parts.iter().zip(theme.parts()) {
        told.push((format!("{:>5}", format::whole_percent(*share)), style));
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
