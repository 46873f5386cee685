//! The dashboard in a real pseudo-terminal: started, every key pressed, resized, quit.

mod common;

use common::pty::{Answers, Runs, Terminal};

const LONG: [&str; 2] = ["--steps", "1000000"];

#[test]
fn every_key_does_what_the_help_says() {
    let runs = Runs::new();
    let mut s = runs.run(160, 48, &["--steps", "1000000", "--set", "map.every=0"], &[]);
    s.wait_for("training");
    s.wait_for("landscope demo");
    s.wait_until("a first step", |seen| seen.contains("test err") && seen.contains("wd 5e-4"));
    s.press("w");
    s.wait_for("wd off");
    s.press("w");
    s.wait_for("wd 5e-4");
    s.press("b");
    s.wait_for("batch 32");
    s.press("B");
    s.wait_for("batch 64");
    s.press("l");
    s.wait_for("lr 0.05");
    s.press("L");
    s.wait_for("lr 0.1");
    s.press("m");
    s.wait_for("loss surface 5x5, 8 images");
    s.press("c");
    s.wait_for("saved at");
    s.press("y");
    s.wait_until("a linear scale", |seen| !seen.contains("loss (log)"));
    s.press("y");
    s.wait_for("loss (log)");
    s.press("a");
    s.wait_for("in the plane");
    s.press("a");
    s.wait_for("full space");
    s.press("t\r");
    s.wait_until("the trajectory alone", |seen| {
        seen.contains("trajectory") && !seen.contains("loss (log)")
    });
    s.press("t");
    s.wait_for("loss surface 5x5");
    s.press("\u{1b}");
    s.wait_for("loss (log)");
    s.press("\t\t");
    s.press(" ");
    s.wait_for("paused");
    s.press(" ");
    s.wait_for("training");
    s.press("?");
    s.wait_for("weight decay off, or back on");
    s.press("?");
    s.wait_until("no help", |seen| !seen.contains("weight decay off, or back on"));
    s.press(":set noskip.lr 0.03\r");
    s.wait_for("lr 0.03");
    s.press(":set noskip.lr fast\r");
    s.wait_for("lr = fast: expected a number from 1e-9");
    s.press("\u{1b}");
    s.wait_until("no command line", |seen| !seen.contains("lr = fast"));
    s.press("fskip wei\t0.01\r");
    s.wait_for("skip-2");
    s.wait_for("wd 0.01");
    s.press("\t\r");
    s.wait_until("the flow alone", |seen| {
        seen.contains("by block:") && !seen.contains("loss (log)")
    });
    s.press("z");
    s.wait_for("loss (log)");
    s.press("\u{1b}[Z\r");
    s.wait_until("the curves alone", |seen| {
        seen.contains("loss (log)") && !seen.contains("gradient flow")
    });
    s.press("\u{1b}");
    s.wait_for("gradient flow");
    s.press("q");
    s.wait_for("quit?");
    s.press("n");
    s.wait_until("no question", |seen| !seen.contains("quit?"));
    s.press("\u{3}");
    s.wait_for("d or q  detach");
    s.press("\u{18}");
    let (status, raw) = s.end();
    assert_eq!(status, 0);
    assert!(raw.contains("stopped: "), "the run folder is not told");
}

/// Printed, not judged: how long a user waits for the picture, from the program's start.
#[test]
fn how_long_a_user_waits() {
    let runs = Runs::new();
    let begun = std::time::Instant::now();
    let out = runs.path().to_str().unwrap();
    let mut s = Terminal::start(80, 24, runs.path(), &["run", "--out", out], &[]);
    for what in ["landscope demo", "step 1", "map"] {
        // At 80x24 a map is there once the scale under it is.
        let shown = |seen: &str| match what {
            "step 1" => seen.contains(" step ") && !seen.contains(" step 0/"),
            "map" => seen.contains(" nats"),
            other => seen.contains(other),
        };
        s.wait_until(what, shown);
        println!("{what}: {:.2} s", begun.elapsed().as_secs_f64());
    }
    let again = std::time::Instant::now();
    let second = runs.attach(80, 24, &[]);
    second.wait_for(" nats");
    let bytes = second.raw.lock().unwrap().len();
    println!("attach: a full screen after {:.2} s, {bytes} bytes", again.elapsed().as_secs_f64());
    s.press("q\u{18}");
    assert_eq!(s.end().0, 0);
}

#[test]
fn any_size_is_drawn_while_it_runs() {
    let runs = Runs::new();
    let mut s = runs.run(80, 24, &LONG, &[]);
    s.wait_for("test err");
    s.resize(20, 5);
    s.wait_for("needs 60x18");
    s.resize(1, 1);
    s.resize(200, 60);
    s.wait_for("over the run: stem on top");
    s.resize(60, 18);
    s.wait_for("gradient flow");
    s.press("q\u{18}");
    assert_eq!(s.end().0, 0);
}

#[test]
fn a_finished_run_stays_on_the_screen() {
    let runs = Runs::new();
    let mut s = runs.run(80, 24, &["--steps", "5"], &[]);
    s.wait_for("finished");
    s.wait_for("step 5/5");
    s.press("w");
    s.wait_for("the run is over: nothing to change");
    s.press("q");
    s.wait_for("everything is on disk");
    s.press("\r");
    let (status, raw) = s.end();
    assert_eq!(status, 0);
    assert!(raw.contains("finished: "));
    assert!(runs.live().is_empty(), "the engine outlives its run");
}

#[test]
fn without_colour_and_without_utf8() {
    let runs = Runs::new();
    let vars = [("NO_COLOR", "1"), ("LC_ALL", "C")];
    let mut s = runs.run_answering(Answers::Nothing, (100, 30), &LONG, &vars);
    s.wait_for("test err");
    assert!(s.seen().is_ascii(), "{}", s.seen());
    s.press("q\u{18}");
    let (_, raw) = s.end();
    for colour in ["\u{1b}[38;", "\u{1b}[48;"] {
        assert!(!raw.contains(colour), "a colour in spite of NO_COLOR");
    }
}

#[test]
fn what_cannot_be_run_is_told_and_leaves_nothing() {
    let runs = Runs::new();
    let s = runs.run(80, 24, &["--set", "data.kind=cifar10", "--set", "data.dir=/nowhere"], &[]);
    let (status, raw) = s.end();
    assert_eq!(status, 2);
    let told = raw.rsplit("\u{1b}[?1049l").next().unwrap();
    assert!(told.contains("landscope: /nowhere/"), "{told}");
    let s = runs.run(80, 24, &["--set", "model.depth=9"], &[]);
    let (status, raw) = s.end();
    assert_eq!(status, 2);
    assert!(!raw.contains("\u{1b}[?1049h"), "a wrong config does not touch the screen");
    let left: Vec<_> = std::fs::read_dir(runs.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(left.iter().all(|p| p.ends_with(".state")), "{left:?}");
}

#[test]
fn a_paste_is_text_for_the_command_line_and_changes_nothing_elsewhere() {
    let runs = Runs::new();
    let mut s = runs.run(100, 30, &["--steps", "1000000", "--set", "map.every=0"], &[]);
    s.wait_for("test err");
    assert!(String::from_utf8_lossy(&s.raw.lock().unwrap()).contains("\u{1b}[?2004h"));
    let paste = |text: &str| format!("\u{1b}[200~{text}\u{1b}[201~");
    // The text that stopped a run, and worse; over the panels, over the help, over the question.
    for (opens, closes) in [("", ""), ("?", "?"), ("q", "n")] {
        s.press(opens);
        s.press(&paste("squash wl b qs \u{18}\n:stop\n"));
        s.wait_for("changes nothing");
        s.press(closes);
    }
    let metrics = || std::fs::read_to_string(runs.folder().join("metrics.jsonl")).unwrap();
    // In the command line it is text, and is sent by nobody but the one who types.
    s.press(":");
    s.press(&paste("set noskip.lr\t\n 0.0\u{1b}\u{7}3"));
    s.wait_for(":set noskip.lr 0.03");
    s.press("\r");
    s.wait_for("noskip: lr 0.1 to 0.03");
    s.press("l");
    s.wait_for("lr: skip 0.1 to 0.05");
    // What was done is taken back, newest first.
    s.press("u");
    s.wait_for("lr: skip 0.05 to 0.1");
    s.press("u");
    s.wait_for("noskip: lr 0.03 to 0.1");
    s.press("u");
    s.wait_for("no change by hand is left");
    // The letters of a stray word do not stop it.
    s.press("qs");
    s.wait_until("the question gone", |seen| !seen.contains("quit?"));
    s.press("q\u{18}");
    assert_eq!(s.end().0, 0);
    let told = metrics();
    let changes = told.lines().filter(|l| l.contains("\"event\":\"control\"")).count();
    assert_eq!(changes, 6, "{told}");
    assert!(told.contains("\"status\":\"stopped\""));
}
