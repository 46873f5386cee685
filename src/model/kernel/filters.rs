//! The filters of convs by tiles, transformed once for each point.

#![allow(
    clippy::needless_range_loop,
    reason = "loops over small constants, which unroll; a matrix reads best by index"
)]

use super::layer::{Conv, Method};
use super::simd::{Line, Simd, Task};
use super::tile::{Four, Tile, Two};
use super::winograd::group_weights;

/// Transforms filters of `conv` as [`super::direct::prepare`] packs them into [group][N][N][in / depth][out of the
/// group].
pub(super) fn prepare<S: Simd>(simd: S, conv: &Conv, filters: &[f32], packed: &mut [f32]) {
    match conv.method {
        Method::Direct => {}
        Method::Two => prepare_as(simd, Two, conv, filters, packed),
        Method::Four => prepare_as(simd, Four, conv, filters, packed),
    }
}

fn prepare_as<S: Simd, W: Tile<N, M>, const N: usize, const M: usize>(
    simd: S,
    tile: W,
    conv: &Conv,
    mut filters: &[f32],
    mut packed: &mut [f32],
) {
    let ins = conv.from.channels;
    for (_, outs, _) in conv.groups::<S>() {
        let (to, rest) = packed.split_at_mut(group_weights::<S>(conv, outs));
        packed = rest;
        let (from, rest) = filters.split_at(9 * ins * outs);
        filters = rest;
        simd.run(Filters::<W, N, M> { tile, ins, outs, filters: from, packed: to });
    }
}

/// Transforms one group's filters [3][3][in][out of the group].
struct Filters<'a, W, const N: usize, const M: usize> {
    tile: W,
    ins: usize,
    outs: usize,
    filters: &'a [f32],
    packed: &'a mut [f32],
}

impl<W: Tile<N, M>, const N: usize, const M: usize> Filters<'_, W, N, M> {
    /// `lanes` numbers of tap `tap` from number `first` of [in / depth][out] on, of each place's channel `part`; 0 where
    /// there is no such channel.
    #[inline(always)]
    fn taps<S: Simd>(&self, simd: S, tap: usize, first: usize, lanes: usize, part: usize) -> S::V {
        let tap = &self.filters[tap * self.ins * self.outs..][..self.ins * self.outs];
        if S::DEPTH == 1 {
            return simd.load(&tap[first..first + lanes]);
        }
        let mut numbers = [0.0; Line::LEN];
        let place = first / self.outs;
        let channels = tap.chunks_exact(self.outs).skip(S::DEPTH * place + part);
        let places = numbers[..lanes].chunks_exact_mut(self.outs);
        for (to, from) in places.zip(channels.step_by(S::DEPTH)) {
            to.copy_from_slice(from);
        }
        simd.load(&numbers)
    }
}

impl<S: Simd, W: Tile<N, M>, const N: usize, const M: usize> Task<S> for Filters<'_, W, N, M> {
    #[inline(always)]
    fn call(self, simd: S) {
        let zero = simd.splat(0.0);
        let position = self.ins.div_ceil(S::DEPTH) * self.outs;
        for first in (0..position).step_by(S::LANES) {
            let lanes = S::LANES.min(position - first);
            let mut both = [[[zero; N]; N]; 2];
            for part in 0..S::DEPTH {
                let mut rows = [[zero; 3]; N];
                for c in 0..3 {
                    let mut taps = [zero; 3];
                    for r in 0..3 {
                        taps[r] = self.taps(simd, 3 * r + c, first, lanes, part);
                    }
                    let column = self.tile.filter(simd, taps);
                    for r in 0..N {
                        rows[r][c] = column[r];
                    }
                }
                for r in 0..N {
                    both[part][r] = self.tile.filter(simd, rows[r]);
                }
            }
            let [low, high] = both;
            for r in 0..N {
                for c in 0..N {
                    let at = (r * N + c) * position + first;
                    simd.store(simd.join(low[r][c], high[r][c]), &mut self.packed[at..at + lanes]);
                }
            }
        }
    }
}
