//! Where activations lie: [row][channel][column] of vectors, with a border of zeros, so that no kernel asks where an
//! image ends.

use super::tile::{BORDER, LARGEST};

/// The shape of one layer's activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Frame {
    /// Vectors from one channel of a row to the next: the row filled up to whole tiles, and the border.
    pub(super) fn pitch(self) -> usize {
        self.width.next_multiple_of(LARGEST) + 2 * BORDER
    }

    /// Vectors of a row.
    pub(super) fn row(self) -> usize {
        self.channels * self.pitch()
    }

    /// Vectors of all.
    pub(super) fn cells(self) -> usize {
        (self.height.next_multiple_of(LARGEST) + 2 * BORDER) * self.row()
    }

    /// The vector of (`channel`, `y`, `x`), counted from the border's corner.
    #[inline(always)]
    pub(super) fn at(self, channel: usize, y: usize, x: usize) -> usize {
        y * self.row() + channel * self.pitch() + x
    }
}
