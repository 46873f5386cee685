//! A surface file made ready to be drawn.

use super::caption::{caption, changes, figure, percent, subtitle, title};
use super::{FigureError, Options, What};
use crate::geometry::contour::isolines;
use crate::geometry::crossing::stretch_angles;
use crate::geometry::scale::Scale;
use crate::landscape::about::About;
use crate::landscape::file::{Direction, SurfaceFile};
use crate::landscape::surface::Surface;
use crate::telemetry::chart::{Chart, Path, Quantity, Second, View};
use crate::telemetry::path::place_at;

/// Points on a side that are drawn: more than the pixels of a figure's field are not seen, and an SVG of them is not
/// read.
const MOST_ON_A_SIDE: usize = 400;
const LOSS: Quantity = Quantity { name: "loss", unit: "nats" };
const ACCURACY: Quantity = Quantity { name: "accuracy", unit: "%" };
const RATIO: Quantity = Quantity { name: "|λmin / λmax| of the Hessian", unit: "" };

/// What `file` shows, drawn as `view`; `more` are further lines for its caption, one figure or statement each.
///
/// # Errors
/// When the file lacks what is to be drawn, or cannot be drawn so.
pub fn compose(
    file: &SurfaceFile,
    view: View,
    options: &Options,
    more: &[String],
) -> Result<Chart, FigureError> {
    let surface = &file.surface;
    if surface.is_profile() && view != View::Profile {
        return Err(FigureError::IsProfile);
    }
    let (quantity, values) = values(file, options.what)?;
    let (xs, ys) = (&surface.xs[..], rows(surface, view));
    let thin = |n: usize| (0..n).step_by(n.div_ceil(MOST_ON_A_SIDE).max(1)).collect::<Vec<_>>();
    let columns = if view == View::Profile { (0..xs.len()).collect() } else { thin(xs.len()) };
    let rows = thin_rows(&ys, &thin);
    let index: Vec<usize> =
        rows.iter().flat_map(|r| columns.iter().map(move |c| r * xs.len() + c)).collect();
    let part =
        |from: &[f64]| index.iter().map(|i| from.get(*i).copied().unwrap_or(f64::NAN)).collect();
    let mut chart = Chart {
        title: title(&file.about, quantity, view),
        subtitle: subtitle(file),
        xs: columns.iter().map(|c| xs[*c]).collect(),
        ys: rows.iter().map(|r| surface.ys.get(*r).copied().unwrap_or(0.0)).collect(),
        values: part(&values),
        computed: surface.computed.as_ref().map(|c| index.iter().map(|i| c[*i]).collect()),
        quantity,
        scale: None,
        height: None,
        x_label: axis_label(file, 0),
        y_label: axis_label(file, 1),
        levels: Vec::new(),
        isolines: Vec::new(),
        path: path(file, &options.marks),
        marks: Vec::new(),
        second: None,
        caption: caption(file, &values, quantity, view, more),
    };
    if chart.path.is_some() && view != View::Profile {
        chart.caption.extend(changes(file, &options.marks).map(|told| format!("Marks: {told}.")));
    }
    if columns.len() < xs.len() || (view != View::Profile && rows.len() < surface.ys.len()) {
        chart.caption.push(format!(
            "Drawn at {} × {} of the points; the figures above are of all of them.",
            columns.len(),
            rows.len()
        ));
    }
    // The eye sees losses by their logarithm, as the reference code draws them; other figures as they are.
    chart.scale = Scale::over(&chart.values, options.log || quantity == LOSS);
    chart.height = Scale::over(&chart.values, options.log);
    if view == View::Profile {
        profile(&mut chart, file, options, &part);
    } else {
        let has_path = chart.path.is_some();
        let levels = options.levels.of(&chart.values, has_path);
        draw_levels(&mut [&mut chart], &levels);
    }
    Ok(chart)
}

/// Gives charts isolines at those of the levels that lie within their values: labels of others would only lengthen theirs.
pub(super) fn draw_levels(charts: &mut [&mut Chart], levels: &[f64]) {
    let all = Scale::over(charts.iter().flat_map(|c| &c.values), false);
    let is_crossed = |l: &&f64| all.is_some_and(|all| (all.low..=all.high).contains(*l));
    let levels: Vec<f64> = levels.iter().filter(is_crossed).copied().collect();
    for chart in charts {
        chart.isolines = levels.iter().flat_map(|level| isolines(chart.grid(), *level)).collect();
        chart.levels.clone_from(&levels);
    }
}

/// What is drawn, and its values [ny * nx].
fn values(file: &SurfaceFile, what: What) -> Result<(Quantity, Vec<f64>), FigureError> {
    match what {
        What::Loss => Ok((LOSS, file.surface.loss.clone())),
        What::Accuracy => Ok((ACCURACY, file.surface.acc.iter().map(|a| a * 100.0).collect())),
        What::Hessian => {
            let curvature = file.curvature.as_ref().ok_or(FigureError::NoCurvature)?;
            let both = curvature.lambda_min.iter().zip(&curvature.lambda_max);
            Ok((RATIO, both.map(|(min, max)| (min / max).abs()).collect()))
        }
    }
}

/// The rows that are drawn: all, the only one, or for the profile of a map the one nearest to 0.
fn rows(surface: &Surface, view: View) -> Vec<usize> {
    match view {
        _ if surface.is_profile() => vec![0],
        View::Profile => {
            let near = |r: &usize| surface.ys[*r].abs();
            let all = 0..surface.ys.len();
            all.min_by(|a, b| near(a).total_cmp(&near(b))).into_iter().collect()
        }
        _ => (0..surface.ys.len()).collect(),
    }
}

fn thin_rows(rows: &[usize], thin: &impl Fn(usize) -> Vec<usize>) -> Vec<usize> {
    thin(rows.len()).into_iter().map(|i| rows[i]).collect()
}

fn profile(
    chart: &mut Chart,
    file: &SurfaceFile,
    options: &Options,
    part: &impl Fn(&[f64]) -> Vec<f64>,
) {
    if let Some(y) = chart.ys.first().filter(|_| !file.surface.is_profile()) {
        chart.subtitle += &format!(", along y = {}", figure(*y));
        chart.path = None;
    }
    let acc = part(&file.surface.acc);
    if options.what == What::Loss && acc.iter().any(|a| a.is_finite()) {
        let values = acc.iter().map(|a| a * 100.0).collect();
        chart.second = Some(Second { quantity: ACCURACY, values });
    }
    let (from, to) = (&file.about.checkpoint, &file.about.to);
    chart.marks = match to.is_empty() {
        true => vec![(0.0, String::new())],
        false => vec![(0.0, short_path(from)), (1.0, short_path(to))],
    };
}

/// The last two parts of a path: a step's folder and the arm's file.
pub(super) fn short_path(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    let last = parts[parts.len().saturating_sub(2)..].join("/");
    last.strip_suffix(".safetensors").unwrap_or(&last).to_owned()
}

/// The L2 norm over all tensors of a direction; none where the file does not tell it.
fn norm(direction: Option<&Direction>) -> Option<f64> {
    let parts = direction.filter(|d| !d.is_empty())?;
    let squares = parts.iter().flat_map(|p| &p.values).map(|v| f64::from(*v).powi(2));
    Some(squares.sum::<f64>().sqrt())
}

/// What one of the axes is: which direction, of what length.
fn axis_label(file: &SurfaceFile, which: usize) -> String {
    let About { plane, norm: scaling, variance, .. } = &file.about;
    let name = ["first", "second"][which.min(1)];
    let length = norm(file.directions.get(which));
    let length = length.map(|l| format!(", |d| = {}", figure(l))).unwrap_or_default();
    match plane.as_str() {
        "pca" => {
            let share = variance.get(which);
            let share = share.map(|v| format!(", {} of the motion", percent(*v)));
            format!("{name} principal component (L2 distance{})", share.unwrap_or_default())
        }
        "line" if which == 0 && !file.about.to.is_empty() => {
            format!("from the first weights (0) to the second (1){length}")
        }
        "random" if scaling == "none" => format!("{name} random direction{length}"),
        "random" if scaling.is_empty() => format!("{name} random direction{length}"),
        "random" => format!("{name} random direction, {scaling}-normalised{length}"),
        _ => format!("{name} direction{length}"),
    }
}

/// The training's path; none where the file has none, or no point of it is a number. Marks that lie off it, and those of
/// a path whose steps are not told, are left out.
fn path(file: &SurfaceFile, marks: &[(u64, String)]) -> Option<Path> {
    let known = file.trajectory.as_ref()?;
    let finite =
        |i: &usize| known.xs[*i].is_finite() && known.ys.get(*i).is_some_and(|y| y.is_finite());
    let kept: Vec<usize> = (0..known.xs.len()).filter(finite).collect();
    let (first, last) = (*kept.first()?, *kept.last()?);
    let word = |i: usize, else_: &str| {
        known.steps.get(i).map_or_else(|| else_.to_owned(), |step| format!("step {step}"))
    };
    let points: Vec<(f64, f64)> = kept.iter().map(|i| (known.xs[*i], known.ys[*i])).collect();
    let mut angles = stretch_angles(file.surface.grid(), &points);
    angles.push(f64::NAN);
    let steps = kept.iter().filter_map(|i| known.steps.get(*i).copied());
    let timed: Vec<(u64, (f64, f64))> = steps.zip(points.iter().copied()).collect();
    let mark = |(done, word): &(u64, String)| {
        place_at(timed.iter().copied(), *done).map(|place| (place, word.clone()))
    };
    Some(Path {
        ends: (word(first, "start"), word(last, "end")),
        marks: marks.iter().filter_map(mark).collect(),
        angles,
        points,
    })
}
