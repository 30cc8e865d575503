//! One answer in the making: its tokens, its text, and the moment it ends. Given logits, it takes
//! the next token; it does not run the model and reads no clock.

use std::ops::Range;
use std::time::Duration;

use stoa_tokens::{Tokenizer, Utf8Assembler};

use crate::completion::{Completion, Event, FinishReason, Request, Settings, Timings};
use crate::decoder::{Logits, Span};
use crate::pages::Lease;
use crate::sampling::logprobs;
use crate::stop::StopMatcher;
use crate::{AssistantError, RequestId, Sampler, TokenId, TokenLogprobs};

/// A request that waits or is being answered.
pub(crate) struct Sequence {
    pub id: RequestId,
    /// Its pages once it is admitted.
    pub lease: Option<Lease>,
    /// Prompt and answer.
    tokens: Vec<TokenId>,
    /// Tokens whose keys and values the pages hold.
    cached: usize,
    prompt_tokens: usize,
    settings: Settings,
    sampler: Sampler,
    assembler: Utf8Assembler,
    stops: StopMatcher,
    text: String,
    logprobs: Vec<TokenLogprobs>,
    prompt_logprobs: Vec<f64>,
    times: Times,
}

/// When what happened.
#[derive(Clone, Copy)]
struct Times {
    submitted: Duration,
    admitted: Option<Duration>,
    first_token: Option<Duration>,
}

impl Sequence {
    /// A request whose prompt has been checked.
    pub fn new(
        id: RequestId,
        request: Request,
        vocab_size: usize,
        now: Duration,
    ) -> Result<Self, AssistantError> {
        let Request { prompt, settings } = request;
        Ok(Sequence {
            id,
            lease: None,
            cached: 0,
            prompt_tokens: prompt.len(),
            sampler: Sampler::new(&settings.sampling, &prompt, vocab_size)?,
            stops: StopMatcher::new(&settings.stop_strings)?,
            tokens: prompt,
            settings,
            assembler: Utf8Assembler::default(),
            text: String::new(),
            logprobs: Vec::new(),
            prompt_logprobs: Vec::new(),
            times: Times { submitted: now, admitted: None, first_token: None },
        })
    }

    pub fn prompt(&self) -> &[TokenId] {
        &self.tokens[..self.prompt_tokens]
    }

    /// Prompt and answer.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// Tokens that it may come to, if the context holds as many.
    pub fn longest(&self) -> usize {
        self.prompt_tokens.saturating_add(self.settings.max_tokens)
    }

    /// Whether its prompt is scored and nothing is drawn.
    pub fn scores(&self) -> bool {
        self.settings.score_prompt
    }

    /// Takes its pages.
    pub fn admit(&mut self, lease: Lease, now: Duration) {
        self.cached = lease.reused;
        self.lease = Some(lease);
        self.times.admitted = Some(now);
    }

    /// Tokens of the prompt that are still to be read. The last token of a prompt that is only
    /// scored is not: what follows it is not asked for.
    pub fn unread(&self) -> Range<usize> {
        self.cached..self.prompt_tokens - usize::from(self.scores())
    }

    /// Whether the prompt is still being read.
    pub fn reads_prompt(&self) -> bool {
        self.scores() || self.cached < self.prompt_tokens
    }

    /// The token just drawn.
    pub fn drawn(&self) -> Range<usize> {
        self.cached..self.tokens.len()
    }

    /// What reads the tokens at these positions.
    pub fn span(&self, positions: Range<usize>) -> Span<'_> {
        let pages = self.lease.as_ref().map_or(&[][..], |lease| &lease.pages);
        let logits = if self.scores() {
            Logits::All
        } else if positions.end == self.tokens.len() {
            Logits::Last
        } else {
            Logits::None
        };
        Span { tokens: &self.tokens[positions.clone()], start: positions.start, pages, logits }
    }

    /// Notes that the model has read up to a position.
    pub fn read(&mut self, end: usize) {
        self.cached = end;
    }

    /// What is reported while the prompt is read.
    pub fn progress(&self) -> Event {
        Event::Prompt { done: self.cached.min(self.prompt_tokens), total: self.prompt_tokens }
    }

    /// Takes log p of the prompt's tokens after those just read, from their logits.
    pub fn score(&mut self, logits: &[f32], vocab_size: usize) {
        let next = &self.tokens[self.prompt_logprobs.len() + 1..];
        let rows = logits.chunks_exact(vocab_size).zip(next);
        self.prompt_logprobs.extend(rows.map(|(row, &id)| logprobs(row, id, 0).logprob));
    }

    /// Draws the next token from its logits. Gives the reason when it was the last.
    pub fn advance(
        &mut self,
        logits: &mut [f32],
        tokenizer: &Tokenizer,
        context: usize,
        now: Duration,
        events: &mut Vec<Event>,
    ) -> Result<Option<FinishReason>, AssistantError> {
        let raw = self.settings.logprobs.map(|_| logits.to_vec());
        let id = self.sampler.draw(logits)?;
        self.times.first_token.get_or_insert(now);
        self.tokens.push(id);
        let reported = self.settings.logprobs.zip(raw).map(|(top, raw)| logprobs(&raw, id, top));
        events.push(Event::Token { id, logprobs: reported.clone() });
        self.logprobs.extend(reported);
        if self.settings.stop_tokens.contains(&id) {
            return Ok(Some(FinishReason::StopToken(id)));
        }
        if !tokenizer.is_special(id) {
            let text = self.assembler.push(tokenizer.token_bytes(id).unwrap_or_default());
            let released = self.stops.push(&text);
            self.add_text(released.text, events);
            if let Some(stop) = released.stop {
                return Ok(Some(FinishReason::StopString(stop)));
            }
        }
        let answer_tokens = self.tokens.len() - self.prompt_tokens;
        Ok(if answer_tokens >= self.settings.max_tokens {
            Some(FinishReason::MaxTokens)
        } else if self.tokens.len() > context {
            // The token just drawn has no place left, so nothing can follow it.
            Some(FinishReason::ContextFull)
        } else {
            None
        })
    }

    /// Ends the answer, of whose prompt `reused_tokens` were not read again.
    pub fn finish(
        mut self,
        reason: FinishReason,
        reused_tokens: usize,
        now: Duration,
        events: &mut Vec<Event>,
    ) -> Completion {
        // A character whose last bytes were not drawn is not shown, but counted. What follows a
        // stop string is not part of the answer, so nothing of it is cut.
        let mut cut_bytes = 0;
        if !matches!(reason, FinishReason::StopString(_)) {
            cut_bytes = self.assembler.incomplete();
            let withheld = self.stops.finish();
            self.add_text(withheld, events);
        }
        let Times { submitted, admitted, first_token } = self.times;
        let admitted = admitted.unwrap_or(now);
        let first_token = first_token.unwrap_or(now);
        let seconds = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64();
        Completion {
            text: self.text,
            timings: Timings {
                prompt_tokens: self.prompt_tokens,
                reused_tokens,
                answer_tokens: self.tokens.len() - self.prompt_tokens,
                queue_seconds: seconds(submitted, admitted),
                prefill_seconds: seconds(admitted, first_token),
                decode_seconds: seconds(first_token, now),
            },
            tokens: self.tokens.split_off(self.prompt_tokens),
            logprobs: self.logprobs,
            prompt_logprobs: self.prompt_logprobs,
            finish: reason,
            dropped_messages: 0,
            cut_bytes,
        }
    }

    /// Appends to the text and reports it.
    fn add_text(&mut self, text: String, events: &mut Vec<Event>) {
        self.text.push_str(&text);
        if !text.is_empty() {
            events.push(Event::Text(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use stoa_tokens::{DEFAULT_SPECIAL_TOKENS, TrainOptions};

    use super::*;

    /// The answer to `tokens` tokens of a text, and the bytes cut from its end.
    fn answered(text: &str, tokens: usize, stop: &[&str]) -> (String, usize) {
        let vocab_size = 256 + DEFAULT_SPECIAL_TOKENS.len();
        let options = TrainOptions { vocab_size, ..TrainOptions::default() };
        let tokenizer =
            Tokenizer::train(["text"], &options, |_| ControlFlow::Continue(())).unwrap();
        let settings = Settings {
            max_tokens: tokens,
            stop_strings: stop.iter().map(|&stop| stop.to_owned()).collect(),
            ..Settings::default()
        };
        let request = Request { prompt: vec![TokenId(0)], settings };
        let mut sequence = Sequence::new(RequestId(1), request, 300, Duration::ZERO).unwrap();
        let mut events = Vec::new();
        for id in tokenizer.encode(text) {
            let mut logits = vec![0.0; 300];
            logits[id.0 as usize] = 1.0;
            let end = sequence
                .advance(&mut logits, &tokenizer, 200, Duration::ZERO, &mut events)
                .unwrap();
            if let Some(reason) = end {
                let answer = sequence.finish(reason, 0, Duration::ZERO, &mut events);
                return (answer.text, answer.cut_bytes);
            }
        }
        panic!("no end after {tokens} tokens of {text:?}");
    }

    #[test]
    fn an_answer_ends_with_a_whole_character() {
        for (tokens, said, cut) in [(8, "😀😀", 0), (5, "😀", 1), (6, "😀", 2), (7, "😀", 3)]
        {
            assert_eq!(answered("😀😀", tokens, &[]), (said.to_owned(), cut), "{tokens}");
        }
        assert_eq!(answered("aé", 2, &[]), ("a".to_owned(), 1));
        // Text withheld for a stop string is the answer's when nothing more comes.
        assert_eq!(answered("ab😀", 3, &["b😀"]), ("ab".to_owned(), 1));
        assert_eq!(answered("ab😀c", 7, &["b😀"]), ("a".to_owned(), 0));
    }
}
