//! Runs that outlive their terminal: the engine, its viewers, and what goes wrong between them.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use common::pty::{PATIENCE, Runs};
use landscope::record::Recorder;
use landscope::record::metrics::{JsonLines, LineFile};
use landscope::record::thinned::Thinned;
use landscope::telemetry::event::{Event, RunDone};

const LONG: [&str; 4] = ["--steps", "1000000", "--set", "map.every=0"];

/// Waits until the one live run has made more steps than now.
fn goes_on(runs: &Runs) {
    let before = runs.step();
    let begun = Instant::now();
    while runs.step() <= before + 5 {
        assert!(begun.elapsed() < PATIENCE, "it stands still at step {before}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_closed_terminal_a_killed_viewer_and_a_hang_up_leave_the_run_alone() {
    let runs = Runs::new();
    let s = runs.run(80, 24, &LONG, &[]);
    s.wait_for("test err");
    // The terminal goes away: the kernel hangs up on the viewer.
    drop(s);
    goes_on(&runs);
    let killed = runs.attach(80, 24, &[]);
    killed.wait_for("training");
    killed.signal("-KILL");
    goes_on(&runs);
    let hung_up = runs.attach(80, 24, &[]);
    hung_up.wait_for("training");
    hung_up.signal("-HUP");
    let (status, raw) = hung_up.end();
    assert_eq!(status, 0);
    assert!(raw.contains("detached; the run goes on: landscope attach demo-"), "{raw}");
    goes_on(&runs);
    // A new viewer sees the whole history: the axis starts at step 1, the first evaluation is there.
    let mut s = runs.attach(160, 48, &[]);
    s.wait_for("over the run: stem on top");
    s.wait_for("step 1 to ");
    s.press("qd");
    assert_eq!(s.end().0, 0);
    let name = runs.live()[0]["name"].as_str().unwrap().to_owned();
    let stopped = runs.ask(&["stop", &name[..6]]);
    let said = String::from_utf8(stopped.stdout).unwrap();
    assert!(stopped.status.success() && said.starts_with("stopped at step "), "{said}");
    assert!(runs.live().is_empty());
    let kept = fs::read_to_string(runs.folder().join("metrics.jsonl")).unwrap();
    assert!(kept.contains("\"event\":\"done\"") && kept.contains("\"status\":\"stopped\""));
    assert!(runs.folder().join("latest/skip.safetensors").is_file());
}

#[test]
fn several_viewers_one_stopped_one_that_only_looks() {
    let runs = Runs::new();
    let mut first = runs.run(80, 24, &LONG, &[]);
    first.wait_for("test err");
    let mut looks = runs.attach(160, 48, &["--readonly"]);
    let sleeps = runs.attach(80, 24, &[]);
    looks.wait_for("training");
    sleeps.wait_for("training");
    assert_eq!(runs.live()[0]["run"]["viewers"], 3);
    sleeps.signal("-STOP");
    goes_on(&runs);
    looks.press("w");
    looks.wait_for("this viewer is read-only");
    first.press("w");
    looks.wait_for("wd off");
    first.wait_for("wd off");
    looks.press("q");
    looks.wait_until("no way to stop it", |seen| {
        seen.contains("detach") && !seen.contains("stop it")
    });
    looks.press("s");
    looks.wait_until("no question", |seen| !seen.contains("detach:"));
    goes_on(&runs);
    first.press("q\u{18}");
    assert_eq!(first.end().0, 0);
    // Who still looks sees the end and stays on it; who slept is not waited for.
    looks.wait_for("stopped");
    looks.press("qq");
    assert_eq!(looks.end().0, 0);
    sleeps.signal("-KILL");
}

#[test]
fn a_dead_engine_is_told_cleared_and_taken_up_again() {
    let runs = Runs::new();
    let s = runs.run(160, 48, &[&LONG[..], &["--set", "checkpoint.every=5"]].concat(), &[]);
    s.wait_for("saved at");
    let engine = runs.engine();
    assert!(std::process::Command::new("kill").args(["-9", &engine]).status().unwrap().success());
    let (status, raw) = s.end();
    assert_eq!(status, 1);
    assert!(raw.contains("goes on") && raw.contains("--resume"), "{raw}");
    let socket = runs.folder().join("engine.sock");
    assert!(socket.exists(), "it was killed too suddenly to clear up");
    assert!(runs.live().is_empty());
    assert!(!socket.exists(), "a dead engine's socket stays");
    let folder = runs.folder().display().to_string();
    let said = runs.ask(&["stop", &folder]);
    assert_eq!(said.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&said.stderr).contains("is not alive"));
    // What it was is still there to be seen.
    let mut over = runs.attach(160, 48, &[&folder]);
    over.wait_for("the run was cut off; landscope --resume goes on");
    over.wait_for("step 1 to ");
    over.press("w");
    over.wait_for("the run is over: nothing to change");
    over.press("qq");
    assert_eq!(over.end().0, 0);
    let mut s = runs.run_again(&["--resume", &folder]);
    s.wait_for("taken up at step-");
    s.wait_for("training");
    goes_on(&runs);
    // A second engine on the folder is refused.
    let (status, raw) = runs.run_again(&["--resume", &folder]).end();
    assert_eq!(status, 2);
    assert!(raw.contains("another landscope trains in it"), "{raw}");
    s.press("q\u{18}");
    assert_eq!(s.end().0, 0);
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut all = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    all.extend_from_slice(bytes);
    all
}

fn answer(socket: &mut UnixStream) -> Option<serde_json::Value> {
    let mut length = [0; 4];
    socket.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
    socket.read_exact(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[test]
fn the_socket_is_private_and_bears_what_is_none_of_its_own() {
    let runs = Runs::new();
    let s = runs.run(80, 24, &LONG, &[]);
    s.wait_for("test err");
    let path = runs.folder().join("engine.sock");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(runs.folder()).unwrap().permissions().mode() & 0o777, 0o700);
    let dial = || {
        let socket = UnixStream::connect(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    // A viewer of another time gets a clear line.
    let mut other = dial();
    let hello = br#"{"landscope":"9.0.0","protocol":99,"wants":{"view":{"size":{"columns":80,"rows":24},"readonly":false,"rate":null}}}"#;
    other.write_all(&frame(hello)).unwrap();
    let said = answer(&mut other).unwrap();
    let refused = said["refused"].as_str().unwrap();
    assert!(refused.contains("older landscope") && refused.contains("9.0.0"), "{refused}");
    // Noise, a frame without end, and a good hello with noise behind it: hung up on.
    for noise in [
        frame(b"GET / HTTP/1.1"),
        vec![0xff; 64],
        [frame(&hello.replace_once(b"99", b"1")), frame(&[0xee; 100])].concat(),
    ] {
        let mut socket = dial();
        let _ = socket.write_all(&noise);
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
    }
    // One that never says a word holds nobody up.
    let _silent = dial();
    goes_on(&runs);
    let (status, raw) = runs.attach(80, 24, &["--socket", "/nowhere/x.sock"]).end();
    assert_eq!(status, 2);
    assert!(raw.contains("/nowhere/x.sock: no engine answers"), "{raw}");
    // As through ssh -L: any path to the socket will do.
    let forwarded = runs.path().join("local.sock");
    std::os::unix::fs::symlink(&path, &forwarded).unwrap();
    let mut tunnelled = runs.attach(80, 24, &["--socket", forwarded.to_str().unwrap()]);
    tunnelled.wait_for("training");
    fs::remove_file(&forwarded).unwrap();
    tunnelled.press("qq");
    assert_eq!(tunnelled.end().0, 0);
}

trait ReplaceOnce {
    fn replace_once(&self, from: &[u8], to: &[u8]) -> Vec<u8>;
}

impl ReplaceOnce for [u8] {
    fn replace_once(&self, from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = self.windows(from.len()).position(|w| w == from).unwrap();
        [&self[..at], to, &self[at + from.len()..]].concat()
    }
}

#[test]
fn a_run_folder_deep_in_a_home_directory_can_be_attached() {
    let runs = Runs::new();
    let deep = runs.path().join("d".repeat(60)).join("e".repeat(60));
    let small = ["--set", "model.depth=8", "--set", "map.every=0", "--steps", "1000000"];
    let out = ["run", "--out", deep.to_str().unwrap()];
    let s = common::pty::Terminal::start(80, 24, runs.path(), &[&out[..], &small].concat(), &[]);
    s.wait_for("test err");
    let mut second = runs.attach(80, 24, &[]);
    second.wait_for("training");
    second.press("q\u{18}");
    assert_eq!(second.end().0, 0);
    s.wait_for("stopped");
}

#[test]
fn what_is_not_alive_is_told() {
    let runs = Runs::new();
    assert!(runs.live().is_empty());
    for (args, wanted) in [
        (&["attach"][..], "attach wants a terminal on stdout"),
        (&["stop", "nothing"], "run nothing: there is no live run"),
        (&["stop"], "required arguments"),
    ] {
        let said = runs.ask(args);
        assert_eq!(said.status.code(), Some(2), "{args:?}");
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(text.contains(wanted), "{args:?} said {text}");
    }
    for (args, wanted) in [
        (&[][..], "no live run; landscope run starts one"),
        (&["nothing"], "run nothing: there is no live run"),
    ] {
        let (status, raw) = runs.attach(80, 24, args).end();
        assert_eq!(status, 2, "{raw}");
        assert!(raw.contains(wanted), "{raw}");
    }
    let plain = runs.ask(&["ls"]);
    assert_eq!(String::from_utf8_lossy(&plain.stdout), "no live run\n");
}

fn step_of(event: &mut Event) -> Option<&mut u64> {
    match event {
        Event::Step(e) => Some(&mut e.step),
        Event::Blocks(e) => Some(&mut e.step),
        Event::Eval(e) => Some(&mut e.step),
        Event::Surface(e) => Some(&mut e.step),
        Event::Trajectory(e) => Some(&mut e.step),
        _ => None,
    }
}

/// The file of a run, made longer: its own events at step 20, told again with other numbers. Every step, an evaluation after
/// every pass of 22 steps, a map of each kind every 150.
fn make_a_million_steps_of(folder: &Path) -> u64 {
    const STEPS: u64 = 1_000_000;
    let path = folder.join("metrics.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let events: Vec<Event> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let Event::Run(mut first) = events[0].clone() else { panic!("a run begins with itself") };
    first.experiment["steps"] = STEPS.into();
    let record = landscope::config::load("demo", &[]).unwrap().record;
    let (rule, arms) = (first.steps_kept.clone(), first.arms.len());
    fs::remove_file(&path).unwrap();
    let lines = JsonLines::new(LineFile::create(&path).unwrap());
    let mut file = Thinned::new(lines, rule, record, (arms, 0));
    file.record(&Event::Run(first)).unwrap();
    let mut told: Vec<(u64, Event)> = events
        .iter()
        .filter_map(|event| {
            let every = match event {
                Event::Step(e) if e.step == 20 => 1,
                Event::Blocks(e) if e.step == 20 => 20,
                Event::Eval(_) => 22,
                Event::Surface(e) if e.step == 20 => 150,
                Event::Trajectory(_) => 150,
                _ => return None,
            };
            Some((every, event.clone()))
        })
        .collect();
    for step in 1..=STEPS {
        for (every, event) in &mut told {
            if step.is_multiple_of(*every) {
                *step_of(event).unwrap() = step;
                file.record(event).unwrap();
            }
        }
    }
    let Some(Event::Done(done)) = events.last() else { panic!("it ended") };
    file.record(&Event::Done(RunDone { step: STEPS, ..done.clone() })).unwrap();
    file.flush().unwrap();
    fs::metadata(&path).unwrap().len()
}

/// The default run's networks; what it takes to open is printed, not judged.
#[test]
fn an_ended_run_of_a_million_steps_is_small_and_opens() {
    let runs = Runs::new();
    let sets = ["steps=20", "map.every=20", "map.grid=5", "map.images=8"];
    let mut command = common::landscope(runs.path());
    let done = command.args(sets.iter().flat_map(|set| ["--set", set])).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let folder = runs.folder();
    let bytes = make_a_million_steps_of(&folder);
    assert!((40_000_000..120_000_000).contains(&bytes), "{bytes} bytes");
    let begun = Instant::now();
    let mut s = runs.attach(160, 48, &[folder.to_str().unwrap()]);
    s.wait_for("finished");
    println!("{} MB open after {:.2} s", bytes / 1_000_000, begun.elapsed().as_secs_f64());
    s.wait_for("step 1000000/1000000");
    s.press("q");
    s.wait_for("everything is on disk");
    s.press("\r");
    assert_eq!(s.end().0, 0);
}
