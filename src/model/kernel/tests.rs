//! Whole networks against libtorch.

use std::sync::Arc;

use rand::Rng;
use tch::{Device, Tensor};

use super::*;
use crate::model::network::Weights;
use crate::model::plan::tests::{spec, vgg9};
use crate::model::{Folded, FoldedLayout, Stage, initial_weights, named_rng};

/// A plan with folded weights away from initial ones, images and labels.
struct Case {
    plan: Arc<Plan>,
    folded: Vec<f32>,
    images: Tensor,
    labels: Vec<i64>,
    side: i64,
}

impl Case {
    fn new(depth: i64, width: i64, skip: bool, shape: [i64; 3]) -> Self {
        Self::of(Plan::resnet(&spec(depth, width), skip, shape[1], 10), shape)
    }

    fn vgg9(width: i64, shape: [i64; 3]) -> Self {
        let [_, channels, side] = shape;
        Self::of(vgg9(width, [channels, side, side], 10), shape)
    }

    fn of(plan: Plan, [n, channels, side]: [i64; 3]) -> Self {
        let plan = Arc::new(plan);
        let weights = Weights {
            theta: plan.pack(&initial_weights(&plan, 5), Device::Cpu).unwrap(),
            running: plan.fresh_statistics(Device::Cpu).unwrap(),
            batches: 0,
        };
        let folded = FoldedLayout::new(&plan, &weights).unwrap().fold(&plan, &weights).unwrap();
        let mut rng = named_rng(11, "kernel", "case");
        let mut draw = || -> f32 { rng.random_range(-1.0..1.0) };
        let mut folded = Vec::<f32>::try_from(folded).unwrap();
        folded.iter_mut().for_each(|x| *x += 0.01 * draw());
        // Hidden layers start near zero and would hide all before; batch norms have not made up for it.
        for stage in &plan.stages {
            if let Stage::Linear(linear) = stage {
                let (at, len) = range(&plan, linear.weight);
                let size = (6.0 / plan.params[linear.weight].shape[1] as f32).sqrt();
                folded[at..at + len].iter_mut().for_each(|x| *x = size * draw());
            }
        }
        // So does the head.
        let head = plan.params[plan.head.weight].offset as usize;
        folded[head..].iter_mut().for_each(|x| *x = draw());
        let pixels: Vec<f32> = (0..n * channels * side * side).map(|_| 1.7 * draw()).collect();
        let images = Tensor::from_slice(&pixels).view([n, channels, side, side]);
        Self { plan, folded, images, labels: (0..n).map(|i| i * 7 % 10).collect(), side }
    }

    fn kernel(&self, set: Set) -> Kernel {
        Kernel::on(set, &self.plan, self.side, self.side, None).unwrap()
    }

    /// libtorch's logits [n, classes].
    fn reference(&self) -> Tensor {
        let mut net = Folded::new(Arc::clone(&self.plan), Device::Cpu).unwrap();
        net.set(&Tensor::from_slice(&self.folded)).unwrap();
        tch::no_grad(|| net.forward(&self.images).unwrap())
    }

    fn blocks(&self, kernel: &Kernel) -> Vec<Block> {
        let pixels = Vec::<f32>::try_from(&self.images.view([-1])).unwrap();
        kernel.pack(&pixels, &self.labels).unwrap()
    }

    /// The kernel's logits [n, classes].
    fn logits(&self, kernel: &Kernel) -> Tensor {
        let (mut prepared, mut scratch) = (Prepared::default(), kernel.scratch());
        assert!(kernel.prepare(&self.folded, &mut prepared));
        let parts: Vec<Tensor> = self
            .blocks(kernel)
            .iter()
            .map(|block| {
                let logits = kernel.logits(&prepared, block, &mut scratch);
                let whole = Tensor::from_slice(logits).view([-1, kernel.lanes() as i64]);
                whole.narrow(1, 0, block.images() as i64).transpose(0, 1)
            })
            .collect();
        Tensor::cat(&parts, 0)
    }

    fn tally(&self, kernel: &Kernel) -> Tally {
        let (mut prepared, mut scratch) = (Prepared::default(), kernel.scratch());
        assert!(kernel.prepare(&self.folded, &mut prepared));
        let blocks = self.blocks(kernel);
        let mut sum = Tally::default();
        blocks.iter().for_each(|b| sum += kernel.tally(&prepared, b, &mut scratch));
        sum
    }
}

/// Where a parameter lies in the flat vector, and its length.
fn range(plan: &Plan, param: usize) -> (usize, usize) {
    (plan.params[param].offset as usize, plan.params[param].len() as usize)
}

/// The largest difference over the largest size.
fn gap(found: &Tensor, wanted: &Tensor) -> f64 {
    f64::try_from((found - wanted).abs().max() / wanted.abs().max()).unwrap()
}

#[test]
fn whole_networks_are_those_of_libtorch() {
    let resnets =
        [(14, 8, [37, 1, 16]), (20, 16, [16, 3, 32]), (8, 6, [5, 3, 17]), (8, 4, [17, 3, 7])];
    let resnets = resnets.into_iter().flat_map(|(depth, width, shape)| {
        [true, false].map(|skip| Case::new(depth, width, skip, shape))
    });
    let vggs = [(8, [37, 1, 16]), (16, [16, 3, 32]), (5, [5, 3, 8]), (3, [17, 1, 28])];
    let vggs = vggs.into_iter().map(|(width, shape)| Case::vgg9(width, shape));
    for (which, case) in resnets.chain(vggs).enumerate() {
        let logits = case.reference();
        let mut wanted = Tally::default();
        wanted.add(&logits, &Tensor::from_slice(&case.labels)).unwrap();
        for set in Set::all() {
            let kernel = case.kernel(set);
            let bound = if set.is_bf16() { 5e-2 } else { 1e-5 };
            let gap = gap(&case.logits(&kernel), &logits);
            assert!(gap < bound, "{set:?} network {which}: logits {gap:.1e}");
            let found = case.tally(&kernel);
            let gap = (found.loss / wanted.loss - 1.0).abs();
            assert!(gap < bound, "{set:?} network {which}: loss {gap:.1e}");
            assert_eq!(found.images, wanted.images);
            if !set.is_bf16() {
                assert_eq!(found.right, wanted.right);
            }
        }
    }
}

/// How far the loss of points of a deep network is off, with logits of the size that trained networks have.
#[test]
fn the_loss_of_a_point_is_off_by_a_known_share() {
    let mut case = Case::new(56, 8, true, [32, 1, 16]);
    let base = case.folded.clone();
    let head = case.plan.params[case.plan.head.weight].offset as usize;
    let mut rng = named_rng(5, "kernel", "points");
    for point in 0..4 {
        for (x, at) in case.folded.iter_mut().zip(&base) {
            *x = at * (1.0 + 0.1 * point as f32 * rng.random_range(-1.0f32..1.0));
        }
        let deviation = f64::try_from(case.reference().std(false)).unwrap();
        case.folded[head..].iter_mut().for_each(|x| *x *= (2.0 / deviation) as f32);
        let mut wanted = Tally::default();
        wanted.add(&case.reference(), &Tensor::from_slice(&case.labels)).unwrap();
        for set in Set::all() {
            let gap = (case.tally(&case.kernel(set)).loss / wanted.loss - 1.0).abs();
            let bound = if set.is_bf16() { 3e-2 } else { 2e-6 };
            assert!(gap < bound, "{set:?} point {point}: {gap:.1e}");
        }
    }
}

#[test]
fn neither_order_nor_memory_used_before_changes_a_bit() {
    for (case, set) in [Case::new(14, 6, true, [37, 3, 12]), Case::vgg9(6, [37, 3, 12])]
        .iter()
        .flat_map(|case| Set::all().into_iter().map(move |set| (case, set)))
    {
        let kernel = case.kernel(set);
        let mut prepared = Prepared::default();
        assert!(kernel.prepare(&case.folded, &mut prepared));
        let blocks = case.blocks(&kernel);
        let mut one = kernel.scratch();
        let forth: Vec<Tally> =
            blocks.iter().map(|b| kernel.tally(&prepared, b, &mut one)).collect();
        let mut back: Vec<Tally> =
            blocks.iter().rev().map(|b| kernel.tally(&prepared, b, &mut one)).collect();
        back.reverse();
        assert_eq!(forth, back);
        let fresh: Vec<Tally> =
            blocks.iter().map(|b| kernel.tally(&prepared, b, &mut kernel.scratch())).collect();
        assert_eq!(forth, fresh);
    }
}

/// What is finite in libtorch is finite here and the same, also where tiles overflow; what is not is not.
#[test]
fn huge_weights_overflow_where_those_of_libtorch_do() {
    let mut case = Case::new(8, 8, false, [16, 3, 16]);
    let stem: Vec<f32> = case.folded[..8 * 27].to_vec();
    // A small last conv, so that what overflows first lies before it.
    let last = &case.plan.params[case.plan.blocks().nth(2).unwrap().conv2.weight];
    let last = last.offset as usize..(last.offset + last.len()) as usize;
    case.folded[last].iter_mut().for_each(|x| *x *= 1e-6);
    let (mut finite, mut infinite, mut again) = (0, 0, 0);
    for quarter in 4 * 30..4 * 41 {
        let exponent = f64::from(quarter) / 4.0;
        let factor = 10f64.powf(exponent);
        for (to, from) in case.folded.iter_mut().zip(&stem) {
            *to = (f64::from(*from) * factor) as f32;
        }
        let wanted = case.reference();
        let wanted_finite = wanted.isfinite().all().int64_value(&[]) != 0;
        for set in Set::all() {
            let kernel = case.kernel(set);
            let found = case.logits(&kernel);
            let found_finite = found.isfinite().all().int64_value(&[]) != 0;
            assert_eq!(found_finite, wanted_finite, "{set:?} 1e{exponent}");
            let loss = case.tally(&kernel).loss;
            assert_eq!(loss.is_finite(), wanted_finite, "{set:?} 1e{exponent}: {loss}");
            if wanted_finite {
                let gap = gap(&(&found / factor), &(&wanted / factor));
                let bound = if set.is_bf16() { 5e-2 } else { 1e-5 };
                assert!(gap < bound, "{set:?} 1e{exponent}: {gap:.1e}");
                finite += 1;
            } else {
                infinite += 1;
            }
            let (mut prepared, mut scratch) = (Prepared::default(), kernel.scratch());
            assert!(kernel.prepare(&case.folded, &mut prepared));
            let block = &case.blocks(&kernel)[0];
            let tiles = with!(set, simd => forward(simd, &kernel.program, &prepared, block, &mut scratch, false));
            again += i32::from(!tiles && wanted_finite);
        }
    }
    // All three have been seen: finite by tiles, finite product by product only, infinite.
    assert!(finite > again && again > 0 && infinite > 0, "{finite} {again} {infinite}");
}

#[test]
fn a_loss_is_torchs_with_ties_and_without_numbers() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for logits in [
        [0.5, -1.0, 3.0],
        [2.0, 2.0, 1.0],
        [1e30, -1e30, 1e30],
        [200.0, -200.0, 0.0],
        [inf, 0.0, 1.0],
        [-inf, 0.0, 1.0],
        [-inf, -inf, -inf],
        [nan, 1.0, 2.0],
        [1.0, nan, nan],
        [inf, nan, inf],
    ] {
        let tensor = Tensor::from_slice(&logits).view([1, 3]);
        for label in 0..3 {
            let mut wanted = Tally::default();
            wanted.add(&tensor, &Tensor::from_slice(&[label as i64])).unwrap();
            let (loss, right) = cross_entropy(logits.iter().copied(), label);
            assert_eq!(f64::from(u8::from(right)), wanted.right, "{logits:?} {label}");
            let same = loss.is_nan() && wanted.loss.is_nan()
                || loss == wanted.loss
                || (loss - wanted.loss).abs() < 1e-6 * (1.0 + wanted.loss.abs());
            assert!(same, "{logits:?} {label}: {loss} for {}", wanted.loss);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let case = Case::new(8, 4, true, [3, 3, 8]);
    let Some(kernel) = Kernel::new(&case.plan, 8, 8, Precision::F32) else {
        skipped!("no kernel for this processor");
        return;
    };
    assert!(Kernel::new(&case.plan, 0, 8, Precision::F32).is_none());
    assert!(Kernel::new(&case.plan, 8, -1, Precision::F32).is_none());
    let mut prepared = Prepared::default();
    assert!(!kernel.prepare(&case.folded[1..], &mut prepared));
    assert!(kernel.pack(&[0.0; 3 * 64], &[0, 1]).is_none());
    assert!(kernel.pack(&[0.0; 3 * 64], &[10]).is_none());
    assert!(kernel.pack(&[0.0; 3 * 64], &[-1]).is_none());
    assert!(kernel.pack(&[], &[]).is_some_and(|blocks| blocks.is_empty()));
    let mut wrong = Plan::clone(&case.plan);
    let Stage::Conv(stem) = &mut wrong.stages[0] else { panic!("a stem") };
    stem.stride = 3;
    assert!(Kernel::new(&wrong, 8, 8, Precision::F32).is_none());
    let case = Case::vgg9(2, [3, 1, 16]);
    // Another side than its hidden layer is for.
    assert!(Kernel::new(&case.plan, 16, 16, Precision::F32).is_some());
    assert!(Kernel::new(&case.plan, 24, 24, Precision::F32).is_none());
    assert!(Kernel::new(&case.plan, 4, 4, Precision::F32).is_none());
    let mut wrong = Plan::clone(&case.plan);
    wrong.stages.retain(|stage| *stage != Stage::Flatten);
    assert!(Kernel::new(&wrong, 16, 16, Precision::F32).is_none());
}
