//! Reading: whatever the bytes are, an answer in one line.

use std::collections::HashMap;

use hdf5_pure::{AttrValue, File};

use super::super::{
    CenterCurvature, CurvatureMap, Direction, DirectionTensor, SurfaceFile, Trajectory,
};
use super::DIRECTIONS;
use crate::landscape::about::{About, TEST, TRAIN};
use crate::landscape::surface::Surface;

/// How an HDF5 file begins.
const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
/// Points on a side beyond which a file is not one of ours.
const MOST_ON_A_SIDE: u64 = 4096;

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
        coarse: count("coarse") == Some(1),
    };
    let curvature = number("hessian_max").zip(number("hessian_min")).map(|(max, min)| {
        let products = count("hessian_products").unwrap_or(0);
        let converged = count("hessian_converged") == Some(1);
        CenterCurvature { lambda_max: max, lambda_min: min, products, converged }
    });
    (about, curvature)
}
