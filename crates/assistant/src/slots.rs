//! Which tokens each slot of the KV cache holds, so that a prompt that begins like an earlier
//! conversation is read only from where they part. Only whole chunks of a prompt count: they were
//! computed as they would be again (see `decoder`). Holds ids, not keys and values.

use crate::TokenId;
use crate::decoder::CHUNK_TOKENS;

/// A slot given to a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// Index of the slot.
    pub slot: usize,
    /// Tokens at its beginning that the sequence shares.
    pub reused: usize,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    /// Tokens whose keys and values the slot holds as a prompt's, by position.
    tokens: Vec<TokenId>,
    busy: bool,
    /// Value of the counter when it was last given back.
    last_used: u64,
}

/// All slots.
#[derive(Clone, Debug)]
pub(crate) struct SlotTable {
    slots: Vec<Slot>,
    uses: u64,
}

impl SlotTable {
    pub fn new(slots: usize) -> Self {
        SlotTable { slots: vec![Slot::default(); slots], uses: 0 }
    }

    /// The free slot with the most chunks in common with the beginning of `prompt`; of equals the
    /// one unused for longest, then the first. The last token is never shared: its logits are
    /// wanted.
    pub fn lease(&mut self, prompt: &[TokenId]) -> Option<Lease> {
        let shared = |slot: &Slot| {
            let equal = slot.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
            equal.min(prompt.len().saturating_sub(1)) / CHUNK_TOKENS * CHUNK_TOKENS
        };
        let free = self.slots.iter().enumerate().filter(|(_, slot)| !slot.busy);
        let (reused, _, slot) = free
            .map(|(i, slot)| (shared(slot), u64::MAX - slot.last_used, usize::MAX - i))
            .max()
            .map(|(reused, age, i)| (reused, age, usize::MAX - i))?;
        let chosen = &mut self.slots[slot];
        chosen.busy = true;
        chosen.tokens.truncate(reused);
        Some(Lease { slot, reused })
    }

    /// Notes that tokens of a prompt were written behind those the slot holds.
    pub fn append(&mut self, slot: usize, tokens: &[TokenId]) {
        self.slots[slot].tokens.extend_from_slice(tokens);
    }

    /// Gives a slot back; what it holds stays.
    pub fn release(&mut self, slot: usize) {
        self.uses += 1;
        self.slots[slot].busy = false;
        self.slots[slot].last_used = self.uses;
    }

    /// Frees all slots and forgets what they hold.
    pub fn reset(&mut self) {
        *self = SlotTable::new(self.slots.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chunk of equal tokens for each of `ids`, then `rest`.
    fn chunks(ids: &[u32], rest: &[u32]) -> Vec<TokenId> {
        let chunk = |&id: &u32| [TokenId(id); CHUNK_TOKENS];
        let rest = rest.iter().copied().map(TokenId);
        ids.iter().flat_map(chunk).chain(rest).collect()
    }

    const C: usize = CHUNK_TOKENS;

    #[test]
    fn a_prompt_gets_the_slot_that_holds_most_of_it() {
        let mut table = SlotTable::new(3);
        for tokens in [&[1, 2, 3, 4][..], &[1, 2, 9], &[7]] {
            let lease = table.lease(&chunks(&[], &[100])).unwrap();
            table.append(lease.slot, &chunks(tokens, &[5, 5]));
            // Given back at the end, so that each takes another slot.
        }
        assert_eq!(table.lease(&chunks(&[1], &[])), None);
        (0..3).for_each(|slot| table.release(slot));
        let prompt = chunks(&[1, 2, 9], &[5, 5, 5]);
        assert_eq!(table.lease(&prompt), Some(Lease { slot: 1, reused: 3 * C }));
        assert_eq!(table.lease(&prompt), Some(Lease { slot: 0, reused: 2 * C }));
        table.release(0);
        // What slot 0 held behind the shared beginning is gone.
        let prompt = chunks(&[1, 2, 3, 4], &[]);
        assert_eq!(table.lease(&prompt), Some(Lease { slot: 0, reused: 2 * C }));
    }

    #[test]
    fn the_last_token_is_read_again_and_the_oldest_slot_goes_first() {
        let mut table = SlotTable::new(2);
        let lease = table.lease(&chunks(&[], &[5])).unwrap();
        table.append(lease.slot, &chunks(&[1, 2], &[]));
        table.release(lease.slot);
        assert_eq!(table.lease(&chunks(&[1, 2], &[])), Some(Lease { slot: 0, reused: C }));
        table.release(0);
        assert_eq!(table.lease(&chunks(&[8], &[])).unwrap().slot, 1);
        table.release(1);
        assert_eq!(table.lease(&chunks(&[9], &[])).unwrap().slot, 0);
        table.release(0);
        table.reset();
        assert_eq!(table.lease(&chunks(&[1, 2], &[])).unwrap().reused, 0);
    }
}
