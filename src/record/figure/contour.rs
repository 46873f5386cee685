//! Isolines with their levels written into them.

use super::axes::{Panel, labelled};
use super::font;
use super::svg::{Spot, Svg, Words, hex, polyline};
use crate::geometry::color::{VIRIDIS, contrast, lit, ramp};
use crate::geometry::scale::Scale;
use crate::telemetry::chart::Chart;

const LABEL: f64 = 10.0;
/// Free line on either side of a label.
const GAP: f64 = 2.5;
/// A line must be so many times as long as its label.
const LENGTH_PER_LABEL: f64 = 2.5;
/// Places tried for a label on a line.
const TRIED: usize = 60;
/// The yellow end of the scale is hardly seen on white: lines on white are darker, the more the higher they lie.
const DARKER: f64 = 0.38;

/// A label on the page.
struct Label {
    text: String,
    middle: Spot,
    wide: f64,
    /// Degrees, clockwise.
    turned: f64,
    /// Where on its line, in units of the page from its start.
    along: f64,
}

/// One isoline on the page.
struct Line {
    level: f64,
    points: Vec<Spot>,
    /// Length from the start to each point.
    lengths: Vec<f64>,
}

impl Line {
    fn new(level: f64, points: Vec<Spot>) -> Self {
        let mut total = 0.0;
        let steps = points.windows(2).map(|w| (w[1].0 - w[0].0).hypot(w[1].1 - w[0].1));
        let lengths = [0.0].into_iter().chain(steps.map(|s| {
            total += s;
            total
        }));
        Self { level, lengths: lengths.collect(), points }
    }

    fn length(&self) -> f64 {
        self.lengths.last().copied().unwrap_or(0.0)
    }

    fn is_closed(&self) -> bool {
        self.points.len() > 2 && self.points.first() == self.points.last()
    }

    /// The spot at a length from the start; round and round on a closed line.
    fn at(&self, along: f64) -> Spot {
        let total = self.length();
        let along =
            if self.is_closed() { along.rem_euclid(total) } else { along.clamp(0.0, total) };
        let next = self.lengths.partition_point(|l| *l < along).clamp(1, self.points.len() - 1);
        let (from, to) = (self.points[next - 1], self.points[next]);
        let step = self.lengths[next] - self.lengths[next - 1];
        let t = if step > 0.0 { (along - self.lengths[next - 1]) / step } else { 0.0 };
        (from.0 + t * (to.0 - from.0), from.1 + t * (to.1 - from.1))
    }

    /// The line without the part from `from` to `to`, lengths from its start; `from` may be negative on a closed line.
    fn without(&self, from: f64, to: f64) -> Vec<Vec<Spot>> {
        let part = |a: f64, b: f64| {
            let mut spots = vec![self.at(a)];
            let rounds = if self.is_closed() { &[0.0, 1.0][..] } else { &[0.0] };
            for turn in rounds {
                let shift = turn * self.length();
                let within = self.lengths.iter().map(|l| l + shift);
                let points = within.zip(&self.points).filter(|(l, _)| *l > a && *l < b);
                spots.extend(points.map(|(_, p)| *p));
            }
            spots.push(self.at(b));
            spots
        };
        if self.is_closed() {
            return vec![part(to.max(0.0), from + self.length())];
        }
        vec![part(0.0, from), part(to, self.length())]
    }
}

/// The isolines: coloured by their level on white, dark on filled bands.
pub(super) fn draw(page: &mut Svg, chart: &Chart, panel: &Panel, filled: bool) {
    let Some(scale) = chart.scale else { return };
    let on_page = |points: &[(f64, f64)]| points.iter().map(|(x, y)| panel.at(*x, *y)).collect();
    let lines: Vec<Line> =
        chart.isolines.iter().map(|l| Line::new(l.level, on_page(&l.points))).collect();
    let labels = place_labels(&lines, &labelled(chart.levels.clone()).collect::<Vec<_>>(), panel);
    let clipped = page.clipped();
    page.open_named("isolines", &format!("fill=\"none\" stroke-linejoin=\"round\" {clipped}"));
    for (line, label) in lines.iter().zip(&labels) {
        let d: String = match label {
            Some(label) => {
                let half = label.wide / 2.0 + GAP;
                let parts = line.without(label.along - half, label.along + half);
                parts.iter().map(|p| polyline(p)).collect()
            }
            None if line.is_closed() => polyline(&line.points[..line.points.len() - 1]) + "Z",
            None => polyline(&line.points),
        };
        let (stroke, width) = style(line.level, scale, filled);
        page.path(&d, &format!("class=\"isoline\" stroke=\"{stroke}\" stroke-width=\"{width}\""));
    }
    page.close();
    page.open_named("levels", "");
    for (line, label) in lines.iter().zip(&labels) {
        let Some(Label { text, middle: (x, y), turned, .. }) = label else { continue };
        let (color, _) = style(line.level, scale, filled);
        // The baseline lies under the middle of the digits, across the line.
        let (sin, cos) = turned.to_radians().sin_cos();
        let down = LABEL * 0.36;
        let at = (x - sin * down, y + cos * down);
        let style = Words {
            size: LABEL,
            anchor: "middle",
            color: &color,
            turned: *turned,
            ..Words::default()
        };
        page.words(at, text, style);
    }
    page.close();
}

/// Colour and width of a line.
fn style(level: f64, scale: Scale, filled: bool) -> (String, f64) {
    let place = scale.place(level);
    let color = ramp(&VIRIDIS, place);
    match filled {
        true => (hex(contrast(color)), 0.7),
        false => (hex(lit(color, 1.0 - DARKER * place)), 1.4),
    }
}

/// A label for each line that has one in `texts` and room for it: where the line is straight, lies well within the panel, and no other
/// line or label is near. Longest lines first.
fn place_labels(lines: &[Line], texts: &[(f64, String)], panel: &Panel) -> Vec<Option<Label>> {
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|a, b| lines[*b].length().total_cmp(&lines[*a].length()));
    let mut found: Vec<Option<Label>> = lines.iter().map(|_| None).collect();
    for index in order {
        let line = &lines[index];
        let Some((_, text)) = texts.iter().find(|(level, _)| *level == line.level) else {
            continue;
        };
        let wide = font::width(text, LABEL, false);
        if line.length() < LENGTH_PER_LABEL * wide || line.points.len() < 2 {
            continue;
        }
        let others = |s: Spot| {
            let others = lines.iter().enumerate().filter(|(i, _)| *i != index);
            others.flat_map(|(_, l)| l.points.windows(2)).any(|w| near(s, w[0], w[1]) < LABEL * 0.6)
        };
        let taken: Vec<(Spot, f64)> = found.iter().flatten().map(|l| (l.middle, l.wide)).collect();
        let margin = wide / 2.0 + GAP + 2.0;
        let (first, last) = match line.is_closed() {
            true => (0.0, line.length()),
            false => (margin, line.length() - margin),
        };
        let best = (0..TRIED)
            .map(|i| first + (last - first) * (i as f64 + 0.5) / TRIED as f64)
            .filter_map(|along| Some((along, candidate(line, along, wide, panel, &taken)?)))
            .map(|(along, (score, turned))| {
                let spots = [-0.5, -0.25, 0.0, 0.25, 0.5].map(|t| line.at(along + t * wide));
                let crowded = spots.into_iter().filter(|s| others(*s)).count();
                // One touch at an end is let pass; a line through the digits is not: better no label there.
                (score - crowded as f64 * 0.4, along, turned)
            })
            .max_by(|a, b| a.0.total_cmp(&b.0));
        // Below 0 it is bent, crowded and upright at once: the colour bar tells the level then.
        if let Some((score, along, turned)) = best
            && score > 0.3
        {
            found[index] =
                Some(Label { text: text.clone(), middle: line.at(along), wide, turned, along });
        }
    }
    found
}

/// How good a place for a label is, and how it is turned there; none where it cannot stand.
fn candidate(
    line: &Line,
    along: f64,
    wide: f64,
    panel: &Panel,
    taken: &[(Spot, f64)],
) -> Option<(f64, f64)> {
    let (a, b) = (line.at(along - wide / 2.0), line.at(along + wide / 2.0));
    let middle = line.at(along);
    if !panel.holds(middle, wide * 0.7) {
        return None;
    }
    let far = |(spot, other): &(Spot, f64)| {
        (spot.0 - middle.0).hypot(spot.1 - middle.1) > (wide + other) * 0.75
    };
    if !taken.iter().all(far) {
        return None;
    }
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let straight = dx.hypot(dy) / wide;
    // How far the line bows out from under the label.
    let bow = ((a.0 + b.0) / 2.0 - middle.0).hypot((a.1 + b.1) / 2.0 - middle.1) / wide;
    let mut turned = dy.atan2(dx).to_degrees();
    if turned > 90.0 {
        turned -= 180.0;
    } else if turned <= -90.0 {
        turned += 180.0;
    }
    let upright = turned.abs() / 90.0;
    let at_center = {
        let c = panel.at(0.0, 0.0);
        (c.0 - middle.0).hypot(c.1 - middle.1) < wide
    };
    let score = straight - 2.0 * bow - 0.15 * upright - if at_center { 1.0 } else { 0.0 };
    score.is_finite().then_some((score, turned))
}

/// Distance from a spot to a piece of line.
fn near(spot: Spot, a: Spot, b: Spot) -> f64 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let squared = dx * dx + dy * dy;
    let t = if squared > 0.0 {
        (((spot.0 - a.0) * dx + (spot.1 - a.1) * dy) / squared).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (spot.0 - a.0 - t * dx).hypot(spot.1 - a.1 - t * dy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PANEL: Panel =
        Panel { left: 0.0, top: 0.0, width: 200.0, height: 200.0, x: (-1.0, 1.0), y: (-1.0, 1.0) };

    fn length(parts: &[Vec<Spot>]) -> f64 {
        parts.iter().map(|p| Line::new(0.0, p.clone()).length()).sum()
    }

    #[test]
    fn a_line_is_cut_where_its_label_stands() {
        let open = Line::new(0.5, vec![(0.0, 100.0), (100.0, 100.0), (200.0, 100.0)]);
        let parts = open.without(90.0, 120.0);
        assert_eq!((parts.len(), length(&parts)), (2, 170.0));
        let square = vec![(20.0, 20.0), (180.0, 20.0), (180.0, 180.0), (20.0, 180.0), (20.0, 20.0)];
        let ring = Line::new(0.5, square);
        for at in [-10.0, 0.0, 300.0, 635.0] {
            let parts = ring.without(at - 10.0, at + 10.0);
            assert!((length(&parts) - 620.0).abs() < 1e-9, "at {at}: {}", length(&parts));
        }
    }

    #[test]
    fn labels_stand_on_long_lines_apart_and_upright() {
        let straight = |y: f64| Line::new(0.5, vec![(0.0, y), (200.0, y)]);
        let lines = [
            straight(50.0),
            straight(54.0),
            straight(150.0),
            Line::new(1.0, vec![(0.0, 0.0), (3.0, 3.0)]),
        ];
        let labels =
            place_labels(&lines, &[(0.5, "0.5".to_owned()), (1.0, "1".to_owned())], &PANEL);
        assert!(labels[3].is_none(), "too short");
        assert!(labels[2].as_ref().is_some_and(|l| l.turned == 0.0));
        for (i, a) in labels.iter().enumerate() {
            for b in labels.iter().skip(i + 1).flatten() {
                let Some(a) = a else { continue };
                assert!((a.middle.0 - b.middle.0).hypot(a.middle.1 - b.middle.1) > a.wide);
            }
        }
    }
}
