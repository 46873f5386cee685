//! From snapshot to parts and back, between any two moments, and of bytes that no engine sends.

use proptest::prelude::*;

use super::*;
use crate::link::curves::thinned;
use crate::link::figures::DECADE;
use crate::telemetry::fixture;
use crate::telemetry::history::Point;

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
        assert!(close(step.loss, now.loss) && close(step.step_share.decay, now.step_share.decay));
        assert_eq!((step.lr, step.batch, &step.arm), (now.lr, now.batch, &now.arm));
        assert_eq!(other.blocks.len(), arm.blocks.len());
        assert_eq!(other.flow.rows.len(), 120);
        let norm = |a: &ArmView| a.flow.rows[7].norms[3];
        assert!((norm(other) / norm(arm)).log10().abs() < 1.0 / DECADE);
        let (map, drawn) =
            (run.maps.arms[id].as_ref().unwrap(), back.maps.arms[id].as_ref().unwrap());
        assert!(map.loss.iter().zip(&drawn.loss).all(|(a, b)| close(*b, *a)));
        assert_eq!(drawn.isolines.len(), map.isolines.len(), "they are traced again");
        let (map, drawn) =
            (run.path_maps.arms[id].as_ref().unwrap(), back.path_maps.arms[id].as_ref().unwrap());
        assert_eq!((drawn.step, drawn.isolines.len()), (map.step, map.isolines.len()));
        assert_eq!(
            (&other.histograms, &other.lr_drops, &other.optimizer),
            (&arm.histograms, &arm.lr_drops, &arm.optimizer)
        );
        assert_eq!(other.path.points.len(), arm.path.points.len());
        for which in Which::ALL {
            let last = |a: &ArmView| which.of_mut(&mut a.curves.clone()).last().copied().unwrap();
            assert_eq!(last(other).step, last(arm).step, "{which:?}");
            assert!((last(other).mean - last(arm).mean).abs() < 0.01, "{which:?}");
        }
    }
}

#[test]
fn a_small_screen_is_sent_less_and_a_step_next_to_nothing() {
    let size = |parts: &Parts| parts.values().map(Vec::len).sum::<usize>();
    // With step 200 a new map comes.
    let run = fixture::run(2, 199);
    let (small, large) =
        (take_apart(&run, SMALL), take_apart(&run, Size { columns: 400, rows: 100 }));
    assert!(size(&small) < size(&large), "{} {}", size(&small), size(&large));
    let before = take_apart(&fixture::run(2, 198), SMALL);
    let told = changes(&before, &small);
    let bytes: usize = told.iter().filter_map(|(_, b)| b.as_ref()).map(Vec::len).sum();
    assert!(bytes * 5 < size(&small), "{bytes} of {}", size(&small));
}

#[test]
fn a_figure_that_does_not_exist_stays_so() {
    let run = fixture::run(2, 10);
    let back = put_together(&take_apart(&run, SMALL)).unwrap();
    let arm = back.arms.values().next().unwrap();
    assert!(arm.latest.as_ref().unwrap().angle.plane_deg.is_nan());
    assert!(arm.curves.plane_angle.points().is_empty() && arm.path.gap.median.is_nan());
    assert!(arm.path.points.iter().all(|p| p.drawn.is_nan() && p.angle_deg.is_nan()));
}

#[test]
fn more_than_an_engine_tells_is_refused() {
    let run = fixture::run(2, 120);
    let refused = |key: Key, bytes: Vec<u8>| {
        let mut parts = take_apart(&run, SMALL);
        parts.insert(key, bytes);
        put_together(&parts).unwrap_err().to_string()
    };
    let told = |count: usize| postcard::to_allocvec(&vec![(1u64, 2.0f64); count]).unwrap();
    assert!(refused(Key::Drops(0), told(65)).contains("more drops"));
    let wide = AngleHistogram { full: vec![1; 10], ..AngleHistogram::default() };
    let wide = postcard::to_allocvec(&wide).unwrap();
    assert!(refused(Key::Histogram(0, 2), wide).contains("more histograms or bins"));
    let long = postcard::to_allocvec(&vec![(1u64, 5i16); 5]).unwrap();
    assert!(
        refused(Key::Curve(1, Which::AngleMedian, 0), long).starts_with("Curve(1, AngleMedian, 0)")
    );
    let long = postcard::to_allocvec(&vec![(1u64, 1i16, 1i16, 1i16, 1i8); 17]).unwrap();
    assert!(refused(Key::Stretch(0, 1), long).contains("more points or axes"));
    let mut parts = take_apart(&run, SMALL);
    let one = parts[&Key::Stretch(0, 0)].clone();
    (0..u16::MAX).for_each(|n| drop(parts.insert(Key::Stretch(0, n), one.clone())));
    assert!(put_together(&parts).unwrap_err().to_string().contains("more points or axes"));
    let mut map: Map = get(&take_apart(&run, SMALL), Key::PathMap(1)).unwrap().unwrap();
    map.loss.pop();
    let bytes = postcard::to_allocvec(&map).unwrap();
    assert!(refused(Key::PathMap(1), bytes).contains("PathMap(1): its points are no grid"));
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
    assert!(put_together(&crowd).unwrap_err().to_string().contains("more arms than a run holds"));
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

    /// Whatever bytes a part has: it is refused or shown, at once and without a panic.
    #[test]
    fn any_bytes_are_read_or_refused(
        which in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
    ) {
        let mut parts = take_apart(&fixture::run(2, 120), SMALL);
        let keys: Vec<Key> = parts.keys().copied().collect();
        let key = keys[which.index(keys.len())];
        // Half of it whole, so that what is read first is right.
        let mut changed = parts[&key].clone();
        changed.truncate(at.index(changed.len().max(1)));
        changed.extend(bytes);
        parts.insert(key, changed);
        let _ = put_together(&parts);
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
