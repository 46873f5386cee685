//! The font of the figures, built in: a server has none, and a figure looks the same wherever it is made.

use std::sync::LazyLock;

use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};

/// Its family.
pub const FAMILY: &str = "Noto Sans";
/// Regular and bold (SIL Open Font License 1.1).
pub const FILES: [&[u8]; 2] = [notosans::REGULAR_TTF, notosans::BOLD_TTF];
/// Width of a character that the font lacks, of its size.
const UNKNOWN: f32 = 0.6;

static FONTS: LazyLock<[Option<FontRef<'static>>; 2]> =
    LazyLock::new(|| FILES.map(|bytes| FontRef::new(bytes).ok()));

/// Width of a text at a size, in the units of the size; kerning is left out.
pub fn width(text: &str, size: f64, bold: bool) -> f64 {
    let Some(font) = &FONTS[usize::from(bold)] else {
        return text.chars().count() as f64 * size * f64::from(UNKNOWN);
    };
    let metrics = font.glyph_metrics(Size::new(1.0), LocationRef::default());
    let map = font.charmap();
    let advance =
        |c: char| map.map(c).and_then(|glyph| metrics.advance_width(glyph)).unwrap_or(UNKNOWN);
    text.chars().map(|c| f64::from(advance(c)) * size).sum()
}

/// The text in lines no wider than `most`; a word that is wider has a line of its own.
pub fn wrap(text: &str, size: f64, most: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), size, false) <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_has_what_figures_say() {
        for font in FONTS.iter().flatten() {
            for c in "aZ09λ×−|–µ·…°".chars() {
                assert!(font.charmap().map(c).is_some(), "no {c}");
            }
        }
        assert_eq!(FONTS.iter().flatten().count(), 2);
    }

    #[test]
    fn wider_texts_are_wider() {
        assert!(width("mmm", 10.0, false) > width("iii", 10.0, false));
        assert!(width("loss", 10.0, true) > width("loss", 10.0, false));
        assert!((width("ab", 20.0, false) - 2.0 * width("ab", 10.0, false)).abs() < 1e-3);
    }

    #[test]
    fn lines_hold_what_fits() {
        let lines = wrap("one two three four", 10.0, width("one two", 10.0, false) + 0.1);
        assert_eq!(lines[0], "one two");
        assert_eq!(lines.join(" "), "one two three four");
        assert_eq!(wrap("unbreakable", 10.0, 1.0), ["unbreakable"]);
    }
}
