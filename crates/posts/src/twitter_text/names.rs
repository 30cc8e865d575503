//! Mentions, lists, replies, hashtags and cashtags.

use super::letters::{
    is_at, is_directional, is_hash, is_latin_accent, is_space, is_tag_character, is_tag_letter,
};
use std::ops::Range;

/// Longest handle and list name.
const MAX_HANDLE: usize = 20;
const MAX_LIST: usize = 25;

/// A person or list that a text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention<'a> {
    /// The handle without its sign.
    pub handle: &'a str,
    /// The list's name, for `@handle/list`.
    pub list: Option<&'a str>,
    /// The bytes of all of it, sign included.
    pub range: Range<usize>,
}

/// All mentions and lists.
pub fn mentions(text: &str) -> Vec<Mention<'_>> {
    let mut found = Vec::new();
    let mut free_from = 0;
    for (at, sign) in text.char_indices().filter(|&(_, letter)| is_at(letter)) {
        if at < free_from || !may_precede_mention(text, at, free_from) {
            continue;
        }
        let name_start = at + sign.len_utf8();
        let handle = &text[name_start..name_start + handle_bytes(&text[name_start..])];
        if handle.is_empty() {
            continue;
        }
        let name_end = name_start + handle.len();
        let list = list_name(&text[name_end..]);
        let end = name_end + list.map_or(0, |list| 1 + list.len());
        free_from = end;
        if !ends_no_mention(&text[end..]) {
            found.push(Mention { handle, list, range: at..end });
        }
    }
    found
}

fn handle_bytes(text: &str) -> usize {
    text.bytes()
        .take(MAX_HANDLE)
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count()
}

fn list_name(text: &str) -> Option<&str> {
    let name = text.strip_prefix('/')?;
    let bytes = name
        .bytes()
        .take(MAX_LIST)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        .count();
    name.starts_with(|letter: char| letter.is_ascii_alphabetic()).then(|| &name[..bytes])
}

/// What after a handle says that it was none: another `@` (an address), an accented letter, `://`.
fn ends_no_mention(rest: &str) -> bool {
    rest.starts_with("://")
        || rest.starts_with(|letter: char| is_at(letter) || is_latin_accent(letter))
}

/// Whether the text before `at` lets a mention begin; characters before `free_from` belong to an
/// earlier mention and count as the beginning.
fn may_precede_mention(text: &str, at: usize, free_from: usize) -> bool {
    let before = &text[free_from..at];
    let Some(last) = before.chars().next_back() else { return at == 0 };
    let plain = !last.is_ascii_alphanumeric()
        && !is_at(last)
        && !matches!(last, '_' | '!' | '#' | '$' | '%' | '&' | '*');
    if plain {
        return true;
    }
    // "RT@name", when RT stands alone.
    let Some(head) = before.len().checked_sub(2).and_then(|cut| before.split_at_checked(cut))
    else {
        return false;
    };
    head.1.eq_ignore_ascii_case("rt")
        && match head.0.chars().next_back() {
            None => free_from == 0,
            Some(letter) => {
                !letter.is_ascii_alphanumeric() && !matches!(letter, '_' | '+' | '~' | '.' | '-')
            }
        }
}

/// The handle a text answers by starting with it.
pub fn reply_to(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(|letter: char| is_space(letter) || is_directional(letter));
    let name = text.strip_prefix(is_at)?;
    let bytes = handle_bytes(name);
    (bytes > 0 && !ends_no_mention(&name[bytes..])).then(|| &name[..bytes])
}

/// All hashtags outside links, sign included.
pub fn hashtags(text: &str) -> Vec<Range<usize>> {
    if !text.contains(is_hash) {
        return Vec::new();
    }
    super::hashtags_outside(text, &super::urls(text)).collect()
}

/// All hashtags, those in links too.
pub(super) fn all_hashtags(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut free_from = 0;
    for (at, sign) in text.char_indices().filter(|&(_, letter)| is_hash(letter)) {
        let before = text.get(free_from..at).and_then(|before| before.chars().next_back());
        let begins = match before {
            None => at == 0,
            // A variation selector after an emoji is a mark, but it ends no word.
            Some('\u{fe0e}' | '\u{fe0f}') => true,
            Some(letter) => !is_tag_character(letter) && letter != '&',
        };
        let tag = &text[at + sign.len_utf8()..];
        let bytes = tag.find(|letter| !is_tag_character(letter)).unwrap_or(tag.len());
        let (tag, rest) = tag.split_at(bytes);
        // A selector or enclosing keycap makes an emoji of the sign.
        let keycap = tag.starts_with(['\u{fe0f}', '\u{20e3}']);
        if !begins || keycap || !tag.contains(is_tag_letter) {
            continue;
        }
        let end = at + sign.len_utf8() + bytes;
        free_from = end;
        if !rest.starts_with(is_hash) && !rest.starts_with("://") {
            found.push(at..end);
        }
    }
    found
}

/// All cashtags, sign included.
pub fn cashtags(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('$') {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|letter| !is_space(letter) && !is_directional(letter)) {
            continue;
        }
        let tag = &text[at + 1..];
        let name = letters(tag, 6);
        if name == 0 {
            continue;
        }
        let suffix = match tag.as_bytes().get(name) {
            Some(b'.' | b'_') => letters(&tag[name + 1..], 2),
            _ => 0,
        };
        let long = name + if suffix > 0 { 1 + suffix } else { 0 };
        if let Some(bytes) = [long, name].into_iter().find(|&bytes| ends_cashtag(&tag[bytes..])) {
            found.push(at..at + 1 + bytes);
        }
    }
    found
}

fn letters(text: &str, most: usize) -> usize {
    text.bytes().take(most).take_while(u8::is_ascii_alphabetic).count()
}

fn ends_cashtag(rest: &str) -> bool {
    rest.chars().next().is_none_or(|letter| is_space(letter) || super::letters::is_sign(letter))
}
