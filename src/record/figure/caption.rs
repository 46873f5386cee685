//! The words round a figure: what it is, and the grains of salt that it must be taken with.

use super::compose::short_path;
use crate::geometry::bilinear::at;
use crate::geometry::contour::Grid;
use crate::geometry::levels::quantiles;
use crate::landscape::about::About;
use crate::landscape::file::{SurfaceFile, Trajectory};
use crate::telemetry::chart::{Quantity, View};
use crate::telemetry::number::level;

/// Changes on a path that a caption names.
const MOST_CHANGES: usize = 8;

/// A figure as it is printed.
pub(super) fn figure(value: f64) -> String {
    if value.is_finite() { level(value).replace('-', "−") } else { "unknown".to_owned() }
}

/// A share as per cent.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", figure((share * 1000.0).round() / 10.0))
}

/// The title: what is drawn, of whom, when.
pub(super) fn title(about: &About, quantity: Quantity, view: View) -> String {
    let thing = match view {
        View::Profile => format!("{} along a line", capital(quantity.name)),
        _ => format!("{} surface", capital(quantity.name)),
    };
    match (about.arm.is_empty(), about.step) {
        (true, 0) => thing,
        (true, step) => format!("{thing} at step {step}"),
        (false, step) => format!("{thing} of {} at step {step}", about.arm),
    }
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Under the title: points, images, arithmetic.
pub(super) fn subtitle(file: &SurfaceFile) -> String {
    let SurfaceFile { surface, about, images, .. } = file;
    let points = match surface.is_profile() {
        true => format!("{} points", surface.xs.len()),
        false => format!("{} × {} points", surface.xs.len(), surface.ys.len()),
    };
    let mut told = vec![points];
    told.push(match images.len() {
        0 => format!("{} images", split(about)),
        n => format!("{n} {} images", split(about)),
    });
    if !about.precision.is_empty() {
        told.push(about.precision.clone());
    }
    match about.bn.as_str() {
        "" => {}
        "batch" => told.push("batch-norm statistics of each batch".to_owned()),
        bn => told.push(format!("{bn} batch-norm statistics")),
    }
    if let Some((index, of)) = about.shard {
        told.push(format!("part {index} of {of}"));
    }
    told.join(", ")
}

fn split(about: &About) -> &str {
    if about.split == "test" { "test" } else { "training" }
}

/// The caption, a statement each: how far the plane can be trusted, how the points came about, the values' figures,
/// then `more`.
pub(super) fn caption(
    file: &SurfaceFile,
    values: &[f64],
    quantity: Quantity,
    view: View,
    more: &[String],
) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(plane(file));
    lines.extend(file.trajectory.as_ref().and_then(|t| gap(t, file)));
    lines.push(points(file, values, view));
    lines.extend(figures(file, values, quantity));
    lines.extend(file.center_curvature.map(|c| {
        let settled = if c.converged { "settled" } else { "not settled" };
        format!(
            "Hessian at the centre: λmax {}, λmin {}, {settled} after {} products.",
            figure(c.lambda_max),
            figure(c.lambda_min),
            c.products
        )
    }));
    lines.extend(more.iter().cloned());
    lines
}

/// What the two directions are to each other and to the training.
fn plane(file: &SurfaceFile) -> Option<String> {
    let about = &file.about;
    match about.plane.as_str() {
        "pca" => {
            let shares: Vec<String> = about.variance.iter().map(|v| percent(*v)).collect();
            let total: f64 = about.variance.iter().sum();
            (!shares.is_empty()).then(|| {
                let (total, shares) = (percent(total), shares.join(" + "));
                format!("The plane holds {total} of the motion's variance ({shares}).")
            })
        }
        "line" if !about.to.is_empty() => Some(format!(
            "Along the line from {} to {}.",
            short_path(&about.checkpoint),
            short_path(&about.to)
        )),
        _ => {
            let ignored = match about.ignore.as_str() {
                "biasbn" => "; biases and batch norm do not move",
                _ => "",
            };
            let seed = if about.plane == "random" {
                format!("Random directions of seed {}{ignored}", about.seed)
            } else {
                String::new()
            };
            let cosine = about
                .cosine
                .is_finite()
                .then(|| format!("cosine between the directions {}", figure(about.cosine)));
            let told: Vec<String> =
                [Some(seed).filter(|s| !s.is_empty()), cosine].into_iter().flatten().collect();
            (!told.is_empty()).then(|| format!("{}.", capital(&told.join("; "))))
        }
    }
}

/// How far the drawn surface lies from the true loss at the path's points.
fn gap(path: &Trajectory, file: &SurfaceFile) -> Option<String> {
    let map = file.surface.grid();
    let gap = path.gap(map);
    if !gap.median.is_finite() {
        return (!path.loss.is_empty())
            .then(|| "No point of the path with a known loss lies on the surface.".to_owned());
    }
    let both = |((x, y), loss): ((f64, f64), &f64)| (at(map, x, y) - loss).is_finite();
    let told = path.places().zip(&path.loss).filter(|p| both(*p)).count();
    let share = match gap.relative.is_finite() {
        true => format!(" ({} of the loss + 0.1)", percent(gap.relative)),
        false => String::new(),
    };
    let warning = match (file.about.coarse, gap.is_large()) {
        (true, _) => "; the map is coarse: a newer one or the end came before its finest grid",
        (false, true) => "; a large gap: the map is not what was trained on",
        (false, false) => "",
    };
    Some(format!(
        "At {told} points of the path the map is off the loss of the weights themselves by {} nats in the median{share}, \
         by {} at most{warning}.",
        figure(gap.median),
        figure(gap.max)
    ))
}

/// What changed on the path, for the words of marks that have no room on it; none where nothing did.
pub(super) fn changes(file: &SurfaceFile, marks: &[(u64, String)]) -> Option<String> {
    let steps = file.trajectory.as_ref().map_or(&[][..], |t| &t.steps);
    let on_path = |done: u64| steps.first() <= Some(&done) && Some(&done) <= steps.last();
    let marks: Vec<_> = marks.iter().filter(|(done, _)| on_path(*done)).collect();
    let mut told: Vec<String> = marks
        .iter()
        .take(MOST_CHANGES)
        .map(|(done, word)| format!("{word} after step {done}"))
        .collect();
    if marks.len() > MOST_CHANGES {
        told.push(format!("{} more", marks.len() - MOST_CHANGES));
    }
    (!told.is_empty()).then(|| told.join(", "))
}

/// How many points were computed, interpolated, are missing.
fn points(file: &SurfaceFile, values: &[f64], view: View) -> String {
    let finite = |i: usize| values.get(i).is_some_and(|v| v.is_finite());
    let all = file.surface.len();
    let known = (0..all).filter(|i| finite(*i)).count();
    let missing = match all - known {
        0 => String::new(),
        n => format!(", {n} missing"),
    };
    match &file.surface.computed {
        Some(mask) => {
            let computed = mask.iter().enumerate().filter(|(i, c)| **c && finite(*i)).count();
            let dotted = if view == View::Heat && computed < known { " (dotted)" } else { "" };
            let interpolated = known - computed;
            format!("{computed} points computed, {interpolated} interpolated{dotted}{missing}.")
        }
        None => format!("{known} of {all} points known{missing}."),
    }
}

/// Centre, least, median, largest.
fn figures(file: &SurfaceFile, values: &[f64], quantity: Quantity) -> Option<String> {
    let found = quantiles(values, &[0.0, 0.5, 1.0]);
    let [least, median, largest] = found[..] else { return None };
    let center = at(Grid { values, ..file.surface.grid() }, 0.0, 0.0);
    let unit = if quantity.unit.is_empty() { String::new() } else { format!(" {}", quantity.unit) };
    Some(format!(
        "{}: centre {}, least {}, median {}, largest {}{unit}.",
        capital(quantity.name),
        figure(center),
        figure(least),
        figure(median),
        figure(largest)
    ))
}
