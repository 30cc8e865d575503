//! One answer in the making: its tokens, its text, and the moment it ends. Given logits, it takes
//! the next token; it does not run the model.

use std::ops::Range;
use std::time::Instant;

use stoa_tokens::{Tokenizer, Utf8Assembler};

use crate::completion::{Completion, Event, FinishReason, OnEvent, Settings, Timings};
use crate::decoder::{CHUNK_TOKENS, Row};
use crate::sampling::logprobs;
use crate::slots::Lease;
use crate::stop::StopMatcher;
use crate::{AssistantError, Sampler, TokenId, TokenLogprobs};

/// A request that is being answered.
pub(crate) struct Sequence {
    /// Place of the request among those given.
    pub index: usize,
    pub lease: Lease,
    /// Prompt and answer.
    pub tokens: Vec<TokenId>,
    /// Tokens that the slot holds: whole chunks while the prompt is read.
    pub cached: usize,
    prompt_tokens: usize,
    settings: Settings,
    sampler: Sampler,
    assembler: Utf8Assembler,
    stops: StopMatcher,
    text: String,
    logprobs: Vec<TokenLogprobs>,
    clock: Clock,
}

/// When what happened.
struct Clock {
    asked: Instant,
    admitted: Instant,
    first_token: Option<Instant>,
}

impl Sequence {
    pub fn new(
        index: usize,
        lease: Lease,
        prompt: Vec<TokenId>,
        settings: Settings,
        vocab_size: usize,
        asked: Instant,
    ) -> Result<Self, AssistantError> {
        Ok(Sequence {
            index,
            lease,
            cached: lease.reused,
            prompt_tokens: prompt.len(),
            sampler: Sampler::new(&settings.sampling, &prompt, vocab_size)?,
            stops: StopMatcher::new(&settings.stop_strings)?,
            tokens: prompt,
            settings,
            assembler: Utf8Assembler::default(),
            text: String::new(),
            logprobs: Vec::new(),
            clock: Clock { asked, admitted: Instant::now(), first_token: None },
        })
    }

    /// Tokens that the model has not read yet.
    pub fn pending(&self) -> usize {
        self.tokens.len() - self.cached
    }

    /// Whether the prompt is still being read.
    pub fn reads_prompt(&self) -> bool {
        self.cached < self.prompt_tokens
    }

    /// The chunks of the prompt that are not read yet.
    pub fn chunks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let end = self.prompt_tokens;
        (self.cached..end).step_by(CHUNK_TOKENS).map(move |at| at..end.min(at + CHUNK_TOKENS))
    }

    /// The row that reads the token at a position.
    pub fn row(&self, position: usize) -> Row {
        Row {
            token: self.tokens[position],
            slot: Some(self.lease.slot),
            position,
            wanted: position + 1 == self.tokens.len(),
        }
    }

    /// Notes that the model has read the next `count` tokens, and returns them.
    pub fn read(&mut self, count: usize) -> &[TokenId] {
        let start = self.cached;
        self.cached += count;
        &self.tokens[start..self.cached]
    }

    /// What to tell of the prompt's reading.
    pub fn progress(&self) -> Event<'static> {
        Event::Prompt { done: self.cached.min(self.prompt_tokens), total: self.prompt_tokens }
    }

    /// Draws the next token from its logits. Gives the reason when it was the last.
    pub fn advance(
        &mut self,
        logits: &mut [f32],
        tokenizer: &Tokenizer,
        context: usize,
        on_event: OnEvent<'_>,
    ) -> Result<Option<FinishReason>, AssistantError> {
        let raw = self.settings.logprobs.map(|_| logits.to_vec());
        let id = self.sampler.draw(logits)?;
        self.clock.first_token.get_or_insert_with(Instant::now);
        self.tokens.push(id);
        let reported = self.settings.logprobs.zip(raw).map(|(top, raw)| logprobs(&raw, id, top));
        let mut stopped = on_event(Event::Token { id, logprobs: reported.as_ref() }).is_break();
        self.logprobs.extend(reported);
        if self.settings.stop_tokens.contains(&id) {
            return Ok(Some(FinishReason::StopToken(id)));
        }
        if !tokenizer.is_special(id) {
            let text = self.assembler.push(tokenizer.token_bytes(id).unwrap_or_default());
            let released = self.stops.push(&text);
            stopped |= self.add_text(&released.text, on_event);
            if let Some(stop) = released.stop {
                return Ok(Some(FinishReason::StopString(stop)));
            }
        }
        let answer_tokens = self.tokens.len() - self.prompt_tokens;
        Ok(if stopped {
            Some(FinishReason::Cancelled)
        } else if answer_tokens >= self.settings.max_tokens {
            Some(FinishReason::MaxTokens)
        } else if self.tokens.len() > context {
            // The token just drawn has no place left, so nothing can follow it.
            Some(FinishReason::ContextFull)
        } else {
            None
        })
    }

    /// Ends the answer.
    pub fn finish(mut self, mut reason: FinishReason, on_event: OnEvent<'_>) -> Completion {
        let ended = Instant::now();
        if !matches!(reason, FinishReason::StopString(_)) {
            let rest = std::mem::take(&mut self.assembler).finish();
            let released = self.stops.push(&rest);
            self.add_text(&released.text, on_event);
            match released.stop {
                Some(stop) => reason = FinishReason::StopString(stop),
                None => {
                    let withheld = self.stops.finish();
                    self.add_text(&withheld, on_event);
                }
            }
        }
        let first_token = self.clock.first_token.unwrap_or(ended);
        let seconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
        Completion {
            text: self.text,
            timings: Timings {
                prompt_tokens: self.prompt_tokens,
                reused_tokens: self.lease.reused,
                answer_tokens: self.tokens.len() - self.prompt_tokens,
                queue_seconds: seconds(self.clock.asked, self.clock.admitted),
                prefill_seconds: seconds(self.clock.admitted, first_token),
                decode_seconds: seconds(first_token, ended),
            },
            tokens: self.tokens.split_off(self.prompt_tokens),
            logprobs: self.logprobs,
            finish: reason,
            dropped_messages: 0,
        }
    }

    /// Appends to the text and says so; whether the listener breaks off.
    fn add_text(&mut self, text: &str, on_event: OnEvent<'_>) -> bool {
        self.text.push_str(text);
        !text.is_empty() && on_event(Event::Text(text)).is_break()
    }
}
