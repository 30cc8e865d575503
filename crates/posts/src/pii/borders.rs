//! Where a pattern may begin and end.
//!
//! A border is where the letters that the pattern is made of end. Numbers and names of ASCII end at any
//! letter of a script without case (Han, kana, Hangul, Thai, Arabic, …): no one writes identifiers of
//! both. A letter with case beside them makes a word of them (`x2025550123`, `А123456`).

use unicode_script::{Script, UnicodeScript as _};

/// Whether a letter or digit makes one word with digits or ASCII letters next to it.
pub(super) fn joins(letter: char) -> bool {
    match letter.is_ascii() {
        true => letter.is_ascii_alphanumeric() || letter == '_',
        false => letter.is_lowercase() || letter.is_uppercase(),
    }
}

/// Letters of the Latin script, accents among them.
pub(super) fn is_latin(letter: char) -> bool {
    match letter.is_ascii() {
        true => letter.is_ascii_alphabetic(),
        false => letter.is_alphabetic() && letter.script() == Script::Latin,
    }
}

/// Signs of money, which make a price of a number.
pub(super) fn is_currency(letter: char) -> bool {
    matches!(letter, '$' | '£' | '¥' | '¢' | '฿' | '\u{20a0}'..='\u{20cf}')
}

/// Whether what stands before a number names it: a key and its sign (`SSN#`, `tel=`, `src=`). Without a key such
/// signs make the number a part of something else: a tag, an equation, the version of a package (`a==1.2`).
pub(super) fn is_keyed(before: &str) -> bool {
    before.strip_suffix(['=', '#']).is_some_and(|key| key.ends_with(char::is_alphabetic))
}

/// Scripts that put no space between words.
pub(super) fn is_unspaced(script: Script) -> bool {
    matches!(
        script,
        Script::Han
            | Script::Hiragana
            | Script::Katakana
            | Script::Hangul
            | Script::Thai
            | Script::Lao
            | Script::Khmer
            | Script::Myanmar
            | Script::Tibetan
    )
}
