//! The command line of the dashboard: `:set noskip.weight_decay 0`, with completion, and an answer to a wrong one.

use crate::arm::ArmName;
use crate::telemetry::command::{Change, Command, Setting};

/// What a line asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Asks the engine; the text answers on the screen.
    Ask(Command, String),
    /// Asks whether to quit.
    Quit,
    /// The help.
    Help,
}

/// One command.
struct Verb {
    name: &'static str,
    usage: &'static str,
    read: fn(&[&str], &[ArmName]) -> Result<Order, String>,
}

/// All commands.
const VERBS: [Verb; 10] = [
    Verb { name: "set", usage: "set [ARM.]KEY VALUE", read: set },
    Verb { name: "fork", usage: "fork [ARM] KEY=VALUE ...", read: fork },
    Verb { name: "map", usage: "map", read: |w, _| plain(w, Command::MapNow, "map asked for") },
    Verb {
        name: "checkpoint",
        usage: "checkpoint",
        read: |w, _| plain(w, Command::Checkpoint, "checkpoint asked for"),
    },
    Verb {
        name: "pause",
        usage: "pause",
        read: |w, _| plain(w, Command::TogglePause, "pause, or go on"),
    },
    Verb {
        name: "undo",
        usage: "undo",
        read: |w, _| plain(w, Command::TakeBack, "the last change: asked to be taken back"),
    },
    Verb { name: "stop", usage: "stop", read: |w, _| plain(w, Command::Stop, "asked to stop") },
    Verb { name: "quit", usage: "quit", read: |w, _| nothing_more(w).map(|()| Order::Quit) },
    // As in vi.
    Verb { name: "q", usage: "q", read: |w, _| nothing_more(w).map(|()| Order::Quit) },
    Verb { name: "help", usage: "help", read: |w, _| nothing_more(w).map(|()| Order::Help) },
];

/// What `line` asks for.
///
/// # Errors
/// One line that names what is wrong and what is accepted.
pub fn read(line: &str, arms: &[ArmName]) -> Result<Order, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let Some((first, rest)) = words.split_first() else {
        return Err(format!("a command: {}", names()));
    };
    let found = VERBS.iter().find(|v| v.name == *first);
    let verb = found.ok_or_else(|| format!("{first}: no such command; {}", names()))?;
    (verb.read)(rest, arms).map_err(|text| format!("{text}; {}", verb.usage))
}

fn names() -> String {
    VERBS.map(|v| v.name).join(", ")
}

fn nothing_more(words: &[&str]) -> Result<(), String> {
    words.first().map_or(Ok(()), |word| Err(format!("{word}: nothing is expected here")))
}

fn plain(words: &[&str], command: Command, answer: &str) -> Result<Order, String> {
    nothing_more(words).map(|()| Order::Ask(command, answer.to_owned()))
}

fn set(words: &[&str], arms: &[ArmName]) -> Result<Order, String> {
    let joined = words.join(" ").replacen('=', " ", 1);
    let words: Vec<&str> = joined.split_whitespace().collect();
    let [key, value] = words[..] else { return Err("a key and a value are expected".to_owned()) };
    let (arm, key) = match key.rsplit_once('.') {
        Some((arm, key)) => (Some(find(arm, arms)?), key),
        None => (None, key),
    };
    let (setting, value) = setting(key, value)?;
    let whose = arm.as_ref().map_or_else(String::new, |a| format!("{a}."));
    let answer = format!("{whose}{} = {value}, from the next step on", setting.key());
    Ok(Order::Ask(Command::Change { arm, change: Change::Set { setting, value } }, answer))
}

fn fork(words: &[&str], arms: &[ArmName]) -> Result<Order, String> {
    let (arm, rest) = match words.split_first() {
        Some((first, rest)) if !first.contains('=') => (Some(find(first, arms)?), rest),
        _ => (None, words),
    };
    let change = |word: &&str| {
        let (key, value) =
            word.split_once('=').ok_or_else(|| format!("{word}: KEY=VALUE is expected"))?;
        setting(key, value)
    };
    let changes = rest.iter().map(change).collect::<Result<Vec<_>, _>>()?;
    let whose = arm.as_ref().or_else(|| arms.first()).map_or_else(String::new, ToString::to_string);
    Ok(Order::Ask(Command::Fork { arm, changes }, format!("{whose} forks before the next step")))
}

fn find(name: &str, arms: &[ArmName]) -> Result<ArmName, String> {
    let found = arms.iter().find(|a| a.as_str() == name).cloned();
    let known = || arms.iter().map(ArmName::as_str).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| format!("{name}: no such arm; there are {}", known()))
}

fn setting(key: &str, value: &str) -> Result<(Setting, f64), String> {
    let keys = || Setting::ALL.map(Setting::key).join(", ");
    let setting = Setting::named(key)
        .ok_or_else(|| format!("{key}: cannot be changed while a run goes on; {}", keys()))?;
    let number: f64 = value.parse().unwrap_or(f64::NAN);
    match setting.accepts(number) {
        true => Ok((setting, number)),
        false => Err(format!("{key} = {value}: expected {}", setting.accepted())),
    }
}

/// The line with its last word completed as far as that is certain, and what may follow.
pub fn complete(line: &str, arms: &[ArmName]) -> (String, Vec<String>) {
    let space = line.char_indices().rev().find(|(_, c)| c.is_whitespace());
    let start = space.map_or(0, |(i, c)| i + c.len_utf8());
    let (before, word) = line.split_at(start);
    let candidates: Vec<String> = match before.split_whitespace().next() {
        None => VERBS.iter().map(|v| format!("{} ", v.name)).collect(),
        Some("set") if before.split_whitespace().count() == 1 => {
            let own = arms.iter().flat_map(|a| Setting::ALL.map(|s| format!("{a}.{} ", s.key())));
            Setting::ALL.map(|s| format!("{} ", s.key())).into_iter().chain(own).collect()
        }
        Some("fork") => {
            let keys = Setting::ALL.map(|s| format!("{}=", s.key()));
            let first = before.split_whitespace().count() == 1;
            let names = arms.iter().filter(|_| first).map(|a| format!("{a} "));
            names.chain(keys).collect()
        }
        Some(_) => Vec::new(),
    };
    let fitting: Vec<String> = candidates.into_iter().filter(|c| c.starts_with(word)).collect();
    let common =
        fitting.iter().skip(1).fold(fitting.first().cloned().unwrap_or_default(), |a, b| {
            a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
        });
    let completed = if common.len() > word.len() { common } else { word.to_owned() };
    let shown = if fitting.len() > 1 { fitting } else { Vec::new() };
    (format!("{before}{completed}"), shown.iter().map(|c| c.trim_end().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arms() -> Vec<ArmName> {
        ["skip", "noskip"].map(ArmName::new).to_vec()
    }

    fn asked(line: &str) -> Command {
        match read(line, &arms()).unwrap() {
            Order::Ask(command, _) => command,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn commands_are_read() {
        let set = |setting, value| Change::Set { setting, value };
        assert_eq!(
            asked("set lr 0.03"),
            Command::Change { arm: None, change: set(Setting::Lr, 0.03) }
        );
        let noskip = Some(ArmName::new("noskip"));
        let off = set(Setting::WeightDecay, 0.0);
        for line in ["set noskip.weight_decay 0", " set  noskip.weight_decay=0 "] {
            assert_eq!(asked(line), Command::Change { arm: noskip.clone(), change: off });
        }
        assert_eq!(
            asked("fork weight_decay=0 lr=1e-2"),
            Command::Fork {
                arm: None,
                changes: vec![(Setting::WeightDecay, 0.0), (Setting::Lr, 0.01)]
            }
        );
        assert_eq!(asked("fork noskip"), Command::Fork { arm: noskip, changes: Vec::new() });
        assert_eq!(asked("checkpoint"), Command::Checkpoint);
        assert_eq!(read("quit", &arms()), Ok(Order::Quit));
    }

    #[test]
    fn a_wrong_one_is_answered_clearly() {
        for (line, wanted) in [
            ("", "a command: set, fork"),
            ("sett lr 1", "sett: no such command; set, fork"),
            ("set lr", "a key and a value are expected; set [ARM.]KEY VALUE"),
            ("set lr fast", "lr = fast: expected a number from 1e-9 to 1e3"),
            ("set lr -1", "lr = -1: expected a number"),
            ("set batch 2.5", "batch = 2.5: expected a whole number from 2"),
            ("set momentum 0.5", "momentum: cannot be changed while a run goes on; lr, weight"),
            ("set third.lr 1", "third: no such arm; there are skip, noskip"),
            ("fork third", "third: no such arm"),
            ("fork skip lr", "lr: KEY=VALUE is expected"),
            ("map now", "now: nothing is expected here; map"),
        ] {
            let said = read(line, &arms()).unwrap_err();
            assert!(said.starts_with(wanted), "{line:?}: {said}");
        }
    }

    #[test]
    fn words_are_completed() {
        let whole = |line: &str| complete(line, &arms()).0;
        assert_eq!(whole("ch"), "checkpoint ");
        assert_eq!(whole("set w"), "set weight_decay ");
        assert_eq!(whole("set noskip.b"), "set noskip.batch ");
        assert_eq!(whole("fork no"), "fork noskip ");
        assert_eq!(whole("fork noskip weight_decay=0 l"), "fork noskip weight_decay=0 lr=");
        let (line, shown) = complete("s", &arms());
        assert_eq!((line.as_str(), shown), ("s", vec!["set".to_owned(), "stop".to_owned()]));
        assert_eq!(complete("zzz", &arms()), ("zzz".to_owned(), Vec::new()));
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_answered_in_one_line(line in "\\PC{0,60}") {
            if let Err(said) = read(&line, &arms()) {
                prop_assert!(!said.contains('\n'));
            }
            let (completed, _) = complete(&line, &arms());
            prop_assert!(completed.starts_with(&line));
        }
    }
}
