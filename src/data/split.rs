//! Images as bytes, turned into normalised floats batch by batch.

use tch::{Device, IndexOp, Kind, TchError, Tensor};

use super::augment::Augment;
use super::{DataError, ImageShape};

/// Images and labels as read.
#[derive(Debug)]
pub(super) struct Pixels {
    /// u8 [n, c, h, w]
    pub images: Tensor,
    /// i64 [n]
    pub labels: Tensor,
}

impl Pixels {
    /// Images from bytes in file order, row-major, channel by channel.
    pub fn new(bytes: &[u8], labels: &[u8], shape: ImageShape) -> Result<Self, TchError> {
        let n = labels.len() as i64;
        let images =
            Tensor::f_from_slice(bytes)?.f_view([n, shape.channels, shape.height, shape.width])?;
        let labels: Vec<i64> = labels.iter().map(|l| i64::from(*l)).collect();
        Ok(Self { images, labels: Tensor::f_from_slice(&labels)? })
    }

    pub fn len(&self) -> usize {
        self.labels.numel()
    }

    pub fn shape(&self) -> ImageShape {
        shape_of(&self.images)
    }

    /// Keeps the first `n` images.
    pub fn truncate(&mut self, n: usize) -> Result<(), TchError> {
        self.images = self.images.f_narrow(0, 0, n as i64)?;
        self.labels = self.labels.f_narrow(0, 0, n as i64)?;
        Ok(())
    }
}

/// Mean and deviation of each channel, of 255.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Normalisation {
    pub mean: Vec<f32>,
    pub std: Vec<f32>,
}

impl Normalisation {
    /// The constants of `pixels`.
    pub fn measure(pixels: &Pixels) -> Result<Self, TchError> {
        let channels = pixels.shape().channels;
        let by_channel = pixels.images.f_permute([1, 0, 2, 3])?.f_reshape([channels, -1])?;
        let values = by_channel.f_to_kind(Kind::Double)?;
        let mean: Vec<f64> = values.f_mean_dim(1i64, false, Kind::Double)?.try_into()?;
        let std: Vec<f64> = values.f_std_dim(1i64, false, false)?.try_into()?;
        let single = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect();
        // A blank channel has no deviation to divide by.
        Ok(Self { mean: single(mean), std: single(std.into_iter().map(|s| s.max(1.0)).collect()) })
    }
}

/// Training or test images on one device.
#[derive(Debug)]
pub struct Split {
    images: Tensor,
    labels: Tensor,
    mean: Tensor,
    std: Tensor,
    may_flip: bool,
}

/// Images that the networks see together.
#[derive(Debug)]
pub struct Batch {
    /// f32 [b, c, h, w], normalised.
    pub images: Tensor,
    /// i64 [b]
    pub labels: Tensor,
}

fn shape_of(images: &Tensor) -> ImageShape {
    match images.size()[..] {
        [_, channels, height, width] => ImageShape { channels, height, width },
        // Neither `Pixels` nor `Split` is made of anything else.
        _ => ImageShape { channels: 0, height: 0, width: 0 },
    }
}

impl Split {
    pub(super) fn new(
        pixels: Pixels,
        norm: &Normalisation,
        may_flip: bool,
    ) -> Result<Self, TchError> {
        let channels = norm.mean.len() as i64;
        let row = |values: &[f32]| Tensor::f_from_slice(values)?.f_view([1, channels, 1, 1]);
        let (mean, std) = (row(&norm.mean)?, row(&norm.std)?);
        Ok(Self { images: pixels.images, labels: pixels.labels, mean, std, may_flip })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.numel()
    }

    /// Their shape.
    pub fn shape(&self) -> ImageShape {
        shape_of(&self.images)
    }

    /// Where the images are.
    pub fn device(&self) -> Device {
        self.images.device()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same images on another device.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn to_device(&self, device: Device) -> Result<Self, TchError> {
        let to = |t: &Tensor| t.f_to_device(device);
        Ok(Self {
            images: to(&self.images)?,
            labels: to(&self.labels)?,
            mean: to(&self.mean)?,
            std: to(&self.std)?,
            may_flip: self.may_flip,
        })
    }

    /// The same images in the same memory, for another thread. Nothing ever writes to it.
    pub fn shallow_clone(&self) -> Self {
        Self {
            images: self.images.shallow_clone(),
            labels: self.labels.shallow_clone(),
            mean: self.mean.shallow_clone(),
            std: self.std.shallow_clone(),
            may_flip: self.may_flip,
        }
    }

    /// The images `indices`, in that order; changed by `augment` if given.
    ///
    /// # Errors
    /// When an index is out of range or the device fails.
    pub fn batch(&self, indices: &[i64], augment: Option<Augment>) -> Result<Batch, TchError> {
        let chosen = Tensor::f_from_slice(indices)?.f_to_device(self.images.device())?;
        let labels = self.labels.f_index_select(0, &chosen)?;
        let pixels = match augment {
            None => self.images.f_index_select(0, &chosen)?,
            Some(augment) => augment.gather(&self.images, &chosen, indices, self.may_flip)?,
        };
        Ok(Batch { images: self.normalise(&pixels)?, labels })
    }

    /// `len` images from `start` on, in file order.
    ///
    /// # Errors
    /// When the range is not within the split.
    pub fn range(&self, start: i64, len: i64) -> Result<Batch, TchError> {
        let images = self.normalise(&self.images.f_i(start..start + len)?)?;
        Ok(Batch { images, labels: self.labels.f_i(start..start + len)? })
    }

    fn normalise(&self, pixels: &Tensor) -> Result<Tensor, TchError> {
        pixels.f_to_kind(Kind::Float)?.f_sub_(&self.mean)?.f_div_(&self.std)
    }
}

/// Refuses a split that cannot be trained or tested on.
pub(super) fn enough(split: &'static str, pixels: Pixels) -> Result<Pixels, DataError> {
    match pixels.len() {
        images @ 0..2 => Err(DataError::TooFew { split, images }),
        _ => Ok(pixels),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split() -> Split {
        let shape = ImageShape { channels: 2, height: 1, width: 2 };
        let pixels = Pixels::new(&[0, 10, 100, 110, 20, 30, 120, 130], &[1, 0], shape).unwrap();
        let norm = Normalisation { mean: vec![10.0, 100.0], std: vec![10.0, 20.0] };
        Split::new(pixels, &norm, true).unwrap()
    }

    #[test]
    fn a_batch_is_gathered_in_order_and_normalised_by_channel() {
        let batch = split().batch(&[1, 0], None).unwrap();
        let images: Vec<f32> = batch.images.view([-1]).try_into().unwrap();
        assert_eq!(images, [1.0, 2.0, 1.0, 1.5, -1.0, 0.0, 0.0, 0.5]);
        assert_eq!(Vec::<i64>::try_from(batch.labels).unwrap(), [0, 1]);
        assert_eq!(batch.images.size(), [2, 2, 1, 2]);
    }

    #[test]
    fn an_index_out_of_range_is_an_error() {
        assert!(split().batch(&[2], None).is_err());
    }

    #[test]
    fn normalisation_is_measured_by_channel() {
        let shape = ImageShape { channels: 2, height: 1, width: 2 };
        let pixels = Pixels::new(&[0, 10, 7, 7, 20, 30, 7, 7], &[1, 0], shape).unwrap();
        let norm = Normalisation::measure(&pixels).unwrap();
        assert_eq!(norm.mean, [15.0, 7.0]);
        // Deviation of 0, 10, 20, 30: sqrt(125). The blank channel's is taken as 1.
        assert!((norm.std[0] - 125f32.sqrt()).abs() < 1e-5);
        assert_eq!(norm.std[1], 1.0);
    }
}
