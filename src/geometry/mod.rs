//! Pure mathematics on slices: angles, isolines, levels, views. Knows nothing of networks, files or screens.

pub mod angle;
pub mod bilinear;
pub mod color;
pub mod contour;
pub mod levels;
pub mod region;
pub mod scale;
pub mod solid;
pub mod ticks;
