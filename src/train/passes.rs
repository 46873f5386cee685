//! A step's passes over the network: forward and backward over its batch, at once or part by part.

use tch::{Kind, Reduction, TchError, Tensor};

use super::worker::Course;
use crate::data::{Augment, Picked};
use crate::model::{Network, Probes};

/// Fewest images of a part: a batch norm of one value has no variance.
const FEWEST: usize = 2;

/// What the passes leave, besides the gradient.
#[derive(Debug)]
pub struct Passes {
    /// Mean cross-entropy over the batch, nats (scalar).
    pub loss: Tensor,
    /// Images classified rightly (scalar); 0 where they were not to be counted.
    pub right: Tensor,
    /// Images.
    pub images: usize,
}

/// Leaves the gradient of the picked images' mean loss in `net`. No more than `most` of them are in memory at once (but
/// [`FEWEST`]): the parts' gradients add up to the batch's. Each part has its own batch-norm statistics, as wherever
/// gradients are accumulated, and updates the running ones. `probes` read the last part's.
///
/// # Errors
/// When torch fails: out of memory, most often.
pub fn passes(
    net: &mut Network,
    course: &Course,
    picked: &Picked,
    most: Option<usize>,
    count_right: bool,
    mut probes: Option<&mut Probes>,
) -> Result<Passes, TchError> {
    let images = picked.indices.len();
    let augment = course.augment.then_some(Augment { seed: course.seed, epoch: picked.epoch });
    net.zero_grad()?;
    let mut loss_sum = Tensor::f_zeros([0i64; 0], (Kind::Float, course.device))?;
    let mut right_sum = loss_sum.f_zeros_like()?;
    let mut rest = &picked.indices[..];
    for size in sizes(images, most) {
        let (part, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        let batch = course.train.batch(part, augment)?;
        let logits = net.forward(&batch.images, probes.as_deref_mut())?;
        let none = None::<&Tensor>;
        let mut loss =
            logits.f_cross_entropy_loss(&batch.labels, none, Reduction::Mean, -100, 0.0)?;
        if size < images {
            loss = loss.f_mul_scalar(size as f64 / images as f64)?;
        }
        loss.f_backward()?;
        if count_right {
            let right = logits.f_detach()?.f_argmax(1, false)?.f_eq_tensor(&batch.labels)?;
            right_sum = right_sum.f_add(&right.f_sum(Kind::Float)?)?;
        }
        loss_sum = loss_sum.f_add(&loss.f_detach()?)?;
    }
    Ok(Passes { loss: loss_sum, right: right_sum, images })
}

/// Sizes of the parts of a batch of `images`, at most `most` each, as even as can be.
fn sizes(images: usize, most: Option<usize>) -> impl Iterator<Item = usize> {
    let wanted = most.map_or(1, |most| images.div_ceil(most.max(1)));
    let parts = wanted.clamp(1, (images / FEWEST).max(1));
    (0..parts).map(move |i| images / parts + usize::from(i < images % parts))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use tch::Device;

    use super::*;
    use crate::config::{DataKind, DataSpec, RecordSpec, Typed, resolve};
    use crate::data::Dataset;
    use crate::model::{Plan, initial_weights};

    /// Where all parts hold the same images, their statistics are the batch's, and nothing may differ but rounding.
    #[test]
    fn parts_of_a_batch_add_up_to_its_gradient() {
        let spec = DataSpec {
            kind: DataKind::Digits,
            dir: None,
            size: Some(8),
            limit: Some(8),
            augment: false,
        };
        let course = Course {
            train: Dataset::load(&spec).unwrap().train,
            seed: 0,
            augment: false,
            device: Device::Cpu,
            threads: 1,
            record: RecordSpec { every: 1, layers_every: 1, limit: 0 },
            start: Instant::now(),
        };
        let typed: Typed = toml::from_str("[model]\ndepth = 8\nwidth = 4").unwrap();
        let model = resolve(&typed).unwrap().arms.into_iter().next().unwrap().model;
        let plan = Arc::new(Plan::resnet(&model, true, 1, 10));
        let mut weights = initial_weights(&plan, 1);
        // A head near zero hands back next to nothing.
        weights[plan.params[plan.head.weight].offset as usize..]
            .iter_mut()
            .for_each(|w| *w *= 300.0);
        let picked = Picked {
            indices: (0..8).chain(0..8).chain(0..8).collect(),
            epoch: 0,
            epochs_done: 0.0,
            epoch_ended: false,
        };
        let run = |most| {
            let mut net = Network::new(Arc::clone(&plan), &weights, Device::Cpu).unwrap();
            let passes = passes(&mut net, &course, &picked, most, true, None).unwrap();
            let figures = [&passes.loss, &passes.right].map(|t| t.double_value(&[]));
            (Vec::<f32>::try_from(net.grad()).unwrap(), figures, passes.images)
        };
        let ((whole, figures, images), (parts, added, _)) = (run(None), run(Some(8)));
        let largest = whole.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        let apart = whole.iter().zip(&parts).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(largest > 1e-2 && apart < 1e-5 * largest, "{apart} of {largest}");
        assert!(
            (figures[0] - added[0]).abs() < 1e-6 && figures[1] == added[1],
            "{figures:?} {added:?}"
        );
        assert_eq!(images, 24);
    }

    #[test]
    fn parts_are_even_and_none_is_a_single_image() {
        let of = |images, most| sizes(images, most).collect::<Vec<_>>();
        assert_eq!(of(64, None), [64]);
        assert_eq!(of(64, Some(64)), [64]);
        assert_eq!(of(64, Some(30)), [22, 21, 21]);
        assert_eq!(of(9, Some(2)), [3, 2, 2, 2]);
        assert_eq!(of(2, Some(2)), [2]);
    }
}
