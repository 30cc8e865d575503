//! The answering engine: sampling, KV cache, batching, stop strings.
//!
//! [`Assistant`] answers: [`Assistant::generate`] continues tokens, [`Assistant::chat`] answers a
//! [`Conversation`](stoa_dialogue::Conversation), [`Assistant::generate_batch`] answers many requests at once. The parts are
//! usable alone: [`Sampler`] draws tokens, [`StopMatcher`] finds stop strings in streamed text.
//!
//! Knows models, dialogues, tokenizers and the `Engine` trait; nothing of training, sockets or terminals.

mod assistant;
mod batch;
mod completion;
mod decoder;
mod error;
mod load;
mod sampling;
mod sequence;
mod slots;
mod stop;

pub use assistant::{
    Assistant, AssistantOptions, AssistantParts, Overflow, default_end_tokens, silent,
};
pub use completion::{
    Completion, Event, FinishReason, OnBatchEvent, OnEvent, Request, Settings, Timings,
};
pub use error::AssistantError;
pub use sampling::{Sampler, Sampling, TokenLogprobs, logprobs};
pub use stoa_tokens::TokenId;
pub use stop::{Released, StopMatcher};
