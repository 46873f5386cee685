//! The program without a screen, end to end.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use common::{SMALL, events, landscope, of_kind, run_folder};
use landscope::landscape::file::SurfaceFile;
use serde_json::Value;

#[test]
fn json_holds_every_event_in_order_and_nothing_else() {
    let out = tempfile::tempdir().unwrap();
    let done = landscope(out.path())
        .args(["--steps", "24", "--format", "json", "--set", "model.depth=8"])
        .args(["--set", "map.every=10", "--set", "map.grid=5", "--set", "map.images=16"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    let events = events(&done);

    let first = &events[0];
    assert_eq!(first["event"], "run");
    assert_eq!(first["arms"].as_array().unwrap().len(), 2);
    let layers = first["arms"][0]["layers"].as_array().unwrap();
    assert_eq!(
        (&layers[0]["name"], &layers[0]["shape"]),
        (&"conv1.weight".into(), &serde_json::json!([8, 1, 3, 3]))
    );
    for (index, arm) in ["skip", "noskip"].iter().enumerate() {
        let steps: Vec<&Value> =
            of_kind(&events, "step").into_iter().filter(|e| e["arm"] == *arm).collect();
        let numbers: Vec<u64> = steps.iter().map(|s| s["step"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=24).collect::<Vec<_>>(), "{arm}");
        let layers = first["arms"][index]["layers"].as_array().unwrap().len();
        for step in &steps {
            assert_eq!(step["layer_grad_norms"].as_array().unwrap().len(), layers);
            let angle = step["angle"]["full_deg"].as_f64().unwrap();
            assert!((-90.0..=90.0).contains(&angle));
            // From the fourth snapshot on there is a plane of those before it; a run as short keeps one a step.
            let plane = &step["angle"]["plane_deg"];
            match step["step"].as_u64().unwrap() {
                1..=3 => assert!(plane.is_null(), "{step}"),
                _ => assert!((-90.0..=90.0).contains(&plane.as_f64().unwrap()), "{step}"),
            }
            assert!(
                (-90.0..=90.0).contains(&step["angle"]["counterfactual_deg"].as_f64().unwrap())
            );
            let share = &step["step_share"];
            let sum: f64 =
                ["gradient", "momentum", "decay"].iter().map(|k| share[k].as_f64().unwrap()).sum();
            assert!((sum - 1.0).abs() < 1e-6, "{share}");
            let acc = step["acc"].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&acc));
        }
        // 1437 / 64 = 22 batches: the end of the first epoch, and the end of the run.
        let evals: Vec<u64> = of_kind(&events, "eval")
            .into_iter()
            .filter(|e| e["arm"] == *arm)
            .map(|e| e["step"].as_u64().unwrap())
            .collect();
        assert_eq!(evals, [22, 24], "{arm}");
    }
    assert!(!of_kind(&events, "blocks").is_empty());
    let surfaces = of_kind(&events, "surface");
    assert!(surfaces.len() >= 2, "{surfaces:?}");
    let folder = run_folder(out.path());
    for surface in surfaces {
        assert!(folder.join(surface["file"].as_str().unwrap()).is_file(), "{surface}");
    }
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["status"]), (&"done".into(), &"finished".into()));
    let times: Vec<f64> =
        of_kind(&events, "step").iter().map(|e| e["t"].as_f64().unwrap()).collect();
    assert!(times.iter().all(|t| *t > 0.0));

    // The file holds the same.
    let kept = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    assert_eq!(kept.as_bytes(), done.stdout);
    for name in [
        "run.toml",
        "engine.log",
        "latest",
        "step-00000024/state.json",
        "step-00000024/skip.safetensors",
    ] {
        assert!(folder.join(name).exists(), "{name} is missing");
    }
}

/// The arm with most steps to make diverges; the other one makes all of its own.
#[test]
fn a_run_has_finished_once_its_whole_arms_have() {
    let out = tempfile::tempdir().unwrap();
    let done = landscope(out.path())
        .args(["--epochs", "2", "--format", "json", "--set", "model.depth=8"])
        .args(["--set", "map.every=0", "--set", "arm.skip.batch=700"])
        .args(["--set", "arm.noskip.lr=1e30"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let events = events(&done);
    let last = |kind: &str, arm: &str| -> Option<u64> {
        let own = of_kind(&events, kind).into_iter().filter(|e| e["arm"] == arm);
        own.filter_map(|e| e["step"].as_u64()).next_back()
    };
    assert!(last("step", "noskip").unwrap() < 44);
    assert_eq!(last("step", "skip"), Some(4));
    assert_eq!(of_kind(&events, "done")[0]["status"], "finished");
}

#[test]
fn both_arms_see_the_same_batches_and_a_seed_gives_the_same_run() {
    let run = |seed: &str| {
        let out = tempfile::tempdir().unwrap();
        let done = landscope(out.path())
            .args(["--steps", "6", "--format", "json", "--set", &format!("seed={seed}")])
            .args(SMALL)
            .output()
            .unwrap();
        let events = events(&done);
        // The plane that angles are told in is laid by another thread: it must not hang on who is faster.
        let figures = |e: &&Value| ["arm", "step", "loss", "angle"].map(|key| e[key].to_string());
        let mut told: Vec<_> = of_kind(&events, "step").iter().map(figures).collect();
        told.sort();
        told
    };
    let (first, again, other) = (run("3"), run("3"), run("4"));
    assert_eq!(first, again);
    assert_ne!(first, other);
}

#[test]
fn arms_of_different_batches_make_as_many_passes() {
    let out = tempfile::tempdir().unwrap();
    let sets = ["arm.noskip.batch=700", "checkpoint.every=9", "map.every=7", "map.grid=5"];
    let done = landscope(out.path())
        .args(["--epochs", "1", "--format", "json", "--set", "model.depth=8"])
        .args(sets.iter().flat_map(|s| ["--set", s]))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let told = events(&done);
    let steps = |kind: &str, arm: &str| -> Vec<u64> {
        let own = of_kind(&told, kind).into_iter().filter(|e| e["arm"] == arm);
        own.map(|e| e["step"].as_u64().unwrap()).collect()
    };
    // 1437 images: 22 batches of 64, 2 of 700. Each is tested at the end of its pass, once.
    assert_eq!(steps("step", "skip"), (1..=22).collect::<Vec<_>>());
    assert_eq!(steps("step", "noskip"), [1, 2]);
    assert_eq!((steps("eval", "skip"), steps("eval", "noskip")), (vec![22], vec![2]));
    // An arm that waits is kept and mapped with the others, as the weights that it has.
    let run = run_folder(out.path());
    for step in [9, 18, 22] {
        assert!(run.join(format!("step-{step:08}/noskip.safetensors")).is_file(), "step {step}");
    }
    let last = of_kind(&told, "surface").into_iter().rfind(|e| e["arm"] == "noskip").unwrap();
    assert_eq!(last["step"], 2);
    let bits = |step| fs::read(run.join(format!("step-{step:08}/noskip.safetensors"))).unwrap();
    assert!(bits(9) == bits(22));
    // Taken up where one waits, the run ends the same.
    let kept = bits(22);
    fs::remove_dir_all(run.join("step-00000022")).unwrap();
    let again = landscope(out.path()).arg("--resume").arg(&run).output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert!(bits(22) == kept);
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let evals = metrics.lines().filter(|l| l.contains("\"eval\"") && l.contains("noskip")).count();
    assert_eq!(evals, 1);
}

#[test]
fn a_run_keeps_its_paths_and_lays_maps_into_their_planes() {
    let run = |sets: &[&str]| {
        let out = tempfile::tempdir().unwrap();
        let done = landscope(out.path())
            .args(["--steps", "20", "--format", "json", "--set", "model.depth=8"])
            .args(["--set", "map.every=10", "--set", "map.grid=5", "--set", "map.images=16"])
            .args(sets.iter().flat_map(|s| ["--set", s]))
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        (out, events(&done))
    };
    // The disk in place of memory, and thinned: at most 8, even ones, the first and the newest.
    let (out, told) = run(&["trajectory.keep=8", "trajectory.every=1", "trajectory.memory=0"]);
    let folder = run_folder(out.path());
    for arm in ["skip", "noskip"] {
        let files = fs::read_dir(folder.join("trajectory").join(arm)).unwrap();
        let mut steps: Vec<String> =
            files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        steps.sort();
        let wanted: Vec<String> =
            (0..=20).step_by(4).map(|s| format!("{s:08}.safetensors")).collect();
        assert_eq!(steps, wanted);
        let file =
            SurfaceFile::read(&folder.join(format!("surfaces/00000020-{arm}-pca.h5"))).unwrap();
        let path = file.trajectory.unwrap();
        assert_eq!(path.steps, [0, 4, 8, 12, 16, 20]);
        assert_eq!((path.xs[5], path.ys[5]), (0.0, 0.0), "the newest is the origin");
        assert!(path.loss.iter().all(|l| l.is_finite()));
        // The origin is a grid point, whose loss is that of the weights themselves.
        let place = |axis: &[f64]| axis.iter().position(|v| *v == 0.0).unwrap();
        let at = place(&file.surface.ys) * 5 + place(&file.surface.xs);
        assert!((file.surface.loss[at] / path.loss[5] - 1.0).abs() < 1e-4, "{arm}");
        let told = of_kind(&told, "trajectory").into_iter().rfind(|e| e["arm"] == arm).unwrap();
        assert_eq!((&told["step"], &told["snapshots"]), (&20.into(), &6.into()));
        let explained: Vec<f64> =
            told["explained"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert_eq!(explained, file.about.variance);
    }
    let (out, told) = run(&["map.plane=random"]);
    assert!(of_kind(&told, "trajectory").is_empty());
    assert!(of_kind(&told, "surface").iter().all(|e| e["plane"] == "random"));
    assert!(run_folder(out.path()).join("trajectory/skip/00000020.safetensors").is_file());
    let (out, told) = run(&["trajectory.keep=0"]);
    assert!(of_kind(&told, "step").iter().all(|e| e["angle"]["plane_deg"].is_null()));
    assert!(!run_folder(out.path()).join("trajectory").exists());
}

#[test]
fn text_ends_with_a_summary() {
    let out = tempfile::tempdir().unwrap();
    // No --headless: stdout is no terminal.
    let done = std::process::Command::new(common::program())
        .env("LANDSCOPE_STATE", common::state_of(out.path()))
        .arg("--out")
        .arg(out.path())
        .args(["--steps", "3"])
        .args(SMALL)
        .output()
        .unwrap();
    assert!(done.status.success());
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(text.contains("finished after 3 steps"), "{text}");
    assert!(text.contains("test err") && text.contains("noskip"), "{text}");
    assert!(!text.contains('\u{1b}'), "an escape sequence in a file");
}

#[test]
fn a_reader_that_leaves_stops_the_run_after_a_checkpoint() {
    let out = tempfile::tempdir().unwrap();
    let mut child = landscope(out.path())
        .args(["--steps", "100000", "--format", "json"])
        .args(SMALL)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut line).unwrap();
    assert!(line.contains("\"event\":\"run\""));
    drop(reader);
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success());
    assert!(String::from_utf8_lossy(&done.stderr).contains("nobody reads stdout"));
    let kept = fs::read_to_string(run_folder(out.path()).join("metrics.jsonl")).unwrap();
    assert!(kept.contains("\"event\":\"checkpoint\""));
    assert!(kept.trim_end().ends_with('}') && kept.contains("\"status\":\"stopped\""));
}

/// A clone's configs, data and run folders are found from any directory of it; what lies nowhere names what was looked for.
#[test]
fn from_any_directory_of_a_clone() {
    let clone = tempfile::tempdir().unwrap();
    let top = clone.path().canonicalize().unwrap();
    let deep = top.join("src/deep");
    for folder in ["configs", "data/sets", "src/deep"] {
        fs::create_dir_all(top.join(folder)).unwrap();
    }
    fs::write(top.join("Cargo.toml"), "").unwrap();
    let config = "name = 'mine'\nsteps = 3\n[model]\ndepth = 8\n[map]\nevery = 3\ngrid = 5\nimages = 16\nplane = 'random'\n";
    fs::write(top.join("configs/demo.toml"), config).unwrap();
    fs::write(top.join("configs/mine.toml"), config).unwrap();
    let cifar = format!("{config}[data]\nkind = 'cifar10'\ndir = 'data/sets'\n");
    fs::write(top.join("configs/other.toml"), cifar).unwrap();
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(common::program());
        command.env("LANDSCOPE_STATE", common::state_of(&top)).current_dir(&deep).args(args);
        let done = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (done.status.code(), text(done.stdout), text(done.stderr))
    };
    let (status, _, said) = run(&["run", "mine", "--headless"]);
    assert_eq!(status, Some(0), "{said}");
    let folder = run_folder(&top.join("checkpoints"));
    let name = folder.file_name().unwrap().to_str().unwrap();
    assert_eq!(fs::read_dir(&deep).unwrap().count(), 0, "nothing is left where it was called");
    let surface = format!("checkpoints/{name}/surfaces/00000003-skip.h5");
    for args in [
        &["plot", &surface, "--ascii"][..],
        &["surface", &format!("checkpoints/{name}"), "--arm", "skip", "--x=-1:1:3"],
        &["surface", name, "--arm", "noskip", "--x=-1:1:3"],
        &["trajectory", name],
        &["run", "--resume", &format!("checkpoints/{name}"), "--headless", "--steps", "4"],
    ] {
        let (status, _, said) = run(args);
        assert_eq!(status, Some(0), "{args:?}: {said}");
    }
    let (_, _, said) = run(&["run", "nosuch", "--headless"]);
    assert!(said.contains("no such file, nor configs/nosuch.toml; built in: demo"), "{said}");
    let (_, _, said) = run(&["run", "other", "--headless"]);
    let sets = top.join("data/sets");
    assert!(
        said.contains(&sets.display().to_string()),
        "its data are looked for at the top: {said}"
    );
    // What is typed by hand holds from here.
    let (_, _, said) = run(&["run", "other", "--headless", "--set", "data.dir=nowhere"]);
    assert!(!said.contains("data/sets") && said.contains("nowhere"), "{said}");
}

/// A file that keeps few steps: all at first, then by the rule that it tells, also after it was taken up again; and the first
/// and the last of every go. Standard output is told every step.
#[test]
fn a_long_run_keeps_fewer_steps_in_its_file() {
    let out = tempfile::tempdir().unwrap();
    let sets =
        ["model.depth=8", "map.every=0", "trajectory.keep=0", "record.limit=1", "data.limit=64"];
    let mut command = landscope(out.path());
    command.args(sets.iter().flat_map(|set| ["--set", set]));
    let done = command.args(["--steps", "850", "--format", "json"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let folder = run_folder(out.path());
    let path = folder.join("metrics.jsonl");
    let kept = || -> Vec<Value> {
        let text = fs::read_to_string(&path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let steps = |events: &[Value], arm: &str| -> Vec<u64> {
        let of_arm = of_kind(events, "step").into_iter().filter(|e| e["arm"] == arm);
        of_arm.map(|e| e["step"].as_u64().unwrap()).collect()
    };
    let first = kept();
    let until = first[0]["steps_kept"]["every_one_until"].as_u64().unwrap();
    assert!((100..=400).contains(&until), "{until}");
    assert!(first[0]["steps_kept"]["rule"].as_str().unwrap().contains(&until.to_string()));
    assert!(steps(&events(&done), "skip").into_iter().eq(1..=850));
    let wanted = |last: u64| {
        (1..=last).filter(move |s| match s.div_ceil(until) {
            0 | 1 => true,
            2 => s.is_multiple_of(4),
            3..=4 => s.is_multiple_of(8),
            5..=8 => s.is_multiple_of(32),
            _ => s.is_multiple_of(64),
        })
    };
    for arm in ["skip", "noskip"] {
        let mut wanted: Vec<u64> = wanted(850).collect();
        if wanted.last() != Some(&850) {
            wanted.push(850);
        }
        assert_eq!(steps(&first, arm), wanted, "{arm}");
    }
    assert_eq!(of_kind(&first, "eval").len(), of_kind(&events(&done), "eval").len());
    let mut command = landscope(out.path());
    command.args(["--resume", folder.to_str().unwrap(), "--steps", "1000"]);
    assert!(command.output().unwrap().status.success());
    let longer = kept();
    let after: Vec<u64> = steps(&longer, "skip").into_iter().filter(|s| *s > 850).collect();
    let wanted = wanted(1000).filter(|s| *s > 851);
    assert!(after.iter().copied().eq([851].into_iter().chain(wanted).chain([1000])), "{after:?}");
    assert_eq!(of_kind(&longer, "run").len(), 1);
    assert_eq!(longer[0], first[0], "the rule that the file tells");
}
