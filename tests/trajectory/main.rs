//! `landscope trajectory`: its table from a run folder made by hand, the figures and files it writes, and what it refuses.

#[path = "../common/mod.rs"]
mod common;
mod made;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{program, python_with};
use landscope::landscape::file::SurfaceFile;
use made::{RELATIVE, Run, caption, control, eval, map, step, step_at, steps};
use serde_json::{Value, json};

#[test]
fn figures_are_those_of_the_events() {
    let evals = [
        eval("sgd-wd", 6, json!(0.5)),
        eval("sgd-wd", 12, json!(0.125)),
        eval("adam", 12, Value::Null),
    ];
    let run = Run::new().told(steps()).told(evals);
    let [sgd, adam] = &run.objects(&[])[..] else { panic!("two arms") };
    assert_eq!(
        (&sgd["arm"], &sgd["optimizer"], &sgd["batch"]),
        (&json!("sgd-wd"), &json!("sgd"), &json!(64))
    );
    assert_eq!(
        (&sgd["weight_decay"], &sgd["steps"], &sgd["test_err"]),
        (&json!(5e-4), &json!(12), &json!(0.125))
    );
    // 7, 14, 21, 28 | 35, 42, 49, 56 | 63, 70, 77, 84; above 45 from 49 on: six of twelve.
    assert_eq!(sgd["full"], json!({"early": 17.5, "middle": 45.5, "late": 73.5, "above_45": 0.5}));
    // Known from step 5 on: 17.5, 21, 24.5, 28 | 31.5, 35, 38.5, 42.
    assert_eq!(
        sgd["plane"],
        json!({"early": null, "middle": 22.75, "late": 36.75, "above_45": 0.0})
    );
    assert_eq!(
        (&sgd["explained"], &sgd["map"], &sgd["gap"]["median"]),
        (&json!(null), &json!(null), &json!(null))
    );
    assert_eq!(sgd["changes"], json!([{"step": 9, "key": "lr", "from": 0.1, "to": 0.01}]));
    let none = json!({"early": null, "middle": null, "late": null, "above_45": null});
    assert_eq!((&adam["full"], &adam["plane"], &adam["test_err"]), (&none, &none, &json!(null)));
    assert_eq!((&adam["optimizer"], &adam["weight_decay"]), (&json!("adam"), &json!(0.0)));
    let text = run.ok(&[]);
    let row = text.lines().find(|l| l.starts_with("sgd-wd ")).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    let wanted = "sgd-wd sgd 5e-4 64 - - - 17.5 45.5 73.5 50 % - 22.8 36.8 0 % 12.5 %";
    assert_eq!(cells.join(" "), wanted);
    let row = text.lines().find(|l| l.starts_with("adam ")).unwrap();
    assert_eq!(row.split_whitespace().filter(|c| *c == "-").count(), 12, "{row}");
    assert!(text.contains("sgd-wd: lr 0.01 from step 9"), "{text}");
    assert!(text.contains("no map in the plane of the path of sgd-wd, adam"), "{text}");
}

#[test]
fn explained_shares_and_gap_are_of_the_newest_map() {
    let told = json!({"event": "trajectory", "arm": "adam", "step": 12, "t": 0.0, "snapshots": 5,
        "explained": [0.5, 0.25], "gap": {"median": 0.5, "max": 1.0, "relative": 0.75}});
    let run = Run::new().told(steps()).told([told]);
    // An older one, whose gap is larger; one that is no surface, one that is another arm's.
    let run = run.with_map("sgd-wd", [0, 2, 3, 4], 5.0).with_map("sgd-wd", [0, 4, 8, 12], 0.1);
    fs::write(run.path("surfaces/00000099-sgd-wd-pca.h5"), "no surface").unwrap();
    let mut other = map(1.0);
    other.about.arm = "adam-2".to_owned();
    other.write(&run.folder.join("surfaces/00000098-sgd-wd-pca.h5")).unwrap();
    let [sgd, adam] = &run.objects(&[])[..] else { panic!("two arms") };
    assert_eq!(sgd["explained"], json!([0.7, 0.2]));
    let gap = |arm: &Value, key: &str| arm["gap"][key].as_f64().unwrap();
    assert!(
        (gap(sgd, "median") - 0.1).abs() < 1e-9 && (gap(sgd, "max") - 0.1).abs() < 1e-9,
        "{sgd}"
    );
    assert!((gap(sgd, "relative") - RELATIVE).abs() < 1e-9, "{sgd}");
    assert!(sgd["map"].as_str().unwrap().ends_with("surfaces/00000012-sgd-wd-pca.h5"));
    // Without a map, what the run told of it.
    assert_eq!((&adam["explained"], gap(adam, "relative")), (&json!([0.5, 0.25]), 0.75));
    let text = run.ok(&[]);
    assert!(text.contains("0.100 (6 %), 0.100") && text.contains("0.500 (75 %)!, 1.00"), "{text}");
    assert!(text.contains("!: large, the map is not what was trained on"), "{text}");
}

#[test]
fn a_map_that_gave_way_is_told_and_not_judged() {
    let run = Run::new().told(steps()).with_map("adam", [0, 2, 4, 8], 5.0);
    let mut coarse = map(5.0);
    (coarse.about.arm, coarse.about.coarse) = ("sgd-wd".to_owned(), true);
    coarse.about.step = 12;
    coarse.write(&run.folder.join("surfaces/00000012-sgd-wd-pca.h5")).unwrap();
    let [sgd, adam] = &run.objects(&[])[..] else { panic!("two arms") };
    assert_eq!((&sgd["map_coarse"], &sgd["map_step"]), (&json!(true), &json!(12)));
    assert_eq!((&adam["map_coarse"], &adam["map_step"]), (&json!(false), &json!(8)));
    let text = run.ok(&[]);
    let row = |arm: &str| text.lines().find(|l| l.starts_with(arm)).unwrap().to_owned();
    assert!(!row("sgd-wd ").contains('!') && row("adam ").contains(")!"), "{text}");
    assert!(text.contains("\nsgd-wd: its map is coarse"), "{text}");
    assert!(text.contains("\nadam: its map is of step 8, the arm is at 12"), "{text}");
    let out = run.path("x.svg");
    run.ok(&["--out", &out]);
    let caption = caption(&fs::read_to_string(&out).unwrap());
    assert!(
        caption.contains("off (of a coarse map)") && caption.contains("a large gap"),
        "{caption}"
    );
}

#[test]
fn arms_that_diverged_and_arms_that_were_forked() {
    let alert = json!({"event": "alert", "arm": "adam", "step": 3, "t": 0.0, "kind": "diverged", "level": "error", "text": "x"});
    let mut fork = control(json!("sgd-wd"), 7, "fork", 0.0, 2.0);
    fork["name"] = json!("sgd-wd-2");
    let mut lines: Vec<Value> = steps()
        .into_iter()
        .filter(|l| l["arm"] != "adam" || l["step"].as_u64() < Some(4))
        .collect();
    lines.push(alert);
    lines.extend([fork, control(json!("sgd-wd-2"), 7, "weight_decay", 5e-4, 0.0)]);
    lines.extend((7..=12).map(|s| {
        let mut line = step("sgd-wd-2", s, json!(80.0), Value::Null);
        line["weight_decay"] = json!(0.0);
        line
    }));
    lines.push(control(Value::Null, 13, "batch", 64.0, 128.0));
    // What no arm is, and what is no event, is passed over.
    lines.extend([step("nobody", 3, json!(1.0), json!(1.0)), json!({"event": "future"}), json!(7)]);
    let run = Run::new().told(lines);
    let [sgd, adam, copy] = &run.objects(&[])[..] else { panic!("three arms") };
    assert_eq!(adam["ended"], json!({"kind": "diverged", "step": 3}));
    assert_eq!((&copy["arm"], &copy["optimizer"]), (&json!("sgd-wd-2"), &json!("sgd")));
    assert_eq!(
        (&copy["weight_decay"], &copy["full"]["early"], &copy["full"]["above_45"]),
        (&json!(0.0), &json!(80.0), &json!(1.0))
    );
    let keys = |arm: &Value| -> Vec<String> {
        let all = arm["changes"].as_array().unwrap().iter();
        all.map(|c| format!("{} {}", c["key"].as_str().unwrap(), c["step"])).collect()
    };
    // How the copy began is no change on its way.
    assert_eq!(keys(copy), ["batch 13"]);
    assert_eq!(keys(sgd), ["fork 7", "lr 9", "batch 13"]);
    let text = run.ok(&[]);
    assert!(text.contains("diverged at step 3") && text.contains("64>128"), "{text}");
}

#[test]
fn a_learning_rate_changed_by_hand_is_marked_where_it_was() {
    // Every fourth step is recorded; the change was made for step 6.
    let at = |s: u64, lr: f64| step_at("sgd-wd", s, lr, json!(10.0), Value::Null);
    let lines =
        [at(4, 0.1), control(json!("sgd-wd"), 6, "lr", 0.1, 0.05), at(8, 0.05), at(12, 0.005)];
    let run = Run::new().told(lines);
    let changes = &run.objects(&["--arm", "sgd-wd"])[0]["changes"];
    assert_eq!(changes[0], json!({"step": 6, "key": "lr", "from": 0.1, "to": 0.05}));
    assert_eq!(changes[1], json!({"step": 12, "key": "lr", "from": 0.05, "to": 0.005}));
}

#[test]
fn arms_are_drawn_side_by_side_with_common_levels() {
    let run = Run::new().told(steps()).told([control(Value::Null, 6, "weight_decay", 5e-4, 0.0)]);
    let run = run.with_map("sgd-wd", [0, 4, 8, 12], 0.1).with_map("adam", [0, 4, 8, 12], 0.4);
    let out = run.path("x.svg");
    let told = run.ok(&["--out", &out, "--levels", "1,4"]);
    assert!(told.starts_with("  ") && told.trim_end().ends_with(&out), "{told}");
    let text = fs::read_to_string(&out).unwrap();
    for id in
        ["panel", "panel-2", "trajectory", "trajectory-2", "field", "field-2", "key", "colorbar"]
    {
        assert_eq!(text.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
    }
    // Rings at 1 and 4 on both: radii 3.2 and 6.3, 1.6 and 3.2.
    assert_eq!(text.matches("class=\"isoline\"").count(), 4);
    assert_eq!(text.matches(">PC1 70 %<").count(), 2);
    assert_eq!(text.matches(">PC2 20 %<").count(), 2);
    assert!(
        text.contains(">sgd-wd: sgd, weight decay 5e-4, batch 64<")
            && text.contains(">adam: adam, weight decay 0, batch 32<")
    );
    // Straight down is orange, along the isocurve blue, up again dashed.
    let first = &text[text.find("id=\"trajectory\"").unwrap()..text.find("id=\"ends\"").unwrap()];
    let stretches: Vec<&str> = first.split("class=\"stretch\"").skip(1).collect();
    assert_eq!(stretches.len(), 3, "{first}");
    assert!(stretches[0].contains("stroke=\"#f58c14\""), "{}", stretches[0]);
    assert!(stretches[1].contains("stroke=\"#18308c\""), "{}", stretches[1]);
    assert!(stretches[2].contains("stroke-dasharray"), "{}", stretches[2]);
    assert!(first.contains("class=\"arrow\""));
    // Both have the change by hand, one the drop of the learning rate.
    assert_eq!((text.matches(">wd 0<").count(), text.matches(">lr 0.01<").count()), (2, 1));
    let caption = caption(&text);
    assert!(
        caption.contains(
            "sgd-wd: 90 % of the variance in the plane, 0.1 nats (6.1 %) off, 0.1 at most"
        ),
        "{caption}"
    );
    assert!(caption.contains("(a large gap: not what was trained on), 19.3 at most"), "{caption}");
    let png = run.path("x.png");
    run.ok(&["--out", &png, "--size", "900x500"]);
    let bytes = fs::read(&png).unwrap();
    assert_eq!(&bytes[16..24], [0, 0, 3, 132, 0, 0, 1, 244]);
    // One alone is a figure of its own.
    run.ok(&["--out", &out, "--arm", "adam"]);
    let text = fs::read_to_string(&out).unwrap();
    assert!(
        text.contains(">Path of adam: adam, weight decay 0, batch 32<")
            && !text.contains("id=\"panel")
    );
}

#[test]
fn what_cannot_be_drawn_is_told_beside_what_can() {
    let run = Run::new().told(steps()).with_map("sgd-wd", [0, 4, 8, 12], 0.1);
    let done = run.ask(&["--out", &run.path("x.svg")]);
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(
        done.status.success() && said.contains("not drawn: ") && said.contains("adam"),
        "{said}"
    );
    // Eight arms in two rows: nothing is lost.
    let mut file = run;
    for i in 0..6 {
        let name = format!("f{i}");
        let mut fork = control(json!("sgd-wd"), 3, "fork", 0.0, 2.0 + f64::from(i));
        fork["name"] = json!(name);
        file = file.told([fork]).with_map(&name, [0, 4, 8, 12], 0.1);
    }
    let out = file.path("many.svg");
    file.ok(&["--out", &out]);
    let text = fs::read_to_string(&out).unwrap();
    assert!(
        text.contains("id=\"panel-7\"")
            && text.contains("Without a map in the plane of its path: adam.")
    );
}

#[test]
fn maps_and_paths_that_are_hardly_any() {
    type Change = fn(&mut SurfaceFile);
    let cases: [(&str, Change); 6] = [
        ("one finite value", |f| {
            f.surface.loss.fill(f64::NAN);
            f.surface.loss[220] = 1.0;
        }),
        ("huge", |f| f.surface.loss.iter_mut().for_each(|v| *v = *v * 1e300 + 1e300)),
        ("a constant", |f| f.surface.loss.fill(2.3)),
        ("off the map", |f| f.trajectory.as_mut().unwrap().xs.fill(1e9)),
        ("no number", |f| f.trajectory.as_mut().unwrap().xs[1] = f64::NAN),
        ("nothing told", |f| {
            let path = f.trajectory.as_mut().unwrap();
            (path.steps, path.loss) = (Vec::new(), Vec::new());
            f.about.variance.clear();
        }),
    ];
    for (name, change) in cases {
        let run = Run::new().told(steps()).with_map("adam", [0, 4, 8, 12], 0.1);
        let mut file = map(0.1);
        change(&mut file);
        file.about.arm = "sgd-wd".to_owned();
        let at = run.folder.join("surfaces/00000012-sgd-wd-pca.h5");
        file.write(&at).unwrap();
        let out = run.path("x.svg");
        run.ok(&["--out", &out]);
        let text = fs::read_to_string(&out).unwrap();
        assert!(
            !text.contains("NaN") && !text.contains("\"inf") && text.contains("id=\"panel-2\""),
            "{name}"
        );
        for more in [&["--color", "always"][..], &["--view", "3d", "--out", &run.path("x.png")]] {
            let mut plot = Command::new(program());
            let done = plot.arg("plot").arg(&at).args(more).output().unwrap();
            assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
        }
    }
}

#[test]
fn wrong_input_is_refused_in_a_line() {
    let run = Run::new().told(steps());
    let endings = run.refused(&["--out", "x.gif"]);
    assert!(
        endings.contains("--out x.gif: expected a name that ends in .png or .svg")
            && endings.contains(".npz"),
        "{endings}"
    );
    assert!(run.refused(&["--out", "x"]).contains("expected a name that ends in"));
    assert!(
        run.refused(&["--arm", "nobody"]).contains("--arm nobody: the run's arms are sgd-wd, adam")
    );
    let said = run.refused(&["--out", &run.path("x.h5")]);
    assert!(said.contains("holds one arm; choose one with --arm: sgd-wd, adam"), "{said}");
    let said = run.refused(&["--out", &run.path("x.png")]);
    assert!(
        said.contains("no map in the plane of the path of sgd-wd, adam; a run draws it"),
        "{said}"
    );
    // With checkpoints enough the way there is told.
    for step in ["step-00000004", "step-00000008", "step-00000012"] {
        fs::create_dir(run.folder.join(step)).unwrap();
        fs::write(run.folder.join(step).join("adam.safetensors"), "").unwrap();
    }
    let said = run.refused(&["--out", &run.path("x.h5"), "--arm", "adam"]);
    assert!(
        said.contains("--arm adam --plane pca --y=auto makes one of its 3 checkpoints"),
        "{said}"
    );
    assert!(!run.folder.join("x.h5").exists());
    let run = run.with_map("adam", [0, 4, 8, 12], 0.1);
    assert!(run.refused(&["--out", "/nonexistent/x.png"]).contains("/nonexistent/x.png: "));
    assert!(
        run.refused(&["--out", "/nonexistent/x.npz", "--arm", "adam"])
            .contains("/nonexistent/x.npz: ")
    );
    fs::write(run.folder.join("metrics.jsonl"), "{\"event\":\"st\n\u{0}\n").unwrap();
    assert!(run.refused(&[]).contains("metrics.jsonl: tells of no run"));
    fs::remove_file(run.folder.join("metrics.jsonl")).unwrap();
    assert!(run.refused(&[]).contains("metrics.jsonl: No such file"));
    fs::write(run.folder.join("run.toml"), "steps = \"many\"").unwrap();
    assert!(run.refused(&[]).contains("run.toml"));
    fs::remove_file(run.folder.join("run.toml")).unwrap();
    assert!(run.refused(&[]).contains("nor a folder of one"));
}

#[test]
fn one_arm_is_exported_for_other_tools() {
    let run = Run::new().told(steps()).with_map("adam", [0, 4, 8, 12], 0.1);
    let (h5, npz) = (run.path("x.h5"), run.path("x.npz"));
    for out in [&h5, &npz, &h5] {
        assert!(run.ok(&["--arm", "adam", "--out", out]).trim_end().ends_with(out.as_str()));
    }
    let back = SurfaceFile::read(Path::new(&h5)).unwrap();
    assert_eq!(back.trajectory.unwrap(), map(0.1).trajectory.unwrap());
    // Another surface is not written over.
    let other = run.path("other.h5");
    map(3.0).write(Path::new(&other)).unwrap();
    assert!(run.refused(&["--arm", "adam", "--out", &other]).contains("is not this surface"));
}

#[test]
#[ignore = "wants a Python with h5py, as .ci/run makes one: LANDSCOPE_TEST_PYTHON=PATH cargo test --test trajectory -- --ignored"]
fn h5py_and_numpy_read_what_is_exported() {
    let python = python_with("h5py, numpy");
    let run = Run::new().told(steps()).with_map("adam", [0, 4, 8, 12], 0.1);
    let (h5, npz) = (run.path("x.h5"), run.path("x.npz"));
    for out in [&h5, &npz] {
        run.ok(&["--arm", "adam", "--out", out]);
    }
    let script = "\
import h5py, numpy, sys
f, n = h5py.File(sys.argv[1]), numpy.load(sys.argv[2])
assert list(f['proj_xcoord'][:]) == [8, 4, 4, 4] and list(f['proj_ycoord'][:]) == [0, 0, .5, 4]
assert list(f['proj_step'][:]) == [0, 4, 8, 12] and f['proj_loss'].shape == (4,)
a = f['proj_angle'][:]
assert abs(a[0] - 90) < 1e-6 and abs(a[1]) < 15 and a[2] < -5 and numpy.isnan(a[3]), a
assert numpy.array_equal(a, n['proj_angle'], equal_nan=True)
assert numpy.array_equal(f['proj_xcoord'][:], n['proj_xcoord']) and n['train_loss'].shape == (21, 21)
assert list(f['explained_variance_ratio_'][:]) == [.7, .2]
assert abs(f.attrs['gap_median'] - .1) < 1e-9 and abs(f.attrs['gap_relative'] - float(sys.argv[3])) < 1e-9
";
    let done = Command::new(python)
        .args(["-c", script, &h5, &npz, &RELATIVE.to_string()])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn plot_tells_of_the_path_and_of_changes_on_it() {
    let run = Run::new().told(steps()).with_map("sgd-wd", [0, 4, 8, 12], 5.0);
    let file = run.path("surfaces/00000012-sgd-wd-pca.h5");
    let plot = |args: &[&str]| {
        let mut command = Command::new(program());
        command
            .arg("plot")
            .arg(&file)
            .args(args)
            .env("LC_ALL", "C.UTF-8")
            .env("TERM", "xterm-256color");
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let plain = plot(&["--ascii"]);
    assert!(plain.contains("path: = along o aslant x across u uphill"), "{plain}");
    let colored = plot(&["--color", "always"]);
    assert!(colored.contains(" across ") && colored.contains(" uphill"), "{colored}");
    let out = run.path("x.svg");
    plot(&["--out", &out]);
    let text = fs::read_to_string(&out).unwrap();
    assert!(text.contains("id=\"key\"") && text.contains(">lr 0.01<"));
    let caption = caption(&text);
    assert!(caption.contains("a large gap: the map is not what was trained on"), "{caption}");
    assert!(caption.contains("Marks: lr 0.01 after step 8"), "{caption}");
    assert!(plot(&["--out", &out, "--view", "3d"]).contains("x.svg"));
}
