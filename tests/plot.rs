//! `landscope plot`: every view into a terminal, a PNG and an SVG, and what it says of bad input.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::program;
use landscope::landscape::file::{SurfaceFile, Trajectory, hdf5};
use landscope::landscape::surface::Surface;

const VIEWS: [&str; 5] = ["contour", "filled", "heat", "3d", "profile"];

fn plot(args: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.arg("plot").args(args).env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR");
    command.output().unwrap()
}

fn axis(n: usize) -> Vec<f64> {
    (0..n).map(|i| if n > 1 { -1.0 + 2.0 * i as f64 / (n - 1) as f64 } else { 0.0 }).collect()
}

/// A file of a function on n x n points.
fn written(dir: &Path, name: &str, n: usize, f: impl Fn(f64, f64) -> f64) -> PathBuf {
    let mut surface = Surface::new(axis(n), axis(n));
    for i in 0..surface.len() {
        let (x, y) = surface.place(i);
        (surface.loss[i], surface.acc[i]) = (f(x, y), 0.5);
    }
    let mut file = SurfaceFile { images: vec![0; 64], ..SurfaceFile::of(surface) };
    file.trajectory = Some(Trajectory {
        xs: vec![0.8, 0.4, 0.0],
        ys: vec![0.5, 0.4, 0.0],
        steps: vec![0, 50, 100],
        loss: vec![2.0, 1.0, 0.1],
    });
    let path = dir.join(name);
    hdf5::write(&file, &path).unwrap();
    path
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The one line on stderr of a call that is refused.
fn refused(args: &[&str]) -> String {
    let done = plot(args);
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{args:?}: {said}");
    assert!(done.stdout.is_empty(), "{args:?} printed on stdout");
    said
}

#[test]
fn every_view_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(dir.path(), "s.h5", 9, |x, y| x * x + 2.0 * y * y + 0.1);
    let file = file.to_str().unwrap();
    for view in VIEWS {
        let done = plot(&[file, "--view", view]);
        assert!(done.status.success(), "{view}: {}", text(&done.stderr));
        let drawn = text(&done.stdout);
        assert!(drawn.lines().count() <= 24 && !drawn.contains('\x1b'), "{view}: {drawn}");
        assert!(drawn.contains("Loss"), "{view}: {drawn}");
        for ending in ["png", "svg"] {
            let out = dir.path().join(format!("{view}.{ending}"));
            let out = out.to_str().unwrap();
            let done = plot(&[file, "--view", view, "--out", out, "--size", "500x400"]);
            assert!(done.status.success(), "{view}: {}", text(&done.stderr));
            assert_eq!(text(&done.stdout).trim(), out);
            let bytes = fs::read(out).unwrap();
            match ending {
                // The signature, and the size that the header tells.
                "png" => {
                    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
                    assert_eq!(&bytes[16..24], [0, 0, 1, 244, 0, 0, 1, 144]);
                }
                _ => {
                    assert!(text(&bytes).starts_with("<svg ") && text(&bytes).ends_with("</svg>\n"))
                }
            }
        }
    }
}

#[test]
fn surfaces_that_are_hardly_any() {
    let dir = tempfile::tempdir().unwrap();
    for (name, n, f) in [
        ("nan.h5", 5, (|_, _| f64::NAN) as fn(f64, f64) -> f64),
        ("point.h5", 1, |_, _| 2.3),
        ("constant.h5", 5, |_, _| 2.3),
        ("huge.h5", 5, |x, y| 1e30 * (x + y).exp()),
        ("largest.h5", 5, |x, _| f64::MAX * x),
    ] {
        let file = written(dir.path(), name, n, f);
        let (file, out) = (file.to_str().unwrap(), dir.path().join("x.svg"));
        let out = out.to_str().unwrap();
        // The library's own tests draw any values in any view; here are the ways from the command line to them.
        for more in
            [&["--view", "filled", "--out", out][..], &["--view", "3d", "--log"], &["--ascii"]]
        {
            let args = [&[file], more].concat();
            let done = plot(&args);
            assert!(done.status.success(), "{args:?}: {}", text(&done.stderr));
            assert!(done.stderr.is_empty() && !done.stdout.is_empty(), "{args:?}");
        }
    }
}

#[test]
fn a_profile_is_drawn_as_one_and_as_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut surface = Surface::new(axis(11), Vec::new());
    surface.loss = surface.xs.iter().map(|x| x * x).collect();
    surface.acc = vec![0.9; 11];
    let path = dir.path().join("p.h5");
    let file = SurfaceFile { images: vec![0; 64], ..SurfaceFile::of(surface) };
    hdf5::write(&file, &path).unwrap();
    let path = path.to_str().unwrap();
    let drawn = text(&plot(&[path]).stdout);
    assert!(drawn.contains("Loss along a line") && drawn.contains("accuracy (%)"), "{drawn}");
    let said = refused(&[path, "--view", "3d"]);
    assert!(said.contains("expected --view profile") && said.lines().count() == 1, "{said}");
}

#[test]
fn bad_input_is_named_with_what_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(dir.path(), "s.h5", 5, |x, y| x * x + y * y);
    let file = file.to_str().unwrap();
    let one_line = |args: &[&str], wanted: &str| {
        let said = refused(args);
        assert!(said.contains(wanted) && said.lines().count() == 1, "{args:?}: {said}");
    };
    one_line(&[file, "--out", "x.gif"], "--out x.gif: expected a name that ends in .png or .svg");
    one_line(&[file, "--out", "/nonexistent/x.png"], "/nonexistent/x.png");
    one_line(&[file, "--what", "hessian"], "expected loss or acc");
    one_line(&["/nonexistent.h5"], "/nonexistent.h5");
    let broken = dir.path().join("broken.h5");
    fs::write(&broken, "no surface").unwrap();
    one_line(&[broken.to_str().unwrap()], "broken.h5");
    for levels in ["", "a,b", "quantiles:0", "quantiles:1000"] {
        assert!(refused(&[file, "--levels", levels]).contains("expected published, quantiles"));
    }
    assert!(refused(&[file, "--size", "5x5"]).contains("as in 1600x1200"));
    assert!(refused(&[file, "--view", "upside-down"]).contains("contour"));
}

#[test]
fn colours_follow_what_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(dir.path(), "s.h5", 5, |x, y| x * x + y * y);
    let file = file.to_str().unwrap();
    assert!(text(&plot(&[file, "--color", "always"]).stdout).contains("\x1b["));
    assert!(!text(&plot(&[file, "--color", "never"]).stdout).contains('\x1b'));
    let ascii = plot(&[file, "--ascii", "--view", "filled"]);
    assert!(ascii.stdout.is_ascii());
}

#[test]
fn levels_are_those_that_were_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(dir.path(), "s.h5", 21, |x, y| 3.0 * (x * x + y * y));
    let out = dir.path().join("x.svg");
    let lines = |levels: &str| {
        let done =
            plot(&[file.to_str().unwrap(), "--levels", levels, "--out", out.to_str().unwrap()]);
        assert!(done.status.success(), "{}", text(&done.stderr));
        fs::read_to_string(&out).unwrap().matches("class=\"isoline\"").count()
    };
    // Half of the values lie above the one of quantiles:1; of the outer parts' levels the upper has four arcs.
    assert_eq!((lines("1,2"), lines("quantiles:1"), lines("100")), (2, 1 + 1 + 4, 0));
    // 0.1, 0.6 ... 2.6 are rings, 3.1 ... 5.6 four arcs each in the corners.
    assert_eq!(lines("published"), 6 + 6 * 4);
}
