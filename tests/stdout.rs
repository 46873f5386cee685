//! Whatever prints: a standard output that cannot be written, one whose reader has left, and a standard error that
//! cannot be written.

mod common;

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{SMALL, landscope, program, run_folder};

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A pipe that nobody reads.
fn left() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// Every printing command that ends by itself, over the run folder and the surface.
fn commands(run: &str, surface: &str, out: &Path) -> Vec<Vec<String>> {
    let fresh = |name: &str| out.join(name).display().to_string();
    let (s5, s6, merged, figure) = (fresh("5.h5"), fresh("6.h5"), fresh("m.h5"), fresh("f.svg"));
    let profile = ["surface", run, "--arm", "skip", "--x=-1:1:3", "--images", "16", "--out"];
    let text = [&profile[..], &[&s5]].concat();
    let json = [&profile[..], &[&s6, "--format", "json"]].concat();
    let all: [&[&str]; 16] = [
        &["--help"],
        &["-h"],
        &["--version"],
        &["plot", "--help"],
        &["help", "surface"],
        &["ls"],
        &["data", "list"],
        &["completions", "bash"],
        &["plot", surface],
        &["plot", surface, "--color", "always"],
        &["plot", surface, "--out", &figure],
        &["merge", surface, "--out", &merged],
        &["trajectory", run],
        &["trajectory", run, "--format", "json"],
        &text,
        &json,
    ];
    all.iter().map(|args| args.iter().map(|a| (*a).to_owned()).collect()).collect()
}

fn made(out: &Path) -> (String, String) {
    let run = landscope(out).args(SMALL).args(["--steps", "12"]).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let run = run_folder(out).display().to_string();
    let surface = out.join(".state/first.h5").display().to_string();
    let args = ["surface", &run, "--arm", "skip", "--x=-1:1:3", "--images", "16", "--out"];
    let done = Command::new(program()).args(args).arg(&surface).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    (run, surface)
}

fn with(args: &[String], state: &Path, stdout: Stdio, stderr: Stdio) -> Output {
    let mut command = Command::new(program());
    command.env("LANDSCOPE_STATE", state).args(args).stdout(stdout).stderr(stderr);
    command.spawn().unwrap().wait_with_output().unwrap()
}

/// The one line that tells of it.
fn is_told(done: &Output, what: &str) {
    let told = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{what}: {told}");
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        lines,
        ["landscope: standard output: No space left on device (os error 28)"],
        "{what}"
    );
}

#[test]
fn output_that_cannot_be_written_is_told_and_a_reader_who_left_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (out, state) = (dir.path().join("runs"), dir.path().join("state"));
    std::fs::create_dir(&out).unwrap();
    let (run, surface) = made(&out);
    let (a, b, c) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("c"));
    [&a, &b, &c].into_iter().for_each(|d| std::fs::create_dir(d).unwrap());
    for args in commands(&run, &surface, &a) {
        is_told(&with(&args, &state, full(), Stdio::piped()), &args.join(" "));
    }
    for args in commands(&run, &surface, &b) {
        let done = with(&args, &state, left(), Stdio::piped());
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && told.is_empty(), "{args:?}: {:?} {told}", done.status);
    }
    // Nobody can be told: the status is all there is, and no panic.
    for args in commands(&run, &surface, &c) {
        let done = with(&args, &state, full(), full());
        assert_eq!(done.status.code(), Some(1), "{args:?}");
    }
    for args in [vec!["--no-such-flag"], vec!["plot", "no-such-file.h5"], vec!["no-such-config"]] {
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        assert_eq!(with(&args, &state, full(), full()).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_run_goes_on_to_its_end_without_its_output() {
    for format in ["text", "json"] {
        let dir = tempfile::tempdir().unwrap();
        let args = ["--steps", "12", "--format", format];
        let mut run = landscope(dir.path());
        run.args(SMALL).args(args).stdout(full()).stderr(Stdio::piped());
        is_told(&run.spawn().unwrap().wait_with_output().unwrap(), format);
        let folder = run_folder(dir.path());
        assert!(folder.join("latest/skip.safetensors").is_file());
        let events = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
        let done: serde_json::Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
        assert_eq!((&done["event"], &done["status"]), (&"done".into(), &"finished".into()));
    }
}

#[test]
fn a_device_is_no_surface_file() {
    let dir = tempfile::tempdir().unwrap();
    let (run, _) = made(dir.path());
    // Read as a file, it has no end.
    let zero = dir.path().join("zero.h5");
    std::os::unix::fs::symlink("/dev/zero", &zero).unwrap();
    let zero = zero.display().to_string();
    let onto = ["surface", &run, "--arm", "skip", "--x=-1:1:3", "--out", &zero].map(str::to_owned);
    for args in [&["plot".to_owned(), zero.clone()][..], &onto] {
        let done = with(args, &dir.path().join(".state"), Stdio::piped(), Stdio::piped());
        let told = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{told}");
        assert!(
            told.contains("zero.h5: not a regular file") && told.lines().count() == 1,
            "{told}"
        );
    }
}
