//! Families of published models by name.

use serde::{Deserialize, Serialize};

/// A family of published models: a class of `transformers` with its keys and tensor names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Of no family in particular: files take the class of the first that computes the model.
    #[default]
    None,
    /// `LlamaForCausalLM`: Llama 1 to 3.3, SmolLM2 and many others.
    Llama,
    /// `Qwen3ForCausalLM`.
    Qwen3,
}
