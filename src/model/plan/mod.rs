//! What a network consists of, before any tensor exists: parameters with their PyTorch names, shapes and places in the
//! flat vector, and how blocks are wired.

mod build;

use crate::arm::ArmName;
use crate::telemetry::event::{ArmInfo, LayerInfo};

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Conv weight [out, in, k, k].
    Conv,
    /// Conv bias [out].
    ConvBias,
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

/// A conv and the batch norm behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvPlan {
    /// Index of its weight in [`Plan::params`].
    pub weight: usize,
    /// Index of its bias, if it has one.
    pub bias: Option<usize>,
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

/// A linear layer with bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearPlan {
    /// Index of its weight in [`Plan::params`]; the bias follows it.
    pub weight: usize,
    /// The batch norm behind it, an index into [`Plan::norms`]; none for the head.
    pub norm: Option<usize>,
}

/// A layer with the batch norm behind it, as one folds into the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormedPlan {
    /// Index of the layer's weight in [`Plan::params`].
    pub weight: usize,
    /// Index of the layer's bias, if it has one.
    pub bias: Option<usize>,
    /// Index of the batch norm in [`Plan::norms`].
    pub norm: usize,
}

/// One stage of a trunk.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// A conv, its batch norm, ReLU.
    Conv(ConvPlan),
    /// A residual block, or its twin without shortcut.
    Block(BlockPlan),
    /// The largest of each 2x2 pixels; an odd last row or column is left out, as PyTorch does.
    MaxPool,
    /// The mean of each channel over all pixels.
    Mean,
    /// All pixels in one row: channel by channel, row by row.
    Flatten,
    /// A linear layer, its batch norm, ReLU.
    Linear(LinearPlan),
}

/// A network: stages in the order in which images go through them, then the head. Parameters are in state-dict order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// All parameters.
    pub params: Vec<ParamPlan>,
    /// All batch norms.
    pub norms: Vec<NormPlan>,
    /// All but the head.
    pub stages: Vec<Stage>,
    /// What gives the logits.
    pub head: LinearPlan,
    /// Channels of the images.
    pub channels: i64,
    /// Classes.
    pub classes: i64,
}

impl Plan {
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

    /// The blocks, first to last.
    pub fn blocks(&self) -> impl Iterator<Item = &BlockPlan> {
        self.stages.iter().filter_map(|stage| match stage {
            Stage::Block(block) => Some(block),
            _ => None,
        })
    }

    /// All convs, each before the convs that see its output.
    pub fn convs(&self) -> impl Iterator<Item = ConvPlan> + '_ {
        self.stages.iter().flat_map(|stage| {
            let convs = match stage {
                Stage::Conv(conv) => [Some(*conv), None, None],
                Stage::Block(b) => {
                    let projection = match b.shortcut {
                        Shortcut::Projection(conv) => Some(conv),
                        Shortcut::None | Shortcut::Identity => None,
                    };
                    [Some(b.conv1), Some(b.conv2), projection]
                }
                Stage::MaxPool | Stage::Mean | Stage::Flatten | Stage::Linear(_) => [None; 3],
            };
            convs.into_iter().flatten()
        })
    }

    /// All layers with a batch norm behind them.
    pub fn normed(&self) -> impl Iterator<Item = NormedPlan> + '_ {
        let convs =
            self.convs().map(|c| NormedPlan { weight: c.weight, bias: c.bias, norm: c.norm });
        let linears = self.stages.iter().filter_map(|stage| match stage {
            Stage::Linear(LinearPlan { weight, norm: Some(norm) }) => {
                Some(NormedPlan { weight: *weight, bias: Some(weight + 1), norm: *norm })
            }
            _ => None,
        });
        convs.chain(linears)
    }

    /// Where the bias of a linear layer lies once batch norms are folded: in its batch norm's, or in its own.
    pub(super) fn shift(&self, linear: LinearPlan) -> usize {
        linear.norm.map_or(linear.weight, |norm| self.norms[norm].weight) + 1
    }

    /// The plan as events tell it.
    pub fn info(&self, name: &ArmName) -> ArmInfo {
        let layer = |p: &ParamPlan| LayerInfo { name: p.name.clone(), shape: p.shape.clone() };
        ArmInfo {
            name: name.clone(),
            parameters: self.scalars().unsigned_abs(),
            layers: self.layers().map(|(_, p)| layer(p)).collect(),
            blocks: self.blocks().count(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::{Family, Init, ModelSpec};

    /// A small network for tests.
    pub(crate) fn spec(depth: i64, width: i64) -> ModelSpec {
        ModelSpec { family: Family::Resnet, depth, width, widen: 1, init: Init::KaimingNormal }
    }

    /// A small VGG-9 for tests.
    pub(crate) fn vgg9(width: i64, image: [i64; 3], classes: i64) -> Plan {
        let spec = ModelSpec { family: Family::Vgg9, ..spec(9, width) };
        Plan::of(&spec, false, image, classes)
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
        assert!(noskip.blocks().all(|b| b.shortcut == Shortcut::None));
        let projections =
            skip.blocks().filter(|b| matches!(b.shortcut, Shortcut::Projection(_))).count();
        assert_eq!(projections, 2);
    }

    #[test]
    fn parameters_and_statistics_fill_their_vectors_without_gaps() {
        for (plan, layers) in
            [(Plan::resnet(&spec(20, 6), true, 3, 10), 20 + 2), (vgg9(6, [3, 9, 17], 10), 9)]
        {
            let mut next = 0;
            for p in &plan.params {
                assert_eq!(p.offset, next);
                next += p.len();
            }
            assert_eq!(next, plan.scalars());
            assert_eq!(plan.layers().count(), layers);
            // Every batch norm stands behind one layer, and is as wide.
            let mut norms: Vec<usize> = plan.normed().map(|l| l.norm).collect();
            norms.sort_unstable();
            assert_eq!(norms, (0..plan.norms.len()).collect::<Vec<_>>());
            for layer in plan.normed() {
                let wide = plan.params[layer.weight].shape[0];
                assert_eq!(plan.norms[layer.norm].channels, wide);
                assert!(layer.bias.is_none_or(|b| plan.params[b].shape == [wide]));
            }
        }
    }

    #[test]
    fn a_vgg9_counts_its_modules_as_pytorch_does() {
        let plan = vgg9(64, [3, 32, 32], 10);
        let layers: Vec<(&str, &[i64])> =
            plan.layers().map(|(_, p)| (p.name.as_str(), &p.shape[..])).collect();
        let wanted: [(&str, &[i64]); 9] = [
            ("features.0.weight", &[64, 3, 3, 3]),
            ("features.3.weight", &[64, 64, 3, 3]),
            ("features.7.weight", &[128, 64, 3, 3]),
            ("features.10.weight", &[128, 128, 3, 3]),
            ("features.14.weight", &[256, 128, 3, 3]),
            ("features.17.weight", &[256, 256, 3, 3]),
            ("features.20.weight", &[256, 256, 3, 3]),
            ("classifier.0.weight", &[256, 4096]),
            ("classifier.3.weight", &[10, 256]),
        ];
        assert_eq!(layers, wanted);
        assert_eq!(plan.norms.last().map(|n| n.name.as_str()), Some("classifier.1"));
        assert_eq!(plan.blocks().count(), 0);
        // 28 pixels of MNIST: 14, 7, and three of the seven.
        let odd = vgg9(2, [1, 28, 28], 10);
        assert!(odd.params.iter().any(|p| p.shape == [8, 8 * 3 * 3]));
    }
}
