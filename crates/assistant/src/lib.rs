//! The answering engine: sampling, KV cache, constraints, chat templates.

mod chat;
mod error;
mod philox;
mod sampling;
mod stop;

pub use chat::{ChatTemplate, Conversation, Json, LocalTime, Message, Role};
pub use error::AssistantError;
pub use philox::{philox4x32, uniform};
pub use sampling::{Sampler, Sampling, TokenLogprobs, logprobs};
pub use stoa_tokens::TokenId;
pub use stop::{Released, StopMatcher};
