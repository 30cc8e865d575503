//! The update of parameters: gradient norm and clipping, AdamW, Muon.

mod adamw;
mod clip;
mod muon;

pub use adamw::{AdamW, adamw};
pub use clip::{clip_factor, global_norm};
pub use muon::{Muon, muon, muon_scratch};
