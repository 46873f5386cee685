//! 3x3 convs of stride 1 by tiles: transform the inputs, multiply and sum over input channels, transform back.
//!
//! Tiles go by `T` at a time, as many as registers hold sums for; what lies between the steps then stays in the
//! cache.

#![allow(
    clippy::needless_range_loop,
    reason = "loops over small constants, which unroll; a matrix reads best by index"
)]

use super::layer::{Conv, Method};
use super::simd::{HALF_OUTS, OUTS, Simd, Task};
use super::tile::{BORDER, Four, Tile, Two};

/// Most tiles at a time.
const TILES: usize = 3;

/// Vectors of a tile whose edge is `N`, for each of `T` tiles.
type Tiles<V, const N: usize, const T: usize> = [[[V; T]; N]; N];

/// Vectors between the steps, of the inputs and of the products.
pub(super) fn room<S: Simd>(conv: &Conv) -> [usize; 2] {
    let one = conv.method.edge().pow(2) * TILES;
    [one * conv.from.channels.div_ceil(S::DEPTH), one * OUTS]
}

/// Transformed weights of a group of `outs` output channels.
pub(super) fn group_weights<S: Simd>(conv: &Conv, outs: usize) -> usize {
    conv.method.edge().pow(2) * conv.from.channels.div_ceil(S::DEPTH) * outs
}

/// All transformed weights.
pub(super) fn weights<S: Simd>(conv: &Conv) -> usize {
    group_weights::<S>(conv, conv.padded_outs::<S>())
}

/// `conv` of `input` into `output` by the weights that [`super::filters::prepare`] packed and one bias for each channel, over memory of
/// [`room`]. An image with a sum that is not finite, before ReLU, leaves NaN in its lane of `watch`.
pub(super) fn run<S: Simd>(
    simd: S,
    conv: &Conv,
    [weights, bias]: [&[f32]; 2],
    input: &[S::V],
    output: &mut [S::V],
    between: [&mut [S::V]; 2],
    watch: &mut S::V,
) {
    let output = Output { cells: output, watch };
    let pass = Pass { conv, weights, bias, input };
    match conv.method {
        Method::Direct => {}
        Method::Two => pass.run(simd, Two, output, between),
        Method::Four => pass.run(simd, Four, output, between),
    }
}

/// Where a conv's output goes.
struct Output<'a, V> {
    cells: &'a mut [V],
    watch: &'a mut V,
}

/// One conv over one block of images.
struct Pass<'a, V> {
    conv: &'a Conv,
    weights: &'a [f32],
    bias: &'a [f32],
    input: &'a [V],
}

impl<V: Copy> Pass<'_, V> {
    fn run<S: Simd<V = V>, W: Tile<N, M>, const N: usize, const M: usize>(
        &self,
        simd: S,
        tile: W,
        mut output: Output<V>,
        [inputs, products]: [&mut [V]; 2],
    ) {
        let across = self.conv.to.width.div_ceil(M);
        let tiles = across * self.conv.to.height.div_ceil(M);
        let mut first = 0;
        while first < tiles {
            let between = [&mut *inputs, &mut *products];
            first += match tiles - first {
                1 => self.tiles::<_, _, N, M, 1>(simd, tile, first, &mut output, between),
                // Two and two are faster than three and one.
                2 | 4 => self.tiles::<_, _, N, M, 2>(simd, tile, first, &mut output, between),
                _ => self.tiles::<_, _, N, M, TILES>(simd, tile, first, &mut output, between),
            };
        }
    }

    /// `T` tiles from number `first` on; returns `T`.
    fn tiles<S: Simd<V = V>, W: Tile<N, M>, const N: usize, const M: usize, const T: usize>(
        &self,
        simd: S,
        tile: W,
        first: usize,
        output: &mut Output<V>,
        [inputs, products]: [&mut [V]; 2],
    ) -> usize {
        let across = self.conv.to.width.div_ceil(M);
        let mut corners = [[0; 2]; T];
        for (t, corner) in corners.iter_mut().enumerate() {
            *corner = [(first + t) / across * M, (first + t) % across * M];
        }
        let depth = self.conv.from.channels.div_ceil(S::DEPTH);
        let inputs = &mut as_tiles::<V, N, T>(inputs)[..depth];
        let products = as_tiles::<V, N, T>(products);
        let (conv, input) = (self.conv, self.input);
        simd.run(Inputs { tile, conv, input, corners, into: &mut *inputs });
        let mut weights = self.weights;
        for (first, size, there) in self.conv.groups::<S>() {
            let (group, rest) = weights.split_at(group_weights::<S>(self.conv, size));
            weights = rest;
            let inputs = &*inputs;
            let products = &mut products[..size];
            match size {
                OUTS => simd.run(Products::<V, N, T, OUTS> { inputs, weights: group, products }),
                _ => simd.run(Products::<V, N, T, HALF_OUTS> { inputs, weights: group, products }),
            }
            let (products, bias) = (&products[..there], &self.bias[first..first + there]);
            let Output { cells, watch } = output;
            let (output, watch) = (&mut **cells, &mut **watch);
            simd.run(Outputs { tile, conv, products, bias, first, corners, output, watch });
        }
        T
    }
}

fn as_tiles<V, const N: usize, const T: usize>(cells: &mut [V]) -> &mut [Tiles<V, N, T>] {
    cells.as_chunks_mut::<T>().0.as_chunks_mut::<N>().0.as_chunks_mut::<N>().0
}

/// Transforms `T` tiles of all input channels.
struct Inputs<'a, V, W, const N: usize, const M: usize, const T: usize> {
    tile: W,
    conv: &'a Conv,
    input: &'a [V],
    corners: [[usize; 2]; T],
    into: &'a mut [Tiles<V, N, T>],
}

impl<V: Copy, W: Tile<N, M>, const N: usize, const M: usize, const T: usize>
    Inputs<'_, V, W, N, M, T>
{
    /// Rows `A` and `B` of the transformed tile of `channel` whose first input is at (`y`, `x`).
    ///
    /// Two rows at a time, which share most of their sums, fit in the registers; a whole tile does not.
    #[inline(always)]
    fn rows<S: Simd<V = V>, const A: usize, const B: usize>(
        &self,
        simd: S,
        channel: usize,
        [y, x]: [usize; 2],
    ) -> [[V; N]; 2] {
        let mut rows = [[simd.splat(0.0); N]; 2];
        let row = self.conv.from.row();
        let first = self.conv.from.at(channel, y, x);
        let seen = &self.input[first..first + (N - 1) * row + N];
        for c in 0..N {
            let mut column = [simd.splat(0.0); N];
            for r in 0..N {
                column[r] = seen[r * row + c];
            }
            let column = self.tile.input(simd, column);
            (rows[0][c], rows[1][c]) = (column[A], column[B]);
        }
        [self.tile.input(simd, rows[0]), self.tile.input(simd, rows[1])]
    }

    /// Rows `A` and `B` of tile `t`, of all channels of place `k`.
    #[inline(always)]
    fn put<S: Simd<V = V>, const A: usize, const B: usize>(
        &self,
        simd: S,
        k: usize,
        t: usize,
        into: &mut Tiles<V, N, T>,
    ) {
        let mut rows = self.rows::<S, A, B>(simd, S::DEPTH * k, self.corners[t]);
        if S::DEPTH > 1 {
            // An odd last channel stands twice; the weights of the second are zeros.
            let last = self.conv.from.channels - 1;
            let high = self.rows::<S, A, B>(simd, (S::DEPTH * k + 1).min(last), self.corners[t]);
            for c in 0..N {
                rows[0][c] = simd.join(rows[0][c], high[0][c]);
                rows[1][c] = simd.join(rows[1][c], high[1][c]);
            }
        }
        for c in 0..N {
            into[A][c][t] = rows[0][c];
            into[B][c][t] = rows[1][c];
        }
    }
}

impl<S: Simd, W: Tile<N, M>, const N: usize, const M: usize, const T: usize> Task<S>
    for Inputs<'_, S::V, W, N, M, T>
{
    #[inline(always)]
    fn call(mut self, simd: S) {
        let into = std::mem::take(&mut self.into);
        for (k, into) in into.iter_mut().enumerate() {
            for t in 0..T {
                if N == 6 {
                    self.put::<S, 0, 5>(simd, k, t, into);
                    self.put::<S, 1, 2>(simd, k, t, into);
                    self.put::<S, 3, 4>(simd, k, t, into);
                } else {
                    self.put::<S, 0, 3>(simd, k, t, into);
                    self.put::<S, 1, 2>(simd, k, t, into);
                }
            }
        }
    }
}

/// Multiplies `T` tiles with the weights of `O` output channels and sums over input channels.
struct Products<'a, V, const N: usize, const T: usize, const O: usize> {
    inputs: &'a [Tiles<V, N, T>],
    weights: &'a [f32],
    products: &'a mut [Tiles<V, N, T>],
}

impl<S: Simd, const N: usize, const T: usize, const O: usize> Task<S>
    for Products<'_, S::V, N, T, O>
{
    #[inline(always)]
    fn call(self, simd: S) {
        let mut weights = self.weights.as_chunks::<O>().0;
        let Some((products, _)) = self.products.split_first_chunk_mut::<O>() else { return };
        for r in 0..N {
            for c in 0..N {
                let Some((now, rest)) = weights.split_at_checked(self.inputs.len()) else { return };
                weights = rest;
                let mut sums = [[simd.splat(0.0); T]; O];
                for (w, input) in now.iter().zip(self.inputs) {
                    let x = input[r][c];
                    for o in 0..O {
                        let w = simd.splat(w[o]);
                        for t in 0..T {
                            sums[o][t] = simd.product(x[t], w, sums[o][t]);
                        }
                    }
                }
                for o in 0..O {
                    products[o][r][c] = sums[o];
                }
            }
        }
    }
}

/// Transforms the products of `T` tiles back, and adds what is to be added.
struct Outputs<'a, V, W, const N: usize, const M: usize, const T: usize> {
    tile: W,
    conv: &'a Conv,
    products: &'a [Tiles<V, N, T>],
    bias: &'a [f32],
    /// The first output channel.
    first: usize,
    corners: [[usize; 2]; T],
    output: &'a mut [V],
    watch: &'a mut V,
}

impl<S: Simd, W: Tile<N, M>, const N: usize, const M: usize, const T: usize> Task<S>
    for Outputs<'_, S::V, W, N, M, T>
{
    #[inline(always)]
    fn call(self, simd: S) {
        let task = self;
        let (conv, zero) = (task.conv, simd.splat(0.0));
        let mut watch = *task.watch;
        for (o, (products, bias)) in task.products.iter().zip(task.bias).enumerate() {
            let bias = simd.splat(*bias);
            for (t, &[y, x]) in task.corners.iter().enumerate() {
                let mut columns = [[zero; M]; N];
                for c in 0..N {
                    let mut column = [zero; N];
                    for r in 0..N {
                        column[r] = products[r][c][t];
                    }
                    columns[c] = task.tile.output(simd, column);
                }
                let (rows, there) = (M.min(conv.to.height - y), M.min(conv.to.width - x));
                for r in 0..M {
                    let mut row = [zero; N];
                    for c in 0..N {
                        row[c] = columns[c][r];
                    }
                    let mut row = task.tile.output(simd, row);
                    if r >= rows {
                        continue;
                    }
                    let at = conv.to.at(task.first + o, y + r + BORDER, x + BORDER);
                    // The row is filled up to whole tiles, so that all M are there to be read.
                    let output = &mut task.output[at..at + M];
                    for c in 0..M {
                        // 0 times anything but a finite number is NaN.
                        watch = simd.mul_add(row[c], zero, watch);
                        row[c] = simd.add(row[c], bias);
                    }
                    if conv.add {
                        for c in 0..M {
                            row[c] = simd.add(row[c], output[c]);
                        }
                    }
                    if conv.relu {
                        for c in 0..M {
                            row[c] = simd.relu(row[c]);
                        }
                    }
                    for c in 0..M {
                        if c < there {
                            output[c] = row[c];
                        }
                    }
                }
            }
        }
        *task.watch = watch;
    }
}
