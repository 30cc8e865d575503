//! Speed of answering with a random model: reading a prompt, one answer alone, many at once, and
//! the share of the memory's speed that decoding reaches. The last line is one JSON object.
//!
//! `cargo run --release -p stoa-assistant --example answering_rates [-- DEPTH [VOCAB [PARALLEL]]]`

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on should panic")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use stoa_assistant::{
    Assistant, AssistantOptions, AssistantParts, Completion, PAGE_TOKENS, Request, Sampling,
    Settings, TokenId, ignore_events,
};
use stoa_dialogue::ChatTemplate;
use stoa_graph::{Buffers, DType, Engine};
use stoa_models::{LanguageConfig, initialize, parameter_count, upload, with_matrix_dtype};
use stoa_native::{NativeEngine, NativeOptions};
use stoa_tokens::{Tokenizer, TrainOptions};

const PROMPT_TOKENS: usize = 512;
const ANSWER_TOKENS: usize = 128;
const ROUNDS: usize = 5;

fn main() {
    let given: Vec<usize> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let depth = given.first().copied().unwrap_or(6);
    let vocab = given.get(1).copied().unwrap_or(8192);
    let parallel = given.get(2).copied().unwrap_or(32);
    let config = LanguageConfig { max_time: 1024, ..LanguageConfig::from_depth(depth, vocab) };
    let engine: Arc<dyn Engine> = Arc::new(NativeEngine::new(NativeOptions::default()).unwrap());
    println!("{}, {} parameters", engine.facts().name, parameter_count(&config));
    let mut options = AssistantOptions::default();
    options.scheduler.pages = Some(parallel * config.max_time.div_ceil(PAGE_TOKENS));
    let mut assistant = assistant(&engine, &config, options);

    let request = |seed: u64| Request {
        prompt: (0..PROMPT_TOKENS as u64)
            .map(|i| TokenId(((seed * 7919 + i * i) % vocab as u64) as u32))
            .collect(),
        settings: Settings {
            sampling: Sampling { temperature: 0.8, top_k: 40, seed, ..Sampling::default() },
            max_tokens: ANSWER_TOKENS,
            ignore_end: true,
            ..Settings::default()
        },
    };
    let mut alone: Vec<Completion> = (0..ROUNDS as u64)
        .map(|seed| {
            let request = request(seed);
            assistant.generate(&request.prompt, &request.settings, &mut ignore_events).unwrap()
        })
        .collect();
    let middle = |list: &mut Vec<Completion>, rate: fn(&Completion) -> f64| {
        list.sort_by(|a, b| rate(a).total_cmp(&rate(b)));
        rate(&list[list.len() / 2])
    };
    let prefill = middle(&mut alone, |c| c.timings.prefill_tokens_per_second());
    let decode = middle(&mut alone, |c| c.timings.decode_tokens_per_second());

    // Short questions and answers, as in an examination.
    let questions: Vec<Request> = (0..8 * parallel as u64)
        .map(|seed| {
            let mut request = request(100 + seed);
            request.prompt.truncate(24 + seed as usize % 16);
            request.settings.max_tokens = 8;
            request
        })
        .collect();
    let begun = Instant::now();
    let answers =
        assistant.generate_batch(&questions, &mut |_, _| ControlFlow::Continue(())).unwrap();
    let questions_per_second = answers.len() as f64 / begun.elapsed().as_secs_f64();

    let batch: Vec<Request> = (0..parallel as u64).map(|seed| request(200 + seed)).collect();
    let begun = Instant::now();
    let answers = assistant.generate_batch(&batch, &mut |_, _| ControlFlow::Continue(())).unwrap();
    let tokens: usize = answers.iter().map(|a| a.timings.answer_tokens).sum();
    let batch_tokens_per_second = tokens as f64 / begun.elapsed().as_secs_f64();
    // Decoding alone reads every weight but the embedding's unused rows once for each token.
    let bytes = 4 * (parameter_count(&config) - config.vocab * config.hidden);
    let gigabytes_per_second = decode * bytes as f64 / 1e9;

    println!(
        "prefill {prefill:.0} tokens/s, decode {decode:.0} tokens/s ({gigabytes_per_second:.1} GB/s of weights)"
    );
    println!(
        "{parallel} at once: {batch_tokens_per_second:.0} tokens/s; {questions_per_second:.0} short questions/s"
    );
    println!(
        "{}",
        serde_json::json!({
            "depth": depth, "vocab": vocab, "parameters": parameter_count(&config),
            "prefill_tokens_per_second": prefill, "decode_tokens_per_second": decode,
            "decode_weight_gigabytes_per_second": gigabytes_per_second,
            "parallel": parallel, "batch_tokens_per_second": batch_tokens_per_second,
            "short_questions_per_second": questions_per_second,
        })
    );
}

fn assistant(
    engine: &Arc<dyn Engine>,
    config: &LanguageConfig,
    options: AssistantOptions,
) -> Assistant {
    let start = Instant::now();
    let weights = with_matrix_dtype(config, initialize(config, 1), DType::F32);
    let mut state = Buffers::new();
    upload(&**engine, weights, &mut state).unwrap();
    let training = TrainOptions { vocab_size: 300, ..TrainOptions::default() };
    let tokenizer =
        Tokenizer::train(["a few words"], &training, |_| ControlFlow::Continue(())).unwrap();
    let parts = AssistantParts {
        engine: Arc::clone(engine),
        config: config.clone(),
        state,
        tokenizer,
        template: ChatTemplate::chatml(),
        end_tokens: vec![],
    };
    Assistant::new(parts, options).unwrap().with_clock(Box::new(move || start.elapsed()))
}
