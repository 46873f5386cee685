//! The loss around a network's weights: curvature, directions, planes, points, nested grids, surface files.

pub mod about;
pub mod crew;
mod digest;
pub mod direction;
pub mod error;
pub mod evaluate;
pub mod file;
#[cfg(test)]
mod fixture;
pub mod hessian;
pub mod images;
pub mod job;
pub mod journal;
pub mod lanczos;
pub mod merge;
pub mod plane;
mod pool;
pub mod principal;
mod projected;
pub mod refine;
pub mod request;
pub mod shard;
pub mod source;
pub mod span;
pub mod surface;
pub mod trajectory;
pub mod trial;
pub mod weights;
pub mod whole_split;
