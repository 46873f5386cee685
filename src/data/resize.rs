//! Images brought to the side that the networks see.

use tch::{Kind, TchError, Tensor};

use super::split::Pixels;

/// Images at once: bounds the floats in flight to some 100 MB for CIFAR.
const CHUNK: i64 = 4096;

/// The images at `size` x `size`: the mean over blocks where the side divides evenly, bilinear otherwise (PyTorch's
/// `interpolate` with align_corners=False), rounded to bytes.
pub(super) fn resize(pixels: &Pixels, size: i64) -> Result<Pixels, TchError> {
    let shape = pixels.shape();
    let labels = pixels.labels.shallow_clone();
    if shape.height == size && shape.width == size {
        return Ok(Pixels { images: pixels.images.shallow_clone(), labels });
    }
    let divides = |side: i64| side > size && side % size == 0;
    let by_blocks = divides(shape.height) && divides(shape.width);
    let chunks = pixels.images.f_split(CHUNK, 0)?;
    let scaled = chunks.iter().map(|chunk| {
        let floats = chunk.f_to_kind(Kind::Float)?;
        let scaled = if by_blocks {
            let kernel = [shape.height / size, shape.width / size];
            floats.f_avg_pool2d(kernel, kernel, [0, 0], false, true, None)?
        } else {
            floats.f_upsample_bilinear2d([size, size], false, None, None)?
        };
        scaled.f_round()?.f_clamp(0, 255)?.f_to_kind(Kind::Uint8)
    });
    let scaled = scaled.collect::<Result<Vec<Tensor>, _>>()?;
    Ok(Pixels { images: Tensor::f_cat(&scaled, 0)?, labels })
}

#[cfg(test)]
mod tests {
    use super::super::ImageShape;
    use super::*;

    fn resized(bytes: &[u8], side: i64, size: i64) -> Vec<u8> {
        let pixels =
            Pixels::new(bytes, &[0], ImageShape { channels: 1, height: side, width: side })
                .unwrap();
        resize(&pixels, size).unwrap().images.view([-1]).try_into().unwrap()
    }

    #[test]
    fn halving_takes_the_mean_of_blocks() {
        assert_eq!(resized(&[0, 4, 8, 8, 8, 12, 8, 8, 1, 1, 0, 0, 1, 1, 0, 0], 4, 2), [6, 8, 1, 0]);
    }

    #[test]
    fn doubling_is_bilinear_between_pixel_centres() {
        // By hand for align_corners=False: positions -0.25, 0.25, 0.75, 1.25 along each side, clamped at the border.
        let wanted = [0, 10, 30, 40, 20, 30, 50, 60, 60, 70, 90, 100, 80, 90, 110, 120];
        assert_eq!(resized(&[0, 40, 80, 120], 2, 4), wanted);
    }

    #[test]
    fn the_same_side_changes_nothing() {
        assert_eq!(resized(&[1, 2, 3, 4], 2, 2), [1, 2, 3, 4]);
    }
}
