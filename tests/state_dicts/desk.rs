//! Weights to save in many ways, and `landscope surface` to read them.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use half::{bf16, f16};
use landscope::config::load;
use landscope::landscape::file::SurfaceFile;
use landscope::model::{Plan, initial_weights};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::common;
use super::torch_file::{Storage, View, row_by_row};

/// The network whose weights are read.
const CONFIG: &str = "[model]\ndepth = 8\nwidth = 4\n[[arm]]\nname = 'skip'\n[[arm]]\nname = 'noskip'\nskip = false\n";
/// What counts a norm's batches.
const COUNT: &str = "num_batches_tracked";

/// A tensor of a state dict.
#[derive(Clone)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Its numbers; of a count none.
    pub numbers: Option<Vec<f32>>,
}

/// A folder with the config in it.
pub struct Desk {
    dir: tempfile::TempDir,
    /// The weights of the arm with skips.
    pub parts: Vec<Part>,
}

impl Desk {
    /// One with weights to save.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("c.toml");
        fs::write(&config, CONFIG).unwrap();
        let experiment = load(config.to_str().unwrap(), &[]).unwrap();
        let arm = experiment.arms.values().next().unwrap();
        let plan = Plan::of(&arm.model, arm.skip, [1, 16, 16], 10);
        Self { dir, parts: parts(&plan) }
    }

    /// The path of a file on it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `landscope surface` on a file of this name with these bytes.
    pub fn surface(&self, name: &str, bytes: &[u8], more: &[&str]) -> Output {
        fs::write(self.path(name), bytes).unwrap();
        self.run(name, more)
    }

    /// `landscope surface` on what has this name.
    pub fn run(&self, name: &str, more: &[&str]) -> Output {
        let mut command = Command::new(common::program());
        command.current_dir(self.dir.path()).env("LANDSCOPE_STATE", self.path(".state"));
        command.args(["surface", name, "--config=c.toml", "--arm=skip", "--x=-1:1:3"]);
        let out = format!("--out={}.h5", name.replace('/', "-"));
        command.args(["--images=16", "--device=cpu", &out]).args(more).output().unwrap()
    }

    /// The losses of the surface of a file, and what was said.
    pub fn losses(&self, name: &str, bytes: &[u8]) -> (Vec<f64>, String) {
        let done = self.surface(name, bytes, &[]);
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        assert!(done.status.success(), "{name}: {said}");
        (SurfaceFile::read(&self.path(&format!("{name}.h5"))).unwrap().surface.loss, said)
    }

    /// What is said of a file that is refused.
    pub fn refused(&self, name: &str, bytes: &[u8]) -> String {
        refused(&self.surface(name, bytes, &[]))
    }

    /// The parts by other names.
    pub fn named(&self, other: impl Fn(&str) -> String) -> Vec<Part> {
        let rename = |part: &Part| Part { name: other(&part.name), ..part.clone() };
        self.parts.iter().map(rename).collect()
    }
}

/// What a refused command says: one line, exit status 2.
pub fn refused(done: &Output) -> String {
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(done.stdout.is_empty());
    said
}

/// Weights of which half precision and bfloat16 lose nothing.
fn parts(plan: &Plan) -> Vec<Part> {
    let coarse = |v: f32| if v.abs() < 1e-3 { 0.0 } else { bf16::from_f32(v).to_f32() };
    let theta = initial_weights(plan, 5);
    let mut parts: Vec<Part> = Vec::new();
    for p in &plan.params {
        let numbers = theta[p.offset as usize..(p.offset + p.len()) as usize].iter();
        let numbers = Some(numbers.map(|v| coarse(*v)).collect());
        parts.push(Part { name: p.name.clone(), shape: p.shape.clone(), numbers });
    }
    for n in &plan.norms {
        let flat = |value: f32| Some(vec![value; n.channels as usize]);
        for (part, numbers) in [("running_mean", flat(0.25)), ("running_var", flat(1.5))] {
            let name = format!("{}.{part}", n.name);
            parts.push(Part { name, shape: vec![n.channels], numbers });
        }
        parts.push(Part { name: format!("{}.{COUNT}", n.name), shape: Vec::new(), numbers: None });
    }
    parts
}

/// The bytes of a part, its floats in `kind`.
fn bytes_of(part: &Part, kind: Dtype) -> Vec<u8> {
    let Some(numbers) = &part.numbers else { return 7i64.to_le_bytes().to_vec() };
    let one = |v: &f32| match kind {
        Dtype::F64 => f64::from(*v).to_le_bytes().to_vec(),
        Dtype::F16 => f16::from_f32(*v).to_le_bytes().to_vec(),
        Dtype::BF16 => bf16::from_f32(*v).to_le_bytes().to_vec(),
        _ => v.to_le_bytes().to_vec(),
    };
    numbers.iter().flat_map(one).collect()
}

/// A safetensors file of the parts.
pub fn safe(parts: &[Part], kind: Dtype) -> Vec<u8> {
    let all: Vec<_> = parts.iter().map(|part| bytes_of(part, kind)).collect();
    let mut views = HashMap::new();
    for (part, bytes) in parts.iter().zip(&all) {
        let shape = part.shape.iter().map(|n| *n as usize).collect();
        let kind = if part.numbers.is_some() { kind } else { Dtype::I64 };
        views.insert(part.name.as_str(), TensorView::new(kind, shape, bytes).unwrap());
    }
    safetensors::serialize(views, None).unwrap()
}

/// Storages and tensors of the parts, one each.
pub fn stored(parts: &[Part]) -> (Vec<Storage>, Vec<View>) {
    let one = |(storage, part): (usize, &Part)| {
        let kind = if part.numbers.is_some() { "Float" } else { "Long" };
        let count = part.shape.iter().product();
        let (name, shape) = (part.name.clone(), part.shape.clone());
        let stride = row_by_row(&shape);
        let view = View { name, storage, offset: 0, shape, stride };
        (Storage { kind, count, bytes: bytes_of(part, Dtype::F32) }, view)
    };
    parts.iter().enumerate().map(one).unzip()
}
