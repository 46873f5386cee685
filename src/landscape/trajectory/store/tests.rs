use nalgebra::DMatrix;
use proptest::prelude::*;

use super::*;
use crate::landscape::fixture;

const ROOMY: u64 = 1 << 30;

/// A walk that bends: mostly along one direction, then along another, a little along a third.
fn moment(plan: &Plan, step: u64) -> Moment {
    let (t, n) = (step as f32 / 40.0, plan.scalars() as usize);
    let wave = |i: usize, k: f32| ((i as f32) * k).sin();
    let theta = (0..n).map(|i| {
        wave(i, 0.7)
            + t * wave(i, 0.31)
            + 0.3 * t * t * wave(i, 0.57)
            + 0.02 * (9.0 * t).sin() * wave(i, 0.83)
    });
    Moment {
        step,
        theta: theta.collect(),
        running: vec![1.0; 2 * plan.statistics() as usize],
        batches: step as i64,
        loss: 2.0 / (1.0 + f64::from(t)),
    }
}

fn store(
    dir: &std::path::Path,
    precision: SnapshotPrecision,
    keep: usize,
) -> (Store, std::sync::Arc<Plan>) {
    let plan = fixture::plan(4);
    let thinning = Thinning::new(2, keep);
    (Store::new(dir.join("skip"), &plan, thinning, precision), plan)
}

fn walk(store: &mut Store, plan: &Plan, steps: u64, room: &mut Room) {
    for step in (0..=steps).step_by(2) {
        if store.thinning.is_due(step) {
            store.insert(moment(plan, step), room).unwrap();
            store.lay_axes();
        }
    }
}

fn near(a: &[Point], b: &[Point], within: f64) -> bool {
    let close = |(p, q): (&Point, &Point)| {
        p.0 == q.0 && (p.1.0 - q.1.0).hypot(p.1.1 - q.1.1) < within && p.2 == q.2
    };
    a.len() == b.len() && a.iter().zip(b).all(close)
}

/// Against a dense SVD of the vectors themselves, in double precision.
#[test]
fn the_plane_is_that_of_the_weights() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, plan) = store(dir.path(), SnapshotPrecision::F32, 64);
    let mut room = Room { left: ROOMY };
    walk(&mut store, &plan, 40, &mut room);
    let axes = store.axes().unwrap();
    let (x, y) = (axes.axis(0), axes.axis(1));
    assert!((dot(x, x) - 1.0).abs() < 1e-5 && dot(x, y).abs() < 1e-5);
    assert!(axes.shares[0] > 0.9 && axes.shares.iter().sum::<f64>() < 1.0);
    let still = plan.params.iter().find(|p| p.shape.len() == 1).unwrap();
    assert_eq!(x[still.offset as usize], 0.0, "what has one dimension does not move");
    let last = moment(&plan, 40).theta;
    for (step, place, loss) in store.points() {
        let there = moment(&plan, step);
        let along = |axis: &[f32]| -> f64 {
            let offset = there.theta.iter().zip(&last).map(|(a, b)| f64::from(*a) - f64::from(*b));
            offset.zip(axis).map(|(o, a)| o * f64::from(*a)).sum()
        };
        assert!((along(x) - place.0).abs() < 2e-4 && (along(y) - place.1).abs() < 2e-4);
        assert_eq!(loss, there.loss);
    }
    // Centred by Helmert's rows: orthonormal, and orthogonal to (1, ..., 1).
    let rows: Vec<Vec<f32>> = store.steps().map(|step| moment(&plan, step).theta).collect();
    let mut flat = DMatrix::from_fn(rows.len(), rows[0].len(), |i, j| f64::from(rows[i][j]));
    for param in plan.params.iter().filter(|p| p.shape.len() == 1) {
        flat.columns_mut(param.offset as usize, param.len() as usize).fill(0.0);
    }
    let helmert = DMatrix::from_fn(rows.len() - 1, rows.len(), |k, j| {
        let k = (k + 1) as f64;
        let raw = if (j as f64) < k { 1.0 } else { -k * f64::from(u8::from(j as f64 == k)) };
        raw / (k * (k + 1.0)).sqrt()
    });
    let svd = (helmert * flat).svd(false, true);
    let squares: Vec<f64> = svd.singular_values.iter().map(|s| s * s).collect();
    let total: f64 = squares.iter().sum();
    for (i, axis) in [x, y].into_iter().enumerate() {
        assert!((axes.shares[i] - squares[i] / total).abs() < 1e-5, "{:?}", axes.shares);
        let vectors = svd.v_t.as_ref().unwrap();
        let along: f64 = vectors.row(i).iter().zip(axis).map(|(v, a)| v * f64::from(*a)).sum();
        assert!((along.abs() - 1.0).abs() < 1e-5, "axis {i}: {along}");
    }
}

#[test]
fn half_precision_and_the_disk_change_next_to_nothing() {
    let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (mut exact, plan) = store(dirs[0].path(), SnapshotPrecision::F32, 16);
    let (mut half, _) = store(dirs[1].path(), SnapshotPrecision::F16, 16);
    let (mut disk, _) = store(dirs[2].path(), SnapshotPrecision::F16, 16);
    let (mut roomy, mut none) = (Room { left: ROOMY }, Room { left: 0 });
    walk(&mut exact, &plan, 100, &mut roomy);
    walk(&mut half, &plan, 100, &mut roomy);
    walk(&mut disk, &plan, 100, &mut none);
    assert!(
        near(&exact.points(), &half.points(), 0.02),
        "{:?} {:?}",
        exact.points(),
        half.points()
    );
    assert!(near(&half.points(), &disk.points(), 1e-9), "the same numbers");
    // The first has no difference to hold.
    assert_eq!((half.held(), disk.held()), (half.rows.len(), 1));
    // What is let go of is given back.
    let kept = half
        .rows
        .iter()
        .filter_map(|r| r.held.as_ref())
        .chain(exact.rows.iter().filter_map(|r| r.held.as_ref()));
    assert_eq!(ROOMY - roomy.left, kept.map(Values::bytes).sum::<u64>());
    assert_eq!(file::steps(&dirs[2].path().join("skip")), disk.steps().collect::<Vec<_>>());
}

#[test]
fn a_run_taken_up_has_the_plane_that_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let (mut before, plan) = store(dir.path(), SnapshotPrecision::F16, 16);
    let mut room = Room { left: ROOMY };
    walk(&mut before, &plan, 20, &mut room);
    let wanted = before.points();
    before.insert(moment(&plan, 24), &mut room).unwrap();
    let (mut after, _) = store(dir.path(), SnapshotPrecision::F16, 16);
    after.forget_after(21);
    assert!(after.restore(21, &mut Room { left: ROOMY }).is_empty());
    assert_eq!(after.steps().last(), Some(20), "what came later is gone");
    assert!(!file::path(&dir.path().join("skip"), 24).exists());
    after.lay_axes();
    let turned: Vec<Point> = after.points();
    // Up to the direction of the axes, which a viewer had seen grow.
    for ((_, a, _), (_, b, _)) in wanted.iter().zip(&turned) {
        assert!((a.0.abs() - b.0.abs()).abs() < 1e-9 && (a.1.abs() - b.1.abs()).abs() < 1e-9);
    }
    std::fs::write(file::path(&dir.path().join("skip"), 10), b"broken").unwrap();
    let (mut third, _) = store(dir.path(), SnapshotPrecision::F16, 16);
    let told = third.restore(21, &mut Room { left: ROOMY });
    assert_eq!((told.len(), third.rows.len()), (1, after.rows.len() - 1));
}

/// As of a fork that was lost with its checkpoint, whose name another has now.
#[test]
fn a_path_begins_at_its_own_first_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let (mut lost, plan) = store(dir.path(), SnapshotPrecision::F16, 16);
    let mut room = Room { left: ROOMY };
    walk(&mut lost, &plan, 8, &mut room);
    let (mut own, _) = store(dir.path(), SnapshotPrecision::F16, 16);
    for step in [10, 12, 14, 16] {
        own.insert(moment(&plan, step), &mut room).unwrap();
    }
    let (mut again, _) = store(dir.path(), SnapshotPrecision::F16, 16);
    let mut room = Room { left: ROOMY };
    assert!(again.restore(16, &mut room).is_empty());
    assert_eq!(again.steps().collect::<Vec<_>>(), [10, 12, 14, 16]);
    assert_eq!((&again.first, &again.gram), (&own.first, &own.gram));
    let held = again.rows.iter().filter_map(|r| r.held.as_ref());
    assert_eq!(ROOMY - room.left, held.map(Values::bytes).sum::<u64>(), "and no memory is lost");
    again.forget_all();
    assert!(again.on_disk().is_empty());
}

#[test]
fn what_is_lost_from_the_disk_is_told_and_the_path_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, plan) = store(dir.path(), SnapshotPrecision::F16, 16);
    let mut none = Room { left: 0 };
    walk(&mut store, &plan, 12, &mut none);
    for step in [4, 6] {
        std::fs::remove_file(file::path(&dir.path().join("skip"), step)).unwrap();
    }
    let told = store.insert(moment(&plan, 14), &mut none).unwrap_err();
    assert!(matches!(told, StoreError::Lost(2)), "{told}");
    assert_eq!(store.steps().collect::<Vec<_>>(), [0, 2, 8, 10, 12, 14]);
    assert_eq!(store.gram.len(), 36);
    assert_eq!(store.lay_axes().map(|a| a.step), Some(14));
    assert!(store.insert(moment(&plan, 16), &mut none).is_ok());
}

#[test]
fn frozen_axes_keep_their_points_where_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, plan) = store(dir.path(), SnapshotPrecision::F16, 64);
    let mut room = Room { left: ROOMY };
    walk(&mut store, &plan, 20, &mut room);
    store.freeze();
    let before = store.points();
    for step in [22, 24] {
        store.insert(moment(&plan, step), &mut room).unwrap();
        store.lay_axes();
    }
    let after = store.points();
    assert!(near(&before, &after[..before.len()], 1e-12));
    assert_eq!(store.told_axes().unwrap().step, 20);
    let gone = (after[11].1.0 - after[10].1.0).hypot(after[11].1.1 - after[10].1.1);
    assert!(gone > 0.1, "the path goes on: {after:?}");
    let (x, _) = after[10].1;
    assert!(x.abs() < 1e-9, "the origin");
}

#[test]
fn what_cannot_be_kept_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, plan) = store(dir.path(), SnapshotPrecision::F16, 16);
    let mut room = Room { left: ROOMY };
    let mut broken = moment(&plan, 0);
    broken.theta[3] = f32::NAN;
    assert!(matches!(store.insert(broken, &mut room), Err(StoreError::NotFinite(0))));
    assert!(store.lay_axes().is_none() && store.points().is_empty());
    // A file where the folder should be: nothing can be written, memory has it.
    std::fs::write(dir.path().join("skip"), b"").unwrap();
    for step in [0, 2, 4] {
        let told = store.insert(moment(&plan, step), &mut room).unwrap_err().to_string();
        assert!(told.starts_with("a snapshot was not written: ") && !told.contains('\n'), "{told}");
    }
    assert!(store.lay_axes().is_some());
    assert!(store.insert(moment(&plan, 6), &mut Room { left: 0 }).is_err());
    assert_eq!(store.rows.len(), 3, "neither on disk nor in memory");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// From snapshot to snapshot no axis flips, and the bounds hold.
    #[test]
    fn the_picture_does_not_flip(keep in 8usize..20, steps in 10u64..90, every in 1u64..4) {
        let dir = tempfile::tempdir().unwrap();
        let plan = fixture::plan(4);
        let mut store =
            Store::new(dir.path().join("skip"), &plan, Thinning::new(every, keep), SnapshotPrecision::F16);
        let mut room = Room { left: ROOMY };
        let mut before: Option<Axes> = None;
        for step in (0..=steps).filter(|s| Thinning::new(every, keep).is_due(*s)) {
            store.insert(moment(&plan, step), &mut room).unwrap();
            prop_assert!(store.rows.len() <= keep);
            if let Some(axes) = store.lay_axes().cloned() {
                if let Some(before) = &before {
                    for i in 0..2 {
                        prop_assert!(dot(axes.axis(i), before.axis(i)) >= 0.0);
                    }
                }
                before = Some(axes);
            }
        }
    }
}

/// How long a snapshot of the default network takes: `cargo test --lib how_long_a_snapshot -- --ignored --nocapture`.
#[test]
#[ignore = "for the eye"]
fn how_long_a_snapshot_takes() {
    use std::time::Instant;
    let spec = crate::config::ModelSpec {
        family: crate::config::Family::Resnet,
        depth: 56,
        width: 8,
        widen: 1,
        init: crate::config::Init::KaimingNormal,
    };
    let plan = Plan::resnet(&spec, true, 1, 10);
    let dir = tempfile::tempdir().unwrap();
    let mut store =
        Store::new(dir.path().into(), &plan, Thinning::new(1, 64), SnapshotPrecision::F16);
    let mut room = Room { left: ROOMY };
    let (mut inserts, mut lays, mut eigens) = (Vec::new(), Vec::new(), Vec::new());
    for step in 0..60 {
        let moment = moment(&plan, step);
        let begun = Instant::now();
        store.insert(moment, &mut room).unwrap();
        inserts.push(begun.elapsed().as_secs_f64() * 1e3);
        let begun = Instant::now();
        let _ = pca::components(&store.gram, store.rows.len(), 2);
        eigens.push(begun.elapsed().as_secs_f64() * 1e3);
        let begun = Instant::now();
        store.lay_axes();
        lays.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    for (name, times) in [("insert", inserts), ("eigen", eigens), ("lay", lays)] {
        println!("{name}: {:.2} ms at 30, {:.2} ms at 59", times[30], times[59]);
    }
}
