//! What a loss surface is like, in figures: flatness, convexity, fragmentation, range, roughness.

use serde::{Deserialize, Serialize};

use super::contour::Grid;
use super::difference::{Patch, patches};
use super::flatness::{center, radii};
use super::levels::quantiles;
use super::scale::LOG_SHIFT;

/// Rise of the loss above the centre, nats, that ends its flat surroundings.
pub const RISE: f64 = 0.1;
/// The shares whose quantiles are told.
pub const SHARES: [f64; 7] = [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0];

/// Figures of one surface. The centre is the point (0, 0). A line (one row or one column) has the same figures along
/// itself. A figure that does not exist is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SurfaceStatistics {
    /// Loss at the centre, bilinear where no grid point lies there.
    pub center: Option<f64>,
    /// Median over the rays from the centre of the radius at which the loss first lies [`RISE`] above it, in plane
    /// units: by then half of the rays have risen. None if half of them leave the map or meet an unknown point before.
    pub flatness: Option<f64>,
    /// The smallest such radius over the rays; none if no ray rises.
    pub flatness_least: Option<f64>,
    /// Share of the rays that rise on the map, which tells why there is no flatness.
    pub rising_share: Option<f64>,
    /// Share of the inner points, themselves and all neighbours known, whose finite-difference Hessian is positive
    /// definite.
    pub convex_share: Option<f64>,
    /// Fragmentation: how many of those points lie below all their neighbours, the diagonal ones too. The rim is left
    /// out: a slope would have a minimum there.
    pub minima: Option<u64>,
    /// Quantiles of the finite values at [`SHARES`].
    pub quantiles: Option<[f64; SHARES.len()]>,
    /// Root mean square over the inner points of the finite-difference Hessian's Frobenius norm, of u = ln(loss + 0.1):
    /// sqrt(mean(u_xx^2 + 2 u_xy^2 + u_yy^2)), the bending of thin-plate splines, per plane unit squared; along a line
    /// sqrt(mean(u''^2)). The differences are divided by the spacing, so grids of any resolution agree as far as they
    /// resolve the surface (the error falls as the spacing squared). What changes from point to point is not resolved,
    /// and counts as spacing^-2: compare noisy surfaces at equal spacing. Axes scaled by s scale it by s^-2.
    pub roughness: Option<f64>,
}

impl SurfaceStatistics {
    /// The figures of `grid`: losses, not finite where unknown. All none if its axes do not rise or its values do not
    /// fill it.
    pub fn of(grid: Grid<'_>) -> Self {
        if !grid.is_sound() {
            return Self::default();
        }
        let center = center(grid);
        let radii = center.map(|loss| radii(grid, loss + RISE)).unwrap_or_default();
        let inner = patches(grid);
        let logs: Vec<f64> = grid.values.iter().map(|v| (v + LOG_SHIFT).ln()).collect();
        let bent: Vec<f64> =
            patches(Grid { values: &logs, ..grid }).iter().map(Patch::bending).collect();
        let count = |wanted: fn(&Patch) -> bool| inner.iter().filter(|p| wanted(p)).count();
        Self {
            center,
            flatness: median(&radii),
            flatness_least: radii.first().copied().filter(|r| r.is_finite()),
            rising_share: share(radii.iter().filter(|r| r.is_finite()).count(), radii.len()),
            convex_share: share(count(Patch::is_convex), inner.len()),
            minima: (!inner.is_empty()).then(|| count(Patch::is_minimum) as u64),
            quantiles: quantiles(grid.values, &SHARES).try_into().ok(),
            roughness: root_mean(&bent),
        }
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The median of rising values; none if it is not finite.
fn median(rising: &[f64]) -> Option<f64> {
    let (low, high) = (rising.len().checked_sub(1)? / 2, rising.len() / 2);
    Some(0.5 * rising[low] + 0.5 * rising[high]).filter(|m| m.is_finite())
}

fn root_mean(squares: &[f64]) -> Option<f64> {
    let mean = squares.iter().sum::<f64>() / squares.len() as f64;
    Some(mean.sqrt()).filter(|m| m.is_finite())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn axis(n: usize, range: f64) -> Vec<f64> {
        (0..n).map(|i| range * (2.0 * i as f64 / (n - 1) as f64 - 1.0)).collect()
    }

    fn sample(xs: &[f64], ys: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        ys.iter().flat_map(|y| xs.iter().map(|x| f(*x, *y)).collect::<Vec<_>>()).collect()
    }

    fn of(xs: &[f64], ys: &[f64], f: impl Fn(f64, f64) -> f64) -> SurfaceStatistics {
        SurfaceStatistics::of(Grid { xs, ys, values: &sample(xs, ys, f) })
    }

    fn square(f: impl Fn(f64, f64) -> f64) -> SurfaceStatistics {
        of(&axis(201, 1.0), &axis(201, 1.0), f)
    }

    fn close(found: Option<f64>, wanted: f64, gap: f64) -> bool {
        found.is_some_and(|v| (v - wanted).abs() <= gap)
    }

    #[test]
    fn a_bowl_is_flat_to_the_same_radius_all_around() {
        let found = square(|x, y| 2.0 + 0.4 * (x * x + y * y));
        assert_eq!(found.center, Some(2.0));
        // sqrt(0.1 / 0.4), on a grid point along the axes; between grid points the bilinear bowl lies above by up to
        // 0.4 h^2 / 2.
        assert!(close(found.flatness, 0.5, 2e-4), "{found:?}");
        assert!(close(found.flatness_least, 0.5, 2e-4), "{found:?}");
        assert_eq!(found.rising_share, Some(1.0));
        assert_eq!((found.convex_share, found.minima), (Some(1.0), Some(1)));
        let quantiles = found.quantiles.unwrap();
        assert!((quantiles[0] - 2.0).abs() < 1e-12 && (quantiles[6] - 2.8).abs() < 1e-12);
    }

    #[test]
    fn an_elongated_bowl_is_least_flat_across() {
        // 1 along x, 0.25 along y: radii sqrt(0.1 / (cos^2 + sin^2 / 4)); the median ray is at 45 degrees.
        let found = square(|x, y| x * x + 0.25 * y * y);
        assert!(close(found.flatness_least, 0.1f64.sqrt(), 1e-3), "{found:?}");
        assert!(close(found.flatness, (0.1 / 0.625f64).sqrt(), 1e-3), "{found:?}");
        assert_eq!((found.convex_share, found.minima), (Some(1.0), Some(1)));
        let turned = square(|x, y| (x + y).powi(2) + 0.01 * (x - y).powi(2));
        assert_eq!((turned.convex_share, turned.minima), (Some(1.0), Some(1)));
    }

    #[test]
    fn uneven_axes_change_no_figure() {
        let xs: Vec<f64> = axis(201, 1.0).iter().map(|t| t * (0.5 + 0.5 * t.abs())).collect();
        let ys: Vec<f64> = axis(101, 1.0).iter().map(|t| t * (2.0 - t)).collect();
        let found = of(&xs, &ys, |x, y| x * x + 0.25 * y * y - 0.3 * x * y);
        let even = of(&axis(301, 1.0), &axis(301, 1.0), |x, y| x * x + 0.25 * y * y - 0.3 * x * y);
        assert!(close(found.flatness, even.flatness.unwrap(), 2e-3), "{found:?} {even:?}");
        assert!(close(found.flatness_least, even.flatness_least.unwrap(), 2e-3));
        assert_eq!((found.convex_share, found.minima), (Some(1.0), Some(1)));
    }

    #[test]
    fn a_slope_rises_on_one_side() {
        let found = square(|x, _| 5.0 + x);
        assert!(close(found.flatness_least, 0.1, 1e-9), "{found:?}");
        // 0.1 / cos within the square: from -84 to 84 degrees.
        assert_eq!((found.flatness, found.rising_share), (None, Some(169.0 / 360.0)));
        assert_eq!((found.convex_share, found.minima), (Some(0.0), Some(0)));
        // Steps that are no round numbers: rounding is not taken for curvature.
        let slant = square(|x, y| 0.3 * x + 0.7 * y + 1.1);
        assert_eq!((slant.convex_share, slant.minima), (Some(0.0), Some(0)));
    }

    #[test]
    fn a_saddle_is_convex_nowhere() {
        let found = square(|x, y| 1.0 + 10.0 * (x * x - y * y));
        assert_eq!((found.convex_share, found.minima), (Some(0.0), Some(0)));
        assert!(close(found.flatness_least, 0.1, 1e-3) && found.flatness.is_none());
        assert!(found.rising_share.unwrap() < 0.5);
        let twisted = square(|x, y| 1.0 + x * x + y * y + 3.0 * x * y);
        assert_eq!(twisted.convex_share, Some(0.0));
    }

    #[test]
    fn an_egg_carton_has_a_minimum_in_every_cup() {
        let wave = |t: f64| (3.0 * std::f64::consts::PI * t).cos();
        // Minima of the cosine at 3 t = +-1 and +-3; the outer ones are the rim, so 2 x 2 are left. 1/3 lies between
        // grid points, nearer to one of them.
        let found = square(|x, y| 2.0 + wave(x) + wave(y));
        assert_eq!(found.minima, Some(4));
        // Both waves below 0: 3 |t| in (1/2, 3/2) or over 5/2, half of each axis.
        assert!(close(found.convex_share, 0.25, 0.01), "{found:?}");
    }

    #[test]
    fn a_constant_has_no_flatness_and_no_minimum() {
        let found = square(|_, _| 0.7);
        assert_eq!((found.center, found.flatness, found.flatness_least), (Some(0.7), None, None));
        assert_eq!((found.rising_share, found.convex_share), (Some(0.0), Some(0.0)));
        assert_eq!((found.minima, found.roughness), (Some(0), Some(0.0)));
        assert_eq!(found.quantiles, Some([0.7; 7]));
    }

    #[test]
    fn rays_end_at_holes_and_the_rest_is_told() {
        let bowl = |x: f64, y: f64| x * x + y * y;
        // Unknown right of x = 0.2: the rays that meet it before radius 0.316 do not rise.
        let found = square(|x, y| if x > 0.2 + 1e-9 { f64::NAN } else { bowl(x, y) });
        let wanted = f64::from(360 - (2 * 50 + 1)) / 360.0; // acos(0.2 / 0.3162) = 50.8 degrees
        assert_eq!(found.rising_share, Some(wanted));
        assert!(close(found.flatness, 0.1f64.sqrt(), 1e-3), "{found:?}");
        assert_eq!((found.convex_share, found.minima), (Some(1.0), Some(1)));
        // The centre unknown: no flatness at all, but the other figures.
        let found = square(|x, y| if x == 0.0 && y == 0.0 { f64::NAN } else { bowl(x, y) });
        assert_eq!((found.center, found.flatness, found.rising_share), (None, None, None));
        assert_eq!((found.convex_share, found.minima), (Some(1.0), Some(0)));
        let found = square(|_, _| f64::NAN);
        assert_eq!(found, SurfaceStatistics::default());
    }

    #[test]
    fn the_minimum_may_lie_off_the_centre() {
        // (x - 0.3)^2: from 0.09 down, and up again to 0.19 at 0.3 +- 0.4359.
        let found = square(|x, y| (x - 0.3).powi(2) + y * y);
        assert!(close(found.center, 0.09, 1e-12));
        assert!(close(found.flatness_least, 0.19f64.sqrt() - 0.3, 1e-3), "{found:?}");
        assert_eq!(found.minima, Some(1));
        // The centre off every grid point, and off the map.
        let xs: Vec<f64> = axis(201, 1.0).iter().map(|x| x + 0.0037).collect();
        let found = of(&xs, &xs, |x, y| x * x + y * y);
        assert!(close(found.flatness, 0.1f64.sqrt(), 1e-3), "{found:?}");
        let xs: Vec<f64> = axis(21, 1.0).iter().map(|x| x + 1.5).collect();
        let found = of(&xs, &axis(21, 1.0), |x, y| x * x + y * y);
        assert_eq!((found.center, found.flatness, found.rising_share), (None, None, None));
        assert_eq!(found.convex_share, Some(1.0));
    }

    #[test]
    fn a_line_has_two_sides() {
        let axis = axis(401, 2.0);
        let parabola = |t: f64| t * t + 0.3 * t;
        // t^2 + 0.3 t = 0.1: t = 0.2 and -0.5.
        for found in [of(&axis, &[0.0], |x, _| parabola(x)), of(&[0.0], &axis, |_, y| parabola(y))]
        {
            assert!(close(found.flatness_least, 0.2, 1e-4), "{found:?}");
            assert!(close(found.flatness, 0.35, 1e-4), "{found:?}");
            assert_eq!(found.rising_share, Some(1.0));
            assert_eq!((found.convex_share, found.minima), (Some(1.0), Some(1)));
        }
        let slope = of(&axis, &[0.0], |x, _| x);
        assert!(close(slope.flatness_least, 0.1, 1e-9));
        assert_eq!((slope.flatness, slope.rising_share), (None, Some(0.5)));
        assert_eq!((slope.convex_share, slope.minima), (Some(0.0), Some(0)));
        let waves = of(&axis, &[0.0], |x, _| (std::f64::consts::PI * 2.0 * x).cos());
        assert_eq!(waves.minima, Some(4));
        assert!(close(waves.convex_share, 0.5, 0.01));
        // Beside the line there is no centre; the rest is as it was.
        assert_eq!(of(&axis, &[0.5], |x, _| x * x).flatness, None);
    }

    #[test]
    fn roughness_agrees_between_resolutions() {
        // u = ln(loss + 0.1) = x^2 - x y + 1/2: u_xx = 2, u_xy = -1, u_yy = 0, norm sqrt 6, exactly on any grid.
        let quadratic = |x: f64, y: f64| (x * x - x * y + 0.5).exp() - 0.1;
        let waves = |x: f64, y: f64| (0.5 * (6.0 * x).sin() * (5.0 * y).cos()).exp();
        let at = |n: usize, f: fn(f64, f64) -> f64| {
            of(&axis(n, 1.0), &axis(n + 10, 1.0), f).roughness.unwrap()
        };
        assert!((at(21, quadratic) - 6f64.sqrt()).abs() < 1e-9);
        assert!((at(101, quadratic) - 6f64.sqrt()).abs() < 1e-8);
        assert!((at(51, waves) / at(201, waves) - 1.0).abs() < 0.03);
        assert!(at(201, waves) > at(201, |x, y| (0.5 * (3.0 * x).sin() * y.cos()).exp()));
        let line = of(&axis(51, 1.0), &[0.0], |x, _| (1.5 * x * x).exp() - 0.1);
        assert!(close(line.roughness, 3.0, 1e-9));
    }

    #[test]
    fn what_is_no_grid_has_no_figures() {
        let none = SurfaceStatistics::default();
        let of =
            |xs: &[f64], ys: &[f64], values: &[f64]| SurfaceStatistics::of(Grid { xs, ys, values });
        assert_eq!(of(&[], &[], &[]), none);
        assert_eq!(of(&[0.0, 1.0], &[0.0, 1.0], &[1.0]), none);
        assert_eq!(of(&[1.0, 0.0], &[0.0], &[1.0, 2.0]), none);
        assert_eq!(of(&[0.0, f64::NAN], &[0.0], &[1.0, 2.0]), none);
        let point = of(&[0.0], &[0.0], &[3.0]);
        assert_eq!((point.center, point.quantiles), (Some(3.0), Some([3.0; 7])));
        assert_eq!((point.rising_share, point.minima, point.roughness), (None, None, None));
        // Two rows: (1 - x y) / 2 has no inner point, but rays: -x y / 2 = 0.1 from 12 to 78 degrees of two quadrants.
        let two = of(&[-1.0, 1.0], &[-1.0, 1.0], &[0.0, 1.0, 1.0, 0.0]);
        let rising = Some(134.0 / 360.0);
        assert_eq!((two.rising_share, two.convex_share, two.minima), (rising, None, None));
    }

    /// Two figures that may differ by rounding.
    fn same(a: Option<f64>, b: Option<f64>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(1.0),
            (None, None) => true,
            _ => false,
        }
    }

    /// Losses in sixty-fourths, some unknown: sums are exact, so that no tie is broken by rounding.
    fn losses() -> impl Strategy<Value = Vec<f64>> {
        let one =
            prop_oneof![9 => (0..200i32).prop_map(|n| f64::from(n) / 64.0), 1 => Just(f64::NAN)];
        prop::collection::vec(one, 42)
    }

    const XS: [f64; 6] = [-1.0, -0.5, 0.0, 0.2, 0.8, 1.5];
    const YS: [f64; 7] = [-2.0, -1.0, -0.25, 0.5, 0.75, 1.0, 3.0];

    proptest! {
        #[test]
        fn a_constant_added_changes_only_heights(values in losses(), constant in 1..640i32) {
            let constant = f64::from(constant) / 64.0;
            let raised: Vec<f64> = values.iter().map(|v| v + constant).collect();
            let found = SurfaceStatistics::of(Grid { xs: &XS, ys: &YS, values: &values });
            let higher = SurfaceStatistics::of(Grid { xs: &XS, ys: &YS, values: &raised });
            prop_assert!(same(found.center.map(|c| c + constant), higher.center));
            prop_assert!(same(found.flatness, higher.flatness));
            prop_assert!(same(found.flatness_least, higher.flatness_least));
            prop_assert_eq!(found.rising_share, higher.rising_share);
            prop_assert_eq!((found.convex_share, found.minima), (higher.convex_share, higher.minima));
            let gaps = found.quantiles.unwrap().into_iter().zip(higher.quantiles.unwrap());
            prop_assert!(gaps.into_iter().all(|(a, b)| same(Some(a + constant), Some(b))));
        }

        #[test]
        fn swapping_the_axes_changes_nothing(values in losses()) {
            let swapped: Vec<f64> = (0..XS.len()).flat_map(|c| values.iter().skip(c).step_by(XS.len()).copied()).collect();
            let found = SurfaceStatistics::of(Grid { xs: &XS, ys: &YS, values: &values });
            let other = SurfaceStatistics::of(Grid { xs: &YS, ys: &XS, values: &swapped });
            prop_assert!(same(found.center, other.center));
            prop_assert!(same(found.flatness, other.flatness));
            prop_assert!(same(found.flatness_least, other.flatness_least));
            prop_assert_eq!(found.rising_share, other.rising_share);
            prop_assert_eq!((found.convex_share, found.minima), (other.convex_share, other.minima));
            prop_assert_eq!(found.quantiles, other.quantiles);
            prop_assert!(same(found.roughness, other.roughness));
        }

        #[test]
        fn the_axes_scale_the_radii(values in losses(), scale in 0.01..100.0f64) {
            let (xs, ys) = (XS.map(|x| x * scale), YS.map(|y| y * scale));
            let found = SurfaceStatistics::of(Grid { xs: &XS, ys: &YS, values: &values });
            let other = SurfaceStatistics::of(Grid { xs: &xs, ys: &ys, values: &values });
            prop_assert!(same(found.flatness, other.flatness.map(|r| r / scale)));
            prop_assert!(same(found.flatness_least, other.flatness_least.map(|r| r / scale)));
            prop_assert_eq!(found.rising_share, other.rising_share);
            prop_assert_eq!((found.convex_share, found.minima), (other.convex_share, other.minima));
            prop_assert!(same(found.roughness, other.roughness.map(|r| r * scale * scale)));
        }
    }
}
