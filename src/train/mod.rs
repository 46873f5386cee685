//! Training: one worker thread per arm, in lockstep by step; the optimizer on flat parameters; control; checkpoints.

pub mod checkpoint;
pub mod control;
pub mod counterfactual;
mod cuda;
pub mod device;
pub mod lockstep;
pub mod measure;
pub mod optimizer;
pub mod passes;
pub mod restore;
pub mod schedule;
mod training;
pub mod tune;
pub mod worker;
