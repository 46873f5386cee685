//! What a viewer may ask of a running engine. Plain values, so that they can be sent.

use serde::{Deserialize, Serialize};

use crate::arm::ArmName;

/// A request, taken up at the next step boundary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Holds every arm at the next step boundary, or lets them go on.
    TogglePause,
    /// Changes a training setting of one arm, or of all.
    Change {
        /// The arm; all where missing.
        arm: Option<ArmName>,
        /// The change.
        change: Change,
    },
    /// Copies an arm as it is, optimizer and all, into a new one that goes on beside it with these settings.
    Fork {
        /// Which arm; the first where missing.
        arm: Option<ArmName>,
        /// What the new arm differs in.
        changes: Vec<(Setting, f64)>,
    },
    /// Computes the maps around the weights as they are now; replaces a map that waits.
    MapNow,
    /// Writes a checkpoint.
    Checkpoint,
    /// Ends the run after a checkpoint.
    Stop,
    /// Takes back the newest change of a setting that was asked for and is not taken back yet. The values before it are
    /// set by a change of its own.
    TakeBack,
}

/// A setting that can be changed while a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// Learning rate, before the schedule's factor.
    Lr,
    /// Weight decay.
    WeightDecay,
    /// Images a step.
    Batch,
}

/// Learning rates that can be set: beyond, a step is either nothing or the end.
pub const LR_RANGE: std::ops::RangeInclusive<f64> = 1e-9..=1e3;
/// Smallest batch: batch norm needs two images.
pub const MIN_BATCH: usize = 2;

impl Setting {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Lr, Self::WeightDecay, Self::Batch];

    /// Its name in the config.
    pub fn key(self) -> &'static str {
        match self {
            Self::Lr => "lr",
            Self::WeightDecay => "weight_decay",
            Self::Batch => "batch",
        }
    }

    /// The setting of that name.
    pub fn named(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.key() == key)
    }

    /// What values are accepted, for people.
    pub fn accepted(self) -> String {
        match self {
            Self::Lr => format!("a number from {:e} to {:e}", LR_RANGE.start(), LR_RANGE.end()),
            Self::WeightDecay => "a number from 0".to_owned(),
            Self::Batch => format!("a whole number from {MIN_BATCH}"),
        }
    }

    /// Whether a run can be trained with this value; a batch beyond the training set is taken as the whole set.
    pub fn accepts(self, value: f64) -> bool {
        match self {
            Self::Lr => LR_RANGE.contains(&value),
            Self::WeightDecay => value.is_finite() && value >= 0.0,
            Self::Batch => value.fract() == 0.0 && (MIN_BATCH as f64..=1e9).contains(&value),
        }
    }
}

/// A change of a training setting, relative where arms may differ.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// Weight decay off, or back to the configured value.
    ToggleWeightDecay,
    /// Learning rate times this factor.
    ScaleLr(f64),
    /// Batch size doubled (true) or halved (false), within [2 images, the training set].
    ScaleBatch {
        /// Doubles if true, halves if false.
        up: bool,
    },
    /// A setting to this value; one that it does not accept changes nothing.
    Set {
        /// Which.
        setting: Setting,
        /// To what.
        value: f64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_known_by_their_names_and_accept_what_can_be_trained() {
        for setting in Setting::ALL {
            assert_eq!(Setting::named(setting.key()), Some(setting));
            for bad in [f64::NAN, f64::INFINITY, -1.0] {
                assert!(!setting.accepts(bad), "{setting:?} {bad}");
            }
        }
        assert_eq!(Setting::named("momentum"), None);
        assert!(Setting::Lr.accepts(0.03) && !Setting::Lr.accepts(0.0));
        assert!(Setting::WeightDecay.accepts(0.0) && !Setting::WeightDecay.accepts(-5e-4));
        assert!(Setting::Batch.accepts(2.0) && !Setting::Batch.accepts(1.0));
        assert!(!Setting::Batch.accepts(2.5));
    }
}
