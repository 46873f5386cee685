//! A snapshot taken apart, so that only what changed need be sent.
//!
//! Every part has a key and a few bytes (postcard); the sender remembers what it sent last, the receiver keeps all parts
//! and puts the snapshot together again. Curves, paths and heat-map rows are cut into short pieces, so that a run's growing
//! end is sent and its past is not. Figures of curves and maps travel as `f32`: a screen shows four digits.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::curves;
pub use super::curves::Which;
use super::figures::{
    Clock, Head, Latest, Map, Scale, block_flow, flow_row, latest, loss_map, narrow, rows,
    step_sample, widen, wire_map,
};
use super::paths::{self, PathHead, Stretch};
use crate::arm::{MAX_ARMS, PerArm};
use crate::telemetry::angles::{AngleHistogram, HISTOGRAMS};
use crate::telemetry::event::{Alert, BlockFlow, ControlChange};
use crate::telemetry::health::Verdict;
use crate::telemetry::history::Curve;
use crate::telemetry::path::PathView;
use crate::telemetry::snapshot::{
    ArmState, ArmView, Flow, LossMap, MapsView, Phase, RunHeader, Snapshot,
};
use crate::telemetry::system::SystemFigures;

/// Levels beyond which a map is not one of ours.
const MOST_LEVELS: usize = 64;
/// Drops of the learning rate that are told, the newest: more do not fit on a path.
const MOST_DROPS: usize = 64;

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Key {
    /// [`RunHeader`]
    Run,
    /// [`Phase`]
    Phase,
    /// Times and counts.
    Clock,
    /// [`SystemFigures`]
    System,
    /// Changes by hand.
    Marks,
    /// Alerts.
    Alerts,
    /// The newest checkpoint.
    Checkpoint,
    /// The arms' fixed parts.
    Arms,
    /// An arm's state and verdict.
    State(u8),
    /// An arm's newest step, without its layers.
    Latest(u8),
    /// An arm's newest residual decomposition.
    Blocks(u8),
    /// An arm's newest test error.
    Test(u8),
    /// A piece of an arm's curve.
    Curve(u8, Which, u16),
    /// An arm's newest layer norms.
    Now(u8),
    /// An arm's first layer norms.
    First(u8),
    /// A heat-map row of an arm.
    Row(u8, u16),
    /// What all maps share.
    Scale,
    /// An arm's map.
    Map(u8),
    /// An arm's histogram of angles.
    Histogram(u8, u16),
    /// Drops of an arm's learning rate.
    Drops(u8),
    /// What an arm's path has besides its points.
    Path(u8),
    /// A piece of an arm's path.
    Stretch(u8, u16),
    /// What all maps under paths share.
    PathScale,
    /// The map under an arm's path.
    PathMap(u8),
}

/// The parts of one snapshot.
pub type Parts = BTreeMap<Key, Vec<u8>>;

/// One difference between two snapshots: a part's new bytes, or none for one that is gone.
pub type Change = (Key, Option<Vec<u8>>);

/// How much of a run a viewer can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Columns of its screen.
    pub columns: u16,
    /// Rows of its screen.
    pub rows: u16,
}

/// Why parts do not make a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key:?}: {text}")]
pub struct PartError {
    key: Key,
    text: String,
}

/// Takes apart what a viewer of this size can show of a snapshot.
pub fn take_apart(snapshot: &Snapshot, size: Size) -> Parts {
    let mut parts = Parts::new();
    put(&mut parts, Key::Run, &snapshot.run);
    put(&mut parts, Key::Phase, &snapshot.phase);
    put(
        &mut parts,
        Key::Clock,
        &Clock {
            elapsed_s: snapshot.elapsed_s as f32,
            step: snapshot.step,
            epoch: snapshot.epoch as f32,
            steps_per_s: snapshot.steps_per_s as f32,
            eta_s: snapshot.eta_s as f32,
        },
    );
    put(&mut parts, Key::System, &snapshot.system);
    put(&mut parts, Key::Marks, &snapshot.marks);
    put(&mut parts, Key::Alerts, &snapshot.alerts);
    put(&mut parts, Key::Checkpoint, &snapshot.checkpoint);
    let head = |a: &ArmView| Head {
        info: a.info.clone(),
        skip: a.skip,
        weight_decay: a.configured_weight_decay,
        optimizer: a.optimizer.clone(),
    };
    put(&mut parts, Key::Arms, &snapshot.arms.values().map(head).collect::<Vec<_>>());
    put(&mut parts, Key::Scale, &scale(&snapshot.maps));
    put(&mut parts, Key::PathScale, &scale(&snapshot.path_maps));
    for (index, (id, arm)) in (0u8..).zip(snapshot.arms.iter()) {
        put(&mut parts, Key::State(index), &(&arm.state, arm.verdict));
        put(&mut parts, Key::Latest(index), &arm.latest.as_ref().map(latest));
        let block = |b: &BlockFlow| [b.carry, b.branch, b.cos, b.gain].map(|v| v as f32);
        put(
            &mut parts,
            Key::Blocks(index),
            &arm.blocks.iter().map(|b| (&b.name, block(b))).collect::<Vec<_>>(),
        );
        put(&mut parts, Key::Test(index), &arm.test);
        put(&mut parts, Key::Now(index), &narrow(&arm.flow.now));
        put(&mut parts, Key::First(index), &narrow(&arm.flow.first));
        for which in Which::ALL {
            for (piece, bytes) in (0u16..).zip(curves::pieces(which, &arm.curves, size.columns)) {
                parts.insert(Key::Curve(index, which, piece), bytes);
            }
        }
        for (number, histogram) in (0u16..).zip(&arm.histograms) {
            put(&mut parts, Key::Histogram(index, number), histogram);
        }
        let old = arm.lr_drops.len().saturating_sub(MOST_DROPS);
        put(&mut parts, Key::Drops(index), &arm.lr_drops[old..]);
        let (head, stretches) = paths::take_apart(&arm.path);
        put(&mut parts, Key::Path(index), &head);
        for (number, stretch) in (0u16..).zip(&stretches) {
            put(&mut parts, Key::Stretch(index, number), stretch);
        }
        for (number, row) in
            (0u16..).zip(rows(&arm.flow.rows, usize::from(size.columns).max(16) / 2))
        {
            put(&mut parts, Key::Row(index, number), &row);
        }
        if let Some(Some(map)) = snapshot.maps.arms.get(id) {
            put(&mut parts, Key::Map(index), &wire_map(map));
        }
        if let Some(Some(map)) = snapshot.path_maps.arms.get(id) {
            put(&mut parts, Key::PathMap(index), &wire_map(map));
        }
    }
    parts
}

/// What must be sent to who has `old` so that it has `new`.
pub fn changes(old: &Parts, new: &Parts) -> Vec<Change> {
    let gone = old.keys().filter(|key| !new.contains_key(key)).map(|key| (*key, None));
    let changed = new.iter().filter(|(key, bytes)| old.get(key) != Some(bytes));
    gone.chain(changed.map(|(key, bytes)| (*key, Some(bytes.clone())))).collect()
}

/// Brings the parts that a viewer has up to date.
pub fn apply(parts: &mut Parts, changes: Vec<Change>) {
    for (key, bytes) in changes {
        match bytes {
            Some(bytes) => drop(parts.insert(key, bytes)),
            None => drop(parts.remove(&key)),
        }
    }
}

/// Puts a snapshot together.
///
/// # Errors
/// When a part is not what its key says.
pub fn put_together(parts: &Parts) -> Result<Snapshot, PartError> {
    let clock: Option<Clock> = get(parts, Key::Clock)?;
    let clock = clock.unwrap_or(Clock {
        elapsed_s: 0.0,
        step: 0,
        epoch: 0.0,
        steps_per_s: f32::NAN,
        eta_s: f32::NAN,
    });
    let heads: Vec<Head> = get(parts, Key::Arms)?.unwrap_or_default();
    let checkpoint: Option<Option<(u64, String)>> = get(parts, Key::Checkpoint)?;
    let mut snapshot = Snapshot {
        run: get(parts, Key::Run)?.unwrap_or_else(RunHeader::default),
        phase: get(parts, Key::Phase)?.unwrap_or_else(Phase::default),
        elapsed_s: f64::from(clock.elapsed_s),
        step: clock.step,
        epoch: f64::from(clock.epoch),
        steps_per_s: f64::from(clock.steps_per_s),
        eta_s: f64::from(clock.eta_s),
        marks: get(parts, Key::Marks)?.unwrap_or_else(Vec::<ControlChange>::new),
        alerts: get(parts, Key::Alerts)?.unwrap_or_else(Vec::<Alert>::new),
        checkpoint: checkpoint.flatten(),
        system: get(parts, Key::System)?.unwrap_or_else(SystemFigures::default),
        ..Snapshot::default()
    };
    if heads.len() > MAX_ARMS {
        return Err(strange(Key::Arms, "more arms than a run holds"));
    }
    let count = heads.len() as u8;
    let mut arms = Vec::new();
    snapshot.maps = maps(parts, count, Key::Scale, Key::Map)?;
    snapshot.path_maps = maps(parts, count, Key::PathScale, Key::PathMap)?;
    for ((index, head), map) in (0u8..).zip(heads).zip(snapshot.path_maps.arms.values()) {
        arms.push(arm(parts, index, head, map.as_ref())?);
    }
    snapshot.arms = arms.into_iter().collect();
    Ok(snapshot)
}

fn strange(key: Key, text: &str) -> PartError {
    PartError { key, text: text.to_owned() }
}

/// What the maps of all arms share.
fn scale(maps: &MapsView) -> Scale {
    let MapsView { levels, range, job, next_step, .. } = maps;
    Scale { levels: levels.clone(), range: *range, job: *job, next_step: *next_step }
}

fn maps(
    parts: &Parts,
    arms: u8,
    scale: Key,
    key: impl Fn(u8) -> Key,
) -> Result<MapsView, PartError> {
    let shared: Option<Scale> = get(parts, scale)?;
    if shared.as_ref().is_some_and(|s| s.levels.len() > MOST_LEVELS) {
        return Err(strange(scale, "more levels than are drawn"));
    }
    let one = |index| {
        let map: Option<Map> = get(parts, key(index))?;
        match map {
            Some(map) if !map.is_a_grid() => Err(strange(key(index), "its points are no grid")),
            map => Ok(map.map(loss_map)),
        }
    };
    let mut maps = MapsView {
        arms: (0..arms).map(one).collect::<Result<PerArm<_>, _>>()?,
        ..MapsView::default()
    };
    if let Some(Scale { levels, range, job, next_step }) = shared {
        maps = MapsView { levels, range, job, next_step, ..maps };
    }
    maps.trace_isolines();
    Ok(maps)
}

fn arm(
    parts: &Parts,
    index: u8,
    head: Head,
    path_map: Option<&LossMap>,
) -> Result<ArmView, PartError> {
    let (state, verdict): (ArmState, Verdict) = get(parts, Key::State(index))?.unwrap_or_default();
    let now: Vec<f32> = get(parts, Key::Now(index))?.unwrap_or_default();
    let first: Vec<f32> = get(parts, Key::First(index))?.unwrap_or_default();
    let latest: Option<Option<Latest>> = get(parts, Key::Latest(index))?;
    let blocks: Vec<(String, [f32; 4])> = get(parts, Key::Blocks(index))?.unwrap_or_default();
    let test: Option<Option<(u64, f64)>> = get(parts, Key::Test(index))?;
    let drops: Vec<(u64, f64)> = get(parts, Key::Drops(index))?.unwrap_or_default();
    if drops.len() > MOST_DROPS {
        return Err(strange(Key::Drops(index), "more drops than are kept"));
    }
    let name = head.info.name.clone();
    let mut view = ArmView {
        skip: head.skip,
        state,
        verdict,
        configured_weight_decay: head.weight_decay,
        optimizer: head.optimizer,
        latest: latest.flatten().map(|l| step_sample(l, &name, widen(&now))),
        curves: Default::default(),
        flow: Flow { now: widen(&now), first: widen(&first), rows: Vec::new() },
        blocks: blocks.into_iter().map(block_flow).collect(),
        test: test.flatten(),
        histograms: histograms(parts, index)?,
        lr_drops: drops,
        path: path(parts, index, path_map)?,
        info: head.info,
    };
    for which in Which::ALL {
        let mut points = Vec::new();
        for piece in 0..=u16::MAX {
            let key = Key::Curve(index, which, piece);
            let Some(bytes) = parts.get(&key) else { break };
            let more = curves::points(which, bytes);
            points.extend(more.map_err(|e| strange(key, &e.to_string()))?);
        }
        *which.of_mut(&mut view.curves) = Curve::of(points);
    }
    for number in 0..=u16::MAX {
        let Some(row) = get(parts, Key::Row(index, number))? else { break };
        view.flow.rows.push(flow_row(row));
    }
    Ok(view)
}

fn histograms(parts: &Parts, index: u8) -> Result<Vec<AngleHistogram>, PartError> {
    let mut found = Vec::new();
    for number in 0..=u16::MAX {
        let key = Key::Histogram(index, number);
        let Some(one): Option<AngleHistogram> = get(parts, key)? else { break };
        if !one.is_bounded() || found.len() == HISTOGRAMS {
            return Err(strange(key, "more histograms or bins than are kept"));
        }
        found.push(one);
    }
    Ok(found)
}

fn path(parts: &Parts, index: u8, map: Option<&LossMap>) -> Result<PathView, PartError> {
    let Some(head): Option<PathHead> = get(parts, Key::Path(index))? else {
        return Ok(PathView::default());
    };
    let mut stretches = Vec::new();
    // One more than a path has shows that there are too many.
    for number in 0..=paths::MOST_PIECES as u16 {
        let Some(one) = get::<Stretch>(parts, Key::Stretch(index, number))? else { break };
        stretches.push(one);
    }
    paths::put_together(head, &stretches, map)
        .ok_or_else(|| strange(Key::Path(index), "more points or axes than are kept"))
}

/// A part by its key, if it is there.
fn get<T: DeserializeOwned>(parts: &Parts, key: Key) -> Result<Option<T>, PartError> {
    let read = |bytes: &Vec<u8>| {
        postcard::from_bytes(bytes).map_err(|e| PartError { key, text: e.to_string() })
    };
    parts.get(&key).map(read).transpose()
}

/// Adds a part. Plain data always has bytes; a part that had none would be missing, not wrong.
fn put<T: Serialize + ?Sized>(parts: &mut Parts, key: Key, part: &T) {
    if let Ok(bytes) = postcard::to_allocvec(part) {
        parts.insert(key, bytes);
    }
}

#[cfg(test)]
mod tests;
