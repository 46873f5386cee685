//! HDF5, as the reference code writes and plots it (design.md 5).

use std::collections::HashMap;
use std::path::Path;

use hdf5_pure::{AttrValue, File, FileBuilder};

use super::{
    CenterCurvature, CurvatureMap, Direction, DirectionTensor, SurfaceError, SurfaceFile,
    Trajectory,
};
use crate::geometry::statistics::SurfaceStatistics;
use crate::landscape::about::{About, TEST, TRAIN};
use crate::landscape::surface::Surface;

/// How an HDF5 file begins.
const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
/// Points on a side beyond which a file is not one of ours.
const MOST_ON_A_SIDE: u64 = 4096;
/// The groups of the directions, as the reference code names them.
const DIRECTIONS: [&str; 2] = ["xdirection", "ydirection"];

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
pub(super) fn ratios(curvature: &CurvatureMap) -> Vec<f64> {
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

/// Reads a surface file from its bytes; one line that says what is wrong with them.
///
/// # Errors
/// When they are none: cut short, of another shape, with axes that do not rise.
pub fn parse(bytes: Vec<u8>) -> Result<SurfaceFile, String> {
    // The library is not ours: whatever it makes of a broken file, the program goes on.
    let read = std::panic::catch_unwind(move || {
        if !bytes.starts_with(SIGNATURE) {
            return Err("is no HDF5 file; expected a surface file (.h5)".to_owned());
        }
        let size = bytes.len() as u64;
        let file = File::from_bytes(bytes).map_err(|e| e.to_string())?;
        let (ends, has) = (file.superblock().eof_address, file.file_size());
        if has < ends {
            return Err(format!("cut short: {has} bytes of {ends}"));
        }
        Reader { file, size }.content()
    });
    read.unwrap_or_else(|_| Err("not a whole HDF5 file".to_owned()))
}

/// An open file.
struct Reader {
    file: File,
    /// Bytes: no dataset of ours is larger.
    size: u64,
}

impl Reader {
    fn content(&self) -> Result<SurfaceFile, String> {
        let xs = self.axis("xcoordinates")?;
        let ys = if self.has("ycoordinates") { self.axis("ycoordinates")? } else { Vec::new() };
        let shape = if ys.is_empty() {
            vec![xs.len() as u64]
        } else {
            vec![ys.len() as u64, xs.len() as u64]
        };
        let split = if self.has("train_loss") || !self.has("test_loss") { TRAIN } else { TEST };
        let loss = self.grid(&format!("{split}_loss"), &shape)?;
        let acc = self.grid(&format!("{split}_acc"), &shape)?;
        let computed = self.has("computed").then(|| self.mask(&shape)).transpose()?;
        let curvature = self.has("max_eig").then(|| self.curvature(&shape)).transpose()?;
        let trajectory = self.has("proj_xcoord").then(|| self.trajectory()).transpose()?;
        let images = self.integers("image_index")?;
        let root = self.file.root();
        let attributes = root.attrs().map_err(|e| format!("attributes: {e}"))?;
        let (mut about, center_curvature) = read_attributes(&attributes);
        about.split = split.to_owned();
        let groups = root.groups().unwrap_or_default();
        let directions = DIRECTIONS.iter().filter(|name| groups.iter().any(|g| g == *name));
        let directions = directions.map(|name| self.direction(name)).collect::<Result<_, _>>()?;
        let surface = Surface { xs, ys, loss, acc, computed };
        let rounding = attributes.get("rounding").and_then(AttrValue::as_f64);
        Ok(SurfaceFile {
            surface,
            about,
            images,
            directions,
            trajectory,
            rounding,
            center_curvature,
            curvature,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.file.dataset(name).is_ok()
    }

    /// A dataset's shape, checked to hold 1 to `most` points and no more than the file can.
    fn shape(&self, name: &str, most: u64) -> Result<(hdf5_pure::Dataset, Vec<u64>), String> {
        let wrong = |e: hdf5_pure::Error| format!("{name}: {e}");
        let dataset = self.file.dataset(name).map_err(wrong)?;
        let shape = dataset.shape().map_err(wrong)?;
        let points = shape.iter().try_fold(1u64, |n, side| n.checked_mul(*side));
        if !points.is_some_and(|n| (1..=most).contains(&n)) {
            return Err(format!("{name}: shape {shape:?}; expected 1 to {most} points"));
        }
        Ok((dataset, shape))
    }

    fn values(&self, name: &str, most: u64) -> Result<(Vec<u64>, Vec<f64>), String> {
        let (dataset, shape) = self.shape(name, most)?;
        Ok((shape, dataset.read_f64().map_err(|e| format!("{name}: {e}"))?))
    }

    fn axis(&self, name: &str) -> Result<Vec<f64>, String> {
        let (_, points) = self.values(name, MOST_ON_A_SIDE)?;
        let rises = points.windows(2).all(|w| w[0] < w[1]);
        match points.iter().all(|v| v.is_finite()) && rises {
            true => Ok(points),
            false => Err(format!("{name}: expected rising numbers")),
        }
    }

    fn grid(&self, name: &str, wanted: &[u64]) -> Result<Vec<f64>, String> {
        let (shape, points) = self.values(name, MOST_ON_A_SIDE * MOST_ON_A_SIDE)?;
        match shape == wanted && points.len() as u64 == wanted.iter().product::<u64>() {
            true => Ok(points),
            false => Err(format!("{name}: shape {shape:?}; expected {wanted:?}")),
        }
    }

    fn mask(&self, wanted: &[u64]) -> Result<Vec<bool>, String> {
        let (dataset, shape) = self.shape("computed", MOST_ON_A_SIDE * MOST_ON_A_SIDE)?;
        let points = dataset.read_u8().map_err(|e| format!("computed: {e}"))?;
        match shape == wanted && points.len() as u64 == wanted.iter().product::<u64>() {
            true => Ok(points.into_iter().map(|p| p != 0).collect()),
            false => Err(format!("computed: shape {shape:?}; expected {wanted:?}")),
        }
    }

    fn curvature(&self, wanted: &[u64]) -> Result<CurvatureMap, String> {
        let lambda_max = self.grid("max_eig", wanted)?;
        Ok(CurvatureMap { lambda_max, lambda_min: self.grid("min_eig", wanted)? })
    }

    fn trajectory(&self) -> Result<Trajectory, String> {
        let (_, xs) = self.values("proj_xcoord", self.size / 8)?;
        let like = |name: &str| {
            let (_, points) = self.values(name, self.size / 8)?;
            match points.len() == xs.len() {
                true => Ok(points),
                false => Err(format!("{name}: {} points; expected {}", points.len(), xs.len())),
            }
        };
        let ys = like("proj_ycoord")?;
        let loss = if self.has("proj_loss") { like("proj_loss")? } else { Vec::new() };
        let steps = if self.has("proj_step") { like("proj_step")? } else { Vec::new() };
        Ok(Trajectory { xs, ys, steps: steps.into_iter().map(|s| s as u64).collect(), loss })
    }

    /// Whole numbers [n]; empty where there are none.
    fn integers(&self, name: &str) -> Result<Vec<i64>, String> {
        match self.has(name) {
            false => Ok(Vec::new()),
            true => {
                let (dataset, _) = self.shape(name, self.size / 8)?;
                dataset.read_i64().map_err(|e| format!("{name}: {e}"))
            }
        }
    }

    fn direction(&self, name: &str) -> Result<Direction, String> {
        let group = self.file.group(name).map_err(|e| format!("{name}: {e}"))?;
        let count = group.datasets().map_err(|e| format!("{name}: {e}"))?.len();
        let part = |index: usize| {
            let name = format!("{name}/{index}");
            let (dataset, shape) = self.shape(&name, self.size / 4)?;
            let values = dataset.read_f32().map_err(|e| format!("{name}: {e}"))?;
            Ok(DirectionTensor { shape, values })
        };
        (0..count).map(part).collect()
    }
}

fn read_attributes(found: &HashMap<String, AttrValue>) -> (About, Option<CenterCurvature>) {
    let text =
        |name: &str| found.get(name).and_then(AttrValue::as_str).unwrap_or_default().to_owned();
    let count = |name: &str| {
        let value = found.get(name)?;
        value.as_u64().or_else(|| u64::try_from(value.as_i64()?).ok())
    };
    let number = |name: &str| found.get(name).and_then(AttrValue::as_f64);
    let numbers = |name: &str| found.get(name).and_then(AttrValue::to_f64s).unwrap_or_default();
    let shard = text("shard").split_once('/').and_then(|(index, of)| {
        let (index, of) = (index.parse().ok()?, of.parse().ok()?);
        (1..=of).contains(&index).then_some((index, of))
    });
    let about = About {
        checkpoint: text("checkpoint"),
        weights_sha256: text("weights_sha256"),
        images_sha256: text("images_sha256"),
        to: text("to"),
        to_sha256: text("to_sha256"),
        arm: text("arm"),
        step: count("step").unwrap_or(0),
        plane: text("plane"),
        norm: text("norm"),
        ignore: text("ignore"),
        seed: count("seed").unwrap_or(0),
        split: text("split"),
        bn: text("bn"),
        precision: text("precision"),
        cosine: number("cosine").unwrap_or(f64::NAN),
        variance: numbers("variance"),
        shard,
    };
    let curvature = number("hessian_max").zip(number("hessian_min")).map(|(max, min)| {
        let products = count("hessian_products").unwrap_or(0);
        let converged = count("hessian_converged") == Some(1);
        CenterCurvature { lambda_max: max, lambda_min: min, products, converged }
    });
    (about, curvature)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(shape: &[u64]) -> DirectionTensor {
        let values = (0..shape.iter().product()).map(|i: u64| i as f32).collect();
        DirectionTensor { shape: shape.to_vec(), values }
    }

    fn content() -> SurfaceFile {
        let mut surface = Surface::new(vec![-1.0, 0.0, 1.0], vec![-2.0, 2.0]);
        surface.loss = vec![1.0, 2.0, 3.0, 4.0, 0.5, 6.0];
        surface.acc = vec![0.5; 6];
        surface.computed = Some(vec![true, false, true, true, true, false]);
        let about = About {
            checkpoint: "run/step-00000012/noskip.safetensors".to_owned(),
            weights_sha256: "ab".to_owned(),
            arm: "noskip".to_owned(),
            step: 12,
            plane: "pca".to_owned(),
            norm: "filter".to_owned(),
            ignore: "biasbn".to_owned(),
            seed: 5,
            bn: "frozen".to_owned(),
            precision: "f32".to_owned(),
            cosine: 0.25,
            variance: vec![0.5, 0.25],
            shard: Some((1, 2)),
            ..About::default()
        };
        let numbers = |x: f64| vec![x, x + 1.0];
        SurfaceFile {
            about,
            images: vec![0, 10],
            directions: vec![vec![part(&[2, 3]), part(&[2])], vec![part(&[2, 3]), part(&[2])]],
            trajectory: Some(Trajectory {
                xs: numbers(0.0),
                ys: numbers(2.0),
                steps: vec![1, 2],
                loss: numbers(4.0),
            }),
            rounding: Some(0.125),
            center_curvature: Some(CenterCurvature {
                lambda_max: 9.0,
                lambda_min: -3.0,
                products: 20,
                converged: true,
            }),
            curvature: Some(CurvatureMap { lambda_max: vec![2.0; 6], lambda_min: vec![-1.0; 6] }),
            ..SurfaceFile::of(surface)
        }
    }

    fn back(content: &SurfaceFile) -> SurfaceFile {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.h5");
        write(content, &path).unwrap();
        SurfaceFile::read(&path).unwrap()
    }

    #[test]
    fn everything_comes_back() {
        assert_eq!(back(&content()), content());
    }

    #[test]
    fn a_profile_has_no_rows_and_what_is_unknown_stays_so() {
        let mut surface = Surface::new(vec![0.0, 1.0, 2.0], Vec::new());
        surface.loss[1] = 3.0;
        let about = About { split: TEST.to_owned(), ..About::default() };
        let found = back(&SurfaceFile { about, ..SurfaceFile::of(surface) });
        assert!(found.images.is_empty() && found.directions.is_empty());
        assert!(found.surface.is_profile() && found.surface.loss[0].is_nan());
        assert_eq!((found.surface.loss[1], found.about.split.as_str()), (3.0, TEST));
    }

    #[test]
    fn the_layout_is_the_reference_codes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.h5");
        write(&content(), &path).unwrap();
        let file = File::open(&path).unwrap();
        assert_eq!(file.dataset("train_loss").unwrap().shape().unwrap(), [2, 3]);
        assert_eq!(file.dataset("xdirection/1").unwrap().shape().unwrap(), [2]);
        assert_eq!(file.dataset("eig_ratio").unwrap().read_f64().unwrap(), [0.5; 6]);
        let told = file.root().attrs().unwrap();
        assert_eq!(told["quantiles"].to_f64s().unwrap()[6], 6.0);
        assert!(!told.contains_key("minima"), "no inner point: there is no such figure");
    }

    #[test]
    fn broken_files_are_refused_in_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.h5");
        let said = |change: fn(&mut SurfaceFile)| {
            let mut content = content();
            change(&mut content);
            write(&content, &path).unwrap();
            SurfaceFile::read(&path).unwrap_err().to_string()
        };
        let axis = said(|c| c.surface.xs[1] = f64::NAN);
        assert!(axis.ends_with("s.h5: xcoordinates: expected rising numbers"), "{axis}");
        let falls = said(|c| c.surface.ys = vec![2.0, -2.0]);
        assert!(falls.contains("ycoordinates: expected rising"), "{falls}");
        let path_length = said(|c| c.trajectory.as_mut().unwrap().ys = vec![1.0]);
        assert!(path_length.contains("proj_ycoord"), "{path_length}");
        write(&content(), &path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(parse(bytes[..bytes.len() / 2].to_vec()).unwrap_err().contains("cut short"));
        let nowhere = write(&content(), Path::new("/nonexistent/s.h5")).unwrap_err().to_string();
        assert!(nowhere.contains("/nonexistent/s.h5"), "{nowhere}");
    }
}
