//! The networks: plan, flat parameters, forward passes, initial weights, state dicts by PyTorch's names.

mod draw;
mod fold;
mod hessian;
mod init;
mod network;
mod plan;
mod state;

pub use draw::named_rng;
pub use fold::{Folded, FoldedLayout, Tally};
pub use hessian::HessianProduct;
pub use init::initial_weights;
pub use network::{Network, Probes, Weights};
pub use plan::{BlockPlan, ConvPlan, NormPlan, ParamKind, ParamPlan, Plan, Shortcut};
pub use state::{StateError, load_state, load_vectors, save_state, state_bytes};
