//! Loss and error of a network on a whole split: the test set, after every pass over the training data.

use std::sync::Arc;

use tch::{Device, TchError};

use crate::config::Precision;
use crate::data::{Batch, Split};
use crate::model::{Folded, FoldedLayout, Kernel, Plan, Prepared, Tally, Weights};

/// Images at once.
const CHUNK: usize = 128;

/// Loss and error of `weights` on all of `split`, in evaluation mode; by our own kernel where the processor and the network
/// allow it.
///
/// # Errors
/// When the device fails.
pub fn evaluate(plan: &Arc<Plan>, weights: &Weights, split: &Split) -> Result<Tally, TchError> {
    match by_kernel(plan, weights, split)? {
        Some(tally) => Ok(tally),
        None => by_torch(plan, weights, split),
    }
}

/// None where there is no kernel for the network.
fn by_kernel(plan: &Plan, weights: &Weights, split: &Split) -> Result<Option<Tally>, TchError> {
    let _no_grad = tch::no_grad_guard();
    let shape = split.shape();
    if split.device() != Device::Cpu || weights.theta.device() != Device::Cpu {
        return Ok(None);
    }
    let Some(kernel) = Kernel::new(plan, shape.height, shape.width, Precision::F32) else {
        return Ok(None);
    };
    let folded = FoldedLayout::new(plan, weights)?.fold(plan, weights)?;
    let mut prepared = Prepared::default();
    if !kernel.prepare(&Vec::<f32>::try_from(folded)?, &mut prepared) {
        return Ok(None);
    }
    let mut scratch = kernel.scratch();
    let mut tally = Tally::default();
    for batch in batches(split) {
        let Batch { images, labels } = batch?;
        let pixels: Vec<f32> = images.f_contiguous()?.f_view([-1])?.try_into()?;
        let Some(blocks) = kernel.pack(&pixels, &Vec::<i64>::try_from(&labels)?) else {
            return Ok(None);
        };
        for block in &blocks {
            tally.join(kernel.tally(&prepared, block, &mut scratch));
        }
    }
    Ok(Some(tally))
}

fn by_torch(plan: &Arc<Plan>, weights: &Weights, split: &Split) -> Result<Tally, TchError> {
    let _no_grad = tch::no_grad_guard();
    let net = Folded::of(Arc::clone(plan), weights)?;
    let mut tally = Tally::default();
    for batch in batches(split) {
        let Batch { images, labels } = batch?;
        tally.add(&net.forward(&images)?, &labels)?;
    }
    Ok(tally)
}

fn batches(split: &Split) -> impl Iterator<Item = Result<Batch, TchError>> {
    (0..split.len()).step_by(CHUNK).map(|start| {
        let len = CHUNK.min(split.len() - start);
        split.range(start as i64, len as i64)
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{digits, plan};
    use super::*;
    use crate::model::{Network, initial_weights};

    #[test]
    fn the_kernel_tells_what_libtorch_tells() {
        let (plan, data) = (plan(4), digits(200));
        let mut row_major = initial_weights(&plan, 0);
        let head = &plan.params[plan.head.weight];
        let head = row_major[head.offset as usize..].iter_mut().enumerate();
        head.for_each(|(i, w)| *w = ((i % 11) as f32 - 5.0) * 0.1);
        let mut net = Network::new(Arc::clone(&plan), &row_major, Device::Cpu).unwrap();
        // Running statistics away from their start.
        let images = data.train.range(0, 64).unwrap().images;
        let _ = tch::no_grad(|| net.forward(&images, None).unwrap());
        let weights = net.weights(Device::Cpu).unwrap();
        // The last batch and the last block are not whole.
        assert_eq!((data.train.len(), 200 % CHUNK), (200, 72));
        let torch = by_torch(&plan, &weights, &data.train).unwrap();
        let Some(own) = by_kernel(&plan, &weights, &data.train).unwrap() else {
            skipped!("no kernel for this processor");
            return;
        };
        assert_eq!(own.images, 200.0);
        assert!((own.mean_loss() / torch.mean_loss() - 1.0).abs() < 1e-5);
        assert_eq!(own.accuracy(), torch.accuracy());
        assert_eq!(evaluate(&plan, &weights, &data.train).unwrap().mean_loss(), own.mean_loss());
    }
}
