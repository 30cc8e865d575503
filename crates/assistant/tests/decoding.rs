//! Cached decoding against the full forward pass, and what must not change it: threads, batches,
//! chunks, earlier conversations.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

#[allow(dead_code, reason = "each test uses some of the models")]
mod tiny;

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use stoa_assistant::{
    Assistant, AssistantOptions, AssistantParts, Completion, FinishReason, PAGE_TOKENS, Request,
    Sampler, Sampling, Settings, Timings, TokenId, ignore_events,
};
use stoa_graph::reference::{DeferredEngine, ReferenceEngine, Rounding};
use stoa_graph::{Buffers, CompileOptions, DType, DeviceId, Engine, Placement, Tensor};
use stoa_models::{
    DecodingSpec, LanguageConfig, TrainingShape, cache_types, check_cache, decoding_program,
    evaluation_program, parameters, upload, with_matrix_dtype,
};
use stoa_native::isa::Isa;
use stoa_native::{NativeEngine, NativeOptions};
use tiny::{
    VOCAB, assistant, assistant_on, grouped, native, plain, prompt, requests, sampled, sized,
    squared, whole_blocks,
};

fn engines() -> [Arc<dyn Engine>; 2] {
    [native(2), Arc::new(ReferenceEngine::new(Rounding::Declared))]
}

/// −log p of `targets` after each token of `tokens` ([batch][time]), by the evaluation program.
fn full_forward(
    engine: &dyn Engine,
    config: &LanguageConfig,
    tokens: &[Vec<i32>],
    targets: &[Vec<i32>],
) -> Vec<f32> {
    let (batch, time) = (tokens.len(), tokens[0].len());
    let shape = TrainingShape { batch, time, segmented: false };
    let mut program =
        engine.compile(&evaluation_program(config, shape).unwrap(), &Default::default()).unwrap();
    let mut state = Buffers::new();
    upload(engine, tiny::weights(config, 5), &mut state).unwrap();
    let vector = |values: Vec<i32>| {
        let input = program.program().input("tokens").unwrap();
        Tensor::i32(program.program().ty(input.value).shape.clone(), values).unwrap()
    };
    let positions = vector((0..batch).flat_map(|_| 0..time as i32).collect());
    let (tokens, targets) = (vector(tokens.concat()), vector(targets.concat()));
    let shape = program.program().ty(program.program().input("positions").unwrap().value);
    let positions = Tensor::i32(shape.shape.clone(), positions.as_i32().unwrap().to_vec()).unwrap();
    let data = [("tokens", &tokens), ("targets", &targets), ("positions", &positions)];
    let outputs = program.run(&mut state, &data).unwrap().outputs().unwrap();
    outputs["nll"].as_f32().unwrap().to_vec()
}

fn as_i32(ids: &[TokenId]) -> Vec<i32> {
    ids.iter().map(|id| id.0 as i32).collect()
}

#[test]
fn scores_are_those_of_the_full_forward_pass() {
    for engine in engines() {
        for config in [plain(), grouped(), squared()] {
            let tokens = prompt(1, 41);
            let options = sized(Some(6), 32);
            let scores = assistant(Arc::clone(&engine), config.clone(), options).score(&tokens);
            let ids = as_i32(&tokens);
            let full = full_forward(&*engine, &config, &[ids[..40].to_vec()], &[ids[1..].to_vec()]);
            for (score, nll) in scores.unwrap().iter().zip(full) {
                // f32 sums of up to 40 terms in another order, through two layers.
                assert!((score + f64::from(nll)).abs() < 2e-4, "{score} against −{nll}");
            }
        }
    }
}

/// By the account of the engine: with half an embedding to spare, a second one would be refused.
#[test]
fn a_tied_embedding_is_held_once() {
    let config = LanguageConfig { vocab: 4096, ..plain() };
    let spec = DecodingSpec {
        tokens: 1,
        rows: 1,
        pages: 1,
        page: 32,
        columns: 1,
        weights: DType::F32,
        caches: DType::F16,
    };
    let program = decoding_program(&config, &spec).unwrap();
    let plan = native(1).compile(&program, &CompileOptions::default()).unwrap().memory();
    let embedding = config.vocab * config.hidden * size_of::<f32>();
    let options = |spare: usize| NativeOptions {
        threads: Some(1),
        memory_limit_bytes: Some(plan.total_bytes() + spare),
        ..NativeOptions::default()
    };
    let engine = NativeEngine::new(options(embedding / 2)).unwrap();
    let mut executable = engine.compile(&program, &CompileOptions::default()).unwrap();
    let mut state = Buffers::new();
    upload(&engine, tiny::weights(&config, 5), &mut state).unwrap();
    for (name, ty) in cache_types(&config, &spec) {
        state.insert(name, engine.upload(&Tensor::zeros(&ty)).unwrap());
    }
    let zeros = |shape: &[usize]| Tensor::i32(shape, vec![0; shape.iter().product()]).unwrap();
    let (one, table) = (zeros(&[1]), zeros(&[1, 1]));
    let data = [
        ("tokens", &one),
        ("table", &table),
        ("sequences", &one),
        ("positions", &one),
        ("rows", &one),
    ];
    executable.run(&mut state, &data).unwrap().outputs().unwrap();
    let embeddings = config.vocab * config.hidden;
    let of_that_size = parameters(&config).into_iter().map(|p| p.shape.iter().product::<usize>());
    assert_eq!(of_that_size.filter(|&n| n == embeddings).count(), 1);
    let second = Tensor::f32([config.vocab, config.hidden], vec![0.0; embeddings]).unwrap();
    assert!(engine.upload(&second).is_err(), "there is room for a second embedding");
}

/// The obvious twin: at each step the full forward pass is asked for −log p of every next token.
#[test]
fn greedy_tokens_are_those_of_the_full_forward_pass() {
    const STEPS: usize = 5;
    let engine = native(2);
    for config in [plain(), grouped(), squared()] {
        let mut assistant = assistant(Arc::clone(&engine), config.clone(), Default::default());
        let start = prompt(3, 9);
        let settings = Settings { max_tokens: STEPS, ignore_end: true, ..Settings::default() };
        let answer = assistant.generate(&start, &settings, &mut ignore_events).unwrap();
        let mut tokens = as_i32(&start);
        for step in 0..STEPS {
            let time = tokens.len();
            let mut targets = vec![vec![-1; time]; VOCAB];
            targets.iter_mut().zip(0..).for_each(|(row, id)| row[time - 1] = id);
            let nll = full_forward(&*engine, &config, &vec![tokens.clone(); VOCAB], &targets);
            let last: Vec<f32> = nll.chunks(time).map(|row| row[time - 1]).collect();
            let best = (0..VOCAB).min_by(|&a, &b| last[a].total_cmp(&last[b])).unwrap();
            assert_eq!(answer.tokens[step].index(), best, "{config:?}, step {step}");
            tokens.push(best as i32);
        }
    }
}

/// Prompts read at once, in chunks of any length and token by token, with padding and next to
/// others: the same logits after each token, bit for bit.
#[test]
fn logits_are_the_same_in_any_chunks() {
    const TIME: usize = 75;
    const COLUMNS: usize = 3;
    let tokens = as_i32(&prompt(1, TIME));
    let cases = [
        (plain(), DType::F32),
        (grouped(), DType::F16),
        (squared(), DType::BF16),
        (whole_blocks(), DType::Q8_0),
        (whole_blocks(), DType::Q4_0),
        (whole_blocks(), DType::Q5_0),
        (whole_blocks(), DType::Q4_K),
    ];
    let caches = [DType::F32, DType::F16, DType::Q8_0];
    let pairs = cases.iter().flat_map(|case| caches.map(|caches| (case, caches)));
    let exists = |((config, _), caches): &(&(LanguageConfig, DType), DType)| {
        check_cache(config, *caches).is_ok()
    };
    for (&(ref config, dtype), caches) in pairs.filter(exists) {
        let weights = || with_matrix_dtype(config, tiny::weights(config, 5), dtype).unwrap();
        for isa in Isa::available() {
            let native = NativeOptions { isa: Some(isa), ..NativeOptions::default() };
            let engine = NativeEngine::new(native).unwrap();
            let logits = |chunk: usize, padding: usize| -> Vec<f32> {
                let spec = DecodingSpec {
                    tokens: chunk + padding,
                    rows: chunk,
                    pages: COLUMNS,
                    page: PAGE_TOKENS,
                    columns: COLUMNS,
                    weights: dtype,
                    caches,
                };
                let program = decoding_program(config, &spec).unwrap();
                let options = CompileOptions { pack_weights: true, ..CompileOptions::default() };
                let mut program = engine.compile(&program, &options).unwrap();
                let mut state = Buffers::new();
                upload(&engine, weights(), &mut state).unwrap();
                for (name, ty) in cache_types(config, &spec) {
                    state.insert(name, engine.upload(&Tensor::zeros(&ty)).unwrap());
                }
                let mut logits = Vec::new();
                for start in (0..TIME).step_by(chunk) {
                    let read = chunk.min(TIME - start);
                    let row = |i: usize, last: i32| if i < read { last } else { 0 };
                    let n = chunk + padding;
                    let vector = |of: &dyn Fn(usize) -> i32| {
                        Tensor::i32([n], (0..n).map(of).collect::<Vec<_>>()).unwrap()
                    };
                    let pages = (0..n).flat_map(|_| [2, 0, 1]).collect();
                    let data = [
                        ("tokens", vector(&|i| if i < read { tokens[start + i] } else { 7 })),
                        ("sequences", vector(&|i| if i < read { 0 } else { -1 })),
                        ("positions", vector(&|i| row(i, (start + i) as i32))),
                        ("table", Tensor::i32([n, COLUMNS], pages).unwrap()),
                        ("rows", Tensor::i32([chunk], (0..chunk as i32).collect()).unwrap()),
                    ];
                    let data: Vec<(&str, &Tensor)> = data.iter().map(|(n, t)| (*n, t)).collect();
                    let outputs = program.run(&mut state, &data).unwrap().outputs().unwrap();
                    logits.extend(&outputs["logits"].as_f32().unwrap()[..read * VOCAB]);
                }
                logits
            };
            let whole = logits(TIME, 0);
            assert!(whole.iter().all(|x| x.is_finite()));
            for (chunk, padding) in [(1, 0), (1, 1), (2, 3), (7, 0), (31, 1), (32, 40)] {
                let what = format!("{isa}, {dtype}, cache {caches}, chunks of {chunk}");
                assert!(logits(chunk, padding) == whole, "{what}");
            }
        }
    }
}

/// What must be equal bit for bit; the clock is left out.
fn comparable(mut completion: Completion) -> Completion {
    completion.timings = Timings::default();
    completion
}

/// Text, ids and log-probabilities bit for bit, whatever the threads, the numbers of pages and
/// runs, and the company.
#[test]
fn an_answer_depends_on_its_request_alone() {
    let requests = requests(12);
    for config in [plain(), grouped(), squared()] {
        let mut expected: Option<Vec<Completion>> = None;
        for (threads, pages, rows) in
            [(1, 3, 32), (1, 15, 64), (2, 36, 512), (3, 9, 128), (2, 36, 32)]
        {
            let options = sized(Some(pages), rows);
            let mut assistant = assistant(native(threads), config.clone(), options);
            let answers =
                assistant.generate_batch(&requests, &mut |_, e| ignore_events(e)).unwrap();
            let answers: Vec<_> = answers.into_iter().map(comparable).collect();
            let expected = expected.get_or_insert_with(|| answers.clone());
            assert_eq!(&answers, expected, "{threads} threads, {pages} pages, {rows} rows");
        }
        let mut alone = assistant(native(2), config, AssistantOptions::default());
        for (request, expected) in requests.iter().zip(expected.unwrap()) {
            let answer =
                alone.generate(&request.prompt, &request.settings, &mut ignore_events).unwrap();
            assert_eq!(comparable(answer), expected);
        }
    }
}

#[test]
fn two_devices_and_deferred_results_change_no_answer() {
    let requests = requests(3);
    let far = DeviceId(1);
    for config in [plain(), grouped()] {
        let options = sized(None, 32);
        let reference = Arc::new(ReferenceEngine::new(Rounding::Declared));
        let mut one = assistant(reference, config.clone(), options);
        let expected = one.generate_batch(&requests, &mut |_, e| ignore_events(e)).unwrap();

        let second_layer = |name: &String| name.starts_with("model.layers.1.");
        let names = parameters(&config).into_iter().map(|p| p.name).filter(second_layer);
        let placement = Placement(names.map(|name| (name, far)).collect());
        let engine = DeferredEngine::new(2, Rounding::Declared);
        let mut two = assistant_on(Arc::new(engine.clone()), &placement, config, options);
        let answers = two.generate_batch(&requests, &mut |_, e| ignore_events(e)).unwrap();
        for (answer, expected) in answers.into_iter().zip(expected) {
            assert_eq!(comparable(answer), comparable(expected));
        }
        for (name, device) in engine.placed() {
            // Caches lie with the layer whose keys and values they hold.
            let expected = name.starts_with("model.layers.1.") || name.starts_with("cache.1.");
            assert_eq!(device == far, expected, "{name}");
        }
    }
}

#[test]
fn a_conversation_is_read_only_from_where_it_goes_on() {
    let settings = sampled(4, 30);
    let first = prompt(1, 40);
    let mut kept = assistant(native(2), grouped(), AssistantOptions::default());
    let answer = kept.generate(&first, &settings, &mut ignore_events).unwrap();
    assert_eq!(answer.timings.reused_tokens, 0);
    let second = [&first[..], &answer.tokens, &prompt(2, 7)].concat();
    let settings = sampled(4, 6);
    // Another conversation in between takes other pages.
    kept.generate(&prompt(8, 15), &settings, &mut ignore_events).unwrap();
    let warm = kept.generate(&second, &settings, &mut ignore_events).unwrap();
    // A page of the first prompt, and one that its answer filled.
    assert_eq!(warm.timings.reused_tokens, 2 * PAGE_TOKENS);
    let cold = assistant(native(2), grouped(), AssistantOptions::default())
        .generate(&second, &settings, &mut ignore_events)
        .unwrap();
    assert_eq!(cold.timings.reused_tokens, 0);
    assert_eq!(comparable(warm), comparable(cold));
    // Scoring in between takes pages of its own.
    let scores = kept.score(&second).unwrap();
    let again = kept.generate(&second, &settings, &mut ignore_events).unwrap();
    assert_eq!(scores.len(), 76);
    assert_eq!(again.tokens, kept.generate(&second, &settings, &mut ignore_events).unwrap().tokens);
}

#[test]
fn caches_and_weights_in_half_precision_give_nearby_scores() {
    let tokens = prompt(1, 30);
    let exact = assistant(native(2), plain(), AssistantOptions::default()).score(&tokens).unwrap();
    let mut options = AssistantOptions::default();
    options.scheduler.caches = DType::BF16;
    let rounded = assistant(native(2), plain(), options).score(&tokens).unwrap();
    assert_ne!(exact, rounded);
    let mean = exact.iter().zip(&rounded).map(|(a, b)| (a - b).abs()).sum::<f64>() / 29.0;
    // bfloat16 keeps 8 bits: keys and values are off by up to 0.4 %.
    assert!(mean < 0.1, "{mean}");
}

#[derive(Debug, Deserialize)]
struct Generated {
    prompt: Vec<u32>,
    repetition_penalty: f32,
    ids: Vec<u32>,
}

#[derive(Debug, Deserialize)]
struct Distribution {
    logits: Vec<f32>,
    prompt: Vec<u32>,
    repetition_penalty: f32,
    temperature: f32,
    top_k: usize,
    top_p: f32,
    min_p: f32,
    probabilities: Vec<f64>,
}

fn golden<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/generation").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Golden outputs of `xtask/oracle/assistant/golden_generation.py`.
#[test]
fn transformers_continues_a_checkpoint_with_the_same_tokens() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/generation");
    let parts =
        AssistantParts::read(&directory, Some(tiny::tokenizer()), native(2), DType::F32).unwrap();
    assert!(parts.template.is_missing(), "the checkpoint is a base model without a template");
    let mut assistant = Assistant::new(parts, AssistantOptions::default()).unwrap();
    let ids = |ids: &[u32]| ids.iter().copied().map(TokenId).collect::<Vec<_>>();
    let cases: Vec<Generated> = golden("generated.json");
    let requests = cases.iter().map(|case| Request {
        prompt: ids(&case.prompt),
        settings: Settings {
            sampling: Sampling {
                repetition_penalty: case.repetition_penalty,
                ..Sampling::greedy()
            },
            max_tokens: case.ids.len(),
            ignore_end: true,
            ..Settings::default()
        },
    });
    let requests: Vec<Request> = requests.collect();
    let answers = assistant.generate_batch(&requests, &mut |_, e| ignore_events(e)).unwrap();
    for (case, answer) in cases.iter().zip(answers) {
        assert_eq!(answer.tokens, ids(&case.ids), "{case:?}");
        assert_eq!(answer.finish, FinishReason::MaxTokens);
    }
}

#[test]
fn transformers_leaves_the_same_tokens_with_the_same_probabilities() {
    let cases: Vec<Distribution> = golden("distributions.json");
    assert_eq!(cases.len(), 9);
    for case in cases {
        let sampling = Sampling {
            temperature: case.temperature,
            top_k: case.top_k,
            top_p: case.top_p,
            min_p: case.min_p,
            repetition_penalty: case.repetition_penalty,
            ..Sampling::default()
        };
        let prompt: Vec<TokenId> = case.prompt.iter().copied().map(TokenId).collect();
        let mut sampler = Sampler::new(&sampling, &prompt, case.logits.len()).unwrap();
        let kept = sampler.distribution(&mut case.logits.clone()).unwrap();
        let expected: Vec<TokenId> = (0..)
            .zip(&case.probabilities)
            .filter(|(_, p)| **p > 0.0)
            .map(|(id, _)| TokenId(id))
            .collect();
        assert_eq!(kept.iter().map(|(id, _)| *id).collect::<Vec<_>>(), expected, "{sampling:?}");
        for (id, p) in kept {
            // Settings are f32 here and f64 there; penalised logits round to f32.
            let theirs = case.probabilities[id.index()];
            assert!((p - theirs).abs() < 1e-6, "{p} against {theirs}");
        }
    }
}
