//! What a network consists of, before any tensor exists: parameters with their PyTorch names, shapes and places in the
//! flat vector, and how blocks are wired.

use crate::arm::ArmName;
use crate::config::ModelSpec;
use crate::telemetry::event::{ArmInfo, LayerInfo};

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Conv weight [out, in, k, k].
    Conv,
    /// Batch-norm weight [c].
    NormWeight,
    /// Batch-norm bias [c].
    NormBias,
    /// Linear weight [out, in].
    LinearWeight,
    /// Linear bias [out].
    LinearBias,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamPlan {
    /// PyTorch's name.
    pub name: String,
    /// Shape.
    pub shape: Vec<i64>,
    /// First entry in the flat vector.
    pub offset: i64,
    /// What it is.
    pub kind: ParamKind,
}

impl ParamPlan {
    /// Number of scalars.
    pub fn len(&self) -> i64 {
        self.shape.iter().product()
    }

    /// A parameter without scalars does not exist here, but clippy asks.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether layer norms are told for it: conv and linear weights.
    pub fn is_layer(&self) -> bool {
        matches!(self.kind, ParamKind::Conv | ParamKind::LinearWeight)
    }
}

/// A conv without bias and the batch norm behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvPlan {
    /// Index of its weight in [`Plan::params`].
    pub weight: usize,
    /// Stride.
    pub stride: i64,
    /// Padding.
    pub padding: i64,
    /// The batch norm behind it, an index into [`Plan::norms`].
    pub norm: usize,
}

/// One batch norm.
#[derive(Clone, Debug, PartialEq)]
pub struct NormPlan {
    /// PyTorch's name of the module.
    pub name: String,
    /// Index of its weight in [`Plan::params`]; the bias follows it.
    pub weight: usize,
    /// Channels.
    pub channels: i64,
    /// First entry of its running mean in the flat statistics; the variances follow all means in the same order.
    pub offset: i64,
}

/// What leads past a block's convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// Nothing.
    None,
    /// The block's input itself.
    Identity,
    /// A 1x1 conv with batch norm, where the shape changes.
    Projection(ConvPlan),
}

/// A basic block: two convs and what leads past them.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockPlan {
    /// PyTorch's name (`layer1.0`).
    pub name: String,
    /// First conv.
    pub conv1: ConvPlan,
    /// Second conv.
    pub conv2: ConvPlan,
    /// The shortcut.
    pub shortcut: Shortcut,
}

/// A CIFAR ResNet of 6n+2 layers with or without shortcuts, in state-dict order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// All parameters.
    pub params: Vec<ParamPlan>,
    /// All batch norms.
    pub norms: Vec<NormPlan>,
    /// The first conv.
    pub stem: ConvPlan,
    /// The blocks, first to last.
    pub blocks: Vec<BlockPlan>,
    /// Index of the head's weight in `params`; the bias follows it.
    pub head: usize,
    /// Channels of the images.
    pub channels: i64,
    /// Classes.
    pub classes: i64,
}

impl Plan {
    /// The ResNet of `spec` for images with `channels` channels. `spec` has been checked: depth is 6n+2.
    pub fn resnet(spec: &ModelSpec, skip: bool, channels: i64, classes: i64) -> Self {
        let mut draft = Draft::default();
        let base = spec.width * spec.widen;
        let stem = draft.conv_norm("conv1", "bn1", [base, channels, 3], 1);
        let mut blocks = Vec::new();
        let mut cin = base;
        for stage in 0..3 {
            let cout = base << stage;
            for index in 0..(spec.depth - 2) / 6 {
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let name = format!("layer{}.{index}", stage + 1);
                blocks.push(draft.block(name, cin, cout, stride, skip));
                cin = cout;
            }
        }
        let head =
            draft.param("linear.weight".to_owned(), vec![classes, cin], ParamKind::LinearWeight);
        draft.param("linear.bias".to_owned(), vec![classes], ParamKind::LinearBias);
        Self { params: draft.params, norms: draft.norms, stem, blocks, head, channels, classes }
    }

    /// Number of trained scalars.
    pub fn scalars(&self) -> i64 {
        self.params.last().map_or(0, |p| p.offset + p.len())
    }

    /// Number of running means (and of running variances).
    pub fn statistics(&self) -> i64 {
        self.norms.last().map_or(0, |n| n.offset + n.channels)
    }

    /// Conv and linear weights from stem to head, with their indices.
    pub fn layers(&self) -> impl Iterator<Item = (usize, &ParamPlan)> {
        self.params.iter().enumerate().filter(|(_, p)| p.is_layer())
    }

    /// All convs, the stem first, each before the convs that see its output.
    pub fn convs(&self) -> impl Iterator<Item = ConvPlan> + '_ {
        let of_block = |b: &BlockPlan| {
            let projection = match b.shortcut {
                Shortcut::Projection(conv) => Some(conv),
                Shortcut::None | Shortcut::Identity => None,
            };
            [Some(b.conv1), Some(b.conv2), projection].into_iter().flatten()
        };
        std::iter::once(self.stem).chain(self.blocks.iter().flat_map(of_block))
    }

    /// The plan as events tell it.
    pub fn info(&self, name: &ArmName) -> ArmInfo {
        let layer = |p: &ParamPlan| LayerInfo { name: p.name.clone(), shape: p.shape.clone() };
        ArmInfo {
            name: name.clone(),
            parameters: self.scalars().unsigned_abs(),
            layers: self.layers().map(|(_, p)| layer(p)).collect(),
        }
    }
}

/// A plan in the making.
#[derive(Default)]
struct Draft {
    params: Vec<ParamPlan>,
    norms: Vec<NormPlan>,
}

impl Draft {
    fn param(&mut self, name: String, shape: Vec<i64>, kind: ParamKind) -> usize {
        let offset = self.params.last().map_or(0, |p| p.offset + p.len());
        self.params.push(ParamPlan { name, shape, offset, kind });
        self.params.len() - 1
    }

    /// A square conv `[out, in, kernel]`, padded so that stride 1 keeps the size, and its batch norm.
    fn conv_norm(
        &mut self,
        conv: &str,
        norm: &str,
        [cout, cin, kernel]: [i64; 3],
        stride: i64,
    ) -> ConvPlan {
        let weight =
            self.param(format!("{conv}.weight"), vec![cout, cin, kernel, kernel], ParamKind::Conv);
        let norm_weight = self.param(format!("{norm}.weight"), vec![cout], ParamKind::NormWeight);
        self.param(format!("{norm}.bias"), vec![cout], ParamKind::NormBias);
        let offset = self.norms.last().map_or(0, |n| n.offset + n.channels);
        self.norms.push(NormPlan {
            name: norm.to_owned(),
            weight: norm_weight,
            channels: cout,
            offset,
        });
        ConvPlan { weight, stride, padding: kernel / 2, norm: self.norms.len() - 1 }
    }

    fn block(&mut self, name: String, cin: i64, cout: i64, stride: i64, skip: bool) -> BlockPlan {
        let at = |part: &str| format!("{name}.{part}");
        let conv1 = self.conv_norm(&at("conv1"), &at("bn1"), [cout, cin, 3], stride);
        let conv2 = self.conv_norm(&at("conv2"), &at("bn2"), [cout, cout, 3], 1);
        let shortcut = if !skip {
            Shortcut::None
        } else if stride == 1 && cin == cout {
            Shortcut::Identity
        } else {
            let conv = self.conv_norm(&at("shortcut.0"), &at("shortcut.1"), [cout, cin, 1], stride);
            Shortcut::Projection(conv)
        };
        BlockPlan { name, conv1, conv2, shortcut }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::{Family, Init};

    /// A small network for tests.
    pub(crate) fn spec(depth: i64, width: i64) -> ModelSpec {
        ModelSpec { family: Family::Resnet, depth, width, widen: 1, init: Init::KaimingNormal }
    }

    #[test]
    fn resnet20_of_width_16_has_the_known_size() {
        // Reference code's ResNet-20 with 1x1 conv + BN shortcuts: 272,474 parameters (He et al. count 0.27 M).
        let plan = Plan::resnet(&spec(20, 16), true, 3, 10);
        assert_eq!(plan.scalars(), 272_474);
        let names: Vec<&str> = plan.params.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names[..4], ["conv1.weight", "bn1.weight", "bn1.bias", "layer1.0.conv1.weight"]);
        assert!(
            names.contains(&"layer2.0.shortcut.0.weight")
                && names.contains(&"layer2.0.shortcut.1.bias")
        );
        assert_eq!(names[names.len() - 2..], ["linear.weight", "linear.bias"]);
    }

    #[test]
    fn the_twin_lacks_only_the_shortcuts() {
        let skip = Plan::resnet(&spec(14, 4), true, 1, 10);
        let noskip = Plan::resnet(&spec(14, 4), false, 1, 10);
        let named = |p: &Plan| {
            p.params.iter().map(|p| (p.name.clone(), p.shape.clone())).collect::<Vec<_>>()
        };
        let without: Vec<_> =
            named(&skip).into_iter().filter(|(n, _)| !n.contains("shortcut")).collect();
        assert_eq!(without, named(&noskip));
        assert!(noskip.blocks.iter().all(|b| b.shortcut == Shortcut::None));
        let projections =
            skip.blocks.iter().filter(|b| matches!(b.shortcut, Shortcut::Projection(_))).count();
        assert_eq!(projections, 2);
    }

    #[test]
    fn parameters_and_statistics_fill_their_vectors_without_gaps() {
        let plan = Plan::resnet(&spec(20, 6), true, 3, 10);
        let mut next = 0;
        for p in &plan.params {
            assert_eq!(p.offset, next);
            next += p.len();
        }
        assert_eq!(next, plan.scalars());
        assert_eq!(plan.convs().count(), plan.norms.len());
        assert_eq!(plan.layers().count(), 20 + 2);
    }
}
