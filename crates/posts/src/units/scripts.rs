//! The scripts without spaces between words, as a table, and what a character is among them.

use super::WORD_WEIGHT;
use unicode_general_category::{GeneralCategory, get_general_category};
use unicode_script::{Script, UnicodeScript};

/// How a script shows that a sentence ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// By marks of its own; no space need follow.
    Marks(&'static [char]),
    /// By a space, the only one it has; the end of a text or line needs no sign.
    Space,
}

/// A script without spaces between words.
struct Unspaced {
    script: Script,
    /// What a letter weighs. [`WORD_WEIGHT`] over it is the letters of a word on average, as word counts
    /// of translations give them: one and a half for Han, two where a letter is a stack of consonants
    /// with its vowel, three where vowels are letters.
    weight: usize,
    ends: Ends,
}

const CJK: Ends = Ends::Marks(&['。', '！', '？', '．', '｡', '.', '!', '?']);
const KHMER: Ends = Ends::Marks(&['។', '៕', '.', '!', '?']);
const BURMESE: Ends = Ends::Marks(&['။', '.', '!', '?']);
const TIBETAN: Ends = Ends::Marks(&['།', '༎', '༏', '༑', '༔']);
const JAVANESE: Ends = Ends::Marks(&['꧉', '᭟', '᭞', '.', '!', '?']);

/// The living scripts that set no space between words.
const UNSPACED_SCRIPTS: &[Unspaced] = &[
    Unspaced { script: Script::Han, weight: 4, ends: CJK },
    Unspaced { script: Script::Hiragana, weight: 2, ends: CJK },
    Unspaced { script: Script::Katakana, weight: 2, ends: CJK },
    Unspaced { script: Script::Bopomofo, weight: 2, ends: CJK },
    Unspaced { script: Script::Yi, weight: 4, ends: CJK },
    Unspaced { script: Script::Thai, weight: 2, ends: Ends::Space },
    Unspaced { script: Script::Lao, weight: 2, ends: Ends::Space },
    Unspaced { script: Script::New_Tai_Lue, weight: 2, ends: Ends::Space },
    Unspaced { script: Script::Tai_Le, weight: 2, ends: Ends::Space },
    Unspaced { script: Script::Tai_Viet, weight: 2, ends: Ends::Space },
    Unspaced { script: Script::Tai_Tham, weight: 3, ends: Ends::Space },
    Unspaced { script: Script::Khmer, weight: 3, ends: KHMER },
    Unspaced { script: Script::Myanmar, weight: 3, ends: BURMESE },
    Unspaced { script: Script::Tibetan, weight: 2, ends: TIBETAN },
    Unspaced { script: Script::Javanese, weight: 2, ends: JAVANESE },
    Unspaced { script: Script::Balinese, weight: 2, ends: JAVANESE },
];

/// What a character is where units are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A letter of a script without spaces, and its weight.
    Letter(usize),
    /// A mark that belongs to the letter before it.
    Mark,
    /// A letter or digit of a word.
    Word,
    /// Anything else.
    Sign,
}

/// The row of a script without spaces that a character belongs to. Signs that several scripts share, as
/// the sign of a long vowel in Kana, belong to the first of those they are listed for.
fn row(letter: char) -> Option<&'static Unspaced> {
    // Most of what is written beyond the Latin, Greek, Cyrillic, Semitic and Indic blocks.
    match letter {
        ..'\u{0e00}' | '\u{ac00}'..='\u{d7a3}' => return None,
        '\u{4e00}'..='\u{9fff}' => return Some(&UNSPACED_SCRIPTS[0]),
        _ => {}
    }
    let script = letter.script();
    if matches!(script, Script::Common | Script::Inherited) {
        let shared = letter.script_extension();
        let lists = |row: &&Unspaced| shared.contains_script(row.script);
        // What every script shares is no letter of one.
        return if shared.is_common() || shared.is_inherited() {
            None
        } else {
            UNSPACED_SCRIPTS.iter().find(lists)
        };
    }
    UNSPACED_SCRIPTS.iter().find(|row| row.script == script)
}

/// The class of a character.
pub(super) fn class(letter: char) -> Class {
    match letter_weight(letter) {
        Some(weight) => Class::Letter(weight),
        None if letter.is_alphanumeric() && !is_own_mark(letter) => Class::Word,
        None if letter >= '\u{0300}' && is_mark(letter) => Class::Mark,
        None => Class::Sign,
    }
}

/// The weight of a letter of a script without spaces; nothing for marks, digits, signs and other letters.
pub(crate) fn letter_weight(letter: char) -> Option<usize> {
    let row = row(letter)?;
    let is_letter = letter.is_alphabetic() && !is_mark(letter);
    debug_assert!(row.weight < WORD_WEIGHT);
    is_letter.then_some(row.weight)
}

/// How the script of a letter or vowel sign without spaces between words ends its sentences.
pub(crate) fn ends_of(letter: char) -> Option<Ends> {
    row(letter).map(|row| row.ends)
}

/// Whether a character is a letter of a script without spaces between words.
pub(crate) fn is_unspaced(letter: char) -> bool {
    letter_weight(letter).is_some()
}

/// Whether a mark is of a script without spaces: vowel signs are alphabetic and yet no letters of words.
fn is_own_mark(letter: char) -> bool {
    row(letter).is_some() && is_mark(letter)
}

/// Whether a character is a combining mark.
pub(crate) fn is_mark(letter: char) -> bool {
    matches!(
        get_general_category(letter),
        GeneralCategory::NonspacingMark
            | GeneralCategory::SpacingMark
            | GeneralCategory::EnclosingMark
    )
}

/// Whether the letter after this mark stands below the one before it: Khmer's coeng, the viramas of Burmese
/// and Tai Tham.
pub(super) fn is_stacker(mark: char) -> bool {
    matches!(mark, '\u{17d2}' | '\u{1039}' | '\u{1a60}')
}
