//! Parts of one surface, computed by several machines, put together.

use std::path::{Path, PathBuf};

use super::error::LandscapeError;
use super::file::SurfaceFile;
use super::journal::Identity;

/// The whole of these files' surface, and how many of its points (or, where curvature was measured, of its eigenvalues) no
/// file has.
///
/// # Errors
/// When a file cannot be read, belongs to another surface, or two files differ at a point.
pub fn merge(files: &[PathBuf]) -> Result<(SurfaceFile, usize), LandscapeError> {
    let mut whole: Option<(&Path, Identity, SurfaceFile)> = None;
    for path in files {
        let part = SurfaceFile::read(path).map_err(|e| LandscapeError::input(path, e.reason()))?;
        match &mut whole {
            None => whole = Some((path.as_path(), Identity::of(&part), part)),
            Some((first, identity, sum)) => {
                if let Some((name, there, here)) = Identity::of(&part).difference(identity) {
                    let text = format!(
                        "does not belong to {}: {name} {there}, there {here}",
                        first.display()
                    );
                    return Err(LandscapeError::input(path, text));
                }
                add(sum, &part, path)?;
            }
        }
    }
    let Some((_, _, mut sum)) = whole else {
        let text = "expected at least one file".to_owned();
        return Err(LandscapeError::Option { name: "merge", value: String::new(), text });
    };
    // Also where points are missing: they are unknown, as in any surface that was stopped.
    sum.about.shard = None;
    let known = |i: usize| !sum.surface.acc[i].is_nan();
    let bent = |i: usize| {
        let finite = sum.surface.loss[i].is_finite();
        sum.curvature.as_ref().is_none_or(|c| !finite || !c.lambda_max[i].is_nan())
    };
    let missing = (0..sum.surface.len()).filter(|i| !(known(*i) && bent(*i))).count();
    Ok((sum, missing))
}

/// Adds a part's points. A point has an accuracy if it was computed, also where its loss is no number.
fn add(sum: &mut SurfaceFile, part: &SurfaceFile, path: &Path) -> Result<(), LandscapeError> {
    for index in 0..part.surface.acc.len() {
        let (loss, acc) = (part.surface.loss[index], part.surface.acc[index]);
        let (old_loss, old_acc) = (&mut sum.surface.loss[index], &mut sum.surface.acc[index]);
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        if acc.is_nan() {
            continue;
        }
        let agree = same(*old_loss, loss) && same(*old_acc, acc);
        if !(old_acc.is_nan() || agree) {
            let (x, y) = part.surface.place(index);
            let text = format!("differs from another file at ({x}, {y}): {loss}, there {old_loss}");
            return Err(LandscapeError::input(path, text));
        }
        (*old_loss, *old_acc) = (loss, acc);
    }
    // One mask from two: a point is computed where any file computed it.
    match (&mut sum.surface.computed, &part.surface.computed) {
        (Some(a), Some(b)) => a.iter_mut().zip(b).for_each(|(a, b)| *a |= *b),
        (a, Some(b)) if a.is_none() => *a = Some(b.clone()),
        _ => {}
    }
    match (&mut sum.curvature, &part.curvature) {
        (Some(a), Some(b)) => {
            let pairs = [(&mut a.lambda_max, &b.lambda_max), (&mut a.lambda_min, &b.lambda_min)];
            for (old, new) in pairs {
                old.iter_mut()
                    .zip(new)
                    .filter(|(a, b)| a.is_nan() && !b.is_nan())
                    .for_each(|(a, b)| *a = *b);
            }
        }
        (a, Some(b)) if a.is_none() => *a = Some(b.clone()),
        _ => {}
    }
    sum.rounding = [sum.rounding, part.rounding].into_iter().flatten().reduce(f64::max);
    if sum.center_curvature.is_none() {
        sum.center_curvature = part.center_curvature;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::about::About;
    use super::super::file::{CurvatureMap, DirectionTensor};
    use super::super::surface::Surface;
    use super::*;

    fn part(index: u64, value: f64, seed: u64) -> SurfaceFile {
        let mut surface = Surface::new(vec![0.0, 1.0], vec![0.0, 1.0]);
        for point in (0..4).filter(|p| p % 2 == index - 1) {
            surface.loss[point as usize] = value + point as f64;
            surface.acc[point as usize] = 0.5;
        }
        let about = About { seed, shard: Some((index, 2)), ..About::default() };
        let tensor = DirectionTensor { shape: vec![1], values: vec![seed as f32] };
        SurfaceFile {
            about,
            images: vec![0],
            directions: vec![vec![tensor]],
            ..SurfaceFile::of(surface)
        }
    }

    fn merged(parts: &[SurfaceFile]) -> Result<(SurfaceFile, usize), LandscapeError> {
        let dir = tempfile::tempdir().unwrap();
        let path = |i: usize| dir.path().join(format!("{i}.h5"));
        parts.iter().enumerate().for_each(|(i, p)| p.write(&path(i)).unwrap());
        merge(&(0..parts.len()).map(path).collect::<Vec<_>>())
    }

    #[test]
    fn halves_make_a_whole_and_one_half_tells_what_is_missing() {
        let (whole, missing) = merged(&[part(1, 1.0, 0), part(2, 1.0, 0)]).unwrap();
        assert_eq!((missing, whole.about.shard), (0, None));
        assert_eq!(whole.surface.loss, [1.0, 2.0, 3.0, 4.0]);
        let (half, missing) = merged(&[part(2, 1.0, 0)]).unwrap();
        assert_eq!((missing, half.about.shard), (2, None));
        // Curvature in one part alone is not whole either.
        let mut bent = part(1, 1.0, 0);
        let map = CurvatureMap {
            lambda_max: vec![1.0, f64::NAN, 1.0, f64::NAN],
            lambda_min: vec![0.0; 4],
        };
        bent.curvature = Some(map);
        assert_eq!(merged(&[bent, part(2, 1.0, 0)]).unwrap().1, 2);
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let told = merged(&[part(1, 1.0, 0), part(2, 1.0, 9)]).unwrap_err();
        assert!(told.is_bad_input());
        let told = told.to_string();
        assert!(
            told.contains("1.h5: does not belong to") && told.contains("seed 9, there 0"),
            "{told}"
        );
        let mut other = part(2, 1.0, 0);
        other.directions[0][0].values[0] = 7.0;
        let told = merged(&[part(1, 1.0, 0), other]).unwrap_err().to_string();
        assert!(told.contains("directions"), "{told}");
        let told = merged(&[part(1, 1.0, 0), part(1, 2.0, 0)]).unwrap_err().to_string();
        assert!(told.contains("differs from another file at (0, 0): 2, there 1"), "{told}");
        let mut images = part(2, 1.0, 0);
        images.images = vec![1];
        assert!(merged(&[part(1, 1.0, 0), images]).unwrap_err().to_string().contains("images"));
        assert!(merge(&[]).is_err());
    }

    proptest! {
        /// However a grid is cut into parts, and in whatever order they come, the whole is the same.
        #[test]
        fn any_parts_make_the_whole(of in 1u64..6, seed in any::<u64>(), turn in 0usize..6) {
            let mut whole = part(1, 0.0, 0);
            for i in 0..4 {
                whole.surface.loss[i] = f64::from_bits(seed.rotate_left(7 * i as u32)).abs();
                whole.surface.acc[i] = i as f64 / 4.0;
            }
            let mut parts: Vec<SurfaceFile> = (1..=of)
                .map(|index| {
                    let mut one = whole.clone();
                    one.about.shard = Some((index, of));
                    for i in (0..4).filter(|i| *i as u64 % of != index - 1) {
                        one.surface.loss[i] = f64::NAN;
                        one.surface.acc[i] = f64::NAN;
                    }
                    one
                })
                .collect();
            parts.rotate_left(turn % of as usize);
            let (found, missing) = merged(&parts).unwrap();
            prop_assert_eq!(missing, 0);
            for (a, b) in found.surface.loss.iter().zip(&whole.surface.loss) {
                prop_assert!(a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()));
            }
            prop_assert_eq!(found.surface.acc, whole.surface.acc);
        }
    }
}
