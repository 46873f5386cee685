//! A snapshot's parameters as they are kept: the difference from the first snapshot, in half or single precision.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::blocks;
use crate::config::SnapshotPrecision;

/// Numbers that are widened at a time: they stay in the first cache.
const BLOCK: usize = 1024;
/// Most that half precision may be off, as a share of the whole: its 11 bits make 0.0003.
const HALF: f64 = 1e-3;

/// A difference of flat parameter vectors.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// None: the first snapshot's own.
    Zero,
    /// In half precision: 11 bits of each difference, where the whole is not off by more than a thousandth.
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
            // Beyond 65504 there is no half precision, and below 6e-5 it loses bits: of a path that hardly moved, most.
            if half.iter().all(|v| v.is_finite()) && is_near(&half, &difference) {
                return Self::Half(half);
            }
        }
        Self::Single(difference)
    }

    /// Whether all numbers are finite.
    pub fn are_finite(&self) -> bool {
        match self {
            Self::Zero => true,
            Self::Half(v) => v.iter().all(|v| v.is_finite()),
            Self::Single(v) => v.iter().all(|v| v.is_finite()),
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Zero => 0,
            Self::Half(v) => 2 * v.len() as u64,
            Self::Single(v) => 4 * v.len() as u64,
        }
    }

    /// Block `index` of the numbers in single precision, widened into `wide` where need be; empty behind the last one.
    fn block<'a>(&'a self, index: usize, wide: &'a mut [f32; BLOCK]) -> &'a [f32] {
        match self {
            Self::Zero => &[],
            Self::Single(v) => v.chunks(BLOCK).nth(index).unwrap_or_default(),
            Self::Half(v) => {
                let block = v.chunks(BLOCK).nth(index).unwrap_or_default();
                let wide = &mut wide[..block.len()];
                blocks::widen(block, wide);
                wide
            }
        }
    }

    /// The numbers in single precision, added to `onto` times `by`.
    pub fn add_to(&self, onto: &mut [f32], by: f32) {
        let mut wide = [0.0; BLOCK];
        for (index, onto) in onto.chunks_mut(BLOCK).enumerate() {
            let block = self.block(index, &mut wide);
            blocks::add(block, by, onto);
        }
    }

    /// Inner product with `other`: each block in single precision in fixed lanes, the blocks in double precision. The
    /// same bits on every machine.
    pub fn dot(&self, other: &[f32]) -> f64 {
        dots(&[self], other)[0]
    }
}

/// Whether `half` is within [`HALF`] of `exact`, both as long as all their numbers together.
fn is_near(half: &[f16], exact: &[f32]) -> bool {
    let mut wide = [0.0; BLOCK];
    let (mut off, mut length) = (0.0, 0.0);
    for (half, exact) in half.chunks(BLOCK).zip(exact.chunks(BLOCK)) {
        let wide = &mut wide[..half.len()];
        blocks::widen(half, wide);
        wide.iter_mut().zip(exact).for_each(|(w, e)| *w -= e);
        off += blocks::dot(wide, wide);
        length += blocks::dot(exact, exact);
    }
    off <= HALF * HALF * length
}

/// Adds rows, each times its two factors, to two sums: as [`Values::add_to`] row by row, to the bit, but block by block, so
/// that the sums stay in the first cache while the rows go by.
pub fn add_rows(rows: &[(&Values, [f32; 2])], onto: [&mut [f32]; 2]) {
    let [x, y] = onto;
    let mut wide = [0.0; BLOCK];
    for (index, (x, y)) in x.chunks_mut(BLOCK).zip(y.chunks_mut(BLOCK)).enumerate() {
        for (row, [by_x, by_y]) in rows {
            let block = row.block(index, &mut wide);
            blocks::add(block, *by_x, x);
            blocks::add(block, *by_y, y);
        }
    }
}

/// Inner products of rows with `other`, each as [`Values::dot`], in one pass over `other`.
pub fn dots(rows: &[&Values], other: &[f32]) -> Vec<f64> {
    let mut sums = vec![0.0; rows.len()];
    let mut wide = [0.0; BLOCK];
    for (index, other) in other.chunks(BLOCK).enumerate() {
        for (row, sum) in rows.iter().zip(&mut sums) {
            *sum += blocks::dot(row.block(index, &mut wide), other);
        }
    }
    sums
}

/// Inner product of two flat vectors, as [`Values::dot`].
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.chunks(BLOCK).zip(b.chunks(BLOCK)).map(|(a, b)| blocks::dot(a, b)).sum()
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
            add_rows(&[(&kept, [2.0, -1.0])], [&mut a, &mut b]);
            let off = |i: usize| (f64::from(b[i]) + exact[i]).abs() > 1e-3 * exact[i].abs() + 1e-6;
            assert!(!(0..3000).any(off), "{precision:?}");
        }
        assert_eq!(Values::Zero.dot(&other), 0.0);
        assert!((dot(&theta, &other) - Values::Single(theta.clone()).dot(&other)).abs() == 0.0);
    }

    #[test]
    fn rows_at_once_are_to_the_bit_rows_in_turn() {
        let (first, other) = (vector(2500, 0.0), vector(2500, 9.0));
        let moved =
            |seed: f32, precision| Values::difference(&vector(2500, seed), &first, precision);
        let rows = [
            Values::Zero,
            moved(1.0, SnapshotPrecision::F16),
            moved(2.0, SnapshotPrecision::F32),
            moved(3.0, SnapshotPrecision::F16),
        ];
        let found = dots(&rows.iter().collect::<Vec<_>>(), &other);
        let wanted: Vec<f64> = rows.iter().map(|row| row.dot(&other)).collect();
        assert_eq!(found, wanted);
        assert!(found[1..].iter().all(|dot| *dot != 0.0));
        let factors = [[1.0, -2.0], [0.3, 0.7], [-0.1, 5.0], [1e-3, 0.0]];
        let (mut x, mut y) = (vec![0.5f32; 2500], vec![0.0f32; 2500]);
        let (mut in_turn_x, mut in_turn_y) = (x.clone(), y.clone());
        add_rows(&rows.iter().zip(factors).collect::<Vec<_>>(), [&mut x, &mut y]);
        for (row, [by_x, by_y]) in rows.iter().zip(factors) {
            row.add_to(&mut in_turn_x, by_x);
            row.add_to(&mut in_turn_y, by_y);
        }
        assert_eq!((x, y), (in_turn_x, in_turn_y));
    }

    #[test]
    fn a_path_that_hardly_moved_is_kept_in_single() {
        let first = vec![0.0f32; 3000];
        let moved = |by: f32| -> Vec<f32> { vector(3000, 1.0).iter().map(|v| by * v).collect() };
        let kept = |by: f32| Values::difference(&moved(by), &first, SnapshotPrecision::F16);
        assert!(matches!(kept(1e-2), Values::Half(_)));
        assert!(matches!(kept(1e-3), Values::Half(_)));
        assert_eq!(kept(1e-6), Values::Single(moved(1e-6)));
        assert!(matches!(kept(0.0), Values::Half(_)), "no motion is exact");
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
