//! The program in a real pseudo-terminal.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use super::{program, state_of};

/// Longest wait for something to appear: a busy machine, not a broken program.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A terminal with the program in it.
pub struct Terminal {
    pub child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    screen: Arc<Mutex<vt100::Parser>>,
    pub raw: Arc<Mutex<Vec<u8>>>,
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

impl Terminal {
    /// Starts the program; its runs are entered below `out`.
    pub fn start(
        columns: u16,
        rows: u16,
        out: &Path,
        args: &[&str],
        vars: &[(&str, &str)],
    ) -> Self {
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let mut command = CommandBuilder::new(program());
        command.args(args);
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        command.env("LANDSCOPE_STATE", state_of(out));
        for name in ["NO_COLOR", "SSH_CONNECTION", "SSH_TTY"] {
            command.env_remove(name);
        }
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
        Self { child, master: pair.master, keys, screen, raw }
    }

    pub fn seen(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    pub fn wait_for(&self, what: &str) {
        self.wait_until(what, |seen| seen.contains(what));
    }

    pub fn wait_until(&self, what: &str, found: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        while !found(&self.seen()) {
            assert!(begun.elapsed() < PATIENCE, "waited for {what:?} and saw:\n{}", self.seen());
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        self.screen.lock().unwrap().screen_mut().set_size(rows, columns);
        self.master.resize(size(columns, rows)).unwrap();
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.process_id().unwrap().to_string();
        let sent = std::process::Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the program's end; its exit status and all it wrote. The terminal must be as it was.
    pub fn end(mut self) -> (u32, String) {
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
        if raw.contains("\u{1b}[?1049h") {
            assert!(raw.contains("\u{1b}[?1049l"), "the alternate screen was not left");
            assert!(
                raw.rfind("\u{1b}[?25h") > raw.rfind("\u{1b}[?25l"),
                "the cursor stayed hidden"
            );
        }
        (status.exit_code(), raw)
    }
}

/// A folder for runs; whatever still trains in it is stopped when the test is over, well or not.
pub struct Runs(pub tempfile::TempDir);

impl Runs {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// `run` with a small network, and more arguments.
    pub fn run(&self, columns: u16, rows: u16, args: &[&str], vars: &[(&str, &str)]) -> Terminal {
        let out = self.path().to_str().unwrap();
        let small = ["run", "--out", out, "--set", "model.depth=8", "--set", "map.grid=5"];
        let all = [&small[..], &["--set", "map.images=8"], args].concat();
        Terminal::start(columns, rows, self.path(), &all, vars)
    }

    /// `run` of a run that there is, with nothing set.
    pub fn run_again(&self, args: &[&str]) -> Terminal {
        Terminal::start(80, 24, self.path(), &[&["run"], args].concat(), &[])
    }

    pub fn attach(&self, columns: u16, rows: u16, args: &[&str]) -> Terminal {
        Terminal::start(columns, rows, self.path(), &[&["attach"], args].concat(), &[])
    }

    /// The one run.
    pub fn folder(&self) -> PathBuf {
        super::run_folder(self.path())
    }

    /// Another subcommand's output.
    pub fn ask(&self, args: &[&str]) -> std::process::Output {
        let state: OsString = state_of(self.path()).into();
        std::process::Command::new(program())
            .args(args)
            .env("LANDSCOPE_STATE", state)
            .output()
            .unwrap()
    }

    /// What `ls` tells, an object a run.
    pub fn live(&self) -> Vec<serde_json::Value> {
        let told = self.ask(&["ls", "--format", "json"]);
        assert!(told.status.success());
        let text = String::from_utf8(told.stdout).unwrap();
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// Steps made by the one live run.
    pub fn step(&self) -> u64 {
        self.live().first().and_then(|r| r["run"]["step"].as_u64()).unwrap_or(0)
    }

    /// Process id of the engine in the folder of the one run.
    pub fn engine(&self) -> String {
        let wanted = format!("engine\0{}\0", self.folder().display());
        let processes = std::fs::read_dir("/proc").unwrap().map(|e| e.unwrap().path());
        let is_it = |process: &PathBuf| {
            let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&wanted)
        };
        let found = processes.into_iter().find(is_it).expect("the engine's process");
        found.file_name().unwrap().to_string_lossy().into_owned()
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        for run in self.live() {
            if let Some(name) = run["name"].as_str() {
                self.ask(&["stop", name]);
            }
        }
    }
}
