//! Lines of a given width, as Python's `textwrap.wrap` breaks them.

use super::fault::{Fault, Result};
use super::words::is_word;

fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\x0b' | '\x0c' | '\r' | ' ')
}

fn is_letter(c: char) -> bool {
    is_word(c) && !c.is_numeric() && c != '_'
}

/// Signs after which a dash of several hyphens parts words.
fn ends_word(c: char) -> bool {
    is_word(c) || matches!(c, '!' | '"' | '\'' | '&' | '.' | ',' | '?')
}

/// A line cut into lines.
///
/// # Errors
/// A width below one.
pub(crate) fn wrapped(
    text: &str,
    width: i64,
    break_long_words: bool,
    break_on_hyphens: bool,
) -> Result<Vec<String>> {
    let Some(width) = usize::try_from(width).ok().filter(|&width| width > 0) else {
        return Err(Fault::value_error(format!("invalid width {width} (must be > 0)")));
    };
    let chars: Vec<char> = text.chars().collect();
    let mut chunks = if break_on_hyphens { hyphenated(&chars) } else { by_blanks(&chars) };
    chunks.reverse();
    let mut lines = Vec::new();
    while let Some(last) = chunks.last() {
        // White space begins no line but the first.
        if !lines.is_empty() && last.iter().all(|&c| super::words::is_space(c)) {
            chunks.pop();
        }
        let (mut line, mut length): (Vec<Vec<char>>, usize) = (Vec::new(), 0);
        while let Some(chunk) = chunks.last() {
            if length + chunk.len() > width {
                break;
            }
            length += chunk.len();
            line.extend(chunks.pop());
        }
        if chunks.last().is_some_and(|chunk| chunk.len() > width) {
            long_word(&mut chunks, &mut line, length, width, break_long_words, break_on_hyphens);
        }
        if line.last().is_some_and(|chunk| chunk.iter().all(|&c| super::words::is_space(c))) {
            line.pop();
        }
        if !line.is_empty() {
            lines.push(line.into_iter().flatten().collect());
        }
    }
    Ok(lines)
}

/// A word that fits on no line.
fn long_word(
    chunks: &mut Vec<Vec<char>>,
    line: &mut Vec<Vec<char>>,
    length: usize,
    width: usize,
    breaks: bool,
    on_hyphens: bool,
) {
    let Some(mut chunk) = chunks.pop() else { return };
    let space = width - length.min(width);
    if breaks {
        let mut end = space;
        if on_hyphens && chunk.len() > space {
            let hyphen = chunk[..space].iter().rposition(|&c| c == '-').unwrap_or(0);
            if hyphen > 0 && chunk[..hyphen].iter().any(|&c| c != '-') {
                end = hyphen + 1;
            }
        }
        let rest = chunk.split_off(end);
        line.push(chunk);
        chunks.push(rest);
    } else if line.is_empty() {
        line.push(chunk);
    } else {
        chunks.push(chunk);
    }
}

/// Runs of white space and of anything else.
fn by_blanks(chars: &[char]) -> Vec<Vec<char>> {
    chars.chunk_by(|a, b| is_blank(*a) == is_blank(*b)).map(<[char]>::to_vec).collect()
}

/// White space, words up to a hyphen between letters, and dashes.
fn hyphenated(chars: &[char]) -> Vec<Vec<char>> {
    let mut chunks = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let end = if is_blank(chars[at]) {
            (at..chars.len()).find(|&i| !is_blank(chars[i])).unwrap_or(chars.len())
        } else {
            dash_end(chars, at).unwrap_or_else(|| word_end(chars, at))
        };
        chunks.push(chars[at..end].to_vec());
        at = end;
    }
    chunks
}

fn has(chars: &[char], at: usize, is: impl Fn(char) -> bool) -> bool {
    chars.get(at).is_some_and(|&c| is(c))
}

/// The end of two hyphens or more between words.
fn dash_end(chars: &[char], at: usize) -> Option<usize> {
    if at == 0 || !ends_word(chars[at - 1]) {
        return None;
    }
    let hyphens = chars[at..].iter().take_while(|&&c| c == '-').count();
    (hyphens >= 2 && has(chars, at + hyphens, is_word)).then_some(at + hyphens)
}

/// The end of a word that begins here.
fn word_end(chars: &[char], at: usize) -> usize {
    for end in at + 1..=chars.len() {
        if end == chars.len() || is_blank(chars[end]) {
            return end;
        }
        let dash = chars[end..].iter().take_while(|&&c| c == '-').count();
        if dash >= 2 && ends_word(chars[end - 1]) && has(chars, end + dash, is_word) {
            return end;
        }
        if chars[end] == '-' && breaks_after(chars, at, end) {
            return end + 1;
        }
    }
    chars.len()
}

/// Whether a line may end after the hyphen at `hyphen` of the word from `at`: two letters, or a
/// letter, a hyphen and a letter before it, and letters after it.
fn breaks_after(chars: &[char], at: usize, hyphen: usize) -> bool {
    let letter = |back: usize| hyphen >= back && is_letter(chars[hyphen - back]);
    let dashed = hyphen >= 2 && chars[hyphen - 2] == '-';
    let before = (letter(1) && letter(2)) || (letter(1) && dashed && letter(3));
    let next = hyphen + 1;
    let after = has(chars, next, is_letter)
        && (has(chars, next + 1, is_letter)
            || (has(chars, next + 1, |c| c == '-') && has(chars, next + 2, is_letter)));
    hyphen > at && before && after
}
