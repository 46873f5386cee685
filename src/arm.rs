//! The networks that run side by side, and one value for each of them.

use std::fmt;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Most arms that one run may hold: what the panels can still tell apart by colour.
pub const MAX_ARMS: usize = 8;

/// Position of an arm in its run, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ArmId(usize);

impl ArmId {
    /// The position as an index.
    pub fn index(self) -> usize {
        self.0
    }
}

/// An arm's name as it stands in configs, events and file names (`skip`, `noskip`). Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArmName(Arc<str>);

impl ArmName {
    /// Wraps a name that the config has already checked.
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ArmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One value per arm, in the run's order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PerArm<T>(Vec<T>);

// Not derived: a derive would ask for `T: Default`.
impl<T> Default for PerArm<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> PerArm<T> {
    /// How many arms there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the run has no arm (a snapshot before the engine has read its config).
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The arms' ids, in order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = ArmId> + ExactSizeIterator + use<T> {
        (0..self.0.len()).map(ArmId)
    }

    /// Values with their ids, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (ArmId, &T)> + ExactSizeIterator {
        self.0.iter().enumerate().map(|(i, v)| (ArmId(i), v))
    }

    /// Mutable values with their ids, in order.
    pub fn iter_mut(
        &mut self,
    ) -> impl DoubleEndedIterator<Item = (ArmId, &mut T)> + ExactSizeIterator {
        self.0.iter_mut().enumerate().map(|(i, v)| (ArmId(i), v))
    }

    /// Values alone, in order.
    pub fn values(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// The same arms with another value each.
    pub fn map<U>(&self, mut f: impl FnMut(ArmId, &T) -> U) -> PerArm<U> {
        PerArm(self.iter().map(|(id, v)| f(id, v)).collect())
    }

    /// The value of `id`, if the run has that arm.
    pub fn get(&self, id: ArmId) -> Option<&T> {
        self.0.get(id.0)
    }

    /// Adds the value of one more arm, the last.
    pub fn push(&mut self, value: T) -> ArmId {
        self.0.push(value);
        ArmId(self.0.len() - 1)
    }

    /// The first arm whose value satisfies `f`.
    pub fn find(&self, mut f: impl FnMut(&T) -> bool) -> Option<ArmId> {
        self.0.iter().position(&mut f).map(ArmId)
    }
}

impl<T> FromIterator<T> for PerArm<T> {
    fn from_iter<I: IntoIterator<Item = T>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl<T> IntoIterator for PerArm<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T> Index<ArmId> for PerArm<T> {
    type Output = T;

    fn index(&self, id: ArmId) -> &T {
        &self.0[id.0]
    }
}

impl<T> IndexMut<ArmId> for PerArm<T> {
    fn index_mut(&mut self, id: ArmId) -> &mut T {
        &mut self.0[id.0]
    }
}
