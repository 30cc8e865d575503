//! What can be wrong with a configuration, a weight file or a program made from them.

use std::path::PathBuf;

use stoa_graph::{EngineError, GraphError, TensorType};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A field of a configuration makes no sense.
    #[error("model configuration: `{field}` = {value}: {expected}")]
    Config {
        /// Name of the field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: String,
    },
    /// A `config.json` asks for what this transformer does not do.
    #[error(
        "config.json: `{key}` = {value} is not supported: {expected}; \
         convert the checkpoint or choose another"
    )]
    Unsupported {
        /// Key of the file.
        key: String,
        /// Its value.
        value: String,
        /// What is supported.
        expected: String,
    },
    /// An adapter asks for what is not merged here.
    #[error("`{key}` = {value} is not merged here: {expected}; merge it with peft")]
    Adapter {
        /// Key of `adapter_config.json`.
        key: String,
        /// Its value.
        value: String,
        /// What is merged.
        expected: String,
    },
    /// A `config.json` cannot be read.
    #[error("config.json: {0}")]
    Json(#[from] serde_json::Error),
    /// A safetensors file is malformed.
    #[error("safetensors: {0}; the file is damaged or cut short, fetch or save it again")]
    Safetensors(#[from] safetensors::SafeTensorError),
    /// A tensor is stored in a type that programs do not know.
    #[error("tensor `{name}` has element type {dtype}; store it as F32, BF16, F16 or I32")]
    ElementType {
        /// Tensor name.
        name: String,
        /// Type as the file names it.
        dtype: String,
    },
    /// A tensor cannot be stored in the type asked for.
    #[error("tensor `{name}`: {source}")]
    Conversion {
        /// Tensor name.
        name: String,
        /// Why.
        source: Box<GraphError>,
    },
    /// Tensors the configuration asks for are not there.
    #[error("{} tensors are missing, first `{}`; is this the model of that config.json?",
        .0.len(), .0[0])]
    MissingTensors(Vec<String>),
    /// Tensors are there that the configuration does not know.
    #[error("{} unknown tensors, first `{}`; is this the model of that config.json?",
        .0.len(), .0[0])]
    UnknownTensors(Vec<String>),
    /// A tensor has another shape than the configuration says.
    #[error("tensor `{name}` is {found}, the configuration asks for {expected}")]
    TensorShape {
        /// Tensor name.
        name: String,
        /// What the configuration says.
        expected: TensorType,
        /// What the file holds.
        found: TensorType,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of a model directory is wrong.
    #[error("{path}: {source}")]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<ModelError>,
    },
    /// A program could not be made.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// An engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl ModelError {
    /// The same error, said to be about a file.
    pub(crate) fn at(self, path: &std::path::Path) -> Self {
        ModelError::In { path: path.to_owned(), source: Box::new(self) }
    }
}
