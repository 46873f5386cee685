//! Signals, as people, terminals and schedulers send them: a checkpoint, a good end, and the same command goes on.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::pty::{PATIENCE, Runs};
use common::{SMALL, landscope, run_folder};
use landscope::link::dial;
use landscope::link::parts::Size;
use landscope::link::socket;
use landscope::link::wire::Wants;
use landscope::telemetry::command::Command as Ask;
use landscope::telemetry::snapshot::Phase;
use serde_json::Value;

/// More steps than any test waits for.
const LONG: [&str; 2] = ["--steps", "1000000"];

fn begun(out: &Path, more: &[&str]) -> Child {
    let mut command = landscope(out);
    command.args(SMALL).args(LONG).args(more);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn send(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    assert!(sent.unwrap().success(), "{signal}");
}

/// Waits for something in the one run folder.
fn wait_for(out: &Path, what: &str, found: impl Fn(&Path) -> bool) -> PathBuf {
    let begun = Instant::now();
    loop {
        let entries = fs::read_dir(out).into_iter().flatten().flatten().map(|e| e.path());
        if let Some(run) = entries.filter(|p| !p.ends_with(".state")).find(|p| found(p)) {
            return run;
        }
        assert!(begun.elapsed() < PATIENCE, "no {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn has_stepped(run: &Path) -> bool {
    let events = fs::read_to_string(run.join("metrics.jsonl"));
    events.is_ok_and(|text| text.contains("\"event\":\"step\""))
}

/// Waits for a gentle end; the step of the checkpoint that the run ended with.
fn stopped(child: Child, out: &Path, what: &str) -> u64 {
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(0), "{what}: {said}");
    let run = run_folder(out);
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["status"]), (&"done".into(), &"stopped".into()), "{what}");
    let step = last["step"].as_u64().unwrap();
    // Of a run that has made no step there is nothing to keep but that it has begun.
    let latest = fs::read_link(run.join("latest")).ok();
    let wanted = (step > 0).then(|| PathBuf::from(format!("step-{step:08}")));
    assert_eq!(latest, wanted, "{what}");
    step
}

#[test]
fn every_signal_that_asks_ends_a_run_well_and_more_of_them_change_nothing() {
    for signals in
        [&["INT"][..], &["TERM"], &["HUP"], &["USR1"], &["USR2"], &["USR1", "TERM", "USR2", "HUP"]]
    {
        let out = tempfile::tempdir().unwrap();
        let child = begun(out.path(), &[]);
        wait_for(out.path(), "step", has_stepped);
        signals.iter().for_each(|signal| send(&child, signal));
        assert!(stopped(child, out.path(), &format!("{signals:?}")) > 0);
    }
}

#[test]
fn a_signal_before_the_first_step_or_during_a_checkpoint_loses_nothing() {
    let out = tempfile::tempdir().unwrap();
    let child = begun(out.path(), &["--set", "checkpoint.every=1", "--resume", "auto"]);
    wait_for(out.path(), "folder", |run| run.join("engine.lock").exists());
    send(&child, "USR1");
    let mut before = stopped(child, out.path(), "before the first step");
    let is_partial = |name: &str| name.starts_with(".step-") && name.ends_with(".partial");
    for round in 1..=3 {
        let child = begun(out.path(), &["--set", "checkpoint.every=1", "--resume", "auto"]);
        wait_for(out.path(), "checkpoint on its way", |run| {
            let names = fs::read_dir(run).unwrap().flatten().map(|e| e.file_name());
            names.into_iter().any(|n| is_partial(&n.to_string_lossy()))
        });
        send(&child, "USR1");
        send(&child, "TERM");
        let step = stopped(child, out.path(), &format!("during a checkpoint, {round}"));
        assert!(step > before, "{round}: it stands still at {before}");
        before = step;
    }
    let left: Vec<_> = fs::read_dir(run_folder(out.path())).unwrap().flatten().collect();
    assert!(!left.iter().any(|e| is_partial(&e.file_name().to_string_lossy())), "{left:?}");
}

#[test]
fn a_signal_ends_a_run_that_is_paused() {
    let out = tempfile::tempdir().unwrap();
    let child = begun(out.path(), &[]);
    let run = wait_for(out.path(), "step", has_stepped);
    let wants = Wants::View { size: Size { columns: 80, rows: 24 }, readonly: false, rate: None };
    let (client, _) = dial::attach(&run.join(socket::NAME), wants).unwrap();
    client.send(Ask::TogglePause).unwrap();
    let begun = Instant::now();
    while !matches!(client.snapshot().phase, Phase::Paused) {
        assert!(begun.elapsed() < PATIENCE, "it does not pause");
        thread::sleep(Duration::from_millis(5));
    }
    send(&child, "USR2");
    stopped(child, out.path(), "while paused");
}

#[test]
fn the_same_command_goes_on_with_its_own_run_or_begins_one() {
    let out = tempfile::tempdir().unwrap();
    let auto = |more: &[&str]| {
        let done = landscope(out.path()).args(SMALL).args(["--resume", "auto"]).args(more).output();
        let done = done.unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{said}");
        said
    };
    let runs = || {
        let all = fs::read_dir(out.path()).unwrap().flatten().map(|e| e.path());
        all.filter(|p| !p.ends_with(".state")).count()
    };
    let child = begun(out.path(), &["--resume", "auto"]);
    let first = wait_for(out.path(), "step", has_stepped);
    // One that somebody trains in is not taken; of a run with another rate this is not a part.
    let said = auto(&["--steps", "2"]);
    assert!(
        said.contains("another landscope trains in it") && said.contains("beginning one"),
        "{said}"
    );
    send(&child, "USR1");
    child.wait_with_output().unwrap();
    let said = auto(&["--steps", "2", "--set", "train.lr=0.03"]);
    assert!(said.contains("is left alone: arm.noskip.lr is 0.1 there and 0.03 here"), "{said}");
    assert_eq!(runs(), 3);
    let done = fs::read_link(first.join("latest")).unwrap();
    let step: u64 = done.to_string_lossy().trim_start_matches("step-").parse().unwrap();
    let steps = (step + 3).to_string();
    let said = auto(&["--steps", &steps]);
    assert!(said.contains(&format!("going on with {}", first.display())), "{said}");
    let text = fs::read_to_string(first.join("metrics.jsonl")).unwrap();
    assert!(text.lines().last().unwrap().contains("\"status\":\"finished\""));
    assert_eq!(runs(), 3);
    // It has made all its steps: the next one begins.
    assert!(auto(&["--steps", "2"]).contains("beginning one"));
    assert_eq!(runs(), 4);
    let refused = landscope(out.path()).args(["--resume", "demo", "--set", "seed=2"]).output();
    let refused = refused.unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("with --resume auto alone"));
}

#[test]
fn a_viewer_gives_its_terminal_back() {
    let runs = Runs::new();
    let s = runs.run(80, 24, &["--steps", "1000000", "--set", "map.every=0"], &[]);
    s.wait_for("test err");
    for signal in ["-USR1", "-USR2", "-INT"] {
        let viewer = runs.attach(80, 24, &[]);
        viewer.wait_for("training");
        viewer.signal(signal);
        let (status, raw) = viewer.end();
        assert_eq!(status, 0, "{signal}");
        assert!(raw.contains("detached; the run goes on"), "{signal}: {raw}");
    }
    // The engine itself has no terminal; it ends as a headless run does.
    let engine = runs.engine();
    assert!(Command::new("kill").args(["-USR1", &engine]).status().unwrap().success());
    s.wait_for("stopped");
    let kept = fs::read_to_string(runs.folder().join("metrics.jsonl")).unwrap();
    assert!(kept.contains("\"status\":\"stopped\""));
}
