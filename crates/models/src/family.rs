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
    /// `MistralForCausalLM`.
    Mistral,
    /// `Qwen2ForCausalLM`: Qwen 2 and 2.5.
    Qwen2,
    /// `Qwen3ForCausalLM`.
    Qwen3,
    /// `SmolLM3ForCausalLM`.
    Smollm3,
    /// `Phi3ForCausalLM`: Phi-3, Phi-3.5 and Phi-4-mini.
    Phi3,
    /// `GemmaForCausalLM`.
    Gemma,
    /// `Gemma2ForCausalLM`.
    Gemma2,
    /// `Gemma3ForCausalLM`: the text models of Gemma 3.
    Gemma3,
    /// `Olmo2ForCausalLM`.
    Olmo2,
    /// `GraniteForCausalLM`.
    Granite,
    /// `StableLmForCausalLM`.
    Stablelm,
    /// `GPT2LMHeadModel`.
    Gpt2,
    /// `GPTNeoXForCausalLM`: GPT-NeoX and Pythia.
    GptNeox,
    /// `FalconForCausalLM`.
    Falcon,
    /// `CohereForCausalLM`: Command-R.
    Cohere,
    /// `Cohere2ForCausalLM`: Command-R7B.
    Cohere2,
}
