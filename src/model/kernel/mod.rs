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
mod layer;
mod pool;
mod program;
mod set;
mod simd;
mod tail;
#[cfg(test)]
mod tests;
mod tile;
mod winograd;

use super::fold::Tally;
use super::plan::Plan;
use crate::config::Precision;
use frame::Frame;
use layer::Method;
use pool::Pool;
use program::{Program, Step};
use set::{Set, with};
use simd::{Line, Simd};
use tail::Gathered;
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
    /// Of all layers.
    direct: Vec<f32>,
    /// Of the convs by tiles.
    tiles: Vec<f32>,
    /// Of all layers.
    bias: Vec<f32>,
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
    /// What one linear layer reads and writes; the first has the logits in the end.
    rows: [Vec<Line>; 2],
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
            Scratch {
                frames: program.frames.iter().map(|f| lines::<S>(f.cells())).collect(),
                between: program.room.map(lines::<S>),
                rows: [0, 1].map(|_| lines::<S>(program.row)),
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
                let Step::Conv(step) = step else { continue };
                let filters = &folded[step.filters.clone()];
                let direct = &mut into.direct[step.direct.clone()];
                direct::prepare::<S>(&step.conv, filters, direct);
                let tiles = &mut into.tiles[step.tiles.clone()];
                filters::prepare(simd, &step.conv, direct, tiles);
                into.bias[step.bias.clone()].copy_from_slice(&folded[step.folded_bias.clone()]);
            }
            for step in &program.tail.linears {
                let rows = &folded[step.rows.clone()];
                step.linear.prepare::<S>(rows, &mut into.direct[step.direct.clone()]);
                into.bias[step.bias.clone()].copy_from_slice(&folded[step.folded_bias.clone()]);
            }
        }
        let program = &self.program;
        if folded.len() != program.scalars {
            return false;
        }
        for (weights, length) in
            [&mut into.direct, &mut into.tiles, &mut into.bias].into_iter().zip(program.prepared)
        {
            weights.resize(length, 0.0);
        }
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
        &Line::numbers(&scratch.rows[0])[..self.program.classes * self.lanes()]
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
    let Scratch { frames, between, rows, watch } = scratch;
    let [inputs, products] = between;
    for step in &program.steps {
        let step = match step {
            Step::Conv(step) => step,
            Step::Pool { from, to } => {
                let mut output = std::mem::take(&mut frames[*to]);
                let input = S::cells(&frames[*from]);
                let from = program.frames[*from];
                simd.run(Pool { from, input, output: S::cells_mut(&mut output) });
                frames[*to] = output;
                continue;
            }
        };
        let mut output = std::mem::take(&mut frames[step.to]);
        let input = step.from.map_or(&block.cells, |from| &frames[from]);
        let input = S::cells(input);
        let bias = &weights.bias[step.bias.clone()];
        let cells = S::cells_mut(&mut output);
        let tiles = !direct && step.conv.method != Method::Direct;
        if tiles {
            let weights = &weights.tiles[step.tiles.clone()];
            let between = [S::cells_mut(inputs), S::cells_mut(products)];
            let seen = &mut S::cells_mut(std::slice::from_mut(watch))[0];
            *seen = simd.splat(0.0);
            winograd::run(simd, &step.conv, [weights, bias], input, cells, between, seen);
        } else {
            let weights = &weights.direct[step.direct.clone()];
            direct::run(simd, &step.conv, weights, bias, input, cells);
        }
        frames[step.to] = output;
        let seen = Line::numbers(std::slice::from_ref(watch));
        if tiles && seen.iter().take(block.images()).any(|x| x.is_nan()) {
            return false;
        }
    }
    let [reads, writes] = rows;
    let tail = &program.tail;
    simd.run(Gathered {
        gather: tail.gather,
        frame: program.frames[tail.from],
        input: S::cells(&frames[tail.from]),
        output: S::cells_mut(reads),
    });
    for step in &tail.linears {
        let weights = [&weights.direct[step.direct.clone()], &weights.bias[step.bias.clone()]];
        step.linear.run(simd, weights, S::cells(reads), S::cells_mut(writes));
        std::mem::swap(reads, writes);
    }
    true
}
