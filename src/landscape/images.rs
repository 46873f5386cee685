//! The images behind a surface.

use tch::{Device, Kind, TchError};

use super::digest::Sum;
use crate::data::{Batch, Split};

/// Images at once: past 128, a core's cache no longer holds what a layer hands to the next.
const CHUNK: usize = 128;
/// Images at once on a GPU, which smaller batches leave idle.
const GPU_CHUNK: usize = 1024;

/// Which images a surface is measured on: `count` of `images`, spread evenly over the file order, the same for every
/// map of a run.
pub fn choose_images(images: usize, count: usize) -> Vec<i64> {
    let count = count.min(images);
    (0..count).map(|i| (i * images / count.max(1)) as i64).collect()
}

/// Images cut into batches, on one device.
pub struct ImageSet {
    /// In the order chosen.
    pub batches: Vec<Batch>,
    /// Rows and columns of an image.
    pub size: (i64, i64),
}

impl ImageSet {
    /// The images `chosen` of `split`, on `device`.
    ///
    /// # Errors
    /// When an index is out of range or the device has no room.
    pub fn new(split: &Split, chosen: &[i64], device: Device) -> Result<Self, TchError> {
        let at_once = if device == Device::Cpu { CHUNK } else { GPU_CHUNK };
        Self::in_batches(split, chosen, device, at_once)
    }

    /// As [`ImageSet::new`], in batches as large on any device: statistics of a batch depend on which images are in it.
    ///
    /// # Errors
    /// As there.
    pub fn for_statistics(split: &Split, chosen: &[i64], device: Device) -> Result<Self, TchError> {
        Self::in_batches(split, chosen, device, CHUNK)
    }

    fn in_batches(
        split: &Split,
        chosen: &[i64],
        device: Device,
        at_once: usize,
    ) -> Result<Self, TchError> {
        let part = |part: &[i64]| {
            let Batch { images, labels } = split.batch(part, None)?;
            Ok(Batch { images: images.f_to_device(device)?, labels: labels.f_to_device(device)? })
        };
        let batches: Vec<Batch> =
            chosen.chunks(at_once).map(part).collect::<Result<_, TchError>>()?;
        let size = batches.first().map_or((0, 0), |b| match b.images.size()[..] {
            [_, _, height, width] => (height, width),
            _ => (0, 0),
        });
        Ok(Self { batches, size })
    }

    /// The same images in the same memory, for another thread. Nothing ever writes to it.
    pub fn share(&self) -> Self {
        let one = |b: &Batch| Batch {
            images: b.images.shallow_clone(),
            labels: b.labels.shallow_clone(),
        };
        Self { batches: self.batches.iter().map(one).collect(), size: self.size }
    }

    /// Where the images are.
    pub fn device(&self) -> Device {
        self.batches.first().map_or(Device::Cpu, |b| b.images.device())
    }

    /// All pixels, image by image [n, channels, h, w], and all labels.
    ///
    /// # Errors
    /// When the device fails.
    pub fn flat(&self) -> Result<(Vec<f32>, Vec<i64>), TchError> {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for batch in &self.batches {
            let flat = batch.images.f_contiguous()?.f_view([-1])?;
            pixels.extend(Vec::<f32>::try_from(flat)?);
            labels.extend(Vec::<i64>::try_from(&batch.labels)?);
        }
        Ok((pixels, labels))
    }

    /// SHA-256 of pixels and labels, in hex.
    ///
    /// # Errors
    /// When the device fails.
    pub fn sha256(&self) -> Result<String, TchError> {
        let mut sum = Sum::default();
        // A batch at a time: all of them may not fit twice.
        for batch in &self.batches {
            let pixels: Vec<f32> = batch.images.f_contiguous()?.f_view([-1])?.try_into()?;
            let labels = Vec::<i64>::try_from(&batch.labels)?;
            sum.add_all(pixels.iter().map(|v| v.to_le_bytes()));
            sum.add_all(labels.iter().map(|v| v.to_le_bytes()));
        }
        Ok(sum.hex())
    }

    /// The images in another kind of number.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn of_kind(&self, kind: Kind) -> Result<Self, TchError> {
        let one = |b: &Batch| {
            Ok(Batch { images: b.images.f_to_kind(kind)?, labels: b.labels.shallow_clone() })
        };
        let batches = self.batches.iter().map(one).collect::<Result<_, TchError>>()?;
        Ok(Self { batches, size: self.size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_spread_and_bounded() {
        assert_eq!(choose_images(10, 5), [0, 2, 4, 6, 8]);
        assert_eq!(choose_images(3, 5), [0, 1, 2]);
    }
}
