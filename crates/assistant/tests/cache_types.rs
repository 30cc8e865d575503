//! The rule that an answer depends on its request alone, for every type of weights and caches on every
//! instruction set; and what the types of caches cost.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

#[allow(dead_code, reason = "each test uses some of the models")]
mod tiny;

use std::sync::Arc;

use stoa_assistant::{
    Assistant, AssistantError, AssistantOptions, AssistantParts, Completion, PAGE_TOKENS, Request,
    SchedulerOptions, Timings, default_end_tokens, fit, ignore_events,
};
use stoa_dialogue::ChatTemplate;
use stoa_graph::{Buffers, DType, Engine};
use stoa_models::{
    CACHE_TYPES, LanguageConfig, StoredTypes, Weights, check_cache, upload, with_matrix_dtype,
};
use stoa_native::isa::Isa;
use stoa_native::{NativeEngine, NativeOptions};
use tiny::{grouped, native, prompt, sampled, whole_blocks};

/// Types of weights: those that products read as floats, and one of each way that blocks are made.
const WEIGHTS: [DType; 6] =
    [DType::F32, DType::F16, DType::Q8_0, DType::Q4_0, DType::Q5_0, DType::Q4_K];

fn on(isa: Isa) -> Arc<dyn Engine> {
    let options = NativeOptions { isa: Some(isa), threads: Some(2), ..NativeOptions::default() };
    Arc::new(NativeEngine::new(options).unwrap())
}

/// The weights of a tiny model in a type.
fn converted(config: &LanguageConfig, weights: DType) -> Weights {
    with_matrix_dtype(config, tiny::weights(config, 5), weights).unwrap().collect()
}

/// On an engine; assistants share them.
fn uploaded(engine: &Arc<dyn Engine>, weights: &Weights) -> Buffers {
    let mut state = Buffers::new();
    upload(&**engine, weights.clone(), &mut state).unwrap();
    state
}

/// An assistant of a tiny model with caches of a type, that reads so many rows in a run.
fn assistant(
    engine: &Arc<dyn Engine>,
    config: &LanguageConfig,
    state: &Buffers,
    caches: DType,
    (pages, rows): (Option<usize>, usize),
) -> Result<Assistant, AssistantError> {
    let tokenizer = tiny::tokenizer();
    let parts = AssistantParts {
        engine: Arc::clone(engine),
        config: config.clone(),
        state: state.clone(),
        end_tokens: default_end_tokens(&tokenizer),
        tokenizer,
        template: ChatTemplate::chatml(),
    };
    let scheduler = SchedulerOptions { pages, rows, caches, ..SchedulerOptions::default() };
    Assistant::new(parts, AssistantOptions { scheduler, ..AssistantOptions::default() })
}

/// What must be equal bit for bit; the clock is left out, and what was reused with it.
fn comparable(mut completion: Completion) -> Completion {
    completion.timings = Timings::default();
    completion
}

/// Ids and log-probabilities, drawn alone, in company, in chunks and from pages that others filled.
#[test]
fn answers_are_bitwise_the_same_in_any_company_for_every_type() {
    let config = whole_blocks();
    let shared = prompt(3, 40);
    let begun = |seed: u64, length: usize, answer: usize| Request {
        prompt: [&shared[..], &prompt(seed, length)].concat(),
        settings: sampled(seed, answer),
    };
    let requests = [
        begun(1, 9, 4),
        Request { prompt: prompt(8, 5), settings: sampled(7, 5) },
        begun(2, 20, 3),
    ];
    let weights = WEIGHTS.map(|dtype| (dtype, converted(&config, dtype)));
    for isa in Isa::available() {
        let engine = on(isa);
        for (weights, numbers) in &weights {
            let state = uploaded(&engine, numbers);
            for caches in [DType::F32, DType::F16, DType::Q8_0] {
                let what = format!("{isa}, weights {weights}, cache {caches}");
                let made = |sizes| assistant(&engine, &config, &state, caches, sizes).unwrap();
                let ask = |assistant: &mut Assistant, request: &Request| {
                    let Request { prompt, settings } = request;
                    assistant.generate(prompt, settings, &mut ignore_events).unwrap()
                };
                // Alone, in a cache that has seen nothing, the prompt at once.
                let alone: Vec<Completion> = requests
                    .iter()
                    .map(|request| {
                        let answer = ask(&mut made((None, 128)), request);
                        assert_eq!(answer.timings.reused_tokens, 0, "{what}");
                        comparable(answer)
                    })
                    .collect();
                // Together, prompts in chunks that draw while others are read.
                let together = made((Some(12), 32))
                    .generate_batch(&requests, &mut |_, event| ignore_events(event))
                    .unwrap();
                for (together, alone) in together.into_iter().zip(&alone) {
                    assert_eq!(&comparable(together), alone, "{what}, together");
                }
                // One after the other: the third begins with a page that the first filled.
                let mut kept = made((Some(6), 64));
                for (request, alone) in requests.iter().zip(&alone) {
                    let answer = ask(&mut kept, request);
                    let reused = if request.settings.sampling.seed == 2 { PAGE_TOKENS } else { 0 };
                    assert_eq!(answer.timings.reused_tokens, reused, "{what}");
                    assert_eq!(&comparable(answer), alone, "{what}, after others");
                }
            }
        }
    }
}

/// The mean distance of log-probabilities from those with a cache of f32.
#[test]
fn narrow_caches_give_nearby_scores() {
    let (tokens, config) = (prompt(1, 90), whole_blocks());
    let engine = native(2);
    let state = uploaded(&engine, &converted(&config, DType::F32));
    let scores =
        |caches| assistant(&engine, &config, &state, caches, (None, 128)).unwrap().score(&tokens);
    let exact = scores(DType::F32).unwrap();
    // Keys and values are off by half a unit of their last place: of 11 bits, of 8, and of 127 to the
    // largest of 32 numbers. Weights of ±0.5 make scores of attention some tens of times as large as
    // those of a trained model, and the distances with them.
    for (caches, most) in [(DType::F16, 0.02), (DType::BF16, 0.2), (DType::Q8_0, 0.2)] {
        let rounded = scores(caches).unwrap();
        assert_ne!(exact, rounded, "{caches}");
        let distances = exact.iter().zip(&rounded).map(|(a, b)| (a - b).abs());
        let mean = distances.sum::<f64>() / exact.len() as f64;
        assert!(mean < most, "{caches}: {mean}");
    }
}

#[test]
fn caches_of_a_type_that_the_heads_cannot_have_are_refused() {
    let engine = native(1);
    for (config, caches, said) in [
        (grouped(), DType::Q8_0, "the heads of this model have 8 numbers"),
        (whole_blocks(), DType::Q4_0, "no cache is kept in this type"),
    ] {
        let state = uploaded(&engine, &converted(&config, DType::F32));
        let refused = assistant(&engine, &config, &state, caches, (None, 32));
        let refused = refused.err().unwrap().to_string();
        assert!(refused.contains(said), "{refused}");
        let options = SchedulerOptions { caches, ..SchedulerOptions::default() };
        let matrices = StoredTypes::uniform(&config, DType::F32);
        let refused = fit(&*engine, &config, &matrices, options).err().unwrap().to_string();
        assert!(refused.contains(said), "{refused}");
        // Every type that is named instead can be had.
        let (_, named) = refused.split_once("; use ").unwrap();
        for name in named.split(", ") {
            let found = CACHE_TYPES.into_iter().find(|dtype| dtype.name() == name).unwrap();
            check_cache(&config, found).unwrap();
        }
    }
}

/// Blocks of q8_0 take 34 bytes for 32 numbers.
#[test]
fn the_plan_counts_the_cache_in_its_type() {
    let (engine, config) = (native(1), whole_blocks());
    let matrices = StoredTypes::uniform(&config, DType::F32);
    let numbers = 2 * config.layers * config.kv_heads * config.head_dim;
    // Of each token the table of pages takes 4 bytes a row and page.
    let rows = SchedulerOptions::default().rows;
    let table = (4 * rows).div_ceil(PAGE_TOKENS);
    for (caches, bytes) in [
        (DType::F32, 4 * numbers),
        (DType::F16, 2 * numbers),
        (DType::BF16, 2 * numbers),
        (DType::Q8_0, numbers / 32 * 34),
    ] {
        let options = SchedulerOptions { caches, ..SchedulerOptions::default() };
        let (_, need) = fit(&*engine, &config, &matrices, options).unwrap();
        assert_eq!(need.cache_of_a_token, (bytes + table) as u64, "{caches}");
    }
}
