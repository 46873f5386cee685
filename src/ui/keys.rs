//! The one table of keys: what is pressed, what it does, what the help says.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::telemetry::command::{Change, Command};

/// Ends the run, in the question before quitting: a key that no text holds, whether typed or pasted.
pub const STOP: (KeyCode, &str) = (KeyCode::Char('x'), "Ctrl-X");

/// Factor of one press of `l` or `L`.
const LR_FACTOR: f64 = 2.0;

/// What a key does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Asks the engine; the text answers on the screen.
    Ask(Command, &'static str),
    /// Asks whether to quit.
    Quit,
    /// The next panel, or the one before.
    Focus(Turn),
    /// The focused panel on the whole screen, and back.
    Zoom,
    /// Closes what lies on top.
    Back,
    /// Logarithmic or linear curves.
    LogScale,
    /// The trajectory, or the maps.
    TurnOver,
    /// Angles in full space or in the plane.
    Plane,
    /// The help.
    Help,
    /// The command line, begun with this.
    Prompt(&'static str),
}

/// Which way `Tab` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Onwards.
    Next,
    /// Back.
    Previous,
}

/// One line of the table.
pub struct Binding {
    /// Any of these does it.
    pub codes: &'static [KeyCode],
    /// The keys as the help writes them.
    pub keys: &'static str,
    /// A word for the bottom line; empty for none.
    pub hint: &'static str,
    /// What it does, for the help.
    pub help: &'static str,
    /// The action.
    pub action: Action,
}

const fn ask(
    codes: &'static [KeyCode],
    keys: &'static str,
    hint: &'static str,
    help: &'static str,
    command: Command,
    answer: &'static str,
) -> Binding {
    Binding { codes, keys, hint, help, action: Action::Ask(command, answer) }
}

const fn view(
    codes: &'static [KeyCode],
    keys: &'static str,
    hint: &'static str,
    help: &'static str,
    action: Action,
) -> Binding {
    Binding { codes, keys, hint, help, action }
}

const fn change(change: Change) -> Command {
    Command::Change { arm: None, change }
}

/// All keys.
pub static KEYS: [Binding; 20] = [
    view(&[KeyCode::Char('q')], "q", "quit", "detach, or stop the run (asks)", Action::Quit),
    ask(
        &[KeyCode::Char(' ')],
        "space",
        "pause",
        "pause, or go on",
        Command::TogglePause,
        "asked to pause, or to go on",
    ),
    ask(
        &[KeyCode::Char('w')],
        "w",
        "decay",
        "weight decay off, or back on",
        change(Change::ToggleWeightDecay),
        "weight decay: asked",
    ),
    ask(
        &[KeyCode::Char('b')],
        "b",
        "",
        "halve the batch",
        change(Change::ScaleBatch { up: false }),
        "half the batch: asked",
    ),
    ask(
        &[KeyCode::Char('B')],
        "B",
        "batch",
        "double the batch",
        change(Change::ScaleBatch { up: true }),
        "twice the batch: asked",
    ),
    ask(
        &[KeyCode::Char('l')],
        "l",
        "",
        "halve the learning rate",
        change(Change::ScaleLr(1.0 / LR_FACTOR)),
        "half the learning rate: asked",
    ),
    ask(
        &[KeyCode::Char('L')],
        "L",
        "lr",
        "double the learning rate",
        change(Change::ScaleLr(LR_FACTOR)),
        "twice the learning rate: asked",
    ),
    ask(
        &[KeyCode::Char('m')],
        "m",
        "map",
        "map the loss around the weights as they are now",
        Command::MapNow,
        "map asked for",
    ),
    ask(
        &[KeyCode::Char('u')],
        "u",
        "undo",
        "take the last change by hand back",
        Command::TakeBack,
        "the last change: asked to be taken back",
    ),
    view(
        &[KeyCode::Char('t')],
        "t",
        "path",
        "the trajectory in front, or the loss surface",
        Action::TurnOver,
    ),
    ask(
        &[KeyCode::Char('c')],
        "c",
        "save",
        "write a checkpoint now",
        Command::Checkpoint,
        "checkpoint asked for",
    ),
    view(
        &[KeyCode::Char('f')],
        "f",
        "fork",
        "copy an arm, to go on beside it with a change",
        Action::Prompt("fork "),
    ),
    view(
        &[KeyCode::Char(':')],
        ":",
        "cmd",
        "a command, as in :set noskip.lr 0.03",
        Action::Prompt(""),
    ),
    view(&[KeyCode::Char('y')], "y", "log", "logarithmic or linear loss", Action::LogScale),
    view(
        &[KeyCode::Char('a')],
        "a",
        "angle",
        "angles in full space, or in the plane of the path",
        Action::Plane,
    ),
    view(&[KeyCode::Tab], "Tab", "focus", "focus the next panel", Action::Focus(Turn::Next)),
    view(&[KeyCode::BackTab], "S-Tab", "", "focus the panel before", Action::Focus(Turn::Previous)),
    view(
        &[KeyCode::Enter, KeyCode::Char('z')],
        "Enter",
        "full",
        "the focused panel on the whole screen, and back",
        Action::Zoom,
    ),
    view(&[KeyCode::Esc], "Esc", "", "close what lies on top", Action::Back),
    view(&[KeyCode::Char('?'), KeyCode::F(1)], "?", "help", "this help", Action::Help),
];

/// What a key event asks for.
pub fn action(event: &KeyEvent) -> Option<Action> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        // As everywhere: Ctrl-C wants out.
        return (event.code == KeyCode::Char('c')).then_some(Action::Quit);
    }
    KEYS.iter().find(|b| b.codes.contains(&event.code)).map(|b| b.action.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_key_does_two_things() {
        let codes: Vec<&KeyCode> = KEYS.iter().flat_map(|b| b.codes).collect();
        assert_eq!(codes.iter().collect::<HashSet<_>>().len(), codes.len());
    }

    #[test]
    fn control_c_quits_and_other_controls_do_nothing() {
        let press = |code, modifiers| action(&KeyEvent::new(code, modifiers));
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Action::Quit));
        assert_eq!(press(KeyCode::Char('w'), KeyModifiers::CONTROL), None);
        assert!(matches!(press(KeyCode::Char('B'), KeyModifiers::SHIFT), Some(Action::Ask(..))));
    }
}
