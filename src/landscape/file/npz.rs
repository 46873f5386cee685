//! NumPy's .npz: the datasets of the HDF5 file under the same names, its attributes as JSON text in `attributes`.

use std::io::{Seek, Write};

use ndarray::{Array1, ArrayView1, ArrayView2};
use ndarray_npy::{NpzWriter, WritableElement, WriteNpzError};

use super::path::ANGLES;
use super::{SurfaceFile, hdf5::ratios};
use crate::landscape::about::{TEST, TRAIN};

/// Writes the file into `to`.
///
/// # Errors
/// When the sink refuses; a line that says why.
pub fn write(content: &SurfaceFile, to: impl Write + Seek) -> Result<(), String> {
    parts(content, NpzWriter::new(to)).map_err(|e| e.to_string())
}

fn parts<W: Write + Seek>(
    content: &SurfaceFile,
    mut file: NpzWriter<W>,
) -> Result<(), WriteNpzError> {
    let SurfaceFile { surface, about, images, directions, trajectory, curvature, .. } = content;
    let shape = (surface.ys.len(), surface.xs.len());
    let profile = surface.is_profile();
    file.add_array("xcoordinates", &ArrayView1::from(&surface.xs))?;
    if !profile {
        file.add_array("ycoordinates", &ArrayView1::from(&surface.ys))?;
    }
    let split = if about.split == TEST { TEST } else { TRAIN };
    grid(&mut file, &format!("{split}_loss"), &surface.loss, shape)?;
    grid(&mut file, &format!("{split}_acc"), &surface.acc, shape)?;
    if let Some(computed) = &surface.computed {
        grid(&mut file, "computed", computed, shape)?;
    }
    if let Some(curvature) = curvature {
        grid(&mut file, "max_eig", &curvature.lambda_max, shape)?;
        grid(&mut file, "min_eig", &curvature.lambda_min, shape)?;
        grid(&mut file, "eig_ratio", &ratios(curvature), shape)?;
    }
    file.add_array("image_index", &ArrayView1::from(images))?;
    if let Some(path) = trajectory {
        file.add_array("proj_xcoord", &ArrayView1::from(&path.xs))?;
        file.add_array("proj_ycoord", &ArrayView1::from(&path.ys))?;
        file.add_array("proj_step", &ArrayView1::from(&path.steps))?;
        file.add_array("proj_loss", &ArrayView1::from(&path.loss))?;
        file.add_array(ANGLES, &Array1::from(path.angles(surface.grid())))?;
    }
    for (name, direction) in ["xdirection", "ydirection"].iter().zip(directions) {
        for (index, part) in direction.iter().enumerate() {
            let shape: Vec<usize> = part.shape.iter().map(|n| *n as usize).collect();
            let flat = Array1::from(part.values.clone());
            // The shape is the values' own; one that is not is told flat.
            let name = format!("{name}/{index}");
            match flat.clone().into_shape_with_order(shape) {
                Ok(shaped) => file.add_array(name, &shaped)?,
                Err(_) => file.add_array(name, &flat)?,
            }
        }
    }
    let told = serde_json::to_vec(about).unwrap_or_default();
    file.add_array("attributes", &Array1::from(told))?;
    file.finish()?;
    Ok(())
}

/// A grid [ny, nx], or [nx] of a profile.
fn grid<W: Write + Seek, T: WritableElement + Clone>(
    file: &mut NpzWriter<W>,
    name: &str,
    values: &[T],
    shape: (usize, usize),
) -> Result<(), WriteNpzError> {
    match ArrayView2::from_shape(shape, values) {
        // A profile has no rows, and a view of none fits any values.
        Ok(grid) if grid.len() == values.len() => file.add_array(name, &grid),
        _ => file.add_array(name, &ArrayView1::from(values)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ndarray::Array2;
    use ndarray_npy::NpzReader;

    use super::super::super::surface::Surface;
    use super::super::DirectionTensor;
    use super::*;

    #[test]
    fn arrays_come_back_by_name_and_shape() {
        let mut surface = Surface::new(vec![0.0, 1.0, 2.0], vec![5.0, 6.0]);
        surface.loss[4] = 7.5;
        surface.computed = Some(vec![true; 6]);
        let part = DirectionTensor { shape: vec![2, 2], values: vec![1.0, 2.0, 3.0, 4.0] };
        let content = SurfaceFile {
            directions: vec![vec![part]],
            images: vec![3],
            ..SurfaceFile::of(surface)
        };
        let mut bytes = Cursor::new(Vec::new());
        write(&content, &mut bytes).unwrap();
        let mut back = NpzReader::new(bytes).unwrap();
        let loss: Array2<f64> = back.by_name("train_loss").unwrap();
        assert_eq!((loss.dim(), loss[[1, 1]]), ((2, 3), 7.5));
        assert!(loss[[0, 0]].is_nan());
        let direction: Array2<f32> = back.by_name("xdirection/0").unwrap();
        assert_eq!(direction[[1, 0]], 3.0);
        let index: Array1<i64> = back.by_name("image_index").unwrap();
        assert_eq!(index[0], 3);
    }

    #[test]
    fn a_profile_is_one_row_of_numbers() {
        let mut surface = Surface::new(vec![0.0, 1.0, 2.0], vec![]);
        surface.loss = vec![1.0, 2.0, 4.0];
        surface.acc = vec![0.5; 3];
        let mut bytes = Cursor::new(Vec::new());
        write(&SurfaceFile::of(surface), &mut bytes).unwrap();
        let mut back = NpzReader::new(bytes).unwrap();
        let loss: Array1<f64> = back.by_name("train_loss").unwrap();
        assert_eq!(loss.to_vec(), [1.0, 2.0, 4.0]);
        let acc: Array1<f64> = back.by_name("train_acc").unwrap();
        assert_eq!(acc.len(), 3);
    }
}
