//! Figures as they travel: narrow where a screen shows no more, without the names that other parts hold.

use serde::{Deserialize, Serialize};

use crate::arm::ArmName;
use crate::telemetry::event::{Angle, ArmInfo, BlockFlow, StepSample, StepShare, SurfaceStats};
use crate::telemetry::snapshot::{FlowRow, LossMap, MapProgress};

/// Steps of a decade in which heat-map rows are told: finer than any colour scale.
pub const DECADE: f64 = 256.0;
/// Points beyond which a map is not one of ours: tracing its lines would take for ever.
const MOST_POINTS: usize = 1 << 18;
/// A norm that is none in a heat-map row.
const NO_NORM: i16 = i16::MIN;

/// Times and counts of a run.
#[derive(Serialize, Deserialize)]
pub struct Clock {
    pub elapsed_s: f32,
    pub step: u64,
    pub epoch: f32,
    pub steps_per_s: f32,
    pub eta_s: f32,
}

/// An arm's fixed parts.
#[derive(Serialize, Deserialize)]
pub struct Head {
    pub info: ArmInfo,
    pub skip: bool,
    pub weight_decay: f64,
    pub optimizer: String,
}

/// An arm's newest step.
#[derive(Serialize, Deserialize)]
pub struct Latest {
    pub step: u64,
    pub t: f32,
    pub epoch: f32,
    pub lr: f64,
    pub weight_decay: f64,
    pub batch: usize,
    /// loss, acc, grad_norm, update_ratio; full, plane and counterfactual angle, share in the plane; gradient, momentum
    /// and decay share; ms
    pub figures: [f32; 12],
}

/// Layer norms at one step, as powers of ten in steps of a [`DECADE`]th.
#[derive(Serialize, Deserialize)]
pub struct Row {
    pub step: u64,
    pub norms: Vec<i16>,
}

/// What all maps share.
#[derive(Serialize, Deserialize)]
pub struct Scale {
    pub levels: Vec<f64>,
    pub range: Option<(f64, f64)>,
    pub job: Option<MapProgress>,
    pub next_step: Option<u64>,
}

/// Loss on a grid.
#[derive(Serialize, Deserialize)]
pub struct Map {
    pub step: u64,
    pub taken_s: f32,
    pub xs: Vec<f32>,
    pub ys: Vec<f32>,
    pub loss: Vec<f32>,
    pub images: usize,
    pub cosine: f32,
    pub complete: bool,
    pub stats: [f32; 4],
    pub points: usize,
}

impl Map {
    /// Whether its points fill its axes, and are as many as are drawn.
    pub fn is_a_grid(&self) -> bool {
        let points = self.xs.len().checked_mul(self.ys.len());
        points == Some(self.loss.len()) && self.loss.len() <= MOST_POINTS
    }
}

/// To single precision.
pub fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

/// From single precision.
pub fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

/// At most `most` rows, evenly.
pub fn rows(rows: &[FlowRow], most: usize) -> Vec<Row> {
    let every = rows.len().div_ceil(most).max(1).next_power_of_two();
    let level = |v: f64| {
        let level = (v.log10() * DECADE).round();
        if level.is_finite() { level.clamp(-32_000.0, 32_000.0) as i16 } else { NO_NORM }
    };
    rows.iter()
        .step_by(every)
        .map(|r| Row { step: r.step, norms: r.norms.iter().map(|v| level(*v)).collect() })
        .collect()
}

/// A step without its layers and its arm.
pub fn latest(s: &StepSample) -> Latest {
    let Angle { full_deg, plane_deg, plane_share, counterfactual_deg } = s.angle;
    let StepShare { gradient, momentum, decay } = s.step_share;
    Latest {
        step: s.step,
        t: s.t as f32,
        epoch: s.epoch as f32,
        lr: s.lr,
        weight_decay: s.weight_decay,
        batch: s.batch,
        figures: [
            s.loss,
            s.acc,
            s.grad_norm,
            s.update_ratio,
            full_deg,
            plane_deg,
            counterfactual_deg,
            plane_share,
            gradient,
            momentum,
            decay,
            s.ms,
        ]
        .map(|v| v as f32),
    }
}

/// A step with them.
pub fn step_sample(l: Latest, arm: &ArmName, layer_grad_norms: Vec<f64>) -> StepSample {
    let [loss, acc, grad_norm, update_ratio, angles @ .., gradient, momentum, decay, ms] =
        l.figures.map(f64::from);
    let [full_deg, plane_deg, counterfactual_deg, plane_share] = angles;
    StepSample {
        arm: arm.clone(),
        step: l.step,
        t: f64::from(l.t),
        epoch: f64::from(l.epoch),
        loss,
        acc,
        lr: l.lr,
        weight_decay: l.weight_decay,
        batch: l.batch,
        grad_norm,
        layer_grad_norms,
        update_ratio,
        angle: Angle { full_deg, plane_deg, plane_share, counterfactual_deg },
        step_share: StepShare { gradient, momentum, decay },
        ms,
    }
}

/// A block from its name, carry, branch, cosine and gain.
pub fn block_flow((name, figures): (String, [f32; 4])) -> BlockFlow {
    let [carry, branch, cos, gain] = figures.map(f64::from);
    BlockFlow { name, carry, branch, cos, gain }
}

/// A map without its lines.
pub fn wire_map(m: &LossMap) -> Map {
    let SurfaceStats { center, min, median, max, points } = m.stats;
    Map {
        step: m.step,
        taken_s: m.taken_s as f32,
        xs: narrow(&m.xs),
        ys: narrow(&m.ys),
        loss: narrow(&m.loss),
        images: m.images,
        cosine: m.cosine as f32,
        complete: m.complete,
        stats: [center, min, median, max].map(|v| v as f32),
        points,
    }
}

/// A map whose lines are still to be traced.
pub fn loss_map(m: Map) -> LossMap {
    let [center, min, median, max] = m.stats.map(f64::from);
    LossMap {
        step: m.step,
        taken_s: f64::from(m.taken_s),
        xs: widen(&m.xs),
        ys: widen(&m.ys),
        loss: widen(&m.loss),
        isolines: Vec::new(),
        images: m.images,
        cosine: f64::from(m.cosine),
        complete: m.complete,
        stats: SurfaceStats { center, min, median, max, points: m.points },
    }
}

/// The norms of a row.
pub fn flow_row(Row { step, norms }: Row) -> FlowRow {
    let norm = |v: i16| match v {
        NO_NORM => f64::NAN,
        v => 10f64.powf(f64::from(v) / DECADE),
    };
    FlowRow { step, norms: norms.into_iter().map(norm).collect() }
}
