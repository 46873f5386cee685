//! A grid computed coarse first and then finer: nested passes, every point once.

/// One pass over a grid: after it, every point whose row and column are in `lines` is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Indices of the rows (and columns) that the pass completes, rising.
    pub lines: Vec<usize>,
    /// Points (row, column) that no earlier pass computed, in row-major order.
    pub points: Vec<(usize, usize)>,
}

/// Coordinates of `n` lines over [-range, range]; the middle one of an odd `n` is exactly 0.
pub fn axis(n: usize, range: f64) -> Vec<f64> {
    let middle = (n.max(2) - 1) as f64 / 2.0;
    (0..n).map(|i| range * (i as f64 - middle) / middle).collect()
}

/// The passes of an n x n grid, n odd and at least 3: 5 lines (ends, centre and between), then with each pass the lines
/// halfway between those known, until all are.
pub fn passes(n: usize) -> Vec<Pass> {
    let mut lines = vec![0, n / 2, n - 1];
    let mut passes: Vec<Pass> = Vec::new();
    let mut known = vec![false; n];
    while lines.len() < n {
        let between = lines.windows(2).map(|w| (w[0] + w[1]) / 2);
        let mut finer: Vec<usize> = lines.iter().copied().chain(between).collect();
        finer.sort_unstable();
        finer.dedup();
        lines = finer;
        let new = lines.iter().flat_map(|r| lines.iter().map(move |c| (*r, *c)));
        let points = new.filter(|(r, c)| !(known[*r] && known[*c])).collect();
        lines.iter().for_each(|l| known[*l] = true);
        passes.push(Pass { lines: lines.clone(), points });
    }
    passes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seventeen_lines_take_three_passes() {
        let sizes: Vec<(usize, usize)> =
            passes(17).iter().map(|p| (p.lines.len(), p.points.len())).collect();
        assert_eq!(sizes, [(5, 25), (9, 81 - 25), (17, 289 - 81)]);
    }

    #[test]
    fn the_centre_is_exactly_zero() {
        assert_eq!(axis(5, 1.0), [-1.0, -0.5, 0.0, 0.5, 1.0]);
        assert_eq!(axis(51, 0.3)[25], 0.0);
    }

    proptest! {
        #[test]
        fn every_point_is_computed_once_and_passes_are_nested(half in 2usize..60) {
            let n = 2 * half + 1;
            let mut times = vec![0; n * n];
            for pass in passes(n) {
                pass.points.iter().for_each(|(r, c)| times[r * n + c] += 1);
                for r in &pass.lines {
                    for c in &pass.lines {
                        prop_assert_eq!(times[r * n + c], 1);
                    }
                }
                prop_assert!(pass.lines.contains(&half) && pass.lines.windows(2).all(|w| w[0] < w[1]));
            }
            prop_assert!(times.iter().all(|t| *t == 1));
        }
    }
}
