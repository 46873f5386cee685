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
fn memory_that_the_device_does_not_have_ends_its_arm_alone() {
    let out = tempfile::tempdir().unwrap();
    let sets = ["steps=20", "model.depth=8", "map.every=0"];
    let overrides: Vec<Override> = sets.iter().map(|s| Override::parse(s).unwrap()).collect();
    let place = Place::Below(out.path().to_owned());
    let options = Options { fault: Some((0, Fault::OutOfMemoryAt(5))), ..Options::at(place) };
    let (engine, client) =
        Engine::start(load("demo", &overrides).unwrap(), options, Instant::now()).unwrap();
    assert_eq!(engine.join().unwrap().status, RunStatus::Finished);
    let seen = client.snapshot();
    let alert = seen.alerts.iter().find(|a| a.kind == "worker-failed").unwrap();
    assert!(alert.text.starts_with("skip failed: torch: ") && alert.step == 4, "{alert:?}");
    assert!(alert.text.contains("memory") && !alert.text.contains('\n'), "{alert:?}");
    assert_eq!(seen.arms.values().nth(1).unwrap().state, ArmState::Finished);
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

/// A file system of a few megabytes; none with the reason printed.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=6M", "landscope-test"])
            .arg(place.path())
            .output();
        match mount {
            Ok(done) if done.status.success() => Some(Self(place)),
            other => {
                common::skipped(&format!("full disk: no tmpfs can be mounted here: {other:?}"));
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Waits for something that the run tells.
fn until(what: &str, mut found: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !found() {
        assert!(begun.elapsed().as_secs() < 120, "waited for {what}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_full_disk_costs_no_whole_checkpoint_and_no_event_once_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let sets = ["steps=1000000", "model.depth=8", "map.every=0", "checkpoint.every=10"];
    let sets = sets.iter().chain(&["checkpoint.keep=2", "record.layers_every=1000"]);
    let overrides: Vec<Override> = sets.map(|s| Override::parse(s).unwrap()).collect();
    let options = Options::at(Place::Below(disk.0.path().to_owned()));
    let (engine, client) =
        Engine::start(load("demo", &overrides).unwrap(), options, Instant::now()).unwrap();
    until("a checkpoint", || client.snapshot().checkpoint.is_some());
    let folder = std::path::PathBuf::from(&client.snapshot().run.folder);
    // Fill what is left.
    let filler = disk.0.path().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &[7; 4096]).is_ok() {}
    let alert = |kind: &str| {
        let alerts = client.snapshot().alerts.clone();
        alerts.iter().rev().find(|a| a.kind == kind).map(|a| a.text.clone())
    };
    until("the fault", || alert("checkpoint-failed").is_some());
    let said = alert("checkpoint-failed").unwrap();
    assert!(said.contains("No space left on device"), "{said}");
    assert!(said.contains(".partial/") && said.contains("bytes are free there"), "{said}");
    until("events that cannot be written", || alert("recording-failed").is_some());
    let at = client.snapshot().step;
    until("training that goes on", || client.snapshot().step > at + 30);
    // The last whole checkpoint is there, and is what a resume would take.
    let latest = std::fs::canonicalize(folder.join("latest")).unwrap();
    for file in ["state.json", "skip.safetensors", "noskip.optim.safetensors"] {
        assert!(std::fs::metadata(latest.join(file)).unwrap().len() > 0, "{file}");
    }
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    until("events that are written again", || alert("recording-again").is_some());
    let saved = || client.snapshot().checkpoint.as_ref().map_or(0, |c| c.0);
    let before = saved();
    until("a checkpoint again", || saved() > before);
    client.send(landscope::telemetry::command::Command::Stop).unwrap();
    assert_eq!(engine.join().unwrap().status, RunStatus::Stopped);
    let kept = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let steps: Vec<u64> = kept
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap())
        .filter(|e| e["event"] == "step" && e["arm"] == "skip")
        .map(|e| e["step"].as_u64().unwrap())
        .collect();
    assert!(steps.iter().zip(1..).all(|(found, wanted)| *found == wanted), "a step is missing");
}

/// Makes a folder that even root cannot write into, or lets it be again; whether that could be done.
fn freeze(folder: &std::path::Path, how: &str) -> bool {
    let done = std::process::Command::new("chattr").arg(how).arg(folder).output();
    done.is_ok_and(|d| d.status.success())
}

#[test]
fn a_folder_that_turns_read_only_is_told_and_used_again_once_it_is_not() {
    let out = tempfile::tempdir().unwrap();
    let sets = ["steps=1000000", "model.depth=8", "map.every=0", "checkpoint.every=10"];
    let overrides: Vec<Override> = sets.iter().map(|s| Override::parse(s).unwrap()).collect();
    let options = Options::at(Place::Below(out.path().to_owned()));
    let (engine, client) =
        Engine::start(load("demo", &overrides).unwrap(), options, Instant::now()).unwrap();
    until("a checkpoint", || client.snapshot().checkpoint.is_some());
    let folder = std::path::PathBuf::from(&client.snapshot().run.folder);
    let saved = || client.snapshot().checkpoint.as_ref().map_or(0, |c| c.0);
    if freeze(&folder, "+i") {
        let failed = || {
            let alerts = client.snapshot().alerts.clone();
            alerts.iter().rev().find(|a| a.kind == "checkpoint-failed").map(|a| a.text.clone())
        };
        until("the fault", || failed().is_some());
        let said = failed().unwrap();
        assert!(said.contains("not permitted") && said.contains(".partial"), "{said}");
        let at = client.snapshot().step;
        until("training that goes on", || client.snapshot().step > at + 20);
        assert!(folder.join("latest/skip.safetensors").is_file());
        assert!(freeze(&folder, "-i"));
        let before = saved();
        until("a checkpoint again", || saved() > before);
    } else {
        common::skipped(&format!("read-only folder: no chattr +i on {}", folder.display()));
    }
    client.send(landscope::telemetry::command::Command::Stop).unwrap();
    engine.join().unwrap();
}

#[test]
fn a_file_size_limit_and_a_removed_folder_are_told_and_training_goes_on() {
    let out = tempfile::tempdir().unwrap();
    // 20 KiB: no weights fit into a file.
    let done = std::process::Command::new("bash")
        .args(["-c", "ulimit -f 20; exec \"$0\" \"$@\"", common::program()])
        .args(["run", "--headless", "--format", "json", "--steps", "40", "--out"])
        .arg(out.path())
        .args(["--set", "model.depth=8", "--set", "map.every=0", "--set", "checkpoint.every=10"])
        .env("LANDSCOPE_STATE", common::state_of(out.path()))
        .output()
        .unwrap();
    assert!(done.status.success(), "{:?} {}", done.status, String::from_utf8_lossy(&done.stderr));
    let told = events(&done);
    let failed = of_kind(&told, "alert").into_iter().filter(|e| e["kind"] == "checkpoint-failed");
    let texts: Vec<_> = failed.map(|e| e["text"].as_str().unwrap().to_owned()).collect();
    assert!(texts.len() >= 2 && texts[0].contains("File too large"), "{texts:?}");
    assert_eq!(told.last().unwrap()["status"], "finished");

    let out = tempfile::tempdir().unwrap();
    let sets = ["steps=1000000", "model.depth=8", "map.every=0", "checkpoint.every=10"];
    let overrides: Vec<Override> = sets.iter().map(|s| Override::parse(s).unwrap()).collect();
    let options = Options::at(Place::Below(out.path().to_owned()));
    let (engine, client) =
        Engine::start(load("demo", &overrides).unwrap(), options, Instant::now()).unwrap();
    until("a checkpoint", || client.snapshot().checkpoint.is_some());
    std::fs::remove_dir_all(client.snapshot().run.folder.clone()).unwrap();
    for kind in ["checkpoint-failed", "recording-failed"] {
        until(kind, || client.snapshot().alerts.iter().any(|a| a.kind == kind));
    }
    let at = client.snapshot().step;
    until("training that goes on", || client.snapshot().step > at + 20);
    client.send(landscope::telemetry::command::Command::Stop).unwrap();
    engine.join().unwrap();
}
