//! The figures as a table for people, or as an object a line.

use super::ArmFigures;
use crate::telemetry::event::FORK;
use crate::telemetry::number::{setting, short};

/// Columns between two columns.
const BETWEEN: &str = "  ";
/// What follows the table.
const NOTE: &str = "\
angles: degrees to the isocurve of the loss, 90 straight downhill, 0 along it, below 0 uphill; means over the first,
middle and last third of an arm's steps, and the share of its steps beyond 45 either way, of those that have an angle
gap: |map - loss| and its share of that loss + 0.1, medians over the path's length, and the largest";

/// A share as per cent.
fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.0} %", share * 100.0) } else { "-".to_owned() }
}

/// How far a map is off its path: `0.12 (4 %), 3.6`.
pub fn gap(arm: &ArmFigures) -> String {
    let gap = &arm.gap;
    match (gap.median.is_finite(), gap.relative.is_finite()) {
        (false, _) => "-".to_owned(),
        (true, false) => short(gap.median),
        (true, true) => {
            let large = if arm.gap_is_large() { "!" } else { "" };
            format!("{} ({}){large}, {}", short(gap.median), percent(gap.relative), short(gap.max))
        }
    }
}

/// One column: what stands over it, a line each, and how a cell is written.
struct Column {
    group: &'static str,
    head: &'static str,
    cell: fn(&ArmFigures) -> String,
}

fn degrees(value: f64) -> String {
    if value.is_finite() { format!("{value:.1}") } else { "-".to_owned() }
}

/// A setting, with what it became.
fn with_changes(first: String, arm: &ArmFigures, key: &str, word: fn(f64) -> String) -> String {
    let last = arm.changes.iter().rev().find(|c| c.key == key).map(|c| word(c.to));
    match last.filter(|last| *last != first) {
        Some(last) => format!("{first}>{last}"),
        None => first,
    }
}

fn columns(with_plane: bool) -> Vec<Column> {
    let column = |group, head, cell| Column { group, head, cell };
    let mut all = vec![
        column("", "optimizer", |a| a.optimizer.word().to_owned()),
        column("weight", "decay", |a| {
            with_changes(setting(a.weight_decay), a, "weight_decay", setting)
        }),
        column("", "batch", |a| {
            with_changes(a.batch.to_string(), a, "batch", |b| format!("{b:.0}"))
        }),
        column("variance", "PC1", |a| percent(of(&a.explained, 0))),
        column("", "PC2", |a| percent(of(&a.explained, 1))),
        column("gap,", "nats", gap),
        column("angle", "early", |a| degrees(a.full.early)),
        column("", "middle", |a| degrees(a.full.middle)),
        column("", "late", |a| degrees(a.full.late)),
        column("", ">45", |a| percent(a.full.above_45)),
    ];
    if with_plane {
        all.extend([
            column("in plane", "early", |a| degrees(a.plane.early)),
            column("", "middle", |a| degrees(a.plane.middle)),
            column("", "late", |a| degrees(a.plane.late)),
            column("", ">45", |a| percent(a.plane.above_45)),
        ]);
    }
    all.push(column("test", "error", |a| {
        if a.test_err.is_finite() { format!("{:.1} %", a.test_err * 100.0) } else { "-".to_owned() }
    }));
    all
}

fn of(values: &[f64], index: usize) -> f64 {
    values.get(index).copied().unwrap_or(f64::NAN)
}

/// The table, a line an arm, and what its figures are.
pub fn text(arms: &[ArmFigures]) -> String {
    let columns = columns(arms.iter().any(|a| !a.plane.is_none()));
    let wide =
        |texts: &mut dyn Iterator<Item = &str>| texts.map(|t| t.chars().count()).max().unwrap_or(0);
    let names = wide(&mut arms.iter().map(|a| a.arm.as_str()).chain(["arm"]));
    let mut lines = [String::new(), String::new()].map(|_| " ".repeat(names)).to_vec();
    lines[1] = format!("{:names$}", "arm");
    lines.extend(arms.iter().map(|a| format!("{:names$}", a.arm)));
    for Column { group, head, cell } in &columns {
        let cells: Vec<String> = arms.iter().map(cell).collect();
        let width = wide(&mut cells.iter().map(String::as_str).chain([*group, *head]));
        let column = [(*group).to_owned(), (*head).to_owned()].into_iter().chain(cells);
        for (line, cell) in lines.iter_mut().zip(column) {
            *line += BETWEEN;
            *line += &format!("{cell:>width$}");
        }
    }
    for (line, arm) in lines.iter_mut().skip(2).zip(arms) {
        if let Some(ended) = &arm.ended {
            *line += &format!("{BETWEEN}{} at step {}", ended.kind.replace('-', " "), ended.step);
        }
    }
    let mut told: String = lines.iter().map(|l| format!("{}\n", l.trim_end())).collect();
    told += NOTE;
    if arms.iter().any(ArmFigures::gap_is_large) {
        told += "; !: large, the map is not what was trained on";
    }
    for arm in arms {
        let old = arm.map_step.filter(|step| *step < arm.steps);
        let old = old.map(|step| format!("is of step {step}, the arm is at {}", arm.steps));
        let coarse = "is coarse, for a newer one or the end came before its finest grid".to_owned();
        let coarse = arm.map_coarse.then_some(coarse);
        let of_map: Vec<String> = old.into_iter().chain(coarse).collect();
        if !of_map.is_empty() {
            told += &format!("\n{}: its map {}", arm.arm, of_map.join("; it "));
        }
    }
    let plain = |a: &ArmFigures| a.changes.iter().all(|c| c.key == FORK);
    for arm in arms.iter().filter(|a| !plain(a)) {
        told += &format!("\n{}: {}", arm.arm, changes(arm));
    }
    told
}

/// What changed on an arm's way.
fn changes(arm: &ArmFigures) -> String {
    let told = arm.changes.iter().map(|c| format!("{} from step {}", c.word(), c.step));
    told.collect::<Vec<_>>().join("; ")
}

/// An arm's figures as a JSON object on one line: fractions in [0, 1], null for what does not exist.
pub fn json(arm: &ArmFigures) -> String {
    // Plain figures and words, keyed by words: there is nothing that cannot be written.
    serde_json::to_string(arm).unwrap_or_default()
}
