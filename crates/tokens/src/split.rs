//! Hand-written matchers of the pre-tokenisation patterns: no regular expression runs here.
//!
//! Each `*_end` function returns where the piece that starts at `at` ends, choosing as the
//! leftmost-first alternation of [`Pattern::regex`] does. `tests/split_regex.rs` holds every
//! machine against its expression. The text must be valid UTF-8.

use crate::Pattern;
use crate::unicode_class::{LETTER, LOWER, MARK, NEWLINE, NUMBER, SPACE, UPPER, class_at};

/// Calls `piece(start, end)` for every piece of `text` in order.
#[inline(always)]
pub(crate) fn for_each_piece(pattern: Pattern, text: &[u8], mut piece: impl FnMut(usize, usize)) {
    // One loop a pattern, so that each machine is inlined into its own loop.
    macro_rules! run {
        ($end_of_piece:expr) => {{
            let mut at = 0;
            while at < text.len() {
                let end = $end_of_piece(text, at);
                piece(at, end);
                at = end;
            }
        }};
    }
    match pattern {
        Pattern::Gpt2 => run!(gpt2_end),
        Pattern::Gpt4 => run!(gpt4_end::<LETTER, 3, false>),
        Pattern::Cl100k => run!(gpt4_end::<LETTER, 3, true>),
        Pattern::Qwen2 => run!(gpt4_end::<LETTER, 1, false>),
        Pattern::Qwen35 => run!(gpt4_end::<{ LETTER | MARK }, 1, false>),
        Pattern::Nanochat => run!(gpt4_end::<LETTER, 2, false>),
        Pattern::O200k => run!(o200k_end::<true, 3>),
        Pattern::Tekken => run!(o200k_end::<false, 1>),
    }
}

/// The end of the run of characters with any flag of `wanted` that starts at `at`.
#[inline(always)]
fn run_of(text: &[u8], mut at: usize, wanted: u8) -> usize {
    while at < text.len() {
        let (class, length) = class_at(text, at);
        if class & wanted == 0 {
            break;
        }
        at += length;
    }
    at
}

/// The end of the run of characters with no flag of `unwanted` that starts at `at`.
#[inline(always)]
fn run_without(text: &[u8], mut at: usize, unwanted: u8) -> usize {
    while at < text.len() {
        let (class, length) = class_at(text, at);
        if class & unwanted != 0 {
            break;
        }
        at += length;
    }
    at
}

/// Flags of the character at `at`; none at the end of the text.
#[inline(always)]
fn flags_at(text: &[u8], at: usize) -> u8 {
    if at < text.len() { class_at(text, at).0 } else { 0 }
}

/// Bytes of `'s|'t|'re|'ve|'m|'ll|'d` at `at`, in lower case or, with `fold`, in any case; 0 if
/// there is no contraction.
#[inline(always)]
fn contraction(text: &[u8], at: usize, fold: bool) -> usize {
    if text.get(at) != Some(&b'\'') {
        return 0;
    }
    let letter = |offset: usize| {
        let byte = text.get(at + offset).copied().unwrap_or(0);
        if fold { byte.to_ascii_lowercase() } else { byte }
    };
    match letter(1) {
        b's' | b't' | b'm' | b'd' => 2,
        b'r' | b'v' if letter(2) == b'e' => 3,
        b'l' if letter(2) == b'l' => 3,
        // U+017F, the long s, is the one letter outside ASCII that folds to one of these.
        0xc5 if fold && text.get(at + 2) == Some(&0xbf) => 3,
        _ => 0,
    }
}

/// `\s+(?!\S)|\s+` at `at`, which is white space: the run but for its last character if more
/// text follows.
#[inline(always)]
fn space_end(text: &[u8], at: usize, first_length: usize) -> usize {
    let mut end = at + first_length;
    let mut before_last = at;
    while end < text.len() {
        let (class, length) = class_at(text, end);
        if class & SPACE == 0 {
            return if before_last > at { before_last } else { end };
        }
        before_last = end;
        end += length;
    }
    end
}

/// GPT-2.
#[inline(always)]
fn gpt2_end(text: &[u8], at: usize) -> usize {
    let contraction = contraction(text, at, false);
    if contraction > 0 {
        return at + contraction;
    }
    let (mut class, mut length) = class_at(text, at);
    let mut from = at;
    if text[at] == b' ' && at + 1 < text.len() {
        let (next_class, next_length) = class_at(text, at + 1);
        if next_class & SPACE == 0 {
            (class, length, from) = (next_class, next_length, at + 1);
        }
    }
    let rest = from + length;
    if class & LETTER != 0 {
        run_of(text, rest, LETTER)
    } else if class & NUMBER != 0 {
        run_of(text, rest, NUMBER)
    } else if class & SPACE == 0 {
        run_without(text, rest, SPACE | LETTER | NUMBER)
    } else {
        space_end(text, at, length)
    }
}

/// The family of GPT-4: `WORD` are the flags of what makes words, `DIGITS` the longest number,
/// `WHOLE_TAIL` whether white space that ends the text is one piece.
#[inline(always)]
fn gpt4_end<const WORD: u8, const DIGITS: usize, const WHOLE_TAIL: bool>(
    text: &[u8],
    at: usize,
) -> usize {
    let (class, length) = class_at(text, at);
    let rest = at + length;
    // [^\r\n\p{L}\p{N}]?\p{L}+ with nothing before the letters.
    if class & WORD != 0 {
        return run_of(text, rest, WORD);
    }
    if class & NUMBER != 0 {
        return number_end(text, rest, DIGITS);
    }
    let contraction = contraction(text, at, true);
    if contraction > 0 {
        return at + contraction;
    }
    // The same with one character before the letters.
    if class & NEWLINE == 0 && flags_at(text, rest) & WORD != 0 {
        return run_of(text, rest, WORD);
    }
    //  ?[^\s\p{L}\p{N}]+[\r\n]*
    let other = SPACE | WORD | NUMBER;
    let from = if text[at] == b' ' { rest } else { at };
    if from < text.len() && class_at(text, from).0 & other == 0 {
        return run_of(text, run_without(text, from, other), NEWLINE);
    }
    line_break_or_space_end::<WHOLE_TAIL>(text, at, length)
}

/// `\p{N}{1,longest}`, whose first character ends at `end`.
#[inline(always)]
fn number_end(text: &[u8], mut end: usize, longest: usize) -> usize {
    for _ in 1..longest {
        if flags_at(text, end) & NUMBER == 0 {
            break;
        }
        end += class_at(text, end).1;
    }
    end
}

/// `\s*[\r\n]+|\s+(?!\S)|\s+`, before it `\s++$` with `WHOLE_TAIL`, at white space.
#[inline(always)]
fn line_break_or_space_end<const WHOLE_TAIL: bool>(
    text: &[u8],
    at: usize,
    first_length: usize,
) -> usize {
    let (mut end, mut before_last, mut after_break) = (at, at, at);
    let mut length = first_length;
    loop {
        before_last = if end > at { end } else { before_last };
        if matches!(text[end], b'\r' | b'\n') {
            after_break = end + 1;
        }
        end += length;
        if end == text.len() {
            return if after_break > at && !WHOLE_TAIL { after_break } else { end };
        }
        let class;
        (class, length) = class_at(text, end);
        if class & SPACE == 0 {
            break;
        }
    }
    match (after_break > at, before_last > at) {
        (true, _) => after_break,
        (false, true) => before_last,
        (false, false) => end,
    }
}

/// The family of GPT-4o: whether contractions stay with their word, and the longest number.
#[inline(always)]
fn o200k_end<const CONTRACTIONS: bool, const DIGITS: usize>(text: &[u8], at: usize) -> usize {
    let after_word =
        |end: usize| if CONTRACTIONS { end + contraction(text, end, true) } else { end };
    let (class, length) = class_at(text, at);
    let rest = at + length;
    if class & NUMBER != 0 {
        return number_end(text, rest, DIGITS);
    }
    // The optional character before a word may itself be a mark, which can also begin the word;
    // both words are tried with it before both are tried without.
    if class & (LETTER | NEWLINE) == 0
        && let Some(end) = lower_word_end(text, rest)
    {
        return after_word(end);
    }
    if class & (UPPER | LOWER) != 0
        && let Some(end) = lower_word_end(text, at)
    {
        return after_word(end);
    }
    if class & (LETTER | NEWLINE) == 0 {
        let end = run_of(text, rest, UPPER);
        if end > rest {
            return after_word(end);
        }
    }
    if class & UPPER != 0 {
        let end = run_of(text, rest, UPPER);
        return after_word(end);
    }
    //  ?[^\s\p{L}\p{N}]+[\r\n/]*
    let other = SPACE | LETTER | NUMBER;
    let from = if text[at] == b' ' { rest } else { at };
    if from < text.len() && class_at(text, from).0 & other == 0 {
        let mut end = run_without(text, from, other);
        while matches!(text.get(end), Some(b'\r' | b'\n' | b'/')) {
            end += 1;
        }
        return end;
    }
    line_break_or_space_end::<false>(text, at, length)
}

/// The end of `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+` at `at`, if it
/// matches.
#[inline(always)]
fn lower_word_end(text: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    // End of the last character so far that both sets hold: where the greedy first set has to
    // give back to if no lower-case letter follows it.
    let mut after_shared = None;
    while end < text.len() {
        let (class, length) = class_at(text, end);
        if class & UPPER == 0 {
            break;
        }
        end += length;
        if class & LOWER != 0 {
            after_shared = Some(end);
        }
    }
    if flags_at(text, end) & LOWER != 0 { Some(run_of(text, end, LOWER)) } else { after_shared }
}
