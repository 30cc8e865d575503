//! Continuous batching: a run of the model reads prompts of as many requests as it has room for,
//! then every answer in the making gets its next token; a slot is refilled as soon as its answer
//! ends (Orca, OSDI '22, §3; prompts in chunks: Sarathi, arXiv 2308.16369 §4). What one request
//! gets does not depend on the others: rows do not mix, `decoder` keeps their numbers apart from
//! their company, and each sequence draws from its own random stream.

use std::collections::VecDeque;
use std::time::Instant;

use stoa_tokens::Tokenizer;

use crate::AssistantError;
use crate::completion::{Completion, Event, FinishReason, OnBatchEvent, Request};
use crate::decoder::{Decoder, Pace, Row};
use crate::sequence::Sequence;
use crate::slots::SlotTable;

/// Answers requests on one decoder.
pub(crate) struct Batch<'a> {
    decoder: &'a mut Decoder,
    slots: &'a mut SlotTable,
    tokenizer: &'a Tokenizer,
    waiting: VecDeque<(usize, Request)>,
    active: Vec<Sequence>,
    done: Vec<Option<Completion>>,
    asked: Instant,
}

impl<'a> Batch<'a> {
    /// Takes requests that have been checked.
    pub fn new(
        decoder: &'a mut Decoder,
        slots: &'a mut SlotTable,
        tokenizer: &'a Tokenizer,
        requests: Vec<Request>,
    ) -> Self {
        Batch {
            decoder,
            slots,
            tokenizer,
            done: vec![None; requests.len()],
            waiting: requests.into_iter().enumerate().collect(),
            active: Vec::new(),
            asked: Instant::now(),
        }
    }

    /// Answers all of them; completions in the order of the requests.
    pub fn run(mut self, on_event: OnBatchEvent<'_>) -> Result<Vec<Completion>, AssistantError> {
        if let Err(error) = self.run_steps(on_event) {
            // A failed run may have written any part of what was handed out.
            self.slots.reset();
            return Err(error);
        }
        Ok(self.done.into_iter().map(|c| c.expect("a batch ends with its last answer")).collect())
    }

    fn run_steps(&mut self, on_event: OnBatchEvent<'_>) -> Result<(), AssistantError> {
        loop {
            self.admit(on_event)?;
            if self.active.is_empty() {
                return Ok(());
            }
            self.read(on_event)?;
            self.draw(on_event)?;
        }
    }

    /// Gives free slots to waiting requests, first come first served.
    fn admit(&mut self, on_event: OnBatchEvent<'_>) -> Result<(), AssistantError> {
        let vocab_size = self.decoder.config().vocab;
        while let Some((index, request)) = self.waiting.pop_front() {
            let Some(lease) = self.slots.lease(&request.prompt) else {
                self.waiting.push_front((index, request));
                break;
            };
            let Request { prompt, settings } = request;
            let sequence = Sequence::new(index, lease, prompt, settings, vocab_size, self.asked)?;
            // Those who no longer listen cost nothing.
            if on_event(index, sequence.progress()).is_break() {
                self.end(sequence, FinishReason::Cancelled, on_event);
            } else {
                self.active.push(sequence);
            }
        }
        Ok(())
    }

    /// One run over prompts, in the order they came; those read to their end draw a token.
    fn read(&mut self, on_event: OnBatchEvent<'_>) -> Result<(), AssistantError> {
        let (reading, drawing) = take(&mut self.active, Sequence::reads_prompt);
        self.active = drawing;
        let mut rows = Vec::new();
        let mut wanted = 0;
        for sequence in &reading {
            let mut chunks = sequence.chunks().peekable();
            while let Some(chunk) = chunks.next() {
                let apart = usize::from(chunk.start > sequence.cached);
                let last = chunks.peek().is_none();
                let full = rows.len() + apart + chunk.len() > self.decoder.sizes().rows;
                // Logits of more than a few rows would be another kernel's.
                if full || (last && wanted == self.decoder.few_rows()) {
                    break;
                }
                wanted += usize::from(last);
                rows.extend(std::iter::repeat_n(Row::PADDING, apart));
                rows.extend(chunk.map(|position| sequence.row(position)));
            }
        }
        self.run_rows(Pace::Reading, reading, &rows, on_event)
    }

    /// A token for every answer in the making.
    fn draw(&mut self, on_event: OnBatchEvent<'_>) -> Result<(), AssistantError> {
        let (reading, mut drawing) = take(&mut self.active, Sequence::reads_prompt);
        self.active = reading;
        while !drawing.is_empty() {
            let rest = drawing.split_off(drawing.len().min(self.decoder.few_rows()));
            let rows: Vec<Row> = drawing.iter().map(|s| s.row(s.cached)).collect();
            self.run_rows(Pace::Drawing, drawing, &rows, on_event)?;
            drawing = rest;
        }
        Ok(())
    }

    /// One run of the model over rows of these sequences. Those that go on join the active ones.
    fn run_rows(
        &mut self,
        pace: Pace,
        sequences: Vec<Sequence>,
        rows: &[Row],
        on_event: OnBatchEvent<'_>,
    ) -> Result<(), AssistantError> {
        if rows.is_empty() {
            self.active.extend(sequences);
            return Ok(());
        }
        let mut logits = self.decoder.run(pace, rows)?;
        let logits = logits.elements_mut::<f32>().expect("decoding programs return f32 logits");
        let mut logits = logits.chunks_exact_mut(self.decoder.config().vocab);
        let context = self.decoder.sizes().context;
        for mut sequence in sequences {
            let index = sequence.index;
            let mut hear = |event: Event<'_>| on_event(index, event);
            let slot = sequence.lease.slot;
            let share = rows.iter().filter(|row| row.slot == Some(slot)).count();
            let read = sequence.read(share);
            if pace == Pace::Reading {
                // Only what was read at this pace is the same as when it is read anew.
                self.slots.append(slot, read);
            }
            let row = (sequence.pending() == 0)
                .then(|| logits.next().expect("each sequence read to its end gets a row"));
            let mut reason = None;
            if pace == Pace::Reading && share > 0 && hear(sequence.progress()).is_break() {
                reason = Some(FinishReason::Cancelled);
            } else if let Some(row) = row {
                reason = sequence.advance(row, self.tokenizer, context, &mut hear)?;
            }
            match reason {
                Some(reason) => self.end(sequence, reason, on_event),
                None => self.active.push(sequence),
            }
        }
        Ok(())
    }

    /// Ends an answer and frees its slot.
    fn end(&mut self, sequence: Sequence, reason: FinishReason, on_event: OnBatchEvent<'_>) {
        let index = sequence.index;
        self.slots.release(sequence.lease.slot);
        let completion = sequence.finish(reason, &mut |event| on_event(index, event));
        self.done[index] = Some(completion);
    }
}

/// Takes all sequences out: those for which `first` holds, and the others.
fn take(
    sequences: &mut Vec<Sequence>,
    first: impl Fn(&Sequence) -> bool,
) -> (Vec<Sequence>, Vec<Sequence>) {
    std::mem::take(sequences).into_iter().partition(first)
}
