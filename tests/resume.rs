//! Runs that were cut off and taken up again, or made again: the same bits as those that were left alone.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use common::{landscope, run_folder};
use landscope::arm::ArmName;
use landscope::config::{Override, load};
use landscope::engine::{Engine, Options, Place};
use landscope::telemetry::command::{Change, Command, Setting};
use landscope::telemetry::event::RunStatus;

/// Steps of the runs: two epochs and a half.
const STEPS: u64 = 55;
/// A small network, a checkpoint every few steps, everything else as in the default run.
const SETS: [&str; 5] = [
    "model.depth=8",
    "map.every=0",
    "checkpoint.every=4",
    "checkpoint.keep=0",
    "data.augment=true",
];
/// Kills of the test below; the figure is had with LANDSCOPE_KILLS=20.
const KILLS: u64 = 3;

fn sets() -> Vec<String> {
    SETS.iter().flat_map(|s| ["--set".to_owned(), (*s).to_owned()]).collect()
}

/// Every file of the last checkpoint but what tells times.
fn last_checkpoint(run: &Path) -> BTreeMap<String, Vec<u8>> {
    checkpoint(run, STEPS)
}

fn checkpoint(run: &Path, step: u64) -> BTreeMap<String, Vec<u8>> {
    let folder = run.join(format!("step-{step:08}"));
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let named = files.map(|e| e.unwrap().path()).filter(|p| p.extension().unwrap() != "json");
    named
        .map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), fs::read(p).unwrap()))
        .collect()
}

fn left_alone(out: &Path, more: &[&str]) -> BTreeMap<String, Vec<u8>> {
    left_alone_for(STEPS, out, more)
}

fn left_alone_for(steps: u64, out: &Path, more: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let last = steps;
    let steps = steps.to_string();
    let done = landscope(out).args(["--steps", &steps]).args(sets()).args(more).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    checkpoint(&run_folder(out), last)
}

/// Events of a run's file by kind, as (arm, step).
fn events(run: &Path, kind: &str) -> Vec<(String, u64)> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let events = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    events
        .filter(|e| e["event"] == kind)
        .map(|e| (e["arm"].as_str().unwrap_or_default().to_owned(), e["step"].as_u64().unwrap()))
        .collect()
}

/// The angles of every step, as told, by arm and step.
fn angles(run: &Path) -> BTreeMap<(String, u64), String> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let events = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    let steps = events.filter(|e| e["event"] == "step");
    steps
        .map(|e| {
            let arm = e["arm"].as_str().unwrap_or_default().to_owned();
            ((arm, e["step"].as_u64().unwrap()), e["angle"].to_string())
        })
        .collect()
}

/// Waits for something; false if the time is up.
fn soon(mut found: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !found() {
        if begun.elapsed() > Duration::from_secs(60) {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

#[test]
fn a_run_killed_at_any_moment_ends_with_the_same_bits() {
    let kills = std::env::var("LANDSCOPE_KILLS").ok().and_then(|v| v.parse().ok()).unwrap_or(KILLS);
    let steps = 60 + 60 * kills;
    for optimizer in ["train.optimizer=sgd", "train.optimizer=adamw"] {
        let more = ["--set", optimizer];
        let calm = tempfile::tempdir().unwrap();
        let wanted = left_alone_for(steps, calm.path(), &more);
        assert_eq!(wanted.len(), 4, "weights and optimizer of two arms");
        let out = tempfile::tempdir().unwrap();
        let mut first = landscope(out.path());
        first.args(["--steps", &steps.to_string()]).args(sets()).args(more);
        let mut next = Some(first);
        let mut killed = 0;
        // Spread over the run, at moments that no rule knows: counted in milliseconds, not in steps.
        for kill in 1..=kills {
            let mut command = next.take().unwrap_or_else(|| {
                let mut command = landscope(out.path());
                command.arg("--resume").arg(run_folder(out.path()));
                command
            });
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let saved = || {
                let runs = fs::read_dir(out.path()).into_iter().flatten().flatten();
                runs.map(|e| e.path()).any(|p| p.join("latest").exists())
            };
            assert!(soon(saved), "no checkpoint");
            thread::sleep(Duration::from_millis(kill * 7919 % 601));
            if child.try_wait().unwrap().is_none() {
                killed += 1;
            }
            child.kill().unwrap();
            let done = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&done.stderr);
            assert!(said.is_empty() || said.contains("steps are made"), "{said}");
        }
        let run = run_folder(out.path());
        let done = landscope(out.path()).arg("--resume").arg(&run).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success() || said.contains("steps are made"), "{said}");
        assert!(killed > 0, "every kill came after the end");
        let found = checkpoint(&run, steps);
        assert!(found == wanted, "{optimizer}: the bits differ after {killed} kills");
        // Figures too, those in the plane of the path and those of the step with decay the other way among them.
        let (found, wanted) = (angles(&run), angles(&run_folder(calm.path())));
        let differs = wanted.iter().find(|(at, angle)| found.get(at) != Some(angle));
        let there = differs.and_then(|(at, _)| found.get(at));
        assert!(differs.is_none(), "{optimizer}: {differs:?} is {there:?} after {killed} kills");
        // The history has every step once, and every pass's evaluation.
        for arm in ["skip", "noskip"] {
            let of = |kind| {
                let own = events(&run, kind).into_iter().filter(|(a, _)| a == arm);
                own.map(|(_, step)| step).collect::<Vec<u64>>()
            };
            let made = of("step");
            let gap = made.iter().zip(1..).find(|(found, wanted)| **found != *wanted);
            assert_eq!((gap, made.len() as u64), (None, steps), "{arm}");
            let mut passes: Vec<u64> = (1..=steps / 22).map(|pass| pass * 22).collect();
            passes.push(steps);
            passes.dedup();
            assert_eq!(of("eval"), passes, "{arm}");
        }
        println!(
            "{optimizer}: {killed} kills of {kills} within {steps} steps, the bits are the same"
        );
    }
}

#[test]
fn a_longer_run_goes_on_and_a_finished_one_says_so() {
    let out = tempfile::tempdir().unwrap();
    let wanted = left_alone(out.path(), &[]);
    let short = tempfile::tempdir().unwrap();
    let done = landscope(short.path()).args(["--steps", "30"]).args(sets()).output().unwrap();
    assert!(done.status.success());
    let run = run_folder(short.path());
    let name = run.file_name().unwrap().to_str().unwrap().to_owned();
    let again = landscope(short.path()).args(["--resume", &name]).output().unwrap();
    assert_eq!(again.status.code(), Some(2));
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("all 30 steps are made; --steps with a larger number goes on"), "{said}");
    let refused =
        landscope(short.path()).args(["--resume", &name, "--steps", "7"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(fs::read_to_string(run.join("run.toml")).unwrap().contains("steps = 30"));
    let longer = landscope(short.path())
        .args(["--resume", &name, "--steps", &STEPS.to_string()])
        .output()
        .unwrap();
    assert!(longer.status.success(), "{}", String::from_utf8_lossy(&longer.stderr));
    assert!(last_checkpoint(&run) == wanted);
    assert!(fs::read_to_string(run.join("run.toml")).unwrap().contains("steps = 55"));
}

#[test]
fn a_broken_checkpoint_is_told_and_the_one_before_is_taken() {
    let out = tempfile::tempdir().unwrap();
    let wanted = left_alone(out.path(), &[]);
    let run = run_folder(out.path());
    for (file, damage) in [
        ("skip.safetensors", None),
        ("noskip.optim.safetensors", Some("")),
        ("state.json", Some("{\"step\": 55, \"arms\": 3}")),
    ] {
        let path = run.join(format!("step-{STEPS:08}")).join(file);
        match damage {
            None => {
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            }
            Some(text) => fs::write(&path, text).unwrap(),
        }
        let done = landscope(out.path())
            .arg("--resume")
            .arg(&run)
            .args(["--format", "json"])
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let told = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(told.contains("checkpoint-broken") && told.contains(file), "{told}");
        assert!(told.contains("taken up at step-00000052"), "{told}");
        assert!(last_checkpoint(&run) == wanted, "after damage to {file}");
        assert!(run.join(format!(".step-{STEPS:08}.broken")).is_dir(), "the damaged one is gone");
    }
}

/// Snapshots that a power cut has left half written hold up nobody: the path does without them.
#[test]
fn broken_snapshots_are_told_and_the_training_goes_on() {
    let out = tempfile::tempdir().unwrap();
    let wanted = left_alone(out.path(), &[]);
    let run = run_folder(out.path());
    // The newest of one arm, and the first of the other, from which all others differ.
    for file in ["skip/00000052.safetensors", "noskip/00000000.safetensors"] {
        fs::remove_dir_all(run.join(format!("step-{STEPS:08}"))).unwrap();
        let path = run.join("trajectory").join(file);
        fs::write(&path, &fs::read(&path).unwrap()[..40]).unwrap();
        let mut child = landscope(out.path())
            .arg("--resume")
            .arg(&run)
            .args(["--format", "json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let ended = soon(|| child.try_wait().unwrap().is_some());
        if !ended {
            child.kill().unwrap();
        }
        let done = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(ended && done.status.success(), "{file}: {told}");
        assert!(told.contains("snapshot-lost") && told.contains(file), "{told}");
        let begun_anew = told.contains("noskip: its path begins anew");
        assert_eq!(begun_anew, file.starts_with("noskip"), "{told}");
        assert!(last_checkpoint(&run) == wanted, "after damage to {file}");
    }
    // What was left of the path is not gone.
    let aside = fs::read_dir(run.join("trajectory/noskip.lost-1")).unwrap();
    assert!(aside.count() > 1, "the other snapshots of noskip");
}

#[test]
fn what_cannot_be_taken_up_is_told() {
    let out = tempfile::tempdir().unwrap();
    let said = |args: &[&str]| {
        let done = landscope(out.path()).args(args).output().unwrap();
        assert_eq!(done.status.code(), Some(2), "{args:?}");
        String::from_utf8_lossy(&done.stderr).into_owned()
    };
    assert!(said(&["--resume", "no-such-run"]).contains("run no-such-run: no folder of that name"));
    assert!(said(&["--replay", "no-such-run"]).contains("run no-such-run: no folder of that name"));
    for args in [&["--resume", "x", "--set", "train.lr=1"][..], &["demo", "--resume", "x"]] {
        assert!(said(args).contains("CONFIG and --set go with --resume auto alone"));
    }
    // Cut off before its first checkpoint: it begins again, to the same bits.
    let wanted = tempfile::tempdir().unwrap();
    let wanted = left_alone(wanted.path(), &[]);
    let early = tempfile::tempdir().unwrap();
    let mut child = landscope(early.path())
        .args(["--steps", &STEPS.to_string()])
        .args(sets())
        .args(["--set", "checkpoint.every=0"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = || {
        let runs = fs::read_dir(early.path()).into_iter().flatten().flatten();
        runs.map(|e| e.path()).any(|p| p.join("metrics.jsonl").exists())
    };
    assert!(soon(begun));
    thread::sleep(Duration::from_millis(100));
    child.kill().unwrap();
    child.wait().unwrap();
    let run = run_folder(early.path());
    let again = landscope(early.path()).arg("--resume").arg(&run).output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert!(last_checkpoint(&run) == wanted);
    let empty = out.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::write(empty.join("run.toml"), "steps = 5").unwrap();
    let told = said(&["--resume", "empty"]);
    assert!(told.contains("no checkpoint to go on from"), "{told}");
    let lock = fs::File::options().write(true).open(empty.join("engine.lock")).unwrap();
    lock.lock().unwrap();
    assert!(said(&["--resume", "empty"]).contains("another landscope trains in it"));
}

/// An arm that is forked with nothing changed goes on as its parent does, bit by bit; one with a change does not. The run
/// is taken up with its forks, and made again with them.
#[test]
fn forks_begin_where_their_parents_are() {
    let out = tempfile::tempdir().unwrap();
    let steps = format!("steps={STEPS}");
    let overrides: Vec<Override> =
        SETS.iter().chain([&steps.as_str()]).map(|s| Override::parse(s).unwrap()).collect();
    let options = Options::at(Place::Below(out.path().to_owned()));
    let (engine, client) =
        Engine::start(load("demo", &overrides).unwrap(), options, Instant::now()).unwrap();
    assert!(soon(|| client.snapshot().step >= 5));
    let noskip = Some(ArmName::new("noskip"));
    client.send(Command::Fork { arm: None, changes: Vec::new() }).unwrap();
    client.send(Command::Fork { arm: noskip, changes: vec![(Setting::WeightDecay, 0.0)] }).unwrap();
    let ending = engine.join().unwrap();
    assert_eq!(ending.status, RunStatus::Finished);
    let seen = client.snapshot();
    let names: Vec<_> = seen.arms.values().map(|a| a.info.name.to_string()).collect();
    assert_eq!(names, ["skip", "noskip", "skip-2", "noskip-2"]);
    let begun = events(&ending.folder, "control")[0].1;
    for (arm, from) in [("skip", 1), ("skip-2", begun), ("noskip-2", begun)] {
        let steps: Vec<u64> = events(&ending.folder, "step")
            .into_iter()
            .filter_map(|(a, step)| (a == arm).then_some(step))
            .collect();
        assert_eq!((steps[0], steps.len() as u64), (from, STEPS + 1 - from), "{arm}");
    }
    let wanted = last_checkpoint(&ending.folder);
    assert_eq!(wanted.len(), 8, "weights and optimizer of four arms");
    assert!(wanted["skip-2.safetensors"] == wanted["skip.safetensors"]);
    assert!(wanted["skip-2.optim.safetensors"] == wanted["skip.optim.safetensors"]);
    assert!(wanted["noskip-2.safetensors"] != wanted["noskip.safetensors"]);
    // Taken up with its forks, a few steps before the end.
    fs::remove_dir_all(ending.folder.join(format!("step-{STEPS:08}"))).unwrap();
    let program = |args: &[&str], out: &Path| {
        let done = landscope(out).args(args).env("LANDSCOPE_TUNE", "off").output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    program(&["--resume", ending.folder.to_str().unwrap()], out.path());
    assert!(last_checkpoint(&ending.folder) == wanted, "the bits differ after a resume");
    let again = tempfile::tempdir().unwrap();
    program(&["--replay", ending.folder.to_str().unwrap()], again.path());
    assert!(last_checkpoint(&run_folder(again.path())) == wanted, "the bits differ in a replay");
}

/// A run that somebody changed by hand, and the same made again from its folder.
#[test]
fn a_run_changed_by_hand_is_made_again_to_the_same_bits() {
    let out = tempfile::tempdir().unwrap();
    let steps = format!("steps={STEPS}");
    let overrides: Vec<Override> =
        SETS.iter().chain([&steps.as_str()]).map(|s| Override::parse(s).unwrap()).collect();
    let options = Options::at(Place::Below(out.path().to_owned()));
    let (engine, client) =
        Engine::start(load("demo", &overrides).unwrap(), options, Instant::now()).unwrap();
    let commands = [
        Command::Change { arm: None, change: Change::ScaleLr(1.0 / 3.0) },
        Command::TogglePause,
        Command::Change {
            arm: Some(ArmName::new("noskip")),
            change: Change::Set { setting: Setting::WeightDecay, value: 0.1234567890123 },
        },
        Command::TogglePause,
        Command::Change { arm: None, change: Change::ScaleBatch { up: false } },
        Command::Change { arm: Some(ArmName::new("skip")), change: Change::ToggleWeightDecay },
    ];
    for (index, command) in commands.into_iter().enumerate() {
        let paused = || {
            use landscope::telemetry::snapshot::Phase;
            client.snapshot().phase == Phase::Paused
        };
        let after = 5 * index as u64 + 3;
        assert!(soon(|| client.snapshot().step >= after || paused() || engine.has_ended()));
        client.send(command).unwrap();
    }
    let ending = engine.join().unwrap();
    assert_eq!(ending.status, RunStatus::Finished);
    let changed = events(&ending.folder, "control");
    assert_eq!(changed.len(), 6, "{changed:?}");
    let again = tempfile::tempdir().unwrap();
    // The engine in this process chose its kernels without `tune`: so must the program's, and the plain run's below.
    let done = landscope(again.path())
        .arg("--replay")
        .arg(&ending.folder)
        .env("LANDSCOPE_TUNE", "off")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let run: PathBuf = run_folder(again.path());
    assert!(last_checkpoint(&run) == last_checkpoint(&ending.folder));
    let repeated = events(&run, "control");
    assert_eq!(repeated.len(), 4, "a pause changes nothing and is not repeated");
    // Cut off before the last changes and taken up, it still makes them.
    let cut = changed[2].1 / 4 * 4;
    for step in (cut + 1)..=STEPS {
        let _ = fs::remove_dir_all(run.join(format!("step-{step:08}")));
    }
    if run.join(format!("step-{cut:08}")).is_dir() {
        let resumed = landscope(again.path())
            .arg("--resume")
            .arg(&run)
            .env("LANDSCOPE_TUNE", "off")
            .output()
            .unwrap();
        assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
        assert!(last_checkpoint(&run) == last_checkpoint(&ending.folder));
    } else {
        println!("the checkpoint before the last change is not kept: not cut off");
    }
    assert!(repeated.iter().all(|c| changed.contains(c)), "{repeated:?}, before {changed:?}");
    let plain = tempfile::tempdir().unwrap();
    assert!(left_alone(plain.path(), &[]) != last_checkpoint(&run), "the changes change something");
}
