//! The lines of one axis, level by level, and interpolation between them.

use std::ops::Range;

/// One axis, level by level.
#[derive(Clone, Debug)]
pub struct Lines {
    /// Lines known at each level, rising.
    levels: Vec<Vec<usize>>,
}

impl Lines {
    /// The levels of `n` lines.
    pub fn new(n: usize) -> Self {
        let mut levels = vec![vec![0, n / 2, n.saturating_sub(1)]];
        levels[0].dedup();
        while let Some(last) = levels.last().filter(|l| l.len() < n) {
            let between = last.windows(2).map(|w| (w[0] + w[1]) / 2);
            let mut finer: Vec<usize> = last.iter().copied().chain(between).collect();
            finer.sort_unstable();
            finer.dedup();
            levels.push(finer);
        }
        Self { levels }
    }

    /// The lines of a level; of the finest beyond it.
    pub fn at(&self, level: usize) -> &[usize] {
        let last = self.levels.len() - 1;
        &self.levels[level.min(last)]
    }
}

/// Up to four lines around `line`, two to each side where there are; `line` alone if it is one of them.
pub fn nodes(lines: &[usize], line: usize) -> Range<usize> {
    match lines.binary_search(&line) {
        Ok(i) => i..i + 1,
        Err(i) => {
            let start = i.saturating_sub(2).min(lines.len().saturating_sub(4));
            start..(start + 4).min(lines.len())
        }
    }
}

/// Lagrange's polynomial through the values at `nodes`, at `x`.
pub fn interpolate(nodes: &[usize], x: usize, value: impl Fn(usize) -> f64) -> f64 {
    let x = x as f64;
    let weight = |i: usize| {
        let others = nodes.iter().filter(|n| **n != i);
        others.map(|n| (x - *n as f64) / (i as f64 - *n as f64)).product::<f64>()
    };
    nodes.iter().map(|i| weight(*i) * value(*i)).sum()
}
