//! landscope's files in the hands of PyTorch and h5py: weights that load with strict=True, surfaces that agree.

mod common;

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use common::{events, landscope, of_kind, python_with, run_folder};
use landscope::config::load;
use landscope::data::{Dataset, Split};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;

/// Largest relative difference of a loss that is put down to the order of additions.
const TOLERANCE: f64 = 1e-4;

/// Images and labels of a data set in a file that PyTorch reads.
fn write_images(data: &Dataset, path: &Path) {
    let mut parts: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    let mut add = |name: &str, split: &Split| {
        let batch = split.range(0, split.len() as i64).unwrap();
        let shape = batch.images.size().iter().map(|n| *n as usize).collect();
        let images: Vec<f32> = batch.images.contiguous().view(-1).try_into().unwrap();
        let labels: Vec<i64> = batch.labels.try_into().unwrap();
        let count = labels.len();
        let images = images.iter().flat_map(|v| v.to_le_bytes()).collect();
        let labels = labels.iter().flat_map(|v| v.to_le_bytes()).collect();
        parts.push((format!("{name}_images"), Dtype::F32, shape, images));
        parts.push((format!("{name}_labels"), Dtype::I64, vec![count], labels));
    };
    add("train", &data.train);
    add("test", &data.test);
    let views: HashMap<&str, TensorView<'_>> = parts
        .iter()
        .map(|(name, kind, shape, bytes)| {
            (name.as_str(), TensorView::new(*kind, shape.clone(), bytes).unwrap())
        })
        .collect();
    safetensors::serialize_to_file(views, None, path).unwrap();
}

/// Surfaces of every kind, as files of `landscope surface`: name, largest relative difference of a loss, options.
const SURFACES: [(&str, f64, &[&str]); 8] = [
    ("map", TOLERANCE, &["--x=-1:1:5", "--y=-0.8:0.6:4"]),
    ("profile", TOLERANCE, &["--x=-1:1:9"]),
    ("all-move", TOLERANCE, &["--x=-0.5:0.5:5", "--y=-0.5:0.5:3", "--norm=layer", "--ignore=none"]),
    ("weight", TOLERANCE, &["--x=-1:1:5", "--norm=weight", "--seed=9"]),
    ("test", TOLERANCE, &["--x=-1:1:5", "--data=test"]),
    ("batch", TOLERANCE, &["--x=-1:1:5", "--bn=batch"]),
    ("adaptive", TOLERANCE, &["--x=-1:1:21", "--y=-1:1:21", "--adaptive"]),
    ("bf16", 0.1, &["--x=-0.5:0.5:5", "--precision=bf16"]),
];

#[test]
fn surfaces_of_every_kind_agree_with_pytorch() {
    let Some(python) = python_with("torch, h5py, safetensors, numpy, tomllib") else { return };
    let out = tempfile::tempdir().unwrap();
    let done = landscope(out.path())
        .args(["--steps", "24", "--set", "model.depth=14", "--set", "map.every=0"])
        .args(["--set", "checkpoint.every=8", "--set", "checkpoint.keep=0", "--set", "trajectory.keep=0"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let run = run_folder(out.path());
    let images = out.path().with_extension("images.safetensors");
    write_images(&Dataset::load(&load("demo", &[]).unwrap().data).unwrap(), &images);
    let line = format!("--to={}", run.join("step-00000008").display());
    let plane = ["--plane=pca", "--x=-1:4:4", "--y=-1:2:3"];
    let mut tolerances = Vec::new();
    let mut check = Command::new(python);
    check.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference.py"));
    check.arg(&run).arg("24").arg(&images);
    let more: [(&str, f64, &[&str]); 2] =
        [("line", TOLERANCE, &[&line, "--x=-0.5:1.5:9"]), ("plane", TOLERANCE, &plane)];
    for arm in ["skip", "noskip"] {
        for (name, tolerance, options) in SURFACES.iter().chain(&more) {
            let file = run.join(format!("{arm}-{name}.h5"));
            let done = Command::new(common::program())
                .args(["surface", run.to_str().unwrap(), "--arm", arm, "--images=150"])
                .args(*options)
                .arg("--out")
                .arg(&file)
                .output()
                .unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            check.arg(&file);
            tolerances.push(*tolerance);
        }
    }
    let check = check.output().unwrap();
    std::fs::remove_file(&images).unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    let found: Vec<Value> = String::from_utf8(check.stdout)
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(found.len(), tolerances.len());
    for (file, tolerance) in found.iter().zip(tolerances) {
        println!("{file}");
        let figure = |key: &str| file[key].as_f64().unwrap();
        assert!(figure("points") >= 5.0 && figure("images") == 150.0, "{file}");
        assert!(figure("worst_loss") <= tolerance, "{file}");
        // An image or two may lie on the border between two classes; bfloat16 moves more of them.
        let borders = if tolerance > TOLERANCE { 15.0 } else { 2.01 };
        assert!(figure("worst_acc") <= borders / 150.0, "{file}");
    }
}

#[test]
fn weights_load_strictly_and_surfaces_agree_at_every_point() {
    let Some(python) = python_with("torch, h5py, safetensors, numpy, tomllib") else { return };
    let out = tempfile::tempdir().unwrap();
    let done = landscope(out.path())
        .args(["--steps", "24", "--format", "json", "--set", "model.depth=20"])
        .args(["--set", "map.every=1000", "--set", "map.grid=9", "--set", "map.images=96"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let images = out.path().with_extension("images.safetensors");
    write_images(&Dataset::load(&load("demo", &[]).unwrap().data).unwrap(), &images);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference.py");
    let check = Command::new(python)
        .arg(script)
        .arg(run_folder(out.path()))
        .arg("24")
        .arg(&images)
        .output()
        .unwrap();
    std::fs::remove_file(&images).unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    let found: Vec<Value> = String::from_utf8(check.stdout)
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(found.len(), 2);
    let events = events(&done);
    for arm in &found {
        println!("{arm}");
        let figure = |key: &str| arm[key].as_f64().unwrap();
        assert_eq!(figure("points"), 81.0);
        assert!(figure("worst_loss") <= TOLERANCE, "{arm}");
        // One image of 96 may lie on the border between two classes.
        assert!(figure("worst_acc") <= 1.01 / 96.0, "{arm}");
        assert!(figure("filter_lengths") < 1e-4, "{arm}");
        assert_eq!(arm["one_dimensional_still"], true);
        assert_eq!(arm["attributes"]["norm"], "filter");
        let told = of_kind(&events, "eval").into_iter().rfind(|e| e["arm"] == arm["arm"]).unwrap();
        let difference = (told["test_err"].as_f64().unwrap() - figure("test_err")).abs();
        assert!(difference < 1.5 / 360.0, "{told} and {arm}");
    }
}
