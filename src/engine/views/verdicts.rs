//! What is said of an arm's health, and when.

use super::{SMOOTHING, Views};
use crate::arm::ArmId;
use crate::telemetry::event::{Alert, Level, StepSample};
use crate::telemetry::health::{Signs, Verdict, assess};
use crate::telemetry::snapshot::ArmState;

/// Times that an arm is told to be well again.
const RECOVERIES: usize = 2;

impl Views {
    /// The arm's verdict after a step; an alert the first time that it is a new kind of bad, and once it is well again.
    pub(super) fn judge(&mut self, id: ArmId, sample: &StepSample) -> Option<Alert> {
        let losses = self.private.values().map(|p| p.smooth_loss);
        let best_loss = losses.fold(f64::NAN, f64::min);
        let (arm, private) = (&mut self.snapshot.arms[id], &mut self.private[id]);
        let [stem, last_conv] = arm.info.ends_of_trunk(&arm.flow.now)?;
        if !matches!(arm.state, ArmState::Training | ArmState::Waiting) {
            return None;
        }
        let growth = (stem / last_conv).ln();
        if private.smooth_growth.is_finite() {
            private.smooth_growth += SMOOTHING * (growth - private.smooth_growth);
        } else {
            private.smooth_growth = growth;
        }
        arm.verdict = assess(&Signs {
            step: sample.step,
            first_loss: private.first_loss,
            loss: private.smooth_loss,
            best_loss,
            growth: private.smooth_growth.exp(),
        });
        let name = &arm.info.name;
        let alert = |level, text| Alert {
            arm: Some(name.clone()),
            step: sample.step,
            t: sample.t,
            kind: arm.verdict.word().to_owned(),
            level,
            text,
        };
        // Each kind of bad is told once until the arm is well again, and that a few times: a run on the brink must not fill
        // the log.
        if arm.verdict == Verdict::Healthy && private.ill && private.recoveries < RECOVERIES {
            private.ill = false;
            private.recoveries += 1;
            private.told.clear();
            let text = format!(
                "{name}: well again, loss {:.3} after {} steps",
                private.smooth_loss, sample.step
            );
            return Some(alert(Level::Info, text));
        }
        if !arm.verdict.is_unhealthy() || private.told.contains(&arm.verdict) {
            return None;
        }
        private.told.push(arm.verdict);
        private.ill = true;
        let text = match arm.verdict {
            Verdict::ExplodingGradient => format!(
                "{name}: the gradient explodes, {stem:.3e} at the stem, {last_conv:.3e} at the last conv"
            ),
            Verdict::VanishingGradient => format!(
                "{name}: the gradient vanishes, {stem:.3e} at the stem, {last_conv:.3e} at the last conv"
            ),
            Verdict::Lagging => format!(
                "{name}: far behind, loss {:.3} after {} steps, the best arm {best_loss:.3}",
                private.smooth_loss, sample.step
            ),
            _ => format!(
                "{name}: not learning, loss {:.3} after {} steps, {:.3} at first",
                private.smooth_loss, sample.step, private.first_loss
            ),
        };
        Some(alert(Level::Warning, text))
    }
}
