//! Regular expressions of tokenizer files: read as Oniguruma's Ruby syntax, run by `fancy-regex`.
//!
//! The two differ in a few spellings, which are rewritten. An expression whose constructs
//! `fancy-regex` lacks is refused with its text.

use std::sync::Arc;

use fancy_regex::{Regex, RegexBuilder};

use super::LeftOut;
use crate::TokensError;
use crate::error::excerpt;

/// Steps of backtracking after which a search is given up: thousands for each character of the
/// longest documents, so that only an expression of exponential cost reaches it.
const MOST_STEPS: usize = 100_000_000;

/// A compiled expression.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    regex: Regex,
    left_out: Arc<LeftOut>,
}

impl PartialEq for Expression {
    /// By the expression as it was compiled.
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

impl Expression {
    /// Compiles an expression; `field` is its place in the file.
    pub(crate) fn new(
        field: &str,
        source: &str,
        left_out: &Arc<LeftOut>,
    ) -> Result<Self, TokensError> {
        Self::compile(field, source, &translate(source), left_out)
    }

    /// Compiles `translated`, which is in the syntax of `fancy-regex`.
    fn compile(
        field: &str,
        source: &str,
        translated: &str,
        left_out: &Arc<LeftOut>,
    ) -> Result<Self, TokensError> {
        match RegexBuilder::new(translated).backtrack_limit(MOST_STEPS).build() {
            Ok(regex) => Ok(Self { regex, left_out: Arc::clone(left_out) }),
            Err(error) => Err(TokensError::BadExpression {
                field: field.to_owned(),
                expression: excerpt(source),
                problem: excerpt(&error.to_string().replace('\n', " ")),
            }),
        }
    }

    /// `Whitespace`, which Oniguruma does not run: runs of characters of words and runs of others that are not white space.
    pub(crate) fn words(left_out: &Arc<LeftOut>) -> Result<Self, TokensError> {
        const WORDS: &str = r"\w+|[^\w\s]+";
        Self::compile("pre_tokenizer.Whitespace", WORDS, WORDS, left_out)
    }

    /// Calls `found(start, end)` for every match in order. A search that is given up ends them
    /// and is counted.
    pub(crate) fn for_each_match(&self, text: &str, mut found: impl FnMut(usize, usize)) {
        for result in self.regex.find_iter(text) {
            match result {
                Ok(matched) => found(matched.start(), matched.end()),
                Err(_) => return self.left_out.count_search(),
            }
        }
    }
}

/// The expression in the syntax of `fancy-regex`: `^` and `$` are those of lines, `{n,m}+` is a
/// repeated repeat, `(?m)` lets a dot be a line break, `\h` is a hexadecimal digit, `\w` holds a few
/// other characters, and `~` in a class is an ordinary character.
fn translate(source: &str) -> String {
    let mut out = String::from("(?m)");
    let mut groups = Vec::new();
    let mut atom = out.len();
    let mut rest = source;
    while let Some(character) = rest.chars().next() {
        match character {
            '\\' => {
                atom = out.len();
                rest = take_escape(rest, &mut out);
            }
            '[' => {
                atom = out.len();
                rest = take_class(rest, &mut out);
            }
            '(' => {
                groups.push(out.len());
                rest = take_group_start(rest, &mut out);
            }
            ')' => {
                atom = groups.pop().unwrap_or(out.len());
                out.push(')');
                rest = &rest[1..];
            }
            '{' => rest = take_interval(rest, atom, &mut out),
            '*' | '+' | '?' => {
                out.push(character);
                rest = &rest[1..];
            }
            _ => {
                atom = out.len();
                out.push(character);
                rest = &rest[character.len_utf8()..];
            }
        }
    }
    out
}

/// Takes `\x`, with its braces if it is a property.
fn take_escape<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let escaped = rest[1..].chars().next();
    let length = 1 + escaped.map_or(0, char::len_utf8);
    let end = match escaped {
        Some('p' | 'P' | 'x' | 'u') if rest[length..].starts_with('{') => {
            rest.find('}').map_or(rest.len(), |brace| brace + 1)
        }
        _ => length,
    };
    match escaped {
        Some('h') => out.push_str("[0-9A-Fa-f]"),
        Some('H') => out.push_str("[^0-9A-Fa-f]"),
        Some('w') => out.push_str(WORD),
        Some('W') => out.push_str(NO_WORD),
        _ => out.push_str(&rest[..end]),
    }
    &rest[end..]
}

/// Takes a class with the classes inside it.
fn take_class<'a>(mut rest: &'a str, out: &mut String) -> &'a str {
    let mut depth = 0;
    while let Some(character) = rest.chars().next() {
        if character == '\\' {
            rest = take_escape(rest, out);
            continue;
        }
        let posix = POSIX.iter().find(|(name, _)| depth > 0 && rest.starts_with(name));
        if let Some((name, class)) = posix {
            out.push_str(class);
            rest = &rest[name.len()..];
            continue;
        }
        match character {
            '[' => depth += 1,
            ']' => depth -= 1,
            '~' => out.push('\\'),
            _ => {}
        }
        out.push(character);
        rest = &rest[character.len_utf8()..];
        if depth == 0 {
            break;
        }
    }
    rest
}

/// Classes by name, which mean all of Unicode in Oniguruma and ASCII in `fancy-regex`.
const POSIX: &[(&str, &str)] = &[
    ("[:alpha:]", r"\p{Alphabetic}"),
    ("[:digit:]", r"\p{Nd}"),
    ("[:alnum:]", r"\p{Alphabetic}\p{Nd}"),
    ("[:space:]", r"\s"),
    ("[:upper:]", r"\p{Uppercase}"),
    ("[:lower:]", r"\p{Lowercase}"),
    ("[:punct:]", r"\p{P}\p{S}"),
    ("[:word:]", WORD),
];

/// Characters of words: with the fractions and powers of Latin-1, without joiners.
const WORD: &str = r"[[\w²³¹¼½¾]--[\u200c\u200d]]";
/// The others.
const NO_WORD: &str = r"[[^\w²³¹¼½¾]\u200c\u200d]";

/// Takes `(` with what tells its kind; flags before `:` or `)` are renamed.
fn take_group_start<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let flags = rest.strip_prefix("(?").map(|after| {
        let end = after.find(|flag| !matches!(flag, 'i' | 'm' | 'x' | '-')).unwrap_or(after.len());
        &after[..end]
    });
    let Some(flags) = flags.filter(|flags| !flags.is_empty()) else {
        out.push('(');
        return &rest[1..];
    };
    out.push_str("(?");
    out.push_str(&flags.replace('m', "s"));
    &rest[2 + flags.len()..]
}

/// Takes `{n,m}` after the atom that starts at `atom`; anything else in braces is text.
fn take_interval<'a>(rest: &'a str, atom: usize, out: &mut String) -> &'a str {
    let inside = rest.find('}').map(|end| &rest[1..end]);
    let is_bound = |bound: &str| bound.bytes().all(|byte| byte.is_ascii_digit());
    let Some(inside) = inside.filter(|inside| {
        let (least, most) = inside.split_once(',').unwrap_or((inside, "0"));
        is_bound(least) && is_bound(most) && inside.len() > usize::from(inside.contains(','))
    }) else {
        out.push_str("\\{");
        return &rest[1..];
    };
    let after = &rest[inside.len() + 2..];
    let least = if inside.starts_with(',') { "0" } else { "" };
    let interval = format!("{{{least}{inside}}}");
    match after.strip_prefix('+') {
        Some(after) => {
            out.insert_str(atom, "(?:");
            out.push_str(&interval);
            out.push_str(")+");
            after
        }
        None => {
            out.push_str(&interval);
            after
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_oniguruma_are_rewritten() {
        let pairs = [
            (r"\p{N}{1,3}+|a", r"(?m)(?:\p{N}{1,3})+|a"),
            (r"(a|b){2}+", r"(?m)(?:(a|b){2})+"),
            (r"x{,2}", r"(?m)x{0,2}"),
            (r"{a}", r"(?m)\{a}"),
            (r"[\]a-z~[:alpha:]]+", r"(?m)[\]a-z\~\p{Alphabetic}]+"),
            (r"(?mi:.)(?=\h)", r"(?m)(?si:.)(?=[0-9A-Fa-f])"),
            (r"[^\s[a]&&[^b]]", r"(?m)[^\s[a]&&[^b]]"),
        ];
        for (source, expected) in pairs {
            assert_eq!(translate(source), expected);
            Regex::new(expected).expect("an expression");
        }
    }

    #[test]
    fn a_search_of_exponential_cost_is_given_up_and_counted() {
        let left_out = Arc::new(LeftOut::default());
        let expression = Expression::new("f", r"(?=(x+x+)+y)\1", &left_out).expect("compiles");
        let mut found = 0;
        expression.for_each_match(&"x".repeat(40), |_, _| found += 1);
        assert_eq!((found, left_out.searches()), (0, 1));
    }
}
