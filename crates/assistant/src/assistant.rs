//! The assistant: a scheduler with a chat template. Fits conversations into the context and waits for
//! answers; the scheduler makes them. For one caller at a time; a server steps a scheduler itself.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use stoa_dialogue::{ChatTemplate, Conversation, Message, Role};
use stoa_graph::{Buffers, Engine};
use stoa_models::LanguageConfig;
use stoa_tokens::{END_OF_TEXT, IM_END, Tokenizer};

use crate::completion::{Completion, Event, OnBatchEvent, OnEvent, Request, Settings};
use crate::scheduler::{RequestId, Scheduler, SchedulerOptions, SchedulerParts, Update};
use crate::{AssistantError, TokenId};

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AssistantOptions {
    /// Sizes of its scheduler.
    pub scheduler: SchedulerOptions,
    /// What happens to conversations that do not fit.
    pub overflow: Overflow,
}

/// Time since any fixed moment, never going back.
pub type Clock = Box<dyn Fn() -> Duration + Send>;

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
    scheduler: Scheduler,
    template: ChatTemplate,
    overflow: Overflow,
    clock: Clock,
}

impl Assistant {
    /// Compiles what is needed first and allocates the cache. Without a clock, the timings of its
    /// answers are 0.
    ///
    /// # Errors
    /// As [`Scheduler::new`].
    pub fn new(parts: AssistantParts, options: AssistantOptions) -> Result<Self, AssistantError> {
        let AssistantParts { engine, config, state, tokenizer, template, end_tokens } = parts;
        let parts = SchedulerParts { engine, config, state, tokenizer, end_tokens };
        Ok(Assistant {
            scheduler: Scheduler::new(parts, options.scheduler)?,
            template,
            overflow: options.overflow,
            clock: Box::new(|| Duration::ZERO),
        })
    }

    /// The same, with timings by this clock.
    pub fn with_clock(self, clock: Clock) -> Self {
        Assistant { clock, ..self }
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.scheduler.tokenizer()
    }

    /// The template.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// Shape of the model.
    pub fn config(&self) -> &LanguageConfig {
        self.scheduler.config()
    }

    /// Tokens a conversation can have.
    pub fn context(&self) -> usize {
        self.scheduler.context()
    }

    /// The weights, when the assistant is no longer needed: training continues with them.
    pub fn into_state(self) -> Buffers {
        self.scheduler.into_state()
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
        let request = Request { prompt: prompt.to_vec(), settings: settings.clone() };
        let id = self.scheduler.submit(request, (self.clock)())?;
        let mut completions = self.answer(&[id], &mut |_, event| on_event(event));
        completions.pop().expect("one completion for one request")
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

    /// Answers many requests, as many at once as there are pages for. Each gets the answer it would
    /// get alone. Completions are in the order of the requests.
    ///
    /// # Errors
    /// [`AssistantError::Request`]: before anything runs when one makes no sense, else when all have
    /// ended, for the first that failed.
    pub fn generate_batch(
        &mut self,
        requests: &[Request],
        on_event: OnBatchEvent<'_>,
    ) -> Result<Vec<Completion>, AssistantError> {
        let mut ids = Vec::with_capacity(requests.len());
        let named = |index, source| AssistantError::Request { index, source: Box::new(source) };
        for (index, request) in requests.iter().enumerate() {
            match self.scheduler.submit(request.clone(), (self.clock)()) {
                Ok(id) => ids.push(id),
                Err(error) => {
                    for &id in &ids {
                        self.scheduler.cancel(id);
                    }
                    // Nothing was admitted: this reports their ends and runs nothing.
                    self.scheduler.step(&*self.clock);
                    return Err(named(index, error));
                }
            }
        }
        let ended = self.answer(&ids, on_event).into_iter().enumerate();
        ended.map(|(index, ended)| ended.map_err(|error| named(index, error))).collect()
    }

    /// Steps until these requests have ended; how, in their order.
    fn answer(
        &mut self,
        ids: &[RequestId],
        on_event: OnBatchEvent<'_>,
    ) -> Vec<Result<Completion, AssistantError>> {
        let places: BTreeMap<RequestId, usize> = ids.iter().copied().zip(0..).collect();
        let mut ended = BTreeMap::new();
        while ended.len() < ids.len() {
            for (id, update) in self.scheduler.step(&*self.clock) {
                match update {
                    Update::Event(event) => {
                        if on_event(places[&id], &event).is_break() {
                            self.scheduler.cancel(id);
                        }
                    }
                    Update::Ended(how) => {
                        ended.insert(id, how);
                    }
                }
            }
        }
        ended.into_values().collect()
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
            let tokens = self.template.encode(self.tokenizer(), &shortened)?;
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

    /// Logits after the last of these tokens.
    ///
    /// # Errors
    /// As [`Scheduler::logits`].
    pub fn logits(&mut self, tokens: &[TokenId]) -> Result<Vec<f32>, AssistantError> {
        self.scheduler.logits(tokens)
    }

    /// log p(token | tokens before it) of every token but the first, by the model itself.
    ///
    /// # Errors
    /// [`AssistantError::ContextOverflow`], [`AssistantError::TokenOutsideVocabulary`], or the
    /// engine's.
    pub fn score(&mut self, tokens: &[TokenId]) -> Result<Vec<f64>, AssistantError> {
        let settings = Settings { score_prompt: true, max_tokens: 0, ..Settings::default() };
        Ok(self.generate(tokens, &settings, &mut ignore_events)?.prompt_logprobs)
    }
}

/// The first question after the rules with all that answers it, unless it is the last question.
fn oldest_exchange(messages: &[Message]) -> Option<std::ops::Range<usize>> {
    let is_rule = |role| matches!(role, Role::System | Role::Developer);
    let start = messages.iter().position(|m| !is_rule(m.role))?;
    let length = messages[start + 1..].iter().position(|m| m.role == Role::User)?;
    Some(start..start + 1 + length)
}

/// A listener that takes no notice and never breaks off.
pub fn ignore_events(_: &Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
