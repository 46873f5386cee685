//! Bytes as a checkpoint's weights, optimizer buffers and counters.
#![no_main]

use std::sync::LazyLock;

use landscope::config::{Override, load};
use landscope::model::{Plan, entries, load_state, load_vectors, translate};
use landscope::train::checkpoint::StateFile;

static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    let sets = ["model.depth=8", "model.width=2"].map(|s| Override::parse(s).unwrap());
    let experiment = load("demo", &sets).unwrap();
    Plan::resnet(&experiment.arms.values().next().unwrap().model, true, 1, 10)
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = load_state(&PLAN, bytes, tch::Device::Cpu);
    let _ = entries(bytes).and_then(|found| translate(&PLAN, found));
    let _ = load_vectors(&["momentum_buffer"], PLAN.scalars(), bytes);
    let _ = serde_json::from_slice::<StateFile>(bytes);
});
