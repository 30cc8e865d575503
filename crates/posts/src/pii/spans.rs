//! Numbers as people write them: groups of digits joined by single signs.

use std::ops::Range;

/// Groups of digits that stand together: `+33 6 12 34 56 78`, `(202) 555-0123`, `2017-06-21`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The bytes of each group.
    pub(super) groups: Vec<Range<usize>>,
    /// Whether a `+` stands before the first.
    pub(super) plus: bool,
    /// Where it begins, `+` and parenthesis included.
    pub(super) start: usize,
}

/// Longest join of two groups: `) ` or ` (`, or `(0) ` inside international numbers.
const JOIN_BYTES: usize = 2;

/// All spans of a text. Digits that touch letters or belong to decimals, tags, handles or money are
/// in none.
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
            let join =
                bytes[end..].iter().take(JOIN_BYTES + 1).take_while(|byte| is_join(**byte)).count();
            let digit = bytes.get(end + join).is_some_and(u8::is_ascii_digit);
            if join == 0 || join > JOIN_BYTES || !digit {
                break;
            }
            at = end + join;
        }
        let first = groups[0].start;
        let before = text[..first].trim_end_matches('(');
        let plus = before.ends_with('+');
        let before = before.strip_suffix('+').unwrap_or(before);
        let touches_before = before.ends_with(|letter: char| {
            letter.is_alphanumeric()
                || matches!(letter, '_' | '#' | '@' | '$' | '€' | '£' | '¥' | '=' | '/' | '\\')
        }) || before.ends_with(['.', ',', ':', '-'])
            && before[..before.len() - 1].ends_with(|letter: char| letter.is_alphanumeric());
        let after = text[at..].chars().next();
        let touches_after = after.is_some_and(|letter| {
            letter.is_alphanumeric() || matches!(letter, '_' | '%' | '€' | '$' | '£' | '@')
        });
        if !touches_before && !touches_after {
            let start = before.len();
            spans.push(Span { groups, plus, start });
        }
    }
    spans
}

fn is_join(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')')
}

impl Span {
    /// Windows of groups that stand free: a space (or the edge) on both sides. Longest first from
    /// each start.
    pub(super) fn windows(&self, text: &str) -> Vec<Range<usize>> {
        let free = |edge: usize| {
            edge == 0
                || edge == self.groups.len()
                || text[self.groups[edge - 1].end..self.groups[edge].start].contains(' ')
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

    /// The bytes of a window; with what stands before the first group, where the window has it.
    pub(super) fn bytes(&self, window: &Range<usize>) -> Range<usize> {
        let start = if window.start == 0 { self.start } else { self.groups[window.start].start };
        start..self.groups[window.end - 1].end
    }

    /// Whether a window is a calendar date.
    pub(super) fn is_date(&self, text: &str, window: &Range<usize>) -> bool {
        let groups: Vec<&str> =
            self.groups[window.clone()].iter().map(|group| &text[group.clone()]).collect();
        let [first, second, third] = groups[..] else { return false };
        let number = |digits: &str| digits.parse::<u32>().unwrap_or(u32::MAX);
        let day = |digits: &str| digits.len() <= 2 && (1..=31).contains(&number(digits));
        let year = |digits: &str| digits.len() == 4 && (1000..=2999).contains(&number(digits));
        day(second)
            && (year(first) && day(third) || day(first) && (year(third) || third.len() == 2))
    }
}
