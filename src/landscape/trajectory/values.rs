//! A snapshot's parameters as they are kept: the difference from the first snapshot, in half or single precision.

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::config::SnapshotPrecision;

/// Numbers that are widened at a time: they stay in the first cache.
const BLOCK: usize = 1024;
/// Sums that are added up side by side.
const LANES: usize = 16;

/// A difference of flat parameter vectors.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// None: the first snapshot's own.
    Zero,
    /// In half precision: 11 bits of each difference, next to nothing in a sum over all.
    Half(Vec<f16>),
    /// In single precision.
    Single(Vec<f32>),
}

impl Values {
    /// `theta` - `first`.
    pub fn difference(theta: &[f32], first: &[f32], precision: SnapshotPrecision) -> Self {
        let difference: Vec<f32> = theta.iter().zip(first).map(|(t, f)| t - f).collect();
        if precision == SnapshotPrecision::F16 {
            let mut half = vec![f16::ZERO; difference.len()];
            half.convert_from_f32_slice(&difference);
            // Beyond 65504 there is no half precision.
            if half.iter().all(|v| v.is_finite()) {
                return Self::Half(half);
            }
        }
        Self::Single(difference)
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Zero => 0,
            Self::Half(v) => 2 * v.len() as u64,
            Self::Single(v) => 4 * v.len() as u64,
        }
    }

    /// Hands over the numbers block by block: the index of the first, and the block.
    fn each_block(&self, mut take: impl FnMut(usize, &[f32])) {
        match self {
            Self::Zero => {}
            Self::Single(v) => {
                v.chunks(BLOCK).enumerate().for_each(|(i, block)| take(i * BLOCK, block));
            }
            Self::Half(v) => {
                let mut wide = [0.0f32; BLOCK];
                for (i, block) in v.chunks(BLOCK).enumerate() {
                    let wide = &mut wide[..block.len()];
                    block.convert_to_f32_slice(wide);
                    take(i * BLOCK, wide);
                }
            }
        }
    }

    /// The numbers in single precision, added to `onto` times `by`.
    pub fn add_to(&self, onto: &mut [f32], by: f32) {
        self.each_block(|at, block| {
            let onto = onto.get_mut(at..).unwrap_or_default();
            onto.iter_mut().zip(block).for_each(|(o, v)| *o += by * v);
        });
    }

    /// As [`Values::add_to`] for two sums in one pass.
    pub fn add_to_both(&self, onto: [&mut [f32]; 2], by: [f32; 2]) {
        let [a, b] = onto;
        self.each_block(|at, block| {
            let (a, b) = (a.get_mut(at..).unwrap_or_default(), b.get_mut(at..).unwrap_or_default());
            for ((a, b), v) in a.iter_mut().zip(b).zip(block) {
                *a += by[0] * v;
                *b += by[1] * v;
            }
        });
    }

    /// Inner product with `other`: each block in single precision in fixed lanes, the blocks in double precision. The
    /// same bits on every machine.
    pub fn dot(&self, other: &[f32]) -> f64 {
        let mut sum = 0.0;
        self.each_block(|at, block| sum += block_dot(block, other.get(at..).unwrap_or_default()));
        sum
    }
}

/// Inner product of two flat vectors, as [`Values::dot`].
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.chunks(BLOCK).zip(b.chunks(BLOCK)).map(|(a, b)| block_dot(a, b)).sum()
}

fn block_dot(a: &[f32], b: &[f32]) -> f64 {
    let mut lanes = [0.0f32; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        a.iter().zip(b).zip(&mut lanes).for_each(|((a, b), lane)| *lane += a * b);
    }
    lanes.iter().map(|v| f64::from(*v)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(n: usize, seed: f32) -> Vec<f32> {
        (0..n).map(|i| ((i as f32 + seed) * 0.37).sin()).collect()
    }

    #[test]
    fn products_and_sums_are_those_of_the_numbers() {
        let (first, theta, other) = (vector(3000, 0.0), vector(3000, 5.0), vector(3000, 9.0));
        let exact: Vec<f64> =
            theta.iter().zip(&first).map(|(t, f)| f64::from(*t) - f64::from(*f)).collect();
        let wanted: f64 = exact.iter().zip(&other).map(|(a, b)| a * f64::from(*b)).sum();
        let scale: f64 = exact.iter().map(|v| v * v).sum();
        for (precision, within) in [(SnapshotPrecision::F32, 1e-6), (SnapshotPrecision::F16, 1e-4)]
        {
            let kept = Values::difference(&theta, &first, precision);
            assert!((kept.dot(&other) - wanted).abs() < within * scale, "{precision:?}");
            let (mut a, mut b) = (vec![1.0f32; 3000], vec![0.0f32; 3000]);
            kept.add_to_both([&mut a, &mut b], [2.0, -1.0]);
            let mut c = vec![1.0f32; 3000];
            kept.add_to(&mut c, 2.0);
            assert_eq!(a, c);
            let off = |i: usize| (f64::from(b[i]) + exact[i]).abs() > 1e-3 * exact[i].abs() + 1e-6;
            assert!(!(0..3000).any(off), "{precision:?}");
        }
        assert_eq!(Values::Zero.dot(&other), 0.0);
        assert!((dot(&theta, &other) - Values::Single(theta.clone()).dot(&other)).abs() == 0.0);
    }

    #[test]
    fn what_half_precision_cannot_hold_is_kept_in_single() {
        let far = Values::difference(&[1e6, 1.0], &[0.0, 0.0], SnapshotPrecision::F16);
        assert_eq!(far, Values::Single(vec![1e6, 1.0]));
    }

    #[test]
    fn half_precision_halves_the_memory() {
        let v = vector(100, 0.0);
        let bytes = |p| Values::difference(&v, &v, p).bytes();
        assert_eq!((bytes(SnapshotPrecision::F16), bytes(SnapshotPrecision::F32)), (200, 400));
    }
}
