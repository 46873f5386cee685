//! The way through a network, written once: what flows, and what layers with weights do to it, is each pass's own.

use tch::{Kind, TchError, Tensor};

use super::plan::{BlockPlan, ConvPlan, LinearPlan, Plan, Shortcut, Stage};

/// Side and stride of a pool.
pub(super) const POOL: [i64; 2] = [2, 2];

/// What flows through a network: [batch, channels, h, w], and behind the last pixels [batch, channels].
pub(super) trait Signal: Sized {
    /// max(0, x), in place.
    fn relu(self) -> Result<Self, TchError>;
    /// The sum, in place.
    fn add(self, other: &Self) -> Result<Self, TchError>;
    /// The largest of each 2x2 pixels.
    fn max_pool(&self) -> Result<Self, TchError>;
    /// The mean of each channel over its pixels.
    fn mean(&self) -> Result<Self, TchError>;
    /// All pixels in one row: channel by channel, row by row.
    fn flatten(&self) -> Result<Self, TchError>;
}

/// One kind of pass.
pub(super) trait Pass {
    /// What flows.
    type Signal: Signal;

    /// A conv and its batch norm.
    fn conv(&self, x: &Self::Signal, conv: ConvPlan) -> Result<Self::Signal, TchError>;

    /// A linear layer, and its batch norm if it has one.
    fn linear(&self, x: &Self::Signal, linear: LinearPlan) -> Result<Self::Signal, TchError>;

    /// Takes note of a block's input.
    fn at_input(&mut self, x: Self::Signal) -> Result<Self::Signal, TchError> {
        Ok(x)
    }

    /// Takes note of a block's sum before its last ReLU.
    fn at_sum(&mut self, x: Self::Signal) -> Result<Self::Signal, TchError> {
        Ok(x)
    }

    /// Takes note of what goes into a projection shortcut; what goes into it instead, if anything else does.
    fn at_projection(&mut self, _: &Self::Signal) -> Result<Option<Self::Signal>, TchError> {
        Ok(None)
    }
}

/// What comes out at the head for `images`.
///
/// # Errors
/// When shapes do not fit or the device fails.
pub(super) fn run<P: Pass>(
    plan: &Plan,
    pass: &mut P,
    images: P::Signal,
) -> Result<P::Signal, TchError> {
    let mut x = images;
    for stage in &plan.stages {
        x = match stage {
            Stage::Conv(conv) => pass.conv(&x, *conv)?.relu()?,
            Stage::Block(block) => through_block(block, pass, x)?,
            Stage::MaxPool => x.max_pool()?,
            Stage::Mean => x.mean()?,
            Stage::Flatten => x.flatten()?,
            Stage::Linear(linear) => pass.linear(&x, *linear)?.relu()?,
        };
    }
    pass.linear(&x, plan.head)
}

fn through_block<P: Pass>(
    block: &BlockPlan,
    pass: &mut P,
    x: P::Signal,
) -> Result<P::Signal, TchError> {
    let x = pass.at_input(x)?;
    let inner = pass.conv(&x, block.conv1)?.relu()?;
    let branch = pass.conv(&inner, block.conv2)?;
    let sum = match block.shortcut {
        Shortcut::None => branch,
        // In place: neither batch norm nor the addition needs the branch's value in backward.
        Shortcut::Identity => branch.add(&x)?,
        Shortcut::Projection(conv) => {
            let noted = pass.at_projection(&x)?;
            branch.add(&pass.conv(noted.as_ref().unwrap_or(&x), conv)?)?
        }
    };
    pass.at_sum(sum)?.relu()
}

impl Signal for Tensor {
    fn relu(mut self) -> Result<Self, TchError> {
        self.f_relu_()
    }

    fn add(mut self, other: &Self) -> Result<Self, TchError> {
        self.f_add_(other)
    }

    fn max_pool(&self) -> Result<Self, TchError> {
        self.f_max_pool2d(POOL, POOL, [0, 0], [1, 1], false)
    }

    fn flatten(&self) -> Result<Self, TchError> {
        self.f_flatten(1, -1)
    }

    fn mean(&self) -> Result<Self, TchError> {
        self.f_mean_dim([2i64, 3].as_slice(), false, None::<Kind>)
    }
}
