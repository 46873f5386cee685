//! Settings that can be changed while a run goes on, one set per arm.

use crate::config::TrainSpec;
use crate::telemetry::command::Change;

/// Smallest batch: batch norm needs two images.
const MIN_BATCH: usize = 2;
/// Learning rates that keys can reach: beyond, a step is either nothing or the end.
const LR_RANGE: std::ops::RangeInclusive<f64> = 1e-9..=1e3;

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

    /// Applies a change; none if it changes nothing (a batch already at its end).
    pub fn apply(
        &mut self,
        change: Change,
        spec: &TrainSpec,
        train_images: usize,
    ) -> Option<Changed> {
        let (key, from, to) = match change {
            Change::ToggleWeightDecay => {
                let to = if self.weight_decay > 0.0 { 0.0 } else { spec.weight_decay };
                ("weight_decay", std::mem::replace(&mut self.weight_decay, to), to)
            }
            Change::ScaleLr(factor) => {
                let scaled = self.lr * factor;
                let to = if LR_RANGE.contains(&scaled) { scaled } else { self.lr };
                ("lr", std::mem::replace(&mut self.lr, to), to)
            }
            Change::ScaleBatch { up } => {
                let to = if up { self.batch * 2 } else { self.batch / 2 };
                let to = to.clamp(MIN_BATCH, train_images.max(MIN_BATCH));
                ("batch", std::mem::replace(&mut self.batch, to) as f64, to as f64)
            }
        };
        (from != to).then_some(Changed { key, from, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Typed, resolve};

    fn spec() -> TrainSpec {
        resolve(&Typed::default()).unwrap().arms.into_iter().next().unwrap().train
    }

    #[test]
    fn decay_toggles_between_zero_and_the_configured_value() {
        let mut s = Settings::of(&spec(), 1000);
        let off = s.apply(Change::ToggleWeightDecay, &spec(), 1000).unwrap();
        assert_eq!((off.key, off.from, off.to), ("weight_decay", 5e-4, 0.0));
        assert_eq!(s.apply(Change::ToggleWeightDecay, &spec(), 1000).unwrap().to, 5e-4);
        let none = TrainSpec { weight_decay: 0.0, ..spec() };
        assert_eq!(Settings::of(&none, 1000).apply(Change::ToggleWeightDecay, &none, 1000), None);
    }

    #[test]
    fn batch_and_rate_stay_within_what_can_be_trained() {
        let mut s = Settings::of(&spec(), 100);
        assert_eq!(s.apply(Change::ScaleBatch { up: true }, &spec(), 100).unwrap().to, 100.0);
        assert_eq!(s.apply(Change::ScaleBatch { up: true }, &spec(), 100), None);
        while s.apply(Change::ScaleBatch { up: false }, &spec(), 100).is_some() {}
        assert_eq!(s.batch, 2);
        for _ in 0..1000 {
            s.apply(Change::ScaleLr(2.0), &spec(), 100);
        }
        assert!(LR_RANGE.contains(&s.lr));
        assert_eq!(s.apply(Change::ScaleLr(f64::NAN), &spec(), 100), None);
    }
}
