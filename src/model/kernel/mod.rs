//! The folded network on the CPU without libtorch: for surfaces, thousands of weight vectors over the same images.
//!
//! A vector register holds one figure for as many images as it has lanes, so that any channel count fits without waste
//! and weights are scalars. 3x3 convs go by Winograd's tiles; bias, shortcut and ReLU are part of the last transform.
//! A block of images goes through all layers by itself; a point's loss is the sum over blocks, in order, and does not
//! depend on how blocks are spread over threads.
//!
//! Tiles add and subtract values before and after they multiply, so that they overflow before a plain conv does. A block
//! in which that happens is computed again product by product: what is finite there is finite here.

#[cfg(test)]
mod conv_tests;
mod direct;
mod filters;
mod frame;
mod head;
mod layer;
mod program;
mod set;
mod simd;
#[cfg(test)]
mod tests;
mod tile;
mod winograd;

use super::fold::Tally;
use super::plan::Plan;
use crate::config::Precision;
use frame::Frame;
use head::Head;
use layer::Method;
use program::Program;
use set::{Set, with};
use simd::{Line, Simd};
use tile::BORDER;

fn lanes_of<S: Simd>(_: S) -> usize {
    S::LANES
}

/// Lines that hold `cells` vectors.
fn lines<S: Simd>(cells: usize) -> Vec<Line> {
    vec![Line::ZERO; (cells * S::LANES).div_ceil(Line::LEN)]
}

/// A network for images of one size, ready to take weights.
#[derive(Clone, Debug)]
pub struct Kernel {
    set: Set,
    program: Program,
}

/// The weights of one point, transformed and packed by [`Kernel::prepare`].
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    direct: Vec<f32>,
    tiles: Vec<f32>,
    /// Of all convs.
    bias: Vec<f32>,
    head: Vec<f32>,
    head_bias: Vec<f32>,
}

/// Up to [`Kernel::lanes`] images with their labels, packed by [`Kernel::pack`].
#[derive(Clone, Debug)]
pub struct Block {
    cells: Vec<Line>,
    labels: Vec<usize>,
}

impl Block {
    /// Images in it.
    pub fn images(&self) -> usize {
        self.labels.len()
    }
}

/// What one thread works in.
#[derive(Clone, Debug)]
pub struct Scratch {
    frames: Vec<Vec<Line>>,
    between: [Vec<Line>; 2],
    means: Vec<Line>,
    logits: Vec<Line>,
    watch: Line,
}

impl Kernel {
    /// The kernel of `plan` for images of `height` x `width`; none if the processor has no instruction set for it or a
    /// layer is not known: the caller then takes [`super::Folded`].
    pub fn new(plan: &Plan, height: i64, width: i64, precision: Precision) -> Option<Self> {
        Self::on(Set::detect(precision)?, plan, height, width, None)
    }

    fn on(set: Set, plan: &Plan, height: i64, width: i64, only: Option<Method>) -> Option<Self> {
        fn program<S: Simd>(
            _: S,
            plan: &Plan,
            h: i64,
            w: i64,
            only: Option<Method>,
        ) -> Option<Program> {
            Program::new::<S>(plan, h, w, only)
        }
        let program = with!(set, simd => program(simd, plan, height, width, only))?;
        Some(Self { set, program })
    }

    /// Images in a whole block.
    pub fn lanes(&self) -> usize {
        with!(self.set, simd => lanes_of(simd))
    }

    /// Memory for one thread.
    pub fn scratch(&self) -> Scratch {
        fn make<S: Simd>(_: S, program: &Program) -> Scratch {
            let last = program.frames[program.head.from];
            Scratch {
                frames: program.frames.iter().map(|f| lines::<S>(f.cells())).collect(),
                between: program.room.map(lines::<S>),
                means: lines::<S>(last.channels),
                logits: lines::<S>(program.classes),
                watch: Line::ZERO,
            }
        }
        with!(self.set, simd => make(simd, &self.program))
    }

    /// Packs `images` [n, channels, h, w], normalised, and their `labels` [n]; none if the lengths do not fit or a
    /// label is not a class.
    pub fn pack(&self, images: &[f32], labels: &[i64]) -> Option<Vec<Block>> {
        let Frame { channels, height, width } = self.program.images;
        let one = channels * height * width;
        let classes = 0..self.program.classes;
        let label = |l: &i64| usize::try_from(*l).ok().filter(|l| classes.contains(l));
        let labels: Vec<usize> = labels.iter().map(label).collect::<Option<_>>()?;
        if labels.len() * one != images.len() {
            return None;
        }
        let lanes = self.lanes();
        let blocks = images.chunks(one * lanes).zip(labels.chunks(lanes));
        Some(blocks.map(|(images, labels)| self.block(images, labels)).collect())
    }

    fn block(&self, images: &[f32], labels: &[usize]) -> Block {
        let (frame, lanes) = (self.program.images, self.lanes());
        let mut cells = with!(self.set, simd => {
            fn make<S: Simd>(_: S, cells: usize) -> Vec<Line> {
                lines::<S>(cells)
            }
            make(simd, frame.cells())
        });
        let numbers = Line::numbers_mut(&mut cells);
        let rows = images.chunks_exact(frame.width).enumerate();
        for (index, row) in rows {
            let (y, plane) = (index % frame.height, index / frame.height);
            let (channel, image) = (plane % frame.channels, plane / frame.channels);
            let at = frame.at(channel, y + BORDER, BORDER);
            for (x, value) in row.iter().enumerate() {
                numbers[(at + x) * lanes + image] = *value;
            }
        }
        Block { cells, labels: labels.to_vec() }
    }

    /// Transforms and packs the weights of one point. `folded` is the flat vector of [`super::Folded`]; false if its
    /// length is another, and `into` is then as it was.
    pub fn prepare(&self, folded: &[f32], into: &mut Prepared) -> bool {
        fn prepare<S: Simd>(simd: S, program: &Program, folded: &[f32], into: &mut Prepared) {
            for step in &program.steps {
                let filters = &folded[step.filters.clone()];
                let direct = &mut into.direct[step.direct.clone()];
                direct::prepare::<S>(&step.conv, filters, direct);
                let tiles = &mut into.tiles[step.tiles.clone()];
                filters::prepare(simd, &step.conv, direct, tiles);
                into.bias[step.bias.clone()].copy_from_slice(&folded[step.folded_bias.clone()]);
            }
            into.head.copy_from_slice(&folded[program.head.weights.clone()]);
            into.head_bias.copy_from_slice(&folded[program.head.bias.clone()]);
        }
        let program = &self.program;
        if folded.len() != program.scalars {
            return false;
        }
        let end = |range: fn(&program::Step) -> usize| program.steps.iter().map(range).max();
        into.direct.resize(end(|s| s.direct.end).unwrap_or(0), 0.0);
        into.tiles.resize(end(|s| s.tiles.end).unwrap_or(0), 0.0);
        into.bias.resize(end(|s| s.bias.end).unwrap_or(0), 0.0);
        into.head.resize(program.head.weights.len(), 0.0);
        into.head_bias.resize(program.head.bias.len(), 0.0);
        with!(self.set, simd => prepare(simd, program, folded, into));
        true
    }

    /// Logits [classes][lanes] of the images in `block`; lanes past [`Block::images`] mean nothing.
    ///
    /// # Panics
    /// If anything is another kernel's.
    pub fn logits<'a>(
        &self,
        weights: &Prepared,
        block: &Block,
        scratch: &'a mut Scratch,
    ) -> &'a [f32] {
        if !with!(self.set, simd => forward(simd, &self.program, weights, block, scratch, false)) {
            with!(self.set, simd => forward(simd, &self.program, weights, block, scratch, true));
        }
        &Line::numbers(&scratch.logits)[..self.program.classes * self.lanes()]
    }

    /// Loss and accuracy of the images in `block`.
    ///
    /// # Panics
    /// If anything is another kernel's.
    pub fn tally(&self, weights: &Prepared, block: &Block, scratch: &mut Scratch) -> Tally {
        let lanes = self.lanes();
        let logits = self.logits(weights, block, scratch);
        let mut tally = Tally::default();
        for (image, label) in block.labels.iter().enumerate() {
            let one = logits.iter().skip(image).step_by(lanes).copied();
            let (loss, right) = cross_entropy(one, *label);
            tally.loss += loss;
            tally.right += f64::from(u8::from(right));
            tally.images += 1.0;
        }
        tally
    }
}

/// Cross-entropy of one image's logits, nats, and whether the label is the first of the largest; as in torch, NaN is
/// larger than any number, and infinity less infinity is NaN.
fn cross_entropy(logits: impl Iterator<Item = f32> + Clone, label: usize) -> (f64, bool) {
    let (mut best, mut largest, mut own) = (0, f32::NEG_INFINITY, f32::NAN);
    for (class, value) in logits.clone().enumerate() {
        if value > largest || value.is_nan() && !largest.is_nan() {
            (best, largest) = (class, value);
        }
        if class == label {
            own = value;
        }
    }
    let largest = f64::from(largest);
    let sum: f64 = logits.map(|x| (f64::from(x) - largest).exp()).sum();
    (largest - f64::from(own) + sum.ln(), best == label)
}

/// Runs all layers; false, early, if tiles came to anything that is not finite. `direct`: no tiles.
fn forward<S: Simd>(
    simd: S,
    program: &Program,
    weights: &Prepared,
    block: &Block,
    scratch: &mut Scratch,
    direct: bool,
) -> bool {
    let Scratch { frames, between, means, logits, watch } = scratch;
    let [inputs, products] = between;
    for step in &program.steps {
        let mut output = std::mem::take(&mut frames[step.to]);
        let input = step.from.map_or(&block.cells, |from| &frames[from]);
        let input = S::cells(input);
        let bias = &weights.bias[step.bias.clone()];
        let cells = S::cells_mut(&mut output);
        if direct || step.conv.method == Method::Direct {
            let weights = &weights.direct[step.direct.clone()];
            direct::run(simd, &step.conv, weights, bias, input, cells);
        } else {
            let weights = &weights.tiles[step.tiles.clone()];
            let between = [S::cells_mut(inputs), S::cells_mut(products)];
            let seen = &mut S::cells_mut(std::slice::from_mut(watch))[0];
            *seen = simd.splat(0.0);
            winograd::run(simd, &step.conv, [weights, bias], input, cells, between, seen);
        }
        frames[step.to] = output;
        let seen = Line::numbers(std::slice::from_ref(watch));
        if !direct && seen.iter().take(block.images()).any(|x| x.is_nan()) {
            return false;
        }
    }
    let frame = program.frames[program.head.from];
    simd.run(Head {
        frame,
        input: S::cells(&frames[program.head.from]),
        weights: &weights.head,
        bias: &weights.head_bias,
        means: &mut S::cells_mut(means)[..frame.channels],
        logits: &mut S::cells_mut(logits)[..program.classes],
    });
    true
}
