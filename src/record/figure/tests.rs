//! Whole figures: what their SVG holds, and what their pixels are.

use proptest::prelude::*;
use resvg::tiny_skia::Pixmap;
use resvg::usvg::roxmltree::Document;

use super::*;
use crate::landscape::about::About;
use crate::landscape::file::{CurvatureMap, DirectionTensor, SurfaceFile, Trajectory};
use crate::landscape::surface::Surface;

const MAPS: [View; 4] = [View::Contour, View::Filled, View::Heat, View::ThreeD];

fn axis(n: usize, low: f64, high: f64) -> Vec<f64> {
    (0..n).map(|i| low + (high - low) * i as f64 / (n - 1) as f64).collect()
}

/// x^2 + 2 y^2 on 21 x 21 points.
fn bowl() -> SurfaceFile {
    let mut surface = Surface::new(axis(21, -1.0, 1.0), axis(21, -1.0, 1.0));
    for i in 0..surface.len() {
        let (x, y) = surface.place(i);
        (surface.loss[i], surface.acc[i]) = (x * x + 2.0 * y * y, 1.0 - x.abs() / 2.0);
    }
    let about = About {
        arm: "noskip".to_owned(),
        step: 12,
        plane: "random".to_owned(),
        norm: "filter".to_owned(),
        cosine: 0.25,
        precision: "f32".to_owned(),
        ..About::default()
    };
    let part = DirectionTensor { shape: vec![2], values: vec![3.0, 4.0] };
    let directions = vec![vec![part.clone()], vec![part]];
    SurfaceFile { about, images: vec![0; 64], directions, ..SurfaceFile::of(surface) }
}

fn with_path() -> SurfaceFile {
    let mut file = bowl();
    file.about.plane = "pca".to_owned();
    file.about.variance = vec![0.5, 0.25];
    let xs: Vec<f64> = (0..=10).map(|i| 0.9 - f64::from(i) * 0.09).collect();
    file.trajectory = Some(Trajectory {
        ys: xs.iter().map(|x| x / 2.0).collect(),
        // On the grid's lines x and y, the surface is met exactly: the gap is what is added here.
        loss: xs.iter().map(|x| x * x * 1.5 + 0.5).collect(),
        steps: (0..=10).map(|i| i * 15).collect(),
        xs,
    });
    file
}

fn levels(text: &str) -> Options {
    Options { levels: text.parse().unwrap(), ..Options::default() }
}

fn svg(file: &SurfaceFile, view: View, options: &Options) -> String {
    let chart = compose(file, view, options, &[]).unwrap();
    layout::draw(&chart, view, Size { width: 1000, height: 900 })
}

/// Texts of the group, and how many paths of the class isoline there are in the document.
fn texts(document: &Document<'_>, group: &str) -> Vec<String> {
    let found = document.descendants().find(|n| n.attribute("id") == Some(group)).unwrap();
    let texts = found.descendants().filter(|n| n.has_tag_name("text"));
    texts.map(|n| n.text().unwrap_or_default().to_owned()).collect()
}

fn isolines_of(document: &Document<'_>) -> usize {
    document.descendants().filter(|n| n.attribute("class") == Some("isoline")).count()
}

#[test]
fn a_contour_has_its_isolines_and_their_labels() {
    let text = svg(&bowl(), View::Contour, &levels("0.25,0.5,1,7"));
    let document = Document::parse(&text).unwrap();
    // Rings at 0.25, 0.5 and 1; 7 is never reached.
    assert_eq!(isolines_of(&document), 3);
    assert_eq!(texts(&document, "levels"), ["0.25", "0.5", "1"]);
    let root = document.root_element();
    assert_eq!((root.attribute("width"), root.attribute("height")), (Some("1000"), Some("900")));
    let view: Vec<f64> =
        root.attribute("viewBox").unwrap().split(' ').map(|n| n.parse().unwrap()).collect();
    assert!((view[2] / view[3] - 1000.0 / 900.0).abs() < 1e-3, "{view:?}");
    let axes = texts(&document, "axes");
    assert!(
        axes.iter().any(|t| t == "first random direction, filter-normalised, |d| = 5"),
        "{axes:?}"
    );
    let bar = texts(&document, "colorbar");
    assert!(
        bar.iter().any(|t| t.contains("loss (nats)")) && bar.contains(&"1".to_owned()),
        "{bar:?}"
    );
    assert!(text.contains("id=\"center\"") && !text.contains("id=\"trajectory\""));
}

#[test]
fn filled_bands_are_one_more_than_levels_within_the_values() {
    let text = svg(&bowl(), View::Filled, &levels("0.5,1,7"));
    let document = Document::parse(&text).unwrap();
    let bands = document.descendants().find(|n| n.attribute("id") == Some("bands")).unwrap();
    assert_eq!(bands.children().filter(|n| n.has_tag_name("path")).count(), 3);
}

#[test]
fn every_view_is_whole_and_its_numbers_are() {
    for view in MAPS.into_iter().chain([View::Profile]) {
        for file in [bowl(), with_path()] {
            let text = svg(&file, view, &Options::default());
            Document::parse(&text).unwrap();
            assert!(!text.contains("NaN") && !text.contains("inf"), "{view:?}");
        }
    }
}

#[test]
fn the_path_is_drawn_with_its_ends_and_its_gap_is_told() {
    let chart = compose(&with_path(), View::Contour, &Options::default(), &[]).unwrap();
    let caption = chart.caption.join(" ");
    assert!(caption.contains("holds 75 % of the motion's variance (50 % + 25 %)"), "{caption}");
    assert!(caption.contains("At 11 points of the path the map is off the loss"), "{caption}");
    assert!(caption.contains("by 0.494 nats in the median (54.6 % of the loss + 0.1"), "{caption}");
    assert!(caption.contains("by 0.5 at most; a large gap"), "{caption}");
    let text = svg(&with_path(), View::Contour, &Options::default());
    let document = Document::parse(&text).unwrap();
    assert_eq!(texts(&document, "ends"), ["step 0", "step 150"]);
    // In by (-2, -1), where the gradient is along (1, 1): asin(3 / sqrt 10) = 71.57 degrees all the way.
    let mut stretches = document.descendants().filter(|n| n.attribute("class") == Some("stretch"));
    let color = stretches.next().and_then(|n| n.attribute("stroke"));
    assert_eq!((color, stretches.count()), (Some(&*angle::ink(Some(71.57)).0), 0));
    assert_eq!(texts(&document, "key")[0], "path: along the isocurves of the loss 0°");
    assert!(text.contains("second principal component (L2 distance, 25 % of the motion)"));
}

#[test]
fn what_is_given_from_outside_ends_the_caption() {
    let more = ["Flatness 0.3.".to_owned()];
    let chart = compose(&bowl(), View::Heat, &Options::default(), &more).unwrap();
    assert_eq!(chart.caption.last().map(String::as_str), Some("Flatness 0.3."));
    assert!(chart.caption[0].contains("cosine between the directions 0.25"), "{:?}", chart.caption);
}

#[test]
fn interpolated_points_are_counted_and_dotted() {
    let mut file = bowl();
    let mask = (0..441).map(|i| i % 2 == 0).collect();
    file.surface.computed = Some(mask);
    file.surface.loss[3] = f64::NAN;
    let chart = compose(&file, View::Heat, &Options::default(), &[]).unwrap();
    let caption = chart.caption.join(" ");
    assert!(
        caption.contains("221 points computed, 219 interpolated (dotted), 1 missing"),
        "{caption}"
    );
    let text = layout::draw(&chart, View::Heat, Size { width: 1000, height: 900 });
    let document = Document::parse(&text).unwrap();
    let dots = document.descendants().find(|n| n.attribute("id") == Some("interpolated")).unwrap();
    assert_eq!(dots.children().filter(|n| n.has_tag_name("circle")).count(), 219);
    assert!(text.contains("id=\"unknown\""), "the missing point is hatched");
}

#[test]
fn a_profile_marks_both_ends_of_an_interpolation() {
    let mut surface = Surface::new(axis(31, -0.5, 1.5), Vec::new());
    surface.loss = surface.xs.iter().map(|x| x * x).collect();
    surface.acc = vec![0.9; 31];
    let about = About {
        checkpoint: "run/step-00000100/a.safetensors".to_owned(),
        to: "run/step-00000200/a.safetensors".to_owned(),
        plane: "line".to_owned(),
        ..About::default()
    };
    let file = SurfaceFile { about, ..SurfaceFile::of(surface) };
    let text = svg(&file, View::Profile, &Options::default());
    let document = Document::parse(&text).unwrap();
    assert_eq!(texts(&document, "marks"), ["step-00000100/a", "step-00000200/a"]);
    assert!(texts(&document, "left").contains(&"loss (nats)".to_owned()));
    assert!(texts(&document, "right").contains(&"accuracy (%)".to_owned()));
    let refused = compose(&file, View::Contour, &Options::default(), &[]).unwrap_err();
    assert!(refused.to_string().contains("expected --view profile"));
}

#[test]
fn the_curvature_is_drawn_where_it_is_known() {
    let options = Options { what: What::Hessian, ..Options::default() };
    let refused = compose(&bowl(), View::Heat, &options, &[]).unwrap_err();
    assert!(refused.to_string().contains("expected loss or acc"));
    let mut file = bowl();
    let lambda_max = vec![4.0; 441];
    file.curvature = Some(CurvatureMap { lambda_max, lambda_min: vec![-1.0; 441] });
    let chart = compose(&file, View::Heat, &options, &[]).unwrap();
    assert!(chart.values.iter().all(|v| *v == 0.25));
}

#[test]
fn large_maps_are_thinned_and_that_is_told() {
    let mut file = bowl();
    file.surface = Surface::new(axis(1001, 0.0, 1.0), axis(3, 0.0, 1.0));
    file.surface.loss = (0..3003).map(f64::from).collect();
    let chart = compose(&file, View::Heat, &Options::default(), &[]).unwrap();
    assert_eq!((chart.xs.len(), chart.ys.len(), chart.values[1]), (334, 3, 3.0));
    assert!(chart.caption.last().unwrap().contains("334 × 3"));
}

#[test]
fn pixels_are_as_many_as_asked_and_hold_a_picture() {
    let dir = tempfile::tempdir().unwrap();
    for view in MAPS.into_iter().chain([View::Profile]) {
        let chart = compose(&with_path(), view, &Options::default(), &[]).unwrap();
        let path = dir.path().join("x.png");
        write(&chart, view, &path, Some(Size { width: 420, height: 380 })).unwrap();
        let pixels = Pixmap::load_png(&path).unwrap();
        assert_eq!((pixels.width(), pixels.height()), (420, 380));
        let mut colors: Vec<[u8; 3]> =
            pixels.pixels().iter().map(|p| [p.red(), p.green(), p.blue()]).collect();
        let white = colors.iter().filter(|c| **c == [255; 3]).count();
        assert!(white < 420 * 380 * 99 / 100, "{view:?} is blank");
        colors.sort_unstable();
        colors.dedup();
        assert!(colors.len() > 50, "{view:?} has {} colours", colors.len());
    }
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "what was written aside is renamed");
}

#[test]
fn words_are_drawn_without_any_font_of_the_machine() {
    let size = Size { width: 400, height: 200 };
    let page = |words: &str| {
        let mut page = svg::Svg::new(200.0, 100.0, (400, 200), "t");
        page.words((20.0, 60.0), words, svg::Words { size: 20.0, ..svg::Words::default() });
        png::render(&page.finish(), size).unwrap()
    };
    let ink = |bytes: &[u8]| {
        let pixels = Pixmap::decode_png(bytes).unwrap();
        pixels.pixels().iter().filter(|p| p.red() < 128).count()
    };
    let (few, many) = (ink(&page("i")), ink(&page("mmmmm")));
    assert!(few > 20 && many > 5 * few, "{few} and {many} dark pixels");
}

#[test]
fn what_cannot_be_written_is_said_in_a_line() {
    let chart = compose(&bowl(), View::Contour, &Options::default(), &[]).unwrap();
    let said =
        |path: &str| write(&chart, View::Contour, Path::new(path), None).unwrap_err().to_string();
    assert_eq!(said("x.gif"), "--out x.gif: expected a name that ends in .png or .svg");
    assert!(said("/nonexistent/x.svg").starts_with("/nonexistent/x.svg: "));
    for wrong in ["", "10x10", "1600", "1600x", "axb", "9000x500"] {
        assert!(wrong.parse::<Size>().unwrap_err().contains("as in 1600x1200"), "{wrong}");
    }
    assert_eq!("300x200".parse(), Ok(Size { width: 300, height: 200 }));
}

#[test]
fn marks_lie_on_the_path_between_its_points_and_nowhere_else() {
    let marks = [(75, "lr 0.01"), (80, "wd 0"), (151, "batch 8")].map(|(s, w)| (s, w.to_owned()));
    let options = Options { marks: marks.to_vec(), ..Options::default() };
    let file = with_path();
    let chart = compose(&file, View::Contour, &options, &[]).unwrap();
    let path = chart.path.as_ref().unwrap();
    // Step 75 is the sixth point, step 80 a third of the way to the seventh; 151 was never reached.
    let (first, second) = (path.points[5], path.points[6]);
    assert_eq!(path.marks.len(), 2);
    assert_eq!(path.marks[0], (first, "lr 0.01".to_owned()));
    assert!((path.marks[1].0.0 - (first.0 + (second.0 - first.0) / 3.0)).abs() < 1e-12);
    let caption = chart.caption.join(" ");
    assert!(caption.contains("Marks: lr 0.01 after step 75, wd 0 after step 80"), "{caption}");
    assert!(!caption.contains("batch 8"), "{caption}");
    // A file that does not tell its steps has a path without marks.
    let mut untold = with_path();
    untold.trajectory.as_mut().unwrap().steps.clear();
    let chart = compose(&untold, View::Contour, &options, &[]).unwrap();
    assert!(chart.path.unwrap().marks.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Any values, on any grid: an SVG that is whole, with numbers alone.
    #[test]
    fn any_surface_is_drawn(
        nx in 1usize..7,
        ny in 1usize..7,
        values in prop::collection::vec(any::<f64>(), 36),
        spans in (1e-3..1e6f64, 1e-3..1e6f64),
        at in any::<(f64, f64)>(),
        name in "\\PC{0,8}",
        log in any::<bool>(),
    ) {
        let rising = |n: usize, span: f64| (0..n).map(|i| i as f64 * span - span).collect();
        let mut file = SurfaceFile::of(Surface::new(rising(nx, spans.0), rising(ny, spans.1)));
        file.surface.loss = values[..nx * ny].to_vec();
        file.about.arm = name;
        let (xs, ys) = (vec![0.0, at.0], vec![0.0, at.1]);
        file.trajectory = Some(Trajectory { xs, ys, steps: vec![0, 9], loss: vec![at.0, 1.0] });
        let marks = vec![(5, "wd 0".to_owned()), (99, "beyond".to_owned())];
        for view in MAPS.into_iter().chain([View::Profile]) {
            let text = svg(&file, view, &Options { log, marks: marks.clone(), ..Options::default() });
            prop_assert!(Document::parse(&text).is_ok(), "{view:?}: {text}");
            prop_assert!(!text.contains("NaN\"") && !text.contains("\"inf"), "{view:?}");
        }
    }
}
