//! What the figures say of an arm's health, in the field's words.

use serde::{Deserialize, Serialize};

/// Stem gradient over head gradient above which the gradient counts as exploding on its way back: a factor of 30 over
/// some 50 layers is 7 % a layer, more than batch norm evens out within a few steps.
pub const EXPLODING_RATIO: f64 = 30.0;
/// Stem gradient over head gradient below which the gradient counts as vanishing.
pub const VANISHING_RATIO: f64 = 1.0 / 30.0;
/// Steps before a loss that has not fallen counts as not learning.
pub const PATIENCE_STEPS: u64 = 100;
/// Share of the first loss above which an arm past its patience counts as not learning.
pub const STUCK_SHARE: f64 = 0.8;

/// The state of an arm in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Too early to say.
    #[default]
    Unknown,
    /// Gradients reach the stem and the loss falls.
    Healthy,
    /// The gradient grows on its way from head to stem.
    ExplodingGradient,
    /// The gradient dies on its way from head to stem.
    VanishingGradient,
    /// The loss has not fallen.
    NotLearning,
    /// The loss is no longer a number.
    Diverged,
    /// The worker failed.
    Failed,
}

impl Verdict {
    /// The word that events and reports use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::ExplodingGradient => "exploding-gradient",
            Self::VanishingGradient => "vanishing-gradient",
            Self::NotLearning => "not-learning",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
        }
    }

    /// Whether something is wrong.
    pub fn is_unhealthy(self) -> bool {
        !matches!(self, Self::Unknown | Self::Healthy)
    }
}

/// What a verdict on a training arm is drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signs {
    /// Steps made.
    pub step: u64,
    /// Batch loss at the first step, nats.
    pub first_loss: f64,
    /// Batch loss smoothed over the last steps, nats.
    pub loss: f64,
    /// Gradient norm of the first layer.
    pub stem: f64,
    /// Gradient norm of the last layer.
    pub head: f64,
}

/// The verdict on an arm that still makes steps.
pub fn assess(signs: &Signs) -> Verdict {
    if signs.step == 0 {
        return Verdict::Unknown;
    }
    let ratio = signs.stem / signs.head;
    if ratio > EXPLODING_RATIO {
        Verdict::ExplodingGradient
    } else if ratio < VANISHING_RATIO {
        Verdict::VanishingGradient
    } else if signs.step < PATIENCE_STEPS {
        Verdict::Unknown
    } else if signs.loss > STUCK_SHARE * signs.first_loss {
        Verdict::NotLearning
    } else {
        Verdict::Healthy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Signs = Signs { step: 200, first_loss: 2.3, loss: 0.2, stem: 0.5, head: 0.4 };

    #[test]
    fn each_sign_has_its_word() {
        assert_eq!(assess(&WELL), Verdict::Healthy);
        assert_eq!(assess(&Signs { step: 0, ..WELL }), Verdict::Unknown);
        assert_eq!(assess(&Signs { step: 5, ..WELL }), Verdict::Unknown);
        assert_eq!(assess(&Signs { stem: 90.0, ..WELL }), Verdict::ExplodingGradient);
        assert_eq!(assess(&Signs { stem: 1e-4, ..WELL }), Verdict::VanishingGradient);
        assert_eq!(assess(&Signs { loss: 2.2, ..WELL }), Verdict::NotLearning);
    }
}
