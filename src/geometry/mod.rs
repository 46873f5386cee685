//! Pure mathematics on slices: angles, isolines, levels. Knows nothing of networks, files or screens.

pub mod angle;
pub mod contour;
pub mod deviation;
mod difference;
mod flatness;
pub mod levels;
pub mod pca;
pub mod projection;
pub mod statistics;
