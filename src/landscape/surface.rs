//! A computed surface and its HDF5 file, as the reference code writes and plots it (design.md 5).

use std::path::{Path, PathBuf};

use hdf5_pure::{AttrValue, FileBuilder};
use tch::{TchError, Tensor};

use crate::arm::ArmName;
use crate::config::{DirectionNorm, IgnoreParams};
use crate::geometry::levels::quantiles;
use crate::model::Plan;
use crate::telemetry::event::SurfaceStats;

/// Points on a side beyond which a file is not one of ours.
const MOST_ON_A_SIDE: u64 = 4096;

/// Why a surface could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SurfaceError {
    /// The file system or the format refused.
    #[error("{}: {text}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        text: String,
    },
    /// torch failed.
    #[error("torch: {0}")]
    Torch(#[from] TchError),
}

/// Loss and accuracy on a grid, row = y, column = x; NaN where not computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Surface {
    /// Columns, rising [nx].
    pub xs: Vec<f64>,
    /// Rows, rising [ny].
    pub ys: Vec<f64>,
    /// Mean cross-entropy, nats [ny * nx].
    pub loss: Vec<f64>,
    /// Accuracy in [0, 1] [ny * nx].
    pub acc: Vec<f64>,
}

/// Where a surface comes from.
pub struct Origin<'a> {
    /// Whose weights are the centre.
    pub arm: &'a ArmName,
    /// Steps done.
    pub step: u64,
    /// The checkpoint, if the weights came from one.
    pub checkpoint: &'a str,
    /// Scaling of the directions.
    pub norm: DirectionNorm,
    /// What did not move.
    pub ignore: IgnoreParams,
    /// Seed of the directions.
    pub seed: u64,
    /// Training images used, in the data set's file order.
    pub images: &'a [i64],
    /// Cosine of the two directions.
    pub cosine: f64,
    /// The network.
    pub plan: &'a Plan,
    /// The two directions, flat.
    pub directions: &'a [Tensor; 2],
}

impl Surface {
    /// An empty surface over these coordinates.
    pub fn new(xs: Vec<f64>, ys: Vec<f64>) -> Self {
        let unknown = vec![f64::NAN; xs.len() * ys.len()];
        Self { xs, ys, loss: unknown.clone(), acc: unknown }
    }

    /// The part of the surface on these rows and columns.
    pub fn on_lines(&self, lines: &[usize]) -> Self {
        let pick = |from: &[f64]| lines.iter().map(|i| from[*i]).collect();
        let part = |from: &[f64]| {
            let nx = self.xs.len();
            lines.iter().flat_map(|r| lines.iter().map(move |c| from[r * nx + c])).collect()
        };
        Self {
            xs: pick(&self.xs),
            ys: pick(&self.ys),
            loss: part(&self.loss),
            acc: part(&self.acc),
        }
    }

    /// Figures over the finite points; `center` is the middle one.
    pub fn stats(&self) -> SurfaceStats {
        let found = quantiles(&self.loss, &[0.0, 0.5, 1.0]);
        let at = |i: usize| found.get(i).copied().unwrap_or(f64::NAN);
        let points = self.loss.iter().filter(|v| v.is_finite()).count();
        let center = self.loss.get(self.loss.len() / 2).copied().unwrap_or(f64::NAN);
        SurfaceStats { center, min: at(0), median: at(1), max: at(2), points }
    }

    /// Reads a surface back, without its directions.
    ///
    /// # Errors
    /// When the file cannot be read or is not one: cut short, of another shape, with axes that do not rise.
    pub fn read_hdf5(path: &Path) -> Result<Self, SurfaceError> {
        let failed = |text: String| SurfaceError::File { path: path.to_owned(), text };
        let bytes = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
        Self::from_hdf5(bytes).map_err(failed)
    }

    /// As [`Surface::read_hdf5`], from a file's bytes; one line that says what is wrong with them.
    ///
    /// # Errors
    /// As there.
    pub fn from_hdf5(bytes: Vec<u8>) -> Result<Self, String> {
        // The library is not ours: whatever it makes of a broken file, the program goes on.
        let read = std::panic::catch_unwind(move || {
            let file = hdf5_pure::File::from_bytes(bytes).map_err(|e| e.to_string())?;
            let (ends, has) = (file.superblock().eof_address, file.file_size());
            if has < ends {
                return Err(format!("cut short: {has} bytes of {ends}"));
            }
            let values = |name: &str, most: u64| -> Result<(Vec<u64>, Vec<f64>), String> {
                let wrong = |e: hdf5_pure::Error| format!("{name}: {e}");
                let dataset = file.dataset(name).map_err(wrong)?;
                let shape = dataset.shape().map_err(wrong)?;
                let points = shape.iter().try_fold(1u64, |n, side| n.checked_mul(*side));
                if !points.is_some_and(|n| (1..=most).contains(&n)) {
                    return Err(format!("{name}: shape {shape:?}; expected 1 to {most} points"));
                }
                Ok((shape, dataset.read_f64().map_err(wrong)?))
            };
            let axis = |name: &str| {
                let (_, points) = values(name, MOST_ON_A_SIDE)?;
                let rises = points.windows(2).all(|w| w[0] < w[1]);
                match points.iter().all(|v| v.is_finite()) && rises {
                    true => Ok(points),
                    false => Err(format!("{name}: expected rising numbers")),
                }
            };
            let (xs, ys) = (axis("xcoordinates")?, axis("ycoordinates")?);
            let grid = |name: &str| {
                let (shape, points) = values(name, MOST_ON_A_SIDE * MOST_ON_A_SIDE)?;
                let wanted = [ys.len() as u64, xs.len() as u64];
                match shape == wanted && points.len() == xs.len() * ys.len() {
                    true => Ok(points),
                    false => Err(format!("{name}: shape {shape:?}; expected {wanted:?}")),
                }
            };
            let (loss, acc) = (grid("train_loss")?, grid("train_acc")?);
            Ok(Self { xs, ys, loss, acc })
        });
        read.unwrap_or_else(|_| Err("not a whole HDF5 file".to_owned()))
    }

    /// Writes the surface with its directions.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_hdf5(&self, path: &Path, origin: &Origin<'_>) -> Result<(), SurfaceError> {
        let mut file = FileBuilder::new();
        let (nx, ny) = (self.xs.len() as u64, self.ys.len() as u64);
        file.create_dataset("xcoordinates").with_f64_data(&self.xs).with_shape(&[nx]);
        file.create_dataset("ycoordinates").with_f64_data(&self.ys).with_shape(&[ny]);
        file.create_dataset("train_loss").with_f64_data(&self.loss).with_shape(&[ny, nx]);
        file.create_dataset("train_acc").with_f64_data(&self.acc).with_shape(&[ny, nx]);
        let count = origin.images.len() as u64;
        file.create_dataset("image_index").with_i64_data(origin.images).with_shape(&[count]);
        for (name, direction) in ["xdirection", "ydirection"].into_iter().zip(origin.directions) {
            let mut group = file.create_group(name);
            for (index, param) in origin.plan.params.iter().enumerate() {
                let values: Vec<f32> =
                    origin.plan.unpack(direction, param)?.f_view([-1])?.try_into()?;
                let shape: Vec<u64> = param.shape.iter().map(|n| n.unsigned_abs()).collect();
                group.create_dataset(&index.to_string()).with_f32_data(&values).with_shape(&shape);
            }
            file.add_group(group.finish());
        }
        for (name, text) in [
            ("checkpoint", origin.checkpoint.to_owned()),
            ("arm", origin.arm.to_string()),
            ("norm", word(&origin.norm)),
            ("ignore", word(&origin.ignore)),
            ("plane", "random".to_owned()),
            ("precision", "f32".to_owned()),
        ] {
            file.set_attr(name, AttrValue::String(text));
        }
        file.set_attr("step", AttrValue::I64(origin.step as i64));
        file.set_attr("seed", AttrValue::I64(origin.seed as i64));
        file.set_attr("images", AttrValue::I64(origin.images.len() as i64));
        file.set_attr("cosine", AttrValue::F64(origin.cosine));
        file.write(path)
            .map_err(|e| SurfaceError::File { path: path.to_owned(), text: e.to_string() })
    }
}

/// A config word as it is typed.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::config::{Family, Init, ModelSpec};

    fn surface() -> Surface {
        let mut s = Surface::new(vec![-1.0, 0.0, 1.0], vec![-2.0, 0.0, 2.0]);
        s.loss = vec![1.0, 2.0, 3.0, 4.0, 0.5, 6.0, 7.0, f64::NAN, 9.0];
        s.acc = vec![0.5; 9];
        s
    }

    #[test]
    fn figures_leave_out_what_is_not_computed() {
        let stats = surface().stats();
        assert_eq!(
            (stats.center, stats.min, stats.median, stats.max, stats.points),
            (0.5, 0.5, 3.5, 9.0, 8)
        );
        assert_eq!(surface().on_lines(&[0, 2]).loss, [1.0, 3.0, 7.0, 9.0]);
        assert_eq!(surface().on_lines(&[0, 2]).ys, [-2.0, 2.0]);
    }

    #[test]
    fn a_file_comes_back() {
        let spec = ModelSpec {
            family: Family::Resnet,
            depth: 8,
            width: 2,
            widen: 1,
            init: Init::KaimingNormal,
        };
        let plan = Plan::resnet(&spec, false, 1, 10);
        let row_major: Vec<f32> = (0..plan.scalars()).map(|i| i as f32).collect();
        let flat = plan.pack(&row_major, Device::Cpu).unwrap();
        let directions = [flat.shallow_clone(), flat];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.h5");
        let arm = ArmName::new("noskip");
        let origin = Origin {
            arm: &arm,
            step: 12,
            checkpoint: "",
            norm: DirectionNorm::Filter,
            ignore: IgnoreParams::Biasbn,
            seed: 5,
            images: &[0, 10],
            cosine: 0.25,
            plan: &plan,
            directions: &directions,
        };
        surface().write_hdf5(&path, &origin).unwrap();
        let back = Surface::read_hdf5(&path).unwrap();
        assert_eq!((&back.xs, &back.ys, &back.acc), (&surface().xs, &surface().ys, &surface().acc));
        assert!(back.loss[7].is_nan() && back.loss[..7] == surface().loss[..7]);
        let bytes = std::fs::read(&path).unwrap();
        assert!(Surface::from_hdf5(bytes[..bytes.len() / 2].to_vec()).is_err());
        let file = hdf5_pure::File::open(&path).unwrap();
        let loss = file.dataset("train_loss").unwrap();
        assert_eq!(loss.shape().unwrap(), [3, 3]);
        let values = loss.read_f64().unwrap();
        assert!(values[7].is_nan() && values[5] == 6.0);
        let third = file.dataset("xdirection/3").unwrap();
        assert_eq!(third.shape().unwrap(), [2, 2, 3, 3]);
        assert_eq!(third.read::<f32>().unwrap()[0], plan.params[3].offset as f32);
        let said =
            surface().write_hdf5(Path::new("/nonexistent/s.h5"), &origin).unwrap_err().to_string();
        assert!(said.contains("/nonexistent/s.h5"), "{said}");
    }
}
