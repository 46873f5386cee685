//! What the dashboard and `plot` are drawn with in terminals that answer, answer otherwise, late, or not at all.

mod common;

use std::path::Path;
use std::time::Duration;

use common::pty::{Answers, Runs, Terminal};
use landscope::landscape::file::{SurfaceFile, hdf5};
use landscope::landscape::surface::Surface;

const LONG: [&str; 4] = ["--steps", "1000000", "--set", "map.every=0"];
const SIZE: (u16, u16) = (100, 30);
const NO_LOCALE: [(&str, &str); 3] = [("LC_ALL", ""), ("LC_CTYPE", ""), ("LANG", "")];
/// Later than is waited for before something is drawn.
const LATE: Duration = Duration::from_millis(600);
const UTF8_LOCALE: [(&str, &str); 1] = [("LC_ALL", "C.UTF-8")];

/// A dashboard in such a terminal once it shows curves: its screen, and all that it wrote up to its end.
fn drawn(answers: Answers, args: &[&str], vars: &[(&str, &str)]) -> (String, String) {
    let runs = Runs::new();
    let mut s = runs.run_answering(answers, SIZE, &[&LONG, args].concat(), vars);
    s.wait_for("test err");
    let seen = s.seen();
    s.press("q\u{18}");
    let (status, raw) = s.end();
    assert_eq!(status, 0, "{raw}");
    (seen, raw)
}

fn has_braille(text: &str) -> bool {
    text.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c))
}

/// Lines, and the curves in braille.
fn is_unicode(seen: &str) -> bool {
    seen.contains('│') && has_braille(seen)
}

#[test]
fn a_terminal_that_shows_utf8_gets_it_without_a_locale() {
    let (seen, _) = drawn(Answers::Utf8, &[], &NO_LOCALE);
    assert!(is_unicode(&seen), "{seen}");
}

#[test]
fn a_terminal_that_shows_bytes_gets_ascii_in_spite_of_the_locale() {
    let (seen, _) = drawn(Answers::Latin1, &[], &UTF8_LOCALE);
    assert!(seen.is_ascii(), "{seen}");
}

#[test]
fn the_locale_decides_for_a_terminal_that_does_not_answer() {
    let (seen, _) = drawn(Answers::Nothing, &[], &UTF8_LOCALE);
    assert!(is_unicode(&seen), "{seen}");
    let (seen, _) = drawn(Answers::Nothing, &[], &NO_LOCALE);
    assert!(seen.is_ascii(), "{seen}");
}

#[test]
fn plain_terminals_get_what_they_know() {
    for (term, has_colors) in [("linux", true), ("vt100", false)] {
        for answers in [Answers::Utf8, Answers::Nothing] {
            let vars = [("TERM", term), ("COLORTERM", "truecolor"), UTF8_LOCALE[0]];
            let (seen, raw) = drawn(answers, &[], &vars);
            assert!(seen.is_ascii() && raw.is_ascii(), "{term}: {seen}");
            assert!(!raw.contains("\x1b[6n"), "{term} is asked");
            for code in ["38;5", "38;2", "48;5", "48;2"] {
                assert!(!raw.contains(code), "{term}: {code}");
            }
            let colors = (30..38).chain(90..98).any(|n| raw.contains(&format!(";{n}m")));
            assert_eq!(colors, has_colors, "{term}");
        }
    }
}

#[test]
fn what_is_forced_holds_whatever_is_answered() {
    let (seen, raw) = drawn(Answers::Utf8, &["--ascii"], &UTF8_LOCALE);
    assert!(seen.is_ascii() && !raw.contains("\x1b[6n"), "{seen}");
    let (seen, _) = drawn(Answers::Latin1, &["--unicode"], &NO_LOCALE);
    assert!(is_unicode(&seen), "{seen}");
    let (seen, _) = drawn(Answers::Nothing, &["--unicode"], &[("TERM", "linux"), NO_LOCALE[0]]);
    assert!(is_unicode(&seen), "{seen}");
    let runs = Runs::new();
    let (status, told) = runs.run(80, 24, &["--ascii", "--unicode"], &[]).end();
    assert_eq!(status, 2);
    assert!(told.contains("cannot be used with"), "{told}");
}

#[test]
fn keys_before_the_answer_are_keys_and_in_order() {
    let runs = Runs::new();
    let before = Answers::Behind("?\u{1b}[Z:set noskip.lr 0.03");
    let mut s = runs.run_answering(before, SIZE, &LONG, &NO_LOCALE);
    // The first closes the help that the one before opened.
    s.wait_for(":set noskip.lr 0.03");
    s.wait_for("test err");
    s.press("\r");
    s.wait_for("noskip: lr 0.1 to 0.03");
    assert!(is_unicode(&s.seen()), "{}", s.seen());
    s.press("q\u{18}");
    assert_eq!(s.end().0, 0);
}

#[test]
fn keys_typed_to_a_terminal_that_does_not_answer_are_not_lost() {
    let runs = Runs::new();
    // Typed before anything is read: it waits in the terminal.
    let mut s = runs.run_answering(Answers::Nothing, SIZE, &LONG, &UTF8_LOCALE);
    s.press(":set noskip.lr 0.03");
    s.wait_for(":set noskip.lr 0.03");
    s.press("\u{1b}");
    s.wait_for("test err");
    s.press("q\u{18}");
    assert_eq!(s.end().0, 0);
}

#[test]
fn a_late_answer_decides_and_is_no_key() {
    let runs = Runs::new();
    let mut s = runs.run_answering(Answers::Late(LATE), SIZE, &LONG, &NO_LOCALE);
    s.wait_for("landscope demo");
    s.press(":");
    std::thread::sleep(Duration::from_millis(1000));
    s.press("set noskip.lr 0.03");
    s.wait_for(":set noskip.lr 0.03");
    s.wait_for("test err");
    s.press("\r");
    s.wait_for("noskip: lr 0.1 to 0.03");
    s.wait_until("what it answered", is_unicode);
    let raw = s.raw.lock().unwrap().clone();
    let raw = String::from_utf8_lossy(&raw);
    assert!(raw.contains("----"), "the first picture has waited for it");
    s.press("q\u{18}");
    let (_, raw) = s.end();
    assert!(!raw.contains("^[["), "echoed");
}

/// A surface file to be drawn.
fn surface(dir: &Path) -> String {
    let axis: Vec<f64> = (-4..=4).map(|i| f64::from(i) / 4.0).collect();
    let mut surface = Surface::new(axis.clone(), axis);
    for i in 0..surface.len() {
        let (x, y) = surface.place(i);
        (surface.loss[i], surface.acc[i]) = (x * x + y * y, 0.5);
    }
    let path = dir.join("s.h5");
    hdf5::write(&SurfaceFile { images: vec![0; 64], ..SurfaceFile::of(surface) }, &path).unwrap();
    path.display().to_string()
}

/// What `plot` draws in such a terminal, and what is then left there to be read: by `cat`, as a shell would.
fn plotted(answers: Answers, ahead: &str, more: &str, vars: &[(&str, &str)]) -> (String, String) {
    let runs = Runs::new();
    let (program, file) = (common::program(), surface(runs.path()));
    let plot = format!("{program} plot {file} {more}");
    // The terminal is as a shell has it while a line is typed: what is not echoed by the program is not echoed by anybody.
    let line = format!(
        "stty -echo -icanon; printf ready; sleep 0.5; {plot}; stty -a | grep -o ' -echo ' ; \
         printf 'left<'; timeout --foreground 3 cat -v; printf '>'"
    );
    let mut s = Terminal::shell(answers, SIZE, runs.path(), &line, vars);
    s.wait_for("ready");
    s.press(ahead);
    let (_, raw) = s.end();
    let (picture, left) = raw.rsplit_once("left<").expect("the shell goes on");
    (picture.to_owned(), left.trim_end_matches('>').to_owned())
}

#[test]
fn plot_asks_too_and_leaves_nothing() {
    let ascii = |text: &str| !has_braille(text.trim_start_matches(|c| c != '\u{1b}'));
    let (drawn, left) = plotted(Answers::Utf8, "", "", &NO_LOCALE);
    assert!(!ascii(&drawn) && left.is_empty(), "{drawn}{left}");
    let (drawn, left) = plotted(Answers::Latin1, "", "", &UTF8_LOCALE);
    assert!(ascii(&drawn) && left.is_empty(), "{drawn}{left}");
    let (drawn, left) = plotted(Answers::Nothing, "", "", &UTF8_LOCALE);
    assert!(!ascii(&drawn) && left.is_empty(), "{drawn}{left}");
    let (drawn, left) = plotted(Answers::Late(LATE), "", "", &NO_LOCALE);
    assert!(ascii(&drawn) && left.is_empty(), "{drawn}{left}");
    assert!(!drawn.contains("^[["), "echoed: {drawn}");
    let (drawn, _) = plotted(Answers::Latin1, "", "--unicode", &NO_LOCALE);
    assert!(!ascii(&drawn) && !drawn.contains("\x1b[6n"), "{drawn}");
}

#[test]
fn what_is_typed_ahead_of_plot_is_the_shells() {
    let (drawn, left) = plotted(Answers::Utf8, "ls -l", "", &NO_LOCALE);
    assert_eq!(left, "ls -l", "{drawn}");
    assert!(!drawn.contains("\x1b[6n"), "{drawn}");
}

#[test]
fn a_dashboard_that_is_left_at_once_takes_its_answer_along() {
    let runs = Runs::new();
    let line = format!(
        "stty -echo -icanon; {} run --out {} --set data.kind=cifar10 --set data.dir=/nowhere; \
         printf 'left<'; timeout --foreground 3 cat -v; printf '>'",
        common::program(),
        runs.path().display()
    );
    let late = Answers::Late(Duration::from_millis(1500));
    let s = Terminal::shell(late, SIZE, runs.path(), &line, &NO_LOCALE);
    let (_, raw) = s.end();
    assert!(raw.contains("landscope: /nowhere/") && raw.ends_with("left<>"), "{raw}");
}
