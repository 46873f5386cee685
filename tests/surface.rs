//! `landscope surface` and `landscope merge` as they are used: in a run folder, killed, in parts, with wrong input.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{landscope, program, run_folder, state_of};
use landscope::geometry::contour::Grid;
use landscope::geometry::deviation::farthest;
use landscope::geometry::levels::quantiles;
use landscope::landscape::file::SurfaceFile;
use serde_json::Value;

/// A run with checkpoints of both arms at steps 8, 16 and 24.
fn trained(out: &Path) -> PathBuf {
    let done = landscope(out)
        .args(["--steps", "24", "--set", "model.depth=8", "--set", "map.every=0"])
        .args([
            "--set",
            "checkpoint.every=8",
            "--set",
            "checkpoint.keep=0",
            "--set",
            "trajectory.keep=0",
        ])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    run_folder(out)
}

fn command(run: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    let out = run.parent().unwrap();
    command.env("LANDSCOPE_STATE", state_of(out)).current_dir(out);
    command.args(arguments);
    command
}

fn surface(run: &Path, arguments: &[&str]) -> Output {
    let checkpoint = run.join("latest/skip.safetensors");
    command(run, &["surface", checkpoint.to_str().unwrap()]).args(arguments).output().unwrap()
}

fn ok(done: &Output) -> &Output {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done
}

/// What a refused command says: one line, exit status 2.
fn refused(done: &Output) -> String {
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

/// The same points to the bit; NaN equals NaN.
fn same(a: &SurfaceFile, b: &SurfaceFile) -> bool {
    let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    bits(&a.surface.loss) == bits(&b.surface.loss) && bits(&a.surface.acc) == bits(&b.surface.acc)
}

#[test]
fn every_kind_of_surface_is_computed_and_named() {
    let out = tempfile::tempdir().unwrap();
    let run = trained(out.path());
    let surfaces = run.join("surfaces");
    let cases: [(&[&str], &str, (usize, usize)); 9] = [
        (&["--x=-1:1:9"], "00000024-skip-9-32-images.h5", (9, 0)),
        (&["--x=-1:1:7", "--y=-0.5:0.5:5"], "00000024-skip-7x5-y-0.5to0.5-32-images.h5", (7, 5)),
        (
            &["--x=-1:1:5", "--norm=layer", "--ignore=none"],
            "00000024-skip-5-32-images-norm-layer-all.h5",
            (5, 0),
        ),
        (
            &["--x=-1:1:5", "--data=test", "--seed=7"],
            "00000024-skip-5-32-images-test-seed7.h5",
            (5, 0),
        ),
        (&["--x=-1:1:5", "--bn=batch"], "00000024-skip-5-32-images-bn-batch.h5", (5, 0)),
        (&["--x=-1:1:5", "--precision=bf16"], "00000024-skip-5-32-images-bf16.h5", (5, 0)),
        (&["--plane=pca", "--y=auto"], "00000024-skip-51x51-32-images-pca.h5", (51, 51)),
        (&["--path", "--x=-1:1:5", "--y=-1:1:5"], "00000024-skip-5x5-32-images-path.h5", (5, 5)),
        (
            &["--x=-1:1:9", "--y=-1:1:9", "--adaptive"],
            "00000024-skip-9x9-32-images-adaptive.h5",
            (9, 9),
        ),
    ];
    for (arguments, name, (nx, ny)) in cases {
        let done = surface(&run, &[arguments, &["--images=32", "--format=json"]].concat());
        let told: Value = serde_json::from_slice(&ok(&done).stdout).unwrap();
        assert_eq!(told["file"], surfaces.join(name).to_str().unwrap());
        assert!(told["statistics"]["center"].as_f64().unwrap() > 0.0, "{told}");
        let file = SurfaceFile::read(&surfaces.join(name)).unwrap();
        assert_eq!((file.surface.xs.len(), file.surface.ys.len()), (nx, ny), "{name}");
        assert!(file.surface.acc.iter().all(|v| v.is_finite()), "{name}");
        assert_eq!(file.images.len(), 32);
        assert!(!surfaces.join(format!("{name}.part")).exists(), "the journal is gone");
    }
    let pca = SurfaceFile::read(&surfaces.join("00000024-skip-51x51-32-images-pca.h5")).unwrap();
    let path = pca.trajectory.unwrap();
    assert_eq!(path.steps, [8, 16, 24]);
    assert!(path.xs[2].abs() < 1e-5 && path.ys[2].abs() < 1e-5, "the last is the centre");
    assert!(path.loss.iter().all(|l| l.is_finite()));
    assert!((pca.about.variance.iter().sum::<f64>() - 1.0).abs() < 1e-4, "three points, a plane");
    // In random directions the path is next to nothing, but there.
    let random = SurfaceFile::read(&surfaces.join("00000024-skip-5x5-32-images-path.h5")).unwrap();
    let shadow = random.trajectory.unwrap();
    assert_eq!((&shadow.steps, &shadow.loss), (&path.steps, &path.loss));
    assert_eq!((shadow.xs[2], shadow.ys[2]), (0.0, 0.0));
    assert!(shadow.xs[0] != 0.0 && shadow.xs[0].abs() < 0.2 && shadow.ys[0].abs() < 0.2);
    // The centre is a grid point, and its loss the true loss of the last checkpoint.
    let nearest = pca.surface.loss[(0..51 * 51)
        .min_by(|a, b| {
            let far = |i: usize| {
                let (x, y) = pca.surface.place(i);
                x.hypot(y)
            };
            far(*a).total_cmp(&far(*b))
        })
        .unwrap()];
    assert!((nearest / path.loss[2] - 1.0).abs() < 1e-4, "{nearest} {}", path.loss[2]);
}

#[test]
fn a_line_runs_between_two_checkpoints() {
    let out = tempfile::tempdir().unwrap();
    let run = trained(out.path());
    let first = run.join("step-00000008");
    let first = first.to_str().unwrap();
    let file = run.join("line.h5");
    let line = ["--to", first, "--x=0:1:5", "--images=32", "--out", file.to_str().unwrap()];
    ok(&surface(&run, &line));
    let line = SurfaceFile::read(&file).unwrap();
    assert!(line.about.to.ends_with("step-00000008/skip.safetensors"), "{}", line.about.to);
    // Its end is the middle of a profile around the other checkpoint.
    let file = run.join("other.h5");
    let checkpoint = format!("{first}/skip.safetensors");
    let arguments = ["surface", &checkpoint, "--x=-1:1:3", "--images=32", "--out"];
    ok(&command(&run, &arguments).arg(&file).output().unwrap());
    let other = SurfaceFile::read(&file).unwrap();
    let (end, middle) = (line.surface.loss[4], other.surface.loss[1]);
    assert!((end / middle - 1.0).abs() < 1e-4, "{end} {middle}");
}

#[test]
fn a_killed_surface_goes_on_and_is_the_same() {
    let out = tempfile::tempdir().unwrap();
    let run = trained(out.path());
    let grid = ["--x=-1:1:41", "--y=-1:1:41"];
    let (whole, cut) = (run.join("whole.h5"), run.join("cut.h5"));
    let to = |file: &Path| {
        let checkpoint = run.join("latest/skip.safetensors");
        let mut command = command(&run, &["surface", checkpoint.to_str().unwrap()]);
        command.args(grid).args(["--images", "512", "--format=json", "--out"]).arg(file);
        command
    };
    ok(&to(&whole).output().unwrap());
    let journal = run.join("cut.h5.part");
    let (mut kills, mut known) = (0, 0);
    for signal in [libc::SIGINT, libc::SIGKILL, libc::SIGKILL] {
        let mut child = to(&cut).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = || std::fs::read_to_string(&journal).map_or(0, |t| t.lines().count());
        let start = Instant::now();
        while lines() < known + 12 && child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(2));
        }
        let ended = child.try_wait().unwrap().is_some();
        // SAFETY: a signal to a child that has not been waited for.
        unsafe { libc::kill(child.id() as i32, signal) };
        let done = child.wait_with_output().unwrap();
        if ended {
            break;
        }
        kills += 1;
        known = lines();
        if signal == libc::SIGINT {
            assert!(done.status.code() == Some(1) && journal.exists(), "{done:?}");
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(said.contains("the same command goes on"), "{said}");
            let kept = SurfaceFile::read(&cut).unwrap();
            let points = kept.surface.acc.iter().filter(|v| v.is_finite()).count();
            assert_eq!(points, known - 1, "what was done is kept: a line a point, and the header");
        }
    }
    assert!(kills > 0, "the surface was done before it could be killed");
    let done = to(&cut).output().unwrap();
    let told: Value = serde_json::from_slice(&ok(&done).stdout).unwrap();
    let computed = told["computed"].as_u64().unwrap() as usize;
    // What the journal held was not computed again.
    assert!(computed <= 1681 + 1 - known, "{computed} computed, {known} lines were known");
    let (a, b) = (SurfaceFile::read(&whole).unwrap(), SurfaceFile::read(&cut).unwrap());
    assert!(same(&a, &b) && a.about == b.about && a.images == b.images);
    assert_eq!(std::fs::read(&whole).unwrap(), std::fs::read(&cut).unwrap(), "byte for byte");
    // Once more: nothing is left.
    let again: Value = serde_json::from_slice(&ok(&to(&cut).output().unwrap()).stdout).unwrap();
    assert_eq!(again["computed"], 0);
}

#[test]
fn shards_make_the_whole_bit_for_bit_and_strangers_are_refused() {
    let out = tempfile::tempdir().unwrap();
    let run = trained(out.path());
    let path = |name: &str| run.join(name).to_str().unwrap().to_owned();
    let grid = ["--x=-1:1:7", "--y=-1:1:6", "--images=48"];
    ok(&surface(&run, &[&grid[..], &["--out", &path("whole.h5")]].concat()));
    let part = |shard: &str, more: &[&str]| {
        let to = path("part.h5");
        surface(&run, &[&grid[..], &["--shard", shard, "--out", &to], more].concat())
    };
    ok(&part("1/2", &[]));
    // As a launcher starts it.
    let checkpoint = run.join("latest/skip.safetensors");
    let launched = command(&run, &["surface", checkpoint.to_str().unwrap(), "--shard", "auto"])
        .args(grid)
        .args(["--out", &path("part.h5")])
        .env("OMPI_COMM_WORLD_RANK", "1")
        .env("OMPI_COMM_WORLD_SIZE", "2")
        .output()
        .unwrap();
    ok(&launched);
    let parts = [path("part.shard-1-of-2.h5"), path("part.shard-2-of-2.h5")];
    let merge = |files: &[&str], to: &str| {
        command(&run, &[&["merge"], files, &["--out", to]].concat()).output().unwrap()
    };
    ok(&merge(&[&parts[0], &parts[1]], &path("merged.h5")));
    let (whole, merged) = (
        SurfaceFile::read(&run.join("whole.h5")).unwrap(),
        SurfaceFile::read(&run.join("merged.h5")).unwrap(),
    );
    assert!(same(&whole, &merged));
    assert_eq!((&merged.about.arm, merged.about.shard), (&whole.about.arm, None));
    let whole_bytes = std::fs::read(run.join("whole.h5")).unwrap();
    assert_eq!(whole_bytes, std::fs::read(run.join("merged.h5")).unwrap(), "byte for byte");
    // One part alone says what is missing.
    let half = merge(&[&parts[0]], &path("half.h5"));
    assert_eq!(half.status.code(), Some(1), "a part is not well");
    let said = String::from_utf8_lossy(&half.stderr).into_owned();
    assert!(said.contains("21 of 42 points are in none of the files"), "{said}");
    // Strangers: another seed, other images, another grid, another network.
    let stranger = |arguments: &[&str], word: &str| {
        ok(&surface(&run, &[arguments, &["--out", &path("stranger.h5")]].concat()));
        let said = refused(&merge(&[&parts[0], &path("stranger.h5")], &path("no.h5")));
        assert!(said.contains("does not belong to") && said.contains(word), "{said}");
        std::fs::remove_file(path("stranger.h5")).unwrap();
    };
    stranger(&[&grid[..], &["--seed=9"]].concat(), "seed");
    stranger(&["--x=-1:1:7", "--y=-1:1:6", "--images=47"], "images");
    stranger(&["--x=-1:1:7", "--y=-1:1:5", "--images=48"], "grid -1:1:7 -1:1:5");
    // The same images by their number, at another size.
    let config = std::fs::read_to_string(run.join("run.toml")).unwrap();
    std::fs::write(run.join("small.toml"), config.replace("size = 16", "size = 12")).unwrap();
    let small = path("small.toml");
    stranger(&[&grid[..], &["--config", &small]].concat(), "images_sha256");
    let other = run.join("step-00000008/skip.safetensors");
    let arguments = [&["surface", other.to_str().unwrap()], &grid[..], &["--out"]].concat();
    ok(&command(&run, &arguments).arg(path("stranger.h5")).output().unwrap());
    let said = refused(&merge(&[&parts[0], &path("stranger.h5")], &path("no.h5")));
    assert!(said.contains("weights_sha256"), "{said}");
    assert!(!run.join("no.h5").exists());
}

#[test]
fn refined_maps_have_the_isolines_of_whole_ones() {
    let out = tempfile::tempdir().unwrap();
    let run = trained(out.path());
    // As it is drawn: one step that learns nothing.
    let fresh = landscope(&out.path().join("fresh"))
        .args(["--steps", "1", "--set", "model.depth=8", "--set", "map.every=0"])
        .args(["--set", "train.lr=1e-12"])
        .output()
        .unwrap();
    assert!(fresh.status.success());
    let fresh = run_folder(&out.path().join("fresh"));
    for (run, arm) in [(&run, "skip"), (&run, "noskip"), (&fresh, "skip")] {
        let read = |name: &str, more: &[&str]| {
            let file = run.join(name);
            let arguments = ["--arm", arm, "--x=-1:1:51", "--y=-1:1:51", "--images=64"];
            let arguments = [&["surface", run.to_str().unwrap()], &arguments[..], more].concat();
            ok(&command(run, &arguments).arg("--out").arg(&file).output().unwrap());
            SurfaceFile::read(&file).unwrap()
        };
        let whole = read(&format!("{arm}-whole.h5"), &[]);
        let refined = read(&format!("{arm}-refined.h5"), &["--adaptive"]);
        let mask = refined.surface.computed.clone().unwrap();
        let computed = mask.iter().filter(|c| **c).count();
        assert!(computed < 51 * 51 / 2, "{arm}: {computed} points computed");
        let (a, b): (Grid<'_>, Grid<'_>) = (whole.surface.grid(), refined.surface.grid());
        for (i, computed) in mask.iter().enumerate() {
            assert!(
                !computed || a.values[i].to_bits() == b.values[i].to_bits(),
                "{arm}: point {i}"
            );
        }
        // Not rounded: a fresh network's loss is ln 10 nearly everywhere.
        let levels = quantiles(a.values, &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]);
        assert_eq!(levels.len(), 9);
        let off: Vec<f64> = levels.iter().filter_map(|l| farthest(a, b, *l)).collect();
        println!("{arm}: {computed} of 2601 points, isolines off by at most {off:.2?} cells");
        assert!(off.iter().all(|cells| *cells <= 1.0), "{arm}: {off:?}");
    }
}

#[test]
fn wrong_input_is_refused_in_a_line() {
    let out = tempfile::tempdir().unwrap();
    let run = trained(out.path());
    let path = |name: &str| run.join(name).to_str().unwrap().to_owned();
    let on = |checkpoint: &str, arguments: &[&str]| {
        command(&run, &[&["surface", checkpoint], arguments].concat()).output().unwrap()
    };
    let weights = path("latest/skip.safetensors");
    let cases: [(Output, &str); 14] = [
        (on("nowhere.safetensors", &[]), "no such checkpoint"),
        (on(&path(""), &[]), "choose one with --arm"),
        (on(&path(""), &["--arm=none"]), "holds noskip, skip"),
        (on(&weights, &["--out=x.csv"]), "ends in .h5"),
        (on(&weights, &["--adaptive", "--shard=1/2"]), "--adaptive with --shard"),
        (on(&weights, &["--shard=3/2"]), "--shard 3/2: expected I/N"),
        (on(&weights, &["--shard=auto"]), "rank variables"),
        (on(&weights, &["--device=tpu"]), "--device tpu: expected auto, cpu"),
        (on(&weights, &["--to", &path("latest/noskip.safetensors")]), "noskip.safetensors: tensor"),
        (on(&weights, &["--arm=noskip"]), "holds the weights of skip"),
        (on(&weights, &["--out", &(path("") + "/.h5")]), "expected a name"),
        (on(&path("run.toml"), &[]), "lies in no run folder"),
        (on(&weights, &["--plane=pca", "--to", &path("step-00000008")]), "--plane pca"),
        (on(&path("step-00000008/skip.safetensors"), &["--plane=pca"]), "expected 3 at least"),
    ];
    for (done, word) in cases {
        let said = refused(&done);
        assert!(said.contains(word), "{word}: {said}");
    }
    // clap's own refusals have a usage below them.
    for (arguments, word) in [
        (["--x=1:1:5"], "MIN:MAX:N"),
        (["--images=0"], "expected a number from 1, or all"),
        (["--norm=max"], "filter, layer, weight, none"),
    ] {
        let done = on(&weights, &arguments);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == Some(2) && said.contains(word), "{said}");
    }
    // Another surface is not written over.
    let file = path("kept.h5");
    ok(&on(&weights, &["--x=-1:1:5", "--images=16", "--out", &file]));
    let before = std::fs::read(&file).unwrap();
    let said = refused(&on(&weights, &["--x=-1:1:5", "--images=16", "--seed=3", "--out", &file]));
    assert!(said.contains("another surface (seed 0, here 3)"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    // A file that is none.
    std::fs::write(&file, &before[..before.len() / 3]).unwrap();
    let said = refused(&command(&run, &["merge", &file, "--out", &path("m.h5")]).output().unwrap());
    assert!(said.contains("kept.h5: "), "{said}");
    // Weights outside a run folder.
    let outside = out.path().join("lonely.safetensors");
    std::fs::copy(&weights, &outside).unwrap();
    let outside = outside.to_str().unwrap();
    assert!(refused(&on(outside, &[])).contains("--config"));
    let config = path("run.toml");
    assert!(refused(&on(outside, &["--config", &config])).contains("--arm: skip, noskip"));
    let arguments = ["--config", &config, "--arm=skip", "--x=-1:1:5", "--images=16"];
    ok(&on(outside, &[&arguments[..], &["--out", &path("lonely.npz")]].concat()));
    assert!(run.join("lonely.npz").is_file());
}
