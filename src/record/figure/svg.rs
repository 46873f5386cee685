//! Writing SVG: groups, paths and words, with numbers kept short and names kept harmless.

use std::fmt::Write;

use super::font::FAMILY;
use crate::geometry::color::Rgb;

/// A point on the page, y downwards.
pub type Spot = (f64, f64);

/// A document in the making.
pub struct Svg {
    text: String,
    open: usize,
    /// Which of several maps on the page is being drawn, from 0: names are told apart by it.
    part: usize,
}

/// How a text stands.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// Size, units of the page.
    pub size: f64,
    /// `start`, `middle` or `end`.
    pub anchor: &'a str,
    /// Colour.
    pub color: &'a str,
    /// Bold.
    pub bold: bool,
    /// Turned by so many degrees, clockwise.
    pub turned: f64,
    /// Further attributes.
    pub more: &'a str,
}

impl Default for Words<'_> {
    fn default() -> Self {
        Self { size: 11.0, anchor: "start", color: "#222", bold: false, turned: 0.0, more: "" }
    }
}

impl Svg {
    /// An empty page of `width` by `height` units, shown in so many pixels; `title` is what readers aloud say.
    pub fn new(width: f64, height: f64, pixels: (u32, u32), title: &str) -> Self {
        let mut text = String::new();
        let _ = write!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {} {}\" \
             font-family=\"'{FAMILY}', 'DejaVu Sans', Helvetica, Arial, sans-serif\">\n<title>{}</title>\n",
            pixels.0,
            pixels.1,
            number(width),
            number(height),
            escaped(title)
        );
        let mut page = Self { text, open: 0, part: 0 };
        page.raw(&format!(
            "<rect width=\"{}\" height=\"{}\" fill=\"#fff\"/>",
            number(width),
            number(height)
        ));
        page
    }

    /// What follows belongs to this of several maps, from 0.
    pub fn begin_part(&mut self, part: usize) {
        self.part = part;
    }

    /// A name that no other map on the page has.
    pub fn name(&self, name: &str) -> String {
        if self.part == 0 { name.to_owned() } else { format!("{name}-{}", self.part + 1) }
    }

    /// Opens a group of this name, which no other map on the page has.
    pub fn open_named(&mut self, name: &str, attributes: &str) {
        let name = self.name(name);
        self.open(&format!("id=\"{name}\" {attributes}"));
    }

    /// `clip-path="url(#...)"` of this map's field.
    pub fn clipped(&self) -> String {
        format!("clip-path=\"url(#{})\"", self.name("field"))
    }

    /// A line of SVG as it is.
    pub fn raw(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Opens a group.
    pub fn open(&mut self, attributes: &str) {
        self.open += 1;
        self.raw(&format!("<g {attributes}>"));
    }

    /// Closes the group opened last.
    pub fn close(&mut self) {
        if self.open > 0 {
            self.open -= 1;
            self.raw("</g>");
        }
    }

    /// A path, unless it is empty.
    pub fn path(&mut self, d: &str, attributes: &str) {
        if !d.is_empty() {
            self.raw(&format!("<path d=\"{d}\" {attributes}/>"));
        }
    }

    /// A straight line.
    pub fn line(&mut self, from: Spot, to: Spot, attributes: &str) {
        self.path(&polyline(&[from, to]), attributes);
    }

    /// A circle.
    pub fn circle(&mut self, (x, y): Spot, radius: f64, attributes: &str) {
        if x.is_finite() && y.is_finite() {
            let (x, y, r) = (number(x), number(y), number(radius));
            self.raw(&format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" {attributes}/>"));
        }
    }

    /// A text, its baseline at the spot.
    pub fn words(&mut self, (x, y): Spot, text: &str, style: Words<'_>) {
        if text.is_empty() || !(x.is_finite() && y.is_finite()) {
            return;
        }
        let Words { size, anchor, color, bold, turned, more } = style;
        let (x, y, size) = (number(x), number(y), number(size));
        let weight = if bold { " font-weight=\"bold\"" } else { "" };
        let turn = match turned {
            0.0 => String::new(),
            t => format!(" transform=\"rotate({} {x} {y})\"", number(t)),
        };
        let more = if more.is_empty() { String::new() } else { format!(" {more}") };
        self.raw(&format!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{color}\"{weight}{turn}{more}>{}</text>",
            escaped(text)
        ));
    }

    /// The whole document.
    pub fn finish(mut self) -> String {
        while self.open > 0 {
            self.close();
        }
        self.raw("</svg>");
        self.text
    }
}

/// A number of the page: hundredths are finer than any pixel.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A colour.
pub fn hex((r, g, b): Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// A path through points, those that are no numbers left out.
pub fn polyline(points: &[Spot]) -> String {
    let mut d = String::new();
    for (x, y) in points.iter().filter(|p| p.0.is_finite() && p.1.is_finite()) {
        let _ = write!(d, "{}{} {}", if d.is_empty() { 'M' } else { 'L' }, number(*x), number(*y));
    }
    d
}

/// Closed paths through the points of each ring.
pub fn rings(rings: impl IntoIterator<Item = Vec<Spot>>) -> String {
    let closed = rings.into_iter().map(|r| polyline(&r)).filter(|d| !d.is_empty());
    closed.map(|d| d + "Z").collect()
}

/// A text as it may stand in a document: no mark-up, no characters that XML forbids.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_always_numbers() {
        assert_eq!(
            [1.0, 0.125, -0.001, f64::NAN, 1e3].map(number),
            ["1", "0.12", "0", "0", "1000"]
        );
    }

    #[test]
    fn words_cannot_break_the_document() {
        assert_eq!(escaped("<a & \"b\">\u{1}\u{ffff}"), "&lt;a &amp; &quot;b&quot;&gt; \u{fffd}");
    }

    #[test]
    fn lines_leave_out_what_is_no_number() {
        assert_eq!(polyline(&[(0.0, 1.0), (f64::NAN, 0.0), (2.0, 3.5)]), "M0 1L2 3.5");
        assert_eq!(rings([vec![], vec![(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]]), "M0 0L1 0L1 1Z");
    }

    #[test]
    fn groups_are_closed_at_the_end() {
        let mut page = Svg::new(10.0, 5.0, (20, 10), "t");
        page.open("id=\"a\"");
        let text = page.finish();
        assert!(
            text.contains("viewBox=\"0 0 10 5\"") && text.ends_with("</g>\n</svg>\n"),
            "{text}"
        );
    }
}
