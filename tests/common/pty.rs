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

/// What a terminal answers when it is asked where its cursor stands.
#[derive(Clone, Copy, Debug)]
pub enum Answers {
    /// That of one that shows UTF-8.
    Utf8,
    /// That of one that shows each byte as a character.
    Latin1,
    /// That of one that shows UTF-8, at the end of a slow line.
    Late(Duration),
    /// That of one that shows UTF-8, behind keys that come just before it.
    Behind(&'static str),
    /// None.
    Nothing,
}

/// Asks where the cursor stands.
const WHERE: &[u8] = b"\x1b[6n";

type Keys = Arc<Mutex<Box<dyn Write + Send>>>;

/// A terminal with the program in it.
pub struct Terminal {
    pub child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: Keys,
    screen: Arc<Mutex<vt100::Parser>>,
    pub raw: Arc<Mutex<Vec<u8>>>,
}

fn type_in(keys: &Keys, text: &str) {
    let mut keys = keys.lock().unwrap();
    keys.write_all(text.as_bytes()).unwrap();
    keys.flush().unwrap();
}

/// Answers where the cursor stands, counted from 0.
fn tell_place(answers: Answers, (row, column): (u16, u16), keys: Keys) {
    let place = |column: u16| format!("\x1b[{};{}R", row + 1, column + 1);
    match answers {
        Answers::Utf8 => type_in(&keys, &place(column)),
        // Three bytes, a column each.
        Answers::Latin1 => type_in(&keys, &place(column + 2)),
        Answers::Behind(typed) => type_in(&keys, &(typed.to_owned() + &place(column))),
        Answers::Late(by) => {
            let answer = place(column);
            thread::spawn(move || {
                thread::sleep(by);
                type_in(&keys, &answer);
            });
        }
        Answers::Nothing => {}
    }
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
        Self::answering(Answers::Utf8, (columns, rows), out, args, vars)
    }

    /// As [`Terminal::start`], in a terminal that answers so; a variable without a value is none.
    pub fn answering(
        answers: Answers,
        (columns, rows): (u16, u16),
        out: &Path,
        args: &[&str],
        vars: &[(&str, &str)],
    ) -> Self {
        let mut command = CommandBuilder::new(program());
        command.args(args);
        Self::holding(command, answers, (columns, rows), out, vars)
    }

    /// As [`Terminal::answering`], with a line of a shell in place of the program.
    pub fn shell(
        answers: Answers,
        size: (u16, u16),
        out: &Path,
        line: &str,
        vars: &[(&str, &str)],
    ) -> Self {
        let mut command = CommandBuilder::new("sh");
        command.args(["-c", line]);
        Self::holding(command, answers, size, out, vars)
    }

    fn holding(
        mut command: CommandBuilder,
        answers: Answers,
        (columns, rows): (u16, u16),
        out: &Path,
        vars: &[(&str, &str)],
    ) -> Self {
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        command.env("LANDSCOPE_STATE", state_of(out));
        for name in ["NO_COLOR", "COLORTERM", "TMUX", "SSH_CONNECTION", "SSH_TTY"] {
            command.env_remove(name);
        }
        for (name, value) in vars {
            match value.is_empty() {
                true => command.env_remove(name),
                false => command.env(name, value),
            }
        }
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let raw = Arc::new(Mutex::new(Vec::new()));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keys: Keys = Arc::new(Mutex::new(pair.master.take_writer().unwrap()));
        let (parser, kept, answer) = (Arc::clone(&screen), Arc::clone(&raw), Arc::clone(&keys));
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count) = reader.read(&mut buffer) {
                if count == 0 {
                    break;
                }
                let shown = |bytes: &[u8]| parser.lock().unwrap().process(bytes);
                let mut rest = &buffer[..count];
                while let Some(at) = rest.windows(WHERE.len()).position(|w| w == WHERE) {
                    let (before, behind) = rest.split_at(at + WHERE.len());
                    shown(before);
                    rest = behind;
                    let place = parser.lock().unwrap().screen().cursor_position();
                    tell_place(answers, place, Arc::clone(&answer));
                }
                shown(rest);
                kept.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
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
        type_in(&self.keys, keys);
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
        self.run_answering(Answers::Utf8, (columns, rows), args, vars)
    }

    /// As [`Runs::run`], in a terminal that answers so.
    pub fn run_answering(
        &self,
        answers: Answers,
        size: (u16, u16),
        args: &[&str],
        vars: &[(&str, &str)],
    ) -> Terminal {
        let out = self.path().to_str().unwrap();
        let small = ["run", "--out", out, "--set", "model.depth=8", "--set", "map.grid=5"];
        let all = [&small[..], &["--set", "map.images=8"], args].concat();
        Terminal::answering(answers, size, self.path(), &all, vars)
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
