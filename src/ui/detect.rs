//! What a terminal can show: by what is asked for, what it answers, its name, and the locale, in this order.

use super::theme::{ColorDepth, Theme};

/// What the screen is drawn with, where that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Characters {
    /// ASCII alone.
    Ascii,
    /// Lines, blocks and braille.
    Unicode,
}

/// What a terminal has told of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Whether it shows UTF-8 as such; nothing where it did not say, or was not asked.
    pub utf8: Option<bool>,
    /// That it has 24-bit colours.
    pub true_color: bool,
}

/// Terminals that have 24-bit colours and say so by their name alone. Over SSH the name is all that arrives: `COLORTERM`
/// stays behind.
const TRUE_COLOR: [&str; 6] =
    ["alacritty", "contour", "foot", "wezterm", "xterm-ghostty", "xterm-kitty"];

impl Theme {
    /// What to draw with; `heard` is nothing where stdout is no terminal, and `forced` holds whatever anybody says.
    pub fn detect(
        forced: Option<Characters>,
        heard: Option<Heard>,
        var: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let set = |name: &str| var(name).filter(|v| !v.is_empty());
        let term = set("TERM").unwrap_or_default();
        let utf8 = match (forced, heard) {
            (Some(characters), _) => characters == Characters::Unicode,
            // The Linux console does show UTF-8, but its font has no braille.
            (None, Some(_)) if is_plain(&term) => false,
            (None, heard) => heard.and_then(|h| h.utf8).unwrap_or_else(|| is_utf8(set)),
        };
        Self { depth: depth(heard, &term, set), ascii: !utf8 }
    }
}

/// Whether the terminal's name says that it shows neither braille nor more than 16 colours: there is nothing to ask it.
pub fn is_plain(term: &str) -> bool {
    let is_vt =
        term.strip_prefix("vt").is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()));
    is_vt || term == "dumb" || term.starts_with("linux")
}

/// Whether the locale's characters are UTF-8.
fn is_utf8(set: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

fn depth(heard: Option<Heard>, term: &str, set: impl Fn(&str) -> Option<String>) -> ColorDepth {
    let color_term = set("COLORTERM").unwrap_or_default();
    let has_answered = heard.is_none_or(|h| h.utf8.is_some());
    if set("NO_COLOR").is_some() {
        ColorDepth::None
    // Before COLORTERM, which can be another terminal's: a name is handed on by every login, and mended by every console.
    } else if is_plain(term) {
        let has_some = term.starts_with("linux") || term.contains("color");
        if has_some { ColorDepth::Ansi } else { ColorDepth::None }
    } else if color_term == "truecolor"
        || color_term == "24bit"
        || term.contains("direct")
        || TRUE_COLOR.iter().any(|name| term.starts_with(name))
        || heard.is_some_and(|h| h.true_color)
    {
        ColorDepth::True
    } else if term.contains("256color") {
        ColorDepth::Indexed
    // Without a name and without an answer it may be anything.
    } else if term.is_empty() && !has_answered {
        ColorDepth::None
    } else {
        ColorDepth::Ansi
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UTF8: Option<Heard> = Some(Heard { utf8: Some(true), true_color: false });
    const LATIN: Option<Heard> = Some(Heard { utf8: Some(false), true_color: false });
    const SILENT: Option<Heard> = Some(Heard { utf8: None, true_color: false });
    const RICH: Option<Heard> = Some(Heard { utf8: Some(true), true_color: true });
    const PIPE: Option<Heard> = None;

    fn with(forced: Option<Characters>, heard: Option<Heard>, vars: &str) -> Theme {
        let var = |name: &str| {
            let of = |v: &str| v.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
            vars.split(' ').find_map(of)
        };
        Theme::detect(forced, heard, var)
    }

    #[test]
    fn characters_are_what_is_forced_then_what_is_answered_then_the_locale() {
        const ASCII: bool = true;
        const UNICODE: bool = false;
        for (heard, vars, wanted) in [
            // The answer is over the locale, either way.
            (UTF8, "TERM=xterm-256color", UNICODE),
            (UTF8, "TERM=xterm-256color LC_ALL=C", UNICODE),
            (LATIN, "TERM=xterm LANG=en_US.UTF-8", ASCII),
            (UTF8, "", UNICODE),
            // Without one the locale decides, by its usual order.
            (SILENT, "TERM=xterm", ASCII),
            (SILENT, "TERM=xterm LANG=de_DE.utf8", UNICODE),
            (SILENT, "TERM=xterm LC_ALL= LC_CTYPE=C.UTF-8 LANG=C", UNICODE),
            (SILENT, "TERM=xterm LC_ALL=C LANG=en_US.UTF-8", ASCII),
            // Names that show no braille, whatever they answer.
            (UTF8, "TERM=linux LANG=en_US.UTF-8", ASCII),
            (SILENT, "TERM=vt100 LANG=en_US.UTF-8", ASCII),
            (UTF8, "TERM=vt220 LANG=en_US.UTF-8", ASCII),
            (SILENT, "TERM=dumb LANG=en_US.UTF-8", ASCII),
            // Into a file or a pipe: whoever reads it has the locale.
            (PIPE, "TERM=linux LANG=en_US.UTF-8", UNICODE),
            (PIPE, "TERM=xterm", ASCII),
        ] {
            assert_eq!(with(None, heard, vars).ascii, wanted, "{heard:?} {vars}");
            assert!(with(Some(Characters::Ascii), heard, vars).ascii, "{vars}");
            assert!(!with(Some(Characters::Unicode), heard, vars).ascii, "{vars}");
        }
    }

    #[test]
    fn colours_are_what_the_name_says_and_more_where_more_is_told() {
        use ColorDepth::{Ansi, Indexed, None, True};
        for (heard, vars, wanted) in [
            (UTF8, "TERM=xterm-256color COLORTERM=truecolor", True),
            (SILENT, "TERM=xterm COLORTERM=24bit", True),
            (UTF8, "TERM=xterm-direct", True),
            (UTF8, "TERM=xterm-kitty", True),
            (RICH, "TERM=tmux-256color", True),
            (UTF8, "TERM=tmux-256color", Indexed),
            (UTF8, "TERM=xterm-256color COLORTERM=yes", Indexed),
            (UTF8, "TERM=xterm", Ansi),
            (UTF8, "TERM=screen", Ansi),
            (UTF8, "", Ansi),
            (SILENT, "", None),
            (UTF8, "TERM=linux COLORTERM=truecolor", Ansi),
            (SILENT, "TERM=vt100", None),
            (RICH, "TERM=vt220 COLORTERM=truecolor", None),
            (SILENT, "TERM=vt100-color", Ansi),
            (SILENT, "TERM=dumb", None),
            (RICH, "TERM=xterm-256color COLORTERM=truecolor NO_COLOR=1", None),
            (UTF8, "TERM=xterm-256color NO_COLOR=", Indexed),
            (PIPE, "TERM=xterm-256color", Indexed),
            (PIPE, "", Ansi),
        ] {
            assert_eq!(with(Option::None, heard, vars).depth, wanted, "{heard:?} {vars}");
        }
    }
}
