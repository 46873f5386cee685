//! Plans layer by layer, in state-dict order.

use super::{
    BlockPlan, ConvPlan, LinearPlan, NormPlan, ParamKind, ParamPlan, Plan, Shortcut, Stage,
};
use crate::config::ModelSpec;

/// Stages of a CIFAR ResNet; each but the first halves the side and doubles the channels.
const STAGES: usize = 3;

impl Plan {
    /// The CIFAR ResNet of 6n+2 layers that `spec` says, with or without shortcuts, for images with `channels` channels.
    /// `spec` has been checked: depth is 6n+2.
    pub fn resnet(spec: &ModelSpec, skip: bool, channels: i64, classes: i64) -> Self {
        let mut draft = Draft::default();
        let base = spec.width * spec.widen;
        let mut stages = vec![Stage::Conv(draft.conv_norm("conv1", "bn1", [base, channels, 3], 1))];
        let mut cin = base;
        for stage in 0..STAGES {
            let cout = base << stage;
            for index in 0..(spec.depth - 2) / 6 {
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let name = format!("layer{}.{index}", stage + 1);
                stages.push(Stage::Block(draft.block(name, cin, cout, stride, skip)));
                cin = cout;
            }
        }
        stages.push(Stage::Mean);
        let head = draft.linear("linear", [classes, cin]);
        draft.finish(stages, head, channels, classes)
    }
}

/// A plan in the making.
#[derive(Default)]
struct Draft {
    params: Vec<ParamPlan>,
    norms: Vec<NormPlan>,
}

impl Draft {
    fn finish(self, stages: Vec<Stage>, head: LinearPlan, channels: i64, classes: i64) -> Plan {
        let Self { params, norms } = self;
        Plan { params, norms, stages, head, channels, classes }
    }

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

    /// A linear layer [out, in] with bias.
    fn linear(&mut self, name: &str, [out, into]: [i64; 2]) -> LinearPlan {
        let weight = self.param(format!("{name}.weight"), vec![out, into], ParamKind::LinearWeight);
        self.param(format!("{name}.bias"), vec![out], ParamKind::LinearBias);
        LinearPlan { weight }
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
