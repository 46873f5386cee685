//! Random crop with padding 4 and horizontal flip, the same for every arm: a function of seed, pass and image alone.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use tch::{TchError, Tensor};

/// Pixels of padding on each side before the crop (method.md 19).
const PADDING: i64 = 4;

/// How images of one batch are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Augment {
    /// The run's seed.
    pub seed: u64,
    /// The pass, from 0.
    pub epoch: u64,
}

/// What happens to one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Draw {
    top: i64,
    left: i64,
    flip: bool,
}

impl Augment {
    fn draw(self, image: i64, may_flip: bool) -> Draw {
        let mut key = *b"........................augment.";
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        key[16..24].copy_from_slice(&image.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        let (top, left) = (rng.random_range(0..=2 * PADDING), rng.random_range(0..=2 * PADDING));
        Draw { top, left, flip: rng.random::<bool>() && may_flip }
    }

    /// The images `chosen` of `images` (u8 [n, c, h, w]), each cropped out of itself with a black border, and mirrored
    /// or not. `indices` are the values of `chosen`, known on the CPU.
    pub(super) fn gather(
        self,
        images: &Tensor,
        chosen: &Tensor,
        indices: &[i64],
        may_flip: bool,
    ) -> Result<Tensor, TchError> {
        let picked = images.f_index_select(0, chosen)?;
        let (b, c, h, w) = picked.size4()?;
        let padded = picked.f_constant_pad_nd([PADDING; 4])?.f_view([b, c, -1])?;
        let stride = w + 2 * PADDING;
        let mut from = Vec::with_capacity((b * h * w) as usize);
        for image in indices {
            let Draw { top, left, flip } = self.draw(*image, may_flip);
            for y in 0..h {
                let row = (y + top) * stride + left;
                from.extend((0..w).map(|x| row + if flip { w - 1 - x } else { x }));
            }
        }
        let from =
            Tensor::f_from_slice(&from)?.f_to_device(images.device())?.f_view([b, 1, h * w])?;
        padded.f_gather(2, &from.f_expand([b, c, h * w], false)?, false)?.f_view([b, c, h, w])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_move_together_and_only_move() {
        // Two channels, every pixel its own value from 1 on: a shifted image keeps differences between neighbours.
        let (n, h, w) = (50, 6, 5);
        let bytes: Vec<u8> = (0..n * 2 * h * w).map(|i| (i % (2 * h * w)) as u8 + 1).collect();
        let images = Tensor::from_slice(&bytes).view([n, 2, h, w]);
        let indices: Vec<i64> = (0..n).collect();
        let augment = Augment { seed: 1, epoch: 2 };
        let out = augment.gather(&images, &Tensor::from_slice(&indices), &indices, true).unwrap();
        assert_eq!(out.size(), [n, 2, h, w]);
        let mut flips = 0;
        for i in indices {
            let Draw { top, left, flip } = augment.draw(i, true);
            flips += i32::from(flip);
            for y in 0..h {
                for x in 0..w {
                    let (sy, sx) =
                        (y + top - PADDING, (if flip { w - 1 - x } else { x }) + left - PADDING);
                    for c in 0..2 {
                        let inside = (0..h).contains(&sy) && (0..w).contains(&sx);
                        let wanted = if inside { images.int64_value(&[i, c, sy, sx]) } else { 0 };
                        assert_eq!(out.int64_value(&[i, c, y, x]), wanted);
                    }
                }
            }
        }
        assert!((10..40).contains(&flips), "{flips} of 50 mirrored");
    }

    #[test]
    fn draws_depend_on_seed_pass_and_image_alone() {
        let a = Augment { seed: 1, epoch: 2 };
        assert_eq!(a.draw(3, true), a.draw(3, true));
        let all = |a: Augment| (0..20).map(|i| a.draw(i, true)).collect::<Vec<_>>();
        assert_ne!(all(a), all(Augment { epoch: 3, ..a }));
        assert_ne!(all(a), all(Augment { seed: 2, ..a }));
        assert!((0..50).all(|i| !a.draw(i, false).flip));
    }
}
