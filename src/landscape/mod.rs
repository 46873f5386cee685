//! The loss around a network's weights: directions, planes, points, nested grids, surface files.

pub mod about;
pub mod direction;
pub mod file;
pub mod grid;
pub mod plane;
pub mod surface;
