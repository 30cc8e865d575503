//! Answers many requests at once, from any number of callers: a step draws the next token of every
//! answer in the making and reads prompts of as many requests as one run has room for; a request is
//! admitted as soon as there are pages for it (Orca, OSDI '22, §3; pages: vLLM, arXiv 2309.06180;
//! prompts in chunks, in the runs that draw: Sarathi, arXiv 2308.16369 §4). What one request gets
//! does not depend on the others: a row has the same bits in any company (see `decoder`), and each
//! sequence draws from its own random stream. Pages for the longest answer are set apart when a
//! request is admitted, so that no answer has to give way to another. Has no threads and no clock.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use stoa_graph::{Buffers, DType, Engine};
use stoa_models::{LanguageConfig, check_cache, parameters};
use stoa_tokens::Tokenizer;

use crate::completion::{Completion, Event, FinishReason, Request, Settings};
use crate::decoder::{Decoder, DecoderSizes, Logits, PAGE_TOKENS, Span};
use crate::pages::{PageCounts, PagePool};
use crate::sequence::Sequence;
use crate::{AssistantError, TokenId};

/// Largest number of rows: beyond it a step makes callers wait for nothing gained.
const MAX_ROWS: usize = 4096;

/// A request of a scheduler; numbers are not used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What a step has to say of a request.
#[derive(Debug)]
pub enum Update {
    /// Its answer grows.
    Event(Event),
    /// Its answer is complete or was cancelled, or the request failed. Nothing follows.
    Ended(Result<Completion, AssistantError>),
}

/// What a scheduler answers with.
pub struct SchedulerParts {
    /// Runs the model.
    pub engine: Arc<dyn Engine>,
    /// Shape of the model.
    pub config: LanguageConfig,
    /// Its weights, on the engine.
    pub state: Buffers,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Tokens that end its turn.
    pub end_tokens: Vec<TokenId>,
}

/// Sizes of a scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerOptions {
    /// Pages of the cache, [`PAGE_TOKENS`] tokens each; `None` for those of one conversation of the
    /// longest. They bound the memory of all requests together.
    pub pages: Option<usize>,
    /// Tokens of a conversation; `None` for as many as the model is meant for.
    pub context: Option<usize>,
    /// Most tokens read in one run; a power of two, at least 32.
    pub rows: usize,
    /// Element type of the cache.
    pub caches: DType,
}

impl Default for SchedulerOptions {
    /// For one person at a terminal.
    fn default() -> Self {
        SchedulerOptions { pages: None, context: None, rows: 128, caches: DType::F32 }
    }
}

/// Answers requests with one model.
pub struct Scheduler {
    decoder: Decoder,
    pages: PagePool,
    tokenizer: Tokenizer,
    end_tokens: Vec<TokenId>,
    submitted: u64,
    waiting: VecDeque<Sequence>,
    /// In the order they were submitted.
    active: Vec<Sequence>,
    cancelled: BTreeSet<RequestId>,
}

/// What a step collects.
struct Step<'a> {
    now: &'a dyn Fn() -> Duration,
    updates: Vec<(RequestId, Update)>,
}

/// Sequences and what each reads in one run.
type Work = Vec<(Sequence, Range<usize>)>;

impl Scheduler {
    /// Compiles what is needed first and allocates the cache.
    ///
    /// # Errors
    /// [`AssistantError::Option`], [`AssistantError::VocabularyMismatch`], or the engine's: it
    /// refuses what does not fit its memory limit.
    pub fn new(parts: SchedulerParts, options: SchedulerOptions) -> Result<Self, AssistantError> {
        let SchedulerParts { engine, config, state, tokenizer, end_tokens } = parts;
        // Special tokens beyond the rows, such as a pad that was added later, come from no text; a
        // prompt that holds one is refused when it comes.
        if tokenizer.text_vocab_size() > config.vocab {
            return Err(AssistantError::VocabularyMismatch {
                tokenizer_size: tokenizer.text_vocab_size(),
                vocab_size: config.vocab,
            });
        }
        let sizes = sizes(&config, &state, options)?;
        Ok(Scheduler {
            decoder: Decoder::new(engine, config, state, sizes)?,
            pages: PagePool::new(sizes.pages, PAGE_TOKENS),
            tokenizer,
            end_tokens,
            submitted: 0,
            waiting: VecDeque::new(),
            active: Vec::new(),
            cancelled: BTreeSet::new(),
        })
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Shape of the model.
    pub fn config(&self) -> &LanguageConfig {
        self.decoder.config()
    }

    /// Tokens a conversation can have.
    pub fn context(&self) -> usize {
        self.decoder.sizes().context
    }

    /// Pages in use.
    pub fn pages(&self) -> PageCounts {
        self.pages.counts()
    }

    /// Whether every request has ended.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.active.is_empty()
    }

    /// The weights, when they are wanted elsewhere again.
    pub fn into_state(self) -> Buffers {
        self.decoder.into_state()
    }

    /// Takes a request, at the time `now` since any fixed moment. It is answered by later steps.
    ///
    /// # Errors
    /// A prompt or settings that make no sense.
    pub fn submit(
        &mut self,
        mut request: Request,
        now: Duration,
    ) -> Result<RequestId, AssistantError> {
        self.check(&request)?;
        let settings = &mut request.settings;
        if !settings.ignore_end {
            settings.stop_tokens.extend(&self.end_tokens);
        }
        let id = RequestId(self.submitted);
        self.waiting.push_back(Sequence::new(id, request, self.config().vocab, now)?);
        self.submitted += 1;
        Ok(id)
    }

    /// Logits after the last of these tokens, read from the first one on.
    ///
    /// # Errors
    /// A prompt that makes no sense, [`AssistantError::Busy`] when requests hold the pages.
    pub fn logits(&mut self, tokens: &[TokenId]) -> Result<Vec<f32>, AssistantError> {
        self.check(&Request { prompt: tokens.to_vec(), settings: Settings::default() })?;
        let lease = self.pages.lease(&[], tokens.len()).ok_or(AssistantError::Busy)?;
        let mut last = Ok(Vec::new());
        for start in (0..tokens.len()).step_by(self.decoder.sizes().rows) {
            let end = tokens.len().min(start + self.decoder.sizes().rows);
            let logits = if end == tokens.len() { Logits::Last } else { Logits::None };
            let span = Span { tokens: &tokens[start..end], start, pages: &lease.pages, logits };
            last = self.decoder.run(&[span]).map(|rows| rows.as_f32().unwrap_or_default().to_vec());
            if last.is_err() {
                break;
            }
        }
        self.pages.release(lease);
        let mut logits = last?;
        logits.truncate(self.config().vocab);
        Ok(logits)
    }

    /// Ends a request that waits or is being answered: the next step reports its end, with what
    /// there is of the answer. Whether there was such a request.
    pub fn cancel(&mut self, id: RequestId) -> bool {
        let known = self.waiting.iter().chain(&self.active).any(|sequence| sequence.id == id);
        if known {
            self.cancelled.insert(id);
        }
        known
    }

    /// Draws a token for every answer in the making, reads prompts, and admits waiting requests,
    /// first come first served. `now` gives the time since the moment that [`Scheduler::submit`]
    /// counts from. What goes wrong with one request ends that one.
    pub fn step(&mut self, now: &dyn Fn() -> Duration) -> Vec<(RequestId, Update)> {
        let mut step = Step { now, updates: Vec::new() };
        self.end_cancelled(&mut step);
        let (reading, drawing) = self.active.drain(..).partition(Sequence::reads_prompt);
        let drawing = self.draw(drawing, &mut step);
        self.read(drawing, reading, &mut step);
        self.active.sort_by_key(|sequence| sequence.id);
        self.admit(&mut step);
        step.updates
    }

    fn end_cancelled(&mut self, step: &mut Step<'_>) {
        let cancelled = std::mem::take(&mut self.cancelled);
        if cancelled.is_empty() {
            return;
        }
        let ends = |sequence: &Sequence| cancelled.contains(&sequence.id);
        let (ended, waiting): (VecDeque<_>, _) = self.waiting.drain(..).partition(ends);
        self.waiting = waiting;
        let (also, active): (Vec<_>, _) = self.active.drain(..).partition(ends);
        self.active = active;
        for sequence in ended.into_iter().chain(also) {
            self.end(sequence, FinishReason::Cancelled, step);
        }
    }

    /// Gives pages to waiting requests. They are read from the next step on, so that a caller that
    /// no longer wants one costs nothing.
    fn admit(&mut self, step: &mut Step<'_>) {
        while let Some(mut sequence) = self.waiting.pop_front() {
            // Every position of a scored prompt is read: nothing is shared.
            let known = if sequence.scores() { &[] } else { sequence.prompt() };
            let tokens = sequence.longest().min(self.context());
            let Some(lease) = self.pages.lease(known, tokens) else {
                self.waiting.push_front(sequence);
                return;
            };
            sequence.admit(lease, (step.now)());
            step.updates.push((sequence.id, Update::Event(sequence.progress())));
            self.active.push(sequence);
        }
    }

    /// A token for every answer in the making. Returns those that the next run has room for beside
    /// prompts.
    fn draw(&mut self, drawing: Vec<Sequence>, step: &mut Step<'_>) -> Work {
        let mut work = Work::new();
        for sequence in drawing {
            let drawn = sequence.drawn();
            work.push((sequence, drawn));
            // A run without room for a page of a prompt is full.
            if work.len() + PAGE_TOKENS > self.decoder.sizes().rows {
                self.run(std::mem::take(&mut work), step);
            }
        }
        work
    }

    /// One run over what draws and over prompts, in the order they came; those read to their end
    /// draw a token.
    fn read(&mut self, mut work: Work, reading: Vec<Sequence>, step: &mut Step<'_>) {
        let mut room = self.decoder.sizes().rows - work.len();
        for sequence in reading {
            let Range { start, end } = sequence.unread();
            // Scored prompts return a row of logits for each token: a page of them at a time.
            let most = if sequence.scores() { room.min(PAGE_TOKENS) } else { room };
            let to = end.min(start + most);
            room -= to - start;
            if start < end && to == start {
                self.active.push(sequence);
            } else {
                work.push((sequence, start..to));
            }
        }
        if !work.is_empty() {
            self.run(work, step);
        }
    }

    /// One run of the model. When it fails, each sequence runs alone, which gives the same bits,
    /// and those that fail alone end.
    fn run(&mut self, work: Work, step: &mut Step<'_>) {
        let spans: Vec<_> = work.iter().map(|(sequence, at)| sequence.span(at.clone())).collect();
        let logits = match spans.iter().all(|span| span.tokens.is_empty()) {
            // A scored prompt of one token has nothing to read.
            true => Ok(None),
            false => self.decoder.run(&spans).map(Some),
        };
        drop(spans);
        match logits {
            Ok(mut logits) => {
                let logits = logits.as_mut().map_or(&mut [][..], |logits| {
                    logits.elements_mut::<f32>().expect("decoding programs return f32 logits")
                });
                self.take_logits(work, logits, step);
            }
            Err(_) if work.len() > 1 => {
                work.into_iter().for_each(|one| self.run(vec![one], step));
            }
            Err(error) => {
                if let Some((sequence, _)) = work.into_iter().next() {
                    self.fail(sequence, error, step);
                }
            }
        }
    }

    /// Hands the logits of a run to its sequences. Those that continue are active again.
    fn take_logits(&mut self, work: Work, logits: &mut [f32], step: &mut Step<'_>) {
        let (vocab_size, context) = (self.config().vocab, self.context());
        let mut rows = logits.chunks_exact_mut(vocab_size);
        for (mut sequence, at) in work {
            let wants_last = sequence.span(at.clone()).logits == Logits::Last;
            let read_prompt = sequence.reads_prompt();
            sequence.read(at.end);
            if let Some(mut lease) = sequence.lease.take() {
                self.pages.publish(&mut lease, sequence.tokens(), at.end);
                sequence.lease = Some(lease);
            }
            if read_prompt {
                step.updates.push((sequence.id, Update::Event(sequence.progress())));
            }
            let mut events = Vec::new();
            let advanced = if sequence.scores() {
                rows.by_ref().take(at.len()).for_each(|row| sequence.score(row, vocab_size));
                Ok(sequence.unread().is_empty().then_some(FinishReason::MaxTokens))
            } else if wants_last {
                let row = rows.next().expect("a row of logits for each that wants one");
                sequence.advance(row, &self.tokenizer, context, (step.now)(), &mut events)
            } else {
                Ok(None)
            };
            let id = sequence.id;
            step.updates.extend(events.into_iter().map(|event| (id, Update::Event(event))));
            match advanced {
                Ok(None) => self.active.push(sequence),
                Ok(Some(reason)) => self.end(sequence, reason, step),
                Err(error) => self.fail(sequence, error, step),
            }
        }
    }

    /// Ends an answer and gives its pages back.
    fn end(&mut self, mut sequence: Sequence, reason: FinishReason, step: &mut Step<'_>) {
        let (id, lease) = (sequence.id, sequence.lease.take());
        let reused = lease.as_ref().map_or(0, |lease| lease.reused);
        lease.into_iter().for_each(|lease| self.pages.release(lease));
        let mut events = Vec::new();
        let completion = sequence.finish(reason, reused, (step.now)(), &mut events);
        step.updates.extend(events.into_iter().map(|event| (id, Update::Event(event))));
        step.updates.push((id, Update::Ended(Ok(completion))));
    }

    /// Ends a request that went wrong.
    fn fail(&mut self, mut sequence: Sequence, error: AssistantError, step: &mut Step<'_>) {
        sequence.lease.take().into_iter().for_each(|lease| self.pages.release(lease));
        step.updates.push((sequence.id, Update::Ended(Err(error))));
    }

    /// Whether a request makes sense, but for what its sampler and its stop strings check.
    fn check(&self, request: &Request) -> Result<(), AssistantError> {
        let Request { prompt, settings } = request;
        let (context, vocab_size) = (self.context(), self.config().vocab);
        if prompt.is_empty() {
            return Err(AssistantError::EmptyPrompt);
        }
        if prompt.len() > context {
            let prompt_tokens = prompt.len();
            return Err(AssistantError::ContextOverflow { prompt_tokens, limit: context, context });
        }
        if (settings.max_tokens == 0) != settings.score_prompt {
            let expected = if settings.score_prompt {
                "0 where the prompt is only scored"
            } else {
                "at least 1"
            };
            return Err(AssistantError::Option {
                name: "max_tokens",
                value: settings.max_tokens,
                expected: expected.to_owned(),
            });
        }
        let mut ids = prompt.iter().chain(&settings.stop_tokens);
        match ids.find(|id| id.index() >= vocab_size) {
            Some(&id) => Err(AssistantError::TokenOutsideVocabulary { id, vocab_size }),
            None => Ok(()),
        }
    }
}

/// The sizes that the options ask for.
fn sizes(
    config: &LanguageConfig,
    state: &Buffers,
    options: SchedulerOptions,
) -> Result<DecoderSizes, AssistantError> {
    let check = |name, value, holds: bool, expected: &str| {
        let expected = expected.to_owned();
        if holds { Ok(()) } else { Err(AssistantError::Option { name, value, expected }) }
    };
    let rows = options.rows;
    let rows_fit = rows.is_power_of_two() && (PAGE_TOKENS..=MAX_ROWS).contains(&rows);
    check("rows", rows, rows_fit, &format!("a power of two from {PAGE_TOKENS} to {MAX_ROWS}"))?;
    let context = options.context.unwrap_or(config.max_time);
    let context_fits = (2..=config.max_time).contains(&context);
    let expected = format!("from 2 to the {} that the model is meant for", config.max_time);
    check("context", context, context_fits, &expected)?;
    let columns = context.div_ceil(PAGE_TOKENS);
    let pages = options.pages.unwrap_or(columns);
    let expected = format!("at least the {columns} of one conversation of {context} tokens");
    check("pages", pages, pages >= columns, &expected)?;
    check_cache(config, options.caches)?;
    let embedding = &parameters(config)[0].name;
    let weights = state.get(embedding)?.ty.dtype;
    Ok(DecoderSizes { pages, context, rows, weights, caches: options.caches })
}
