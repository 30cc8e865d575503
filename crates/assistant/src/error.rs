//! What can go wrong between a question and its answer, with the values needed to put it right.

use std::path::PathBuf;

use stoa_dialogue::DialogueError;
use stoa_graph::{EngineError, GraphError};

use crate::TokenId;

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
    /// Tokenizer and model do not belong together.
    #[error(
        "the tokenizer has {tokenizer_size} ids and the model only {vocab_size} rows; load the \
         tokenizer that the model was trained with"
    )]
    VocabularyMismatch {
        /// Ids of the tokenizer.
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
