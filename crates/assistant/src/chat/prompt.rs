//! From a rendered conversation to tokens, so that nobody can forge a turn: the names of special
//! tokens stand for those tokens where the template wrote them and are plain text where a message
//! did.
//!
//! Before rendering, in every string that comes from outside, characters that could take part in
//! such a name are replaced by marks: private-use characters (Unicode planes 15 and 16) that
//! occur nowhere in the conversation. After rendering, the names left are the template's own; the
//! text between them gets its characters back and is encoded as plain text. Everything else about
//! a string (its spaces, its length in characters) is as before, so templates see no difference.

use std::collections::{BTreeMap, BTreeSet};

use stoa_tokens::{AddedToken, TokenId, Tokenizer};

use super::{ChatTemplate, Conversation, Json, Message};
use crate::AssistantError;

/// Private-use planes without their noncharacters.
const MARKS: [std::ops::RangeInclusive<u32>; 2] = [0xF_0000..=0xF_FFFD, 0x10_0000..=0x10_FFFD];

impl ChatTemplate {
    /// The tokens of a conversation. Special tokens come from the template only, never from what
    /// a message says.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`], and [`AssistantError::NoMarkLeft`].
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        conversation: &Conversation<'_>,
    ) -> Result<Vec<TokenId>, AssistantError> {
        let specials: Vec<&AddedToken> =
            tokenizer.added_tokens().iter().filter(|token| token.special).collect();
        let marks = Marks::new(&specials, conversation)?;
        let messages: Vec<Message> =
            conversation.messages.iter().map(|m| marks.message(m)).collect();
        let json = |list: &[Json]| -> Vec<Json> { list.iter().map(|j| marks.json(j)).collect() };
        let rendered = self.render(&Conversation {
            messages: &messages,
            tools: &json(conversation.tools),
            documents: &json(conversation.documents),
            ..conversation.clone()
        })?;
        Ok(encode_marked(tokenizer, &specials, &marks, &rendered))
    }
}

/// Stand-ins for the characters of special tokens.
struct Marks {
    specials: Vec<String>,
    mark_of: BTreeMap<char, char>,
    character_of: BTreeMap<char, char>,
}

impl Marks {
    fn new(
        specials: &[&AddedToken],
        conversation: &Conversation<'_>,
    ) -> Result<Self, AssistantError> {
        let specials: Vec<String> = specials.iter().map(|token| token.content.clone()).collect();
        let mut taken = BTreeSet::new();
        let mut note = |text: &str| {
            taken.extend(text.chars().filter(|&c| c >= '\u{F0000}'));
            String::new()
        };
        for message in conversation.messages {
            note(message.content.as_deref().unwrap_or_default());
            message.fields.iter().for_each(|(_, value)| drop(value.map_strings(&mut note)));
        }
        for value in conversation.tools.iter().chain(conversation.documents) {
            value.map_strings(&mut note);
        }
        let free = MARKS.into_iter().flatten().filter_map(char::from_u32);
        let mut free = free.filter(|mark| !taken.contains(mark));
        let characters: BTreeSet<char> = specials.iter().flat_map(|s| s.chars()).collect();
        let mut marks = Marks { specials, mark_of: BTreeMap::new(), character_of: BTreeMap::new() };
        for character in characters {
            let mark = free.next().ok_or(AssistantError::NoMarkLeft)?;
            marks.mark_of.insert(character, mark);
            marks.character_of.insert(mark, character);
        }
        Ok(marks)
    }

    fn message(&self, message: &Message) -> Message {
        let field = |(name, value): &(String, Json)| match value {
            Json::String(text) if name == "name" => {
                (name.clone(), Json::String(self.mark(text, true)))
            }
            value => (name.clone(), self.json(value)),
        };
        Message {
            role: message.role,
            content: message.content.as_deref().map(|text| self.mark(text, true)),
            fields: message.fields.iter().map(field).collect(),
        }
    }

    fn json(&self, value: &Json) -> Json {
        value.map_strings(&mut |text| self.mark(text, false))
    }

    /// Marks the first character of every special token in `text`, also of one that would only
    /// be completed by what the template writes before or after it. Templates put words like
    /// `function` from JSON between their own; only what a person names or says can be meant as
    /// the `middle` of a token.
    fn mark(&self, text: &str, middle: bool) -> String {
        let takes_part = |at: usize| {
            let rest = &text[at..];
            self.specials.iter().any(|special| {
                let whole = rest.starts_with(special.as_str());
                let opens = special.starts_with(rest);
                let mut ends = (1..special.len()).filter_map(|i| special.get(i..));
                let closes = at == 0 && ends.any(|end| text.starts_with(end));
                whole || opens || closes || (middle && at == 0 && special.contains(text))
            })
        };
        let mark = |(at, character): (usize, char)| match self.mark_of.get(&character) {
            Some(&mark) if takes_part(at) => mark,
            _ => character,
        };
        text.char_indices().map(mark).collect()
    }

    fn unmark(&self, text: &str) -> String {
        text.chars().map(|c| self.character_of.get(&c).copied().unwrap_or(c)).collect()
    }
}

/// Cuts out the special tokens, leftmost and of those the longest, and encodes what lies between
/// them as plain text.
fn encode_marked(
    tokenizer: &Tokenizer,
    specials: &[&AddedToken],
    marks: &Marks,
    rendered: &str,
) -> Vec<TokenId> {
    let mut ids = Vec::new();
    let encode = |text: &str, ids: &mut Vec<TokenId>| {
        if !text.is_empty() {
            ids.extend(tokenizer.encode(&marks.unmark(text)));
        }
    };
    let begins_special = |byte: u8| specials.iter().any(|t| t.content.as_bytes()[0] == byte);
    let begins: Vec<bool> = (0..=u8::MAX).map(begins_special).collect();
    let mut text_start = 0;
    let mut at = 0;
    while at < rendered.len() {
        let rest = &rendered[at..];
        if !begins[rest.as_bytes()[0] as usize] {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        }
        let here = specials.iter().filter(|token| {
            rest.starts_with(token.content.as_str()) && stands_alone(token, rendered, at)
        });
        let Some(token) = here.max_by_key(|token| token.content.len()) else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        let before = &rendered[text_start..at];
        encode(if token.lstrip { before.trim_end() } else { before }, &mut ids);
        ids.push(TokenId(token.id));
        at += token.content.len();
        if token.rstrip {
            at = rendered.len() - rendered[at..].trim_start().len();
        }
        text_start = at;
    }
    encode(&rendered[text_start..], &mut ids);
    ids
}

/// Whether a token that matches whole words only has no word beside it.
fn stands_alone(token: &AddedToken, text: &str, at: usize) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let before = text[..at].chars().next_back().is_some_and(is_word);
    let after = text[at + token.content.len()..].chars().next().is_some_and(is_word);
    !token.single_word || !(before || after)
}
