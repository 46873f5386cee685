//! The UCI digits: 1,797 real images of 8x8 that crate smartcore ships.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::split::{Pixels, enough};
use super::{DataError, ImageShape, Raw};

const SIDE: i64 = 8;
/// Brightest value in the files.
const BRIGHTEST: f32 = 16.0;
/// Training images; the rest are for testing. The data set comes without a split of its own.
const TRAIN: usize = 1437;
/// Seed of the split, the same for every run: errors stay comparable between seeds.
const SPLIT_SEED: u64 = 0;

pub(super) fn read() -> Result<Raw, DataError> {
    let set = smartcore::dataset::digits::load_dataset();
    let images = set.num_samples;
    let area = (SIDE * SIDE) as usize;
    let mut order: Vec<usize> = (0..images).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(SPLIT_SEED));
    let part = |chosen: &[usize]| {
        let pixels = chosen.iter().flat_map(|i| &set.data[i * area..(i + 1) * area]);
        let bytes: Vec<u8> = pixels.map(|v| (v / BRIGHTEST * 255.0).round() as u8).collect();
        let labels: Vec<u8> = chosen.iter().map(|i| set.target[*i] as u8).collect();
        Pixels::new(&bytes, &labels, ImageShape { channels: 1, height: SIDE, width: SIDE })
    };
    let (train, test) = order.split_at(TRAIN.min(images));
    Ok(Raw {
        name: "digits",
        classes: 10,
        train: enough("train", part(train)?)?,
        test: enough("test", part(test)?)?,
        normalisation: None,
        // A mirrored 2 is no 2.
        may_flip: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksum(pixels: &Pixels) -> u64 {
        let bytes: Vec<u8> = pixels.images.contiguous().view([-1]).try_into().unwrap();
        bytes.iter().fold(0, |sum: u64, b| sum.wrapping_mul(31).wrapping_add(u64::from(*b)))
    }

    #[test]
    fn the_split_is_fixed_for_ever() {
        let raw = read().unwrap();
        assert_eq!((raw.train.len(), raw.test.len()), (1437, 360));
        assert_eq!(checksum(&raw.train), 18_031_659_995_164_500_723);
        assert_eq!(checksum(&raw.test), 6_735_780_900_184_992_476);
    }

    #[test]
    fn every_class_is_about_as_frequent_in_both_parts() {
        let raw = read().unwrap();
        for (pixels, share) in [(&raw.train, 0.1), (&raw.test, 0.1)] {
            let labels: Vec<i64> = (&pixels.labels).try_into().unwrap();
            for class in 0..10 {
                let part =
                    labels.iter().filter(|l| **l == class).count() as f64 / labels.len() as f64;
                assert!((part - share).abs() < 0.04, "class {class}: {part}");
            }
        }
    }
}
