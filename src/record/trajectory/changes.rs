//! What changed under an arm while it trained, for marks on its path.

use serde::Serialize;

use crate::arm::ArmName;
use crate::telemetry::event::FORK;

/// A change of what an arm trains with, or a copy made of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The first step that it holds for.
    pub step: u64,
    /// `lr`, `weight_decay`, `batch` as in the config; `fork`.
    pub key: String,
    /// Before; of a fork the position of the arm that was copied.
    pub from: f64,
    /// After; of a fork the position of the copy.
    pub to: f64,
    /// The copy, of a fork.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<ArmName>,
}

impl Change {
    /// In a few letters: `lr 0.01`, `wd 0`, `batch 128`, `fork b`.
    pub fn word(&self) -> String {
        let to = crate::telemetry::number::setting(self.to);
        match (self.key.as_str(), &self.name) {
            (FORK, Some(name)) => format!("fork {name}"),
            ("weight_decay", _) => format!("wd {to}"),
            (key, _) => format!("{key} {to}"),
        }
    }

    /// Marks for a path: steps done when each change was made, and its words; those of one moment together.
    pub fn marks(changes: &[Self]) -> Vec<(u64, String)> {
        let mut marks: Vec<(u64, String)> = Vec::new();
        for change in changes {
            let done = change.step.saturating_sub(1);
            match marks.iter_mut().find(|(step, _)| *step == done) {
                Some((_, words)) => *words += &format!(", {}", change.word()),
                None => marks.push((done, change.word())),
            }
        }
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_one_moment_have_one_mark() {
        let change =
            |step, key: &str, to| Change { step, key: key.to_owned(), from: 1.0, to, name: None };
        let mut fork = change(9, FORK, 2.0);
        fork.name = Some(ArmName::new("b"));
        let all = [
            change(4, "lr", 0.01),
            change(4, "weight_decay", 0.0),
            change(6, "batch", 128.0),
            fork,
        ];
        let marks = Change::marks(&all);
        let told: Vec<_> = marks.iter().map(|(s, w)| (*s, w.as_str())).collect();
        assert_eq!(told, [(3, "lr 0.01, wd 0"), (5, "batch 128"), (8, "fork b")]);
    }
}
