//! The snapshots of one arm's weights: bounded, evenly thinned, in memory as far as there is room and on disk in any case.

mod disk;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use tch::{Device, TchError, Tensor};

use super::axes::Axes;
use super::file::{self, Content, FileError};
use super::values::{Values, add_rows, dot, dots};
use crate::config::SnapshotPrecision;
use crate::geometry::pca;
use crate::geometry::thinning::Thinning;
use crate::model::{Plan, Weights};

/// Memory that all arms' snapshots share, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What is left of it.
    pub left: u64,
}

impl Moment {
    /// `weights` after `step` steps, copied off their device; `loss` is theirs.
    ///
    /// # Errors
    /// When the copy fails.
    pub fn of(step: u64, weights: &Weights, loss: f64) -> Result<Self, TchError> {
        let numbers = |t: &Tensor| Vec::<f32>::try_from(t.f_to_device(Device::Cpu)?);
        let (theta, running) = (numbers(&weights.theta)?, numbers(&weights.running)?);
        Ok(Self { step, theta, running, batches: weights.batches, loss })
    }
}

impl Room {
    fn take(&mut self, bytes: u64) -> bool {
        let fits = bytes <= self.left;
        if fits {
            self.left -= bytes;
        }
        fits
    }
}

/// The weights at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// Steps done.
    pub step: u64,
    /// Parameters, flat.
    pub theta: Vec<f32>,
    /// Running means, then running variances.
    pub running: Vec<f32>,
    /// Batches that they have seen.
    pub batches: i64,
    /// Loss on the maps' images, nats.
    pub loss: f64,
}

/// Why a snapshot was not kept as it should be.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The weights are not finite.
    #[error("the weights after step {0} are not finite")]
    NotFinite(u64),
    /// It is not on disk; it is kept in memory if there was room.
    #[error("a snapshot was not written: {0}")]
    File(#[from] FileError),
    /// Others that lie on disk alone are not there any more; the new one is kept.
    #[error("{0} snapshots can be read no more: the path goes on without them")]
    Lost(usize),
}

/// One kept snapshot.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    step: u64,
    loss: f64,
    /// None: on disk alone.
    held: Option<Values>,
}

/// Axes that stay while the path goes on: those of a map.
#[derive(Clone, Debug)]
struct Frozen {
    axes: Axes,
    /// Coordinates of the origin, from the first snapshot.
    origin: [f64; 2],
    places: BTreeMap<u64, (f64, f64)>,
}

/// A point of the path: steps done, coordinates in the plane, loss.
pub type Point = (u64, (f64, f64), f64);

/// One arm's snapshots.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    thinning: Thinning,
    precision: SnapshotPrecision,
    /// Parameters of one dimension: they count as not moving (method.md 10).
    still: Vec<Range<usize>>,
    statistics: usize,
    first: Vec<f32>,
    rows: Vec<Row>,
    /// Inner products of the rows' differences from the first, what is still left out [rows * rows].
    gram: Vec<f64>,
    axes: Option<Axes>,
    frozen: Option<Frozen>,
}

impl Store {
    /// An empty store of the network of `plan`, whose files lie in `folder`.
    pub fn new(
        folder: PathBuf,
        plan: &Plan,
        thinning: Thinning,
        precision: SnapshotPrecision,
    ) -> Self {
        let still = plan.params.iter().filter(|p| p.shape.len() <= 1);
        Self {
            folder,
            thinning,
            precision,
            still: still.map(|p| p.offset as usize..(p.offset + p.len()) as usize).collect(),
            statistics: 2 * plan.statistics().unsigned_abs() as usize,
            first: vec![0.0; plan.scalars().unsigned_abs() as usize],
            rows: Vec::new(),
            gram: Vec::new(),
            axes: None,
            frozen: None,
        }
    }

    /// Steps done at the kept snapshots, oldest first.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = u64> + '_ {
        self.rows.iter().map(|r| r.step)
    }

    /// Snapshots whose numbers are in memory.
    pub fn held(&self) -> usize {
        self.rows.iter().filter(|r| r.held.is_some()).count()
    }

    /// Adds the newest snapshot and lets go of those that are no longer kept. One of the newest step that is
    /// there already changes nothing.
    ///
    /// # Errors
    /// When the weights are not finite; when it could not be written: then it is kept if memory has room for it; when
    /// earlier ones are lost.
    pub fn insert(&mut self, moment: Moment, room: &mut Room) -> Result<(), StoreError> {
        let Moment { step, theta, running, batches, loss } = moment;
        if self.rows.last().is_some_and(|r| r.step >= step) {
            return Ok(());
        }
        if !theta.iter().all(|v| v.is_finite()) {
            return Err(StoreError::NotFinite(step));
        }
        let begins = self.rows.is_empty();
        if begins {
            self.first.clone_from(&theta);
        }
        self.thin(step, room);
        let difference = match begins {
            true => Values::Zero,
            false => Values::difference(&theta, &self.first, self.precision),
        };
        let content =
            Content { theta: begins.then_some(theta), difference, running, batches, loss };
        let path = file::path(&self.folder, step);
        let made = fs::create_dir_all(&self.folder);
        let made = made.map_err(|source| FileError::Io { path: self.folder.clone(), source });
        let written = made.and_then(|()| content.write(&path));
        let fits = content.difference.bytes() <= room.left;
        let mut lost = 0;
        if written.is_ok() || fits {
            lost = self.push(step, loss, content.difference, room);
        }
        written?;
        if lost > 0 { Err(StoreError::Lost(lost)) } else { Ok(()) }
    }

    /// Lets go of everything that is in memory.
    pub fn let_go(&mut self, room: &mut Room) {
        room.left += self.rows.iter().filter_map(|r| Some(r.held.as_ref()?.bytes())).sum::<u64>();
        self.rows.clear();
        self.gram.clear();
        (self.axes, self.frozen) = (None, None);
    }

    /// Lets go of what is not kept once `newest` is the newest.
    fn thin(&mut self, newest: u64, room: &mut Room) {
        let Some(first) = self.rows.first().map(|r| r.step) else { return };
        let stays: Vec<bool> =
            self.rows.iter().map(|r| self.thinning.keeps(first, newest, r.step)).collect();
        for (row, _) in self.rows.iter().zip(&stays).filter(|(_, stays)| !**stays) {
            room.left += row.held.as_ref().map_or(0, Values::bytes);
            // One that cannot be removed is removed when the run is taken up.
            let _ = fs::remove_file(file::path(&self.folder, row.step));
        }
        self.retain(&stays);
    }

    /// Leaves the rows that stay, and their products.
    fn retain(&mut self, stays: &[bool]) {
        let count = self.rows.len();
        let entries = self.gram.iter().enumerate();
        let entries = entries.filter(|(i, _)| stays[i / count] && stays[i % count]);
        self.gram = entries.map(|(_, v)| *v).collect();
        let mut stays = stays.iter();
        self.rows.retain(|_| stays.next().copied().unwrap_or(true));
    }

    /// Adds a row behind the others; how many of those were lost because their file cannot be read.
    fn push(&mut self, step: u64, loss: f64, values: Values, room: &mut Room) -> usize {
        let mut moved = vec![0.0f32; self.first.len()];
        values.add_to(&mut moved, 1.0);
        for part in &self.still {
            if let Some(part) = moved.get_mut(part.clone()) {
                part.fill(0.0);
            }
        }
        let products = self.products(&moved);
        // What none can be multiplied with would leave no plane at all, for as long as it is kept.
        self.retain(&products.iter().map(Option::is_some).collect::<Vec<_>>());
        let lost = products.len() - self.rows.len();
        let mut products: Vec<f64> = products.into_iter().flatten().collect();
        products.push(dot(&moved, &moved));
        let count = self.rows.len();
        let mut gram = Vec::with_capacity((count + 1) * (count + 1));
        for (row, product) in self.gram.chunks(count.max(1)).zip(&products) {
            gram.extend(row);
            gram.push(*product);
        }
        gram.extend(&products);
        self.gram = gram;
        if let Some(Frozen { axes, origin, places }) = &mut self.frozen {
            let along = |i: usize| values.dot(axes.axis(i)) - origin[i];
            places.insert(step, (along(0), along(1)));
        }
        let held = room.take(values.bytes()).then_some(values);
        self.rows.push(Row { step, loss, held });
        lost
    }

    /// Inner products of the rows with a flat vector; none where a row cannot be read.
    fn products(&self, with: &[f32]) -> Vec<Option<f64>> {
        let mut products = Vec::with_capacity(self.rows.len());
        self.each_run(|_, run| match run {
            Some(run) => products.extend(dots(run, with).into_iter().map(Some)),
            None => products.push(None),
        });
        products
    }

    /// Hands over the rows in order, with the index of the first: at once those that lie in memory side by side, by itself
    /// one that lies on disk alone, none for one that cannot be read.
    fn each_run(&self, mut take: impl FnMut(usize, Option<&[&Values]>)) {
        let mut from = 0;
        while let Some(row) = self.rows.get(from) {
            let held = self.rows[from..].iter().map_while(|r| r.held.as_ref());
            let held: Vec<&Values> = held.collect();
            if held.is_empty() {
                let read = self.read(row.step);
                let one = read.as_ref().map(|values| [values]);
                take(from, one.as_ref().map(|one| &one[..]));
                from += 1;
            } else {
                take(from, Some(&held));
                from += held.len();
            }
        }
    }

    /// What `take` makes of a row's numbers, read from disk if they are there alone; none if they cannot be read.
    fn with_values(&self, row: &Row, take: impl FnOnce(&Values) -> f64) -> Option<f64> {
        match &row.held {
            Some(values) => Some(take(values)),
            None => self.read(row.step).map(|values| take(&values)),
        }
    }

    /// Lays the plane through the snapshots anew. None while they span none: fewer than three, or on a line.
    pub fn lay_axes(&mut self) -> Option<&Axes> {
        let steps: Vec<u64> = self.steps().collect();
        let components = pca::components(&self.gram, self.rows.len(), 2).ok()?;
        let [a, b] = &components[..] else { return None };
        let scalars = self.first.len();
        let (mut x, mut y) = (vec![0.0f32; scalars], vec![0.0f32; scalars]);
        let both = a.coefficients.iter().zip(&b.coefficients);
        let by: Vec<[f32; 2]> = both.map(|(x, y)| [*x as f32, *y as f32]).collect();
        let mut whole = true;
        self.each_run(|from, run| match run {
            Some(run) => {
                let rows: Vec<_> = run.iter().copied().zip(by[from..].iter().copied()).collect();
                add_rows(&rows, [&mut x, &mut y]);
            }
            None => whole = false,
        });
        if !whole {
            return None;
        }
        for part in &self.still {
            for direction in [&mut x, &mut y] {
                if let Some(part) = direction.get_mut(part.clone()) {
                    part.fill(0.0);
                }
            }
        }
        self.axes = Some(Axes::new(&steps, &components, vec![x, y], self.axes.as_ref())?);
        self.axes.as_ref()
    }

    /// The axes laid last.
    pub fn axes(&self) -> Option<&Axes> {
        self.axes.as_ref()
    }

    /// Lets the path be told in the axes laid last from now on, until the next time.
    pub fn freeze(&mut self) {
        let Some(axes) = self.axes.clone() else { return };
        let Some(last) = self.rows.last() else { return };
        let along = |i: usize| self.with_values(last, |v| v.dot(axes.axis(i)));
        let (Some(x), Some(y)) = (along(0), along(1)) else { return };
        let places = axes.places.iter().copied().collect();
        self.frozen = Some(Frozen { axes, origin: [x, y], places });
    }

    /// The axes in which the path is told: frozen ones, else those laid last.
    pub fn told_axes(&self) -> Option<&Axes> {
        self.frozen.as_ref().map(|f| &f.axes).or(self.axes.as_ref())
    }

    /// The path in the axes in which it is told, oldest point first; empty before there are any.
    pub fn points(&self) -> Vec<Point> {
        match (&self.frozen, &self.axes) {
            (Some(frozen), _) => self.placed(|step| frozen.places.get(&step).copied()),
            (None, Some(axes)) => self.points_in(axes),
            (None, None) => Vec::new(),
        }
    }

    /// The path in axes that were laid through it.
    pub fn points_in(&self, axes: &Axes) -> Vec<Point> {
        self.placed(|step| axes.place(step))
    }

    fn placed(&self, place: impl Fn(u64) -> Option<(f64, f64)>) -> Vec<Point> {
        self.rows.iter().filter_map(|r| Some((r.step, place(r.step)?, r.loss))).collect()
    }
}

#[cfg(test)]
mod tests;
