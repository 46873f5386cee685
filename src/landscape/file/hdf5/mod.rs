//! HDF5, as the reference code writes and plots it (design.md 5).

mod read;
mod write;

pub use read::parse;
pub(super) use write::ratios;
pub use write::write;

/// The groups of the directions, as the reference code names them.
const DIRECTIONS: [&str; 2] = ["xdirection", "ydirection"];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use hdf5_pure::File;

    use super::super::{CenterCurvature, CurvatureMap, DirectionTensor, SurfaceFile, Trajectory};
    use super::*;
    use crate::landscape::about::{About, TEST};
    use crate::landscape::surface::Surface;

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
            coarse: true,
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
        let angles = file.dataset("proj_angle").unwrap();
        assert_eq!(angles.shape().unwrap(), [2]);
        assert!(angles.read_f64().unwrap()[1].is_nan(), "no stretch leaves the last point");
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
