//! Pure mathematics on slices: angles, isolines, levels, views. Knows nothing of networks, files or screens.

pub mod angle;
pub mod bilinear;
pub mod color;
pub mod contour;
pub mod crossing;
pub mod deviation;
mod difference;
mod flatness;
pub mod histogram;
pub mod levels;
pub mod pca;
pub mod projection;
pub mod region;
pub mod scale;
pub mod solid;
pub mod statistics;
pub mod thinning;
pub mod ticks;
