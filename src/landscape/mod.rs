//! The loss around a network's weights: directions, planes, points, nested grids, surface files.

pub mod about;
pub mod direction;
pub mod evaluate;
pub mod file;
pub mod grid;
pub mod images;
pub mod plane;
pub mod span;
pub mod surface;
