//! Well-formed and broken input through every reader: no panic, no hang, no more memory than stated.
//!
//! `LANDSCOPE_CASES=40000 cargo test --test broken -- --nocapture` puts 400,000 of them through the ten readers.

mod common;
#[path = "common/torch_file.rs"]
mod torch_file;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use landscope::arm::ArmName;
use landscope::config::{DataKind, DataSpec, Override, load};
use landscope::data::Dataset;
use landscope::engine::{Engine, Options, Place};
use landscope::landscape::about::About;
use landscope::landscape::file::{
    CenterCurvature, CurvatureMap, DirectionTensor, SurfaceFile, Trajectory, hdf5,
};
use landscope::landscape::journal::{Identity, Journal};
use landscope::landscape::surface::Surface;
use landscope::landscape::weights::Reader;
use landscope::link::Said;
use landscope::link::parts::{Parts, Size, changes, put_together, take_apart};
use landscope::link::wire::{Hello, Packer, Unpacker, Wants, Welcome, read_request, request};
use landscope::model::{
    Plan, entries, initial_weights, load_state, load_vectors, save_state, state_bytes,
};
use landscope::telemetry::command::{Change, Command, Setting};
use landscope::train::checkpoint::StateFile;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Tensor};
use torch_file::{Storage, View, dict, file, row_by_row, state_dict};

/// Cases of each reader, unless the environment says how many.
const CASES: usize = 1500;
/// Most bytes that one reading may hold at once, besides some times its input: an unpacked frame.
const BOUND: usize = 40 << 20;
/// Longest that one reading may take, on the busiest machine.
const LONGEST: Duration = Duration::from_secs(20);

/// Counts what is held.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// One reading at a time, so that what is counted is its own.
static ALONE: Mutex<()> = Mutex::new(());

// SAFETY: every call is handed to the system's allocator as it came; the counters are beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn cases() -> usize {
    std::env::var("LANDSCOPE_CASES").ok().and_then(|v| v.parse().ok()).unwrap_or(CASES)
}

/// A copy of one of `whole` with some damage, or none, or noise alone.
fn damaged(rng: &mut ChaCha8Rng, whole: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = whole[rng.random_range(0..whole.len())].clone();
    match rng.random_range(0..8) {
        0 => {}
        1 => bytes.truncate(rng.random_range(0..=bytes.len())),
        2 => {
            let noise = rng.random_range(0..200);
            bytes = (0..noise).map(|_| rng.random()).collect();
        }
        3 => {
            let other = &whole[rng.random_range(0..whole.len())];
            bytes.truncate(rng.random_range(0..=bytes.len()));
            bytes.extend_from_slice(&other[rng.random_range(0..=other.len())..]);
        }
        4 if bytes.len() > 8 => {
            // A length, most likely: very large, or off by little.
            let at = rng.random_range(0..(bytes.len() - 8).min(64));
            let value: u64 = if rng.random() { rng.random() } else { rng.random_range(0..70_000) };
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        _ => {
            for _ in 0..rng.random_range(1..8) {
                if !bytes.is_empty() {
                    let at = rng.random_range(0..bytes.len());
                    bytes[at] ^= 1 << rng.random_range(0..8);
                }
            }
        }
    }
    bytes
}

/// Puts damaged copies of `whole` through `read`.
fn put_through(what: &str, whole: &[Vec<u8>], mut read: impl FnMut(&[u8]) -> bool) {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (mut taken, mut most, mut slowest) = (0, 0, Duration::ZERO);
    for case in 0..cases() {
        let bytes = damaged(&mut ChaCha8Rng::seed_from_u64(case as u64), whole);
        let before = HELD.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let begun = Instant::now();
        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read(&bytes)));
        let Ok(well) = read else { panic!("{what}: case {case} panics") };
        let (took, held) = (begun.elapsed(), PEAK.load(Ordering::Relaxed) - before);
        assert!(took < LONGEST, "{what}: case {case} takes {took:?}");
        let bound = BOUND + 16 * bytes.len();
        assert!(held < bound, "{what}: case {case} holds {held} bytes of {} given", bytes.len());
        taken += usize::from(well);
        (most, slowest) = (most.max(held), slowest.max(took));
    }
    println!("{what}: {} cases, {taken} taken; at most {most} bytes held, {slowest:?}", cases());
    assert!(taken > 0, "{what}: not even what is whole is taken");
}

/// A run's snapshots, as an engine makes them.
fn snapshots() -> Vec<Parts> {
    let out = tempfile::tempdir().unwrap();
    let sets = ["steps=12", "model.depth=8", "map.every=4", "map.grid=5", "map.images=8"];
    let overrides: Vec<Override> = sets.iter().map(|s| Override::parse(s).unwrap()).collect();
    let options = Options::at(Place::Below(out.path().to_owned()));
    let (engine, client) =
        Engine::start(load("demo", &overrides).unwrap(), options, Instant::now()).unwrap();
    let mut seen = vec![];
    while !engine.has_ended() {
        seen.push(take_apart(&client.snapshot(), Size { columns: 80, rows: 24 }));
        std::thread::sleep(Duration::from_millis(60));
    }
    seen.push(take_apart(&client.snapshot(), Size { columns: 160, rows: 48 }));
    engine.join().unwrap();
    seen
}

#[test]
fn frames_of_the_protocol() {
    let mut frames = Vec::new();
    let nothing = Parts::new();
    for parts in snapshots() {
        let frame = Packer::default().pack(&changes(&nothing, &parts)).unwrap();
        frames.push(frame);
        // Unpacked as well: damage behind the compression.
        frames.push(postcard::to_allocvec(&changes(&nothing, &parts)).unwrap());
    }
    let view = Wants::View { size: Size { columns: 80, rows: 24 }, readonly: true, rate: Some(1) };
    frames.push(Hello::new(view).to_frame());
    frames.push(Welcome::new(Some("no".to_owned()), None).to_frame());
    let set = Change::Set { setting: Setting::Lr, value: 0.1 };
    frames.push(request(&Said::Command(Command::Change {
        arm: Some(ArmName::new("skip")),
        change: set,
    })));
    put_through("frames", &frames, |bytes| {
        let mut whole = Unpacker::default();
        let shown = whole.take(bytes).is_ok_and(|parts| put_together(parts).is_ok());
        let mut parts = Parts::new();
        if let Ok(told) = postcard::from_bytes(bytes) {
            landscope::link::parts::apply(&mut parts, told);
        }
        let plain = put_together(&parts).is_ok() && !parts.is_empty();
        shown
            | plain
            | Hello::from_frame(bytes).is_ok()
            | Welcome::from_frame(bytes).is_ok()
            | read_request(bytes).is_ok()
    });
}

#[test]
fn configs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let mut whole: Vec<Vec<u8>> =
        fs::read_dir(configs).unwrap().map(|e| fs::read(e.unwrap().path()).unwrap()).collect();
    whole.push(b"steps = 5\n[[arm]]\nname = 'a'\nlr = 1e-3\n".to_vec());
    put_through("configs", &whole, |bytes| {
        fs::write(&path, bytes).unwrap();
        load(path.to_str().unwrap(), &[]).is_ok()
    });
}

#[test]
fn checkpoints() {
    let experiment = load("demo", &[Override::parse("model.depth=8").unwrap()]).unwrap();
    let spec = experiment.arms.values().next().unwrap().clone();
    let plan = Plan::resnet(&spec.model, true, 1, 10);
    let theta = plan.pack(&initial_weights(&plan, 0), Device::Cpu).unwrap();
    let running = plan.fresh_statistics(Device::Cpu).unwrap();
    let buffer = Tensor::zeros_like(&theta);
    let weights = landscope::model::Weights { theta, running, batches: 3 };
    let state = r#"{"step": 4, "seed": 0, "elapsed_s": 1.5, "threads": 1, "controls": [], "arms": [
        {"name": "skip", "optimizer_steps": 4, "order": {"epoch": 0, "next": 256}, "lr": 0.1, "weight_decay": 5e-4, "batch": 64}]}"#;
    let whole = [
        state_bytes(&plan, &weights).unwrap(),
        save_state(&[("momentum_buffer", &buffer)]).unwrap(),
        state.as_bytes().to_vec(),
    ];
    put_through("checkpoints", &whole, |bytes| {
        load_state(&plan, bytes, Device::Cpu).is_ok()
            | load_vectors(&["momentum_buffer"], plan.scalars(), bytes).is_ok()
            | serde_json::from_slice::<StateFile>(bytes).is_ok()
    });
}

#[test]
fn state_dicts() {
    let experiment = load("demo", &[Override::parse("model.depth=8").unwrap()]).unwrap();
    let spec = experiment.arms.values().next().unwrap().clone();
    let plan = Plan::resnet(&spec.model, true, 1, 10);
    let theta = plan.pack(&initial_weights(&plan, 0), Device::Cpu).unwrap();
    let running = plan.fresh_statistics(Device::Cpu).unwrap();
    let weights = landscope::model::Weights { theta, running, batches: 3 };
    let safe = state_bytes(&plan, &weights).unwrap();
    // The same as a file of torch.save: the same numbers, a storage each.
    let mut storages = Vec::new();
    let mut views = Vec::new();
    for (storage, entry) in entries(&safe).unwrap().into_iter().enumerate() {
        let kind = if entry.dtype == safetensors::Dtype::F32 { "Float" } else { "Long" };
        let shape: Vec<i64> = entry.shape.iter().map(|n| *n as i64).collect();
        let (count, stride) = (shape.iter().product(), row_by_row(&shape));
        storages.push(Storage { kind, count, bytes: (entry.bytes)().unwrap().into_owned() });
        views.push(View { name: entry.name, storage, offset: 0, shape, stride });
    }
    let state = state_dict(&storages, &views);
    let wrapped = dict(&[("epoch", b"K\x03".to_vec()), ("state_dict", state.clone())]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.pt");
    let mut read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Reader::new(true).read(&path, &plan).is_ok()
    };
    put_through("safetensors", &[safe], &mut read);
    put_through("torch.save", &[file(&storages, &state), file(&storages, &wrapped)], &mut read);
    // Damage where it tells most: in the pickle, which is a hundredth of the file.
    let whole = [state, wrapped];
    put_through("pickles", &whole, |bytes| read(&file(&storages, bytes)));
}

#[test]
fn surfaces() {
    let out = tempfile::tempdir().unwrap();
    let sets = ["steps=2", "model.depth=8", "model.width=2", "map.grid=5", "map.images=8"];
    let overrides: Vec<Override> = sets.iter().map(|s| Override::parse(s).unwrap()).collect();
    let options = Options::at(Place::Below(out.path().to_owned()));
    let (engine, _client) =
        Engine::start(load("demo", &overrides).unwrap(), options, Instant::now()).unwrap();
    let folder = engine.join().unwrap().folder.join("surfaces");
    let mut whole: Vec<Vec<u8>> =
        fs::read_dir(folder).unwrap().map(|e| fs::read(e.unwrap().path()).unwrap()).collect();
    let file = out.path().join("all.h5");
    everything().write(&file).unwrap();
    whole.push(fs::read(&file).unwrap());
    put_through("HDF5 surfaces", &whole, |bytes| hdf5::parse(bytes.to_vec()).is_ok());
}

/// A surface file with all that one can hold.
fn everything() -> SurfaceFile {
    let mut surface = Surface::new(vec![0.0, 1.0, 2.0], vec![0.0, 1.0]);
    surface.loss = vec![1.0, f64::NAN, 3.0, 4.0, f64::INFINITY, 6.0];
    surface.acc = vec![0.5; 6];
    surface.computed = Some(vec![true, true, false, true, true, true]);
    let numbers = || vec![0.5, 1.5];
    let part = DirectionTensor { shape: vec![2, 2], values: vec![1.0; 4] };
    let curvature =
        CenterCurvature { lambda_max: 2.0, lambda_min: -1.0, products: 9, converged: true };
    let (xs, ys, loss) = (numbers(), numbers(), numbers());
    SurfaceFile {
        images: vec![0, 1, 2],
        directions: vec![vec![part.clone()], vec![part]],
        trajectory: Some(Trajectory { xs, ys, steps: vec![1, 2], loss }),
        center_curvature: Some(curvature),
        curvature: Some(CurvatureMap { lambda_max: vec![2.0; 6], lambda_min: vec![-1.0; 6] }),
        about: About { variance: numbers(), shard: Some((1, 2)), ..About::default() },
        ..SurfaceFile::of(surface)
    }
}

#[test]
fn journals() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::of(&everything());
    let path = dir.path().join("whole.part");
    let (mut journal, _) = Journal::open(&path, &identity).unwrap();
    for index in 0..6 {
        journal.point((index, 0.1 * index as f64, f64::NAN)).unwrap();
        journal.curvature((index, 1e300, -1e-300)).unwrap();
    }
    drop(journal);
    let whole = [fs::read(&path).unwrap()];
    let path = dir.path().join("broken.part");
    put_through("journals", &whole, |bytes| {
        fs::write(&path, bytes).unwrap();
        Journal::open(&path, &identity).is_ok()
    });
}

fn data(kind: DataKind, dir: &Path) -> bool {
    let dir = Some(dir.to_owned());
    Dataset::load(&DataSpec { kind, dir, size: None, limit: None, augment: false }).is_ok()
}

#[test]
fn idx_files() {
    let dir = tempfile::tempdir().unwrap();
    let images = |count: u8| {
        let mut bytes = vec![0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 8, 0, 0, 0, 8];
        bytes.extend((0..usize::from(count) * 64).map(|i| (i % 251) as u8));
        bytes
    };
    let labels = |count: u8| {
        let mut bytes = vec![0, 0, 8, 1, 0, 0, 0, count];
        bytes.extend((0..count).map(|i| i % 10));
        bytes
    };
    fs::write(dir.path().join("t10k-images-idx3-ubyte"), images(4)).unwrap();
    fs::write(dir.path().join("t10k-labels-idx1-ubyte"), labels(4)).unwrap();
    let mut turn = 0;
    put_through("IDX files", &[images(6), labels(6)], |bytes| {
        let (mut i, mut l) = (images(6), labels(6));
        turn += 1;
        *(if turn % 2 == 0 { &mut i } else { &mut l }) = bytes.to_vec();
        fs::write(dir.path().join("train-images-idx3-ubyte"), i).unwrap();
        fs::write(dir.path().join("train-labels-idx1-ubyte"), l).unwrap();
        data(DataKind::Mnist, dir.path())
    });
}

#[test]
fn cifar_files() {
    let dir = tempfile::tempdir().unwrap();
    let records = |count: u8| -> Vec<u8> {
        let one =
            |n: u8| std::iter::once(n % 10).chain((0..3072).map(move |i| (i % 253) as u8 ^ n));
        (0..count).flat_map(one).collect()
    };
    for number in 2..=5 {
        fs::write(dir.path().join(format!("data_batch_{number}.bin")), records(1)).unwrap();
    }
    fs::write(dir.path().join("test_batch.bin"), records(2)).unwrap();
    put_through("CIFAR files", &[records(2), records(1)], |bytes| {
        fs::write(dir.path().join("data_batch_1.bin"), bytes).unwrap();
        data(DataKind::Cifar10, dir.path())
    });
}
