//! Convs product by product: of any stride, of one tap, and where tiles would overflow.

#![allow(
    clippy::needless_range_loop,
    reason = "loops over small constants, which unroll; a matrix reads best by index"
)]

use super::layer::Conv;
use super::simd::{HALF_OUTS, OUTS, Simd, Task};
use super::tile::BORDER;

/// Outputs of a row whose sums are held in registers at once.
const ACROSS: usize = 3;

/// Packed weights of a group of `outs` output channels.
fn group_weights(conv: &Conv, outs: usize) -> usize {
    conv.kernel.pow(2) * conv.from.channels * outs
}

/// All packed weights.
pub(super) fn weights<S: Simd>(conv: &Conv) -> usize {
    group_weights(conv, conv.padded_outs::<S>())
}

/// Packs the filters of `conv` [out][k][k][in] as [group][k][k][in][out of the group].
pub(super) fn prepare<S: Simd>(conv: &Conv, filters: &[f32], mut packed: &mut [f32]) {
    let one = conv.kernel.pow(2) * conv.from.channels;
    for (first, size, there) in conv.groups::<S>() {
        let (group, rest) = packed.split_at_mut(group_weights(conv, size));
        packed = rest;
        let filters = &filters[first * one..(first + there) * one];
        match size {
            OUTS => interleave::<OUTS>(filters, one, group),
            _ => interleave::<HALF_OUTS>(filters, one, group),
        }
    }
}

/// Filters of `one` number each, up to `O` of them, side by side number by number. A group that is not whole is filled
/// up with its first filter, whose outputs nobody takes.
pub(super) fn interleave<const O: usize>(filters: &[f32], one: usize, packed: &mut [f32]) {
    let mut rows = [&filters[..one]; O];
    for (row, filter) in rows.iter_mut().zip(filters.chunks_exact(one)) {
        *row = filter;
    }
    for (i, to) in packed.as_chunks_mut::<O>().0.iter_mut().enumerate().take(one) {
        for o in 0..O {
            to[o] = rows[o][i];
        }
    }
}

/// `conv` of `input` into `output` by the weights that [`prepare`] packed and one bias for each channel.
pub(super) fn run<S: Simd>(
    simd: S,
    conv: &Conv,
    mut weights: &[f32],
    bias: &[f32],
    input: &[S::V],
    output: &mut [S::V],
) {
    for (first, size, there) in conv.groups::<S>() {
        let (group, rest) = weights.split_at(group_weights(conv, size));
        weights = rest;
        let bias = &bias[first..first + there];
        let group = Group { conv, weights: group, bias, first, input };
        match size {
            OUTS => group.run::<S, OUTS>(simd, output),
            _ => group.run::<S, HALF_OUTS>(simd, output),
        }
    }
}

/// One group of output channels of one block of images.
#[derive(Clone, Copy)]
struct Group<'a, V> {
    conv: &'a Conv,
    weights: &'a [f32],
    bias: &'a [f32],
    /// The first output channel.
    first: usize,
    input: &'a [V],
}

impl<V: Copy> Group<'_, V> {
    fn run<S: Simd<V = V>, const O: usize>(self, simd: S, output: &mut [V]) {
        match (self.conv.kernel, self.conv.stride) {
            (1, 1) => simd.run(Outputs::<V, 1, 1, 3, O> { group: self, output }),
            (1, _) => simd.run(Outputs::<V, 1, 2, 5, O> { group: self, output }),
            (_, 1) => simd.run(Outputs::<V, 3, 1, 3, O> { group: self, output }),
            _ => simd.run(Outputs::<V, 3, 2, 5, O> { group: self, output }),
        }
    }
}

/// All outputs of a group; `WHOLE` is what one tap of [`ACROSS`] outputs sees.
struct Outputs<'a, V, const K: usize, const STRIDE: usize, const WHOLE: usize, const O: usize> {
    group: Group<'a, V>,
    output: &'a mut [V],
}

impl<S: Simd, const K: usize, const STRIDE: usize, const WHOLE: usize, const O: usize> Task<S>
    for Outputs<'_, S::V, K, STRIDE, WHOLE, O>
{
    #[inline(always)]
    fn call(mut self, simd: S) {
        let to = self.group.conv.to;
        for y in 0..to.height {
            let mut x = 0;
            while x + ACROSS <= to.width {
                self.some::<S, ACROSS, WHOLE>(simd, y, x);
                x += ACROSS;
            }
            while x < to.width {
                self.some::<S, 1, 1>(simd, y, x);
                x += 1;
            }
        }
    }
}

impl<V: Copy, const K: usize, const STRIDE: usize, const WHOLE: usize, const O: usize>
    Outputs<'_, V, K, STRIDE, WHOLE, O>
{
    /// `T` outputs of row `y` from `x` on; one tap of them sees `SEEN` inputs, from the first to the last.
    #[inline(always)]
    fn some<S: Simd<V = V>, const T: usize, const SEEN: usize>(
        &mut self,
        simd: S,
        y: usize,
        x: usize,
    ) {
        let Group { conv, weights, bias, first, input } = self.group;
        let mut sums = [[simd.splat(0.0); T]; O];
        let taps = weights.as_chunks::<O>().0.chunks_exact(conv.from.channels);
        for (tap, weights) in taps.enumerate() {
            let (row, column) = (tap / K + y * STRIDE, tap % K + x * STRIDE);
            let at = conv.from.at(0, row + conv.origin(), column + conv.origin());
            let channels = input[at..].chunks(conv.from.pitch());
            for (weights, seen) in weights.iter().zip(channels) {
                let seen = &seen[..SEEN];
                for o in 0..O {
                    let w = simd.splat(weights[o]);
                    for t in 0..T {
                        sums[o][t] = simd.mul_add(seen[t * STRIDE], w, sums[o][t]);
                    }
                }
            }
        }
        for o in 0..O {
            if let Some(bias) = bias.get(o) {
                let bias = simd.splat(*bias);
                let at = conv.to.at(first + o, y + BORDER, x + BORDER);
                let output = &mut self.output[at..at + T];
                for t in 0..T {
                    output[t] = conv.finish(simd, simd.add(sums[o][t], bias), output[t]);
                }
            }
        }
    }
}
