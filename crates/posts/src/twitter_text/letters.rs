//! Classes of characters of X's grammar.

use unicode_general_category::{GeneralCategory, get_general_category};

/// Marks that set the direction of writing.
pub(super) fn is_directional(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2066}'..='\u{2069}')
}

/// Characters no post may hold.
pub(super) fn is_invalid(letter: char) -> bool {
    matches!(letter, '\u{fffe}' | '\u{feff}' | '\u{ffff}')
}

/// White space as X sees it.
pub(super) fn is_space(letter: char) -> bool {
    letter.is_whitespace() || letter == '\u{180e}'
}

/// ASCII signs, `_` among them.
pub(super) fn is_sign(letter: char) -> bool {
    letter.is_ascii_punctuation() && !matches!(letter, '"' | '`')
}

/// Letters with accents that X treats like ASCII letters in paths and after handles.
pub(super) fn is_latin_accent(letter: char) -> bool {
    matches!(letter,
        '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{24f}' | '\u{253}' | '\u{254}'
        | '\u{256}' | '\u{257}' | '\u{259}' | '\u{25b}' | '\u{263}' | '\u{268}' | '\u{26f}' | '\u{272}'
        | '\u{289}' | '\u{28b}' | '\u{2bb}' | '\u{300}'..='\u{36f}' | '\u{1e00}'..='\u{1eff}')
}

/// Letters and marks: a hashtag needs one.
pub(super) fn is_tag_letter(letter: char) -> bool {
    if letter.is_ascii() {
        return letter.is_ascii_alphabetic();
    }
    matches!(
        get_general_category(letter),
        GeneralCategory::UppercaseLetter
            | GeneralCategory::LowercaseLetter
            | GeneralCategory::TitlecaseLetter
            | GeneralCategory::ModifierLetter
            | GeneralCategory::OtherLetter
            | GeneralCategory::NonspacingMark
            | GeneralCategory::SpacingMark
            | GeneralCategory::EnclosingMark
    )
}

/// What a hashtag is made of: letters, marks, digits, and the joiners some scripts need.
pub(super) fn is_tag_character(letter: char) -> bool {
    is_tag_letter(letter)
        || letter == '_'
        || letter.is_ascii_digit()
        || !letter.is_ascii() && get_general_category(letter) == GeneralCategory::DecimalNumber
        || matches!(
            letter,
            '\u{200c}'
                | '\u{200d}'
                | '\u{a67e}'
                | '\u{5be}'
                | '\u{5f3}'
                | '\u{5f4}'
                | '\u{ff5e}'
                | '\u{301c}'
                | '\u{309b}'
                | '\u{309c}'
                | '\u{30a0}'
                | '\u{30fb}'
                | '\u{3003}'
                | '\u{f0b}'
                | '\u{f0c}'
                | '\u{b7}'
        )
}

/// `#` and its full-width form.
pub(super) fn is_hash(letter: char) -> bool {
    matches!(letter, '#' | '＃')
}

/// `@` and its full-width form.
pub(super) fn is_at(letter: char) -> bool {
    matches!(letter, '@' | '＠')
}
