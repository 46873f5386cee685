//! Winograd's minimal filtering (Lavin and Gray, CVPR 2016): `M` neighbouring outputs of a filter of 3 taps from
//! `N = M + 2` inputs with N products instead of 3 M. In two dimensions the transforms are nested.

use super::simd::Simd;

/// Rows and columns around an image that a 3x3 filter sees.
pub(super) const BORDER: usize = 1;
/// The larger of the tiles' output edges.
pub(super) const LARGEST: usize = 4;

/// The three transforms along one dimension.
pub(super) trait Tile<const N: usize, const M: usize>: Copy {
    /// Of a filter's taps.
    fn filter<S: Simd>(self, simd: S, g: [S::V; 3]) -> [S::V; N];
    /// Of inputs.
    fn input<S: Simd>(self, simd: S, d: [S::V; N]) -> [S::V; N];
    /// From products to outputs.
    fn output<S: Simd>(self, simd: S, m: [S::V; N]) -> [S::V; M];
}

/// F(2, 3): the points 0, 1, -1 and infinity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Two;

impl Tile<4, 2> for Two {
    #[inline(always)]
    fn filter<S: Simd>(self, simd: S, g: [S::V; 3]) -> [S::V; 4] {
        let half = simd.splat(0.5);
        let even = simd.mul(half, simd.add(g[0], g[2]));
        let odd = simd.mul(half, g[1]);
        [g[0], simd.add(even, odd), simd.sub(even, odd), g[2]]
    }

    #[inline(always)]
    fn input<S: Simd>(self, simd: S, d: [S::V; 4]) -> [S::V; 4] {
        [simd.sub(d[0], d[2]), simd.add(d[1], d[2]), simd.sub(d[2], d[1]), simd.sub(d[3], d[1])]
    }

    #[inline(always)]
    fn output<S: Simd>(self, simd: S, m: [S::V; 4]) -> [S::V; 2] {
        let (sum, difference) = (simd.add(m[1], m[2]), simd.sub(m[1], m[2]));
        [simd.add(m[0], sum), simd.add(difference, m[3])]
    }
}

/// F(4, 3): the points 0, +-A, +-B and infinity.
///
/// With A = 1 and B = 2, as Lavin and Gray have it, the rounding error is twice as large: powers of the points that lie
/// evenly around 1 cancel less.
#[derive(Clone, Copy, Debug)]
pub(super) struct Four;

impl Four {
    const A: f32 = std::f32::consts::FRAC_1_SQRT_2;
    const B: f32 = std::f32::consts::SQRT_2;
    const A2: f32 = 0.5;
    const B2: f32 = 2.0;
}

impl Tile<6, 4> for Four {
    #[inline(always)]
    fn filter<S: Simd>(self, simd: S, g: [S::V; 3]) -> [S::V; 6] {
        // The filter's value at a point over the product of the point's distances to the others; A^2 B^2 is 1.
        const AT_A: f32 = 1.0 / (2.0 * Four::A2 * (Four::A2 - Four::B2));
        const AT_B: f32 = 1.0 / (2.0 * Four::B2 * (Four::B2 - Four::A2));
        let c = |x: f32| simd.splat(x);
        let even_a = simd.mul_add(c(AT_A * Self::A2), g[2], simd.mul(c(AT_A), g[0]));
        let even_b = simd.mul_add(c(AT_B * Self::B2), g[2], simd.mul(c(AT_B), g[0]));
        [
            g[0],
            simd.mul_add(c(AT_A * Self::A), g[1], even_a),
            simd.mul_add(c(-AT_A * Self::A), g[1], even_a),
            simd.mul_add(c(AT_B * Self::B), g[1], even_b),
            simd.mul_add(c(-AT_B * Self::B), g[1], even_b),
            g[2],
        ]
    }

    #[inline(always)]
    fn input<S: Simd>(self, simd: S, d: [S::V; 6]) -> [S::V; 6] {
        let c = |x: f32| simd.splat(x);
        let both = c(-(Self::A2 + Self::B2));
        let even_a = simd.mul_add(c(-Self::B2), d[2], d[4]);
        let odd_a = simd.mul_add(c(-Self::B2), d[1], d[3]);
        let even_b = simd.mul_add(c(-Self::A2), d[2], d[4]);
        let odd_b = simd.mul_add(c(-Self::A2), d[1], d[3]);
        [
            simd.add(d[0], simd.mul_add(both, d[2], d[4])),
            simd.mul_add(c(Self::A), odd_a, even_a),
            simd.mul_add(c(-Self::A), odd_a, even_a),
            simd.mul_add(c(Self::B), odd_b, even_b),
            simd.mul_add(c(-Self::B), odd_b, even_b),
            simd.add(d[1], simd.mul_add(both, d[3], d[5])),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(self, simd: S, m: [S::V; 6]) -> [S::V; 4] {
        let c = |x: f32| simd.splat(x);
        let (even_a, odd_a) = (simd.add(m[1], m[2]), simd.sub(m[1], m[2]));
        let (even_b, odd_b) = (simd.add(m[3], m[4]), simd.sub(m[3], m[4]));
        let cubes = simd.mul_add(c(Self::A * Self::A2), odd_a, m[5]);
        [
            simd.add(m[0], simd.add(even_a, even_b)),
            simd.mul_add(c(Self::A), odd_a, simd.mul(c(Self::B), odd_b)),
            simd.mul_add(c(Self::A2), even_a, simd.mul(c(Self::B2), even_b)),
            simd.mul_add(c(Self::B * Self::B2), odd_b, cubes),
        ]
    }
}
