//! One arm fails, the others go on, and nothing that was written is lost.

mod common;

use std::time::Instant;

use common::{SMALL, events, landscope, of_kind, run_folder};
use landscope::config::{Override, load};
use landscope::engine::{Engine, Options, Place};
use landscope::telemetry::event::RunStatus;
use landscope::telemetry::health::Verdict;
use landscope::telemetry::snapshot::{ArmState, Phase};
use landscope::train::worker::Fault;

#[test]
fn a_loss_that_is_no_number_ends_its_arm_alone() {
    let out = tempfile::tempdir().unwrap();
    let done = landscope(out.path())
        .args(["--steps", "30", "--format", "json", "--set", "arm.noskip.lr=1e30"])
        .args(["--set", "model.depth=8", "--set", "map.every=10", "--set", "map.grid=5"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let events = events(&done);
    let steps = |arm: &str| of_kind(&events, "step").iter().filter(|e| e["arm"] == arm).count();
    assert_eq!(steps("skip"), 30);
    assert!(steps("noskip") < 10);
    let alert =
        of_kind(&events, "alert").into_iter().find(|e| e["kind"] == "diverged").unwrap().clone();
    assert_eq!((&alert["arm"], &alert["level"]), (&"noskip".into(), &"error".into()));
    let last = events.last().unwrap();
    assert_eq!(last["status"], "finished");
    assert_eq!(last["arms"][1]["verdict"], "diverged");
    assert!(last["arms"][1]["loss"].is_null());
    // Only what is worth keeping is kept.
    let checkpoint = run_folder(out.path()).join("step-00000030");
    assert!(checkpoint.join("skip.safetensors").is_file());
    assert!(!checkpoint.join("noskip.safetensors").exists());
}

#[test]
fn a_run_whose_arms_all_fail_has_failed() {
    let out = tempfile::tempdir().unwrap();
    let done = landscope(out.path())
        .args(["--steps", "30", "--format", "json", "--set", "train.lr=1e30"])
        .args(SMALL)
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(events(&done).last().unwrap()["status"], "failed");
}

#[test]
fn a_panic_in_a_worker_is_told_and_the_other_arm_goes_on() {
    let out = tempfile::tempdir().unwrap();
    let sets = ["steps=20", "model.depth=8", "map.every=0"];
    let overrides: Vec<Override> = sets.iter().map(|s| Override::parse(s).unwrap()).collect();
    let experiment = load("demo", &overrides).unwrap();
    let place = Place::Below(out.path().to_owned());
    let options = Options { fault: Some((1, Fault::PanicAt(7))), ..Options::at(place) };
    let (engine, client) = Engine::start(experiment, options, Instant::now()).unwrap();
    let ending = engine.join().unwrap();
    assert_eq!(ending.status, RunStatus::Finished);
    let seen = client.snapshot();
    assert_eq!(seen.phase, Phase::Ended(RunStatus::Finished));
    let arms: Vec<_> = seen.arms.values().collect();
    assert_eq!(arms[0].state, ArmState::Finished);
    assert_eq!(arms[0].latest.as_ref().unwrap().step, 20);
    assert!(
        matches!(&arms[1].state, ArmState::Failed(why) if why.contains("acted out for a test at step 7"))
    );
    assert_eq!((arms[1].verdict, arms[1].latest.as_ref().unwrap().step), (Verdict::Failed, 6));
    assert!(
        seen.alerts
            .iter()
            .any(|a| a.kind == "worker-failed" && a.step == 6 && a.text.contains("noskip failed"))
    );
    let checkpoint = ending.folder.join("step-00000020");
    assert!(checkpoint.join("skip.safetensors").is_file());
    let kept = std::fs::read_to_string(ending.folder.join("metrics.jsonl")).unwrap();
    assert!(kept.lines().all(|l| serde_json::from_str::<serde_json::Value>(l).is_ok()));
    assert!(kept.contains("worker-failed"));
}

#[test]
fn a_surface_that_cannot_be_written_is_told_and_training_goes_on() {
    let out = tempfile::tempdir().unwrap();
    let sets = ["steps=30", "model.depth=8", "map.every=1000", "map.grid=5", "map.images=8"];
    let overrides: Vec<Override> = sets.iter().map(|s| Override::parse(s).unwrap()).collect();
    let experiment = load("demo", &overrides).unwrap();
    let options = Options::at(Place::Below(out.path().to_owned()));
    let (engine, client) = Engine::start(experiment, options, Instant::now()).unwrap();
    // A file in the place of the folder: permissions would not stop a test that runs as root.
    let folder = loop {
        let shown = client.snapshot().run.folder.clone();
        if !shown.is_empty() {
            break std::path::PathBuf::from(shown);
        }
        assert!(!engine.has_ended());
        std::thread::sleep(std::time::Duration::from_millis(1));
    };
    std::fs::remove_dir_all(folder.join("surfaces")).unwrap();
    std::fs::write(folder.join("surfaces"), "").unwrap();
    let ending = engine.join().unwrap();
    assert_eq!(ending.status, RunStatus::Finished);
    let seen = client.snapshot();
    let alert = seen.alerts.iter().find(|a| a.kind == "map-failed");
    assert!(alert.is_some_and(|a| a.text.contains("surfaces/")), "{:?}", seen.alerts);
    assert!(ending.folder.join("step-00000030/skip.safetensors").is_file());
}
