//! Writing.

use std::path::Path;

use hdf5_pure::{AttrValue, FileBuilder};

use super::super::path::ANGLES;
use super::super::{CurvatureMap, SurfaceError, SurfaceFile};
use super::DIRECTIONS;
use crate::geometry::statistics::SurfaceStatistics;
use crate::landscape::about::{TEST, TRAIN};

/// Writes a surface file.
///
/// # Errors
/// When the file cannot be written.
pub fn write(content: &SurfaceFile, path: &Path) -> Result<(), SurfaceError> {
    let SurfaceFile { surface, about, images, directions, trajectory, .. } = content;
    let mut file = FileBuilder::new();
    let nx = surface.xs.len() as u64;
    let grid = if surface.is_profile() { vec![nx] } else { vec![surface.ys.len() as u64, nx] };
    file.create_dataset("xcoordinates").with_f64_data(&surface.xs).with_shape(&[nx]);
    if !surface.is_profile() {
        file.create_dataset("ycoordinates").with_f64_data(&surface.ys).with_shape(&grid[..1]);
    }
    let split = if about.split == TEST { TEST } else { TRAIN };
    let mut maps =
        vec![(format!("{split}_loss"), &surface.loss), (format!("{split}_acc"), &surface.acc)];
    let ratio;
    if let Some(curvature) = &content.curvature {
        ratio = ratios(curvature);
        maps.push(("max_eig".to_owned(), &curvature.lambda_max));
        maps.push(("min_eig".to_owned(), &curvature.lambda_min));
        maps.push(("eig_ratio".to_owned(), &ratio));
    }
    for (name, values) in maps {
        file.create_dataset(&name).with_f64_data(values).with_shape(&grid);
    }
    if let Some(computed) = &surface.computed {
        let mask: Vec<u8> = computed.iter().map(|c| u8::from(*c)).collect();
        file.create_dataset("computed").with_u8_data(&mask).with_shape(&grid);
    }
    if !images.is_empty() {
        let count = images.len() as u64;
        file.create_dataset("image_index").with_i64_data(images).with_shape(&[count]);
    }
    if let Some(path) = trajectory {
        let count = [path.xs.len() as u64];
        file.create_dataset("proj_xcoord").with_f64_data(&path.xs).with_shape(&count);
        file.create_dataset("proj_ycoord")
            .with_f64_data(&path.ys)
            .with_shape(&[path.ys.len() as u64]);
        if !path.steps.is_empty() {
            file.create_dataset("proj_step").with_u64_data(&path.steps).with_shape(&count);
        }
        if !path.loss.is_empty() {
            file.create_dataset("proj_loss").with_f64_data(&path.loss).with_shape(&count);
        }
        let angles = path.angles(surface.grid());
        file.create_dataset(ANGLES).with_f64_data(&angles).with_shape(&count);
    }
    if !about.variance.is_empty() {
        // As the reference code's script for trajectories looks for it.
        let count = about.variance.len() as u64;
        let shares = file.create_dataset("explained_variance_ratio_");
        shares.with_f64_data(&about.variance).with_shape(&[count]);
    }
    for (name, direction) in DIRECTIONS.into_iter().zip(directions) {
        let mut group = file.create_group(name);
        for (index, part) in direction.iter().enumerate() {
            let dataset = group.create_dataset(&index.to_string());
            dataset.with_f32_data(&part.values).with_shape(&part.shape);
        }
        file.add_group(group.finish());
    }
    attributes(content).into_iter().for_each(|(name, value)| file.set_attr(name, value));
    file.write(path).map_err(|e| SurfaceError::File { path: path.to_owned(), text: e.to_string() })
}

/// |lambda_min / lambda_max| at every point.
pub fn ratios(curvature: &CurvatureMap) -> Vec<f64> {
    let CurvatureMap { lambda_max, lambda_min } = curvature;
    lambda_min.iter().zip(lambda_max).map(|(min, max)| (min / max).abs()).collect()
}

fn attributes(content: &SurfaceFile) -> Vec<(&'static str, AttrValue)> {
    let about = &content.about;
    let text = |s: &str| AttrValue::String(s.to_owned());
    let mut found = vec![
        ("checkpoint", text(&about.checkpoint)),
        ("weights_sha256", text(&about.weights_sha256)),
        ("images_sha256", text(&about.images_sha256)),
        ("arm", text(&about.arm)),
        ("step", AttrValue::I64(about.step as i64)),
        ("plane", text(&about.plane)),
        ("norm", text(&about.norm)),
        ("ignore", text(&about.ignore)),
        ("seed", AttrValue::U64(about.seed)),
        ("split", text(&about.split)),
        ("bn", text(&about.bn)),
        ("precision", text(&about.precision)),
        ("images", AttrValue::I64(content.images.len() as i64)),
        ("cosine", AttrValue::F64(about.cosine)),
    ];
    if !about.to.is_empty() {
        found.push(("to", text(&about.to)));
        found.push(("to_sha256", text(&about.to_sha256)));
    }
    if !about.variance.is_empty() {
        found.push(("variance", AttrValue::F64Array(about.variance.clone())));
    }
    if let Some((index, of)) = about.shard {
        found.push(("shard", AttrValue::String(format!("{index}/{of}"))));
    }
    if about.coarse {
        found.push(("coarse", AttrValue::I64(1)));
    }
    let figures = SurfaceStatistics::of(content.surface.grid());
    // What does not exist is left out: 0 and NaN would be figures.
    let told = [
        ("flatness", figures.flatness),
        ("flatness_least", figures.flatness_least),
        ("rising_share", figures.rising_share),
        ("convex_share", figures.convex_share),
        ("minima", figures.minima.map(|n| n as f64)),
        ("roughness", figures.roughness),
    ];
    let there = told.into_iter().filter_map(|(name, value)| Some((name, AttrValue::F64(value?))));
    found.extend(there);
    if let Some(quantiles) = figures.quantiles {
        found.push(("quantiles", AttrValue::F64Array(quantiles.to_vec())));
    }
    if let Some(gap) = content.trajectory.as_ref().map(|t| t.gap(content.surface.grid())) {
        let told =
            [("gap_median", gap.median), ("gap_max", gap.max), ("gap_relative", gap.relative)];
        let there = told.into_iter().filter(|(_, value)| value.is_finite());
        found.extend(there.map(|(name, value)| (name, AttrValue::F64(value))));
    }
    if let Some(rounding) = content.rounding {
        found.push(("rounding", AttrValue::F64(rounding)));
    }
    if let Some(curvature) = content.center_curvature {
        found.push(("hessian_max", AttrValue::F64(curvature.lambda_max)));
        found.push(("hessian_min", AttrValue::F64(curvature.lambda_min)));
        found.push(("hessian_products", AttrValue::I64(curvature.products as i64)));
        found.push(("hessian_converged", AttrValue::I64(i64::from(curvature.converged))));
    }
    found
}
