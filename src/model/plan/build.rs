//! Plans layer by layer, in state-dict order.

use super::{
    BlockPlan, ConvPlan, LinearPlan, NormPlan, ParamKind, ParamPlan, Plan, Shortcut, Stage,
};
use crate::config::{Family, ModelSpec};

/// Stages of a CIFAR ResNet; each but the first halves the side and doubles the channels.
const STAGES: usize = 3;
/// The convs of a VGG-9, pool by pool: the factor on the first stage's channels, and how many (method.md 17).
const VGG9: [(i64, usize); 3] = [(1, 2), (2, 2), (4, 3)];

impl Plan {
    /// The network that `spec` says, for images of `[channels, height, width]`. `skip`: a ResNet's blocks have their
    /// shortcuts; a VGG-9 has none to have.
    pub fn of(spec: &ModelSpec, skip: bool, image: [i64; 3], classes: i64) -> Self {
        match spec.family {
            Family::Resnet => Self::resnet(spec, skip, image[0], classes),
            Family::Vgg9 => Self::vgg9(spec, image, classes),
        }
    }

    /// The VGG-9 of method.md 17 for images of `[channels, height, width]`, 8 pixels at least on a side: convs with bias
    /// and batch norm, `spec.width * spec.widen` channels at first, and a hidden linear layer with batch norm. Modules are
    /// numbered as in PyTorch's `nn.Sequential`s `features` and `classifier`, where ReLUs and pools count.
    pub fn vgg9(spec: &ModelSpec, [channels, height, width]: [i64; 3], classes: i64) -> Self {
        let mut draft = Draft::default();
        let (mut stages, mut module) = (Vec::new(), 0);
        let (mut cin, mut pixels) = (channels, [height, width]);
        for (factor, convs) in VGG9 {
            let cout = spec.width * spec.widen * factor;
            for _ in 0..convs {
                let [conv, norm] = [module, module + 1].map(|i| format!("features.{i}"));
                stages.push(Stage::Conv(draft.biased_conv_norm(&conv, &norm, [cout, cin, 3])));
                (cin, module) = (cout, module + 3);
            }
            stages.push(Stage::MaxPool);
            (pixels, module) = (pixels.map(|side| side / 2), module + 1);
        }
        stages.push(Stage::Flatten);
        let flat = cin * pixels[0] * pixels[1];
        let hidden = draft.linear("classifier.0", [cin, flat]);
        let norm = Some(draft.norm("classifier.1", cin));
        stages.push(Stage::Linear(LinearPlan { norm, ..hidden }));
        let head = draft.linear("classifier.3", [classes, cin]);
        draft.finish(stages, head, channels, classes)
    }

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

    /// A square conv `[out, in, kernel]` without bias, padded so that stride 1 keeps the size, and its batch norm.
    fn conv_norm(
        &mut self,
        conv: &str,
        norm: &str,
        [cout, cin, kernel]: [i64; 3],
        stride: i64,
    ) -> ConvPlan {
        let weight =
            self.param(format!("{conv}.weight"), vec![cout, cin, kernel, kernel], ParamKind::Conv);
        let norm = self.norm(norm, cout);
        ConvPlan { weight, bias: None, stride, padding: kernel / 2, norm }
    }

    /// A square conv `[out, in, kernel]` with bias, of stride 1, that keeps the size, and its batch norm.
    fn biased_conv_norm(
        &mut self,
        conv: &str,
        norm: &str,
        [cout, cin, kernel]: [i64; 3],
    ) -> ConvPlan {
        let weight =
            self.param(format!("{conv}.weight"), vec![cout, cin, kernel, kernel], ParamKind::Conv);
        let bias = Some(self.param(format!("{conv}.bias"), vec![cout], ParamKind::ConvBias));
        let norm = self.norm(norm, cout);
        ConvPlan { weight, bias, stride: 1, padding: kernel / 2, norm }
    }

    /// A batch norm; its index.
    fn norm(&mut self, name: &str, channels: i64) -> usize {
        let weight = self.param(format!("{name}.weight"), vec![channels], ParamKind::NormWeight);
        self.param(format!("{name}.bias"), vec![channels], ParamKind::NormBias);
        let offset = self.norms.last().map_or(0, |n| n.offset + n.channels);
        self.norms.push(NormPlan { name: name.to_owned(), weight, channels, offset });
        self.norms.len() - 1
    }

    /// A linear layer [out, in] with bias, no batch norm behind it.
    fn linear(&mut self, name: &str, [out, into]: [i64; 2]) -> LinearPlan {
        let weight = self.param(format!("{name}.weight"), vec![out, into], ParamKind::LinearWeight);
        self.param(format!("{name}.bias"), vec![out], ParamKind::LinearBias);
        LinearPlan { weight, norm: None }
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
