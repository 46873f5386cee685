//! A made-up run for the tests of the screen and of the link: its figures follow formulas, so that every machine draws the same.

use crate::arm::{ArmName, PerArm};
use crate::geometry::contour::{Grid, isolines};
use crate::geometry::levels::quantile_levels;
use crate::telemetry::event::{
    Alert, Angle, ArmInfo, BlockFlow, ControlChange, LayerInfo, Level, StepSample, StepShare,
    SurfaceStats,
};
use crate::telemetry::health::Verdict;
use crate::telemetry::path::PathView;
use crate::telemetry::snapshot::{
    ArmState, ArmView, Curves, Flow, FlowRow, LossMap, MapsView, Phase, RunHeader, Snapshot,
};
use crate::telemetry::system::SystemFigures;

/// Conv and linear weights of the made-up networks.
const LAYERS: usize = 20;
/// Blocks of each arm.
const BLOCKS: usize = 9;
/// Points on a side of the made-up maps.
const GRID: usize = 9;

/// A run of `arms` arms after `steps` of 200 steps: every second one without skips.
pub fn run(arms: usize, steps: u64) -> Snapshot {
    let views: PerArm<ArmView> = (0..arms).map(|i| arm(i, steps)).collect();
    let control = ControlChange {
        arm: None,
        step: 90,
        t: 9.0,
        key: "weight_decay".to_owned(),
        from: 5e-4,
        to: 0.0,
        name: None,
    };
    let alert = Alert {
        arm: Some(ArmName::new("noskip")),
        step: 100,
        t: 10.0,
        kind: "lagging".to_owned(),
        level: Level::Warning,
        text: "noskip: far behind, loss 1.837 after 113 steps, the best arm 0.118".to_owned(),
    };
    Snapshot {
        run: RunHeader {
            name: "demo".to_owned(),
            data: "digits 16x16, 1437 train, 360 test".to_owned(),
            model: "ResNet-56 width 8".to_owned(),
            device: "cpu, 2 cores".to_owned(),
            steps: 200,
            folder: "checkpoints/demo-20260101-000000".to_owned(),
        },
        phase: Phase::Training,
        elapsed_s: 12.5,
        step: steps,
        epoch: steps as f64 / 22.0,
        steps_per_s: 14.2,
        eta_s: 7.0,
        maps: maps(arms),
        path_maps: MapsView::default(),
        arms: views,
        marks: vec![control],
        alerts: vec![alert],
        checkpoint: Some((50, "step-00000050".to_owned())),
        system: SystemFigures {
            rss_bytes: 612_000_000,
            memory_bytes: 24_000_000_000,
            cpu_cores: 1.9,
            cores: 2,
            gpu: None,
        },
    }
}

fn arm(index: usize, steps: u64) -> ArmView {
    let skip = index.is_multiple_of(2);
    let name = match index {
        0 => ArmName::new("skip"),
        1 => ArmName::new("noskip"),
        _ => ArmName::new(&format!("arm{index}")),
    };
    let loss =
        |s: f64| if skip { 2.3 * (-s / 30.0).exp() + 0.02 } else { 1.8 + 0.5 * (-s / 20.0).exp() };
    let acc = |s: f64| if skip { 1.0 - 0.9 * (-s / 25.0).exp() } else { 0.1 + 0.15 * (s / 200.0) };
    let angle = |s: f64| 45.0 + 30.0 * (s / 15.0 + index as f64).sin();
    let norms = |s: f64| -> Vec<f64> {
        let rate: f64 = if skip { 0.01 } else { 0.25 - s * 0.004 };
        (0..LAYERS).map(|l| 0.05 * (rate * (LAYERS - l) as f64).exp()).collect()
    };
    let mut curves = Curves::default();
    for step in 1..=steps {
        let s = step as f64;
        curves.loss.push(step, loss(s));
        curves.acc.push(step, acc(s));
        curves.angle.push(step, angle(s));
        if step % 22 == 0 {
            curves.test_loss.push(step, loss(s) * 1.5);
            curves.test_err.push(step, 1.0 - acc(s) * 0.9);
        }
    }
    let s = steps as f64;
    let sample = StepSample {
        arm: name.clone(),
        step: steps,
        t: 12.4,
        epoch: s / 22.0,
        loss: loss(s),
        acc: acc(s),
        lr: 0.1,
        weight_decay: 0.0,
        batch: 64,
        grad_norm: 0.8,
        layer_grad_norms: norms(s),
        update_ratio: 0.003,
        angle: Angle { full_deg: angle(s), ..Angle::NONE },
        step_share: StepShare { gradient: 0.62, momentum: 0.35, decay: 0.03 },
        ms: 63.0,
    };
    let block = |i: usize| BlockFlow {
        name: format!("layer1.{i}"),
        carry: if skip { 0.1 } else { 0.0 },
        branch: 0.02 * (i + 1) as f64,
        cos: if skip { 0.1 } else { f64::NAN },
        gain: 1.05,
    };
    let convs =
        (1..LAYERS).map(|l| LayerInfo { name: format!("conv{l}"), shape: vec![8, 8, 3, 3] });
    let head = LayerInfo { name: "linear".to_owned(), shape: vec![10, 8] };
    let layers = convs.chain([head]).collect();
    let trained = steps > 0;
    ArmView {
        info: ArmInfo { name, parameters: 215_138, layers, blocks: BLOCKS },
        skip,
        state: if trained { ArmState::Training } else { ArmState::Waiting },
        verdict: if skip { Verdict::Healthy } else { Verdict::Lagging },
        configured_weight_decay: 5e-4,
        latest: trained.then_some(sample),
        curves,
        flow: Flow {
            now: if trained { norms(s) } else { Vec::new() },
            first: if trained { norms(1.0) } else { Vec::new() },
            rows: (1..=steps).map(|t| FlowRow { step: t, norms: norms(t as f64) }).collect(),
        },
        blocks: if trained { (0..BLOCKS).map(block).collect() } else { Vec::new() },
        test: trained.then_some((88, if skip { 0.031 } else { 0.675 })),
        histograms: Vec::new(),
        lr_drops: Vec::new(),
        path: PathView::default(),
    }
}

/// A bowl for arms with skips, a tilted saddle for those without.
fn maps(arms: usize) -> MapsView {
    let axis: Vec<f64> = (0..GRID).map(|i| i as f64 / 4.0 - 1.0).collect();
    let surface = |skip: bool| -> Vec<f64> {
        let at = |x: f64, y: f64| {
            if skip { 0.05 + 3.0 * (x * x + y * y) } else { 2.3 + 0.4 * x - x * y }
        };
        axis.iter().flat_map(|y| axis.iter().map(move |x| at(*x, *y))).collect()
    };
    let surfaces: Vec<Vec<f64>> = (0..arms).map(|i| surface(i.is_multiple_of(2))).collect();
    let levels = quantile_levels(surfaces.iter().flatten(), 9);
    let one = |loss: &Vec<f64>| {
        let grid = Grid { xs: &axis, ys: &axis, values: loss };
        Some(LossMap {
            step: 60,
            taken_s: 4.5,
            xs: axis.clone(),
            ys: axis.clone(),
            isolines: levels.iter().flat_map(|l| isolines(grid, *l)).collect(),
            loss: loss.clone(),
            images: 64,
            cosine: 0.013,
            complete: false,
            stats: SurfaceStats {
                center: loss[GRID * GRID / 2],
                min: 0.05,
                median: 2.0,
                max: 6.05,
                points: 81,
            },
        })
    };
    MapsView {
        arms: surfaces.iter().map(one).collect(),
        range: Some((0.05, 6.05)),
        job: None,
        next_step: Some(200),
        levels: levels.clone(),
    }
}
