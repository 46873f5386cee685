//! Folds what the threads tell into the snapshot that viewers draw.

mod maps;
mod verdicts;

use std::collections::VecDeque;

use crate::arm::{ArmId, ArmName, PerArm};
use crate::config::ArmSpec;
use crate::telemetry::angles::AngleBook;
use crate::telemetry::event::{Alert, ArmDone, ArmInfo, ControlChange, Event, FORK, StepSample};
use crate::telemetry::health::Verdict;
use crate::telemetry::history::FlowHistory;
use crate::telemetry::path::PathView;
use crate::telemetry::snapshot::{
    ArmState, ArmView, Curves, Flow, FlowRow, MapsView, RunHeader, Snapshot,
};

/// Marks kept: more do not fit on a curve.
const MARKS: usize = 64;
/// Alerts kept.
const ALERTS: usize = 64;
/// Seconds over which the rate of steps is measured.
const RATE_WINDOW_S: f64 = 5.0;
/// Weight of a new figure in the smoothed one that verdicts use: some ten steps.
const SMOOTHING: f64 = 0.1;

/// The state of a run, event by event.
pub struct Views {
    snapshot: Snapshot,
    private: PerArm<Private>,
    /// (t, step) of the newest steps of the arm that is furthest.
    pace: VecDeque<(f64, u64)>,
    map_every: u64,
}

impl Default for Private {
    fn default() -> Self {
        let nan = f64::NAN;
        Self {
            flow: FlowHistory::default(),
            first_loss: nan,
            smooth_loss: nan,
            smooth_growth: nan,
            told: Vec::new(),
            ill: false,
            recoveries: 0,
            angles: AngleBook::default(),
            next_path: None,
        }
    }
}

/// What is kept of an arm but not shown.
#[derive(Clone)]
struct Private {
    flow: FlowHistory,
    first_loss: f64,
    smooth_loss: f64,
    /// Smoothed logarithm of the stem's gradient norm over the last conv's.
    smooth_growth: f64,
    /// Verdicts already alerted.
    told: Vec<Verdict>,
    /// Whether the newest of them still stands.
    ill: bool,
    /// Times that it was told to be over.
    recoveries: usize,
    angles: AngleBook,
    /// The path in the plane of a map of which nothing is drawn yet.
    next_path: Option<PathView>,
}

impl Views {
    /// The state before the first event.
    pub fn new(
        header: RunHeader,
        infos: &[ArmInfo],
        specs: &PerArm<ArmSpec>,
        map_every: u64,
    ) -> Self {
        let arms =
            infos.iter().zip(specs.values()).map(|(info, spec)| arm_view(info.clone(), spec));
        let arms: PerArm<ArmView> = arms.collect();
        let private = arms.map(|_, _| Private::default());
        let maps = MapsView { arms: arms.map(|_, _| None), ..MapsView::default() };
        let path_maps = maps.clone();
        let nan = f64::NAN;
        let snapshot = Snapshot {
            run: header,
            arms,
            maps,
            path_maps,
            steps_per_s: nan,
            eta_s: nan,
            ..Snapshot::default()
        };
        Self { snapshot, private, pace: VecDeque::new(), map_every }
    }

    /// Adds an arm that begins from another one: it starts where that one is on the map.
    pub fn fork(&mut self, parent: ArmId, spec: &ArmSpec) {
        let info = ArmInfo { name: spec.name.clone(), ..self.snapshot.arms[parent].info.clone() };
        self.snapshot.arms.push(arm_view(info, spec));
        self.private.push(Private::default());
        let maps = &mut self.snapshot.maps.arms;
        maps.push(maps[parent].clone());
        self.snapshot.path_maps.arms.push(None);
    }

    /// The snapshot as it is, to be completed by who publishes it.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.snapshot.clone();
        for (id, arm) in snapshot.arms.iter_mut() {
            arm.flow.rows = self.private[id].flow.rows().to_vec();
        }
        snapshot
    }

    /// The parts that the hub sets by itself.
    pub fn shown(&mut self) -> &mut Snapshot {
        &mut self.snapshot
    }

    fn find(&self, name: &ArmName) -> Option<ArmId> {
        self.snapshot.arms.find(|a| a.info.name == *name)
    }

    /// Folds one event in; alerts that follow from it.
    pub fn fold(&mut self, event: &Event) -> Option<Alert> {
        match event {
            Event::Step(sample) => return self.fold_step(sample),
            Event::Blocks(sample) => {
                if let Some(id) = self.find(&sample.arm) {
                    self.snapshot.arms[id].blocks.clone_from(&sample.blocks);
                }
            }
            Event::Eval(sample) => {
                if let Some(id) = self.find(&sample.arm) {
                    let arm = &mut self.snapshot.arms[id];
                    arm.curves.test_loss.push(sample.step, sample.test_loss);
                    arm.curves.test_err.push(sample.step, sample.test_err);
                    arm.test =
                        sample.test_err.is_finite().then_some((sample.step, sample.test_err));
                }
            }
            Event::Control(change) => {
                self.inherit(change);
                push_bounded(&mut self.snapshot.marks, change.clone(), MARKS);
            }
            Event::Alert(alert) => push_bounded(&mut self.snapshot.alerts, alert.clone(), ALERTS),
            Event::Checkpoint(written) => {
                self.snapshot.checkpoint = Some((written.step, written.dir.clone()))
            }
            Event::Run(_) | Event::Surface(_) | Event::Trajectory(_) | Event::Done(_) => {}
        }
        None
    }

    /// A fork is judged by what its parent came from, and its first gradients are its parent's.
    fn inherit(&mut self, change: &ControlChange) {
        let named = |name: &Option<ArmName>| name.as_ref().and_then(|n| self.find(n));
        let (true, Some(parent), Some(child)) =
            (change.key == FORK, named(&change.arm), named(&change.name))
        else {
            return;
        };
        self.private[child] = Private {
            flow: FlowHistory::default(),
            angles: AngleBook::default(),
            next_path: None,
            ..self.private[parent].clone()
        };
        self.snapshot.arms[child].flow.first = self.snapshot.arms[parent].flow.first.clone();
    }

    fn fold_step(&mut self, sample: &StepSample) -> Option<Alert> {
        let id = self.find(&sample.arm)?;
        if sample.step > self.snapshot.step || self.pace.is_empty() {
            self.snapshot.step = sample.step;
            // Of the arm that has seen the most: they differ where batches do.
            self.snapshot.epoch = self.snapshot.epoch.max(sample.epoch);
            self.keep_pace(sample.t, sample.step);
        }
        let (arm, private) = (&mut self.snapshot.arms[id], &mut self.private[id]);
        let step = sample.step;
        let curves = &mut arm.curves;
        for (curve, value) in [(&mut curves.loss, sample.loss), (&mut curves.acc, sample.acc)] {
            curve.push(step, value);
        }
        private.angles.fold(sample, curves, &mut arm.histograms);
        if !sample.layer_grad_norms.is_empty() {
            let norms = sample.layer_grad_norms.clone();
            if arm.flow.first.is_empty() {
                arm.flow.first.clone_from(&norms);
            }
            arm.flow.now.clone_from(&norms);
            private.flow.push(FlowRow { step, norms });
        }
        if private.first_loss.is_nan() {
            (private.first_loss, private.smooth_loss) = (sample.loss, sample.loss);
        }
        let before = arm.latest.as_ref().map(|s| (s.lr, s.step));
        if let Some((lr, before)) = before
            && sample.lr < lr
            && !changed_by_hand(&self.snapshot.marks, &sample.arm, before, step)
        {
            push_bounded(&mut arm.lr_drops, (step, sample.lr), MARKS);
        }
        private.smooth_loss += SMOOTHING * (sample.loss - private.smooth_loss);
        arm.latest = Some(sample.clone());
        self.judge(id, sample)
    }

    fn keep_pace(&mut self, t: f64, step: u64) {
        self.pace.push_back((t, step));
        while self.pace.len() > 2
            && self.pace.front().is_some_and(|(then, _)| t - then > RATE_WINDOW_S)
        {
            self.pace.pop_front();
        }
        if let (Some((t0, s0)), Some((t1, s1))) = (self.pace.front(), self.pace.back())
            && t1 > t0
        {
            self.snapshot.steps_per_s = (s1 - s0) as f64 / (t1 - t0);
            let left = self.snapshot.run.steps.saturating_sub(*s1);
            self.snapshot.eta_s = left as f64 / self.snapshot.steps_per_s;
        }
        let next = (step / self.map_every.max(1) + 1) * self.map_every;
        self.snapshot.maps.next_step =
            (self.map_every > 0 && next <= self.snapshot.run.steps).then_some(next);
    }

    /// The rate after a pause: what was before it says nothing.
    pub fn forget_pace(&mut self) {
        self.pace.clear();
        (self.snapshot.steps_per_s, self.snapshot.eta_s) = (f64::NAN, f64::NAN);
    }

    /// An arm's own word on its state.
    pub fn set_state(&mut self, id: ArmId, state: ArmState) {
        let arm = &mut self.snapshot.arms[id];
        match state {
            ArmState::Diverged { .. } => arm.verdict = Verdict::Diverged,
            ArmState::Failed(_) => arm.verdict = Verdict::Failed,
            _ => {}
        }
        arm.state = state;
    }

    /// What became of the arms.
    pub fn done(&self) -> Vec<ArmDone> {
        let one = |arm: &ArmView| ArmDone {
            name: arm.info.name.clone(),
            loss: arm.latest.as_ref().map_or(f64::NAN, |s| s.loss),
            test_err: arm.test.map_or(f64::NAN, |(_, err)| err),
            verdict: arm.verdict.word().to_owned(),
        };
        self.snapshot.arms.values().map(one).collect()
    }
}

/// Whether a change of an arm's learning rate was asked for after step `before`, up to `step`.
fn changed_by_hand(marks: &[ControlChange], arm: &ArmName, before: u64, step: u64) -> bool {
    let its = |m: &&ControlChange| m.key == "lr" && m.arm.as_ref().is_none_or(|a| a == arm);
    marks.iter().filter(its).any(|m| m.step > before && m.step <= step)
}

fn arm_view(info: ArmInfo, spec: &ArmSpec) -> ArmView {
    ArmView {
        info,
        skip: spec.skip,
        state: ArmState::Waiting,
        verdict: Verdict::Unknown,
        configured_weight_decay: spec.train.weight_decay,
        optimizer: spec.train.optimizer.word().to_owned(),
        latest: None,
        curves: Curves::default(),
        flow: Flow::default(),
        blocks: Vec::new(),
        test: None,
        histograms: Vec::new(),
        lr_drops: Vec::new(),
        path: PathView::default(),
    }
}

fn push_bounded<T>(list: &mut Vec<T>, item: T, bound: usize) {
    if list.len() == bound {
        list.remove(0);
    }
    list.push(item);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Experiment, Typed, resolve};
    use crate::telemetry::event::{Angle, LayerInfo, Level, StepShare};

    fn step(arm: &str, step: u64, loss: f64) -> Event {
        Event::Step(StepSample {
            arm: ArmName::new(arm),
            step,
            t: step as f64,
            epoch: 0.0,
            loss,
            acc: 0.5,
            lr: 0.1,
            weight_decay: 0.0,
            batch: 64,
            grad_norm: 1.0,
            layer_grad_norms: vec![step.min(5) as f64, 1.0, 1.0, 1.0],
            update_ratio: 0.01,
            angle: Angle { full_deg: 45.0, ..Angle::NONE },
            step_share: StepShare { gradient: 1.0, momentum: 0.0, decay: 0.0 },
            ms: 1.0,
        })
    }

    fn twins() -> (Views, Experiment) {
        let experiment = resolve(&Typed::default()).unwrap();
        let layer = |sides: usize| LayerInfo { name: String::new(), shape: vec![2; sides] };
        let layers = [4, 4, 4, 2].map(layer).to_vec();
        let info = |spec: &ArmSpec| ArmInfo {
            name: spec.name.clone(),
            parameters: 1,
            layers: layers.clone(),
            blocks: 1,
        };
        let infos: Vec<ArmInfo> = experiment.arms.values().map(info).collect();
        (Views::new(RunHeader::default(), &infos, &experiment.arms, 0), experiment)
    }

    /// A run on the brink must not fill the log, nor an arm that came round stay under its alert.
    #[test]
    fn each_kind_of_bad_is_told_and_that_it_is_over() {
        let (mut views, _) = twins();
        let mut told = Vec::new();
        for at in 1..=2400 {
            let loss = if at / 150 % 2 == 1 { 0.3 } else { 2.3 };
            if let Some(alert) = views.fold(&step("skip", at, loss)) {
                told.push((at, alert.kind, alert.level));
            }
        }
        let kinds: Vec<&str> = told.iter().map(|(_, kind, _)| kind.as_str()).collect();
        let both = ["not-learning", "healthy"];
        assert_eq!(kinds, [both, both, both].concat()[..5]);
        let (first, _, level) = &told[1];
        assert!((151..170).contains(first) && *level == Level::Info, "{told:?}");
        assert_eq!(told[0].0, 100);
    }

    /// A fork of an arm that has learnt has nothing more to learn, and is not told off for it.
    #[test]
    fn a_fork_is_judged_by_what_its_parent_came_from() {
        let (mut views, experiment) = twins();
        let spec = |id: ArmId| experiment.arms[id].clone();
        for at in 1..=150 {
            views.fold(&step("skip", at, if at < 50 { 2.3 } else { 0.003 }));
        }
        let parent = experiment.arms.ids().next().unwrap();
        let name = ArmName::new("skip-2");
        views.fork(parent, &ArmSpec { name: name.clone(), ..spec(parent) });
        views.fold(&Event::Control(ControlChange {
            arm: Some(ArmName::new("skip")),
            step: 151,
            t: 0.0,
            key: FORK.to_owned(),
            from: 0.0,
            to: 2.0,
            name: Some(name),
        }));
        assert!(views.fold(&step("skip-2", 151, 0.003)).is_none(), "an alert");
        let child = views.find(&ArmName::new("skip-2")).unwrap();
        let shown = views.snapshot();
        assert_eq!(shown.arms[child].verdict, Verdict::Healthy);
        assert_eq!(shown.arms[child].flow.first, [1.0, 1.0, 1.0, 1.0], "the parent's at step 1");
        assert_eq!(shown.arms[child].curves.loss.points().len(), 1);
    }
}
