//! The loss around a network's weights: curvature, directions, planes, points, nested grids, surface files.

pub mod direction;
pub mod grid;
pub mod hessian;
pub mod lanczos;
pub mod plane;
pub mod surface;
