//! What came of a change that somebody made while the run went on, in words.

use super::format::{setting, short};
use crate::telemetry::command::Setting;
use crate::telemetry::event::{ControlChange, FORK, PAUSED};
use crate::telemetry::snapshot::{ArmView, Snapshot};

/// The answer to the newest change, and to what the same command changed of other arms.
pub fn to(snapshot: &Snapshot, newest: &ControlChange) -> String {
    changes(&with_others(&snapshot.marks, newest), schedules_factor(snapshot, newest))
}

/// A change of the run, of several arms where one command made it for each, as an answer to who made it. The schedule
/// multiplies a learning rate by `scheduled`.
fn changes(together: &[&ControlChange], scheduled: f64) -> String {
    let Some(ControlChange { arm, step, key, to, name, .. }) = together.first() else {
        return String::new();
    };
    let whose = arm.as_ref().map_or_else(String::new, |a| format!("{a}: "));
    match (key.as_str(), name) {
        (PAUSED, _) if *to != 0.0 => format!("paused before step {step}"),
        (PAUSED, _) => format!("goes on with step {step}"),
        (FORK, Some(name)) => format!("{whose}forked into {name} before step {step}"),
        (key, _) => {
            let way = |m: &&ControlChange| format!("{} to {}", setting(m.from), setting(m.to));
            let told = match together {
                [one] => format!("{whose}{key} {}", way(one)),
                several => {
                    let arm =
                        |m: &&ControlChange| m.arm.as_ref().map_or("", |a| a.as_str()).to_owned();
                    let each = several.iter().map(|m| format!("{} {}", arm(m), way(m)));
                    format!("{key}: {}", each.collect::<Vec<_>>().join(", "))
                }
            };
            let factor = match scheduled == 1.0 {
                true => String::new(),
                false => format!(" (times {} by schedule)", short(scheduled)),
            };
            format!("{told}{factor}, from step {step} on")
        }
    }
}

/// The newest change and those of other arms that the same command made.
fn with_others<'a>(
    marks: &'a [ControlChange],
    newest: &'a ControlChange,
) -> Vec<&'a ControlChange> {
    let mut together = vec![newest];
    for mark in marks.iter().rev().skip(1) {
        let again = together.iter().any(|m| m.arm == mark.arm);
        if (mark.step, &mark.key) != (newest.step, &newest.key) || mark.arm.is_none() || again {
            break;
        }
        together.insert(0, mark);
    }
    together
}

/// What the schedule makes of a learning rate that was changed by hand: the factor on it; 1 where there is none.
fn schedules_factor(snapshot: &Snapshot, mark: &ControlChange) -> f64 {
    let its = |arm: &&ArmView| mark.arm.as_ref().is_none_or(|name| *name == arm.info.name);
    let latest = snapshot.arms.values().find(its).and_then(|arm| arm.latest.as_ref());
    let Some(latest) = latest.filter(|_| mark.key == Setting::Lr.key()) else { return 1.0 };
    let set = if latest.step < mark.step { mark.from } else { mark.to };
    let factor = latest.lr / set;
    // What is left of rounding is no factor.
    if factor.is_finite() && (factor - 1.0).abs() > 1e-6 { factor } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::ArmName;

    fn change(arm: Option<&str>, step: u64, key: &str, from: f64, to: f64) -> ControlChange {
        let (arm, key) = (arm.map(ArmName::new), key.to_owned());
        ControlChange { arm, step, t: 0.0, key, from, to, name: None }
    }

    fn told(marks: Vec<ControlChange>) -> String {
        let newest = marks.last().unwrap().clone();
        to(&Snapshot { marks, ..Snapshot::default() }, &newest)
    }

    #[test]
    fn one_command_is_told_for_all_that_it_changed() {
        let both = vec![
            change(Some("skip"), 3, "weight_decay", 0.1, 0.2),
            change(Some("skip"), 9, "weight_decay", 5e-4, 0.0),
            change(Some("adamw"), 9, "weight_decay", 0.05, 0.0),
        ];
        let wanted = "weight_decay: skip 5e-4 to 0, adamw 0.05 to 0, from step 9 on";
        assert_eq!(told(both), wanted);
        // Pressed twice between two steps: the second time.
        let twice = vec![
            change(Some("skip"), 9, "lr", 0.1, 0.05),
            change(Some("skip"), 9, "lr", 0.05, 0.025),
        ];
        assert_eq!(told(twice), "skip: lr 0.05 to 0.025, from step 9 on");
        let all = vec![change(None, 9, "lr", 0.2, 0.1), change(None, 9, "lr", 0.1, 0.05)];
        assert_eq!(told(all), "lr 0.1 to 0.05, from step 9 on");
        let held = vec![change(None, 9, PAUSED, 0.0, 1.0), change(None, 9, PAUSED, 1.0, 0.0)];
        assert_eq!(told(held), "goes on with step 9");
    }

    #[test]
    fn what_the_schedule_makes_of_a_rate_is_told() {
        let one = change(Some("skip"), 9, "lr", 0.1, 0.05);
        let wanted = "skip: lr 0.1 to 0.05 (times 0.100 by schedule), from step 9 on";
        assert_eq!(changes(&[&one], 0.1), wanted);
    }
}
