//! Puts together what the arms hand out for one step.

use std::collections::BTreeMap;

use crate::arm::{ArmId, PerArm};

/// Parts by step, until every arm that can still deliver has.
pub struct Gather<T> {
    waiting: BTreeMap<u64, Vec<(ArmId, T)>>,
}

impl<T> Default for Gather<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new() }
    }
}

impl<T> Gather<T> {
    /// Adds one arm's part.
    pub fn add(&mut self, step: u64, arm: ArmId, part: T) {
        self.waiting.entry(step).or_default().push((arm, part));
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The steps for which every arm that is `live` has delivered, oldest first.
    pub fn complete(&mut self, live: &PerArm<bool>) -> Vec<(u64, Vec<(ArmId, T)>)> {
        let whole = |parts: &[(ArmId, T)]| {
            live.iter().all(|(id, live)| !live || parts.iter().any(|(arm, _)| *arm == id))
        };
        let steps: Vec<u64> =
            self.waiting.iter().filter(|(_, p)| whole(p)).map(|(s, _)| *s).collect();
        steps.into_iter().filter_map(|s| Some((s, self.waiting.remove(&s)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_whole_when_every_live_arm_has_delivered() {
        let mut live: PerArm<bool> = [true, true].into_iter().collect();
        let [a, b]: [ArmId; 2] = live.ids().collect::<Vec<_>>().try_into().unwrap();
        let mut gather = Gather::default();
        gather.add(5, a, 'x');
        gather.add(6, b, 'y');
        assert!(gather.complete(&live).is_empty());
        gather.add(5, b, 'z');
        assert_eq!(gather.complete(&live), [(5, vec![(a, 'x'), (b, 'z')])]);
        live[a] = false;
        assert_eq!(gather.complete(&live), [(6, vec![(b, 'y')])]);
        assert!(gather.is_empty());
    }
}
