//! A run as lines for people: head, evaluations, what happened, summary.

use std::collections::BTreeMap;
use std::io::{self, Write};

use indicatif::ProgressBar;

use crate::arm::ArmName;
use crate::record::Recorder;
use crate::telemetry::event::{
    ArmInfo, ControlChange, Event, FORK, RunDone, RunStarted, RunStatus, StepSample,
};

/// Writes a run's events as text; a progress bar on the same terminal steps aside for it.
pub struct TextReport<W: Write> {
    to: W,
    bar: ProgressBar,
    arms: BTreeMap<ArmName, Seen>,
    folder: Option<String>,
}

/// What the summary tells of an arm besides its end.
#[derive(Default)]
struct Seen {
    latest: Option<StepSample>,
    info: Option<ArmInfo>,
    first_layers: Vec<f64>,
    last_layers: Vec<f64>,
}

impl Seen {
    /// Gradient norms at both ends of the trunk.
    fn ends_of_trunk(&self, norms: &[f64]) -> String {
        let ends = self.info.as_ref().and_then(|info| info.ends_of_trunk(norms));
        ends.map_or("-".to_owned(), |[stem, last]| format!("{stem:.2e} / {last:.2e}"))
    }
}

impl<W: Write> TextReport<W> {
    /// Text to `to`.
    pub fn new(to: W, bar: ProgressBar) -> Self {
        Self { to, bar, arms: BTreeMap::new(), folder: None }
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        let Self { to, bar, .. } = self;
        bar.suspend(|| writeln!(to, "{text}"))
    }

    fn head(&mut self, run: &RunStarted) -> io::Result<()> {
        let text = |key: &str| run.experiment.get(key).and_then(|v| v.as_str()).unwrap_or("run");
        self.line(&format!(
            "landscope {}  {}  on {}  libtorch {}",
            run.versions.landscope,
            text("name"),
            run.device,
            run.versions.libtorch
        ))?;
        for arm in &run.arms {
            let (count, layers) = (arm.parameters, arm.layers.len());
            self.line(&format!("  {}: {count} parameters, {layers} weight layers", arm.name))?;
        }
        self.know(run);
        Ok(())
    }

    fn know(&mut self, run: &RunStarted) {
        for arm in &run.arms {
            self.arms.entry(arm.name.clone()).or_default().info = Some(arm.clone());
        }
    }

    /// A fork has its parent's network.
    fn inherit(&mut self, change: &ControlChange) {
        if let (FORK, Some(parent), Some(child)) = (&*change.key, &change.arm, &change.name) {
            let info = self.arms.get(parent).and_then(|seen| seen.info.clone());
            self.arms.entry(child.clone()).or_default().info = info;
        }
    }

    fn step(&mut self, sample: &StepSample) {
        let seen = self.arms.entry(sample.arm.clone()).or_default();
        if !sample.layer_grad_norms.is_empty() {
            if seen.first_layers.is_empty() {
                seen.first_layers.clone_from(&sample.layer_grad_norms);
            }
            seen.last_layers.clone_from(&sample.layer_grad_norms);
        }
        seen.latest = Some(sample.clone());
    }

    fn summary(&mut self, done: &RunDone) -> io::Result<()> {
        let word = match done.status {
            RunStatus::Finished => "finished",
            RunStatus::Stopped => "stopped",
            RunStatus::Failed => "failed",
        };
        self.line("")?;
        self.line(&format!("{word} after {} steps in {:.1} s", done.step, done.t))?;
        let width = done.arms.iter().map(|a| a.name.as_str().len()).max().unwrap_or(0).max(3);
        self.line(&format!(
            "{:width$}  {:>9}  {:>8}  {:>21}  {:>21}  {:>7}  verdict",
            "arm", "loss", "test err", "stem/last conv, first", "stem/last conv, last", "angle"
        ))?;
        for arm in &done.arms {
            let seen = self.arms.remove(&arm.name).unwrap_or_default();
            let angle = seen.latest.as_ref().map_or(f64::NAN, |s| s.angle.full_deg);
            let row = format!(
                "{:width$}  {:>9}  {:>8}  {:>21}  {:>21}  {:>7}  {}",
                arm.name,
                figure(arm.loss, |v| format!("{v:.4}")),
                figure(arm.test_err, |v| format!("{:.1} %", v * 100.0)),
                seen.ends_of_trunk(&seen.first_layers),
                seen.ends_of_trunk(&seen.last_layers),
                figure(angle, |v| format!("{v:.0} deg")),
                arm.verdict
            );
            self.line(&row)?;
        }
        if let Some(folder) = self.folder.take() {
            self.line(&format!("checkpoint {folder}"))?;
        }
        Ok(())
    }
}

/// A figure that may not exist.
fn figure(value: f64, show: impl FnOnce(f64) -> String) -> String {
    if value.is_finite() { show(value) } else { "-".to_owned() }
}

impl<W: Write + Send> Recorder for TextReport<W> {
    fn taken_up(&mut self, run: &RunStarted) {
        self.know(run);
    }

    fn record(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Run(run) => self.head(run),
            Event::Step(sample) => {
                self.step(sample);
                Ok(())
            }
            Event::Eval(e) => {
                let latest = self.arms.get(&e.arm).and_then(|s| s.latest.as_ref());
                let loss = latest.map_or(f64::NAN, |s| s.loss);
                self.line(&format!(
                    "{:>8.1} s  step {:>6}  {:<8}  loss {:>9}  test loss {:>9}  test err {:>7}",
                    e.t,
                    e.step,
                    e.arm,
                    figure(loss, |v| format!("{v:.4}")),
                    figure(e.test_loss, |v| format!("{v:.4}")),
                    figure(e.test_err, |v| format!("{:.1} %", v * 100.0)),
                ))
            }
            Event::Control(c) => {
                self.inherit(c);
                let whose = c.arm.as_ref().map_or("all arms", ArmName::as_str);
                self.line(&format!(
                    "{:>8.1} s  step {:>6}  {whose}: {} {} -> {}",
                    c.t, c.step, c.key, c.from, c.to
                ))
            }
            Event::Alert(a) => {
                self.line(&format!("{:>8.1} s  step {:>6}  {}", a.t, a.step, a.text))
            }
            Event::Checkpoint(c) => {
                self.folder = Some(c.dir.clone());
                Ok(())
            }
            Event::Done(done) => self.summary(done),
            Event::Blocks(_) | Event::Surface(_) | Event::Trajectory(_) => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::event::{ArmDone, EvalSample, LayerInfo, StepRule, Versions};

    fn step(arm: &str, norms: &[f64]) -> Event {
        let sample = serde_json::json!({
            "arm": arm, "step": 1, "t": 0.1, "epoch": 0.0, "loss": 2.3, "acc": 0.1, "lr": 0.1, "weight_decay": 0.0,
            "batch": 64, "grad_norm": 1.0, "layer_grad_norms": norms, "update_ratio": 0.1,
            "angle": {"full_deg": 45.0, "plane_deg": null},
            "step_share": {"gradient": 1.0, "momentum": 0.0, "decay": 0.0}, "ms": 1.0,
        });
        Event::Step(serde_json::from_value(sample).unwrap())
    }

    /// Of a network with two linear layers, begun or taken up, and of its fork.
    #[test]
    fn the_last_conv_is_told_also_where_more_than_a_head_follows() {
        let layer = |shape: &[i64]| LayerInfo { name: String::new(), shape: shape.to_vec() };
        let layers =
            vec![layer(&[4, 1, 3, 3]), layer(&[4, 4, 3, 3]), layer(&[8, 16]), layer(&[3, 8])];
        let info = ArmInfo { name: ArmName::new("vgg9"), parameters: 1, layers, blocks: 0 };
        let run = RunStarted {
            t: 0.0,
            experiment: serde_json::Value::Null,
            versions: Versions::default(),
            device: "cpu".to_owned(),
            arms: vec![info],
            steps_kept: StepRule::default(),
        };
        for begins in [true, false] {
            let mut bytes = Vec::new();
            let mut report = TextReport::new(&mut bytes, ProgressBar::hidden());
            match begins {
                true => report.record(&Event::Run(Box::new(run.clone()))).unwrap(),
                false => report.taken_up(&run),
            }
            let [parent, child] = ["vgg9", "vgg9-2"].map(ArmName::new);
            let fork = ControlChange {
                arm: Some(parent.clone()),
                step: 0,
                t: 0.0,
                key: FORK.to_owned(),
                from: 0.0,
                to: 1.0,
                name: Some(child.clone()),
            };
            report.record(&Event::Control(fork)).unwrap();
            let mut arms = Vec::new();
            for name in [parent, child] {
                report.record(&step(name.as_str(), &[0.5, 0.25, 8.0, 9.0])).unwrap();
                let (loss, test_err, verdict) = (1.0, 0.5, "healthy".to_owned());
                arms.push(ArmDone { name, loss, test_err, verdict });
            }
            let done = RunDone { status: RunStatus::Finished, step: 1, t: 1.0, arms };
            report.record(&Event::Done(done)).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(text.matches("5.00e-1 / 2.50e-1").count(), 4, "{text}");
        }
    }

    #[test]
    fn missing_figures_are_dashes_and_shares_are_per_cent() {
        let mut bytes = Vec::new();
        let mut report = TextReport::new(&mut bytes, ProgressBar::hidden());
        let arm = ArmName::new("skip");
        let (step, t) = (22, 3.04);
        let eval = EvalSample { arm: arm.clone(), step, t, test_loss: 0.5, test_err: 0.031 };
        report.record(&Event::Eval(eval)).unwrap();
        let lost = ArmDone {
            name: arm,
            loss: f64::NAN,
            test_err: f64::NAN,
            verdict: "diverged".to_owned(),
        };
        let done = RunDone { status: RunStatus::Failed, step, t, arms: vec![lost] };
        report.record(&Event::Done(done)).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("test err   3.1 %"), "{text}");
        assert!(text.contains("failed after 22 steps in 3.0 s"), "{text}");
        let row = text.lines().last().unwrap();
        assert_eq!(
            row.split_whitespace().collect::<Vec<_>>(),
            ["skip", "-", "-", "-", "-", "-", "diverged"]
        );
    }
}
