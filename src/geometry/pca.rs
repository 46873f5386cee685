//! Principal components of rows that are known only by their inner products.
//!
//! With X the rows and J the centring, J X Xᵀ J = V Λ Vᵀ has the nonzero eigenvalues of the covariance (times the
//! number of rows), and the direction of a component is Xᵀ c with c = J v / sqrt(λ): a combination of the rows, so that
//! vectors of millions of entries are combined only once, for the components that are wanted.

use nalgebra::{DMatrix, DVector, SymmetricEigen};

/// Rounds of the eigenvalue iteration per row. It takes two or three; one that does not end is given up.
const ROUNDS: usize = 100;
/// A component whose rows' spread is this small a share of the largest row's squared length is rounding: the square
/// of 1e-5, some hundred units in the last place of single-precision rows.
const RANK: f64 = 1e-10;

/// Why there are no components.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PcaError {
    /// The Gram matrix is not square.
    #[error("{entries} inner products are no square of {rows} rows")]
    Shape {
        /// Rows.
        rows: usize,
        /// Inner products.
        entries: usize,
    },
    /// A single point has no direction.
    #[error("{0} rows; principal components need 2")]
    TooFew(usize),
    /// A row holds figures that are not finite, or too large.
    #[error("the inner products of row {0} are not finite")]
    NotFinite(usize),
    /// All rows are the same.
    #[error("the rows do not differ")]
    NoVariance,
    /// The eigenvalue iteration did not end.
    #[error("the eigenvalues did not converge")]
    NoConvergence,
}

/// One principal component.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// Its share of the rows' variance, in (0, 1].
    pub share: f64,
    /// What the rows are combined with to the component's direction, of unit length; they sum to 0, so it makes no
    /// difference whether the rows are centred [rows].
    pub coefficients: Vec<f64>,
    /// The rows along that direction, from the rows' own origin and not from their mean [rows].
    pub coordinates: Vec<f64>,
}

impl Component {
    /// The component turned round.
    pub fn reversed(mut self) -> Self {
        self.coefficients.iter_mut().chain(&mut self.coordinates).for_each(|v| *v = -*v);
        self
    }
}

/// The leading components, at most `most`, of `rows` rows with the inner products `gram` (`rows` x `rows`, symmetric up
/// to rounding), strongest first; fewer if the rows span fewer. The first row has no negative coordinate.
///
/// # Errors
/// When there are none: see [`PcaError`].
pub fn components(gram: &[f64], rows: usize, most: usize) -> Result<Vec<Component>, PcaError> {
    if rows.checked_mul(rows) != Some(gram.len()) {
        return Err(PcaError::Shape { rows, entries: gram.len() });
    }
    if rows < 2 {
        return Err(PcaError::TooFew(rows));
    }
    let raw = DMatrix::from_row_slice(rows, rows, gram);
    let raw = (&raw + raw.transpose()) * 0.5;
    let mut centered = raw.clone();
    center_columns(&mut centered);
    centered.transpose_mut();
    center_columns(&mut centered);
    // A sum may overflow where the entries do not.
    let finite = |m: &DMatrix<f64>, r: usize| m.row(r).iter().all(|v| v.is_finite());
    if let Some(row) = (0..rows).find(|r| !(finite(&raw, *r) && finite(&centered, *r))) {
        // A bad entry spoils its column too; the row to blame has itself as its worst.
        let to_blame = (0..rows).find(|r| !raw[(*r, *r)].is_finite());
        return Err(PcaError::NotFinite(to_blame.unwrap_or(row)));
    }
    let least = RANK * raw.diagonal().iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    let total = centered.trace();
    if total <= least {
        return Err(PcaError::NoVariance);
    }
    let eigen = SymmetricEigen::try_new(centered, f64::EPSILON, ROUNDS * rows)
        .ok_or(PcaError::NoConvergence)?;
    let mut order: Vec<usize> = (0..rows).filter(|i| eigen.eigenvalues[*i] > least).collect();
    order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
    let found: Vec<Component> = order
        .into_iter()
        .take(most)
        .map(|i| component(&raw, eigen.eigenvalues[i], total, eigen.eigenvectors.column(i).into()))
        .collect();
    if found.is_empty() && most > 0 { Err(PcaError::NoVariance) } else { Ok(found) }
}

fn center_columns(m: &mut DMatrix<f64>) {
    for mut column in m.column_iter_mut() {
        let mean = column.mean();
        column.add_scalar_mut(-mean);
    }
}

fn component(raw: &DMatrix<f64>, eigenvalue: f64, total: f64, vector: DVector<f64>) -> Component {
    let mean = vector.mean();
    let coefficients = vector.add_scalar(-mean) / eigenvalue.sqrt();
    let coordinates = raw * &coefficients;
    let found = Component {
        share: (eigenvalue / total).min(1.0),
        coefficients: coefficients.as_slice().to_vec(),
        coordinates: coordinates.as_slice().to_vec(),
    };
    if found.coordinates[0] < 0.0 { found.reversed() } else { found }
}

/// Two components may change places, to stay on the axes that they had, while the stronger has at most this many times
/// the share of the weaker: near a tie their order is chance; far from it the strongest belongs on the first axis.
const TIE: f64 = 1.5;

/// A component's place among those shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which component takes the place.
    pub component: usize,
    /// Whether it is turned round.
    pub reversed: bool,
}

/// Which component to show on which axis so that the picture does not turn round from one time to the next: `shares`
/// (falling) are the components', and `dots[i][j]` the inner product of the direction of component i with the previous
/// direction on axis j (nothing or NaN counts as 0). Each axis in turn takes the component most parallel to it, as far
/// as [`TIE`] lets them, and point the way the axis did.
pub fn places(shares: &[f64], dots: &[Vec<f64>]) -> Vec<Place> {
    let dot = |component: usize, axis: usize| {
        let found = dots.get(component).and_then(|row| row.get(axis)).copied();
        found.filter(|d| d.is_finite()).unwrap_or(0.0)
    };
    let mut left: Vec<usize> = (0..shares.len()).collect();
    let mut placed = Vec::with_capacity(left.len());
    while let Some(strongest) = left.first().copied() {
        let axis = placed.len();
        let near = left.iter().take_while(|c| shares[strongest] <= TIE * shares[**c]);
        // Of equally parallel ones the strongest stays.
        let found = near.fold(strongest, |best, c| {
            if dot(*c, axis).abs() > dot(best, axis).abs() { *c } else { best }
        });
        left.retain(|c| *c != found);
        placed.push(Place { component: found, reversed: dot(found, axis) < 0.0 });
    }
    placed
}

/// `components` in their `places`.
pub fn arrange(components: &[Component], places: &[Place]) -> Vec<Component> {
    let placed = places.iter().filter_map(|p| Some((components.get(p.component)?.clone(), p)));
    placed.map(|(c, p)| if p.reversed { c.reversed() } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gram(rows: &DMatrix<f64>) -> Vec<f64> {
        (rows * rows.transpose()).as_slice().to_vec()
    }

    fn of(rows: &DMatrix<f64>, most: usize) -> Result<Vec<Component>, PcaError> {
        components(&gram(rows), rows.nrows(), most)
    }

    fn direction(rows: &DMatrix<f64>, component: &Component) -> DVector<f64> {
        rows.transpose() * DVector::from_column_slice(&component.coefficients)
    }

    #[test]
    fn a_straight_path_has_one_component() {
        // Along (3, 4) from the origin by 5, 3, 1, 0.
        let rows = DMatrix::from_row_slice(4, 2, &[3.0, 4.0, 1.8, 2.4, 0.6, 0.8, 0.0, 0.0]);
        let found = of(&rows, 2).unwrap();
        assert_eq!(found.len(), 1);
        assert!((found[0].share - 1.0).abs() < 1e-12);
        let to = direction(&rows, &found[0]);
        assert!((to[0] - 0.6).abs() < 1e-12 && (to[1] - 0.8).abs() < 1e-12);
        for (at, wanted) in found[0].coordinates.iter().zip([5.0, 3.0, 1.0, 0.0]) {
            assert!((at - wanted).abs() < 1e-12);
        }
    }

    #[test]
    fn hand_worked_shares() {
        // A rhombus: variance 2 * 4 along x and 2 * 1 along y, moved off the origin.
        let rows = DMatrix::from_row_slice(4, 2, &[12.0, 5.0, 8.0, 5.0, 10.0, 6.0, 10.0, 4.0]);
        let found = of(&rows, 5).unwrap();
        assert_eq!(found.len(), 2);
        assert!((found[0].share - 0.8).abs() < 1e-12 && (found[1].share - 0.2).abs() < 1e-12);
        assert!((found[0].coordinates[0] - 12.0).abs() < 1e-10, "from the origin, not the mean");
        assert_eq!(of(&rows, 1).unwrap().len(), 1);
        assert_eq!(of(&rows, 0).unwrap().len(), 0);
    }

    #[test]
    fn what_has_no_components_says_why() {
        assert_eq!(components(&[1.0; 3], 2, 2), Err(PcaError::Shape { rows: 2, entries: 3 }));
        let huge = usize::MAX;
        assert_eq!(components(&[], huge, 2), Err(PcaError::Shape { rows: huge, entries: 0 }));
        assert_eq!(components(&[], 0, 2), Err(PcaError::TooFew(0)));
        assert_eq!(components(&[4.0], 1, 2), Err(PcaError::TooFew(1)));
        assert_eq!(components(&[0.0; 9], 3, 2), Err(PcaError::NoVariance));
        assert_eq!(components(&[7.0; 9], 3, 2), Err(PcaError::NoVariance));
        let mut bad = vec![1.0; 9];
        for at in [1, 3, 4, 5, 7] {
            bad[at] = f64::NAN;
        }
        assert_eq!(components(&bad, 3, 2), Err(PcaError::NotFinite(1)));
        assert_eq!(components(&[f64::MAX; 9], 3, 2), Err(PcaError::NotFinite(0)));
        // Not a Gram matrix of anything: no panic.
        assert_eq!(components(&[-1.0, 0.0, 0.0, -1.0], 2, 2), Err(PcaError::NoVariance));
    }

    #[test]
    fn two_rows_and_duplicates_span_a_line() {
        let rows = DMatrix::from_row_slice(2, 3, &[1.0, 2.0, 2.0, 0.0, 0.0, 0.0]);
        let found = of(&rows, 2).unwrap();
        assert_eq!(found.len(), 1);
        assert!((found[0].coordinates[0] - 3.0).abs() < 1e-12);
        let twice = DMatrix::from_row_slice(3, 2, &[1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(of(&twice, 2).unwrap().len(), 1);
    }

    #[test]
    fn components_keep_their_axes_through_a_tie_but_not_for_ever() {
        let place = |component, reversed| Place { component, reversed };
        let crossed = [vec![0.1, -0.9], vec![0.95, 0.1]];
        assert_eq!(places(&[0.4, 0.35], &crossed), [place(1, false), place(0, true)]);
        // Far apart: the strongest is on the first axis, whatever was there.
        assert_eq!(places(&[0.8, 0.1], &crossed), [place(0, false), place(1, false)]);
        assert_eq!(places(&[0.5, 0.4], &[]), [place(0, false), place(1, false)]);
        assert_eq!(places(&[0.9], &[vec![f64::NAN]]), [place(0, false)]);
        assert_eq!(places(&[], &[]), []);
        let around = [vec![0.0, 1.0, 0.0], vec![0.0, 0.0, 1.0], vec![1.0, 0.0, 0.0]];
        assert_eq!(
            places(&[0.3, 0.29, 0.28], &around),
            [place(2, false), place(0, false), place(1, false)]
        );
    }

    prop_compose! {
        fn matrix()(n in 2usize..9, d in 1usize..12)(
            values in prop::collection::vec(-3.0..3.0f64, n * d), n in Just(n), d in Just(d),
        ) -> DMatrix<f64> {
            DMatrix::from_vec(n, d, values)
        }
    }

    proptest! {
        #[test]
        fn components_are_those_of_a_dense_svd(rows in matrix()) {
            // Centred without loss of rank, on which nalgebra's SVD loses digits: by an orthonormal basis (Helmert's)
            // of what is orthogonal to (1, ..., 1).
            let helmert = DMatrix::from_fn(rows.nrows() - 1, rows.nrows(), |k, j| {
                let k = (k + 1) as f64;
                let raw = if (j as f64) < k { 1.0 } else if j as f64 == k { -k } else { 0.0 };
                raw / (k * (k + 1.0)).sqrt()
            });
            let svd = (helmert * &rows).svd(false, true);
            let squares: Vec<f64> = svd.singular_values.iter().map(|s| s * s).collect();
            let total: f64 = squares.iter().sum();
            prop_assume!(total > 1e-3);
            let found = of(&rows, usize::MAX).unwrap();
            prop_assert!(found.iter().map(|c| c.share).sum::<f64>() <= 1.0 + 1e-12);
            prop_assert!(found.windows(2).all(|w| w[0].share >= w[1].share));
            let vectors = svd.v_t.unwrap();
            for (i, component) in found.iter().enumerate() {
                prop_assert!((component.share - squares[i] / total).abs() < 1e-5);
                let to = direction(&rows, component);
                // The weak ones lose digits, as 1 / their share does.
                prop_assume!(component.share > 1e-6);
                prop_assert!((to.norm() - 1.0).abs() < 1e-5, "{}", to.norm());
                for (row, at) in rows.row_iter().zip(&component.coordinates) {
                    prop_assert!((row.transpose().dot(&to) - at).abs() < 1e-5);
                }
                for other in &found[..i] {
                    prop_assert!(to.dot(&direction(&rows, other)).abs() < 1e-5);
                }
                let gap = |j: Option<&f64>| j.is_none_or(|s| (s - squares[i]).abs() > 1e-4 * total);
                if gap(i.checked_sub(1).and_then(|j| squares.get(j))) && gap(squares.get(i + 1)) {
                    let along = vectors.row(i).transpose().dot(&to).abs();
                    prop_assert!((along - 1.0).abs() < 1e-5, "{along}");
                }
            }
        }

        /// Of a path that moves as much one way as the other, now one is stronger and now the other: each keeps its axis.
        #[test]
        fn axes_are_steady_where_two_are_near(
            points in 3usize..12, turn in 0.0..6.3f64, strengths in prop::collection::vec((0.9..1.1f64, any::<bool>()), 2..12),
        ) {
            let (one, other) = ([turn.cos(), turn.sin(), 0.0], [-turn.sin(), turn.cos(), 0.0]);
            let rows = |(by, signs): (f64, bool)| DMatrix::from_fn(points, 3, |i, j| {
                let at = std::f64::consts::TAU * i as f64 / points as f64;
                let sign = if signs { 1.0 } else { -1.0 };
                sign * (by * at.cos() * one[j] + at.sin() * other[j])
            });
            let mut axes: Option<Vec<DVector<f64>>> = None;
            // A first in which the order is certain.
            for strength in std::iter::once((1.05, true)).chain(strengths) {
                let moved = rows(strength);
                let found = of(&moved, 2).unwrap();
                let shares: Vec<f64> = found.iter().map(|c| c.share).collect();
                let dots: Vec<Vec<f64>> = match &axes {
                    None => Vec::new(),
                    Some(axes) => {
                        let with = |c| axes.iter().map(|a| a.dot(&direction(&moved, c))).collect();
                        found.iter().map(with).collect()
                    }
                };
                let shown = arrange(&found, &places(&shares, &dots));
                let now: Vec<DVector<f64>> = shown.iter().map(|c| direction(&moved, c)).collect();
                // Equally strong, any two directions are components.
                if (strength.0 - 1.0).abs() < 1e-3 {
                    continue;
                }
                if let Some(before) = &axes {
                    for (now, before) in now.iter().zip(before) {
                        prop_assert!(now.dot(before) > 0.999, "{now} {before}");
                    }
                }
                axes = Some(now);
            }
        }

        /// However the components were turned, against the previous ones they come out as those.
        #[test]
        fn signs_are_steady(rows in matrix(), noise in -0.01..0.01f64, turns in prop::array::uniform2(any::<bool>())) {
            let Ok(first) = of(&rows, 2) else { return Ok(()) };
            let previous: Vec<DVector<f64>> = first.iter().map(|c| direction(&rows, c)).collect();
            let moved = rows.map_with_location(|r, c, v| v + noise * ((r * 7 + c * 3) % 5) as f64);
            let Ok(next) = of(&moved, 2) else { return Ok(()) };
            let next: Vec<Component> =
                next.into_iter().zip(turns).map(|(c, turn)| if turn { c.reversed() } else { c }).collect();
            let dots: Vec<Vec<f64>> = next
                .iter()
                .map(|c| previous.iter().map(|p| p.dot(&direction(&moved, c))).collect())
                .collect();
            let shares: Vec<f64> = next.iter().map(|c| c.share).collect();
            let shown = arrange(&next, &places(&shares, &dots));
            prop_assert_eq!(shown.len(), next.len());
            for (component, before) in shown.iter().zip(&previous) {
                prop_assert!(direction(&moved, component).dot(before) >= 0.0);
            }
        }
    }
}
