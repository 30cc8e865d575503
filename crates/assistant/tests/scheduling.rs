//! A scheduler under many callers: requests come, go and fail at random, and nothing of it shows in
//! the answers of the others or stays behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

#[allow(dead_code, reason = "each test uses some of the models")]
mod tiny;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stoa_assistant::{
    AssistantError, Completion, Event, FinishReason, PAGE_TOKENS, Request, RequestId, Scheduler,
    SchedulerOptions, SchedulerParts, Settings, Timings, TokenId, Update, default_end_tokens,
};
use stoa_graph::{
    Buffer, Buffers, CompileOptions, DeviceId, Engine, EngineError, EngineFacts, Executable,
    MemoryPlan, Pending, Program, Tensor,
};
use stoa_models::{LanguageConfig, upload};
use stoa_random::Stream;
use tiny::{VOCAB, native, plain, prompt, sampled};

/// Runs that read this token fail.
const POISON: TokenId = TokenId(VOCAB as u32 - 1);

/// An engine that fails when it is given [`POISON`], after it has begun to write.
struct Failing(Arc<dyn Engine>);

struct FailingExecutable(Box<dyn Executable>);

impl Engine for Failing {
    fn facts(&self) -> EngineFacts {
        self.0.facts()
    }

    fn upload_to(&self, device: DeviceId, tensor: &Tensor) -> Result<Buffer, EngineError> {
        self.0.upload_to(device, tensor)
    }

    fn download(&self, buffer: &Buffer) -> Result<Tensor, EngineError> {
        self.0.download(buffer)
    }

    fn compile(
        &self,
        program: &Program,
        options: &CompileOptions,
    ) -> Result<Box<dyn Executable>, EngineError> {
        Ok(Box::new(FailingExecutable(self.0.compile(program, options)?)))
    }
}

impl Executable for FailingExecutable {
    fn program(&self) -> &Program {
        self.0.program()
    }

    fn memory(&self) -> MemoryPlan {
        self.0.memory()
    }

    fn run(
        &mut self,
        state: &mut Buffers,
        data: &[(&str, &Tensor)],
    ) -> Result<Pending, EngineError> {
        let pending = self.0.run(state, data)?;
        let (_, tokens) = data.iter().find(|(name, _)| *name == "tokens").unwrap();
        if tokens.as_i32().unwrap().contains(&(POISON.0 as i32)) {
            return Err(EngineError::Setup("poisoned".into()));
        }
        Ok(pending)
    }
}

fn tiny_model() -> LanguageConfig {
    LanguageConfig { layers: 1, hidden: 8, heads: 2, kv_heads: 1, head_dim: 4, ..plain() }
}

fn scheduler(pages: usize) -> Scheduler {
    let (engine, config) = (Arc::new(Failing(native(2))), tiny_model());
    let mut state = Buffers::new();
    upload(&*engine, tiny::weights(&config, 5), &mut state).unwrap();
    let tokenizer = tiny::tokenizer();
    let end_tokens = default_end_tokens(&tokenizer);
    let options = SchedulerOptions { pages: Some(pages), rows: 64, ..SchedulerOptions::default() };
    Scheduler::new(SchedulerParts { engine, config, state, tokenizer, end_tokens }, options)
        .unwrap()
}

fn never() -> Duration {
    Duration::ZERO
}

/// Tokens that do not fail.
fn harmless(seed: u64, length: usize) -> Vec<TokenId> {
    prompt(seed, length).into_iter().map(|id| TokenId(id.0 % POISON.0)).collect()
}

/// Requests of a few families that begin alike; every seventh fails in the middle of its prompt, and
/// every ninth is only scored.
fn request(i: u64) -> Request {
    let length = |name, most| 1 + Stream::new(i, name).bits(0) % most;
    let mut tokens = harmless(i % 4, length("shared", 70) as usize);
    tokens.extend(harmless(100 + i, length("own", 20) as usize));
    let mut settings = sampled(i, length("answer", 12) as usize);
    // The model itself must not draw what fails.
    settings.sampling.logit_bias.insert(POISON, f32::NEG_INFINITY);
    if i % 7 == 3 {
        let middle = tokens.len() / 2;
        tokens[middle] = POISON;
    } else if i % 9 == 4 {
        settings = Settings { score_prompt: true, max_tokens: 0, ..settings };
    }
    Request { prompt: tokens, settings }
}

/// Steps until a request has ended.
fn answer(scheduler: &mut Scheduler, request: Request) -> Result<Completion, AssistantError> {
    let id = scheduler.submit(request, never()).unwrap();
    loop {
        for (of, update) in scheduler.step(&never) {
            if let (true, Update::Ended(how)) = (of == id, update) {
                return how;
            }
        }
    }
}

/// What must be equal bit for bit; what was reused depends on the company.
fn comparable(mut completion: Completion) -> Completion {
    completion.timings = Timings::default();
    completion
}

#[test]
fn ten_thousand_steps_leak_no_page_and_change_no_answer() {
    const KINDS: u64 = 60;
    const STEPS: u64 = 10_000;
    // Each alone, in a cache that has seen nothing.
    let alone: Vec<Option<Completion>> =
        (0..KINDS).map(|i| answer(&mut scheduler(3), request(i)).ok().map(comparable)).collect();
    assert!(alone.iter().filter(|answer| answer.is_none()).count() > 5);

    const PAGES: usize = 9;
    let mut scheduler = scheduler(PAGES);
    let mut open: BTreeMap<RequestId, u64> = BTreeMap::new();
    let (mut answered, mut failed, mut cancelled, mut reused, mut full) = (0, 0, 0, 0, 0);
    let mut step = 0;
    while step < STEPS || !scheduler.is_idle() {
        let draw = |name: &str| Stream::new(1, name).bits(step);
        // Calm spells, in which everything ends, between busy ones.
        let busy = step < STEPS && step / 100 % 4 != 3;
        if busy && draw("submit") % 2 == 0 {
            let kind = draw("kind") % KINDS;
            open.insert(scheduler.submit(request(kind), never()).unwrap(), kind);
        }
        if draw("cancel") % 12 == 0 && !open.is_empty() {
            let at = draw("which") as usize % open.len();
            assert!(scheduler.cancel(*open.keys().nth(at).unwrap()));
        }
        for (id, update) in scheduler.step(&never) {
            let kind = open[&id];
            let Update::Ended(how) = update else { continue };
            open.remove(&id);
            match how {
                Ok(completion) if completion.finish == FinishReason::Cancelled => {
                    cancelled += 1;
                    // As far as it came, it is the beginning of the answer.
                    let whole = alone[kind as usize].as_ref().map_or(&[][..], |a| &a.tokens);
                    assert!(whole.starts_with(&completion.tokens), "request {kind}");
                }
                Ok(completion) => {
                    answered += 1;
                    reused += usize::from(completion.timings.reused_tokens > 0);
                    assert_eq!(Some(comparable(completion)), alone[kind as usize], "{kind}");
                }
                Err(error) => {
                    failed += 1;
                    assert_eq!(error.to_string(), "poisoned");
                    assert_eq!(alone[kind as usize], None, "request {kind}");
                }
            }
        }
        let pages = scheduler.pages();
        assert!(pages.total == PAGES && pages.held + pages.kept <= PAGES, "{pages:?}");
        full += usize::from(pages.held + 3 > PAGES);
        if scheduler.is_idle() {
            assert_eq!((pages.held, open.len()), (0, 0), "step {step}");
        }
        step += 1;
    }
    let counts = [answered, failed, cancelled, reused, full];
    assert!(counts.iter().all(|&count| count > 100), "{counts:?}");
}

#[test]
fn waiting_requests_are_cancelled_without_being_read() {
    let mut scheduler = scheduler(3);
    let (first, second) = (request(0), request(1));
    let first = scheduler.submit(first, never()).unwrap();
    let second = scheduler.submit(second, Duration::from_secs(1)).unwrap();
    assert!(scheduler.cancel(second));
    assert!(!scheduler.cancel(RequestId(99)));
    let updates = scheduler.step(&|| Duration::from_secs(3));
    let ended = updates.iter().find(|(id, _)| *id == second);
    let Some((_, Update::Ended(Ok(completion)))) = ended else { panic!("{updates:?}") };
    assert_eq!((&completion.finish, completion.tokens.len()), (&FinishReason::Cancelled, 0));
    // It waited from 1 s to 3 s.
    assert_eq!(completion.timings.queue_seconds, 2.0);
    assert!(updates.iter().any(|(id, update)| {
        *id == first && matches!(update, Update::Event(Event::Prompt { done: 0, .. }))
    }));
    assert!(!scheduler.cancel(second), "it has ended");
}

#[test]
fn prompts_that_begin_alike_are_read_once() {
    let mut scheduler = scheduler(12);
    let settings = sampled(1, 3);
    let shared = harmless(1, 2 * PAGE_TOKENS);
    let prompts = [1, 2, 3].map(|i| [&shared[..], &harmless(i, 9)].concat());
    let cold =
        answer(&mut scheduler, Request { prompt: prompts[0].clone(), settings: settings.clone() });
    assert_eq!(cold.unwrap().timings.reused_tokens, 0);
    // Two at once hold the same pages.
    for prompt in &prompts[1..] {
        let request = Request { prompt: prompt.clone(), settings: settings.clone() };
        scheduler.submit(request, never()).unwrap();
    }
    scheduler.step(&never);
    assert_eq!(scheduler.pages().held, 2 + 1 + 1);
    let mut reused = Vec::new();
    while !scheduler.is_idle() {
        reused.extend(scheduler.step(&never).into_iter().filter_map(|(_, update)| match update {
            Update::Ended(how) => Some(how.unwrap().timings.reused_tokens),
            Update::Event(_) => None,
        }));
    }
    assert_eq!(reused, [2 * PAGE_TOKENS; 2]);
}

#[test]
fn a_scored_prompt_draws_nothing() {
    let mut scheduler = scheduler(6);
    let settings = Settings { score_prompt: true, max_tokens: 0, ..Settings::default() };
    for length in [1, 2, PAGE_TOKENS, PAGE_TOKENS + 1, 90] {
        let request = Request { prompt: harmless(2, length), settings: settings.clone() };
        let completion = answer(&mut scheduler, request).unwrap();
        assert_eq!((completion.prompt_logprobs.len(), completion.tokens.len()), (length - 1, 0));
        assert!(completion.prompt_logprobs.iter().all(|&score| score < 0.0));
    }
    let settings = Settings { max_tokens: 1, ..settings };
    let refused = scheduler.submit(Request { prompt: prompt(2, 9), settings }, never());
    let message = "max_tokens is 1; it must be 0 where the prompt is only scored";
    assert_eq!(refused.unwrap_err().to_string(), message);
}
