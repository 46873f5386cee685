//! The order in which training images are seen: the same for every arm, a function of seed and position alone.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

/// Where an order stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPosition {
    /// Passes begun before this one.
    pub epoch: u64,
    /// Images of this pass already seen.
    pub next: usize,
}

/// The images of one batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Picked {
    /// Indices into the training set.
    pub indices: Vec<i64>,
    /// The pass they belong to, from 0.
    pub epoch: u64,
    /// Passes done after this batch, fractional.
    pub epochs_done: f64,
    /// Whether this was the last batch of its pass.
    pub epoch_ended: bool,
}

/// Shuffles anew for every pass. A batch never straddles two passes: images that do not fill a batch at the end of one
/// are left out of it, others each time.
#[derive(Clone, Debug)]
pub struct BatchOrder {
    seed: u64,
    images: usize,
    position: OrderPosition,
    shuffled: Vec<i64>,
}

impl BatchOrder {
    /// The order of `images` images under `seed`, from the start.
    pub fn new(seed: u64, images: usize) -> Self {
        Self::at(seed, images, OrderPosition::default())
    }

    /// The same order taken up at `position`.
    pub fn at(seed: u64, images: usize, position: OrderPosition) -> Self {
        Self { seed, images, position, shuffled: shuffle(seed, position.epoch, images) }
    }

    /// Where it stands.
    pub fn position(&self) -> OrderPosition {
        self.position
    }

    /// Whether no whole batch is left of this pass: the last one ended it.
    pub fn is_at_pass_end(&self, batch: usize) -> bool {
        self.position.next > 0 && self.position.next.saturating_add(batch) > self.images
    }

    /// The next batch; a batch larger than the set is the whole set. Batch sizes may change between calls.
    pub fn next_batch(&mut self, batch: usize) -> Picked {
        let batch = batch.clamp(1, self.images.max(1)).min(self.images);
        if self.position.next.saturating_add(batch) > self.images {
            self.position = OrderPosition { epoch: self.position.epoch + 1, next: 0 };
            self.shuffled = shuffle(self.seed, self.position.epoch, self.images);
        }
        let OrderPosition { epoch, next } = self.position;
        let end = next + batch;
        self.position.next = end;
        let epoch_ended = end + batch > self.images;
        let part = if epoch_ended { 1.0 } else { end as f64 / self.images as f64 };
        Picked {
            indices: self.shuffled[next..end].to_vec(),
            epoch,
            epochs_done: epoch as f64 + part,
            epoch_ended,
        }
    }
}

fn shuffle(seed: u64, epoch: u64, images: usize) -> Vec<i64> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    let mut order: Vec<i64> = (0..images as i64).collect();
    order.shuffle(&mut ChaCha8Rng::from_seed(key));
    order
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pass_ends_when_no_whole_batch_is_left() {
        let mut order = BatchOrder::new(0, 10);
        let told: Vec<(u64, bool)> =
            (0..4).map(|_| order.next_batch(4)).map(|p| (p.epoch, p.epoch_ended)).collect();
        assert_eq!(told, [(0, false), (0, true), (1, false), (1, true)]);
        assert_eq!(BatchOrder::new(0, 3).next_batch(64).indices.len(), 3);
    }

    proptest! {
        #[test]
        fn a_pass_shows_no_image_twice_and_nearly_all(seed in any::<u64>(), images in 2usize..300, batch in 1usize..400) {
            let mut order = BatchOrder::new(seed, images);
            for epoch in 0..3u64 {
                let mut seen = HashSet::new();
                loop {
                    let picked = order.next_batch(batch);
                    prop_assert_eq!(picked.epoch, epoch);
                    prop_assert!(picked.indices.iter().all(|i| (0..images as i64).contains(i) && seen.insert(*i)));
                    if picked.epoch_ended {
                        prop_assert_eq!(picked.epochs_done, epoch as f64 + 1.0);
                        break;
                    }
                }
                prop_assert_eq!(seen.len(), images - images % batch.min(images));
            }
        }

        #[test]
        fn an_order_taken_up_again_goes_on_the_same(seed in any::<u64>(), images in 2usize..200, batch in 1usize..64, steps in 0usize..40) {
            let mut order = BatchOrder::new(seed, images);
            for _ in 0..steps {
                order.next_batch(batch);
            }
            let mut again = BatchOrder::at(seed, images, order.position());
            for _ in 0..20 {
                prop_assert_eq!(order.next_batch(batch), again.next_batch(batch));
            }
        }
    }
}
