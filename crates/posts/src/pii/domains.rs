//! Domain names, in ASCII and in other scripts.

use super::borders::{is_latin, is_unspaced};
use crate::twitter_text::is_top_level_domain;
use unicode_script::{Script, UnicodeScript as _};

/// Longest name (RFC 1035, section 2.3.4), in bytes of UTF-8.
const MAX_NAME: usize = 254;

/// Last labels that no registry gives away (RFC 2606, 6761, 7686): posts about machines at home, and
/// examples, name people by them.
const RESERVED: [&str; 7] =
    ["example", "test", "invalid", "localhost", "local", "internal", "onion"];

/// Bytes of the domain name that `text` begins with: two labels at least, each of one script, the last
/// in the root zone or reserved.
pub(super) fn domain_bytes(text: &str) -> Option<usize> {
    let mut script = None;
    let mut run = 0;
    for letter in text.chars() {
        if run + letter.len_utf8() > MAX_NAME {
            break;
        }
        match letter {
            '.' => script = None,
            '-' | '0'..='9' => {}
            _ => match label_script(letter) {
                Some(Script::Inherited) if script.is_some() => {}
                Some(found) if script.is_none_or(|script| script == found) => script = Some(found),
                _ => break,
            },
        }
        run += letter.len_utf8();
    }
    let mut domain = &text[..run];
    loop {
        domain = domain.trim_end_matches(['.', '-']);
        let (rest, last) = domain.rsplit_once('.')?;
        if let Some(bytes) = top_level_bytes(last)
            && rest.split('.').all(is_label)
        {
            return Some(rest.len() + 1 + bytes);
        }
        domain = rest;
    }
}

/// The script of a letter that a label may hold.
fn label_script(letter: char) -> Option<Script> {
    if is_latin(letter) {
        return Some(Script::Latin);
    }
    let script = (!letter.is_ascii()).then(|| letter.script())?;
    let word = letter.is_alphanumeric() || script == Script::Inherited || is_mark(letter);
    (word && script != Script::Common).then_some(script)
}

/// Marks that belong to the letter before them.
pub(super) fn is_mark(letter: char) -> bool {
    use unicode_general_category::{GeneralCategory, get_general_category};
    let class = get_general_category(letter);
    matches!(class, GeneralCategory::NonspacingMark | GeneralCategory::SpacingMark)
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
}

/// Bytes of the top-level domain that a last label is, or in a script without spaces begins with.
fn top_level_bytes(label: &str) -> Option<usize> {
    let exists = |label: &str| {
        let label = label.to_lowercase();
        RESERVED.contains(&label.as_str()) || is_top_level_domain(&label)
    };
    if exists(label) {
        return Some(label.len());
    }
    let unspaced = label.chars().next().is_some_and(|letter| is_unspaced(letter.script()));
    // No top-level domain has more letters than this.
    let ends: Vec<usize> = label.char_indices().map(|(at, _)| at).take(24).skip(1).collect();
    ends.into_iter().rev().find(|&end| unspaced && exists(&label[..end]))
}
