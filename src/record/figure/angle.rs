//! How the angle of a path to the isocurves is told by colour, and the key to it.

use super::axes::INK;
use super::font;
use super::svg::{Svg, Words, hex, number, polyline};
use crate::geometry::color::{ANGLE, ramp};

/// Uphill stands off from the scale by its dashes too, not by colour alone.
const UPHILL: &str = "#111111";
const DASHES: &str = " stroke-dasharray=\"3.5 2.6\"";
/// Where the map does not tell.
const UNKNOWN: &str = "#777777";
/// Degrees that have one colour: finer steps no eye tells apart, and each is a path of its own in the file.
const STEP: f64 = 3.0;
/// Height of the key.
pub(super) const KEY: f64 = 22.0;
const KEY_TEXT: f64 = 10.5;
const BAR: (f64, f64) = (110.0, 8.0);
const SPACE: f64 = 7.0;
/// Length of the lines that stand for uphill and unknown stretches.
const LINE: f64 = 26.0;

/// Colour of a stretch, and further attributes of its line; `degrees` is none where unknown.
pub(super) fn ink(degrees: Option<f64>) -> (String, &'static str) {
    match degrees {
        None => (UNKNOWN.to_owned(), ""),
        Some(up) if up < 0.0 => (UPHILL.to_owned(), DASHES),
        Some(phi) => (hex(ramp(&ANGLE, (phi / STEP).round() * STEP / 90.0)), ""),
    }
}

/// The key: a scale from along to across, and a dashed line; `left` and `room` say where it stands, `y` is its baseline.
/// What has no room is left out.
pub(super) fn key(page: &mut Svg, (left, room): (f64, f64), y: f64) {
    let stops = ANGLE.iter().enumerate().map(|(i, color)| {
        let at = number(i as f64 / (ANGLE.len() - 1) as f64);
        format!("<stop offset=\"{at}\" stop-color=\"{}\"/>", hex(*color))
    });
    let stops: String = stops.collect();
    page.raw(&format!("<defs><linearGradient id=\"angles\">{stops}</linearGradient></defs>"));
    page.open("id=\"key\"");
    let middle = y - KEY_TEXT * 0.36;
    let style = Words { size: KEY_TEXT, color: INK, ..Words::default() };
    let wide = |text: &str| font::width(text, KEY_TEXT, false);
    let (low, high) = ("path: along the isocurves of the loss 0°", "90° straight downhill");
    let mut x = left;
    page.words((x, y), low, style);
    x += wide(low) + SPACE;
    let (top, bottom) = (middle - BAR.1 / 2.0, middle + BAR.1 / 2.0);
    let bar = polyline(&[(x, top), (x + BAR.0, top), (x + BAR.0, bottom), (x, bottom)]) + "Z";
    page.path(&bar, "fill=\"url(#angles)\"");
    x += BAR.0 + SPACE;
    page.words((x, y), high, style);
    x += wide(high) + 3.0 * SPACE;
    for (word, color, more) in [("uphill", UPHILL, DASHES), ("not known", UNKNOWN, "")] {
        let next = x + LINE + SPACE + wide(word);
        if next > left + room {
            break;
        }
        let line = format!("fill=\"none\" stroke=\"{color}\" stroke-width=\"2.2\"{more}");
        page.line((x, middle), (x + LINE, middle), &line);
        page.words((x + LINE + SPACE, y), word, style);
        x = next + 2.0 * SPACE;
    }
    page.close();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uphill_and_unknown_are_no_part_of_the_scale() {
        assert_eq!(ink(Some(0.0)).0, hex(ANGLE[0]));
        assert_eq!(ink(Some(90.0)).0, hex(ANGLE[4]));
        assert_eq!(ink(Some(44.0)), ink(Some(45.4)), "one colour to some degrees");
        assert_ne!(ink(Some(40.0)), ink(Some(50.0)));
        assert!(!ink(Some(-5.0)).1.is_empty(), "dashed");
        assert_eq!(ink(None), (UNKNOWN.to_owned(), ""));
    }
}
