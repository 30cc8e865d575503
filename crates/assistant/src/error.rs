//! What can go wrong between a question and its answer, with the values needed to put it right.

use std::path::PathBuf;

use stoa_dialogue::DialogueError;
use stoa_graph::{EngineError, GraphError};

use crate::TokenId;
use crate::memory::MemoryNeed;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum AssistantError {
    /// A sampling setting is outside its range.
    #[error("{name} is {value}; it must be {range}")]
    Setting {
        /// Field of `Sampling`.
        name: &'static str,
        /// What was given.
        value: f32,
        /// What is allowed.
        range: &'static str,
    },
    /// A stop string is empty, so that every text would contain it.
    #[error("a stop string is empty; leave it out instead")]
    EmptyStopString,
    /// A token id has no row in the model.
    #[error(
        "token {id} is outside the model's vocabulary of {vocab_size}; encode with the tokenizer \
         that belongs to the model"
    )]
    TokenOutsideVocabulary {
        /// The id.
        id: TokenId,
        /// Rows there are.
        vocab_size: usize,
    },
    /// The model answered with something that is not a number.
    #[error("the model gave token {id} the logit {value}; its weights are damaged or diverged")]
    Logit {
        /// The token.
        id: TokenId,
        /// NaN or infinity.
        value: f32,
    },
    /// Bias or the model itself forbids every token.
    #[error("every token is forbidden (logit -inf); allow at least one in logit_bias")]
    NothingAllowed,
    /// A prompt without tokens.
    #[error("the prompt is empty; an answer needs at least one token to begin from")]
    EmptyPrompt,
    /// A prompt does not fit the context.
    #[error(
        "the prompt has {prompt_tokens} tokens, and at most {limit} fit into the context of \
         {context} with room for an answer; shorten it, start a new conversation, or let old turns \
         be dropped"
    )]
    ContextOverflow {
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// Tokens that would fit.
        limit: usize,
        /// Tokens of a conversation.
        context: usize,
    },
    /// The pages of the cache are held by requests.
    #[error("the cache is full of other requests; wait until they have ended")]
    Busy,
    /// One request of a batch is wrong; none was run.
    #[error("request {index}: {source}")]
    Request {
        /// Its place in the batch.
        index: usize,
        /// What is wrong with it.
        source: Box<AssistantError>,
    },
    /// An option of the assistant makes no sense.
    #[error("{name} is {value}; it must be {expected}")]
    Option {
        /// Field of `AssistantOptions`.
        name: &'static str,
        /// What was given.
        value: usize,
        /// What is allowed.
        expected: String,
    },
    /// The model does not fit into the memory there is.
    #[error("{}", memory_refusal(need, *limit, *fits))]
    Memory {
        /// What it takes.
        need: MemoryNeed,
        /// Bytes that may be taken.
        limit: u64,
        /// Tokens of a conversation that would fit.
        fits: usize,
    },
    /// Tokenizer and model do not belong together.
    #[error(
        "text can become {tokenizer_size} ids of the tokenizer and the model has only {vocab_size} rows; load the \
         tokenizer that the model was trained with"
    )]
    VocabularyMismatch {
        /// Ids of the tokenizer that text can become.
        tokenizer_size: usize,
        /// Rows of the embedding.
        vocab_size: usize,
    },
    /// A file of the model could not be read.
    #[error("reading {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A JSON file of the model is malformed.
    #[error("{path}: {message}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        message: String,
    },
    /// The conversation or the chat template is at fault.
    #[error(transparent)]
    Dialogue(#[from] DialogueError),
    /// The model's configuration, weights or programs are at fault.
    #[error(transparent)]
    Model(#[from] stoa_models::ModelError),
    /// The tokenizer's file is at fault.
    #[error(transparent)]
    Tokens(#[from] stoa_tokens::TokensError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A program could not be built.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// What is needed, what there is, and what to do.
fn memory_refusal(need: &MemoryNeed, limit: u64, fits: usize) -> String {
    let size = |bytes: u64| match bytes >> 30 {
        0 => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    };
    let cache = match need.context {
        0 => String::new(),
        tokens => format!(", {} for the cache of {tokens} tokens", size(need.cache())),
    };
    let remedy = match fits {
        0 => {
            "choose a smaller type of weights (--weights), a smaller model, or raise --memory-limit"
                .to_owned()
        }
        tokens => format!("give --context {tokens} or less, or raise --memory-limit"),
    };
    format!(
        "the model needs {} of memory: {} for its {} weights{cache}, {} for its programs; {} may be \
         taken; {remedy}",
        size(need.total()),
        size(need.weights),
        count(need.parameters),
        size(need.programs),
        size(limit),
    )
}

/// A count of weights as people write it: 135 M, 70.6 B.
fn count(parameters: u64) -> String {
    match parameters {
        0..1_000_000 => parameters.to_string(),
        1_000_000..1_000_000_000 => format!("{} M", parameters / 1_000_000),
        _ => format!("{:.1} B", parameters as f64 / 1e9),
    }
}
