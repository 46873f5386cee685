//! A snapshot taken apart, so that only what changed need be sent.
//!
//! Every part has a key and a few bytes (postcard); the sender remembers what it sent last, the receiver keeps all parts
//! and puts the snapshot together again. Curves and heat-map rows are cut into short pieces, so that a run's growing
//! end is sent and its past is not. Figures of curves and maps travel as `f32`: a screen shows four digits.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::figures::{
    Clock, Head, Latest, Map, Scale, block_flow, flow_row, latest, loss_map, narrow, rows,
    step_sample, thinned, widen, wire_map,
};
use crate::arm::{MAX_ARMS, PerArm};
use crate::telemetry::event::{Alert, BlockFlow, ControlChange};
use crate::telemetry::health::Verdict;
use crate::telemetry::history::{Curve, Point};
use crate::telemetry::snapshot::{ArmState, ArmView, Flow, Phase, RunHeader, Snapshot};
use crate::telemetry::system::SystemFigures;

/// Points of a curve to a piece: small, because the last piece is sent again until it is full.
const POINTS_A_PIECE: usize = 4;
/// Levels beyond which a map is not one of ours.
const MOST_LEVELS: usize = 64;

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
}

/// A curve of an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Which {
    /// Batch loss.
    Loss,
    /// Batch accuracy.
    Acc,
    /// Test loss.
    TestLoss,
    /// Test error.
    TestErr,
    /// Angle to the isocurve.
    Angle,
}

const WHICH: [Which; 5] = [Which::Loss, Which::Acc, Which::TestLoss, Which::TestErr, Which::Angle];

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
    };
    put(&mut parts, Key::Arms, &snapshot.arms.values().map(head).collect::<Vec<_>>());
    put(
        &mut parts,
        Key::Scale,
        &Scale {
            levels: snapshot.maps.levels.clone(),
            range: snapshot.maps.range,
            job: snapshot.maps.job,
            next_step: snapshot.maps.next_step,
        },
    );
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
        for which in WHICH {
            let points = thinned(curve(arm, which).points(), usize::from(size.columns).max(8) * 2);
            for (piece, points) in (0u16..).zip(points.chunks(POINTS_A_PIECE)) {
                put(&mut parts, Key::Curve(index, which, piece), &points.to_vec());
            }
        }
        for (number, row) in
            (0u16..).zip(rows(&arm.flow.rows, usize::from(size.columns).max(16) / 2))
        {
            put(&mut parts, Key::Row(index, number), &row);
        }
        if let Some(Some(map)) = snapshot.maps.arms.get(id) {
            put(&mut parts, Key::Map(index), &wire_map(map));
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
    let scale: Option<Scale> = get(parts, Key::Scale)?;
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
    let mut arms = Vec::new();
    let mut maps = Vec::new();
    let strange = |key, text: &str| PartError { key, text: text.to_owned() };
    if heads.len() > MAX_ARMS {
        return Err(strange(Key::Arms, "more arms than a run holds"));
    }
    if scale.as_ref().is_some_and(|s| s.levels.len() > MOST_LEVELS) {
        return Err(strange(Key::Scale, "more levels than are drawn"));
    }
    for (index, head) in (0u8..).zip(heads) {
        arms.push(arm(parts, index, head)?);
        let map: Option<Map> = get(parts, Key::Map(index))?;
        if map.as_ref().is_some_and(|m| !m.is_a_grid()) {
            return Err(strange(Key::Map(index), "its points are no grid"));
        }
        maps.push(map.map(loss_map));
    }
    snapshot.arms = arms.into_iter().collect();
    snapshot.maps.arms = maps.into_iter().collect::<PerArm<_>>();
    if let Some(Scale { levels, range, job, next_step }) = scale {
        snapshot.maps.levels = levels;
        (snapshot.maps.range, snapshot.maps.job, snapshot.maps.next_step) = (range, job, next_step);
    }
    snapshot.maps.trace_isolines();
    Ok(snapshot)
}

fn arm(parts: &Parts, index: u8, head: Head) -> Result<ArmView, PartError> {
    let (state, verdict): (ArmState, Verdict) = get(parts, Key::State(index))?.unwrap_or_default();
    let now: Vec<f32> = get(parts, Key::Now(index))?.unwrap_or_default();
    let first: Vec<f32> = get(parts, Key::First(index))?.unwrap_or_default();
    let latest: Option<Option<Latest>> = get(parts, Key::Latest(index))?;
    let blocks: Vec<(String, [f32; 4])> = get(parts, Key::Blocks(index))?.unwrap_or_default();
    let test: Option<Option<(u64, f64)>> = get(parts, Key::Test(index))?;
    let name = head.info.name.clone();
    let mut view = ArmView {
        skip: head.skip,
        state,
        verdict,
        configured_weight_decay: head.weight_decay,
        latest: latest.flatten().map(|l| step_sample(l, &name, widen(&now))),
        curves: Default::default(),
        flow: Flow { now: widen(&now), first: widen(&first), rows: Vec::new() },
        blocks: blocks.into_iter().map(block_flow).collect(),
        test: test.flatten(),
        histograms: Vec::new(),
        lr_drops: Vec::new(),
        path: Default::default(),
        info: head.info,
    };
    for which in WHICH {
        let mut points = Vec::new();
        for piece in 0..=u16::MAX {
            let Some(more): Option<Vec<(u64, f32)>> = get(parts, Key::Curve(index, which, piece))?
            else {
                break;
            };
            points.extend(more.into_iter().map(|(step, mean)| {
                let mean = f64::from(mean);
                Point { step, mean, min: mean, max: mean }
            }));
        }
        *curve_mut(&mut view, which) = Curve::of(points);
    }
    for number in 0..=u16::MAX {
        let Some(row) = get(parts, Key::Row(index, number))? else { break };
        view.flow.rows.push(flow_row(row));
    }
    Ok(view)
}

/// A part by its key, if it is there.
fn get<T: DeserializeOwned>(parts: &Parts, key: Key) -> Result<Option<T>, PartError> {
    let read = |bytes: &Vec<u8>| {
        postcard::from_bytes(bytes).map_err(|e| PartError { key, text: e.to_string() })
    };
    parts.get(&key).map(read).transpose()
}

fn curve(arm: &ArmView, which: Which) -> &Curve {
    match which {
        Which::Loss => &arm.curves.loss,
        Which::Acc => &arm.curves.acc,
        Which::TestLoss => &arm.curves.test_loss,
        Which::TestErr => &arm.curves.test_err,
        Which::Angle => &arm.curves.angle,
    }
}

fn curve_mut(arm: &mut ArmView, which: Which) -> &mut Curve {
    match which {
        Which::Loss => &mut arm.curves.loss,
        Which::Acc => &mut arm.curves.acc,
        Which::TestLoss => &mut arm.curves.test_loss,
        Which::TestErr => &mut arm.curves.test_err,
        Which::Angle => &mut arm.curves.angle,
    }
}

/// Adds a part. Plain data always has bytes; a part that had none would be missing, not wrong.
fn put<T: Serialize>(parts: &mut Parts, key: Key, part: &T) {
    if let Ok(bytes) = postcard::to_allocvec(part) {
        parts.insert(key, bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::figures::DECADE;
    use super::*;
    use crate::telemetry::fixture;

    const SMALL: Size = Size { columns: 80, rows: 24 };

    #[test]
    fn a_snapshot_comes_back_as_a_screen_shows_it() {
        let run = fixture::run(2, 120);
        let back = put_together(&take_apart(&run, Size { columns: 400, rows: 100 })).unwrap();
        assert_eq!((back.step, &back.phase, &back.run.name), (120, &run.phase, &run.run.name));
        assert_eq!((&back.marks, &back.alerts), (&run.marks, &run.alerts));
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-6 * b.abs();
        for (id, arm) in run.arms.iter() {
            let other = &back.arms[id];
            assert_eq!(
                (&other.info, other.verdict, &other.state),
                (&arm.info, arm.verdict, &arm.state)
            );
            assert_eq!(other.curves.loss.points().len(), 120);
            let last = |a: &ArmView| a.curves.loss.last().map(|p| (p.step, p.mean)).unwrap();
            assert!(last(other).0 == last(arm).0 && close(last(other).1, last(arm).1));
            let (now, step) = (arm.latest.as_ref().unwrap(), other.latest.as_ref().unwrap());
            assert!(
                close(step.loss, now.loss) && close(step.step_share.decay, now.step_share.decay)
            );
            assert_eq!((step.lr, step.batch, &step.arm), (now.lr, now.batch, &now.arm));
            assert!(step.angle.plane_deg.is_nan(), "a figure that does not exist stays so");
            assert_eq!(other.blocks.len(), arm.blocks.len());
            assert_eq!(other.flow.rows.len(), 120);
            let norm = |a: &ArmView| a.flow.rows[7].norms[3];
            assert!((norm(other) / norm(arm)).log10().abs() < 1.0 / DECADE);
            let (map, drawn) =
                (run.maps.arms[id].as_ref().unwrap(), back.maps.arms[id].as_ref().unwrap());
            assert!(map.loss.iter().zip(&drawn.loss).all(|(a, b)| close(*b, *a)));
            assert_eq!(drawn.isolines.len(), map.isolines.len(), "they are traced again");
        }
    }

    #[test]
    fn a_small_screen_is_sent_less_and_a_step_next_to_nothing() {
        let size = |parts: &Parts| parts.values().map(Vec::len).sum::<usize>();
        let run = fixture::run(2, 200);
        let (small, large) =
            (take_apart(&run, SMALL), take_apart(&run, Size { columns: 400, rows: 100 }));
        assert!(size(&small) < size(&large), "{} {}", size(&small), size(&large));
        let before = take_apart(&fixture::run(2, 199), SMALL);
        let told = changes(&before, &small);
        let bytes: usize = told.iter().filter_map(|(_, b)| b.as_ref()).map(Vec::len).sum();
        assert!(bytes * 5 < size(&small), "{bytes} of {}", size(&small));
    }

    #[test]
    fn parts_that_cannot_be_are_refused() {
        let mut parts = take_apart(&fixture::run(2, 20), SMALL);
        parts.insert(Key::Now(1), vec![0xff]);
        let said = put_together(&parts).unwrap_err().to_string();
        assert!(said.starts_with("Now(1): "), "{said}");
        let mut parts = take_apart(&fixture::run(2, 20), SMALL);
        let mut map: Map = get(&parts, Key::Map(0)).unwrap().unwrap();
        map.xs.pop();
        parts.insert(Key::Map(0), postcard::to_allocvec(&map).unwrap());
        assert!(put_together(&parts).unwrap_err().to_string().contains("its points are no grid"));
        let crowd = take_apart(&fixture::run(9, 20), SMALL);
        assert!(
            put_together(&crowd).unwrap_err().to_string().contains("more arms than a run holds")
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whoever applies the changes has what was sent, from any moment to any other.
        #[test]
        fn changes_lead_from_any_snapshot_to_any_other(
            moments in prop::collection::vec((0usize..9, 0u64..300, 20u16..300), 1..6)
        ) {
            let mut has = Parts::new();
            for (arms, steps, columns) in moments {
                let new = take_apart(&fixture::run(arms, steps), Size { columns, rows: 24 });
                let told = changes(&has, &new);
                apply(&mut has, told);
                prop_assert_eq!(&has, &new);
                prop_assert!(changes(&has, &new).is_empty());
            }
        }

        /// Thinning keeps what was sent before while a curve grows within a power of two.
        #[test]
        fn a_growing_curve_keeps_its_past(count in 1usize..600, most in 8usize..200) {
            let point = |i: usize| { let v = (i as f64).sin(); Point { step: i as u64, mean: v, min: v, max: v } };
            let points: Vec<Point> = (1..=count).map(point).collect();
            let all = thinned(&points, most);
            prop_assert!(all.len() <= most);
            prop_assert_eq!(all.last().unwrap().0, count as u64);
            if count > 1 && thinned(&points[..count - 1], most).len() + 1 >= all.len() {
                let before = thinned(&points[..count - 1], most);
                let same = before.len().min(all.len()).saturating_sub(1);
                if all.len() >= before.len() {
                    prop_assert_eq!(&before[..same], &all[..same]);
                }
            }
        }
    }
}
