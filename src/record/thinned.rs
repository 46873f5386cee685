//! Which steps `metrics.jsonl` holds: every one while a run is short, then ever fewer, so that one of any length stays
//! small. A function of the step and of the forks made before it, so that a run that is taken up again keeps the same ones.

use std::io;

use super::Recorder;
use crate::arm::ArmName;
use crate::config::RecordSpec;
use crate::geometry::thinning::common_divisor;
use crate::telemetry::event::{
    ArmInfo, BlocksSample, Event, FORK, RunStarted, StepRule, StepSample,
};

/// Share of the limit that steps may take; the rest is for evaluations, maps, changes and alerts, which are all kept.
const FOR_STEPS: f64 = 0.35;
/// Bytes of a step's line without layers, of a layer's norm, and of a block's four figures with their names.
const LINE: f64 = 700.0;
const LAYER: f64 = 21.0;
const BLOCK: f64 = 140.0;
/// Steps kept because something changed at them: more than anybody types, and a bound on a rate that always changes.
const MOST_CHANGES: u32 = 1000;
/// Every step with its layers.
const ALL: RecordSpec = RecordSpec { every: 1, layers_every: 1, limit: 200 };
/// Steps to which the rule is rounded: it is read by people.
const ROUND: u64 = 100;

/// The rule by which a run of `arms` that tells what `record` says stays under its limit.
pub fn rule(record: RecordSpec, arms: &[ArmInfo]) -> StepRule {
    if record.limit == 0 {
        return StepRule { every_one_until: None, rule: "every step that is told".to_owned() };
    }
    // The steps kept after `until` are as many as those up to it: 1/4 + 1/4 + 1/8 + 1/8 + 1/16 and so on. Each may tell
    // its layers.
    let bytes: f64 =
        arms.iter().map(|arm| bytes_a_step(arm, record) + bytes_a_step(arm, ALL)).sum();
    let lines = (FOR_STEPS * 1e6 * record.limit as f64 / bytes.max(1.0)) as u64;
    let until = (lines / ROUND * ROUND).max(ROUND).saturating_mul(record.every);
    let rule = format!(
        "every step that is told up to {until}; whenever that has doubled, 4 and 2 times as far apart in turn; evaluations, changes and alerts always"
    );
    StepRule { every_one_until: Some(until), rule }
}

/// At `step`, one of so many told steps is kept: a power of two. `share` is the number of arms now over that at the start.
fn apart(rule: &StepRule, step: u64, share: u64) -> u64 {
    let Some(until) = rule.every_one_until else { return 1 };
    let doubles = step.div_ceil((until / share.max(1)).max(1)).max(1);
    let doubled = u64::BITS - (doubles - 1).leading_zeros();
    1 << (3 * doubled).div_ceil(2).min(u64::BITS - 1)
}

/// Bytes that one step of an arm takes, blocks and layers spread over the steps that tell them.
fn bytes_a_step(arm: &ArmInfo, record: RecordSpec) -> f64 {
    let rest =
        LAYER * arm.layers.len() as f64 + BLOCK * arm.blocks as f64 / BlocksSample::EVERY as f64;
    LINE + rest * record.every as f64 / record.layers_every.max(record.every) as f64
}

/// Hands on the steps that a rule keeps, and every event that is no step. Also kept are an arm's first and last step of
/// every go, and those at which its learning rate, weight decay or batch is another than before.
pub struct Thinned<R> {
    to: R,
    rule: StepRule,
    record: RecordSpec,
    /// Arms at the start, and now.
    arms: (u64, u64),
    /// What each arm's newest step told.
    newest: Vec<Newest>,
    /// Changes that are still kept whatever the rule says.
    changes_left: u32,
}

/// An arm's newest step.
struct Newest {
    arm: ArmName,
    /// Learning rate, weight decay and batch.
    settings: (f64, f64, usize),
    /// The step, if it was not kept.
    left_out: Option<StepSample>,
}

impl<R: Recorder> Thinned<R> {
    /// Keeps by `rule` what a run tells by `record` that began with so many arms and has made so many forks since.
    pub fn new(to: R, rule: StepRule, record: RecordSpec, (arms, forks): (usize, usize)) -> Self {
        let arms = (arms.max(1) as u64, (arms + forks).max(1) as u64);
        Self { to, rule, record, arms, newest: Vec::new(), changes_left: MOST_CHANGES }
    }

    /// Whether the rule keeps what is told at `step`: a step, or with `one_in` what only so many of them tell.
    fn keeps(&self, step: u64, one_in: u64) -> bool {
        let RecordSpec { every, layers_every, .. } = self.record;
        let apart = apart(&self.rule, step, self.arms.1.div_ceil(self.arms.0));
        if apart == 1 {
            return true;
        }
        // Steps between two that tell their layers: of both distances the least common multiple.
        let unit = (layers_every / common_divisor(layers_every, every)).saturating_mul(every);
        let unit = unit.saturating_mul(one_in);
        let distance = every.saturating_mul(apart).saturating_mul(one_in);
        // Those that tell layers are kept, also where others are closer, or as many of them as lie so far apart.
        let units = distance.div_ceil(unit).next_power_of_two();
        let is_close = unit >= distance && step.is_multiple_of(distance);
        is_close || step.is_multiple_of(unit.saturating_mul(units))
    }

    fn step(&mut self, sample: &StepSample, event: &Event) -> io::Result<()> {
        let settings = (sample.lr, sample.weight_decay, sample.batch);
        let before = self.newest.iter().position(|n| n.arm == sample.arm);
        let is_same = before.is_some_and(|i| self.newest[i].settings == settings);
        let changed = !is_same && self.changes_left > 0;
        let kept = self.keeps(sample.step, 1) || changed;
        self.changes_left -= u32::from(changed);
        let left_out = (!kept).then(|| sample.clone());
        let newest = Newest { arm: sample.arm.clone(), settings, left_out };
        match before {
            Some(i) => self.newest[i] = newest,
            None => self.newest.push(newest),
        }
        if kept { self.to.record(event) } else { Ok(()) }
    }

    /// Tells the newest steps that were not kept: of one arm, or of all.
    fn bring_out_newest(&mut self, of: Option<&ArmName>) -> io::Result<()> {
        let mut done = Ok(());
        for newest in self.newest.iter_mut().filter(|n| of.is_none_or(|arm| n.arm == *arm)) {
            if let Some(sample) = newest.left_out.take() {
                done = done.and(self.to.record(&Event::Step(sample)));
            }
        }
        done
    }
}

impl<R: Recorder> Recorder for Thinned<R> {
    fn taken_up(&mut self, started: &RunStarted) {
        self.to.taken_up(started);
    }

    fn record(&mut self, event: &Event) -> io::Result<()> {
        let mut before = Ok(());
        match event {
            Event::Step(sample) => return self.step(sample, event),
            Event::Blocks(blocks) if !self.keeps(blocks.step, BlocksSample::EVERY) => return Ok(()),
            // What an arm came to is read beside the step at which it did.
            Event::Alert(alert) if alert.arm.is_some() => {
                before = self.bring_out_newest(alert.arm.as_ref());
            }
            Event::Done(_) => before = self.bring_out_newest(None),
            Event::Control(change) if change.key == FORK => self.arms.1 += 1,
            _ => {}
        }
        before.and(self.to.record(event))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn sync(&mut self) -> io::Result<()> {
        self.to.sync()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::telemetry::event::{
        Angle, BlockFlow, ControlChange, LayerInfo, RunDone, RunStatus, StepShare,
    };

    /// Counts bytes and keeps what was told of steps.
    #[derive(Default)]
    struct Counted {
        bytes: usize,
        steps: Vec<u64>,
        blocks: Vec<u64>,
        others: usize,
    }

    impl Recorder for &mut Counted {
        fn record(&mut self, event: &Event) -> io::Result<()> {
            self.bytes += serde_json::to_vec(event)?.len() + 1;
            match event {
                Event::Step(s) => self.steps.push(s.step),
                Event::Blocks(b) => self.blocks.push(b.step),
                _ => self.others += 1,
            }
            Ok(())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The default run's networks: 57 layers, 27 blocks, figures of all their digits.
    fn resnet(name: &str) -> ArmInfo {
        let layer = |i| LayerInfo { name: format!("layer{i}"), shape: vec![8, 8, 3, 3] };
        ArmInfo {
            name: ArmName::new(name),
            parameters: 80_000,
            layers: (0..57).map(layer).collect(),
            blocks: 27,
        }
    }

    fn figure(step: u64, i: u64) -> f64 {
        ((step * 131 + i * 17) as f64).sin() * 1e-3
    }

    fn step(arm: &ArmName, step: u64, layers: usize) -> Event {
        let f = |i| figure(step, i);
        Event::Step(StepSample {
            arm: arm.clone(),
            step,
            t: f(1).abs() * 1e8,
            epoch: f(2).abs() * 1e6,
            loss: f(3),
            acc: f(4),
            lr: if step < 50_001 { 0.1 } else { 0.01 },
            weight_decay: 5e-4,
            batch: 64,
            grad_norm: f(6),
            layer_grad_norms: (0..layers as u64).map(f).collect(),
            update_ratio: f(7),
            angle: Angle {
                full_deg: f(8),
                plane_deg: f(9),
                plane_share: f(10),
                counterfactual_deg: f(11),
            },
            step_share: StepShare { gradient: f(12), momentum: f(13), decay: f(14) },
            ms: f(15),
        })
    }

    fn blocks(arm: &ArmName, step: u64, count: usize) -> Event {
        let f = |i| figure(step, i);
        let block = |i| BlockFlow {
            name: format!("layer1.{i}"),
            carry: f(i),
            branch: f(i + 1),
            cos: f(i + 2),
            gain: f(i + 3),
        };
        let blocks = (0..count as u64).map(block).collect();
        Event::Blocks(BlocksSample { arm: arm.clone(), step, t: f(1), blocks })
    }

    fn fork() -> Event {
        Event::Control(ControlChange {
            arm: None,
            step: 1,
            t: 0.0,
            key: FORK.to_owned(),
            from: 0.0,
            to: 2.0,
            name: Some(ArmName::new("fork")),
        })
    }

    fn done(step: u64) -> Event {
        Event::Done(RunDone { status: RunStatus::Finished, step, t: 0.0, arms: Vec::new() })
    }

    /// What a run of `steps` leaves of one arm's lines among `arms` that run, `forks` of them made at its start.
    fn run(steps: u64, record: RecordSpec, arms: usize, forks: usize) -> Counted {
        let info: Vec<_> = (0..arms).map(|i| resnet(&i.to_string())).collect();
        let mut kept = Counted::default();
        let rule = rule(record, &info);
        let mut thinned = Thinned::new(&mut kept, rule, record, (arms, 0));
        (0..forks).for_each(|_| thinned.record(&fork()).unwrap());
        for at in (1..=steps).filter(|s| *s == 1 || s.is_multiple_of(record.every) || *s == steps) {
            let tells_layers = at == 1 || at == steps || at.is_multiple_of(record.layers_every);
            let tells_blocks = (at / record.layers_every).is_multiple_of(BlocksSample::EVERY);
            if tells_layers && (at == 1 || tells_blocks) {
                thinned.record(&blocks(&info[0].name, at, 27)).unwrap();
            }
            thinned.record(&step(&info[0].name, at, if tells_layers { 57 } else { 0 })).unwrap();
        }
        thinned.record(&done(steps)).unwrap();
        kept
    }

    #[test]
    fn a_short_run_keeps_every_step_and_a_long_one_its_first_and_last() {
        let kept = run(600, ALL, 2, 0);
        assert!(kept.steps.iter().copied().eq(1..=600));
        assert_eq!((kept.blocks.len(), kept.others), (31, 1));
        let kept = run(100_003, ALL, 2, 0);
        let Some(until) = rule(ALL, &[resnet("a"), resnet("b")]).every_one_until else {
            panic!("there is a limit")
        };
        assert!((5_000..12_000).contains(&until), "{until}");
        let dense = kept.steps.iter().take_while(|s| **s <= until);
        assert!(dense.copied().eq(1..=until));
        let gap = |at: u64| {
            let at = kept.steps.partition_point(|s| *s < at);
            kept.steps[at + 1] - kept.steps[at]
        };
        assert_eq!((gap(3 * until / 2), gap(3 * until), gap(5 * until)), (4, 8, 32));
        assert!(kept.steps.contains(&50_001), "the step at which its rate dropped");
        assert_eq!(
            kept.steps.last(),
            Some(&100_003),
            "the last step, though it is not among the even ones"
        );
        let unlimited = RecordSpec { limit: 0, ..ALL };
        assert_eq!(run(30_000, unlimited, 2, 0).steps.len(), 30_000);
    }

    /// The two arms of the default run, and eight, six of them forks: a million steps.
    #[test]
    fn a_run_of_a_million_steps_stays_under_its_limit() {
        let default = 2 * run(1_000_000, ALL, 2, 0).bytes;
        assert!((40_000_000..75_000_000).contains(&default), "{default}");
        let forked = 8 * run(1_000_000, ALL, 2, 6).bytes;
        assert!(forked < 75_000_000, "{forked}");
        let coarse = RecordSpec { every: 3, layers_every: 30, limit: 20 };
        let coarse = 2 * run(1_000_000, coarse, 2, 0).bytes;
        assert!((2_000_000..7_500_000).contains(&coarse), "{coarse}");
    }

    proptest! {
        /// However long: the distances grow, and all lines together are twice those of the part that is whole.
        #[test]
        fn lines_are_few(until in 1u64..1000, every in 1u64..8, layers in 1u64..4000, doubles in 0u32..12) {
            let record = RecordSpec { every, layers_every: layers, limit: 1 };
            let rule = StepRule { every_one_until: Some(until * every), rule: String::new() };
            let mut kept = Counted::default();
            let thinned = Thinned::new(&mut kept, rule, record, (1, 0));
            let steps = (until * every) << doubles;
            let mut found = Vec::new();
            let mut at = every;
            while at <= steps {
                if thinned.keeps(at, 1) {
                    found.push(at);
                }
                at += every;
            }
            prop_assert!(found.len() as u64 <= 3 * until + 2 * u64::from(doubles), "{}", found.len());
            // No gap is longer than that between two kept ones should be, or two that tell layers where these are closer.
            for pair in found.windows(2) {
                let distance = every * apart(&thinned.rule, pair[1], 1);
                prop_assert!(pair[1] - pair[0] <= distance.max(2 * layers * every).max(2 * distance), "{pair:?}");
            }
            let told = found.iter().filter(|s| s.is_multiple_of(layers)).count() as u64;
            let all = (steps / every).min(until) / layers;
            prop_assert!(told >= all, "{told} of {all} that tell layers");
        }
    }
}
