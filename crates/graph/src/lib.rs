//! Tensor programs: a closed set of ops; shapes, gradients, costs. Pure: no I/O, no threads.
//!
//! A [`Program`] is a static graph in SSA form. [`Builder`] makes one, checking shapes as each
//! node is added; [`gradients`] appends its backward pass; an [`Engine`] runs it.

// A match on ops or element types names them all, so that a new one is met by the compiler.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod buffers;
mod builder;
mod cost;
mod engine;
mod error;
mod facts;
mod gradient;
mod op;
mod op_text;
mod program;
mod quantised;
pub mod reference;
mod schedule;
mod shape_rules;
mod tensor;
mod types;

pub use buffers::{Buffer, Buffers, DeviceId, Outputs, Pending, PendingRun};
pub use builder::{Builder, Places};
pub use cost::{Cost, Liveness, liveness, node_cost, program_cost};
pub use engine::{
    CompileOptions, Engine, EngineError, EngineFacts, Executable, MemoryPlan, OpProfile, Placement,
};
pub use error::GraphError;
pub use facts::{Bound, Elements, Facts, IntegerInput, RecomputeClass, Traffic, Workspace};
pub use gradient::{Gradients, Recompute, gradients};
pub use op::{
    AdamWSpec, AttentionSpec, CachedAttentionSpec, MuonSpec, Nonlinearity, Op, Orthogonalizer,
    RopeSpec,
};
pub use program::{Input, InputKind, Node, Output, Program, ValueId};
pub use quantised::{dequantise, quantise};
pub use shape_rules::output_types;
pub use tensor::{Element, SharedBytes, Tensor};
pub use types::{BlockLayout, DType, ElementKind, TensorType};

/// The code of the guide, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/graph.md")]
struct Guide;
