//! Added tokens: names in the text that stand for one id and are found before any splitting.
//!
//! Matching follows Hugging Face's `AddedVocabulary`: leftmost, of those the longest, in one pass
//! over the raw text for tokens that are not `normalized` and one over the normalised rest.

/// A token that is matched in the text as a whole, such as `<|endoftext|>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedToken {
    /// Its id.
    pub id: u32,
    /// Its text.
    pub content: String,
    /// Whether ordinary text must not produce it.
    pub special: bool,
    /// Whether it swallows white space before it.
    pub lstrip: bool,
    /// Whether it swallows white space after it.
    pub rstrip: bool,
    /// Whether it matches only between characters that are not of words.
    pub single_word: bool,
    /// Whether it is matched in normalised text.
    pub normalized: bool,
}

impl AddedToken {
    /// A special token matched as it stands.
    pub fn special(id: u32, content: impl Into<String>) -> Self {
        Self {
            id,
            content: content.into(),
            special: true,
            lstrip: false,
            rstrip: false,
            single_word: false,
            normalized: false,
        }
    }
}

/// A stretch of text between added tokens, or one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    Text(&'a str),
    Token(u32),
}

/// One node of the trie: edges sorted by byte, and the token that ends here.
#[derive(Clone, Debug, Default)]
struct Node {
    edges: Vec<(u8, u32)>,
    token: Option<u32>,
}

/// Finds a set of added tokens in text.
#[derive(Clone, Debug)]
pub(crate) struct AddedTokenMatcher {
    /// Node 0 is the root.
    nodes: Vec<Node>,
    starts: [bool; 256],
    tokens: Vec<AddedToken>,
}

impl AddedTokenMatcher {
    /// A matcher of `tokens`, each with the text to look for; later tokens replace earlier ones
    /// of the same text.
    pub(crate) fn new(tokens: impl IntoIterator<Item = (String, AddedToken)>) -> Self {
        let mut matcher =
            Self { nodes: vec![Node::default()], starts: [false; 256], tokens: Vec::new() };
        for (text, token) in tokens {
            let Some(&first) = text.as_bytes().first() else { continue };
            matcher.starts[first as usize] = true;
            let mut node = 0;
            for &byte in text.as_bytes() {
                node = matcher.child_or_new(node, byte);
            }
            matcher.nodes[node].token = Some(matcher.tokens.len() as u32);
            matcher.tokens.push(token);
        }
        matcher
    }

    /// Whether there is nothing to find.
    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The child of a node, made if need be.
    fn child_or_new(&mut self, node: usize, byte: u8) -> usize {
        match self.nodes[node].edges.binary_search_by_key(&byte, |edge| edge.0) {
            Ok(edge) => self.nodes[node].edges[edge].1 as usize,
            Err(edge) => {
                let child = self.nodes.len();
                self.nodes.push(Node::default());
                self.nodes[node].edges.insert(edge, (byte, child as u32));
                child
            }
        }
    }

    /// The longest token that starts at `at`, and where it ends.
    fn longest_at(&self, text: &[u8], at: usize) -> Option<(&AddedToken, usize)> {
        let mut longest = None;
        let mut node = &self.nodes[0];
        for (end, byte) in (at + 1..).zip(&text[at..]) {
            let Ok(edge) = node.edges.binary_search_by_key(byte, |edge| edge.0) else { break };
            node = &self.nodes[node.edges[edge].1 as usize];
            if let Some(token) = node.token {
                longest = Some((&self.tokens[token as usize], end));
            }
        }
        longest
    }

    /// Cuts `text` at the added tokens. With `special` off, special tokens are ordinary text,
    /// though they still hide other tokens inside them, as in the original.
    pub(crate) fn split<'a>(
        &self,
        text: &'a str,
        special: bool,
        mut segment: impl FnMut(Segment<'a>),
    ) {
        let bytes = text.as_bytes();
        let mut done = 0;
        let mut at = 0;
        while at < bytes.len() {
            let found =
                if self.starts[bytes[at] as usize] { self.longest_at(bytes, at) } else { None };
            let Some((token, found_end)) = found else {
                at += 1;
                continue;
            };
            let (mut start, mut end) = (at, found_end);
            at = found_end;
            if token.special && !special {
                continue;
            }
            let (before, after) = (&text[..start], &text[end..]);
            if token.single_word
                && (before.chars().next_back().is_some_and(is_word)
                    || after.chars().next().is_some_and(is_word))
            {
                continue;
            }
            if token.lstrip {
                start = before.trim_end().len().max(done);
            }
            if token.rstrip {
                end = text.len() - after.trim_start().len();
            }
            if done < start {
                segment(Segment::Text(&text[done..start]));
            }
            segment(Segment::Token(token.id));
            done = end;
        }
        if done < text.len() {
            segment(Segment::Text(&text[done..]));
        }
    }
}

/// `\w`: letters, marks, decimal numbers, connector punctuation and joiners.
fn is_word(character: char) -> bool {
    use unicode_general_category::{GeneralCategory as G, get_general_category};
    character.is_alphabetic()
        || matches!(character, '\u{200c}' | '\u{200d}')
        || matches!(
            get_general_category(character),
            G::NonspacingMark
                | G::SpacingMark
                | G::EnclosingMark
                | G::DecimalNumber
                | G::ConnectorPunctuation
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(tokens: Vec<AddedToken>, text: &str, special: bool) -> Vec<Segment<'_>> {
        let named = tokens.into_iter().map(|token| (token.content.clone(), token));
        let mut segments = Vec::new();
        AddedTokenMatcher::new(named).split(text, special, |segment| segments.push(segment));
        segments
    }

    #[test]
    fn the_longest_of_the_leftmost_wins() {
        let tokens = vec![AddedToken::special(7, "<a"), AddedToken::special(8, "<a>")];
        assert_eq!(
            cut(tokens, "x<a><ay", true),
            [Segment::Text("x"), Segment::Token(8), Segment::Token(7), Segment::Text("y")]
        );
    }

    #[test]
    fn special_tokens_are_text_unless_asked_for() {
        let tokens = vec![
            AddedToken::special(7, "<s>"),
            AddedToken { special: false, ..AddedToken::special(8, "<tool>") },
        ];
        assert_eq!(cut(tokens, "<s>a<tool>", false), [Segment::Text("<s>a"), Segment::Token(8)]);
    }

    #[test]
    fn flags_strip_and_guard_words() {
        let strip = AddedToken { lstrip: true, rstrip: true, ..AddedToken::special(7, "<m>") };
        assert_eq!(
            cut(vec![strip], "a  <m> \n<m> b", true),
            [Segment::Text("a"), Segment::Token(7), Segment::Token(7), Segment::Text("b")]
        );
        let word = AddedToken { single_word: true, ..AddedToken::special(7, "cat") };
        assert_eq!(
            cut(vec![word], "cat concat cat", true),
            [Segment::Token(7), Segment::Text(" concat "), Segment::Token(7)]
        );
    }
}
