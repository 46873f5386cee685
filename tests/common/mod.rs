//! What several test programs share.

#![allow(dead_code, reason = "each test program uses a part")]

pub mod pty;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Settings of a run that takes a second: the smallest network, no maps.
pub const SMALL: [&str; 4] = ["--set", "model.depth=8", "--set", "map.every=0"];

/// The program, headless, with its run folders below `out`.
pub fn landscope(out: &Path) -> Command {
    let mut command = Command::new(program());
    command.env("LANDSCOPE_STATE", state_of(out));
    command.args(["run", "--headless", "--out"]).arg(out);
    command
}

/// The program's file.
pub fn program() -> &'static str {
    env!("CARGO_BIN_EXE_landscope")
}

/// Where runs below `out` are entered as alive: not among the user's.
pub fn state_of(out: &Path) -> PathBuf {
    out.join(".state")
}

/// The events on stdout: every line must be one.
pub fn events(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
}

/// Events of one kind.
pub fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|e| e["event"] == kind).collect()
}

/// The one run folder below `out`.
pub fn run_folder(out: &Path) -> PathBuf {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(out)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| !p.ends_with(".state"))
        .collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders.remove(0)
}

/// The Python of `LANDSCOPE_TEST_PYTHON`, else python3 of the path. The tests that call it are ignored unless asked for, so one
/// that lacks the modules fails them: a test that did not test must not pass.
pub fn python_with(modules: &str) -> PathBuf {
    let python = std::env::var_os("LANDSCOPE_TEST_PYTHON")
        .map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let probe = Command::new(&python).args(["-c", &format!("import {modules}")]).output();
    let (is_well, said) = match probe {
        Ok(done) => (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned()),
        Err(error) => (false, error.to_string()),
    };
    assert!(is_well, "{} cannot import {modules}: {said}", python.display());
    python
}

/// Tells a person that a test did not test, past the harness, which would swallow it with the output of one that passed.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
