//! Lines on a raster of braille dots: two by four to a character, one ink to a character.

/// A raster that is drawn on and then read cell by cell.
pub struct Raster {
    columns: usize,
    rows: usize,
    cells: Vec<Cell>,
}

/// One character of a raster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Braille's dots, as in Unicode's block; 0 where nothing is drawn.
    pub mask: u8,
    /// What was drawn last.
    pub ink: usize,
}

/// Unicode's bit of the dot at [column][row].
const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

impl Cell {
    /// The braille character.
    pub fn symbol(self) -> char {
        char::from_u32(0x2800 + u32::from(self.mask)).unwrap_or(' ')
    }
}

impl Raster {
    /// An empty raster of so many characters.
    pub fn new(columns: u16, rows: u16) -> Self {
        let (columns, rows) = (usize::from(columns), usize::from(rows));
        Self { columns, rows, cells: vec![Cell::default(); columns * rows] }
    }

    /// Dots across and down.
    pub fn dots(&self) -> (usize, usize) {
        (self.columns * 2, self.rows * 4)
    }

    /// The character at a place.
    pub fn cell(&self, column: u16, row: u16) -> Cell {
        let (column, row) = (usize::from(column), usize::from(row));
        if column < self.columns { self.cells.get(row * self.columns + column) } else { None }
            .copied()
            .unwrap_or_default()
    }

    fn dot(&mut self, x: f64, y: f64, ink: usize) {
        let (width, height) = self.dots();
        // Negative coordinates and NaN fail the comparison.
        if !(x >= 0.0 && y >= 0.0 && x < width as f64 && y < height as f64) {
            return;
        }
        let (x, y) = (x as usize, y as usize);
        let cell = &mut self.cells[y / 4 * self.columns + x / 2];
        cell.mask |= BITS[x % 2][y % 4];
        cell.ink = ink;
    }

    /// A straight line between two points, in dots from the upper left; what lies outside is cut off.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), ink: usize) {
        let (width, height) = self.dots();
        let Some((from, to)) = clip(from, to, width as f64, height as f64) else { return };
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let steps = dx.abs().max(dy.abs()).ceil().max(1.0) as usize;
        for i in 0..=steps {
            let t = i as f64 / steps as f64;
            self.dot(from.0 + t * dx, from.1 + t * dy, ink);
        }
    }
}

/// The part of a line inside [0, width] x [0, height] (Liang and Barsky); none if there is none or an end is no number.
fn clip(
    from: (f64, f64),
    to: (f64, f64),
    width: f64,
    height: f64,
) -> Option<((f64, f64), (f64, f64))> {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    if !(dx.is_finite() && dy.is_finite() && from.0.is_finite() && from.1.is_finite()) {
        return None;
    }
    let (mut enter, mut leave) = (0.0f64, 1.0f64);
    for (p, q) in [(-dx, from.0), (dx, width - from.0), (-dy, from.1), (dy, height - from.1)] {
        if p == 0.0 {
            if q < 0.0 {
                return None;
            }
        } else if p < 0.0 {
            enter = enter.max(q / p);
        } else {
            leave = leave.min(q / p);
        }
    }
    let at = |t: f64| (from.0 + t * dx, from.1 + t * dy);
    (enter <= leave).then(|| (at(enter), at(leave)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dots_stand_where_unicode_says() {
        let mut raster = Raster::new(1, 1);
        raster.line((0.0, 0.0), (0.0, 3.0), 3);
        assert_eq!(raster.cell(0, 0), Cell { mask: 0x47, ink: 3 });
        assert_eq!(raster.cell(0, 0).symbol(), '⡇');
        assert_eq!(raster.cell(5, 5), Cell::default());
    }

    #[test]
    fn a_diagonal_crosses_its_cells() {
        let mut raster = Raster::new(2, 1);
        raster.line((0.0, 0.0), (3.0, 3.0), 0);
        assert_eq!((raster.cell(0, 0).mask, raster.cell(1, 0).mask), (0x11, 0x84));
    }

    proptest! {
        /// Any line is drawn in bounded time and without a panic.
        #[test]
        fn lines_are_cut_off(a in any::<(f64, f64)>(), b in any::<(f64, f64)>(), w in 0u16..9, h in 0u16..9) {
            Raster::new(w, h).line(a, b, 1);
        }
    }
}
