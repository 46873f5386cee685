//! State dicts as people have them, in the hands of `landscope surface`: read alike, told of, or refused in a line.

#[path = "../common/mod.rs"]
mod common;
mod desk;
#[path = "../common/torch_file.rs"]
mod torch_file;

use std::fs;
use std::process::Command;

use desk::{Desk, Part, refused, safe, stored};
use landscope::config::load;
use landscope::model::{Plan, load_state};
use safetensors::Dtype;
use tch::Device;
use torch_file::{Storage, View, dict, file, row_by_row, state_dict, text};

#[test]
fn safetensors_as_people_have_them_give_the_same_surface() {
    let desk = Desk::new();
    let (wanted, said) = desk.losses("plain.safetensors", &safe(&desk.parts, Dtype::F32));
    assert!(said.is_empty() && wanted.iter().all(|v| v.is_finite()), "{said} {wanted:?}");
    let prefixed = |prefix: &str| safe(&desk.named(|n| format!("{prefix}{n}")), Dtype::F32);
    let torchvision = desk.named(|n| n.replace("shortcut", "downsample").replace("linear", "fc"));
    let mut uncounted = desk.parts.clone();
    uncounted.retain(|part| part.numbers.is_some());
    let cases: [(&str, Vec<u8>, &str); 10] = [
        ("compiled", prefixed("_orig_mod."), "names without `_orig_mod.`"),
        ("parallel", prefixed("module."), "names without `module.`"),
        ("both", prefixed("module._orig_mod."), "names without `_orig_mod.` and `module.`"),
        ("turned", prefixed("_orig_mod.module."), "names without `_orig_mod.` and `module.`"),
        (
            "torchvision",
            safe(&torchvision, Dtype::F32),
            "`downsample` as `shortcut`; `fc` as `linear`",
        ),
        ("half", safe(&desk.parts, Dtype::F16), "float16 as float32"),
        ("bfloat", safe(&desk.parts, Dtype::BF16), "bfloat16 as float32"),
        ("double", safe(&desk.parts, Dtype::F64), "float64 as float32"),
        ("uncounted", safe(&uncounted, Dtype::F32), "num_batches_tracked as 0"),
        (
            "all",
            safe(
                &uncounted
                    .iter()
                    .map(|p| Part {
                        name: format!("_orig_mod.{}", p.name.replace("linear", "fc")),
                        ..p.clone()
                    })
                    .collect::<Vec<_>>(),
                Dtype::F16,
            ),
            "names without `_orig_mod.`; `fc` as `linear`; float16 as float32; num_batches_tracked as 0",
        ),
    ];
    for (name, bytes, word) in cases {
        let file = format!("{name}.safetensors");
        let (found, said) = desk.losses(&file, &bytes);
        assert_eq!(said, format!("landscope: {file}: translated: {word}"));
        assert_eq!(found, wanted, "{name}");
    }
}

#[test]
fn files_of_torch_save_give_the_same_surface() {
    let desk = Desk::new();
    let (wanted, _) = desk.losses("plain.safetensors", &safe(&desk.parts, Dtype::F32));
    let (storages, views) = stored(&desk.parts);
    let state = state_dict(&storages, &views);
    // All floats in one storage, each tensor with its dimensions turned around, after what belongs to none.
    let floats = desk.parts.iter().filter(|part| part.numbers.is_some());
    let mut one = Storage { kind: "Float", count: 3, bytes: vec![0xff; 12] };
    let mut looks = Vec::new();
    for Part { name, shape, numbers } in floats {
        let turned: Vec<i64> = shape.iter().rev().copied().collect();
        let stride: Vec<i64> = row_by_row(&turned).into_iter().rev().collect();
        let mut lying = vec![0.0f32; numbers.as_ref().unwrap().len()];
        for (i, value) in numbers.as_ref().unwrap().iter().enumerate() {
            let places = row_by_row(shape).into_iter().zip(shape).zip(&stride);
            let to: i64 = places.map(|((step, n), to)| i as i64 / step % n * to).sum();
            lying[to as usize] = *value;
        }
        let (offset, shape) = (one.count, shape.clone());
        looks.push(View { name: name.clone(), storage: 0, offset, shape, stride });
        one.count += lying.len() as i64;
        one.bytes.extend(lying.iter().flat_map(|v| v.to_le_bytes()));
    }
    let shared = [one];
    let wrapped = |key: &str| {
        let epoch = b"K\x03".to_vec();
        let optimizer = dict(&[("lr", b"G\x3f\xb9\x99\x99\x99\x99\x99\x9a".to_vec())]);
        let entries = [("epoch", epoch), ("optimizer", optimizer), (key, state.clone())];
        file(&storages, &dict(&entries))
    };
    let cases = [
        ("plain.pt", file(&storages, &state), None),
        ("plain.pth", file(&storages, &state), None),
        ("pytorch_model.bin", file(&storages, &state), None),
        ("wrapped.pt", wrapped("state_dict"), Some("the dict under `state_dict`")),
        ("model.pt", wrapped("model"), Some("the dict under `model`")),
        ("own.pt", wrapped("model_state_dict"), Some("the dict under `model_state_dict`")),
        (
            "shared.pt",
            file(&shared, &state_dict(&shared, &looks)),
            Some("num_batches_tracked as 0"),
        ),
    ];
    for (name, bytes, word) in cases {
        let (found, said) = desk.losses(name, &bytes);
        let line: Option<String> =
            word.map(|word| format!("landscope: {name}: translated: {word}"));
        assert_eq!(said, line.unwrap_or_default(), "{name}");
        assert_eq!(found, wanted, "{name}");
    }
    // In a folder, where nothing else is.
    fs::create_dir(desk.path("folder")).unwrap();
    fs::write(desk.path("folder/skip.pt"), file(&storages, &state)).unwrap();
    let done = desk.run("folder", &[]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let desk = Desk::new();
    let with = |part: &str, other: &str| {
        let mut parts = desk.parts.clone();
        let found = parts.iter().find(|p| p.name == part).unwrap().clone();
        parts.push(Part { name: other.to_owned(), ..found });
        safe(&parts, Dtype::F32)
    };
    let said = desk.refused("a.safetensors", &with("conv1.weight", "module.conv1.weight"));
    assert!(said.contains("`conv1.weight` and `module.conv1.weight` would both be"), "{said}");
    let said = desk.refused("b.safetensors", &with("linear.bias", "fc.bias"));
    assert!(said.contains("`fc.bias` and `linear.bias` would both be `linear.bias`"), "{said}");
    let misspelt = desk.named(|n| n.replace("layer1.0.conv1.weight", "layer1.0.conv1.wieght"));
    let said = desk.refused("c.safetensors", &safe(&misspelt, Dtype::F32));
    let wanted =
        "tensor `layer1.0.conv1.weight` is missing; nearest in the file: `layer1.0.conv1.wieght`";
    assert!(said.ends_with(wanted), "{said}");
    let said = desk.refused("d.safetensors", &with("linear.bias", "head.bias"));
    assert!(said.contains("tensor `head.bias` belongs to another network"), "{said}");
    // A file as a whole: which of two state dicts?
    let (storages, views) = stored(&desk.parts);
    let state = state_dict(&storages, &views);
    let two = dict(&[("ema", state.clone()), ("model", state.clone())]);
    let said = desk.refused("e.pt", &file(&storages, &two));
    assert!(said.contains("holds several state dicts: `ema`, `model`"), "{said}");
    // Beside one that belongs to a loss, it is clear.
    let other = dict(&[("weight", torch_file::tensor(&storages, &views[0]))]);
    let both = file(&storages, &dict(&[("criterion", other), ("model", state)]));
    assert!(desk.losses("f.pt", &both).1.contains("the dict under `model`"));
}

#[test]
fn weights_that_are_not_finite_are_refused_unless_they_are_meant() {
    let desk = Desk::new();
    let mut parts = desk.parts.clone();
    for part in &mut parts {
        let Some(numbers) = &mut part.numbers else { continue };
        match &part.name[..] {
            "bn1.bias" => numbers.fill(f32::NAN),
            "conv1.weight" => numbers[3] = f32::INFINITY,
            "bn1.running_var" => numbers[0] = f32::NEG_INFINITY,
            _ => {}
        }
    }
    let bad = safe(&parts, Dtype::F32);
    let said = desk.refused("bad.safetensors", &bad);
    let which = "bad.safetensors: not finite: `conv1.weight` (1 inf of 36), `bn1.bias` (4 NaN of 4), `bn1.running_var` (1 inf of 4)";
    assert!(said.ends_with(&format!("{which}; --non-finite goes on with it")), "{said}");
    let done = desk.surface("bad.safetensors", &bad, &["--non-finite"]);
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    assert!(done.status.success() && said == format!("landscope: {which}"), "{said}");
    // In the other file of a line too, and in files of torch.save.
    fs::write(desk.path("good.safetensors"), safe(&desk.parts, Dtype::F32)).unwrap();
    let said = refused(&desk.run("good.safetensors", &["--to=bad.safetensors"]));
    assert!(said.contains("bad.safetensors: not finite: `conv1.weight`"), "{said}");
    let (storages, views) = stored(&parts);
    let said = desk.refused("bad.pt", &file(&storages, &state_dict(&storages, &views)));
    assert!(said.contains("bad.pt: not finite: `conv1.weight` (1 inf of 36)"), "{said}");
    // What double precision holds and single does not.
    let (mut storages, views) = stored(&desk.parts);
    storages[0].kind = "Double";
    storages[0].bytes = [1e300f64; 36].iter().flat_map(|v| v.to_le_bytes()).collect();
    let said = desk.refused("large.pt", &file(&storages, &state_dict(&storages, &views)));
    assert!(said.contains("`conv1.weight` (36 too large for float32 of 36)"), "{said}");
}

#[test]
fn files_that_ask_for_more_than_tensors_are_refused() {
    let desk = Desk::new();
    let (storages, views) = stored(&desk.parts);
    let state = state_dict(&storages, &views);
    let trace = desk.path("trace");
    let call = [
        b"cposix\nsystem\n(".to_vec(),
        text(&format!("touch {}", trace.display())),
        b"tR".to_vec(),
    ]
    .concat();
    let module =
        [b"c__main__\nNet\n)\x81".to_vec(), dict(&[("_parameters", state.clone())]), b"b".to_vec()]
            .concat();
    let numpy = b"cnumpy.core.multiarray\nscalar\n)R".to_vec();
    let legacy = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
    let claims = |change: &dyn Fn(&mut Storage, &mut View)| {
        let (mut storages, mut views) = (storages.clone(), views.clone());
        change(&mut storages[0], &mut views[0]);
        file(&storages, &state_dict(&storages, &views))
    };
    let whole = file(&storages, &state);
    let two = torch_file::zipped(&[
        ("data.pkl".to_owned(), b"\x80\x02}.".to_vec()),
        ("x/data.pkl".to_owned(), b"\x80\x02}.".to_vec()),
    ]);
    let cases: [(&str, Vec<u8>, &str); 18] = [
        (
            "call",
            file(&storages, &dict(&[("w", call.clone())])),
            "names `posix.system`, and nothing but tensors and plain values is read",
        ),
        (
            "dropped",
            file(&storages, &[call, b"0".to_vec(), state.clone()].concat()),
            "names `posix.system`",
        ),
        ("module", file(&storages, &module), "is a whole module (`__main__.Net`)"),
        (
            "numpy",
            file(&storages, &dict(&[("best", numpy), ("model", state.clone())])),
            "names `numpy.core.multiarray.scalar`",
        ),
        ("legacy", legacy, "before PyTorch 1.6"),
        ("list", file(&storages, b"]"), "holds no dict"),
        ("empty", file(&storages, b"}"), "holds no state dict"),
        (
            "petabytes",
            claims(&|s, v| (s.count, v.shape) = (1 << 50, vec![1 << 25, 1 << 25])),
            "no whole file of torch.save",
        ),
        (
            "overflow",
            claims(&|_, v| v.shape = vec![i64::MAX, i64::MAX]),
            "no whole file of torch.save",
        ),
        ("negative", claims(&|_, v| v.shape[0] = -4), "must be non-negative, got -4"),
        ("stride", claims(&|_, v| v.stride[0] = -9), "must be non-negative, got -9"),
        ("beyond", claims(&|_, v| v.offset = 1), "needs 37 elements"),
        (
            "short",
            claims(&|s, _| s.bytes.truncate(40)),
            "requires 36 elements from storage '0', but only 10",
        ),
        (
            "shape",
            claims(&|_, v| (v.shape, v.stride) = (vec![36], vec![1])),
            "`conv1.weight` is F32 [36]; expected F32 [4, 1, 3, 3]",
        ),
        (
            "whole numbers",
            claims(&|s, _| (s.kind, s.bytes) = ("Long", vec![0; 8 * 36])),
            "`conv1.weight` is I64",
        ),
        ("cut", whole[..whole.len() / 2].to_vec(), "no whole zip"),
        ("tail", whole[..whole.len() - 1].to_vec(), "zip"),
        ("two", two, "is a zip with 2 data.pkl"),
    ];
    for (name, bytes, word) in cases {
        let said = desk.refused(&format!("{name}.pt"), &bytes);
        assert!(said.contains(word), "{name}: {said}");
    }
    assert!(!trace.exists());
}

/// A checkpoint that a run goes on from is read by its own names alone: what was changed by hand is not its state.
#[test]
fn checkpoints_are_read_strictly() {
    let desk = Desk::new();
    let experiment = load(desk.path("c.toml").to_str().unwrap(), &[]).unwrap();
    let plan = Plan::of(&experiment.arms.values().next().unwrap().model, true, [1, 16, 16], 10);
    let read = |bytes: &[u8]| load_state(&plan, bytes, Device::Cpu).map(|_| ());
    read(&safe(&desk.parts, Dtype::F32)).unwrap();
    let prefixed = desk.named(|n| format!("module.{n}"));
    let said = read(&safe(&prefixed, Dtype::F32)).unwrap_err().to_string();
    assert_eq!(said, "tensor `conv1.weight` is missing");
    let said = read(&safe(&desk.parts, Dtype::F16)).unwrap_err().to_string();
    assert!(said.contains("is F16 [4, 1, 3, 3]; expected F32"), "{said}");
}

#[test]
fn what_is_no_file_is_not_read_for_ever() {
    let desk = Desk::new();
    let pipe = desk.path("pipe.pt");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    for name in ["/dev/zero", "pipe.pt"] {
        let said = refused(&desk.run(name, &[]));
        assert!(said.contains("is no regular file"), "{name}: {said}");
    }
    assert!(desk.refused("empty.pt", b"").contains("is empty"));
    // A terabyte of nothing.
    for name in ["hole.pt", "hole.safetensors"] {
        fs::File::create(desk.path(name)).unwrap().set_len(1 << 40).unwrap();
        let said = refused(&desk.run(name, &[]));
        assert!(said.contains("has 1048576 MiB; expected at most"), "{name}: {said}");
    }
}
