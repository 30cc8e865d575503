//! The language transformer: its configuration, parameters and initialization, the programs that
//! train, evaluate and decode it, and its weight files in the Hugging Face layout.
//!
//! Knows tensor programs and nothing of data, recipes or sampling. Files are touched only by
//! [`save`] and [`load()`].

// A match on ops or element types names them all, so that a new one is met by the compiler.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod adapter;
mod config;
mod decoding;
mod error;
mod family;
mod gguf;
mod hugging_face;
mod initialization;
mod json;
mod kinds;
mod load;
mod note;
mod optimizer;
mod parameters;
mod programs;
mod published;
mod rope;
mod scaled;
mod stored;
mod transformer;
mod weights;

pub use adapter::{Adapter, Merged};
pub use config::{LanguageConfig, SlidingWindow};
pub use decoding::{
    CACHE_TYPES, DecodingSpec, cache_name, cache_types, check_cache, decoding_program,
    decoding_program_of, key_weight,
};
pub use error::ModelError;
pub use family::Family;
pub use gguf::{
    GgufModel, GgufReport, GgufTensor, GgufTypes, architectures, export_gguf, export_gguf_with,
    from_gguf, gguf_bytes, gguf_config, gguf_types, load_gguf,
};
pub use hugging_face::{
    EightBits, ReadConfig, from_hugging_face, published_family, to_hugging_face,
    to_hugging_face_as_named,
};
pub use initialization::initialize;
pub use json::read_json;
pub use kinds::{Biases, Block, Mlp, MlpKind, Norm, QkNorm};
pub use load::{Loaded, file_notes, load, model_weights};
pub use note::Note;
pub use optimizer::{AdamWConfig, Clipping, MatrixOptimizer, OptimizerConfig, optimizer_state};
pub use parameters::{
    Module, Parameter, ParameterGroup, Place, parameter_count, parameters, placed_parameters,
};
pub use programs::{
    Compute, Forward, Precision, TrainingShape, evaluation_program, gradient_name,
    training_program, update_program,
};
pub use rope::RopeScaling;
pub use stored::{StoredTypes, relative_error};
pub use weights::{
    Weights, download, from_map, from_safetensors, published_weights, save, save_model,
    to_safetensors, upload, upload_to, with_matrix_dtype, with_types,
};
