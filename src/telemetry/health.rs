//! What the figures say of an arm's health, in the field's words.

use serde::{Deserialize, Serialize};

/// Stem gradient over last conv's above which the gradient counts as exploding on its way back. Freshly initialised,
/// a ResNet-56 with skips has 20 to 40 here, its twin without them some thousands.
pub const EXPLODING_RATIO: f64 = 100.0;
/// Stem gradient over last conv's below which the gradient counts as vanishing: the twin without skips gets there
/// within a hundred steps, the ResNet stays above 1.
pub const VANISHING_RATIO: f64 = 1.0 / 30.0;
/// Steps before a loss that has not fallen counts as not learning.
pub const PATIENCE_STEPS: u64 = 100;
/// Share of the first loss above which an arm past its patience counts as not learning.
pub const STUCK_SHARE: f64 = 0.8;
/// Times the best arm's loss above which an arm past its patience counts as lagging, if the gap also is
/// [`LAGGING_NATS`]: small losses differ by much and mean little.
pub const LAGGING_TIMES: f64 = 2.0;
/// Nats above the best arm's loss from which on an arm may count as lagging.
pub const LAGGING_NATS: f64 = 0.5;

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
    /// The loss falls, but is far behind the best arm's.
    Lagging,
    /// The loss is no longer a number.
    Diverged,
    /// The worker failed.
    Failed,
}

impl Verdict {
    /// Those that come and go while an arm trains.
    pub const PASSING: [Self; 5] = [
        Self::Healthy,
        Self::ExplodingGradient,
        Self::VanishingGradient,
        Self::NotLearning,
        Self::Lagging,
    ];

    /// The word that events and reports use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::ExplodingGradient => "exploding-gradient",
            Self::VanishingGradient => "vanishing-gradient",
            Self::NotLearning => "not-learning",
            Self::Lagging => "lagging",
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
    /// The smallest smoothed loss of all arms, nats.
    pub best_loss: f64,
    /// Gradient norm of the stem over that of the last conv, smoothed over the last steps.
    pub growth: f64,
}

/// The verdict on an arm that still makes steps.
pub fn assess(signs: &Signs) -> Verdict {
    if signs.step == 0 {
        return Verdict::Unknown;
    }
    if signs.growth > EXPLODING_RATIO {
        Verdict::ExplodingGradient
    } else if signs.growth < VANISHING_RATIO {
        Verdict::VanishingGradient
    } else if signs.step < PATIENCE_STEPS {
        Verdict::Unknown
    } else if signs.loss > STUCK_SHARE * signs.first_loss {
        Verdict::NotLearning
    } else if signs.loss > LAGGING_TIMES * signs.best_loss
        && signs.loss > LAGGING_NATS + signs.best_loss
    {
        Verdict::Lagging
    } else {
        Verdict::Healthy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Signs =
        Signs { step: 200, first_loss: 2.3, loss: 0.2, best_loss: 0.1, growth: 1.2 };

    #[test]
    fn each_sign_has_its_word() {
        assert_eq!(assess(&WELL), Verdict::Healthy);
        assert_eq!(assess(&Signs { step: 0, ..WELL }), Verdict::Unknown);
        assert_eq!(assess(&Signs { step: 5, ..WELL }), Verdict::Unknown);
        assert_eq!(assess(&Signs { growth: 225.0, ..WELL }), Verdict::ExplodingGradient);
        assert_eq!(assess(&Signs { growth: 1e-4, ..WELL }), Verdict::VanishingGradient);
        assert_eq!(assess(&Signs { loss: 2.2, ..WELL }), Verdict::NotLearning);
        assert_eq!(assess(&Signs { loss: 1.5, ..WELL }), Verdict::Lagging);
        assert_eq!(assess(&Signs { loss: 1.5, best_loss: 1.2, ..WELL }), Verdict::Healthy);
    }
}
