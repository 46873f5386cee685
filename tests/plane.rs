//! The angle in the plane of the path, told step by step, against the angle read off a map of that plane: two ways to one
//! figure, through everything between the optimizer and a surface file.

mod common;

use common::{landscope, program, run_folder, state_of};
use landscope::geometry::crossing::stretch_angles;
use landscope::geometry::levels::quantiles;
use landscope::landscape::file::SurfaceFile;
use serde_json::Value;

/// What the two may differ by, in the middle of all steps: the map is bilinear between 51 x 51 points, refined, in single precision,
/// and shows the one-dimensional parameters as they are at the end.
const WITHIN_DEG: f64 = 5.0;
/// Share of the motion that the plane must hold.
const HELD: f64 = 0.9;
const STEPS: u64 = 30;

/// A run in which step and map see the same function: the whole training set in every batch, and in every point of the
/// map, whose batch norms take its statistics as the training does.
const SAME: [&str; 9] = [
    "data.limit=128",
    "train.batch=128",
    "model.depth=8",
    "model.width=4",
    "map.every=0",
    "trajectory.every=1",
    "record.layers_every=1000",
    "train.nesterov=false",
    "train.lr=0.02",
];

/// Maps, however many, lay planes of their own: the angles are told in those of the snapshots that are due all the same.
#[test]
fn angles_in_the_plane_hang_on_no_map() {
    let told = |every: &str| -> Vec<Value> {
        let out = tempfile::tempdir().unwrap();
        let sets = ["model.depth=8", "map.grid=5", "map.images=16", "trajectory.every=6", every];
        let done = landscope(out.path())
            .args(["--steps", "30", "--format", "json"])
            .args(sets.iter().flat_map(|s| ["--set", s]))
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let events = String::from_utf8(done.stdout).unwrap();
        let events = events.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
        events
            .filter(|e| e["event"] == "step" && e["arm"] == "skip")
            .map(|e| e["angle"].clone())
            .collect()
    };
    let (without, with) = (told("map.every=0"), told("map.every=1"));
    assert_eq!(without.len(), 30);
    let known = without.iter().filter(|a| a["plane_deg"].is_number()).count();
    // The plane of the first three snapshots, of steps 0, 6 and 12, is told in from the fourth on.
    assert_eq!(known, 12);
    assert_eq!(with, without);
}

#[test]
fn angles_told_in_the_plane_are_those_on_its_map() {
    let cases: [(&str, &[&str]); 3] = [
        ("gradient descent", &["train.momentum=0", "train.weight_decay=0"]),
        ("momentum", &["train.momentum=0.9", "train.weight_decay=0"]),
        ("strong decay", &["train.momentum=0", "train.weight_decay=0.05"]),
    ];
    for (name, more) in cases {
        let out = tempfile::tempdir().unwrap();
        let steps = STEPS.to_string();
        let sets = SAME.iter().chain(more).flat_map(|s| ["--set", s]);
        let done = landscope(out.path())
            .args(["--steps", &steps, "--format", "json"])
            .args(sets)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let file = out.path().join("plane.h5");
        let checkpoint = run_folder(out.path()).join("latest/skip.safetensors");
        let surface = std::process::Command::new(program())
            .env("LANDSCOPE_STATE", state_of(out.path()))
            .arg("surface")
            .arg(checkpoint)
            .args(["--plane=pca", "--y=auto", "--adaptive", "--bn=batch", "--images=128", "--out"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(surface.status.success(), "{}", String::from_utf8_lossy(&surface.stderr));
        let map = SurfaceFile::read(&file).unwrap();
        let path = map.trajectory.as_ref().unwrap();
        assert_eq!(path.steps, (0..=STEPS).collect::<Vec<_>>());
        let held: f64 = map.about.variance.iter().sum();
        assert!(held >= HELD, "{name}: the plane holds {held} of the motion");
        let places: Vec<(f64, f64)> =
            path.xs.iter().copied().zip(path.ys.iter().copied()).collect();
        let read = stretch_angles(map.surface.grid(), &places);
        let events = String::from_utf8(done.stdout).unwrap();
        let events = events.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
        let (mut gaps, mut told) = (Vec::new(), Vec::new());
        for step in events.filter(|e| e["event"] == "step" && e["arm"] == "skip") {
            // The stretch from point n - 1 to point n is step n.
            let from = step["step"].as_u64().unwrap() as usize - 1;
            if let Some(angle) = step["angle"]["plane_deg"].as_f64() {
                told.push(angle);
                gaps.push((angle - read[from]).abs());
            }
        }
        let [median, largest] = quantiles(&gaps, &[0.5, 1.0])[..] else { panic!("no angle") };
        let [low, high] = quantiles(&told, &[0.0, 1.0])[..] else { panic!("no angle") };
        println!(
            "{name}: {} steps at {low:.1} to {high:.1} degrees in a plane that holds {:.1} %: \
             read off the map within {median:.2} (median), {largest:.2} (largest)",
            gaps.len(),
            held * 100.0
        );
        assert!(median <= WITHIN_DEG, "{name}: {median} degrees apart");
    }
}
