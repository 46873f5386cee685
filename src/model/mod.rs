//! The networks: plan, flat parameters, forward passes, initial weights, state dicts by PyTorch's names.

mod draw;
mod fold;
mod init;
mod kernel;
mod network;
mod plan;
mod rate;
mod state;

pub use draw::named_rng;
pub use fold::{Folded, FoldedLayout, Tally};
pub use init::initial_weights;
pub use kernel::{Block, Kernel, Precision, Prepared, Scratch};
pub use network::{Network, Probes, Weights};
pub use plan::{BlockPlan, ConvPlan, NormPlan, ParamKind, ParamPlan, Plan, Shortcut};
pub use rate::{Evaluator, Rate, RateSpec, measure_rate};
pub use state::{StateError, load_state, load_vectors, save_state, state_bytes};
