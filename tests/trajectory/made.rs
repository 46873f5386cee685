//! A run folder made by hand: events whose figures are known, maps of a bowl, a path in it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use landscope::landscape::about::About;
use landscope::landscape::file::{SurfaceFile, Trajectory};
use landscope::landscape::surface::Surface;
use serde_json::{Value, json};

use super::common::program;

/// Two arms that differ in what Figure 9 compares.
const RUN: &str = "\
name = \"fig\"\nsteps = 12\n[model]\ndepth = 8\n\
[[arm]]\nname = \"sgd-wd\"\nskip = true\nweight_decay = 5e-4\n\
[[arm]]\nname = \"adam\"\nskip = true\noptimizer = \"adam\"\nweight_decay = 0.0\nbatch = 32\n";

pub struct Run {
    _dir: tempfile::TempDir,
    pub folder: PathBuf,
    lines: Vec<Value>,
}

impl Run {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("fig-20260101-000000");
        fs::create_dir_all(folder.join("surfaces")).unwrap();
        fs::write(folder.join("run.toml"), RUN).unwrap();
        let run = json!({"event": "run", "t": 0.0, "experiment": {}, "device": "cpu",
            "versions": {"landscope": "0", "libtorch": "0"}, "arms": []});
        Self { _dir: dir, folder, lines: vec![run] }
    }

    pub fn told(mut self, lines: impl IntoIterator<Item = Value>) -> Self {
        self.lines.extend(lines);
        let text: String = self.lines.iter().map(|l| format!("{l}\n")).collect();
        fs::write(self.folder.join("metrics.jsonl"), text).unwrap();
        self
    }

    /// A bowl around the last weights, and a path that comes straight down in x and then goes along y.
    pub fn with_map(self, arm: &str, steps: [u64; 4], height: f64) -> Self {
        let mut content = map(height);
        content.about.arm = arm.to_owned();
        content.about.step = steps[3];
        content.trajectory.as_mut().unwrap().steps = steps.to_vec();
        let name = format!("surfaces/{:08}-{arm}-pca.h5", steps[3]);
        content.write(&self.folder.join(name)).unwrap();
        self
    }

    pub fn ask(&self, args: &[&str]) -> Output {
        let mut command = Command::new(program());
        command.arg("trajectory").arg(&self.folder).args(args);
        command.env("LC_ALL", "C.UTF-8").env("LANDSCOPE_STATE", self.folder.join(".state"));
        command.output().unwrap()
    }

    pub fn ok(&self, args: &[&str]) -> String {
        let done = self.ask(args);
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    pub fn objects(&self, args: &[&str]) -> Vec<Value> {
        let text = self.ok(&[&["--format", "json"], args].concat());
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// What a refused call says: one line, exit status 2, nothing on stdout.
    pub fn refused(&self, args: &[&str]) -> String {
        let done = self.ask(args);
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        assert_eq!(done.status.code(), Some(2), "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
        assert!(done.stdout.is_empty(), "{args:?} printed on stdout");
        said
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }
}

/// The gap of [`map`] at a height of 0.1 as a share of loss + 0.1: the median over the path's length. The shares are
/// 0.1 over 6.4, 3.2, 1.65 and 1.6, from the least on; their lengths 2, 1.75, 2 and 2.25 of 8, so that half lies up to
/// the third.
pub const RELATIVE: f64 = 0.1 / 1.65;

/// The words of a figure's caption.
pub fn caption(svg: &str) -> String {
    let from = &svg[svg.find("id=\"caption\"").unwrap()..];
    let group = &from[..from.find("</g>").unwrap()];
    let lines = group.split("<text").skip(1).map(|t| {
        let text = &t[t.find('>').unwrap() + 1..];
        &text[..text.find('<').unwrap()]
    });
    lines.collect::<Vec<_>>().join(" ")
}

pub fn map(height: f64) -> SurfaceFile {
    let axis: Vec<f64> = (-10..=10).map(f64::from).collect();
    let mut surface = Surface::new(axis.clone(), axis);
    for i in 0..surface.len() {
        let (x, y) = surface.place(i);
        (surface.loss[i], surface.acc[i]) = (height * (x * x + y * y), 0.5);
    }
    let about = About {
        plane: "pca".to_owned(),
        variance: vec![0.7, 0.2],
        precision: "f32".to_owned(),
        ..About::default()
    };
    let trajectory = Trajectory {
        // Straight down, round along the isocurve through (4, 0), and uphill again.
        xs: vec![8.0, 4.0, 4.0, 4.0],
        ys: vec![0.0, 0.0, 0.5, 4.0],
        steps: vec![0, 4, 8, 12],
        // Each 0.1 below the map at a height of 0.1.
        loss: vec![6.3, 1.5, 1.55, 3.1],
    };
    let trajectory = Some(trajectory);
    SurfaceFile { about, images: vec![0; 64], trajectory, ..SurfaceFile::of(surface) }
}

/// A step with these angles.
pub fn step(arm: &str, step: u64, full: Value, plane: Value) -> Value {
    step_at(arm, step, 0.1, full, plane)
}

pub fn step_at(arm: &str, step: u64, lr: f64, full: Value, plane: Value) -> Value {
    let decay = if arm == "adam" { 0.0 } else { 5e-4 };
    let batch = if arm == "adam" { 32 } else { 64 };
    json!({"event": "step", "arm": arm, "step": step, "t": 0.0, "epoch": 0.1, "loss": 1.0, "acc": 0.5, "lr": lr,
        "weight_decay": decay, "batch": batch, "grad_norm": 1.0, "layer_grad_norms": [], "update_ratio": 0.1,
        "angle": {"full_deg": full, "plane_deg": plane}, "ms": 1.0,
        "step_share": {"gradient": 1.0, "momentum": 0.0, "decay": 0.0}})
}

pub fn eval(arm: &str, step: u64, test_err: Value) -> Value {
    json!({"event": "eval", "arm": arm, "step": step, "t": 0.0, "test_loss": 1.0, "test_err": test_err})
}

pub fn control(arm: Value, step: u64, key: &str, from: f64, to: f64) -> Value {
    json!({"event": "control", "arm": arm, "step": step, "t": 0.0, "key": key, "from": from, "to": to})
}

/// Twelve steps of both arms: `sgd-wd` at 10, 20 ... 120 degrees and half of that in the plane, `adam` without any.
pub fn steps() -> Vec<Value> {
    let both = |s: u64| {
        let deg = (s * 7) as f64;
        let plane = if s > 4 { json!(deg / 2.0) } else { Value::Null };
        let lr = if s > 8 { 0.01 } else { 0.1 };
        [step_at("sgd-wd", s, lr, json!(deg), plane), step("adam", s, Value::Null, Value::Null)]
    };
    (1..=12).flat_map(both).collect()
}
