//! The mean over each channel and the linear layer on it.

use super::frame::Frame;
use super::simd::{Simd, Task};
use super::tile::BORDER;

/// Means of the channels of `input`, and from them the logits.
pub(super) struct Head<'a, V> {
    pub(super) frame: Frame,
    pub(super) input: &'a [V],
    /// [classes][channels].
    pub(super) weights: &'a [f32],
    /// [classes].
    pub(super) bias: &'a [f32],
    /// [channels].
    pub(super) means: &'a mut [V],
    /// [classes].
    pub(super) logits: &'a mut [V],
}

impl<S: Simd> Task<S> for Head<'_, S::V> {
    #[inline(always)]
    fn call(self, simd: S) {
        let Frame { channels, height, width } = self.frame;
        let share = simd.splat(1.0 / (height * width) as f32);
        for (channel, mean) in self.means.iter_mut().enumerate() {
            let mut sum = simd.splat(0.0);
            for y in 0..height {
                let at = self.frame.at(channel, y + BORDER, BORDER);
                let mut row = simd.splat(0.0);
                for value in &self.input[at..at + width] {
                    row = simd.add(row, *value);
                }
                sum = simd.add(sum, row);
            }
            *mean = simd.mul(sum, share);
        }
        let rows = self.weights.chunks_exact(channels);
        for ((logit, weights), bias) in self.logits.iter_mut().zip(rows).zip(self.bias) {
            let mut sum = simd.splat(*bias);
            for (mean, w) in self.means.iter().zip(weights) {
                sum = simd.mul_add(*mean, simd.splat(*w), sum);
            }
            *logit = sum;
        }
    }
}
