//! What can be wrong with a configuration, a weight file or a program made from them.

use std::path::PathBuf;

use stoa_graph::{DType, EngineError, GraphError, TensorType};

use crate::CACHE_TYPES;

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
    /// The caches of a model cannot have a type.
    #[error("{}", cache_refusal(*dtype, *head_dim))]
    Cache {
        /// The type asked for.
        dtype: DType,
        /// Numbers of a key of the model.
        head_dim: usize,
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
    /// A tensor of 8 bits has no scale.
    #[error("tensor `{name}` is stored as {dtype}, and of its scale there is none of {}; fetch all files \
        of the model, or one that is stored in bf16", .looked_for.join(", "))]
    NoScale {
        /// Tensor name.
        name: String,
        /// Type as the file names it.
        dtype: String,
        /// Names that a scale may have.
        looked_for: Vec<String>,
    },
    /// The scales of a tensor are not so many as its rows, blocks or groups.
    #[error(
        "tensor `{scale}` has dimensions {found:?}, which fit no rows, groups or blocks of \
        {of:?}; `weight_block_size` of quantization_config says which blocks share a scale"
    )]
    ScaleShape {
        /// Name of the scale.
        scale: String,
        /// Its dimensions.
        found: Vec<usize>,
        /// Those of the tensor it belongs to.
        of: Vec<usize>,
    },
    /// A number that was stored with a scale is too large for f16.
    #[error(
        "tensor `{name}` holds {number}, which f16 cannot hold; put bfloat16 in the place of \
        float16 in `torch_dtype` of config.json"
    )]
    BeyondF16 {
        /// Tensor name.
        name: String,
        /// The number.
        number: f32,
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
    /// Tensors the configuration asks for are not there, others are.
    #[error("{} tensors are missing, first `{}`, while the files hold `{found}` and others; is this \
        the model of that config.json?", .missing.len(), .missing[0])]
    OtherTensors {
        /// What is asked for.
        missing: Vec<String>,
        /// One of those that are there.
        found: String,
    },
    /// Two tensors are the same one but for a prefix.
    #[error(
        "`{first}` and `{second}` are one tensor but for what stands before the name; keep one"
    )]
    TwiceNamed {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// Files that an index names are not there.
    #[error(
        "{path}: {count} of {of} files it names are not there, first {first}; fetch them, or \
        remove the index if model.safetensors is to replace them"
    )]
    Shards {
        /// The index.
        path: PathBuf,
        /// First file that is not there.
        first: String,
        /// How many are not.
        count: usize,
        /// How many are named.
        of: usize,
    },
    /// Weights are pickled, which can run code when read.
    #[error("{path} is a pickle, which may run code when it is read; convert it with: python -c \
        \"from transformers import AutoModelForCausalLM as M; \
        M.from_pretrained('{directory}').save_pretrained('{directory}')\"",
        path = .path.display(), directory = .directory.display())]
    Pickled {
        /// The file.
        path: PathBuf,
        /// Its directory.
        directory: PathBuf,
    },
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
    /// A GGUF file of a model that is not computed here.
    #[error(
        "{path}: models of the architecture `{name}` are not computed here, only {known}; choose \
         another model"
    )]
    Architecture {
        /// The file.
        path: PathBuf,
        /// What `general.architecture` says.
        name: String,
        /// What is computed.
        known: String,
    },
    /// A key of a GGUF file asks for what this transformer does not do.
    #[error("{path}: `{key}` = {value} is not supported: {expected}; choose another model")]
    GgufKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What is supported.
        expected: String,
    },
    /// Tensors of a GGUF file that are no part of the model that its keys describe.
    #[error(
        "{path}: {} tensors are no part of the model that the keys describe, first `{}`; it \
         computes something else, choose another model", .names.len(), .names[0]
    )]
    GgufTensors {
        /// The file.
        path: PathBuf,
        /// The tensors.
        names: Vec<String>,
    },
    /// A model that cannot be written as a GGUF file.
    #[error(
        "no architecture of GGUF files that is written here computes this model, only {known}; \
         export it as safetensors"
    )]
    NoArchitecture {
        /// What is written.
        known: String,
    },
    /// A file that was written does not read as what was given.
    #[error("{path} does not read as the model that was written: {what}; it was removed")]
    Reopened {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// A GGUF file is wrong.
    #[error(transparent)]
    Gguf(#[from] stoa_gguf::GgufError),
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

/// Why a cache cannot have a type, and which ones it can.
fn cache_refusal(dtype: DType, head_dim: usize) -> String {
    let fits = |dtype: &&DType| head_dim.is_multiple_of(dtype.block().elements);
    let names: Vec<&str> = CACHE_TYPES.iter().filter(fits).map(|dtype| dtype.name()).collect();
    let block = dtype.block().elements;
    let why = match CACHE_TYPES.contains(&dtype) {
        true => format!(
            "the heads of this model have {head_dim} numbers, no whole number of its blocks of {block}"
        ),
        false => "no cache is kept in this type".to_owned(),
    };
    format!("cache of {dtype}: {why}; use {}", names.join(", "))
}
