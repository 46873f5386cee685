//! What comes behind the last pixels: figures in one row, and linear layers on them.

use super::direct::interleave;
use super::frame::Frame;
use super::layer::{groups, padded};
use super::simd::{HALF_OUTS, OUTS, Simd, Task};
use super::tile::BORDER;

/// How pixels become one row of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gather {
    /// The mean of each channel.
    Mean,
    /// All of them: channel by channel, row by row.
    Flatten,
}

impl Gather {
    /// Figures that come of `frame`.
    pub(super) fn figures(self, frame: Frame) -> usize {
        match self {
            Self::Mean => frame.channels,
            Self::Flatten => frame.channels * frame.height * frame.width,
        }
    }
}

/// Gathers `input`, which lies as `frame` says, into `output`.
pub(super) struct Gathered<'a, V> {
    pub(super) gather: Gather,
    pub(super) frame: Frame,
    pub(super) input: &'a [V],
    pub(super) output: &'a mut [V],
}

impl<S: Simd> Task<S> for Gathered<'_, S::V> {
    #[inline(always)]
    fn call(self, simd: S) {
        let Self { gather, frame, input, output } = self;
        let Frame { channels, height, width } = frame;
        let rows = |channel: usize| {
            (0..height).map(move |y| {
                let at = frame.at(channel, y + BORDER, BORDER);
                &input[at..at + width]
            })
        };
        match gather {
            Gather::Mean => {
                let share = simd.splat(1.0 / (height * width) as f32);
                for (channel, mean) in output.iter_mut().enumerate().take(channels) {
                    let mut sum = simd.splat(0.0);
                    for row in rows(channel) {
                        let mut of_row = simd.splat(0.0);
                        for value in row {
                            of_row = simd.add(of_row, *value);
                        }
                        sum = simd.add(sum, of_row);
                    }
                    *mean = simd.mul(sum, share);
                }
            }
            Gather::Flatten => {
                let pixels = (0..channels).flat_map(rows);
                for (to, row) in output.chunks_exact_mut(width).zip(pixels) {
                    to.copy_from_slice(row);
                }
            }
        }
    }
}

/// A linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Linear {
    pub(super) ins: usize,
    pub(super) outs: usize,
    /// Whether ReLU follows.
    pub(super) relu: bool,
}

impl Linear {
    /// Packed weights.
    pub(super) fn weights<S: Simd>(&self) -> usize {
        padded::<S>(self.outs) * self.ins
    }

    /// Packs weights [out][in] as [group][in][out of the group].
    pub(super) fn prepare<S: Simd>(&self, weights: &[f32], mut packed: &mut [f32]) {
        for (first, size, there) in groups::<S>(self.outs) {
            let (group, rest) = packed.split_at_mut(size * self.ins);
            packed = rest;
            let rows = &weights[first * self.ins..(first + there) * self.ins];
            match size {
                OUTS => interleave::<OUTS>(rows, self.ins, group),
                _ => interleave::<HALF_OUTS>(rows, self.ins, group),
            }
        }
    }

    /// The layer of `input` [ins] into `output` [outs] by the weights that [`Linear::prepare`] packed and `bias` [outs].
    pub(super) fn run<S: Simd>(
        &self,
        simd: S,
        [mut weights, bias]: [&[f32]; 2],
        input: &[S::V],
        output: &mut [S::V],
    ) {
        for (first, size, there) in groups::<S>(self.outs) {
            let (group, rest) = weights.split_at(size * self.ins);
            weights = rest;
            let range = first..first + there;
            let (bias, output) = (&bias[range.clone()], &mut output[range]);
            let (weights, relu) = (group, self.relu);
            match size {
                OUTS => simd.run(Rows::<S::V, OUTS> { weights, bias, input, output, relu }),
                _ => simd.run(Rows::<S::V, HALF_OUTS> { weights, bias, input, output, relu }),
            }
        }
    }
}

/// Up to `O` outputs of a linear layer.
struct Rows<'a, V, const O: usize> {
    weights: &'a [f32],
    bias: &'a [f32],
    input: &'a [V],
    output: &'a mut [V],
    relu: bool,
}

impl<S: Simd, const O: usize> Task<S> for Rows<'_, S::V, O> {
    #[inline(always)]
    fn call(self, simd: S) {
        let mut sums = [simd.splat(0.0); O];
        for (sum, bias) in sums.iter_mut().zip(self.bias) {
            *sum = simd.splat(*bias);
        }
        for (weights, x) in self.weights.as_chunks::<O>().0.iter().zip(self.input) {
            for (sum, w) in sums.iter_mut().zip(weights) {
                *sum = simd.mul_add(*x, simd.splat(*w), *sum);
            }
        }
        for (output, sum) in self.output.iter_mut().zip(sums) {
            *output = if self.relu { simd.relu(sum) } else { sum };
        }
    }
}
