//! What is done to text before it is cut into pieces: Hugging Face's normalizers, one by one.

use std::borrow::Cow;
use std::sync::Arc;

use unicode_general_category::{GeneralCategory as Category, get_general_category};
use unicode_normalization::{IsNormalized, is_nfc_quick};

use super::matcher::Matcher;
use super::unicode_nine::{Form, is_newer};
use super::{LeftOut, Part};
use crate::{TokensError, byte_alphabet};

/// One normalizer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Normalizer {
    Form(Form),
    Lowercase,
    /// White space at the start and at the end is taken away.
    Strip {
        left: bool,
        right: bool,
    },
    StripAccents,
    Replace {
        what: Matcher,
        content: String,
    },
    /// Text before text that is not empty.
    Prepend(String),
    /// Every byte becomes its character of the byte alphabet.
    ByteAlphabet,
    Bert(Bert),
    Nmt,
}

/// The options of BERT's normalizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bert {
    clean: bool,
    chinese: bool,
    strip_accents: bool,
    lowercase: bool,
}

/// Kinds that can stand in a file.
const SUPPORTED: &str = "NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Replace, Prepend, \
                         ByteLevel, BertNormalizer, Nmt, or a Sequence of these";

impl Normalizer {
    /// The normalizers of a part, in order.
    pub(crate) fn read(part: &Part<'_>, left_out: &Arc<LeftOut>) -> Result<Vec<Self>, TokensError> {
        let parts = part.flattened("normalizers")?;
        parts.iter().map(|part| Self::read_one(part, left_out)).collect()
    }

    fn read_one(part: &Part<'_>, left_out: &Arc<LeftOut>) -> Result<Self, TokensError> {
        Ok(match part.kind()? {
            "NFC" => Self::Form(Form::Nfc),
            "NFD" => Self::Form(Form::Nfd),
            "NFKC" => Self::Form(Form::Nfkc),
            "NFKD" => Self::Form(Form::Nfkd),
            "Lowercase" => Self::Lowercase,
            "Strip" => Self::Strip {
                left: part.flag("strip_left", true)?,
                right: part.flag("strip_right", true)?,
            },
            "StripAccents" => Self::StripAccents,
            "Replace" => Self::Replace {
                what: Matcher::read(&part.get("pattern"), left_out)?,
                content: part.get("content").text("text")?.to_owned(),
            },
            "Prepend" => Self::Prepend(part.get("prepend").text("text")?.to_owned()),
            "ByteLevel" => Self::ByteAlphabet,
            "BertNormalizer" => Self::Bert(Bert::read(part)?),
            "Nmt" => Self::Nmt,
            _ => return Err(part.unknown_kind(SUPPORTED)),
        })
    }

    /// The normalised form of a text.
    pub(crate) fn apply<'a>(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        match self {
            Self::Form(_) | Self::StripAccents if text.is_ascii() => text,
            Self::Form(Form::Nfc) if is_nfc_quick(text.chars()) == IsNormalized::Yes => text,
            Self::Form(form) => Cow::Owned(form.of(&text)),
            Self::Lowercase => text.chars().flat_map(char::to_lowercase).collect(),
            Self::Strip { left, right } => {
                let mut kept = &*text;
                if *left {
                    kept = kept.trim_start();
                }
                if *right {
                    kept = kept.trim_end();
                }
                if kept.len() == text.len() { text } else { Cow::Owned(kept.to_owned()) }
            }
            Self::StripAccents => text.chars().filter(|&c| !is_mark(c)).collect(),
            Self::Replace { what, content } => what.replace(text, content),
            Self::Prepend(_) if text.is_empty() => text,
            Self::Prepend(before) => Cow::Owned(format!("{before}{text}")),
            Self::ByteAlphabet => Cow::Owned(byte_alphabet::spell(text.as_bytes())),
            Self::Bert(bert) => Cow::Owned(bert.apply(&text)),
            Self::Nmt => text.chars().filter_map(nmt).collect(),
        }
    }
}

/// Whether a character is a combining mark.
fn is_mark(character: char) -> bool {
    use Category::{EnclosingMark, NonspacingMark, SpacingMark};
    matches!(get_general_category(character), NonspacingMark | SpacingMark | EnclosingMark)
        && !is_newer(character)
}

/// What the normalizer of neural machine translation makes of a character: a space of the spaces,
/// nothing of control characters.
fn nmt(character: char) -> Option<char> {
    match u32::from(character) {
        0x01..=0x08 | 0x0b | 0x0e..=0x1f | 0x7f | 0x8f | 0x9f => None,
        0x09
        | 0x0a
        | 0x0c
        | 0x0d
        | 0x1680
        | 0x200b..=0x200f
        | 0x2028
        | 0x2029
        | 0x2581
        | 0xfeff
        | 0xfffd => Some(' '),
        _ => Some(character),
    }
}

impl Bert {
    fn read(part: &Part<'_>) -> Result<Self, TokensError> {
        let lowercase = part.flag("lowercase", true)?;
        Ok(Self {
            clean: part.flag("clean_text", true)?,
            chinese: part.flag("handle_chinese_chars", true)?,
            strip_accents: part.flag("strip_accents", lowercase)?,
            lowercase,
        })
    }

    fn apply(self, text: &str) -> String {
        let mut text = text.to_owned();
        if self.clean {
            text = text.chars().filter_map(clean).collect();
        }
        if self.chinese {
            let mut spaced = String::with_capacity(text.len());
            for character in text.chars() {
                if is_chinese(character) {
                    spaced.extend([' ', character, ' ']);
                } else {
                    spaced.push(character);
                }
            }
            text = spaced;
        }
        if self.strip_accents {
            let plain =
                |c: &char| get_general_category(*c) != Category::NonspacingMark || is_newer(*c);
            text = Form::Nfd.of(&text).chars().filter(plain).collect();
        }
        if self.lowercase {
            text = text.chars().flat_map(char::to_lowercase).collect();
        }
        text
    }
}

/// A character as BERT keeps it: nothing of control characters, a space of white space.
fn clean(character: char) -> Option<char> {
    use Category::{Control, Format, PrivateUse};
    match character {
        '\t' | '\n' | '\r' => Some(' '),
        '\0' | '\u{fffd}' => None,
        _ => match get_general_category(character) {
            Control | Format | PrivateUse => None,
            _ if character.is_whitespace() => Some(' '),
            _ => Some(character),
        },
    }
}

/// Whether BERT takes a character for Chinese.
fn is_chinese(character: char) -> bool {
    matches!(
        u32::from(character),
        0x4e00..=0x9fff
            | 0x3400..=0x4dbf
            | 0x2_0000..=0x2_a6df
            | 0x2_a700..=0x2_b73f
            | 0x2_b740..=0x2_b81f
            | 0x2_b920..=0x2_ceaf
            | 0xf900..=0xfaff
            | 0x2_f800..=0x2_fa1f
    )
}
