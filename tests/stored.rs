//! Points of a surface against figures that PyTorch computed in double precision (`tests/stored.py` writes them).

use std::sync::Arc;

use landscope::config::{Family, Init, ModelSpec, Precision};
use landscope::data::Batch;
use landscope::landscape::crew::Means;
use landscope::landscape::evaluate::{Evaluator, ReadyImages};
use landscope::landscape::images::ImageSet;
use landscope::landscape::plane::Plane;
use landscope::model::{Plan, Weights};
use serde_json::Value;
use tch::{Device, Tensor};

/// Largest relative difference of a loss: single precision through 14 layers.
const TOLERANCE: f64 = 1e-4;
/// The same for products in bfloat16.
const COARSE: f64 = 0.1;

/// sin(phase + pace * i) in single precision.
fn wave(count: usize, pace: f64, phase: f64) -> Vec<f32> {
    (0..count).map(|i| (phase + pace * i as f64).sin() as f32).collect()
}

fn plane(plan: &Arc<Plan>) -> Plane {
    let scalars = plan.scalars() as usize;
    let scale = |values: Vec<f32>, by: fn(f32, f64) -> f64, still: f64| {
        let mut scaled = Vec::with_capacity(scalars);
        for p in &plan.params {
            let part = &values[p.offset as usize..(p.offset + p.len()) as usize];
            let fan = (p.len() / p.shape[0]) as f64;
            let one = |v: &f32| {
                if p.shape.len() > 1 { by(*v, fan) } else { still + 0.1 * f64::from(*v) * still }
            };
            scaled.extend(part.iter().map(|v| one(v) as f32));
        }
        plan.pack(&scaled, Device::Cpu).unwrap()
    };
    let theta = scale(wave(scalars, 0.7, 0.1), |v, fan| f64::from(v) * (2.0 / fan).sqrt(), 1.0);
    let small = |v: f32, _: f64| f64::from(v) * 0.05;
    let dx = scale(wave(scalars, 1.3, 0.2), small, 0.0);
    let dy = scale(wave(scalars, 0.9, 0.5), small, 0.0);
    let total = plan.statistics() as usize;
    let running: Vec<f32> = wave(2 * total, 0.37, 0.3)
        .into_iter()
        .enumerate()
        .map(|(i, v)| if i < total { 0.1 * v } else { 1.0 + 0.5 * v })
        .collect();
    let center = Weights { theta, running: Tensor::from_slice(&running), batches: 0 };
    Plane::new(Arc::clone(plan), center, vec![dx, dy], None).unwrap()
}

#[test]
fn points_have_the_losses_that_pytorch_computed() {
    let stored: Value = serde_json::from_str(include_str!("stored.json")).unwrap();
    let number = |key: &str| stored[key].as_i64().unwrap();
    let (size, channels, count) = (number("size"), number("channels"), number("images"));
    let pixels = wave((count * channels * size * size) as usize, 0.11, 0.7);
    let labels: Vec<i64> = (0..count).map(|i| (7 * i + 3) % 10).collect();
    let images = Tensor::from_slice(&pixels).view([count, channels, size, size]);
    let batch = Batch { images, labels: Tensor::from_slice(&labels) };
    let images = ImageSet { batches: vec![batch], size: (size, size) };
    let spec = ModelSpec {
        family: Family::Resnet,
        depth: number("depth"),
        width: number("width"),
        widen: 1,
        init: Init::KaimingNormal,
    };
    for skip in [true, false] {
        let plan = Arc::new(Plan::resnet(&spec, skip, channels, 10));
        for (kernel, precision, tolerance) in [
            (true, Precision::F32, TOLERANCE),
            (false, Precision::F32, TOLERANCE),
            (true, Precision::Bf16, COARSE),
        ] {
            let means = Means { kernel, precision, ..Means::one_thread() };
            let ready = ReadyImages::new(&plan, images.share(), &means).unwrap();
            let mut evaluator = Evaluator::new(plane(&plan), ready).unwrap();
            let points = stored["points"].as_array().unwrap();
            let points: Vec<&Value> = points.iter().filter(|p| p["skip"] == skip).collect();
            assert_eq!(points.len(), 6);
            for point in points {
                let figure = |key: &str| point[key].as_f64().unwrap();
                let found = evaluator.at(figure("a"), figure("b")).unwrap();
                let off = (found.mean_loss() / figure("loss") - 1.0).abs();
                assert!(off <= tolerance, "{means:?} {point}: {}", found.mean_loss());
                if precision == Precision::F32 {
                    // One image may lie on the border between two classes.
                    let right = (found.accuracy() - figure("acc")).abs() * count as f64;
                    assert!(right < 1.01, "{point}: {}", found.accuracy());
                }
            }
        }
    }
}
