//! Settings that can be changed while a run goes on, one set per arm.

use crate::config::TrainSpec;
use crate::telemetry::command::{Change, MIN_BATCH, Setting};

/// What one arm trains with now. The learning rate is the one before the schedule's factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Base learning rate.
    pub lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Images a step.
    pub batch: usize,
}

/// One change of one setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Changed {
    /// The setting's name in the config.
    pub key: &'static str,
    /// Before.
    pub from: f64,
    /// After.
    pub to: f64,
}

impl Settings {
    /// What the config says.
    pub fn of(spec: &TrainSpec, train_images: usize) -> Self {
        Self { lr: spec.lr, weight_decay: spec.weight_decay, batch: spec.batch.min(train_images) }
    }

    /// Applies a change; none if it changes nothing (a batch already at its end, a value that is not accepted). Weight
    /// decay is toggled to off while any of those that are toggled together decays (`any_decays`): not each to the other
    /// side.
    pub fn apply(
        &mut self,
        change: Change,
        any_decays: bool,
        spec: &TrainSpec,
        train_images: usize,
    ) -> Option<Changed> {
        let most = train_images.max(MIN_BATCH);
        let (setting, to) = match change {
            Change::ToggleWeightDecay => {
                let to = if any_decays { 0.0 } else { spec.weight_decay };
                (Setting::WeightDecay, to)
            }
            Change::ScaleLr(factor) => (Setting::Lr, self.lr * factor),
            Change::ScaleBatch { up } => {
                let to = if up { self.batch * 2 } else { self.batch / 2 };
                (Setting::Batch, to.clamp(MIN_BATCH, most) as f64)
            }
            Change::Set { setting, value } => (setting, value),
        };
        if !setting.accepts(to) {
            return None;
        }
        let (from, to) = match setting {
            Setting::Lr => (std::mem::replace(&mut self.lr, to), to),
            Setting::WeightDecay => (std::mem::replace(&mut self.weight_decay, to), to),
            Setting::Batch => {
                let to = (to as usize).min(most);
                (std::mem::replace(&mut self.batch, to) as f64, to as f64)
            }
        };
        (from != to).then_some(Changed { key: setting.key(), from, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Typed, resolve};
    use crate::telemetry::command::LR_RANGE;

    fn spec() -> TrainSpec {
        resolve(&Typed::default()).unwrap().arms.into_iter().next().unwrap().train
    }

    #[test]
    fn decay_toggles_between_zero_and_the_configured_value() {
        let mut s = Settings::of(&spec(), 1000);
        let off = s.apply(Change::ToggleWeightDecay, true, &spec(), 1000).unwrap();
        assert_eq!((off.key, off.from, off.to), ("weight_decay", 5e-4, 0.0));
        assert_eq!(s.apply(Change::ToggleWeightDecay, false, &spec(), 1000).unwrap().to, 5e-4);
        let none = TrainSpec { weight_decay: 0.0, ..spec() };
        assert_eq!(
            Settings::of(&none, 1000).apply(Change::ToggleWeightDecay, false, &none, 1000),
            None
        );
    }

    #[test]
    fn batch_and_rate_stay_within_what_can_be_trained() {
        let mut s = Settings::of(&spec(), 100);
        assert_eq!(
            s.apply(Change::ScaleBatch { up: true }, false, &spec(), 100).unwrap().to,
            100.0
        );
        assert_eq!(s.apply(Change::ScaleBatch { up: true }, false, &spec(), 100), None);
        while s.apply(Change::ScaleBatch { up: false }, false, &spec(), 100).is_some() {}
        assert_eq!(s.batch, 2);
        for _ in 0..1000 {
            s.apply(Change::ScaleLr(2.0), false, &spec(), 100);
        }
        assert!(LR_RANGE.contains(&s.lr));
        assert_eq!(s.apply(Change::ScaleLr(f64::NAN), false, &spec(), 100), None);
    }

    #[test]
    fn a_value_is_set_if_it_can_be_trained() {
        let mut s = Settings::of(&spec(), 100);
        let set = |setting, value| Change::Set { setting, value };
        let done = s.apply(set(Setting::Lr, 0.03), false, &spec(), 100).unwrap();
        assert_eq!((done.key, done.from, done.to), ("lr", 0.1, 0.03));
        assert_eq!(s.apply(set(Setting::Lr, -1.0), false, &spec(), 100), None);
        assert_eq!(s.apply(set(Setting::Batch, 1e6), false, &spec(), 100).unwrap().to, 100.0);
        assert_eq!(s.apply(set(Setting::WeightDecay, 0.0), false, &spec(), 100).unwrap().to, 0.0);
        assert_eq!(
            s.apply(set(Setting::WeightDecay, 0.0), false, &spec(), 100),
            None,
            "nothing changed"
        );
    }
}
