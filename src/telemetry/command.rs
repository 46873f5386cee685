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
    /// Computes the maps around the weights as they are now; replaces a map that waits.
    MapNow,
    /// Writes a checkpoint.
    Checkpoint,
    /// Ends the run after a checkpoint.
    Stop,
}

/// A change of a training setting, relative where arms may differ.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// Weight decay off, or back to the configured value.
    ToggleWeightDecay,
    /// Learning rate times this factor.
    ScaleLr(f64),
    /// Batch size doubled (true) or halved (false), within [1 image, the training set].
    ScaleBatch {
        /// Doubles if true, halves if false.
        up: bool,
    },
}
