//! What is being run, how far it is, and what is wrong if anything is.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::arm_piece;
use crate::telemetry::event::{Alert, Level, RunStatus};
use crate::telemetry::health::Verdict;
use crate::telemetry::snapshot::{ArmState, ArmView, Phase, Snapshot};
use crate::ui::format;
use crate::ui::paint::{Piece, columns, pieces, put, text};
use crate::ui::theme::Theme;
use crate::ui::view::ViewState;

/// Rows that the header takes: two of the run, one per arm, one of what is wrong.
pub fn height(snapshot: &Snapshot, room: u16) -> u16 {
    let arms = u16::try_from(snapshot.arms.len()).unwrap_or(u16::MAX);
    let all = 2u16.saturating_add(arms).saturating_add(u16::from(standing(snapshot).is_some()));
    all.min(room)
}

/// Draws the header.
pub fn render(snapshot: &Snapshot, view: &ViewState, area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let mut lines = (area.y..area.bottom()).map(|y| Rect { y, height: 1, ..area });
    if let Some(line) = lines.next() {
        run_line(snapshot, view, line, buf);
    }
    if let Some(line) = lines.next() {
        progress_line(snapshot, line, buf, theme);
    }
    if let Some(alert) = standing(snapshot)
        && let Some(line) = lines.next()
    {
        let style = match alert.level {
            Level::Info => theme.text(),
            Level::Warning => theme.warning(),
            Level::Error => theme.error(),
        };
        let count = snapshot.alerts.len();
        let more = if count > 1 { format!(" ({count} in all)") } else { String::new() };
        text(buf, line.x, line.y, line.width, &format!("! {}{more}", alert.text), style);
    }
    let names = snapshot.arms.values().map(|a| columns(a.info.name.as_str())).max().unwrap_or(0);
    for ((id, arm), line) in snapshot.arms.iter().zip(lines) {
        arm_line(snapshot, arm, id.index(), names, view, line, buf);
    }
}

fn phase(snapshot: &Snapshot, theme: Theme) -> Piece {
    match &snapshot.phase {
        Phase::Starting(what) => (what.clone(), theme.warning()),
        Phase::Refused { .. } => ("refused".to_owned(), theme.error()),
        Phase::Training => ("training".to_owned(), theme.good()),
        Phase::Paused => ("paused".to_owned(), theme.warning()),
        Phase::Finishing => ("finishing".to_owned(), theme.warning()),
        Phase::Ended(RunStatus::Finished) => ("finished".to_owned(), theme.good()),
        Phase::Ended(RunStatus::Stopped) => ("stopped".to_owned(), theme.warning()),
        Phase::Ended(RunStatus::Failed) => ("failed".to_owned(), theme.error()),
    }
}

fn run_line(snapshot: &Snapshot, view: &ViewState, line: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let run = &snapshot.run;
    let (word, style) = phase(snapshot, theme);
    let wide = columns(&word) + 1;
    let mut told =
        vec![("landscope ".to_owned(), theme.strong()), (run.name.clone(), theme.text())];
    for part in [&run.model, &run.data, &run.device] {
        if !part.is_empty() {
            told.push((format!("  {part}"), theme.dim()));
        }
    }
    pieces(buf, line.x, line.y, line.width.saturating_sub(wide), &told);
    text(buf, line.right().saturating_sub(wide - 1).max(line.x), line.y, wide, &word, style);
}

fn progress_line(snapshot: &Snapshot, line: Rect, buf: &mut Buffer, theme: Theme) {
    let run = &snapshot.run;
    let wide = (line.width / 6).clamp(8, 30);
    let share = snapshot.step as f64 / run.steps.max(1) as f64;
    let full = (share * f64::from(wide)).round() as u16;
    let (on, off) = if theme.ascii { ('=', '-') } else { ('━', '─') };
    for i in 0..wide.min(line.width) {
        let (symbol, style) = if i < full { (on, theme.good()) } else { (off, theme.dim()) };
        put(buf, line.x + i, line.y, symbol, style);
    }
    let system = &snapshot.system;
    let mut told = vec![
        (format!(" step {}/{}", snapshot.step, run.steps), theme.strong()),
        (format!("  epoch {:.1}", snapshot.epoch), theme.text()),
    ];
    let over = snapshot.phase.is_over();
    if !over && snapshot.steps_per_s > 0.0 {
        told.push((format!("  {} step/s", format::short(snapshot.steps_per_s)), theme.text()));
        told.push((format!("  {} left", format::duration(snapshot.eta_s)), theme.text()));
    }
    told.push((format!("  {}", format::duration(snapshot.elapsed_s)), theme.dim()));
    if system.rss_bytes > 0 {
        told.push((format!("  mem {}", format::bytes(system.rss_bytes)), theme.dim()));
        told.push((format!("  cpu {:.1}/{}", system.cpu_cores, system.cores), theme.dim()));
    }
    if let Some(gpu) = &system.gpu {
        let memory =
            format!("{} of {}", format::bytes(gpu.used_bytes), format::bytes(gpu.total_bytes));
        told.push((format!("  gpu {:.0}% {memory}", gpu.load * 100.0), theme.dim()));
    }
    if let Some((step, _)) = &snapshot.checkpoint {
        told.push((format!("  saved at {step}"), theme.dim()));
    }
    pieces(buf, line.x + wide, line.y, line.width.saturating_sub(wide), &told);
}

/// What an arm is doing, in a word, with how bad that is.
fn state(arm: &ArmView, theme: Theme) -> Piece {
    let style: Style = match (&arm.state, arm.verdict) {
        (ArmState::Failed(_) | ArmState::Diverged { .. }, _) => theme.error(),
        (_, Verdict::Healthy) => theme.good(),
        (_, Verdict::Unknown) => theme.dim(),
        _ => theme.warning(),
    };
    let word = match (&arm.state, arm.verdict) {
        (ArmState::Waiting, _) => "waiting".to_owned(),
        (ArmState::Diverged { step }, _) => format!("diverged at step {step}"),
        (_, Verdict::Unknown) => "too early to say".to_owned(),
        (_, verdict) => verdict.word().to_owned(),
    };
    (word, style)
}

fn arm_line(
    snapshot: &Snapshot,
    arm: &ArmView,
    index: usize,
    names: u16,
    view: &ViewState,
    line: Rect,
    buf: &mut Buffer,
) {
    let theme = view.theme;
    let (name, style) = arm_piece(snapshot, index, view);
    // Names in a column, so that figures below each other are of one kind.
    let pad = usize::from(names.saturating_sub(columns(arm.info.name.as_str())));
    let mut told: Vec<Piece> = vec![(format!("{name}{:pad$}", ""), style)];
    if let Some(step) = &arm.latest {
        told.push((format!("  loss {:<7}", format::short(step.loss)), theme.strong()));
        let test = arm.test.map_or(f64::NAN, |(_, err)| err);
        told.push((format!(" test err {:<6}", format::percent(test)), theme.strong()));
        let (word, style) = state(arm, theme);
        told.push((format!(" {word:<18}"), style));
        told.push((format!(" lr {}", format::setting(step.lr)), theme.text()));
        let off = step.weight_decay == 0.0 && arm.configured_weight_decay > 0.0;
        let decay = if off { "off".to_owned() } else { format::setting(step.weight_decay) };
        told.push((format!(" wd {decay}"), if off { theme.warning() } else { theme.text() }));
        told.push((format!(" batch {}", step.batch), theme.text()));
        told.push((format!("  |g| {}", format::short(step.grad_norm)), theme.dim()));
        told.push((format!("  update {}", format::short(step.update_ratio)), theme.dim()));
        told.push((format!("  {} ms", format::short(step.ms)), theme.dim()));
    } else {
        let (word, style) = state(arm, theme);
        told.push((format!("  {word}"), style));
    }
    told.push((format!("  {} parameters", arm.info.parameters), theme.dim()));
    pieces(buf, line.x, line.y, line.width, &told);
}

/// The newest alert that is still true.
fn standing(snapshot: &Snapshot) -> Option<&Alert> {
    snapshot.alerts.iter().rev().find(|alert| stands(alert, snapshot))
}

/// Whether an alert is still true: one of an arm's health no longer is once its verdict is another, and that it is well is
/// in its own line.
fn stands(alert: &Alert, snapshot: &Snapshot) -> bool {
    let of_health = Verdict::PASSING.iter().any(|verdict| verdict.word() == alert.kind);
    let arm = alert.arm.as_ref().and_then(|name| {
        let mut arms = snapshot.arms.values();
        arms.find(|arm| arm.info.name == *name)
    });
    match arm.filter(|_| of_health) {
        Some(arm) => arm.verdict.is_unhealthy() && arm.verdict.word() == alert.kind,
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::fixture;

    #[test]
    fn an_alert_of_health_goes_with_the_verdict() {
        let mut snapshot = fixture::run(2, 120);
        let id = snapshot.arms.ids().next().unwrap();
        let alert = |kind: &str| Alert {
            arm: Some(snapshot.arms[id].info.name.clone()),
            step: 1,
            t: 0.0,
            kind: kind.to_owned(),
            level: Level::Warning,
            text: kind.to_owned(),
        };
        let (lagging, lost, well) = (alert("lagging"), alert("snapshot-lost"), alert("healthy"));
        snapshot.arms[id].verdict = Verdict::Lagging;
        snapshot.alerts = vec![lost.clone(), lagging.clone()];
        assert_eq!(standing(&snapshot), Some(&lagging));
        snapshot.arms[id].verdict = Verdict::Healthy;
        snapshot.alerts.push(well);
        assert_eq!(standing(&snapshot), Some(&lost), "what is lost stays lost");
        snapshot.alerts.remove(0);
        assert_eq!(height(&snapshot, 20), 2 + snapshot.arms.len() as u16);
    }
}
