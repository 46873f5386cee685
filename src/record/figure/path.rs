//! The centre and the training's path: its stretches by their angle to the isocurves, its direction, its ends, and what
//! changed on the way.

use super::angle;
use super::axes::Panel;
use super::font;
use super::svg::{Spot, Svg, Words, number, polyline};
use crate::telemetry::chart::Path;

/// Units of the page between two arrow heads.
const ARROW_EVERY: f64 = 80.0;
const ARROW: f64 = 8.0;
/// More points than this are not dotted: the dots would run together.
const MOST_DOTS: usize = 150;
const LABEL: f64 = 10.5;
/// Of the words at marks, which are many.
const MARK_LABEL: f64 = 9.5;
/// Half the height of a mark.
const MARK: f64 = 4.2;
/// A path of which no angle is known.
const PLAIN: &str = "#c1121f";
/// Words and ends on a path whose stretches have colours of their own.
const DARK: &str = "#111111";
const HALO: &str =
    "stroke=\"#fff\" stroke-width=\"3\" stroke-linejoin=\"round\" paint-order=\"stroke\"";

/// A path on the page.
pub(super) struct Traced<'a> {
    /// Where its points lie.
    pub spots: Vec<Spot>,
    /// The angle of the stretch that leaves each, degrees; none where unknown.
    pub angles: Vec<Option<f64>>,
    /// Marks and their words.
    pub marks: Vec<(Spot, &'a str)>,
    /// Words at both ends.
    pub ends: (&'a str, &'a str),
}

impl<'a> Traced<'a> {
    /// The points of `path` that `place` finds a spot for.
    pub fn new(path: &'a Path, place: impl Fn(f64, f64) -> Option<Spot>) -> Self {
        let seen = |(i, (x, y)): (usize, &(f64, f64))| Some((place(*x, *y)?, path.angle(i)));
        let (spots, angles) = path.points.iter().enumerate().filter_map(seen).unzip();
        let mark = |((x, y), word): &'a ((f64, f64), String)| Some((place(*x, *y)?, word.as_str()));
        // An end that has no spot has no word there either.
        let word = |end: Option<&(f64, f64)>, word: &'a str| {
            end.and_then(|(x, y)| place(*x, *y)).map_or("", |_| word)
        };
        let ends =
            (word(path.points.first(), &path.ends.0), word(path.points.last(), &path.ends.1));
        Self { spots, angles, marks: path.marks.iter().filter_map(mark).collect(), ends }
    }

    fn has_angles(&self) -> bool {
        self.angles.iter().any(Option::is_some)
    }

    /// Colour and further attributes of the stretch that leaves a point.
    fn ink(&self, point: usize) -> (String, &'static str) {
        match self.has_angles() {
            true => angle::ink(self.angles.get(point).copied().flatten()),
            false => (PLAIN.to_owned(), ""),
        }
    }

    /// The stretches, those that follow each other in one ink as one line.
    fn lines(&self) -> Vec<(Vec<Spot>, (String, &'static str))> {
        let mut lines: Vec<(Vec<Spot>, (String, &'static str))> = Vec::new();
        for (i, pair) in self.spots.windows(2).enumerate() {
            let ink = self.ink(i);
            match lines.last_mut() {
                Some((spots, last)) if *last == ink => spots.push(pair[1]),
                _ => lines.push((pair.to_vec(), ink)),
            }
        }
        lines
    }
}

/// A cross at the weights.
pub(super) fn center(page: &mut Svg, panel: &Panel) {
    let (x, y) = panel.at(0.0, 0.0);
    if !panel.holds((x, y), 0.0) {
        return;
    }
    let arm = 6.0;
    let d = polyline(&[(x - arm, y), (x + arm, y)]) + &polyline(&[(x, y - arm), (x, y + arm)]);
    page.open_named("center", "fill=\"none\" stroke-linecap=\"round\"");
    page.path(&d, "stroke=\"#fff\" stroke-width=\"4\"");
    page.path(&d, "stroke=\"#111\" stroke-width=\"1.8\"");
    page.close();
}

/// The path with its direction, its start (a ring), its end (a disc) and its marks.
pub(super) fn draw(page: &mut Svg, path: &Path, panel: &Panel) {
    let traced = Traced::new(path, |x, y| Some(panel.at(x, y)));
    spots_on(page, &traced, |s| panel.holds(s, 0.0), Some(panel));
}

/// As [`draw`], of spots of the page; those that `inside` denies are not marked.
pub(super) fn spots_on(
    page: &mut Svg,
    traced: &Traced<'_>,
    inside: impl Fn(Spot) -> bool,
    panel: Option<&Panel>,
) {
    let spots = &traced.spots;
    let clip = if panel.is_some() { page.clipped() } else { String::new() };
    page.open_named("trajectory", &clip);
    let line = "fill=\"none\" stroke-linejoin=\"round\" stroke-linecap=\"round\"";
    let under = "stroke=\"#fff\" stroke-opacity=\"0.85\" stroke-width=\"4.4\"";
    page.path(&polyline(spots), &format!("{line} {under}"));
    for (spots, (color, more)) in traced.lines() {
        let width = if traced.has_angles() { 2.2 } else { 1.7 };
        let stretch = format!("{line} stroke=\"{color}\" stroke-width=\"{width}\"{more}");
        page.path(&polyline(&spots), &format!("class=\"stretch\" {stretch}"));
    }
    if spots.len() <= MOST_DOTS {
        for (i, spot) in spots.iter().enumerate().filter(|(_, s)| inside(**s)) {
            // The last point's stretch is the one that comes there.
            let of = i.min(spots.len().saturating_sub(2));
            page.circle(*spot, 1.9, &format!("fill=\"{}\"", traced.ink(of).0));
        }
    }
    for (tip, turned, of) in arrows(spots).into_iter().filter(|(tip, ..)| inside(*tip)) {
        let (x, y) = (number(tip.0), number(tip.1));
        page.path(
            &format!("M{} {}L0 0L{} {}Z", -ARROW, ARROW * 0.42, -ARROW, -ARROW * 0.42),
            &format!(
                "class=\"arrow\" fill=\"{}\" stroke=\"#fff\" stroke-width=\"0.8\" transform=\"translate({x} {y}) rotate({})\"",
                traced.ink(of).0,
                number(turned)
            ),
        );
    }
    page.close();
    let mut taken = Vec::new();
    ends(page, traced, &inside, panel, &mut taken);
    marks(page, traced, &inside, panel, &mut taken);
}

/// Where words stand: left, upper, right and lower edge.
type Area = (f64, f64, f64, f64);

/// Both ends and their words.
fn ends(
    page: &mut Svg,
    traced: &Traced<'_>,
    inside: &impl Fn(Spot) -> bool,
    panel: Option<&Panel>,
    taken: &mut Vec<Area>,
) {
    let spots = &traced.spots;
    let color = if traced.has_angles() { DARK } else { PLAIN };
    page.open_named("ends", "");
    let next = |from: Option<&Spot>, to: Option<&Spot>| match (from, to) {
        (Some(a), Some(b)) => b.0 - a.0,
        _ => 0.0,
    };
    let count = spots.len();
    let both = [
        (spots.first(), next(spots.first(), spots.get(1)), traced.ends.0, "#fff"),
        (spots.last(), next(spots.last(), spots.get(count.wrapping_sub(2))), traced.ends.1, color),
    ];
    for (spot, away, word, fill) in both {
        let Some(spot) = spot.filter(|s| inside(**s)) else { continue };
        page.circle(*spot, 4.5, "fill=\"#fff\"");
        let look = format!("fill=\"{fill}\" stroke=\"{color}\" stroke-width=\"1.6\"");
        page.circle(*spot, 3.8, &look);
        // Off the path, on the side that it does not run to, if there is room on the panel.
        let wide = font::width(word, LABEL, false) + 9.0;
        let fits_right = panel.is_none_or(|p| spot.0 + wide < p.left + p.width);
        let fits_left = panel.is_none_or(|p| spot.0 - wide > p.left);
        let right = if away > 0.0 { !fits_left } else { fits_right };
        let (dx, anchor) = if right { (8.0, "start") } else { (-8.0, "end") };
        let style = Words { size: LABEL, anchor, color, more: HALO, ..Words::default() };
        // Above, or below where that is off the panel.
        let above = panel.is_none_or(|p| spot.1 - 5.0 - LABEL > p.top);
        let y = spot.1 + if above { -5.0 } else { 5.0 + LABEL };
        page.words((spot.0 + dx, y), word, style);
        let left = if right { spot.0 } else { spot.0 - wide };
        taken.push((left, y.min(spot.1) - LABEL, left + wide, y.max(spot.1 + 5.0)));
    }
    page.close();
}

/// Diamonds where something changed, with their words where there is room.
fn marks(
    page: &mut Svg,
    traced: &Traced<'_>,
    inside: &impl Fn(Spot) -> bool,
    panel: Option<&Panel>,
    taken: &mut Vec<Area>,
) {
    if traced.marks.is_empty() {
        return;
    }
    page.open_named("changes", "");
    for ((x, y), word) in traced.marks.iter().filter(|(spot, _)| inside(*spot)) {
        let d = polyline(&[(*x, y - MARK), (x + MARK, *y), (*x, y + MARK), (x - MARK, *y)]) + "Z";
        page.path(&d, "fill=\"#fff\" stroke=\"#111\" stroke-width=\"1.4\"");
        let wide = font::width(word, MARK_LABEL, false);
        let sides = [
            (true, -6.0),
            (false, -6.0),
            (true, 13.0),
            (false, 13.0),
            (true, -17.0),
            (false, 24.0),
        ];
        let free = sides.into_iter().find_map(|(right, down)| {
            let left = if right { x + 6.0 } else { x - 6.0 - wide };
            let area = (left, y + down - MARK_LABEL, left + wide, y + down + 2.0);
            let corners = [(area.0, area.1), (area.2, area.3)];
            let fits = panel.is_none_or(|p| corners.into_iter().all(|c| p.holds(c, 1.0)));
            let apart = |o: &Area| area.0 > o.2 || area.2 < o.0 || area.1 > o.3 || area.3 < o.1;
            (fits && taken.iter().all(apart)).then_some((area, down))
        });
        // Where marks crowd the caption tells of them.
        if let Some((area, down)) = free {
            let style = Words { size: MARK_LABEL, color: DARK, more: HALO, ..Words::default() };
            page.words((area.0, y + down), word, style);
            taken.push(area);
        }
    }
    page.close();
}

/// Tips of arrow heads along the path, how they are turned, degrees, and the point that their stretch leaves.
fn arrows(spots: &[Spot]) -> Vec<(Spot, f64, usize)> {
    let mut found = Vec::new();
    let mut until = ARROW_EVERY / 2.0;
    for (i, pair) in spots.windows(2).enumerate() {
        let (from, to) = (pair[0], pair[1]);
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let step = dx.hypot(dy);
        if !step.is_finite() {
            continue;
        }
        until -= step;
        if until < 0.0 {
            // One to a step, however long that is.
            found.push(((from.0 + dx * 0.6, from.1 + dy * 0.6), dy.atan2(dx).to_degrees(), i));
            until = ARROW_EVERY;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_along_the_path() {
        let spots: Vec<Spot> = (0..=10).map(|i| (f64::from(i) * 30.0, 0.0)).collect();
        let found = arrows(&spots);
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|(_, angle, _)| *angle == 0.0));
        assert!(arrows(&[(0.0, 0.0), (f64::NAN, 1.0)]).is_empty());
    }

    #[test]
    fn stretches_of_one_angle_are_one_line() {
        let path = Path {
            points: (0..6).map(|i| (f64::from(i), 0.0)).collect(),
            angles: vec![10.0, 10.4, 80.0, -20.0, f64::NAN, f64::NAN],
            ..Path::default()
        };
        let lines = Traced::new(&path, |x, y| Some((x, y))).lines();
        let counts: Vec<usize> = lines.iter().map(|(spots, _)| spots.len()).collect();
        assert_eq!(counts, [3, 2, 2, 2]);
        let unknown = Path { angles: Vec::new(), ..path };
        assert_eq!(Traced::new(&unknown, |x, y| Some((x, y))).lines().len(), 1);
    }

    #[test]
    fn words_of_crowded_marks_are_left_out_and_their_diamonds_stay() {
        let mark = |i: usize| ((0.5, 0.5), format!("wd {i}"));
        let path = Path {
            points: vec![(0.0, 0.0), (1.0, 1.0)],
            marks: (0..20).map(mark).collect(),
            ..Path::default()
        };
        let panel = Panel {
            left: 0.0,
            top: 0.0,
            width: 200.0,
            height: 200.0,
            x: (0.0, 1.0),
            y: (0.0, 1.0),
        };
        let mut page = Svg::new(200.0, 200.0, (200, 200), "t");
        draw(&mut page, &path, &panel);
        let text = page.finish();
        let changes = &text[text.find("id=\"changes\"").unwrap()..];
        let words = changes.matches("<text").count();
        assert_eq!(changes.matches("<path").count(), 20);
        assert!((1..=6).contains(&words), "{words} words");
    }
}
