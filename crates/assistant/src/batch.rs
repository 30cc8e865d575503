//! Continuous batching: every run of the model reads the next token of each answer in the making
//! and, in the room left, tokens of prompts; a slot is refilled as soon as its answer ends (Orca,
//! OSDI '22, §3; chunked prefill: Sarathi, arXiv 2308.16369 §4). What one request gets does not
//! depend on the others: rows do not mix and each sequence draws from its own random stream.

use std::collections::VecDeque;
use std::time::Instant;

use stoa_graph::TensorData;
use stoa_tokens::Tokenizer;

use crate::AssistantError;
use crate::completion::{Completion, Event, FinishReason, OnBatchEvent, Request};
use crate::decoder::{Decoder, Row};
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
            self.step(on_event)?;
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

    /// One run of the model.
    fn step(&mut self, on_event: OnBatchEvent<'_>) -> Result<(), AssistantError> {
        let shares = self.shares();
        let mut rows = Vec::new();
        for (sequence, &share) in self.active.iter().zip(&shares) {
            let range = sequence.cached..sequence.cached + share;
            rows.extend(range.map(|position| Row {
                token: sequence.tokens[position],
                slot: sequence.lease.slot,
                position,
                wanted: position + 1 == sequence.tokens.len(),
            }));
        }
        let mut logits = self.decoder.run(&rows)?;
        let TensorData::F32(logits) = logits.data_mut() else {
            unreachable!("decoding programs return f32 logits")
        };
        let mut logits = logits.chunks_exact_mut(self.decoder.config().vocab);
        let context = self.decoder.sizes().context;
        for (mut sequence, share) in std::mem::take(&mut self.active).into_iter().zip(shares) {
            let index = sequence.index;
            let mut hear = |event: Event<'_>| on_event(index, event);
            let read_prompt = sequence.reads_prompt() && share > 0;
            self.slots.append(sequence.lease.slot, sequence.read(share));
            let row = (sequence.pending() == 0)
                .then(|| logits.next().expect("each sequence read to its end gets a row"));
            let mut reason = None;
            if read_prompt && hear(sequence.progress()).is_break() {
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

    /// Rows of the next run for each active sequence: one for each that draws, then prompts in the
    /// order they came until the largest program is full.
    fn shares(&self) -> Vec<usize> {
        let drawing = self.active.iter().filter(|s| !s.reads_prompt()).count();
        let mut room = self.decoder.sizes().rows - drawing;
        let share = |sequence: &Sequence| {
            if !sequence.reads_prompt() {
                return 1;
            }
            let share = sequence.pending().min(room);
            room -= share;
            share
        };
        self.active.iter().map(share).collect()
    }
}
