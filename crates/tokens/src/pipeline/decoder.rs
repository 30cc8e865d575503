//! How tokens become text again: Hugging Face's decoders.
//!
//! What a decoder does to each token on its own is done once, when the file is read; what
//! depends on the place of a token (the first, the last, the whole text) is done as texts are
//! decoded.

use std::borrow::Cow;
use std::sync::Arc;

use super::matcher::Matcher;
use super::pre_tokenizer::Prepend;
use super::{LeftOut, Part};
use crate::{TokensError, byte_alphabet};

/// One step of decoding.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// Characters of the byte alphabet become their bytes.
    ByteLevel,
    /// `<0x41>` becomes its byte.
    ByteFallback,
    Replace {
        what: Matcher,
        content: String,
    },
    Strip {
        content: char,
        start: usize,
        stop: usize,
    },
    /// The sign of spaces becomes one; in the first token, with `first`, nothing.
    Metaspace {
        replacement: char,
        first: bool,
    },
    /// The end of a word becomes a space; in the last token nothing.
    WordEnd(String),
}

/// All steps of decoding.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Decoder {
    /// Of each token.
    tokens: Vec<Step>,
    /// Of the whole text.
    whole: Vec<Step>,
}

/// Kinds that can stand in a file.
const SUPPORTED: &str =
    "ByteLevel, ByteFallback, Fuse, Metaspace, Replace, Strip, BPEDecoder, or a Sequence of these";

impl Decoder {
    /// The decoder of a part.
    pub(crate) fn read(part: &Part<'_>, left_out: &Arc<LeftOut>) -> Result<Self, TokensError> {
        let mut decoder = Self::default();
        let mut fused = false;
        for part in part.flattened("decoders")? {
            let step = match part.kind()? {
                "Fuse" => {
                    fused = true;
                    continue;
                }
                "ByteLevel" if !fused => Step::ByteLevel,
                "ByteFallback" if !fused => Step::ByteFallback,
                "Replace" => Step::Replace {
                    what: Matcher::read(&part.get("pattern"), left_out)?,
                    content: part.get("content").text("text")?.to_owned(),
                },
                "Strip" => Step::Strip {
                    content: part.get("content").character()?,
                    start: part.number("start")? as usize,
                    stop: part.number("stop")? as usize,
                },
                "Metaspace" if !fused => Step::Metaspace {
                    replacement: part.get("replacement").character()?,
                    first: part.get("prepend_scheme").value != "never"
                        && part.flag("add_prefix_space", true)?,
                },
                "BPEDecoder" if !fused => {
                    let suffix = part.get("suffix");
                    let absent = suffix.is_null();
                    Step::WordEnd(if absent { "</w>" } else { suffix.text("text")? }.to_owned())
                }
                _ => return Err(part.unknown_kind(SUPPORTED)),
            };
            let of_bytes = matches!(step, Step::ByteLevel);
            if fused { &mut decoder.whole } else { &mut decoder.tokens }.push(step);
            // Bytes are put together before anything else can be done to them.
            fused |= of_bytes;
        }
        Ok(decoder)
    }

    /// The inverse of the byte alphabet or of a sign for spaces, for files that name no decoder.
    pub(crate) fn inverse(spells_bytes: bool, metaspace: Option<(char, Prepend)>) -> Self {
        let spaces = |(replacement, prepend)| Step::Metaspace {
            replacement,
            first: prepend != Prepend::Never,
        };
        let step = if spells_bytes { Some(Step::ByteLevel) } else { metaspace.map(spaces) };
        Self { tokens: step.into_iter().collect(), whole: Vec::new() }
    }

    /// Whether all that is done is to put bytes together.
    pub(crate) fn is_byte_level(&self) -> bool {
        matches!(self.tokens.as_slice(), [Step::ByteLevel]) && self.whole.is_empty()
    }

    /// The bytes of an added token, whose text is never in the byte alphabet.
    pub(crate) fn added_token(&self, content: &str) -> Vec<u8> {
        let in_bytes = self.tokens.iter().any(|step| matches!(step, Step::ByteLevel));
        if in_bytes { content.as_bytes().to_vec() } else { self.token(content) }
    }

    /// The bytes of a token somewhere inside a text.
    pub(crate) fn token(&self, spelling: &str) -> Vec<u8> {
        self.token_at(spelling, false, false)
    }

    /// Whether the first or the last token of a text is read in its own way.
    pub(crate) fn depends_on_place(&self) -> bool {
        let depends =
            |step: &Step| matches!(step, Step::Metaspace { first: true, .. } | Step::WordEnd(_));
        self.tokens.iter().any(depends)
    }

    /// The bytes of a token that may be the first or the last.
    pub(crate) fn token_at(&self, spelling: &str, first: bool, last: bool) -> Vec<u8> {
        let mut text = Cow::Borrowed(spelling);
        for step in &self.tokens {
            text = match step {
                Step::ByteLevel => {
                    return byte_alphabet::unspell(&text)
                        .unwrap_or_else(|| text.into_owned().into_bytes());
                }
                Step::ByteFallback => match byte_of(&text) {
                    Some(byte) => return vec![byte],
                    None => text,
                },
                Step::Replace { what, content } => what.replace(text, content),
                Step::Strip { content, start, stop } => {
                    let kept = strip(text.as_bytes(), *content, *start, *stop);
                    Cow::Owned(String::from_utf8_lossy(kept).into_owned())
                }
                Step::Metaspace { replacement, first: dropped } if first && *dropped => {
                    Cow::Owned(text.replace(*replacement, ""))
                }
                Step::Metaspace { replacement, .. } => Cow::Owned(text.replace(*replacement, " ")),
                Step::WordEnd(suffix) => {
                    Cow::Owned(text.replace(suffix.as_str(), if last { "" } else { " " }))
                }
            };
        }
        text.into_owned().into_bytes()
    }

    /// What is done to a whole text in the end. Bytes that are not UTF-8 are left as they are.
    pub(crate) fn finish(&self, bytes: Vec<u8>) -> Vec<u8> {
        let mut bytes = bytes;
        for step in &self.whole {
            match step {
                Step::Strip { content, start, stop } => {
                    bytes = strip(&bytes, *content, *start, *stop).to_vec();
                }
                Step::Replace { what, content } => {
                    let mut replaced = Vec::with_capacity(bytes.len());
                    for chunk in bytes.utf8_chunks() {
                        let valid = what.replace(Cow::Borrowed(chunk.valid()), content);
                        replaced.extend_from_slice(valid.as_bytes());
                        replaced.extend_from_slice(chunk.invalid());
                    }
                    bytes = replaced;
                }
                Step::ByteLevel
                | Step::ByteFallback
                | Step::Metaspace { .. }
                | Step::WordEnd(_) => {}
            }
        }
        bytes
    }
}

/// The byte that `<0xNN>` stands for.
pub(crate) fn byte_of(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// The bytes without up to `start` and `stop` times `content` at their ends.
fn strip(bytes: &[u8], content: char, start: usize, stop: usize) -> &[u8] {
    let mut buffer = [0; 4];
    let content = content.encode_utf8(&mut buffer).as_bytes();
    let mut kept = bytes;
    for _ in 0..start {
        match kept.strip_prefix(content) {
            Some(rest) => kept = rest,
            None => break,
        }
    }
    for _ in 0..stop {
        match kept.strip_suffix(content) {
            Some(rest) => kept = rest,
            None => break,
        }
    }
    kept
}
