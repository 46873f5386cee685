//! The networks: plan, flat parameters, forward passes, initial weights, state dicts by PyTorch's names.

mod batch_statistics;
mod draw;
mod fold;
mod hessian;
mod init;
mod kernel;
mod network;
mod pass;
mod plan;
mod probes;
mod state;
mod state_dict;
mod tensor_bytes;
mod threads;

pub use batch_statistics::forward_with_batch_statistics;
pub use draw::named_rng;
pub use fold::{Folded, FoldedLayout, Tally};
pub use hessian::HessianProduct;
pub use init::initial_weights;
pub use kernel::{Block, Kernel, Prepared, Scratch};
pub use network::{Network, Weights};
pub use plan::{
    BlockPlan, ConvPlan, LinearPlan, NormPlan, NormedPlan, ParamKind, ParamPlan, Plan, Shortcut,
    Stage,
};
pub use probes::Probes;
pub use state::{StateError, load_state, load_vectors, save_state, state_bytes};
pub use state_dict::{Entry, ReadBytes, Translated, entries, shown, translate};
pub use tensor_bytes::TensorBytes;
pub use threads::use_threads;
