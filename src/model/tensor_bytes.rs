//! A tensor as a safetensors file holds it.

use std::borrow::Cow;

use half::f16;
use safetensors::View;
use safetensors::tensor::Dtype;

/// A tensor's bytes, little-endian as safetensors wants them.
pub struct TensorBytes {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl TensorBytes {
    /// Numbers in single precision.
    pub fn singles(shape: Vec<usize>, values: &[f32]) -> Self {
        let mut bytes = vec![0; 4 * values.len()];
        bytes.as_chunks_mut().0.iter_mut().zip(values).for_each(|(b, v)| *b = v.to_le_bytes());
        Self { dtype: Dtype::F32, shape, bytes }
    }

    /// Numbers in half precision.
    pub fn halves(shape: Vec<usize>, values: &[f16]) -> Self {
        let mut bytes = vec![0; 2 * values.len()];
        bytes.as_chunks_mut().0.iter_mut().zip(values).for_each(|(b, v)| *b = v.to_le_bytes());
        Self { dtype: Dtype::F16, shape, bytes }
    }

    /// One whole number, as a tensor without dimensions.
    pub fn count(value: i64) -> Self {
        Self { dtype: Dtype::I64, shape: Vec::new(), bytes: value.to_le_bytes().to_vec() }
    }
}

impl View for TensorBytes {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
