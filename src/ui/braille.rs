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

    /// The ASCII character that comes nearest.
    pub fn ascii(self) -> char {
        let has =
            |column: usize, rows: &[usize]| rows.iter().any(|r| self.mask & BITS[column][*r] != 0);
        let (upper, lower) = (&[0usize, 1][..], &[2usize, 3][..]);
        match [has(0, upper), has(1, upper), has(0, lower), has(1, lower)] {
            [false, false, false, false] => ' ',
            [true, true, false, false]
            | [true, false, false, false]
            | [false, true, false, false] => '\'',
            [false, false, true, true]
            | [false, false, true, false]
            | [false, false, false, true] => '.',
            [true, false, true, false] | [false, true, false, true] => '|',
            [true, false, false, true] => '\\',
            [false, true, true, false] => '/',
            [true, true, true, false] | [false, true, true, true] => '/',
            [true, true, false, true] | [true, false, true, true] => '\\',
            [true, true, true, true] => '+',
        }
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

    /// Takes away the dots within a triangle, its corners in dots from the upper left.
    pub fn erase(&mut self, corners: [(f64, f64); 3]) {
        for (x, y) in inside(corners, self.dots()) {
            let cell = &mut self.cells[y / 4 * self.columns + x / 2];
            cell.mask &= !BITS[x % 2][y % 4];
        }
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

/// The points of a raster of `size` whose middle lies within a triangle, edges included.
pub fn inside(corners: [(f64, f64); 3], size: (usize, usize)) -> Vec<(usize, usize)> {
    if corners.iter().any(|c| !(c.0.is_finite() && c.1.is_finite())) {
        return Vec::new();
    }
    let [a, b, c] = corners;
    let span = |p: f64, q: f64, r: f64, most: usize| {
        let first = (p.min(q).min(r) - 0.5).ceil().max(0.0) as usize;
        let end = (p.max(q).max(r) + 0.5).floor().clamp(0.0, most as f64) as usize;
        first.min(most)..end
    };
    let side = |p: (f64, f64), q: (f64, f64), x: f64, y: f64| {
        (q.0 - p.0) * (y - p.1) - (q.1 - p.1) * (x - p.0)
    };
    let mut found = Vec::new();
    for y in span(a.1, b.1, c.1, size.1) {
        for x in span(a.0, b.0, c.0, size.0) {
            let (px, py) = (x as f64 + 0.5, y as f64 + 0.5);
            let sides = [side(a, b, px, py), side(b, c, px, py), side(c, a, px, py)];
            if sides.iter().all(|s| *s >= 0.0) || sides.iter().all(|s| *s <= 0.0) {
                found.push((x, y));
            }
        }
    }
    found
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
    fn ascii_comes_near() {
        let drawn = |from, to| {
            let mut raster = Raster::new(1, 1);
            raster.line(from, to, 0);
            raster.cell(0, 0).ascii()
        };
        assert_eq!(drawn((0.0, 0.0), (0.0, 3.0)), '|');
        assert_eq!(drawn((0.0, 3.0), (1.0, 0.0)), '/');
        assert_eq!(drawn((0.0, 0.0), (1.0, 3.0)), '\\');
        assert_eq!(drawn((0.0, 3.0), (1.0, 3.0)), '.');
        assert_eq!(Cell::default().ascii(), ' ');
    }

    #[test]
    fn a_triangle_is_emptied() {
        let mut raster = Raster::new(2, 1);
        raster.line((0.0, 1.0), (3.0, 1.0), 0);
        raster.erase([(0.0, 0.0), (2.0, 0.0), (0.0, 4.0)]);
        assert_eq!((raster.cell(0, 0).mask, raster.cell(1, 0).mask), (0x10, 0x12));
        assert!(inside([(f64::NAN, 0.0), (1.0, 1.0), (0.0, 1.0)], (9, 9)).is_empty());
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
            let mut raster = Raster::new(w, h);
            raster.line(a, b, 1);
            raster.erase([a, b, (1.0, 2.0)]);
        }
    }
}
