//! The rooms and who may know whom, read from the `use` lines: the table that README.md shows, held.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Room, and the rooms that it may import.
const ROOMS: [(&str, &[&str]); 15] = [
    ("arm", &[]),
    ("signals", &[]),
    ("config", &["arm"]),
    ("data", &["config"]),
    ("model", &["arm", "config", "telemetry"]),
    ("train", &["arm", "config", "data", "geometry", "model", "telemetry"]),
    ("geometry", &[]),
    ("landscape", &["arm", "config", "data", "geometry", "model", "telemetry"]),
    ("telemetry", &["arm", "geometry"]),
    ("record", &["arm", "config", "geometry", "telemetry", "landscape"]),
    (
        "engine",
        &[
            "arm",
            "config",
            "data",
            "geometry",
            "landscape",
            "link",
            "model",
            "record",
            "telemetry",
            "train",
        ],
    ),
    ("link", &["arm", "telemetry"]),
    ("ui", &["arm", "geometry", "link", "signals", "telemetry"]),
    ("headless", &["arm", "config", "engine", "link", "record", "signals", "telemetry"]),
    (
        "cli",
        &[
            "arm",
            "config",
            "engine",
            "geometry",
            "headless",
            "landscape",
            "link",
            "record",
            "signals",
            "telemetry",
            "train",
            "ui",
        ],
    ),
];
/// The rooms that may name libtorch.
const TORCH: [&str; 4] = ["data", "model", "train", "landscape"];

fn sources(under: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

/// Words that stand before `::` or after `crate::` in the code of a file, its tests left out: what it imports and names.
fn named(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut names = BTreeSet::new();
    for line in code.lines().filter(|l| !l.trim_start().starts_with("//")) {
        for part in line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
            let words: Vec<&str> = part.split("::").collect();
            match words[..] {
                ["crate", room, ..] => drop(names.insert(format!("crate::{room}"))),
                [library, _, ..] => drop(names.insert(library.to_owned())),
                _ => {}
            }
        }
    }
    names
}

fn room_of(src: &Path, file: &Path) -> String {
    let first = file.strip_prefix(src).unwrap().components().next().unwrap();
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

#[test]
fn rooms_import_what_they_may_and_only_some_name_torch_or_the_terminal() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for file in sources(&src) {
        let room = room_of(&src, &file);
        if room == "lib" || room == "main" {
            continue;
        }
        let (_, may) = ROOMS
            .iter()
            .find(|(name, _)| *name == room)
            .unwrap_or_else(|| panic!("{}: `{room}` is no room of the table", file.display()));
        seen.insert(room.clone());
        for name in named(&fs::read_to_string(&file).unwrap()) {
            let ok = match name.strip_prefix("crate::") {
                Some(other) => other == room || may.contains(&other),
                None => match name.as_str() {
                    "tch" => TORCH.contains(&room.as_str()),
                    "ratatui" | "crossterm" => room == "ui",
                    _ => true,
                },
            };
            if !ok {
                wrong.push(format!("{} names {name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(seen.len(), ROOMS.len(), "a room of the table is empty: {seen:?}");
}

#[test]
fn what_is_named_is_found() {
    let found = named(
        "use tch::Device;\nlet x = crate::ui::run();\n// ratatui::x\n#[cfg(test)]\nmod tests {\nuse crossterm::y;",
    );
    let want: BTreeSet<String> = ["tch", "crate::ui"].map(str::to_owned).into();
    assert_eq!(found, want);
}
