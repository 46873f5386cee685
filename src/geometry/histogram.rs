//! How often an angle to the isocurve was taken: along it or across it.

use ndarray_stats::histogram::{Bins, Edges};
use noisy_float::types::{N64, n64};

/// Bins of a histogram: 10 degrees each, as fine as some hundred steps tell apart.
pub const BINS: usize = 9;
/// Beyond this, whichever way, a step crosses the isocurve more than it follows it.
pub const ACROSS_DEG: f64 = 45.0;
/// Degrees of a bin.
pub const BIN_DEG: f64 = 90.0 / BINS as f64;

/// Counts of |phi| from 0, along the isocurve, to 90 degrees, perpendicular to it.
#[derive(Clone, Debug)]
pub struct AngleCounts {
    bins: Bins<N64>,
    counts: [u64; BINS],
}

impl Default for AngleCounts {
    fn default() -> Self {
        // The last edge belongs to no bin: 90 degrees, which is reached, must.
        let edge = |i: usize| if i == BINS { 90.0_f64.next_up() } else { i as f64 * BIN_DEG };
        let edges: Vec<N64> = (0..=BINS).map(|i| n64(edge(i))).collect();
        Self { bins: Bins::new(Edges::from(edges)), counts: [0; BINS] }
    }
}

impl AngleCounts {
    /// Counts an angle in [-90, 90] that stands for so many; what is no angle does not count.
    pub fn add(&mut self, phi_deg: f64, many: u64) {
        let bin = phi_deg.is_finite().then(|| self.bins.index_of(&n64(phi_deg.abs()))).flatten();
        if let Some(count) = bin.and_then(|bin| self.counts.get_mut(bin)) {
            *count = count.saturating_add(many);
        }
    }

    /// Angles in each bin, along first.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn along_is_first_and_across_is_last_whichever_way() {
        let mut counts = AngleCounts::default();
        for phi in [0.0, 9.99, -9.99, 10.0, 45.0, 89.0, 90.0, -90.0, f64::NAN, f64::INFINITY] {
            counts.add(phi, 1);
        }
        assert_eq!(counts.counts(), [3, 1, 0, 0, 1, 0, 0, 0, 3]);
        assert_eq!(AngleCounts::default().counts(), [0; BINS]);
    }
}
