//! The answering engine: sampling, KV cache, batching, stop strings.
//!
//! [`Assistant`] answers: [`Assistant::generate`] continues tokens, [`Assistant::chat`] answers a
//! [`Conversation`](stoa_dialogue::Conversation), [`Assistant::generate_batch`] answers many requests
//! at once. [`Scheduler`] answers any number of callers step by step. The parts are usable alone:
//! [`Sampler`] draws tokens, [`StopMatcher`] finds stop strings in streamed text.
//!
//! Knows models, dialogues, tokenizers and the `Engine` trait; nothing of training, sockets or terminals.

// A match on ops or element types names them all, so that a new one is met by the compiler.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod assistant;
mod completion;
mod contradictions;
mod decoder;
mod error;
mod generation;
mod gguf;
mod gguf_write;
mod load;
mod memory;
mod pages;
mod sampling;
mod scheduler;
mod sequence;
mod stop;

pub use assistant::{
    Assistant, AssistantOptions, AssistantParts, Clock, Overflow, default_end_tokens, ignore_events,
};
pub use completion::{
    Completion, Event, FinishReason, OnBatchEvent, OnEvent, Request, Settings, Timings,
};
pub use decoder::PAGE_TOKENS;
pub use error::AssistantError;
pub use generation::GenerationDefaults;
pub use gguf::gguf_tokenizer;
pub use load::{ModelParts, Storage};
pub use memory::{CACHE_SHARE, MemoryNeed, check_weights, fit};
pub use pages::PageCounts;
pub use sampling::{Sampler, Sampling, TokenLogprobs, logprobs};
pub use scheduler::{RequestId, Scheduler, SchedulerOptions, SchedulerParts, Update};
pub use stoa_tokens::TokenId;
pub use stop::{Released, StopMatcher};
