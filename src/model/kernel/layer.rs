//! One conv with bias, what is added to it, and ReLU: what a kernel is told.

use super::frame::Frame;
use super::simd::{HALF_OUTS, OUTS, Simd};
use super::tile::BORDER;

/// How a conv is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Product by product.
    Direct,
    /// 3x3 of stride 1 by tiles of 2x2 outputs.
    Two,
    /// 3x3 of stride 1 by tiles of 4x4 outputs.
    Four,
}

impl Method {
    /// Outputs on a tile's side.
    pub(super) fn outputs(self) -> usize {
        match self {
            Self::Direct => 1,
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Inputs on a tile's side.
    #[inline(always)]
    pub(super) fn edge(self) -> usize {
        match self {
            Self::Direct => 0,
            Self::Two => 4,
            Self::Four => 6,
        }
    }
}

/// A square conv.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conv {
    pub(super) from: Frame,
    pub(super) to: Frame,
    /// Taps on a side: 1 or 3.
    pub(super) kernel: usize,
    /// 1 or 2.
    pub(super) stride: usize,
    pub(super) method: Method,
    /// Whether it is added to what lies where its output goes.
    pub(super) add: bool,
    /// Whether ReLU follows.
    pub(super) relu: bool,
}

impl Conv {
    /// Row and column of the first tap of the first output, counted from the border's corner.
    pub(super) fn origin(&self) -> usize {
        BORDER - self.kernel / 2
    }

    /// The output channels in [`groups`].
    #[inline(always)]
    pub(super) fn groups<S: Simd>(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        groups::<S>(self.to.channels)
    }

    /// The output whose sum with bias is `value`, where `there` lies.
    #[inline(always)]
    pub(super) fn finish<S: Simd>(&self, simd: S, value: S::V, there: S::V) -> S::V {
        let sum = if self.add { simd.add(value, there) } else { value };
        if self.relu { simd.relu(sum) } else { sum }
    }

    /// Output channels with those that fill the last group up.
    pub(super) fn padded_outs<S: Simd>(&self) -> usize {
        padded::<S>(self.to.channels)
    }
}

/// `outs` outputs in groups, as kernels of `S` take them: first output, size of the group (weights are filled up to it),
/// outputs of it that there are.
#[inline(always)]
pub(super) fn groups<S: Simd>(outs: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let left = outs.checked_sub(first).filter(|left| *left > 0)?;
        let size = if S::OUTS == OUTS && left > HALF_OUTS { OUTS } else { HALF_OUTS };
        let group = (first, size, left.min(size));
        first += size;
        Some(group)
    })
}

/// `outs` outputs with those that fill the last group up.
pub(super) fn padded<S: Simd>(outs: usize) -> usize {
    groups::<S>(outs).map(|(_, size, _)| size).sum()
}
