//! Bad input, one by one: exit status 2, nothing on stdout, one line on stderr that names the thing, the value and what
//! is accepted, and no run folder.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::landscope;

/// The one line on stderr of a run that is refused.
fn refused(args: &[&str]) -> String {
    let out = tempfile::tempdir().unwrap();
    let done = landscope(out.path()).args(["--format", "json"]).args(args).output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{args:?}: {said}");
    assert!(done.stdout.is_empty(), "{args:?} printed on stdout");
    assert_eq!(said.trim_end().lines().count(), 1, "{args:?}: {said}");
    let left: Vec<_> = fs::read_dir(out.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == ".state"), "{args:?} left {left:?}");
    said
}

fn set(value: &str) -> String {
    refused(&["--set", value])
}

#[test]
fn values_that_cannot_be_run() {
    for (value, wanted) in [
        ("model.depth=57", "model (arm skip).depth = 57: expected 6n+2 from 8 to 1202"),
        ("model.depth=2", "depth = 2: expected 6n+2"),
        ("model.width=0", "1 to 1024 channels"),
        ("train.lr=-1", "lr = -1: expected a number above 0"),
        ("train.lr=nan", "lr = NaN: expected a number above 0"),
        ("train.batch=1", "batch = 1: expected at least 2 images"),
        ("train.batch=2000", "batch = 2000: expected at most 1437"),
        ("train.momentum=1.0", "momentum = 1: expected a number from 0 to below 1"),
        ("train.weight_decay=-0.1", "weight_decay = -0.1: expected a number from 0 up"),
        ("train.optimizer=rmsprop", "expected one of `sgd`, `adam`, `adamw`"),
        ("map.grid=16", "map.grid = 16"),
        ("map.budget=0", "map.budget = 0"),
        ("map.images=0", "map.images = 0: expected at least 1 image"),
        ("data.size=4", "data.size = 4: expected a side from 8 to 256 pixels"),
        ("data.limit=5000", "data.limit = 5000: the data set has 1437 training images"),
        ("device=tpu", "device = tpu: expected auto, cpu, cuda or cuda:N"),
        ("device=cuda:97", "device = cuda:97"),
        ("steps=0", "steps = 0: expected a whole number from 1"),
        ("name=a/b", "name = a/b"),
        ("no.such.key=1", "unknown field `no`"),
        ("train.lr", "--set train.lr: expected KEY=VALUE"),
        ("arm.third.lr=1", "no arm is named `third`"),
    ] {
        let said = set(value);
        assert!(said.contains(wanted), "{value}: said {said:?}, wanted {wanted:?}");
    }
}

#[test]
fn configs_that_are_none() {
    assert!(refused(&["no-such-config"]).contains("config `no-such-config`: no such file"));
    let dir = tempfile::tempdir().unwrap();
    let file = |text: &str| {
        let path = dir.path().join("c.toml");
        fs::write(&path, text).unwrap();
        refused(&[path.to_str().unwrap()])
    };
    assert!(file("steps = = 1").contains("not valid TOML"));
    assert!(file("stepz = 1").contains("unknown field `stepz`"));
    assert!(file("[train]\nlr = \"fast\"").contains("train.lr: invalid type"));
    assert!(
        file("[[arm]]\nname = \"a\"\n[[arm]]\nname = \"a\"")
            .contains("a name that no other arm has")
    );
    let nine = "[[arm]]\nname = \"aN\"\n".repeat(9);
    assert!(file(&nine).contains("1 to 8 arms"));
}

#[test]
fn usage_that_is_none() {
    let out = tempfile::tempdir().unwrap();
    for args in [
        &["--steps", "many"][..],
        &["--format", "xml"],
        &["--steps", "3", "--epochs", "1"],
        &["--colour"],
    ] {
        let done = landscope(out.path()).args(args).output().unwrap();
        assert_eq!(done.status.code(), Some(2), "{args:?}");
        assert!(done.stdout.is_empty());
    }
}

fn cifar(dir: &Path) -> String {
    refused(&["--set", "data.kind=cifar10", "--set", &format!("data.dir={}", dir.display())])
}

#[test]
fn data_that_is_missing_cut_short_or_wrong() {
    let dir = tempfile::tempdir().unwrap();
    assert!(set("data.kind=cifar10").contains("data.dir"));
    assert!(cifar(&dir.path().join("nowhere")).contains("data_batch_1.bin"));
    // Whole records are 3,073 bytes: a label and 32x32x3 pixels.
    let write = |name: &str, bytes: Vec<u8>| fs::write(dir.path().join(name), bytes).unwrap();
    for i in 1..=5 {
        write(&format!("data_batch_{i}.bin"), vec![0; 3073 * 2]);
    }
    assert!(cifar(dir.path()).contains("test_batch.bin"));
    write("test_batch.bin", vec![0; 3073 - 1]);
    assert!(cifar(dir.path()).contains("3072 bytes"));
    let mut wrong = vec![0; 3073 * 2];
    wrong[3073] = 10;
    write("test_batch.bin", wrong);
    assert!(cifar(dir.path()).contains("image 1 has label 10; expected 0 to 9"));
    let mnist = refused(&[
        "--set",
        "data.kind=mnist",
        "--set",
        &format!("data.dir={}", dir.path().display()),
    ]);
    assert!(mnist.contains("train-images-idx3-ubyte"));
    assert!(mnist.contains("no such file; expected train-images-idx3-ubyte or"), "{mnist}");
    write("train-images-idx3-ubyte", vec![1, 2, 3]);
    write("train-labels-idx1-ubyte", vec![1, 2, 3]);
    let mnist = refused(&[
        "--set",
        "data.kind=mnist",
        "--set",
        &format!("data.dir={}", dir.path().display()),
    ]);
    assert!(mnist.contains("train-images-idx3-ubyte"));
}

#[test]
fn a_place_that_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_landscope"))
        .args(["--headless", "--steps", "1", "--out"])
        .arg(file.join("below"))
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(2));
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(
        said.contains("choose another place with --out") && said.lines().count() == 1,
        "{said}"
    );
}

#[test]
fn what_needs_no_run() {
    let ask =
        |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_landscope")).args(args).output().unwrap();
    let list = ask(&["data", "list"]);
    assert!(
        list.status.success() && String::from_utf8_lossy(&list.stdout).contains("fashion-mnist")
    );
    for shell in ["bash", "zsh", "fish"] {
        let done = ask(&["completions", shell]);
        assert!(
            done.status.success() && String::from_utf8_lossy(&done.stdout).contains("landscope")
        );
    }
    assert!(String::from_utf8_lossy(&ask(&["--version"]).stdout).starts_with("landscope 0.1.0"));
}
