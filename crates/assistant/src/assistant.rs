//! The assistant: a model on an engine with its tokenizer, its chat template and a KV cache that
//! outlives single answers. Checks requests and fits conversations into the context; `batch` does
//! the answering. One caller at a time: the engine runs one program at a time anyway.

use std::ops::ControlFlow;
use std::sync::Arc;

use stoa_dialogue::{ChatTemplate, Conversation, Message, Role};
use stoa_graph::{Buffers, DType, Engine};
use stoa_models::{LanguageConfig, parameters};
use stoa_tokens::{END_OF_TEXT, IM_END, Tokenizer};

use crate::batch::Batch;
use crate::completion::{Completion, Event, OnBatchEvent, OnEvent, Request, Settings};
use crate::decoder::{CHUNK_TOKENS, Decoder, DecoderSizes, Pace, Row};
use crate::sampling::logprobs;
use crate::slots::SlotTable;
use crate::stop::StopMatcher;
use crate::{AssistantError, Sampler, TokenId};

/// What to do with a conversation that does not fit the context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Refuse it, saying by how much it is too long.
    #[default]
    Refuse,
    /// Leave out the oldest exchanges, never the system message nor the last question, until it
    /// fits with room for an answer; the completion says how many messages are missing.
    DropOldest,
}

/// Sizes and habits of an assistant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssistantOptions {
    /// Conversations held in the cache, and answers made at the same time.
    pub slots: usize,
    /// Tokens of a conversation; `None` for as many as the model is meant for.
    pub context: Option<usize>,
    /// Most tokens of prompts read in one run; a power of two, at least 32.
    pub rows: usize,
    /// Element type of the cache.
    pub caches: DType,
    /// What happens to conversations that do not fit.
    pub overflow: Overflow,
}

impl Default for AssistantOptions {
    /// For one person at a terminal.
    fn default() -> Self {
        AssistantOptions {
            slots: 4,
            context: None,
            rows: 128,
            caches: DType::F32,
            overflow: Overflow::Refuse,
        }
    }
}

/// Largest number of rows: beyond it a step makes listeners wait for nothing gained.
const MOST_ROWS: usize = 4096;

/// What an assistant is made of.
pub struct AssistantParts {
    /// Runs the model.
    pub engine: Arc<dyn Engine>,
    /// Shape of the model.
    pub config: LanguageConfig,
    /// Its weights, on the engine.
    pub state: Buffers,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Its chat template.
    pub template: ChatTemplate,
    /// Tokens that end its turn.
    pub end_tokens: Vec<TokenId>,
}

/// The tokens that end a turn or a text in models trained here, as far as the tokenizer has them.
pub fn default_end_tokens(tokenizer: &Tokenizer) -> Vec<TokenId> {
    [IM_END, END_OF_TEXT].into_iter().filter_map(|name| tokenizer.special(name)).collect()
}

/// Answers prompts and conversations with one model.
pub struct Assistant {
    decoder: Decoder,
    slots: SlotTable,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    end_tokens: Vec<TokenId>,
    overflow: Overflow,
}

impl Assistant {
    /// Compiles what is needed first and allocates the cache.
    ///
    /// # Errors
    /// [`AssistantError::Option`], [`AssistantError::VocabularyMismatch`], or the engine's: it
    /// refuses what does not fit its memory limit.
    pub fn new(parts: AssistantParts, options: AssistantOptions) -> Result<Self, AssistantError> {
        let AssistantParts { engine, config, state, tokenizer, template, end_tokens } = parts;
        let context = options.context.unwrap_or(config.max_time);
        let check = |name, value, holds: bool, expected: &str| {
            let expected = expected.to_owned();
            if holds { Ok(()) } else { Err(AssistantError::Option { name, value, expected }) }
        };
        let rows_fit =
            options.rows.is_power_of_two() && (CHUNK_TOKENS..=MOST_ROWS).contains(&options.rows);
        check("rows", options.rows, rows_fit, "a power of two from 32 to 4096")?;
        check("slots", options.slots, options.slots >= 1, "at least 1")?;
        let context_fits = (2..=config.max_time).contains(&context);
        let expected = format!("from 2 to the {} that the model is meant for", config.max_time);
        check("context", context, context_fits, &expected)?;
        if tokenizer.vocab_size() > config.vocab {
            return Err(AssistantError::VocabularyMismatch {
                tokenizer_size: tokenizer.vocab_size(),
                vocab_size: config.vocab,
            });
        }
        let embedding = &parameters(&config)[0].name;
        let sizes = DecoderSizes {
            slots: options.slots,
            context,
            rows: options.rows,
            weights: state.get(embedding)?.ty.dtype,
            caches: options.caches,
        };
        Ok(Assistant {
            decoder: Decoder::new(engine, config, state, sizes)?,
            slots: SlotTable::new(options.slots),
            tokenizer,
            template,
            end_tokens,
            overflow: options.overflow,
        })
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The chat template.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// Shape of the model.
    pub fn config(&self) -> &LanguageConfig {
        self.decoder.config()
    }

    /// Tokens a conversation can have.
    pub fn context(&self) -> usize {
        self.decoder.sizes().context
    }

    /// Name of the engine and its hardware.
    pub fn engine_name(&self) -> String {
        self.decoder.engine().facts().name
    }

    /// The weights, when the assistant is no longer needed: training goes on with them.
    pub fn into_state(self) -> Buffers {
        self.decoder.into_state()
    }

    /// Continues a prompt. `on_event` hears tokens and text as they come and may break off; it is
    /// called at least once for each run of the model that works on the prompt or draws a token.
    ///
    /// # Errors
    /// A prompt or settings that make no sense, or the engine's.
    pub fn generate(
        &mut self,
        prompt: &[TokenId],
        settings: &Settings,
        on_event: OnEvent<'_>,
    ) -> Result<Completion, AssistantError> {
        let request = self.checked(prompt.to_vec(), settings.clone())?;
        let mut completions = self.batch(vec![request]).run(&mut |_, event| on_event(event))?;
        Ok(completions.pop().expect("one completion for one request"))
    }

    /// Answers a conversation.
    ///
    /// # Errors
    /// As [`Assistant::generate`] and [`Assistant::prompt`].
    pub fn chat(
        &mut self,
        conversation: &Conversation<'_>,
        settings: &Settings,
        on_event: OnEvent<'_>,
    ) -> Result<Completion, AssistantError> {
        let (prompt, dropped_messages) = self.prompt(conversation, settings.max_tokens)?;
        let completion = self.generate(&prompt, settings, on_event)?;
        Ok(Completion { dropped_messages, ..completion })
    }

    /// Answers many requests, as many at once as there are slots. Each gets the answer it would
    /// get alone. Completions are in the order of the requests.
    ///
    /// # Errors
    /// [`AssistantError::Request`] before anything runs when one makes no sense, or the engine's.
    pub fn generate_batch(
        &mut self,
        requests: &[Request],
        on_event: OnBatchEvent<'_>,
    ) -> Result<Vec<Completion>, AssistantError> {
        let checked = requests.iter().enumerate().map(|(index, request)| {
            self.checked(request.prompt.clone(), request.settings.clone())
                .map_err(|source| AssistantError::Request { index, source: Box::new(source) })
        });
        let checked = checked.collect::<Result<_, _>>()?;
        self.batch(checked).run(on_event)
    }

    /// The tokens of a conversation, and how many of its messages were left out to leave room for
    /// an answer of `answer_tokens` (or half the context, if that is less).
    ///
    /// # Errors
    /// [`AssistantError::ContextOverflow`] when it does not fit, [`ChatTemplate::encode`]'s.
    pub fn prompt(
        &self,
        conversation: &Conversation<'_>,
        answer_tokens: usize,
    ) -> Result<(Vec<TokenId>, usize), AssistantError> {
        let context = self.context();
        let limit = match self.overflow {
            Overflow::Refuse => context,
            Overflow::DropOldest => context - answer_tokens.min(context / 2),
        };
        let mut messages = conversation.messages.to_vec();
        loop {
            let shortened = Conversation { messages: &messages, ..conversation.clone() };
            let tokens = self.template.encode(&self.tokenizer, &shortened)?;
            let dropped = conversation.messages.len() - messages.len();
            if tokens.len() <= limit {
                return Ok((tokens, dropped));
            }
            let oldest =
                oldest_exchange(&messages).filter(|_| self.overflow == Overflow::DropOldest);
            let Some(oldest) = oldest else {
                return Err(AssistantError::ContextOverflow {
                    prompt_tokens: tokens.len(),
                    limit,
                    context,
                });
            };
            messages.drain(oldest);
        }
    }

    /// log p(token | tokens before it) of every token but the first, by the model itself.
    ///
    /// # Errors
    /// [`AssistantError::ContextOverflow`], [`AssistantError::TokenOutsideVocabulary`], or the
    /// engine's.
    pub fn score(&mut self, tokens: &[TokenId]) -> Result<Vec<f64>, AssistantError> {
        self.check_prompt(tokens)?;
        let lease = self.slots.lease(&[]).expect("between answers all slots are free");
        let scores = self.score_in(lease.slot, tokens);
        self.slots.release(lease.slot);
        scores
    }

    fn score_in(&mut self, slot: usize, tokens: &[TokenId]) -> Result<Vec<f64>, AssistantError> {
        let vocab_size = self.config().vocab;
        let mut scores = Vec::with_capacity(tokens.len());
        // Every row returns its logits: few rows at a time, or they would fill the memory.
        for start in (0..tokens.len() - 1).step_by(CHUNK_TOKENS) {
            let end = (start + CHUNK_TOKENS).min(tokens.len() - 1);
            let slot = Some(slot);
            let row = |position| Row { token: tokens[position], slot, position, wanted: true };
            let rows: Vec<Row> = (start..end).map(row).collect();
            let logits = self.decoder.run(Pace::Reading, &rows)?;
            let logits = logits.as_f32().expect("decoding programs return f32 logits");
            let next = &tokens[start + 1..=end];
            let rows = logits.chunks_exact(vocab_size).zip(next);
            scores.extend(rows.map(|(row, &id)| logprobs(row, id, 0).logprob));
        }
        Ok(scores)
    }

    fn batch(&mut self, requests: Vec<Request>) -> Batch<'_> {
        Batch::new(&mut self.decoder, &mut self.slots, &self.tokenizer, requests)
    }

    /// A request that can be run, with the model's own ends added.
    fn checked(
        &self,
        prompt: Vec<TokenId>,
        mut settings: Settings,
    ) -> Result<Request, AssistantError> {
        self.check_prompt(&prompt)?;
        let vocab_size = self.config().vocab;
        Sampler::new(&settings.sampling, &[], vocab_size)?;
        StopMatcher::new(&settings.stop_strings)?;
        if settings.max_tokens == 0 {
            let expected = "at least 1".to_owned();
            return Err(AssistantError::Option { name: "max_tokens", value: 0, expected });
        }
        if let Some(&id) = settings.stop_tokens.iter().find(|id| id.index() >= vocab_size) {
            return Err(AssistantError::TokenOutsideVocabulary { id, vocab_size });
        }
        if !settings.ignore_end {
            settings.stop_tokens.extend(&self.end_tokens);
        }
        Ok(Request { prompt, settings })
    }

    fn check_prompt(&self, prompt: &[TokenId]) -> Result<(), AssistantError> {
        let (context, vocab_size) = (self.context(), self.config().vocab);
        if prompt.is_empty() {
            return Err(AssistantError::EmptyPrompt);
        }
        if prompt.len() > context {
            let prompt_tokens = prompt.len();
            return Err(AssistantError::ContextOverflow { prompt_tokens, limit: context, context });
        }
        match prompt.iter().find(|id| id.index() >= vocab_size) {
            Some(&id) => Err(AssistantError::TokenOutsideVocabulary { id, vocab_size }),
            None => Ok(()),
        }
    }
}

/// The first question after the rules with all that answers it, unless it is the last question.
fn oldest_exchange(messages: &[Message]) -> Option<std::ops::Range<usize>> {
    let is_rule = |role| matches!(role, Role::System | Role::Developer);
    let start = messages.iter().position(|m| !is_rule(m.role))?;
    let length = messages[start + 1..].iter().position(|m| m.role == Role::User)?;
    Some(start..start + 1 + length)
}

/// A listener that hears nothing and never breaks off.
pub fn silent(_: Event<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
