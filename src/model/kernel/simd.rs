//! Vectors of one figure for several images, and the instruction sets that have them.
//!
//! Kernels are generic over [`Simd`]; a piece of work is a [`Task`], compiled once for each instruction set.

/// Memory of vectors: the longest there is, at its alignment.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line([f32; 16]);

impl Line {
    pub(super) const ZERO: Self = Self([0.0; 16]);
    /// Numbers in a line.
    pub(super) const LEN: usize = 16;

    /// Lines as numbers.
    #[inline(always)]
    pub(super) fn numbers(lines: &[Self]) -> &[f32] {
        // SAFETY: a line is 16 f32 without padding.
        unsafe { lines.align_to().1 }
    }

    /// Lines as numbers.
    #[inline(always)]
    pub(super) fn numbers_mut(lines: &mut [Self]) -> &mut [f32] {
        // SAFETY: as above.
        unsafe { lines.align_to_mut().1 }
    }
}

/// Work that runs with an instruction set switched on. `call`, and all that it calls, must be `#[inline(always)]`: what
/// is not inlined is compiled without the instruction set.
pub(super) trait Task<S: Simd> {
    fn call(self, simd: S);
}

/// An instruction set. A value exists only where the processor has it.
pub(super) trait Simd: Copy + Send + Sync {
    /// Plain memory: an f32 for each image, or two bf16 for each image.
    type V: Copy + Send + Sync;
    /// Images in a vector.
    const LANES: usize;
    /// Output channels whose sums are held in registers at once: [`OUTS`] or [`HALF_OUTS`].
    const OUTS: usize;
    /// Input channels in a vector that [`Simd::product`] takes: 1 in f32, 2 in bf16.
    const DEPTH: usize;

    /// Lines as vectors.
    fn cells(lines: &[Line]) -> &[Self::V];
    /// Lines as vectors.
    fn cells_mut(lines: &mut [Line]) -> &mut [Self::V];
    /// The first numbers of a vector; those that `from` lacks are 0.
    fn load(self, from: &[f32]) -> Self::V;
    /// The vector's first numbers, as many as `to` takes.
    fn store(self, value: Self::V, to: &mut [f32]);
    /// Runs `task` with the instruction set.
    fn run<T: Task<Self>>(self, task: T);

    fn splat(self, x: f32) -> Self::V;
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `max(0, a)`; NaN stays NaN, as in libtorch.
    fn relu(self, a: Self::V) -> Self::V;
    /// The larger; NaN if either is, as in libtorch.
    fn larger(self, a: Self::V, b: Self::V) -> Self::V;
    /// [`Simd::DEPTH`] channels as [`Simd::product`] takes them; `high` counts only if there are two.
    fn join(self, low: Self::V, high: Self::V) -> Self::V;
    /// `c + a * b`, summed over the channels in a vector.
    fn product(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
}

/// Most output channels whose sums are held in registers at once: with 3 tiles, 24 of the 32 registers of AVX-512.
pub(super) const OUTS: usize = 8;
/// With 3 tiles, 12 of the 16 registers of AVX2.
pub(super) const HALF_OUTS: usize = 4;

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512, Avx512Bf16};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{HALF_OUTS, Line, OUTS, Simd, Task};

    /// An instruction set: features (found by name, switched on as a list) and the intrinsics behind the operations.
    macro_rules! instruction_set {
        (
            $(#[$doc:meta])* $name:ident: [$($found:tt),*] as $enabled:literal,
            $vector:ty, lanes $lanes:literal, outs $outs:expr, depth $depth:literal,
            $load:ident, $store:ident, $splat:ident, $zero:ident, $add:ident, $sub:ident, $mul:ident, $mul_add:ident, $max:ident,
            nan_of($value:ident, $other:ident) $nan_of:expr,
            join($low:ident, $high:ident) $join:expr,
            product($a:ident, $b:ident, $c:ident) $product:expr
        ) => {
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub(in super::super) struct $name(());

            impl $name {
                pub(in super::super) fn detect() -> Option<Self> {
                    (true $(&& is_x86_feature_detected!($found))*).then_some(Self(()))
                }
            }

            impl Simd for $name {
                type V = $vector;
                const LANES: usize = $lanes;
                const OUTS: usize = $outs;
                const DEPTH: usize = $depth;

                #[inline(always)]
                fn cells(lines: &[Line]) -> &[$vector] {
                    // SAFETY: a vector is 8 or 16 f32 without padding or forbidden values, as a line is.
                    unsafe { lines.align_to().1 }
                }

                #[inline(always)]
                fn cells_mut(lines: &mut [Line]) -> &mut [$vector] {
                    // SAFETY: as above.
                    unsafe { lines.align_to_mut().1 }
                }

                #[inline(always)]
                fn run<T: Task<Self>>(self, task: T) {
                    #[target_feature(enable = $enabled)]
                    fn switched_on<T: Task<$name>>(simd: $name, task: T) {
                        task.call(simd);
                    }
                    // SAFETY: `self` exists, so the processor has the features.
                    unsafe { switched_on(self, task) }
                }

                #[inline(always)]
                fn load(self, from: &[f32]) -> $vector {
                    if from.len() < Self::LANES {
                        let mut line = [Line::ZERO];
                        Line::numbers_mut(&mut line)[..from.len()].copy_from_slice(from);
                        return Self::cells(&line)[0];
                    }
                    // SAFETY: there are enough numbers, and `self` exists.
                    unsafe { $load(from.as_ptr()) }
                }

                #[inline(always)]
                fn store(self, value: $vector, to: &mut [f32]) {
                    if to.len() < Self::LANES {
                        let mut line = [Line::ZERO];
                        Self::cells_mut(&mut line)[0] = value;
                        return to.copy_from_slice(&Line::numbers(&line)[..to.len()]);
                    }
                    // SAFETY: there is enough room, and `self` exists.
                    unsafe { $store(to.as_mut_ptr(), value) }
                }

                #[inline(always)]
                fn splat(self, x: f32) -> $vector {
                    // SAFETY: `self` exists, so the processor has the features. The same below.
                    unsafe { $splat(x) }
                }

                #[inline(always)]
                fn add(self, a: $vector, b: $vector) -> $vector {
                    unsafe { $add(a, b) }
                }

                #[inline(always)]
                fn sub(self, a: $vector, b: $vector) -> $vector {
                    unsafe { $sub(a, b) }
                }

                #[inline(always)]
                fn mul(self, a: $vector, b: $vector) -> $vector {
                    unsafe { $mul(a, b) }
                }

                #[inline(always)]
                fn mul_add(self, a: $vector, b: $vector, c: $vector) -> $vector {
                    unsafe { $mul_add(a, b, c) }
                }

                #[inline(always)]
                fn relu(self, a: $vector) -> $vector {
                    // The second operand is what comes of a NaN in either.
                    unsafe { $max($zero(), a) }
                }

                #[inline(always)]
                fn larger(self, $value: $vector, b: $vector) -> $vector {
                    // NaN where the second operand is; where the first is, it is put in.
                    unsafe {
                        let $other = $max($value, b);
                        $nan_of
                    }
                }

                #[inline(always)]
                fn join(self, $low: $vector, $high: $vector) -> $vector {
                    $join
                }

                #[inline(always)]
                fn product(self, $a: $vector, $b: $vector, $c: $vector) -> $vector {
                    unsafe { $product }
                }
            }
        };
    }

    instruction_set! {
        /// AVX-512 F, in f32.
        Avx512: ["avx512f", "avx512vl", "avx512bw"] as "avx512f,avx512vl,avx512bw",
        __m512, lanes 16, outs OUTS, depth 1,
        _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps, _mm512_fmadd_ps, _mm512_max_ps,
        nan_of(a, other) _mm512_mask_mov_ps(other, _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a), a),
        join(low, _high) low,
        product(a, b, c) _mm512_fmadd_ps(a, b, c)
    }

    instruction_set! {
        /// AVX-512 with products of bf16, summed in f32.
        Avx512Bf16: ["avx512f", "avx512vl", "avx512bw", "avx512bf16"] as "avx512f,avx512vl,avx512bw,avx512bf16",
        __m512, lanes 16, outs OUTS, depth 2,
        _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps, _mm512_fmadd_ps, _mm512_max_ps,
        nan_of(a, other) _mm512_mask_mov_ps(other, _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a), a),
        join(low, high) unsafe { pair(low, high) },
        product(a, b, c) _mm512_dpbf16_ps(c, as_bf16(a), as_bf16(b))
    }

    instruction_set! {
        /// AVX2 and FMA, in f32.
        Avx2: ["avx2", "fma"] as "avx2,fma",
        __m256, lanes 8, outs HALF_OUTS, depth 1,
        _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps, _mm256_fmadd_ps, _mm256_max_ps,
        nan_of(a, other) _mm256_blendv_ps(other, a, _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a)),
        join(low, _high) low,
        product(a, b, c) _mm256_fmadd_ps(a, b, c)
    }

    /// The vector's bits as 32 bf16.
    #[target_feature(enable = "avx512f,avx512bf16")]
    #[inline]
    fn as_bf16(a: __m512) -> __m512bh {
        // SAFETY: both are 64 bytes without forbidden values.
        unsafe { std::mem::transmute::<__m512, __m512bh>(a) }
    }

    /// `low` and `high` rounded to bf16, side by side for each image.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    #[inline]
    fn pair(low: __m512, high: __m512) -> __m512 {
        const SIDE_BY_SIDE: [u16; 32] = {
            let mut order = [0; 32];
            let mut i = 0;
            while i < 32 {
                order[i] = (i / 2 + 16 * (i % 2)) as u16;
                i += 1;
            }
            order
        };
        // SAFETY: all are 64 bytes without forbidden values.
        let (order, halves) = unsafe {
            let halves = _mm512_cvtne2ps_pbh(high, low);
            (
                std::mem::transmute::<[u16; 32], __m512i>(SIDE_BY_SIDE),
                std::mem::transmute::<__m512bh, __m512i>(halves),
            )
        };
        _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, halves))
    }
}
