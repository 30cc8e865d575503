//! What is asked for and what comes back. No work is done here.

use std::ops::ControlFlow;

use crate::{Sampling, TokenId, TokenLogprobs};

/// How one answer is made and where it ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Most tokens of the answer; fewer when the context is full.
    pub max_tokens: usize,
    /// Report log p of each token of the prompt but the first, and draw none: `max_tokens` is 0.
    pub score_prompt: bool,
    /// The answer ends before the first of these strings.
    pub stop_strings: Vec<String>,
    /// The answer ends at the first of these tokens, which is not shown. The assistant adds those
    /// that end a turn of its model unless `ignore_end` is set.
    pub stop_tokens: Vec<TokenId>,
    /// Whether the model's own end of turn is a token like any other: for measuring speed.
    pub ignore_end: bool,
    /// Report log-probabilities: of the token drawn, and of this many most probable ones.
    pub logprobs: Option<usize>,
}

impl Default for Settings {
    /// Greedy answers of at most 256 tokens.
    fn default() -> Self {
        Settings {
            sampling: Sampling::greedy(),
            max_tokens: 256,
            score_prompt: false,
            stop_strings: Vec::new(),
            stop_tokens: Vec::new(),
            ignore_end: false,
            logprobs: None,
        }
    }
}

/// A prompt with its settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Tokens to continue.
    pub prompt: Vec<TokenId>,
    /// How.
    pub settings: Settings,
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended its turn, or a stop token came.
    StopToken(TokenId),
    /// A stop string stood in the text.
    StopString(String),
    /// `max_tokens` were drawn.
    MaxTokens,
    /// The context holds no more tokens.
    ContextFull,
    /// The listener asked for it.
    Cancelled,
}

/// News of an answer in the making.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The prompt is being read.
    Prompt {
        /// Tokens read, those still known from before included.
        done: usize,
        /// Tokens of the prompt.
        total: usize,
    },
    /// A token was drawn.
    Token {
        /// The token.
        id: TokenId,
        /// Its log-probabilities when asked for.
        logprobs: Option<TokenLogprobs>,
    },
    /// Text was added to the answer. All of it together is the answer's text.
    Text(String),
}

/// Hears the events of one answer; breaking off ends the answer there.
pub type OnEvent<'a> = &'a mut dyn FnMut(&Event) -> ControlFlow<()>;

/// Hears the events of several answers by the place of their request; breaking off ends that
/// answer.
pub type OnBatchEvent<'a> = &'a mut dyn FnMut(usize, &Event) -> ControlFlow<()>;

/// Where the time of an answer went, by the clock of the caller; in a batch it is shared with others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timings {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the prompt that were still in the cache and were not read again.
    pub reused_tokens: usize,
    /// Tokens drawn.
    pub answer_tokens: usize,
    /// From the request until there were pages for it.
    pub queue_seconds: f64,
    /// From then to the first token.
    pub prefill_seconds: f64,
    /// From the first token to the last.
    pub decode_seconds: f64,
}

impl Timings {
    /// Tokens of the prompt read in a second; 0 when none was.
    pub fn prefill_tokens_per_second(&self) -> f64 {
        rate(self.prompt_tokens - self.reused_tokens, self.prefill_seconds)
    }

    /// Tokens drawn in a second after the first; 0 when there was no second one.
    pub fn decode_tokens_per_second(&self) -> f64 {
        rate(self.answer_tokens.saturating_sub(1), self.decode_seconds)
    }
}

fn rate(tokens: usize, seconds: f64) -> f64 {
    if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// Its text, without stop strings and special tokens.
    pub text: String,
    /// The tokens drawn, the one that ended the answer included.
    pub tokens: Vec<TokenId>,
    /// Log-probabilities of each token when asked for.
    pub logprobs: Vec<TokenLogprobs>,
    /// log p of each token of the prompt but the first, given those before it, when asked for.
    pub prompt_logprobs: Vec<f64>,
    /// Why it ended.
    pub finish: FinishReason,
    /// Where the time went.
    pub timings: Timings,
    /// Messages of the conversation that were left out because they did not fit.
    pub dropped_messages: usize,
    /// Bytes at the end that are the beginning of a character whose other bytes were not drawn:
    /// they are in `tokens` and not in `text`.
    pub cut_bytes: usize,
}
