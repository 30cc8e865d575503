//! From a conversation to tokens, so that no message can forge a turn: the names of special tokens
//! stand for those tokens where the template wrote them and are plain text where a message did.
//! With a mask of the tokens that training learns.
//!
//! Before rendering, in every string that comes from outside, characters that could take part in
//! such a name are replaced by marks: private-use characters (Unicode planes 15 and 16) that
//! occur nowhere in the conversation. After rendering, the names left are the template's own; the
//! text between them gets its characters back and is encoded as plain text. Everything else about
//! a string (its spaces, its length in characters) is as before, so templates see no difference.
//!
//! The mask is what `{% generation %}` encloses. An answer shares no token with the text before
//! it: when the model answers, that text is given and the answer begins with a token of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use stoa_tokens::{AddedToken, TokenId, Tokenizer};

use crate::template::GenerationMarks;
use crate::{ChatTemplate, Conversation, DialogueError, Json, Message, Role};

/// Private-use planes without their noncharacters.
const MARKS: [std::ops::RangeInclusive<u32>; 2] = [0xF_0000..=0xF_FFFD, 0x10_0000..=0x10_FFFD];

/// Tokens of a dialogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatTokens {
    /// The ids.
    pub tokens: Vec<TokenId>,
    /// For each token, whether it is learned.
    pub learned: Vec<bool>,
}

impl ChatTokens {
    fn push(&mut self, ids: &[TokenId], learned: bool) {
        self.tokens.extend_from_slice(ids);
        self.learned.resize(self.tokens.len(), learned);
    }
}

impl ChatTemplate {
    /// The tokens of a conversation. Special tokens come from the template only, never from what
    /// a message says.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`], [`DialogueError::MissingTokens`],
    /// [`DialogueError::NoMarkLeft`].
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        conversation: &Conversation<'_>,
    ) -> Result<Vec<TokenId>, DialogueError> {
        self.check_tokens(tokenizer)?;
        let marks = Marks::new(tokenizer, conversation)?;
        let (rendered, answers) = marks.render(self, &marks.hidden(conversation).borrow())?;
        let tokens = marks.encode(tokenizer, &rendered, &answers).tokens;
        // A model that continues text was trained on texts that begin so; templates write it themselves.
        let begin = if self.is_raw() { tokenizer.document_prefix() } else { &[] };
        Ok([begin, &tokens].concat())
    }

    /// The tokens of a dialogue to learn from: what `{% generation %}` encloses is learned. A
    /// template without such marks is rendered up to each answer and up to its end; what comes
    /// between, to the last special token in it, is learned. White space after the last message is
    /// left out: nothing follows it.
    ///
    /// # Errors
    /// As [`ChatTemplate::encode`], and [`DialogueError::AnswerMoved`].
    pub fn encode_for_training(
        &self,
        tokenizer: &Tokenizer,
        conversation: &Conversation<'_>,
    ) -> Result<ChatTokens, DialogueError> {
        self.check_tokens(tokenizer)?;
        let marks = Marks::new(tokenizer, conversation)?;
        let hidden = marks.hidden(conversation);
        let hidden = hidden.borrow();
        let (mut rendered, mut answers) = marks.render(self, &hidden)?;
        if !self.marks_answers() {
            answers = marks.answers_by_prefix(self, &hidden, &rendered)?;
        }
        let learned = answers.last().map_or(0, |answer| answer.end);
        rendered.truncate(rendered.trim_end().len().max(learned));
        Ok(marks.encode(tokenizer, &rendered, &answers))
    }
}

/// What a conversation holds, with marks in it.
struct Hidden<'a> {
    messages: Vec<Message>,
    tools: Vec<Json>,
    documents: Vec<Json>,
    of: &'a Conversation<'a>,
}

impl Hidden<'_> {
    fn borrow(&self) -> Conversation<'_> {
        Conversation {
            messages: &self.messages,
            tools: &self.tools,
            documents: &self.documents,
            ..self.of.clone()
        }
    }
}

/// Stand-ins for the characters of special tokens.
struct Marks<'t> {
    specials: Vec<&'t AddedToken>,
    generation: GenerationMarks,
    mark_of: BTreeMap<char, char>,
    character_of: BTreeMap<char, char>,
}

impl<'t> Marks<'t> {
    fn new(
        tokenizer: &'t Tokenizer,
        conversation: &Conversation<'_>,
    ) -> Result<Self, DialogueError> {
        let added = tokenizer.added_tokens().iter();
        let specials: Vec<&AddedToken> = added.filter(|token| token.special).collect();
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
        let mut next = || free.next().ok_or(DialogueError::NoMarkLeft);
        let characters: BTreeSet<char> =
            specials.iter().flat_map(|token| token.content.chars()).collect();
        let generation = (next()?.to_string(), next()?.to_string());
        let (mark_of, character_of) = (BTreeMap::new(), BTreeMap::new());
        let mut marks = Marks { specials, generation, mark_of, character_of };
        for character in characters {
            let mark = next()?;
            marks.mark_of.insert(character, mark);
            marks.character_of.insert(mark, character);
        }
        Ok(marks)
    }

    /// The conversation with marks for characters that could be part of a special token.
    fn hidden<'a>(&self, conversation: &'a Conversation<'a>) -> Hidden<'a> {
        let json = |list: &[Json]| -> Vec<Json> { list.iter().map(|j| self.json(j)).collect() };
        Hidden {
            messages: conversation.messages.iter().map(|m| self.message(m)).collect(),
            tools: json(conversation.tools),
            documents: json(conversation.documents),
            of: conversation,
        }
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
            self.specials.iter().any(|token| {
                let special = &token.content;
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

    /// The text of a conversation, and what the template marks in it as answers.
    fn render(
        &self,
        template: &ChatTemplate,
        hidden: &Conversation<'_>,
    ) -> Result<(String, Vec<Range<usize>>), DialogueError> {
        let marked = template.render_marked(hidden, &self.generation)?;
        let mut text = String::with_capacity(marked.len());
        let mut answers: Vec<Range<usize>> = Vec::new();
        let mut begin = None;
        let (begins, ends) = (self.generation.0.as_str(), self.generation.1.as_str());
        let mut rest = marked.as_str();
        while let Some(at) = [begins, ends].iter().filter_map(|mark| rest.find(*mark)).min() {
            text.push_str(&rest[..at]);
            if rest[at..].starts_with(begins) {
                begin.get_or_insert(text.len());
            } else if let Some(begin) = begin.take()
                && begin < text.len()
            {
                answers.push(begin..text.len());
            }
            // Both marks lie in planes 15 and 16 and have the same length.
            rest = &rest[at + begins.len()..];
        }
        text.push_str(rest);
        Ok((text, answers))
    }

    /// Where the answers stand in the text of a template that does not mark them.
    fn answers_by_prefix(
        &self,
        template: &ChatTemplate,
        hidden: &Conversation<'_>,
        whole: &str,
    ) -> Result<Vec<Range<usize>>, DialogueError> {
        let render = |messages, add_generation_prompt| {
            template.render(&Conversation { messages, add_generation_prompt, ..hidden.clone() })
        };
        let mut answers = Vec::new();
        for (i, message) in hidden.messages.iter().enumerate() {
            if message.role != Role::Assistant {
                continue;
            }
            let moved = DialogueError::AnswerMoved { message: i };
            let prompt = render(&hidden.messages[..i], true)?;
            let closed = render(&hidden.messages[..=i], false)?;
            let begin = shared_prefix(&prompt, whole);
            // Some templates open an answer that is awaited in more words than one that is given:
            // then the answer begins where the two part, but not before the message.
            if begin < prompt.len() {
                let before = render(&hidden.messages[..i], false)?;
                if begin < before.len() || !whole.starts_with(&before) {
                    return Err(moved);
                }
            }
            if !whole.starts_with(&closed) || closed.len() < begin {
                return Err(moved);
            }
            let answer = &whole[begin..closed.len()];
            // After the token that ends the answer, white space is the template's.
            let end = self.special_tokens(answer).last().map(|(range, _)| range.end);
            let end = end.filter(|&end| answer[end..].trim().is_empty());
            answers.push(begin..begin + end.unwrap_or(answer.len()));
        }
        Ok(answers)
    }

    /// Special tokens in a text with marks, leftmost and of those the longest.
    fn special_tokens(&self, text: &str) -> Vec<(Range<usize>, &'t AddedToken)> {
        let begins_special =
            |byte: u8| self.specials.iter().any(|t| t.content.as_bytes()[0] == byte);
        let begins: Vec<bool> = (0..=u8::MAX).map(begins_special).collect();
        let mut found = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let here = self.specials.iter().filter(|token| {
                rest.starts_with(token.content.as_str()) && stands_alone(token, text, at)
            });
            let begins = begins[rest.as_bytes()[0] as usize];
            let token = begins.then(|| here.max_by_key(|token| token.content.len())).flatten();
            let length = match token {
                Some(token) => {
                    found.push((at..at + token.content.len(), *token));
                    token.content.len()
                }
                None => rest.chars().next().map_or(1, char::len_utf8),
            };
            at += length;
        }
        found
    }

    /// The special tokens of a text with marks, and what lies between them as plain text, cut at
    /// the borders of answers.
    fn encode(
        &self,
        tokenizer: &Tokenizer,
        rendered: &str,
        answers: &[Range<usize>],
    ) -> ChatTokens {
        let borders: Vec<usize> = answers.iter().flat_map(|a| [a.start, a.end]).collect();
        let learned = |at: usize| answers.iter().any(|answer| answer.contains(&at));
        let mut chat = ChatTokens::default();
        let encode = |range: Range<usize>, chat: &mut ChatTokens| {
            let mut begin = range.start;
            let inside = borders.iter().copied().filter(|b| range.start < *b && *b < range.end);
            for end in inside.chain([range.end]) {
                if begin < end {
                    let text = self.unmark(&rendered[begin..end]);
                    chat.push(&tokenizer.encode(&text), learned(begin));
                }
                begin = end;
            }
        };
        let mut text_start = 0;
        for (range, token) in self.special_tokens(rendered) {
            let from = text_start.min(range.start);
            let before = &rendered[from..range.start];
            let kept = if token.lstrip { before.trim_end().len() } else { before.len() };
            encode(from..from + kept, &mut chat);
            chat.push(&[TokenId(token.id)], learned(range.start));
            text_start = range.end;
            if token.rstrip {
                text_start = rendered.len() - rendered[range.end..].trim_start().len();
            }
        }
        encode(text_start..rendered.len(), &mut chat);
        chat
    }
}

/// Bytes that two texts begin with alike, to a character's border.
fn shared_prefix(a: &str, b: &str) -> usize {
    let alike = a.char_indices().zip(b.chars()).take_while(|((_, x), y)| x == y);
    alike.last().map_or(0, |((at, c), _)| at + c.len_utf8())
}

/// Whether a token that matches whole words only has no word next to it.
fn stands_alone(token: &AddedToken, text: &str, at: usize) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let before = text[..at].chars().next_back().is_some_and(is_word);
    let after = text[at + token.content.len()..].chars().next().is_some_and(is_word);
    !token.single_word || !(before || after)
}
