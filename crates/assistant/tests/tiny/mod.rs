//! Tiny random models with a tokenizer, for the tests beside.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use stoa_assistant::{
    Assistant, AssistantOptions, AssistantParts, Request, Sampling, SchedulerOptions, Settings,
    TokenId, default_end_tokens,
};
use stoa_dialogue::ChatTemplate;
use stoa_graph::{Buffers, Engine, Placement, Tensor};
use stoa_models::{LanguageConfig, Mlp, QkNorm, SlidingWindow, Weights, initialize, upload_to};
use stoa_native::{NativeEngine, NativeOptions};
use stoa_tokens::{DEFAULT_SPECIAL_TOKENS, Pattern, Tokenizer, TrainOptions};

/// Rows of every tiny model: a little more than the tokenizer has ids.
pub const VOCAB: usize = 300;

/// Multi-head attention, tied head, weighted norms.
pub fn plain() -> LanguageConfig {
    LanguageConfig {
        vocab: VOCAB,
        hidden: 24,
        layers: 2,
        heads: 3,
        kv_heads: 3,
        head_dim: 8,
        mlp: Mlp::swiglu(40),
        qk_norm: QkNorm::None,
        tied_head: true,
        max_time: 96,
        ..LanguageConfig::from_depth(2, VOCAB)
    }
}

/// Grouped heads, QK-norm, a sliding window in one layer, untied head.
pub fn grouped() -> LanguageConfig {
    LanguageConfig {
        heads: 4,
        kv_heads: 2,
        qk_norm: QkNorm::PerHead,
        tied_head: false,
        sliding_window: Some(SlidingWindow { window: 5, layers: vec![1] }),
        ..plain()
    }
}

/// Rows of whole blocks of every quantised type.
pub fn whole_blocks() -> LanguageConfig {
    LanguageConfig { hidden: 256, head_dim: 64, mlp: Mlp::swiglu(256), ..grouped() }
}

/// One key head for all, ReLU², norms without weights, bounded logits.
pub fn squared() -> LanguageConfig {
    LanguageConfig {
        heads: 4,
        kv_heads: 1,
        head_dim: 6,
        mlp: Mlp::relu_squared(33),
        qk_norm: QkNorm::PerHead,
        norm_weights: false,
        logit_softcap: Some(15.0),
        ..plain()
    }
}

/// Weights far larger than at the start of training, so that every part shows in the logits.
pub fn weights(config: &LanguageConfig, seed: u64) -> Weights {
    let random = |(name, tensor): (String, Tensor)| {
        let is_norm = tensor.shape().len() == 1;
        let value = |i: usize| {
            let uniform =
                stoa_random::Stream::new(seed, &name).bits(i as u64) as f64 / 2f64.powi(64);
            // Uniform in ±0.5: standard deviation 0.29.
            (if is_norm { 1.0 } else { 0.0 } + (uniform - 0.5)) as f32
        };
        let values = (0..tensor.ty().elements()).map(value).collect();
        let tensor = Tensor::f32(tensor.shape().to_vec(), values).unwrap();
        (name, tensor)
    };
    initialize(config, seed).into_iter().map(random).collect()
}

/// 256 bytes, a few merges and the special tokens.
pub fn tokenizer() -> Tokenizer {
    let options = TrainOptions {
        vocab_size: 256 + 12 + DEFAULT_SPECIAL_TOKENS.len(),
        pattern: Pattern::default(),
        special_tokens: DEFAULT_SPECIAL_TOKENS.map(str::to_owned).to_vec(),
        min_pair_count: 1,
        max_distinct_pieces: 1000,
        max_piece_bytes: 100,
        threads: 1,
    };
    let texts = ["the answer to the other question", "la réponse à la question"];
    Tokenizer::train(texts, &options, |_| ControlFlow::Continue(())).unwrap()
}

/// The CPU engine.
pub fn native(threads: usize) -> Arc<dyn Engine> {
    let options = NativeOptions { threads: Some(threads), ..NativeOptions::default() };
    Arc::new(NativeEngine::new(options).unwrap())
}

/// An assistant of a tiny model.
pub fn assistant(
    engine: Arc<dyn Engine>,
    config: LanguageConfig,
    options: AssistantOptions,
) -> Assistant {
    assistant_on(engine, &Placement::default(), config, options)
}

/// An assistant of a tiny model whose weights lie as `placement` says.
pub fn assistant_on(
    engine: Arc<dyn Engine>,
    placement: &Placement,
    config: LanguageConfig,
    options: AssistantOptions,
) -> Assistant {
    let mut state = Buffers::new();
    upload_to(&*engine, placement, weights(&config, 5), &mut state).unwrap();
    let tokenizer = tokenizer();
    let parts = AssistantParts {
        engine,
        config,
        state,
        end_tokens: default_end_tokens(&tokenizer),
        tokenizer,
        template: ChatTemplate::chatml(),
    };
    let start = Instant::now();
    Assistant::new(parts, options).unwrap().with_clock(Box::new(move || start.elapsed()))
}

/// An assistant with so many pages that reads so many rows in a run.
pub fn sized(pages: Option<usize>, rows: usize) -> AssistantOptions {
    let scheduler = SchedulerOptions { pages, rows, ..SchedulerOptions::default() };
    AssistantOptions { scheduler, ..AssistantOptions::default() }
}

/// Random ids below `VOCAB`.
pub fn prompt(seed: u64, length: usize) -> Vec<TokenId> {
    let id = |i| TokenId((stoa_random::Stream::new(seed, "prompt").bits(i) % VOCAB as u64) as u32);
    (0..length as u64).map(id).collect()
}

/// Sampling at full temperature, with log-probabilities, not ended by the model.
pub fn sampled(seed: u64, max_tokens: usize) -> Settings {
    Settings {
        sampling: Sampling { seed, ..Sampling::default() },
        max_tokens,
        ignore_end: true,
        logprobs: Some(2),
        ..Settings::default()
    }
}

/// Requests of many lengths.
pub fn requests(count: u64) -> Vec<Request> {
    let request = |i| {
        let length = 1 + (stoa_random::Stream::new(9, "length").bits(i) % 80) as usize;
        let answer = 1 + (stoa_random::Stream::new(9, "answer").bits(i) % 12) as usize;
        Request { prompt: prompt(i, length), settings: sampled(i, answer) }
    };
    (0..count).map(request).collect()
}
