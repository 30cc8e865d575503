//! Numbers as people write them: groups of digits joined by single signs.

use super::borders::{is_currency, is_keyed, joins};
use super::words::PHONE;
use std::ops::Range;

/// Groups of digits that stand together: `+33 6 12 34 56 78`, `(202) 555-0123`, `2017-06-21`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The bytes of each group.
    pub(super) groups: Vec<Range<usize>>,
    /// Whether a `+` stands before the first.
    pub(super) plus: bool,
    /// Where the signs before the first begin that may belong to it: `+` and parentheses.
    start: usize,
}

/// Longest join of two groups: `) ` or ` (`, or `(0) ` inside international numbers.
const JOIN_BYTES: usize = 2;
/// The one join that is longer.
const SPACED_HYPHEN: &[u8] = b" - ";

/// All spans of a text. Digits that touch letters with case or belong to decimals, tags, handles or
/// money are in none.
pub(super) fn number_spans(text: &str) -> Vec<Span> {
    let bytes = text.as_bytes();
    let mut spans: Vec<Span> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let mut groups = Vec::new();
        loop {
            let end = at + bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            groups.push(at..end);
            at = end;
            if groups.len() == 1 && is_list_number(text, &groups[0]) {
                break;
            }
            let join =
                bytes[end..].iter().take(JOIN_BYTES + 1).take_while(|byte| is_join(**byte)).count();
            let digit = bytes.get(end + join).is_some_and(u8::is_ascii_digit);
            let short = join <= JOIN_BYTES || bytes[end..].starts_with(SPACED_HYPHEN);
            if join == 0 || !short || !digit {
                break;
            }
            at = end + join;
        }
        let before = text[..groups[0].start].trim_end_matches('(');
        let plus = before.ends_with('+');
        let before = before.strip_suffix('+').unwrap_or(before).trim_end_matches('(');
        let named = touches_letter(before) && (plus || is_announced(&groups, before));
        if (named || !touches_before(before)) && !touches_after(&text[at..]) {
            let start = before.len();
            spans.push(Span { groups, plus, start });
        }
    }
    spans
}

/// Whether a number counts the lines of a list: `2) 030 901820` at the start of a line.
fn is_list_number(text: &str, number: &Range<usize>) -> bool {
    let before = text[..number.start].trim_end_matches(' ');
    let after = &text.as_bytes()[number.end..];
    number.len() <= 2
        && !text[number.clone()].starts_with('0')
        && (before.is_empty() || before.ends_with('\n'))
        && (after.starts_with(b")") || after.starts_with(b". "))
}

/// Whether a letter stands before a number.
fn touches_letter(before: &str) -> bool {
    before.ends_with(char::is_alphabetic)
}

/// Whether a word for a phone stands directly before as many digits as one has: `TEL03-1234-5678`.
fn is_announced(groups: &[Range<usize>], before: &str) -> bool {
    let digits: usize = groups.iter().map(Range::len).sum();
    digits >= 8 && PHONE.before(before) == Some(0)
}

/// Whether what stands before a number makes it part of something else.
fn touches_before(before: &str) -> bool {
    let Some(last) = before.chars().next_back() else { return false };
    let rest = &before[..before.len() - last.len_utf8()];
    match last {
        '#' | '=' => !is_keyed(before),
        '@' | '/' | '\\' | '^' | '*' => true,
        '.' | ',' | ':' => rest.ends_with(|letter: char| letter.is_ascii_digit()),
        '-' => rest.ends_with(joins),
        other => joins(other) || is_currency(other),
    }
}

fn touches_after(after: &str) -> bool {
    after.starts_with(|letter: char| {
        joins(letter) || is_currency(letter) || matches!(letter, '%' | '@')
    })
}

fn is_join(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')')
}

impl Span {
    /// Windows of groups that stand free: a space, a slash or the edge on both sides. Longest first
    /// from each start.
    pub(super) fn windows(&self, text: &str) -> Vec<Range<usize>> {
        let free = |edge: usize| {
            edge == 0
                || edge == self.groups.len()
                || text[self.groups[edge - 1].end..self.groups[edge].start].contains([' ', '/'])
        };
        let mut windows = Vec::new();
        for first in (0..self.groups.len()).filter(|&edge| free(edge)) {
            // No number that is looked for has more groups.
            let most = self.groups.len().min(first + 8);
            windows.extend(
                (first + 1..=most).rev().filter(|&edge| free(edge)).map(|edge| first..edge),
            );
        }
        windows
    }

    /// The digits of a window.
    pub(super) fn digits(&self, text: &str, window: &Range<usize>) -> String {
        self.groups[window.clone()].iter().map(|group| &text[group.clone()]).collect()
    }

    /// How many digits each group of a window has.
    pub(super) fn lengths(&self, window: &Range<usize>) -> Vec<usize> {
        self.groups[window.clone()].iter().map(Range::len).collect()
    }

    /// What joins the groups of a window.
    pub(super) fn joins<'t>(
        &'t self,
        text: &'t str,
        window: &Range<usize>,
    ) -> impl Iterator<Item = &'t str> {
        let groups = &self.groups[window.clone()];
        groups.windows(2).map(|pair| &text[pair[0].end..pair[1].start])
    }

    /// The bytes of a window; with a `+` before its first group, and the parentheses that close in it.
    pub(super) fn bytes(&self, text: &str, window: &Range<usize>) -> Range<usize> {
        let (first, end) = (self.groups[window.start].start, self.groups[window.end - 1].end);
        let mut closed: usize = 0;
        let mut open: usize = 0;
        for byte in text[first..end].bytes() {
            match byte {
                b'(' => open += 1,
                b')' if open > 0 => open -= 1,
                b')' => closed += 1,
                _ => {}
            }
        }
        let mut start = first;
        let before = match window.start {
            0 => self.start,
            group => self.groups[group - 1].end,
        };
        for sign in text[before..first].bytes().rev() {
            match sign {
                b'(' if closed > 0 => closed -= 1,
                b'+' => {}
                _ => break,
            }
            start -= 1;
        }
        start..end
    }

    /// Whether a window is a calendar date, or begins with one that has a year of four digits.
    pub(super) fn is_date(&self, text: &str, window: &Range<usize>) -> bool {
        let groups: Vec<&str> =
            self.groups[window.clone()].iter().map(|group| &text[group.clone()]).collect();
        let [first, second, third, more @ ..] = groups.as_slice() else { return false };
        let number = |digits: &str| digits.parse::<u32>().unwrap_or(u32::MAX);
        let day = |digits: &str| digits.len() <= 2 && (1..=31).contains(&number(digits));
        let year = |digits: &str| digits.len() == 4 && (1000..=2999).contains(&number(digits));
        let short = third.len() == 2 && more.is_empty();
        day(second) && (year(first) && day(third) || day(first) && (year(third) || short))
    }
}
