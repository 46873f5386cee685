//! Pure mathematics on slices: angles, isolines, levels. Knows nothing of networks, files or screens.

pub mod angle;
pub mod contour;
pub mod levels;
