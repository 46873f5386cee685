//! The largest of each 2x2 pixels.

use super::frame::Frame;
use super::simd::{Simd, Task};
use super::tile::BORDER;

/// Halves both sides of `from`; an odd last row or column is left out.
pub(super) fn halved(from: Frame) -> Frame {
    Frame { height: from.height / 2, width: from.width / 2, ..from }
}

/// Pools `input`, which lies as `from` says, into `output`, which lies as [`halved`] says.
pub(super) struct Pool<'a, V> {
    pub(super) from: Frame,
    pub(super) input: &'a [V],
    pub(super) output: &'a mut [V],
}

impl<S: Simd> Task<S> for Pool<'_, S::V> {
    #[inline(always)]
    fn call(self, simd: S) {
        let Self { from, input, output } = self;
        let to = halved(from);
        for y in 0..to.height {
            for channel in 0..to.channels {
                let [upper, lower] = [0, 1].map(|row| {
                    let at = from.at(channel, 2 * y + row + BORDER, BORDER);
                    &input[at..at + 2 * to.width]
                });
                let at = to.at(channel, y + BORDER, BORDER);
                let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
                for (largest, (upper, lower)) in output[at..at + to.width].iter_mut().zip(pairs) {
                    let [upper, lower] = [upper, lower].map(|pair| simd.larger(pair[0], pair[1]));
                    *largest = simd.larger(upper, lower);
                }
            }
        }
    }
}
