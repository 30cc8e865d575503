//! What a GGUF file holds of a model in addition to its weights: the tables of the tokenizer, the chat template
//! and the tokens that end a turn. The keys are those that `gguf` reads.

use std::collections::BTreeSet;

use stoa_gguf::Metadata;
use stoa_tokens::WrittenTables;

use crate::gguf::{END_KEYS, TEMPLATE, ends_by_name, named};
use crate::{AssistantError, ModelParts, TokenId};

impl ModelParts {
    /// Sets the keys of tokenizer, template and ends; gives what they have no place for, in a few words
    /// each.
    ///
    /// # Errors
    /// A tokenizer that no tables describe.
    pub fn set_gguf_keys(&self, keys: &mut Metadata) -> Result<Vec<String>, AssistantError> {
        let WrittenTables { mut tables, mut notes } =
            self.tokenizer.to_tables(self.config.vocab)?;
        let of_template = |name: &str| {
            let id = self.template.variable(name).and_then(|token| self.tokenizer.special(token));
            id.map(|id| id.0).filter(|&id| (id as usize) < self.config.vocab)
        };
        tables.bos = tables.bos.or_else(|| of_template("bos_token"));
        tables.unknown = tables.unknown.or_else(|| of_template("unk_token"));
        let ends = self.ordered_ends(of_template("eos_token").map(TokenId), &mut notes);
        tables.eos = tables.eos.or_else(|| ends.first().map(|id| id.0));
        let pad = of_template("pad_token");

        let mut set = |key: &str, value: stoa_gguf::Value| keys.set(named(key), value);
        set("model", tables.model.into());
        if let Some(pre) = tables.pre {
            set("pre", pre.into());
        }
        set("tokens", tables.tokens.into());
        let types: Vec<i32> = tables.token_types.iter().map(|&ty| ty as i32).collect();
        set("token_type", types.into());
        if !tables.scores.is_empty() {
            set("scores", tables.scores.into());
        }
        if !tables.merges.is_empty() {
            set("merges", tables.merges.into());
        }
        let ids = [
            ("bos_token_id", tables.bos),
            (END_KEYS[0], tables.eos),
            ("unknown_token_id", tables.unknown),
            ("padding_token_id", pad),
        ];
        let more = ends.iter().map(|id| id.0).filter(|&id| Some(id) != tables.eos);
        let more = END_KEYS[1..].iter().copied().zip(more.map(Some));
        for (key, id) in ids.into_iter().chain(more) {
            if let Some(id) = id {
                set(key, id.into());
            }
        }
        let flags = [
            ("add_bos_token", tables.add_bos),
            ("add_eos_token", tables.add_eos),
            ("add_space_prefix", tables.add_space_prefix),
        ];
        for (key, flag) in flags {
            if let Some(flag) = flag {
                set(key, flag.into());
            }
        }
        if !self.template.is_missing() {
            keys.set(TEMPLATE, self.template.source());
        }
        Ok(notes)
    }

    /// The ends that keys must name, the model's own first; those that are found by their names come
    /// after.
    fn ordered_ends(&self, own: Option<TokenId>, notes: &mut Vec<String>) -> Vec<TokenId> {
        let by_name: BTreeSet<TokenId> = ends_by_name(&self.tokenizer).into_iter().collect();
        let mut ends: Vec<TokenId> = own.into_iter().collect();
        let (named, unnamed): (Vec<TokenId>, Vec<TokenId>) =
            self.end_tokens.iter().copied().partition(|id| by_name.contains(id));
        ends.extend(unnamed.into_iter().chain(named).filter(|&id| Some(id) != own));
        let lost = ends.iter().skip(END_KEYS.len()).filter(|id| !by_name.contains(id)).count();
        if lost > 0 {
            notes.push(format!(
                "{lost} of {} tokens that end a turn: there are {} keys for them",
                ends.len(),
                END_KEYS.len()
            ));
        }
        ends
    }
}
