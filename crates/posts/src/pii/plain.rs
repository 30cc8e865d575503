//! A text with its digits and signs in ASCII, so that one pattern matches them in every script, and the
//! way back to the bytes as they were written.
//!
//! Digits of every script (Unicode class Nd), full-width forms, the dashes and spaces that keyboards put
//! for ASCII's, and marks without width, which go. Letters of other scripts stay.

use std::borrow::Cow;
use std::ops::Range;

/// A text in ASCII forms.
pub(super) struct Plain<'t> {
    /// The text.
    pub(super) text: Cow<'t, str>,
    /// Where both texts stand level, in order: bytes of this text, bytes of the one written. Before and
    /// after every letter that has another form; between them, both go on byte by byte.
    level: Vec<(usize, usize)>,
}

impl<'t> Plain<'t> {
    /// The text in ASCII forms; the text itself where it holds nothing else.
    pub(super) fn of(text: &'t str) -> Plain<'t> {
        match text.is_ascii() || !text.chars().any(|letter| form(letter) != Form::Same) {
            true => Plain { text: Cow::Borrowed(text), level: Vec::new() },
            false => Plain::changed(text),
        }
    }

    /// As [`Plain::of`], letter by letter.
    pub(super) fn changed(text: &'t str) -> Plain<'t> {
        let mut plain = String::with_capacity(text.len());
        let mut level = vec![(0, 0)];
        let mut letters = text.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            let next = letters.peek().map_or('\0', |&(_, next)| next);
            let ascii = match form(letter) {
                Form::Same => {
                    plain.push(letter);
                    continue;
                }
                Form::Nothing => None,
                Form::Ascii(ascii) => Some(ascii),
                Form::Dash => {
                    let between = plain.ends_with(|before: char| before.is_ascii_digit())
                        && matches!(form(next), Form::Ascii('0'..='9') | Form::Same)
                        && next.is_numeric();
                    Some(if between { '-' } else { letter })
                }
            };
            level.push((plain.len(), at));
            plain.extend(ascii);
            level.push((plain.len(), at + letter.len_utf8()));
        }
        Plain { text: Cow::Owned(plain), level }
    }

    /// The bytes of the text as it was written. Marks without width on either side stay outside.
    pub(super) fn written(&self, range: &Range<usize>) -> Range<usize> {
        if self.level.is_empty() {
            return range.clone();
        }
        let start = self.level.partition_point(|&(plain, _)| plain <= range.start) - 1;
        let (plain, written) = self.level[start];
        let first = written + range.start - plain;
        let end = self.level.partition_point(|&(plain, _)| plain < range.end);
        let last = match self.level.get(end) {
            Some(&(plain, written)) if plain == range.end => written,
            _ => {
                let (plain, written) = self.level[end - 1];
                written + range.end - plain
            }
        };
        first..last
    }
}

/// What stands for a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The letter itself.
    Same,
    /// A sign or digit of ASCII.
    Ascii(char),
    /// `-` between digits: the long-vowel mark of kana, which keyboards put there.
    Dash,
    /// Nothing.
    Nothing,
}

fn form(letter: char) -> Form {
    if letter < '\u{a0}' {
        return Form::Same;
    }
    match letter {
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            Form::Ascii(' ')
        }
        '\u{ad}'
        | '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}' => Form::Nothing,
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' => Form::Ascii('-'),
        '\u{66b}' => Form::Ascii('.'),
        '\u{66c}' => Form::Ascii(','),
        '\u{30fc}' => Form::Dash,
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32(u32::from(letter) - 0xfee0).map_or(Form::Same, Form::Ascii)
        }
        // Most letters of Europe and East Asia, and emoji, among which no digits stand.
        '\u{a1}'..='\u{65f}'
        | '\u{2016}'..='\u{2fff}'
        | '\u{3001}'..='\u{a61f}'
        | '\u{ac00}'..='\u{fdff}'
        | '\u{1f000}'..='\u{1faff}' => Form::Same,
        _ => digit(letter).map_or(Form::Same, Form::Ascii),
    }
}

/// The zeros of every script that has digits of its own (class Nd); nine digits follow each.
const ZEROS: [u32; 75] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6,
    0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50,
    0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    0x104a0, 0x10d30, 0x10d40, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0,
    0x11650, 0x116c0, 0x116d0, 0x116da, 0x11730, 0x118e0, 0x11950, 0x11bf0, 0x11c50, 0x11d50,
    0x11da0, 0x11f50, 0x16130, 0x16a60, 0x16ac0, 0x16b50, 0x16d70, 0x1ccf0, 0x1d7ce, 0x1d7d8,
    0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e5f1, 0x1e950, 0x1fbf0,
];

/// The ASCII digit of a digit of another script.
fn digit(letter: char) -> Option<char> {
    let code = u32::from(letter);
    let after = ZEROS.partition_point(|&zero| zero <= code);
    let zero = ZEROS.get(after.checked_sub(1)?)?;
    char::from_digit(code - zero, 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unicode_general_category::{GeneralCategory, get_general_category};

    #[test]
    fn digits_of_every_script_are_known() {
        assert!(ZEROS.windows(2).all(|pair| pair[0] + 10 <= pair[1]));
        for letter in ('\u{a0}'..=char::MAX).filter(|letter| !letter.is_ascii()) {
            if get_general_category(letter) == GeneralCategory::DecimalNumber {
                assert!(digit(letter).is_some(), "{letter:?}");
                assert!(matches!(form(letter), Form::Ascii('0'..='9')), "{letter:?}");
            }
            // A digit that the tables of classes do not have yet is no letter.
            let known = digit(letter).is_some();
            assert!(!known || !letter.is_alphabetic(), "{letter:?}");
        }
        assert_eq!(Plain::of("٠١۲३๔５𝟔").text, "0123456");
    }

    #[test]
    fn what_is_found_lies_where_it_was_written() {
        let text = "は\u{200e}０９０ー１２３４\u{200e}で";
        let plain = Plain::of(text);
        assert_eq!(plain.text, "は090-1234で");
        let at = plain.text.find('0').expect("a digit");
        assert_eq!(&text[plain.written(&(at..at + 8))], "０９０ー１２３４");
        assert_eq!(Plain::of("サーバー").text, "サーバー");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
        /// Letter by letter and as a whole are the same, and every range leads back to whole letters.
        #[test]
        fn both_ways_agree(text in "(\\PC|[0-9０-９٠-٩ー\u{200e}\u{a0}\u{2019}a-z@.-]){0,30}") {
            let (whole, letters) = (Plain::of(&text), Plain::changed(&text));
            prop_assert_eq!(&whole.text, &letters.text);
            let places: Vec<usize> =
                whole.text.char_indices().map(|(at, _)| at).chain([whole.text.len()]).collect();
            for (index, &start) in places.iter().enumerate() {
                for &end in &places[index + 1..] {
                    let range = whole.written(&(start..end));
                    prop_assert_eq!(&range, &letters.written(&(start..end)));
                    let written = text.get(range);
                    prop_assert!(written.is_some());
                    let again = Plain::changed(written.unwrap_or_default());
                    // A dash depends on what stands around it.
                    let same = again.text == whole.text[start..end];
                    prop_assert!(same || written.unwrap_or_default().contains('ー'));
                }
            }
        }
    }
}
