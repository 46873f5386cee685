//! The extreme eigenvalues of a symmetric matrix that is known only by its products, by Lanczos's iteration with full
//! reorthogonalisation. Vectors are single precision, as the products are; coefficients are double.

use nalgebra::{DMatrix, SymmetricEigen};
use tch::{Kind, TchError, Tensor};

/// Rounds of the small eigenvalue iteration for each row; it takes two or three.
const ROUNDS: usize = 100;
/// Passes of Gram and Schmidt: what rounding leaves after one is gone after two.
const PASSES: usize = 2;
/// A remainder this small against the matrix is rounding of single-precision products: the vectors span an invariant
/// subspace, and the eigenvalues are there.
const NOTHING: f64 = 1e-6;
/// An eigenvalue below this share of the largest is held to the tolerance at this share: near 0 no relative precision is
/// to be had, and none is needed for the ratio of the two.
const FLOOR: f64 = 0.01;

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Most products.
    pub iterations: usize,
    /// Bound of the relative error of both eigenvalues.
    pub tolerance: f64,
}

impl Default for Limits {
    /// A hundred products, three digits.
    fn default() -> Self {
        Self { iterations: 100, tolerance: 1e-3 }
    }
}

/// The ends of a spectrum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extremes {
    /// Largest eigenvalue, algebraically.
    pub max: f64,
    /// Smallest eigenvalue, algebraically.
    pub min: f64,
    /// Products made.
    pub iterations: usize,
    /// Whether both residuals are within the tolerance.
    pub converged: bool,
    /// Bounds of the errors: an eigenvalue lies within `residuals[0]` of `max`, one within `residuals[1]` of `min`.
    pub residuals: [f64; 2],
}

/// Why there are no eigenvalues.
#[derive(Debug, thiserror::Error)]
pub enum SpectrumError {
    /// torch failed.
    #[error("torch: {0}")]
    Torch(#[from] TchError),
    /// The loss, its gradient or its curvature is no finite number here.
    #[error("the curvature is not finite")]
    NotFinite,
    /// The eigenvalues of the small matrix were not found; no finite matrix is known that does it.
    #[error("the eigenvalue iteration did not end")]
    NoConvergence,
    /// Told to stop.
    #[error("stopped")]
    Stopped,
}

/// The extreme eigenvalues of the symmetric matrix whose product with a vector `product` makes, from the start vector
/// `start` [n], single precision, not 0. Eigenvectors orthogonal to it are not found, so draw it at random.
///
/// # Errors
/// When a product fails, or figures are not finite.
pub fn extremes(
    start: &Tensor,
    limits: Limits,
    mut product: impl FnMut(&Tensor) -> Result<Tensor, SpectrumError>,
) -> Result<Extremes, SpectrumError> {
    let size = start.size1()?;
    let most = limits.iterations.clamp(1, usize::try_from(size).unwrap_or(1).max(1));
    // Not touched, and so not taken from memory on a CPU, before it is filled.
    let basis = Tensor::f_empty([most as i64, size], (Kind::Float, start.device()))?;
    let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
    let mut remainder = start.f_detach()?.f_to_kind(Kind::Float)?;
    let mut length = dot(&remainder, &remainder)?.sqrt();
    loop {
        if !(length > 0.0 && length.is_finite()) {
            return Err(SpectrumError::NotFinite);
        }
        let done = diagonal.len();
        let vector = basis.f_narrow(0, done as i64, 1)?.f_view([size])?;
        vector.shallow_clone().f_copy_(&remainder.f_div_scalar(length)?)?;
        remainder = product(&vector)?;
        diagonal.push(dot(&vector, &remainder)?);
        let known = basis.f_narrow(0, 0, done as i64 + 1)?;
        for _ in 0..PASSES {
            let shadow = known.f_mv(&remainder)?;
            remainder = remainder.f_sub(&known.f_transpose(0, 1)?.f_mv(&shadow)?)?;
        }
        length = dot(&remainder, &remainder)?.sqrt();
        let found = ritz(&diagonal, &beside, length, limits.tolerance)?;
        let ended = length <= NOTHING * found.max.abs().max(found.min.abs());
        if found.converged || ended || diagonal.len() == most {
            // Where nothing is left the values are exact, to rounding.
            return Ok(Extremes { converged: found.converged || ended, ..found });
        }
        beside.push(length);
    }
}

/// Inner product in double precision.
fn dot(a: &Tensor, b: &Tensor) -> Result<f64, TchError> {
    a.f_to_kind(Kind::Double)?.f_dot(&b.f_to_kind(Kind::Double)?)?.try_into()
}

/// The extreme eigenvalues of the tridiagonal matrix, and what the remainder of that length makes of their errors.
fn ritz(
    diagonal: &[f64],
    beside: &[f64],
    length: f64,
    tolerance: f64,
) -> Result<Extremes, SpectrumError> {
    let iterations = diagonal.len();
    if !diagonal.iter().chain([&length]).all(|v| v.is_finite()) {
        return Err(SpectrumError::NotFinite);
    }
    let matrix = DMatrix::from_fn(iterations, iterations, |r, c| match r.abs_diff(c) {
        0 => diagonal[r],
        1 => beside[r.min(c)],
        _ => 0.0,
    });
    let eigen = SymmetricEigen::try_new(matrix, f64::EPSILON, ROUNDS * iterations)
        .ok_or(SpectrumError::NoConvergence)?;
    let (min, max) = (eigen.eigenvalues.imin(), eigen.eigenvalues.imax());
    let values = [max, min].map(|i| eigen.eigenvalues[i]);
    let residuals = [max, min].map(|i| (length * eigen.eigenvectors[(iterations - 1, i)]).abs());
    let floor = FLOOR * values[0].abs().max(values[1].abs());
    let within = |i: usize| residuals[i] <= tolerance * values[i].abs().max(floor);
    let converged = within(0) && within(1);
    Ok(Extremes { max: values[0], min: values[1], iterations, converged, residuals })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_distr::{Distribution, StandardNormal};
    use tch::Device;

    use super::*;
    use crate::model::named_rng;

    fn start(n: usize, seed: u64) -> Tensor {
        let drawn: Vec<f32> =
            StandardNormal.sample_iter(named_rng(seed, "test", "start")).take(n).collect();
        Tensor::from_slice(&drawn)
    }

    fn diagonal(values: &[f32], limits: Limits) -> Extremes {
        let matrix = Tensor::from_slice(values);
        extremes(&start(values.len(), 1), limits, |v| Ok(&matrix * v)).unwrap()
    }

    fn near(found: f64, wanted: f64, gap: f64) -> bool {
        (found - wanted).abs() <= gap
    }

    #[test]
    fn a_known_spectrum_has_its_ends_found() {
        // Thin at both ends, dense at 0, as a network's is.
        let cubes = (0..500).map(|i| (i as f32 / 249.5 - 1.0).powi(3));
        let values: Vec<f32> = cubes.map(|t| if t < 0.0 { 3.0 * t } else { 10.0 * t }).collect();
        let found = diagonal(&values, Limits::default());
        assert!(found.converged && found.iterations < 100, "{found:?}");
        assert!(near(found.max, 10.0, 0.01) && near(found.min, -3.0, 0.003), "{found:?}");
        assert!(found.residuals[0] <= 0.01 && found.residuals[1] <= 0.003);
    }

    #[test]
    fn multiple_eigenvalues_end_the_iteration_with_their_number() {
        let values: Vec<f32> = (0..300).map(|i| [5.0, -2.0, 1.0][i % 3]).collect();
        let found = diagonal(&values, Limits { tolerance: 0.0, ..Limits::default() });
        assert_eq!(found.iterations, 3);
        assert!(found.converged && near(found.max, 5.0, 1e-5) && near(found.min, -2.0, 1e-5));
    }

    #[test]
    fn an_invariant_subspace_ends_it_well() {
        // The start lies in the space of the first two eigenvectors, so the third is not seen.
        let (matrix, start) =
            (Tensor::from_slice(&[4.0f32, 1.0, -9.0]), Tensor::from_slice(&[1.0f32, 1.0, 0.0]));
        let found = extremes(&start, Limits::default(), |v| Ok(&matrix * v)).unwrap();
        assert_eq!((found.iterations, found.converged), (2, true));
        assert!(near(found.max, 4.0, 1e-5) && near(found.min, 1.0, 1e-5), "{found:?}");
    }

    #[test]
    fn a_zero_matrix_has_eigenvalue_zero() {
        let found = diagonal(&[0.0; 7], Limits::default());
        let wanted =
            Extremes { max: 0.0, min: 0.0, iterations: 1, converged: true, residuals: [0.0; 2] };
        assert_eq!(found, wanted);
        let one = diagonal(&[-2.0], Limits::default());
        assert!(one.converged && near(one.max, -2.0, 1e-6) && near(one.min, -2.0, 1e-6));
    }

    #[test]
    fn too_few_products_are_told() {
        let values: Vec<f32> = (0..500).map(|i| i as f32).collect();
        let found = diagonal(&values, Limits { iterations: 4, tolerance: 1e-3 });
        assert_eq!((found.iterations, found.converged), (4, false));
        assert!(found.residuals[0] > 1e-3 * found.max);
        assert_eq!(diagonal(&values, Limits { iterations: 0, tolerance: 1e-3 }).iterations, 1);
    }

    #[test]
    fn errors_and_figures_that_are_none_come_back() {
        let limits = Limits::default();
        let nan = |_: &Tensor| Ok(Tensor::from_slice(&[f32::NAN, 1.0]));
        assert!(matches!(extremes(&start(2, 0), limits, nan), Err(SpectrumError::NotFinite)));
        let zero = Tensor::zeros([2], (Kind::Float, Device::Cpu));
        let same = |v: &Tensor| Ok(v.copy());
        assert!(matches!(extremes(&zero, limits, same), Err(SpectrumError::NotFinite)));
        let none = Tensor::zeros([0], (Kind::Float, Device::Cpu));
        assert!(extremes(&none, limits, same).is_err());
        let mut left = 2;
        let stops = |v: &Tensor| {
            left -= 1;
            if left > 0 { Ok(v.copy() * start(2, 3)) } else { Err(SpectrumError::Stopped) }
        };
        assert!(matches!(extremes(&start(2, 0), limits, stops), Err(SpectrumError::Stopped)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Against a dense decomposition; run to the end, the whole space is spanned.
        #[test]
        fn random_symmetric_matrices_agree_with_dense_ones(values in prop::collection::vec(-1.0..1.0f32, 144), seed: u64) {
            let square = Tensor::from_slice(&values).view([12, 12]);
            let matrix = &square + square.transpose(0, 1);
            let dense: Vec<f64> = Vec::try_from(matrix.to_kind(Kind::Double).view([-1])).unwrap();
            let wanted = DMatrix::from_row_slice(12, 12, &dense).symmetric_eigenvalues();
            let limits = Limits { iterations: 50, tolerance: 1e-5 };
            let found = extremes(&start(12, seed), limits, |v| Ok(matrix.mv(v))).unwrap();
            prop_assert!(found.iterations <= 12);
            prop_assert!(near(found.max, wanted.max(), 1e-4), "{found:?} {wanted}");
            prop_assert!(near(found.min, wanted.min(), 1e-4), "{found:?} {wanted}");
        }
    }
}
