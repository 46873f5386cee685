//! Every kind of conv against a plain loop.

use rand::Rng;

use super::layer::{Conv, Method};
use super::*;
use crate::model::named_rng;

/// A conv with its figures, in no layout of the kernels.
struct Sample {
    conv: Conv,
    /// [out][k][k][in]
    filters: Vec<f32>,
    bias: Vec<f32>,
    /// [image][in][h][w]
    input: Vec<f32>,
    /// [image][out][h][w], to be added to
    there: Vec<f32>,
    images: usize,
}

impl Sample {
    fn draw(conv: Conv, images: usize) -> Self {
        let mut rng = named_rng(7, "kernel", "conv");
        let mut draw =
            |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
        let Conv { from, to, kernel, .. } = conv;
        Self {
            filters: draw(to.channels * kernel * kernel * from.channels),
            bias: draw(to.channels),
            input: draw(images * from.channels * from.height * from.width),
            there: draw(images * to.channels * to.height * to.width),
            conv,
            images,
        }
    }

    /// Output, and the sum of the products' sizes, by a plain loop.
    fn plain(&self) -> Vec<(f64, f64)> {
        let Conv { from, to, kernel, stride, add, relu, .. } = self.conv;
        let mut all = Vec::new();
        for index in 0..self.there.len() {
            let (x, y) = (index % to.width, index / to.width % to.height);
            let plane = index / to.width / to.height;
            let (o, image) = (plane % to.channels, plane / to.channels);
            let start = if add { self.there[index] } else { 0.0 };
            let mut sum = f64::from(start) + f64::from(self.bias[o]);
            let mut size = sum.abs();
            for tap in 0..kernel * kernel {
                let row = (y * stride + tap / kernel).checked_sub(kernel / 2);
                let column = (x * stride + tap % kernel).checked_sub(kernel / 2);
                let (Some(row), Some(column)) = (row, column) else { continue };
                if row >= from.height || column >= from.width {
                    continue;
                }
                for i in 0..from.channels {
                    let plane = image * from.channels + i;
                    let value = self.input[(plane * from.height + row) * from.width + column];
                    let w = self.filters[(o * kernel * kernel + tap) * from.channels + i];
                    sum += f64::from(value) * f64::from(w);
                    size += (f64::from(value) * f64::from(w)).abs();
                }
            }
            all.push((if relu { sum.max(0.0) } else { sum }, size));
        }
        all
    }

    fn by_kernel<S: Simd>(&self, simd: S) -> Vec<f32> {
        let Conv { from, to, .. } = self.conv;
        let index = |frame: Frame, i: usize| {
            let (x, y) = (i % frame.width, i / frame.width % frame.height);
            let plane = i / frame.width / frame.height;
            let (channel, image) = (plane % frame.channels, plane / frame.channels);
            frame.at(channel, y + BORDER, x + BORDER) * S::LANES + image
        };
        let laid = |frame: Frame, values: &[f32]| {
            let mut cells = lines::<S>(frame.cells());
            for (i, value) in values.iter().enumerate() {
                Line::numbers_mut(&mut cells)[index(frame, i)] = *value;
            }
            cells
        };
        let (input, mut output) = (laid(from, &self.input), laid(to, &self.there));
        let mut direct = vec![0.0; direct::weights::<S>(&self.conv)];
        direct::prepare::<S>(&self.conv, &self.filters, &mut direct);
        let (from, into) = (S::cells(&input), S::cells_mut(&mut output));
        if self.conv.method == Method::Direct {
            direct::run(simd, &self.conv, &direct, &self.bias, from, into);
        } else {
            let mut tiles = vec![0.0; winograd::weights::<S>(&self.conv)];
            filters::prepare(simd, &self.conv, &direct, &mut tiles);
            let [mut inputs, mut products] = winograd::room::<S>(&self.conv).map(lines::<S>);
            let between = [S::cells_mut(&mut inputs), S::cells_mut(&mut products)];
            let weights = [&tiles[..], &self.bias[..]];
            let mut watch = simd.splat(0.0);
            winograd::run(simd, &self.conv, weights, from, into, between, &mut watch);
        }
        let numbers = Line::numbers(&output);
        // The border must stay zero: the next conv reads it.
        let found: Vec<f32> = (0..self.there.len()).map(|i| numbers[index(to, i)]).collect();
        let filled = |values: &[f32]| values.iter().filter(|x| **x != 0.0).count();
        assert_eq!(filled(numbers), filled(&found));
        found
    }
}

fn check(set: Set, conv: Conv) {
    let sample = with!(set, simd => Sample::draw(conv, lanes_of(simd)));
    let found = with!(set, simd => sample.by_kernel(simd));
    // Of the largest sum of products' sizes: a tile's values are rounded as its largest is. Some units in the last
    // place, of bf16 where products are of bf16.
    let bound = match (set.is_bf16(), conv.method) {
        (true, Method::Two) => 3e-2,
        (true, Method::Four) => 1e-1,
        _ => 2e-6,
    };
    assert_eq!(sample.images * conv.to.channels * conv.to.height * conv.to.width, found.len());
    let plain = sample.plain();
    let largest = plain.iter().map(|(_, size)| *size).fold(0.0, f64::max);
    for (found, (wanted, _)) in found.iter().zip(plain) {
        let gap = (f64::from(*found) - wanted).abs() / largest;
        assert!(gap < bound, "{set:?} {conv:?}: {found} for {wanted}");
    }
}

#[test]
fn every_conv_is_that_of_a_plain_loop() {
    for set in Set::all() {
        for (height, width) in [(1, 1), (7, 8), (8, 7), (16, 5), (17, 17)] {
            for (ins, outs) in [(1, 8), (3, 5), (5, 3), (8, 16), (16, 12), (4, 1), (2, 13)] {
                let from = Frame { channels: ins, height, width };
                for (kernel, stride, method) in [
                    (3, 1, Method::Four),
                    (3, 1, Method::Two),
                    (3, 1, Method::Direct),
                    (3, 2, Method::Direct),
                    (1, 1, Method::Direct),
                    (1, 2, Method::Direct),
                ] {
                    let (h, w) = (height.div_ceil(stride), width.div_ceil(stride));
                    let to = Frame { channels: outs, height: h, width: w };
                    for (add, relu) in [(false, false), (true, true)] {
                        check(set, Conv { from, to, kernel, stride, method, add, relu });
                    }
                }
            }
        }
    }
}
