//! Which instruction set is in use.

#[cfg(target_arch = "x86_64")]
use super::simd;
use crate::config::Precision;

/// The instruction set in use.
#[derive(Clone, Copy, Debug)]
pub(super) enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512(simd::Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16(simd::Avx512Bf16),
    #[cfg(target_arch = "x86_64")]
    Avx2(simd::Avx2),
}

/// Evaluates an expression with the instruction set of a [`Set`].
macro_rules! with {
    ($set:expr, $simd:ident => $body:expr) => {
        match $set {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512($simd) => $body,
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Bf16($simd) => $body,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2($simd) => $body,
        }
    };
}

pub(super) use with;

impl Set {
    /// The best that the processor has.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn detect(precision: Precision) -> Option<Self> {
        match precision {
            Precision::Bf16 => simd::Avx512Bf16::detect().map(Self::Avx512Bf16),
            Precision::F32 => {
                let wide = simd::Avx512::detect().map(Self::Avx512);
                wide.or_else(|| simd::Avx2::detect().map(Self::Avx2))
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn detect(_: Precision) -> Option<Self> {
        None
    }
}

#[cfg(test)]
impl Set {
    /// All that the processor has.
    pub(super) fn all() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let all = [
            simd::Avx512::detect().map(Self::Avx512),
            simd::Avx512Bf16::detect().map(Self::Avx512Bf16),
            simd::Avx2::detect().map(Self::Avx2),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let all: [Option<Self>; 1] = [None];
        static TOLD: std::sync::Once = std::sync::Once::new();
        if all.iter().any(Option::is_none) {
            TOLD.call_once(|| {
                skipped!("a kernel for instructions that this processor has not: one of AVX-512, its bf16, AVX2");
            });
        }
        all.into_iter().flatten().collect()
    }

    /// Whether products are of bf16.
    pub(super) fn is_bf16(self) -> bool {
        fn depth<S: simd::Simd>(_: S) -> usize {
            S::DEPTH
        }
        with!(self, simd => depth(simd)) > 1
    }
}
