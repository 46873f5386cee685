//! Charts in the terminal, at several sizes, as text for the eye; and any size and any figures without a panic.

use proptest::prelude::*;
use ratatui::style::Color;

use super::*;
use crate::geometry::contour::isolines;
use crate::geometry::levels::quantile_levels;
use crate::geometry::scale::Scale;
use crate::telemetry::chart::{Path, Quantity};
use crate::ui::theme::ColorDepth;

const COLORS: Theme = Theme { depth: ColorDepth::True, ascii: false };
const PLAIN: Theme = Theme { depth: ColorDepth::None, ascii: false };
const ASCII: Theme = Theme { depth: ColorDepth::None, ascii: true };
const VIEWS: [View; 4] = [View::Contour, View::Filled, View::Heat, View::ThreeD];

fn axis(n: usize, low: f64, high: f64) -> Vec<f64> {
    (0..n).map(|i| low + (high - low) * i as f64 / (n - 1) as f64).collect()
}

fn chart(values: Vec<f64>, xs: Vec<f64>, ys: Vec<f64>) -> Chart {
    let levels = quantile_levels(&values, 9);
    let mut chart = Chart {
        title: "Loss surface of noskip at step 600".to_owned(),
        subtitle: "31 × 21 points, 64 training images, f32".to_owned(),
        scale: Scale::over(&values, true),
        height: Scale::over(&values, false),
        xs,
        ys,
        values,
        computed: None,
        quantity: Quantity { name: "loss", unit: "nats" },
        x_label: "first principal component (L2 distance, 62.3 % of the motion)".to_owned(),
        y_label: "second principal component (L2 distance, 15.1 % of the motion)".to_owned(),
        isolines: Vec::new(),
        levels,
        path: None,
        marks: Vec::new(),
        second: None,
        caption: vec![
            "The plane holds 77.4 % of the motion's variance (62.3 % + 15.1 %).".to_owned(),
            "651 of 651 points known.".to_owned(),
        ],
    };
    chart.isolines = chart.levels.iter().flat_map(|l| isolines(chart.grid(), *l)).collect();
    chart
}

/// A bowl with a ripple, and a path into it.
fn map() -> Chart {
    let (xs, ys) = (axis(31, -4.0, 14.0), axis(21, -5.0, 7.0));
    let loss = |x: f64, y: f64| 0.05 + 0.02 * x * x + 0.06 * y * y + 0.3 * (1.0 - (1.2 * x).cos());
    let values = ys.iter().flat_map(|y| xs.iter().map(move |x| loss(*x, *y))).collect();
    let points = (0..=20).rev().map(|i| f64::from(i) / 20.0);
    let points = points.map(|t| (12.0 * t, 4.0 * (3.0 * t).sin())).collect();
    let ends = ("step 0".to_owned(), "step 600".to_owned());
    Chart { path: Some(Path { points, ends, ..Path::default() }), ..chart(values, xs, ys) }
}

fn line() -> Chart {
    let xs = axis(41, -0.5, 1.5);
    let values: Vec<f64> = xs.iter().map(|x| 8.0 * (x * (1.0 - x)).powi(2) + 0.03).collect();
    let accuracy = values.iter().map(|v| 98.0 - 15.0 * v).collect();
    let quantity = Quantity { name: "accuracy", unit: "%" };
    Chart {
        second: Some(Second { quantity, values: accuracy }),
        marks: vec![(0.0, "step 100".to_owned()), (1.0, "step 600".to_owned())],
        x_label: "from the first weights (0) to the second (1)".to_owned(),
        ..chart(values, xs, vec![0.0])
    }
}

#[test]
fn maps_at_three_sizes() {
    for (width, height) in [(40, 12), (80, 24), (160, 48)] {
        for view in VIEWS {
            let text = drawn(&map(), view, (width, height), PLAIN);
            assert!(
                text.lines().all(|l| columns(l) <= width)
                    && text.lines().count() <= usize::from(height)
            );
            insta::assert_snapshot!(format!("{view:?}_{width}x{height}"), text);
        }
        insta::assert_snapshot!(
            format!("Profile_{width}x{height}"),
            drawn(&line(), View::Profile, (width, height), PLAIN)
        );
    }
}

#[test]
fn ascii_holds_nothing_else() {
    for (view, chart) in VIEWS.map(|v| (v, map())).into_iter().chain([(View::Profile, line())]) {
        let text = drawn(&chart, view, (80, 24), ASCII);
        assert!(text.is_ascii(), "{view:?}");
        insta::assert_snapshot!(format!("{view:?}_ascii"), text);
    }
}

#[test]
fn colours_are_there_where_the_terminal_has_them() {
    let mut buf = Buffer::empty(Rect::new(0, 0, 80, 24));
    render(&map(), View::ThreeD, buf.area, &mut buf, COLORS);
    let shades: std::collections::HashSet<Color> = buf.content.iter().map(|c| c.bg).collect();
    assert!(shades.len() > 50, "{} shades of a relief", shades.len());
    let coded = drawn(&map(), View::Heat, (80, 24), COLORS);
    assert!(coded.contains("\x1b[0;38;2;"), "{coded}");
    assert!(!drawn(&map(), View::Heat, (80, 24), PLAIN).contains('\x1b'));
}

#[test]
fn what_is_unknown_is_crossed_out_or_told() {
    let mut holed = map();
    holed.values[0] = f64::NAN;
    assert!(drawn(&holed, View::Heat, (80, 24), PLAIN).contains('╳'));
    assert!(drawn(&holed, View::Contour, (80, 24), ASCII).contains('?'));
    let nothing = chart(vec![f64::NAN; 9], axis(3, -1.0, 1.0), axis(3, -1.0, 1.0));
    for view in VIEWS.into_iter().chain([View::Profile]) {
        let text = drawn(&nothing, view, (80, 24), PLAIN);
        assert!(text.contains("is known"), "{view:?}: {text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any size and any values: no panic, nothing outside.
    #[test]
    fn any_chart_is_drawn(
        width in 0u16..300,
        height in 0u16..90,
        nx in 1usize..9,
        ny in 1usize..9,
        values in prop::collection::vec(any::<f64>(), 64),
        theme in prop::sample::select(vec![COLORS, PLAIN, ASCII]),
        spans in (1e-3..1e6f64, 1e-3..1e6f64),
        at in any::<(f64, f64)>(),
        log in any::<bool>(),
    ) {
        let values = values[..nx * ny].to_vec();
        let rising = |n: usize, span: f64| (0..n).map(|i| i as f64 * span - span).collect();
        let mut any = chart(values, rising(nx, spans.0), rising(ny, spans.1));
        any.height = Scale::over(&any.values, log);
        any.path = Some(Path { points: vec![(0.0, 0.0), at], angles: vec![at.0, at.1], ..Path::default() });
        any.marks = vec![(at.0, "here".to_owned())];
        for view in VIEWS {
            drawn(&any, view, (width, height), theme);
        }
        drawn(&any, View::Profile, (width, height), theme);
    }
}
