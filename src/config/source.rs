//! Where a config comes from: a file, a built-in, and `--set` over it.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::error::ConfigError;
use super::experiment::{Experiment, Family};
use super::network::usual_arms;
use super::place::{folder_of_data, in_clone, read_text};
use super::resolve::resolve;
use super::typed::Typed;

/// The config that runs when none is named.
pub const DEFAULT_CONFIG: &str = "demo";

/// Configs that are part of the program, so that it runs from any folder.
const BUILT_IN: [(&str, &str); 4] = [
    ("demo", include_str!("../../configs/demo.toml")),
    ("cifar10-mini", include_str!("../../configs/cifar10-mini.toml")),
    ("fig9-mini", include_str!("../../configs/fig9-mini.toml")),
    ("fig9-full", include_str!("../../configs/fig9-full.toml")),
];

/// A key that names a variant, its section and default, and the section's keys that hold for that variant alone: the
/// size of one data set's images is not another's, nor is the learning rate of SGD that of Adam.
const VARIANTS: [(&str, &str, &str, &[&str]); 3] = [
    ("data", "kind", "digits", &["dir", "size"]),
    ("model", "family", "resnet", &["depth", "width", "widen"]),
    ("train", "optimizer", "sgd", &["lr", "momentum", "nesterov"]),
];

/// One value laid over a config: from `--set` or from a flag of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// Dotted key, `train.lr` or `arm.NAME.lr`.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// What to call it in an error.
    pub origin: String,
}

impl Override {
    /// Reads `KEY=VALUE`; a value that is not TOML is taken as text.
    ///
    /// # Errors
    /// Without `=` or without a key.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let not = || ConfigError::NotAnOverride { text: text.to_owned() };
        let (key, value) = text.split_once('=').ok_or_else(not)?;
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() || key.split('.').any(str::is_empty) {
            return Err(not());
        }
        let parsed =
            toml::from_str::<Table>(&format!("v = {value}")).ok().and_then(|mut t| t.remove("v"));
        let value = parsed.unwrap_or_else(|| Value::String(value.to_owned()));
        Ok(Self { key: key.to_owned(), value, origin: format!("--set {text}") })
    }

    /// A flag's value, laid over `key`.
    pub fn flag(flag: &str, key: &str, value: impl Into<Value>) -> Self {
        Self { key: key.to_owned(), value: value.into(), origin: flag.to_owned() }
    }
}

/// Reads the config `name_or_path`, lays `overrides` over it and checks the whole.
///
/// # Errors
/// A file that is not there, not TOML, holds an unknown key or a value that cannot be run.
pub fn load(name_or_path: &str, overrides: &[Override]) -> Result<Experiment, ConfigError> {
    let Text { origin, text, file } = read(name_or_path)?;
    let mut table: Table = toml::from_str(&text).map_err(|e| ConfigError::Syntax {
        origin: origin.clone(),
        message: one_line(e.message()),
    })?;
    // The file alone first, so that an error in it is told as the file's.
    typed(&table, &origin)?;
    settle(&mut table, file.as_deref());
    forget(&mut table, overrides);
    for over in overrides {
        lay(&mut table, over)?;
        typed(&table, &over.origin)?;
    }
    resolve(&typed(&table, &origin)?)
}

/// A config as it is written.
struct Text {
    /// What to call it.
    origin: String,
    text: String,
    /// Its file, unless it is built in.
    file: Option<PathBuf>,
}

/// The config that is meant: a path that exists, else configs/NAME.toml here or in the clone, else a built-in.
fn read(name_or_path: &str) -> Result<Text, ConfigError> {
    let path = in_clone(Path::new(name_or_path));
    let beside = in_clone(&Path::new("configs").join(format!("{name_or_path}.toml")));
    let is_name = !name_or_path.contains(['/', '\\']) && path.extension().is_none();
    for candidate in [Some(&path), is_name.then_some(&beside)].into_iter().flatten() {
        if candidate.is_file() || (!is_name && *candidate == path) {
            let text = read_text(candidate)
                .map_err(|source| ConfigError::Unreadable { path: candidate.clone(), source })?;
            return Ok(Text {
                origin: candidate.display().to_string(),
                text,
                file: Some(candidate.clone()),
            });
        }
    }
    let built_in = BUILT_IN.iter().find(|(name, _)| *name == name_or_path);
    let found = built_in.map(|(name, text)| Text {
        origin: format!("built-in config {name}"),
        text: (*text).to_owned(),
        file: None,
    });
    found.ok_or_else(|| ConfigError::Unknown {
        name: name_or_path.to_owned(),
        beside,
        known: BUILT_IN.map(|(name, _)| name).join(", "),
    })
}

/// Has the folder of the data looked for as [`folder_of_data`] does.
fn settle(table: &mut Table, config: Option<&Path>) {
    if let Some(Value::Table(data)) = table.get_mut("data")
        && let Some(Value::String(dir)) = data.get_mut("dir")
        && let Some(found) = folder_of_data(Path::new(dir), config).to_str()
    {
        *dir = found.to_owned();
    }
}

/// The table as a typed config; an error names the key with its section.
fn typed(table: &Table, origin: &str) -> Result<Typed, ConfigError> {
    let value = Value::Table(table.clone());
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = e.path().to_string();
        let key = if path == "." { "top level".to_owned() } else { path };
        ConfigError::Key {
            origin: origin.to_owned(),
            key,
            message: one_line(&e.into_inner().to_string()),
        }
    })
}

/// Drops what a config says of one variant where overrides name another, so that the other's defaults or what is typed
/// for it hold.
fn forget(table: &mut Table, overrides: &[Override]) {
    let laid = |key: &str| {
        let last = overrides.iter().rev().find(|over| over.key == key);
        last.and_then(|over| over.value.as_str())
    };
    for (section, selector, default, own) in VARIANTS {
        let named = |table: &Table| table.get(selector).and_then(Value::as_str).map(str::to_owned);
        let typed = table.get(section).and_then(Value::as_table).and_then(named);
        let before = typed.unwrap_or_else(|| default.to_owned());
        let after = laid(&format!("{section}.{selector}")).unwrap_or(&before);
        let drop_own = |table: &mut Table| own.iter().for_each(|key| drop(table.remove(*key)));
        if let Some(table) = table.get_mut(section).and_then(Value::as_table_mut)
            && after != before
        {
            drop_own(table);
        }
        let arms = table.get_mut("arm").and_then(Value::as_array_mut).into_iter().flatten();
        for arm in arms.filter_map(Value::as_table_mut) {
            let own = named(arm);
            let name = arm.get("name").and_then(Value::as_str).unwrap_or_default();
            let laid = laid(&format!("arm.{name}.{selector}"));
            let now = laid.or(own.as_deref()).unwrap_or(after);
            if now != own.as_deref().unwrap_or(&before) {
                drop_own(arm);
            }
        }
    }
}

/// Writes one override into the table, making sections as needed.
fn lay(table: &mut Table, over: &Override) -> Result<(), ConfigError> {
    let mut parts: Vec<&str> = over.key.split('.').collect();
    let mut at = table;
    if let ["arm", name, _] = parts[..] {
        at = arm_table(at, name, &over.key)?;
        parts.drain(..2);
    }
    // The two lengths exclude each other: a later one replaces the earlier.
    match parts[..] {
        ["steps"] => drop(at.remove("epochs")),
        ["epochs"] => drop(at.remove("steps")),
        _ => {}
    }
    // `split` gives at least one part.
    let (last, sections) = parts.split_last().unwrap_or((&"", &[]));
    for section in sections {
        let entry = at.entry(*section).or_insert_with(|| Value::Table(Table::new()));
        at = entry.as_table_mut().ok_or_else(|| ConfigError::Key {
            origin: over.origin.clone(),
            key: over.key.clone(),
            message: format!("`{section}` is not a section; arms are set as arm.NAME.KEY"),
        })?;
    }
    at.insert((*last).to_owned(), over.value.clone());
    Ok(())
}

/// The table of the arm `name`. A config without arms gets its family's usual ones, so that they can be changed.
fn arm_table<'a>(
    table: &'a mut Table,
    name: &str,
    key: &str,
) -> Result<&'a mut Table, ConfigError> {
    let family = table.get("model").and_then(|model| model.get("family")).cloned();
    let family = family.and_then(|family| family.try_into().ok()).unwrap_or(Family::Resnet);
    let usual = || {
        let tables = usual_arms(family).into_iter().filter_map(|arm| Value::try_from(arm).ok());
        Value::Array(tables.collect())
    };
    let arms = table
        .entry("arm")
        .or_insert_with(usual)
        .as_array_mut()
        .map(Vec::as_mut_slice)
        .unwrap_or_default();
    let named = |arm: &Value| arm.get("name").and_then(Value::as_str).map(str::to_owned);
    let known = arms.iter().filter_map(named).collect::<Vec<_>>().join(", ");
    let no_such = || ConfigError::NoSuchArm { key: key.to_owned(), name: name.to_owned(), known };
    let found = arms.iter_mut().find(|arm| named(arm).as_deref() == Some(name));
    found.and_then(Value::as_table_mut).ok_or_else(no_such)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::experiment::TrainSpec;
    use super::*;

    fn with(sets: &[&str]) -> Result<Experiment, ConfigError> {
        let overrides: Vec<Override> = sets.iter().map(|s| Override::parse(s).unwrap()).collect();
        load(DEFAULT_CONFIG, &overrides)
    }

    #[test]
    fn every_built_in_config_parses() {
        for (name, text) in BUILT_IN {
            let table: Table = toml::from_str(text).unwrap();
            typed(&table, name).unwrap();
        }
    }

    #[test]
    fn the_default_config_is_what_nothing_typed_gives() {
        assert_eq!(with(&[]).unwrap(), resolve(&Typed::default()).unwrap());
    }

    #[test]
    fn overrides_reach_sections_and_arms() {
        let e = with(&["train.lr=0.05", "arm.noskip.lr=0.01", "data.augment=true", "name=mine"])
            .unwrap();
        let lrs: Vec<f64> = e.arms.values().map(|a| a.train.lr).collect();
        assert_eq!(lrs, [0.05, 0.01]);
        assert!(e.data.augment);
        assert_eq!(e.name, "mine");
        assert_eq!(with(&["epochs=2.0"]).unwrap().length, super::super::Length::Epochs(2.0));
    }

    #[test]
    fn another_variant_does_not_inherit_what_the_file_says_of_the_first() {
        let set = |sets: &[&str]| with(sets).unwrap();
        let size = |sets: &[&str]| set(sets).data.size;
        assert_eq!(size(&["data.kind=cifar10", "data.dir=/x"]), None);
        assert_eq!(size(&["data.size=24", "data.kind=cifar10", "data.dir=/x"]), Some(24));
        assert_eq!(size(&["data.kind=digits"]), Some(16));
        let overs = ["data.kind=digits", "data.limit=100"].map(|s| Override::parse(s).unwrap());
        let data = load("cifar10-mini", &overs).unwrap().data;
        assert_eq!((data.dir, data.size, data.limit), (None, Some(16), Some(100)));
        let overs = [Override::parse("data.kind=cifar100").unwrap()];
        let said = load("fig9-mini", &overs).unwrap_err().to_string();
        assert!(said.contains("data.dir = (missing)"), "CIFAR-10's folder is not its: {said}");

        let trains = |sets: &[&str]| {
            let all = set(sets).arms;
            let of = |t: &TrainSpec| (t.optimizer.word(), t.lr, t.nesterov);
            all.values().map(|arm| of(&arm.train)).collect::<Vec<_>>()
        };
        let (sgd, adam) = (("sgd", 0.1, true), ("adam", 1e-3, false));
        assert_eq!(trains(&["train.optimizer=adam"]), [adam; 2]);
        assert_eq!(trains(&["train.lr=0.02", "train.optimizer=adam"]), [("adam", 0.02, false); 2]);
        assert_eq!(trains(&["arm.noskip.optimizer=adam"]), [sgd, adam]);
        assert_eq!(trains(&["train.lr=0.05", "train.optimizer=sgd"]), [("sgd", 0.05, true); 2]);

        let models = set(&["arm.noskip.family=vgg9"]).arms;
        let models: Vec<_> = models.values().map(|a| (a.model.depth, a.model.width)).collect();
        assert_eq!(models, [(56, 8), (9, 64)]);
    }

    #[test]
    fn what_an_arm_says_of_one_variant_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("arms.toml");
        let text = "[train]\nlr = 0.2\n[[arm]]\nname = 'a'\nlr = 0.3\n[[arm]]\nname = 'b'\n\
                    optimizer = 'adam'\nlr = 0.004\n[[arm]]\nname = 'c'\noptimizer = 'sgd'";
        std::fs::write(&path, text).unwrap();
        let lrs = |sets: &[&str]| {
            let sets: Vec<_> = sets.iter().map(|s| Override::parse(s).unwrap()).collect();
            let all = load(path.to_str().unwrap(), &sets).unwrap().arms;
            all.values().map(|arm| arm.train.lr).collect::<Vec<_>>()
        };
        assert_eq!(lrs(&[]), [0.3, 0.004, 0.2]);
        assert_eq!(lrs(&["train.optimizer=adamw"]), [1e-3, 0.004, 0.1]);
        assert_eq!(lrs(&["arm.b.optimizer=sgd"]), [0.3, 0.2, 0.2]);
        assert_eq!(lrs(&["arm.b.optimizer=sgd", "arm.b.lr=0.5"]), [0.3, 0.5, 0.2]);
    }

    #[test]
    fn a_config_without_arms_has_its_familys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vgg.toml");
        std::fs::write(&path, "[model]\nfamily = 'vgg9'\n").unwrap();
        let of = |set: &str| load(path.to_str().unwrap(), &[Override::parse(set).unwrap()]);
        let e = of("arm.vgg9.lr=0.02").unwrap();
        let arms: Vec<_> = e.arms.values().map(|a| (a.name.as_str(), a.skip, a.train.lr)).collect();
        assert_eq!(arms, [("vgg9", false, 0.02)]);
        let said = of("arm.noskip.lr=0.02").unwrap_err().to_string();
        assert!(said.contains("no arm is named `noskip`; the arms are vgg9"), "{said}");
        let said = of("arm.vgg9.skip=true").unwrap_err().to_string();
        assert!(said.contains("arm vgg9.skip = true: expected false or nothing"), "{said}");
    }

    #[test]
    fn refused_overrides_say_why_on_one_line() {
        let cases = [
            (
                "train.lrr=1",
                "--set train.lrr=1: train.lrr: unknown field `lrr`, expected one of `optimizer`",
            ),
            (
                "train.lr=fast",
                "--set train.lr=fast: train.lr: invalid type: string \"fast\", expected f64",
            ),
            (
                "train.optimizer=sdg",
                "unknown variant `sdg`, expected one of `sgd`, `adam`, `adamw`",
            ),
            ("steps=-5", "--set steps=-5: steps: invalid value: integer `-5`"),
            ("model.family=alexnet", "unknown variant `alexnet`, expected `resnet` or `vgg9`"),
            ("arm.third.lr=1", "no arm is named `third`; the arms are skip, noskip"),
            ("model.family=vgg9", "arm skip.skip = true: expected false or nothing"),
            ("train.lr.x=1", "`lr` is not a section"),
            ("colour=blue", "unknown field `colour`, expected one of `name`, `seed`"),
        ];
        for (set, wanted) in cases {
            let said = with(&[set]).unwrap_err().to_string();
            assert!(said.contains(wanted), "{set}: said {said:?}, wanted {wanted:?}");
            assert!(!said.contains('\n'));
        }
        for not in ["train.lr", "=1", ".lr=1", "train.=1"] {
            assert!(
                matches!(Override::parse(not), Err(ConfigError::NotAnOverride { .. })),
                "{not}"
            );
        }
    }

    #[test]
    fn files_that_are_not_there_or_not_toml_are_told() {
        let said = load("no-such-config", &[]).unwrap_err().to_string();
        assert!(
            said.contains("config `no-such-config`") && said.contains("built in: demo"),
            "{said}"
        );
        let said = load("some/where.toml", &[]).unwrap_err().to_string();
        assert!(said.contains("config some/where.toml:"), "{said}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("broken.toml");
        std::fs::write(&path, "steps = = 3").unwrap();
        let said = load(path.to_str().unwrap(), &[]).unwrap_err().to_string();
        assert!(said.contains("broken.toml: not valid TOML") && !said.contains('\n'), "{said}");
    }
}
