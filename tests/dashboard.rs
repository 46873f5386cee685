//! The dashboard in a real pseudo-terminal: started, every key pressed, resized, quit.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// Longest wait for something to appear: a busy machine, not a broken program.
const PATIENCE: Duration = Duration::from_secs(120);

struct Session {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    screen: Arc<Mutex<vt100::Parser>>,
    raw: Arc<Mutex<Vec<u8>>>,
    out: tempfile::TempDir,
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

impl Session {
    fn start(columns: u16, rows: u16, args: &[&str], vars: &[(&str, &str)]) -> Self {
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let out = tempfile::tempdir().unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_landscope"));
        command.args(["run", "--out"]);
        command.arg(out.path());
        command.args(["--set", "model.depth=8", "--set", "map.grid=5", "--set", "map.images=8"]);
        command.args(args);
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        command.env_remove("NO_COLOR");
        for (name, value) in vars {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let raw = Arc::new(Mutex::new(Vec::new()));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (parser, kept) = (Arc::clone(&screen), Arc::clone(&raw));
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count) = reader.read(&mut buffer) {
                if count == 0 {
                    break;
                }
                parser.lock().unwrap().process(&buffer[..count]);
                kept.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Self { child, master: pair.master, keys, screen, raw, out }
    }

    fn seen(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    fn wait_for(&self, what: &str) {
        self.wait_until(what, |seen| seen.contains(what));
    }

    fn wait_until(&self, what: &str, found: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        while !found(&self.seen()) {
            assert!(begun.elapsed() < PATIENCE, "waited for {what:?} and saw:\n{}", self.seen());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn resize(&self, columns: u16, rows: u16) {
        self.screen.lock().unwrap().screen_mut().set_size(rows, columns);
        self.master.resize(size(columns, rows)).unwrap();
    }

    /// Waits for the program's end; its exit status. The terminal must be as it was.
    fn end(mut self) -> (u32, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end:\n{}", self.seen());
            thread::sleep(Duration::from_millis(20));
        };
        // The reader takes what is left.
        thread::sleep(Duration::from_millis(200));
        let raw = String::from_utf8_lossy(&self.raw.lock().unwrap()).into_owned();
        assert!(raw.contains("\u{1b}[?1049l"), "the alternate screen was not left");
        assert!(raw.rfind("\u{1b}[?25h") > raw.rfind("\u{1b}[?25l"), "the cursor stayed hidden");
        (status.exit_code(), raw)
    }
}

#[test]
fn every_key_does_what_the_help_says() {
    let mut s = Session::start(160, 48, &["--steps", "1000000", "--set", "map.every=0"], &[]);
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
    s.press(" ");
    s.wait_for("paused");
    s.press(" ");
    s.wait_for("training");
    s.press("?");
    s.wait_for("weight decay off, or back on");
    s.press("?");
    s.wait_until("no help", |seen| !seen.contains("weight decay off, or back on"));
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
    s.wait_for("quit?");
    s.press("y");
    let (status, raw) = s.end();
    assert_eq!(status, 0);
    assert!(raw.contains("stopped: "), "the run folder is not told");
}

#[test]
fn any_size_is_drawn_while_it_runs() {
    let mut s = Session::start(80, 24, &["--steps", "1000000"], &[]);
    s.wait_for("test err");
    s.resize(20, 5);
    s.wait_for("needs 60x18");
    s.resize(1, 1);
    s.resize(200, 60);
    s.wait_for("over the run: stem on top");
    s.resize(60, 18);
    s.wait_for("gradient flow");
    s.press("qy");
    assert_eq!(s.end().0, 0);
}

#[test]
fn a_finished_run_stays_on_the_screen() {
    let mut s = Session::start(80, 24, &["--steps", "5"], &[]);
    s.wait_for("finished");
    s.wait_for("step 5/5");
    let log =
        std::fs::read_dir(s.out.path()).unwrap().next().unwrap().unwrap().path().join("engine.log");
    let told = std::fs::read_to_string(log).unwrap();
    assert!(told.contains("first frame after"));
    // Printed, not judged: how long a user waits for the picture.
    println!("{told}");
    s.press("w");
    s.wait_for("the run is over: nothing to change");
    s.press("q");
    s.wait_for("everything is on disk");
    s.press("\r");
    let (status, raw) = s.end();
    assert_eq!(status, 0);
    assert!(raw.contains("finished: "));
}

#[test]
fn without_colour_and_without_utf8() {
    let vars = [("NO_COLOR", "1"), ("LC_ALL", "C")];
    let mut s = Session::start(100, 30, &["--steps", "1000000"], &vars);
    s.wait_for("test err");
    assert!(s.seen().is_ascii(), "{}", s.seen());
    s.press("qy");
    let (_, raw) = s.end();
    for colour in ["\u{1b}[38;", "\u{1b}[48;"] {
        assert!(!raw.contains(colour), "a colour in spite of NO_COLOR");
    }
}

#[test]
fn a_signal_gives_the_terminal_back_and_writes_a_checkpoint() {
    let s = Session::start(80, 24, &["--steps", "1000000"], &[]);
    s.wait_for("test err");
    let pid = s.child.process_id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let out = s.out.path().to_owned();
    let kept = || {
        let run = std::fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();
        std::fs::read_to_string(run.join("metrics.jsonl")).unwrap()
    };
    let begun = Instant::now();
    while !kept().contains("\"event\":\"done\"") {
        assert!(begun.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(20));
    }
    assert!(kept().contains("\"event\":\"checkpoint\""));
    let (status, _) = s.end();
    assert_eq!(status, 0);
}

#[test]
fn what_cannot_be_run_is_told_without_touching_the_screen() {
    let s =
        Session::start(80, 24, &["--set", "data.kind=cifar10", "--set", "data.dir=/nowhere"], &[]);
    s.wait_for("landscope: /nowhere/");
    let mut child = s.child;
    assert_eq!(child.wait().unwrap().exit_code(), 2);
    assert!(!String::from_utf8_lossy(&s.raw.lock().unwrap()).contains("\u{1b}[?1049h"));
}
