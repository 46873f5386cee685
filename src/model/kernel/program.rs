//! A plan turned into steps over activations of known size.

use std::ops::Range;

use super::frame::Frame;
use super::layer::{Conv, Method};
use super::pool::halved;
use super::simd::Simd;
use super::tail::{Gather, Linear};
use super::{direct, winograd};
use crate::model::plan::{BlockPlan, ConvPlan, LinearPlan, Plan, Shortcut, Stage};

/// Most pixels on a side: past it, memory per thread would be large, and libtorch is as good.
const LARGEST_SIDE: usize = 256;

/// One thing that is done to activations.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A conv.
    Conv(ConvStep),
    /// The largest of each 2x2 pixels, from frame to frame.
    Pool { from: usize, to: usize },
}

/// One conv: from where to where, and where its weights lie.
#[derive(Clone, Debug)]
pub(super) struct ConvStep {
    pub(super) conv: Conv,
    /// The frame that it reads; none: the images.
    pub(super) from: Option<usize>,
    /// The frame that it writes.
    pub(super) to: usize,
    /// Filters and bias in the folded vector.
    pub(super) filters: Range<usize>,
    pub(super) folded_bias: Range<usize>,
    /// Where they lie prepared.
    pub(super) direct: Range<usize>,
    pub(super) tiles: Range<usize>,
    pub(super) bias: Range<usize>,
}

/// One linear layer, and where its weights lie.
#[derive(Clone, Debug)]
pub(super) struct LinearStep {
    pub(super) linear: Linear,
    /// Weights and bias in the folded vector.
    pub(super) rows: Range<usize>,
    pub(super) folded_bias: Range<usize>,
    /// Where they lie prepared.
    pub(super) direct: Range<usize>,
    pub(super) bias: Range<usize>,
}

/// What comes behind the last pixels.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    /// The frame that the pixels lie in.
    pub(super) from: usize,
    pub(super) gather: Gather,
    /// The head is the last.
    pub(super) linears: Vec<LinearStep>,
}

/// All steps.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) images: Frame,
    pub(super) frames: Vec<Frame>,
    pub(super) steps: Vec<Step>,
    pub(super) tail: Tail,
    pub(super) classes: usize,
    /// Scalars of the folded vector.
    pub(super) scalars: usize,
    /// Numbers of all prepared weights: direct, tiles, bias.
    pub(super) prepared: [usize; 3],
    /// Figures of the longest row behind the pixels.
    pub(super) row: usize,
    /// Vectors between the steps of a conv by tiles.
    pub(super) room: [usize; 2],
}

impl Program {
    /// The steps of `plan` for images of `height` x `width`, packed for `S`; none if there is a layer that the kernels
    /// do not know.
    pub(super) fn new<S: Simd>(
        plan: &Plan,
        height: i64,
        width: i64,
        only: Option<Method>,
    ) -> Option<Self> {
        let [channels, height, width] =
            [plan.channels, height, width].map(|n| usize::try_from(n).ok());
        let images = Frame { channels: channels?, height: height?, width: width? };
        let sides = 1..=LARGEST_SIDE;
        if images.channels == 0 || !sides.contains(&images.height) || !sides.contains(&images.width)
        {
            return None;
        }
        let mut draft = Draft::<S> {
            plan,
            images,
            only,
            frames: Vec::new(),
            steps: Vec::new(),
            ends: [0; 3],
            simd: std::marker::PhantomData,
        };
        let (mut x, mut gather, mut linears) = (None, None, Vec::new());
        for stage in &plan.stages {
            match (stage, gather) {
                (Stage::Conv(conv), None) => x = Some(draft.single(*conv, x)?),
                (Stage::Block(block), None) => x = Some(draft.block(block, x?)?),
                (Stage::MaxPool, None) => x = Some(draft.pool(x?)?),
                (Stage::Mean, None) => gather = Some(Gather::Mean),
                (Stage::Flatten, None) => gather = Some(Gather::Flatten),
                (Stage::Linear(linear), Some(_)) => linears.push((*linear, true)),
                _ => return None,
            }
        }
        let (from, gather) = (x?, gather?);
        linears.push((plan.head, false));
        let mut row = gather.figures(draft.frames[from]);
        let mut ins = row;
        let mut steps = Vec::new();
        for (linear, relu) in linears {
            let step = draft.linear(linear, ins, relu)?;
            ins = step.linear.outs;
            row = row.max(ins);
            steps.push(step);
        }
        let tail = Tail { from, gather, linears: steps };
        let mut room = [0; 2];
        for step in &draft.steps {
            if let Step::Conv(step) = step {
                let needs = winograd::room::<S>(&step.conv);
                room = [room[0].max(needs[0]), room[1].max(needs[1])];
            }
        }
        let classes = usize::try_from(plan.classes).ok().filter(|classes| *classes == ins)?;
        let scalars = usize::try_from(plan.scalars()).ok()?;
        let Draft { frames, steps, ends: prepared, .. } = draft;
        Some(Self { images, frames, steps, tail, classes, scalars, prepared, row, room })
    }
}

/// A program in the making.
struct Draft<'a, S> {
    plan: &'a Plan,
    images: Frame,
    /// The method of all 3x3 convs of stride 1, if it is not to be chosen.
    only: Option<Method>,
    frames: Vec<Frame>,
    steps: Vec<Step>,
    /// How far the prepared weights go: direct, tiles, bias.
    ends: [usize; 3],
    simd: std::marker::PhantomData<S>,
}

impl<S: Simd> Draft<'_, S> {
    /// A frame of this shape that holds nothing that is still wanted: an earlier one, or a new one.
    fn frame(&mut self, shape: Frame, wanted: &[usize]) -> usize {
        let free = |(index, frame): (usize, &Frame)| *frame == shape && !wanted.contains(&index);
        let found = self.frames.iter().enumerate().position(free);
        found.unwrap_or_else(|| {
            self.frames.push(shape);
            self.frames.len() - 1
        })
    }

    /// A conv with ReLU of the frame `from` (none: of the images); the frame that it writes.
    fn single(&mut self, conv: ConvPlan, from: Option<usize>) -> Option<usize> {
        let input = from.map_or(self.images, |from| self.frames[from]);
        let only = Conv { relu: true, ..self.conv(conv, input)? };
        let to = self.frame(only.to, from.as_slice());
        self.step(conv, only, from, to)?;
        Some(to)
    }

    /// The convs of a block on the frame `x`; the frame that they write in the end.
    fn block(&mut self, block: &BlockPlan, x: usize) -> Option<usize> {
        let input = self.frames[x];
        let first = Conv { relu: true, ..self.conv(block.conv1, input)? };
        let middle = self.frame(first.to, &[x]);
        let second = Conv { relu: true, ..self.conv(block.conv2, first.to)? };
        let to = match block.shortcut {
            Shortcut::Projection(conv) => {
                let to = self.frame(second.to, &[x, middle]);
                let projection = self.conv(conv, input)?;
                self.step(conv, projection, Some(x), to)?;
                to
            }
            // In place: by then the block's input is of no other use.
            Shortcut::None | Shortcut::Identity if second.to == input => x,
            Shortcut::None => self.frame(second.to, &[middle]),
            Shortcut::Identity => return None,
        };
        self.step(block.conv1, first, Some(x), middle)?;
        let add = block.shortcut != Shortcut::None;
        self.step(block.conv2, Conv { add, ..second }, Some(middle), to)?;
        Some(to)
    }

    /// The pool of the frame `x`; the frame that it writes.
    fn pool(&mut self, x: usize) -> Option<usize> {
        let shape = halved(self.frames[x]);
        if shape.height == 0 || shape.width == 0 {
            return None;
        }
        let to = self.frame(shape, &[x]);
        self.steps.push(Step::Pool { from: x, to });
        Some(to)
    }

    /// A linear layer on `ins` figures.
    fn linear(&mut self, plan: LinearPlan, ins: usize, relu: bool) -> Option<LinearStep> {
        let outs = usize::try_from(*self.plan.params.get(plan.weight)?.shape.first()?).ok()?;
        let linear = Linear { ins, outs, relu };
        let rows = self.place(plan.weight, outs * ins)?;
        let folded_bias = self.place(self.plan.shift(plan), outs)?;
        let [direct, _, bias] = self.room_for([linear.weights::<S>(), 0, outs]);
        Some(LinearStep { linear, rows, folded_bias, direct, bias })
    }

    /// Places for prepared weights: direct, tiles, bias.
    fn room_for(&mut self, lengths: [usize; 3]) -> [Range<usize>; 3] {
        let starts = self.ends;
        self.ends = [0, 1, 2].map(|i| starts[i] + lengths[i]);
        [0, 1, 2].map(|i| starts[i]..self.ends[i])
    }

    /// Where a parameter of `length` scalars lies in the folded vector.
    fn place(&self, param: usize, length: usize) -> Option<Range<usize>> {
        let param = self.plan.params.get(param)?;
        let offset = usize::try_from(param.offset).ok()?;
        let fits = usize::try_from(param.len()).is_ok_and(|n| n == length);
        (fits && length > 0).then_some(offset..offset + length)
    }

    /// The conv of `conv` on `from`, if a kernel knows it.
    fn conv(&self, conv: ConvPlan, from: Frame) -> Option<Conv> {
        let &[outs, ins, kernel, same] = &self.plan.params.get(conv.weight)?.shape[..] else {
            return None;
        };
        let [outs, ins, side, stride] = [outs, ins, kernel, conv.stride].map(usize::try_from);
        let (outs, ins, side, stride) = (outs.ok()?, ins.ok()?, side.ok()?, stride.ok()?);
        let known = matches!(side, 1 | 3) && matches!(stride, 1 | 2) && conv.padding == kernel / 2;
        if !known || same != kernel || ins != from.channels || outs == 0 {
            return None;
        }
        let to = Frame {
            channels: outs,
            height: from.height.div_ceil(stride),
            width: from.width.div_ceil(stride),
        };
        let method = if side == 3 && stride == 1 { self.method(from) } else { Method::Direct };
        Some(Conv { from, to, kernel: side, stride, method, add: false, relu: false })
    }

    /// The method of a 3x3 conv of stride 1 that multiplies least.
    fn method(&self, from: Frame) -> Method {
        let products = |method: Method| {
            let across = |side: usize| side.div_ceil(method.outputs());
            across(from.height) * across(from.width) * method.edge().pow(2)
        };
        match self.only {
            Some(method) => method,
            // Transforming outputs back costs as much as the products of some input channels.
            None if from.channels < 3 => Method::Direct,
            None if products(Method::Two) < products(Method::Four) => Method::Two,
            None => Method::Four,
        }
    }

    fn step(&mut self, plan: ConvPlan, conv: Conv, from: Option<usize>, to: usize) -> Option<()> {
        let outs = conv.to.channels;
        let norm = self.plan.norms.get(plan.norm)?;
        let filters = self.place(plan.weight, outs * conv.kernel.pow(2) * conv.from.channels)?;
        let folded_bias = self.place(norm.weight + 1, outs)?;
        let lengths = [direct::weights::<S>(&conv), winograd::weights::<S>(&conv), outs];
        let [direct, tiles, bias] = self.room_for(lengths);
        let step = ConvStep { conv, from, to, filters, folded_bias, direct, tiles, bias };
        self.steps.push(Step::Conv(step));
        Some(())
    }
}
