//! Where the training of an arm has been: snapshots of its weights, and the plane in which they move most.

mod axes;
mod blocks;
pub mod file;
mod store;
mod values;

pub use axes::Axes;
pub use store::{Moment, Point, Room, Store, StoreError};
pub use values::Values;
