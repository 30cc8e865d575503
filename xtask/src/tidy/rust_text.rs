//! Tells code from comments and literals, line by line, so that rules about words do not trip over
//! text that merely mentions them. It lexes only as far as that needs; it is not a parser.

/// One source line, cut into what the compiler runs and what it skips.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Code, with string and character literals emptied.
    pub code: String,
    /// Text of comments, without their delimiters' line breaks.
    pub comment: String,
}

enum State {
    Code,
    LineComment,
    /// Rust's block comments nest.
    BlockComment(usize),
    Text,
    /// Closed by a quote and this many hashes.
    RawText(usize),
}

/// Splits `source` into lines of code and comment.
pub fn lines(source: &str) -> Vec<Line> {
    let chars: Vec<char> = source.chars().collect();
    let mut lines = vec![Line::default()];
    let mut state = State::Code;
    let mut at = 0;
    while at < chars.len() {
        let here = chars[at];
        let next = chars.get(at + 1).copied();
        if here == '\n' {
            if matches!(state, State::LineComment) {
                state = State::Code;
            }
            lines.push(Line::default());
            at += 1;
            continue;
        }
        let line = lines.last_mut().expect("there is always a current line");
        match state {
            State::Code => {
                let (new_state, taken) = step_in_code(&chars, at, line);
                state = new_state;
                at += taken;
            }
            State::LineComment => {
                line.comment.push(here);
                at += 1;
            }
            State::BlockComment(depth) => match (here, next) {
                ('*', Some('/')) => {
                    state = if depth == 1 { State::Code } else { State::BlockComment(depth - 1) };
                    at += 2;
                }
                ('/', Some('*')) => {
                    state = State::BlockComment(depth + 1);
                    at += 2;
                }
                _ => {
                    line.comment.push(here);
                    at += 1;
                }
            },
            State::Text => match here {
                // A line break may follow the backslash: it must still count as a line.
                '\\' if next != Some('\n') => at += 2,
                '"' => {
                    line.code.push('"');
                    state = State::Code;
                    at += 1;
                }
                _ => at += 1,
            },
            State::RawText(hashes) => {
                let closes = here == '"' && (1..=hashes).all(|i| chars.get(at + i) == Some(&'#'));
                if closes {
                    line.code.push('"');
                    state = State::Code;
                    at += 1 + hashes;
                } else {
                    at += 1;
                }
            }
        }
    }
    lines
}

/// Consumes what starts at `at` in code: returns the next state and the characters taken.
fn step_in_code(chars: &[char], at: usize, line: &mut Line) -> (State, usize) {
    let here = chars[at];
    let next = chars.get(at + 1).copied();
    match (here, next) {
        ('/', Some('/')) => {
            line.comment.push_str("//");
            (State::LineComment, 2)
        }
        ('/', Some('*')) => (State::BlockComment(1), 2),
        ('"', _) => {
            line.code.push('"');
            (State::Text, 1)
        }
        ('r', _) if !continues_a_word(chars, at) => match raw_text_hashes(chars, at + 1) {
            Some(hashes) => {
                line.code.push('"');
                (State::RawText(hashes), 2 + hashes)
            }
            None => {
                line.code.push(here);
                (State::Code, 1)
            }
        },
        ('\'', _) => match char_literal_length(chars, at) {
            Some(length) => {
                line.code.push_str("''");
                (State::Code, length)
            }
            // A lifetime.
            None => {
                line.code.push(here);
                (State::Code, 1)
            }
        },
        _ => {
            line.code.push(here);
            (State::Code, 1)
        }
    }
}

/// Whether `chars[at]` is the inside of a word. `b` and `c` before `r` are literal prefixes.
fn continues_a_word(chars: &[char], at: usize) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    match at.checked_sub(1).map(|before| chars[before]) {
        Some('b' | 'c') => at.checked_sub(2).is_some_and(|before| is_word(chars[before])),
        Some(before) => is_word(before),
        None => false,
    }
}

/// After an `r`: the number of hashes when a raw string starts there.
fn raw_text_hashes(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    (chars.get(at + hashes) == Some(&'"')).then_some(hashes)
}

/// The length of the character literal at `at`, or nothing when it is a lifetime.
fn char_literal_length(chars: &[char], at: usize) -> Option<usize> {
    if chars.get(at + 1) == Some(&'\\') {
        // The escaped character itself may be a quote: look for the closing one after it.
        let close = chars.get(at + 3..)?.iter().take(10).position(|c| *c == '\'')?;
        return Some(close + 4);
    }
    (chars.get(at + 2) == Some(&'\'')).then_some(3)
}

/// Whether `code` contains `word` standing alone.
pub fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(start, _)| {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let before = code[..start].chars().next_back();
        let after = code[start + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(source: &str) -> Vec<String> {
        lines(source).into_iter().map(|line| line.code).collect()
    }

    #[test]
    fn literals_and_comments_are_not_code() {
        assert_eq!(code("let a = \"unsafe // \\\" x\"; // unsafe"), ["let a = \"\"; "]);
        assert_eq!(code("let a = r#\"un\"safe\"#; f()"), ["let a = \"\"; f()"]);
        assert_eq!(code("let a = br\"x\"; b"), ["let a = b\"\"; b"]);
        assert_eq!(code("a /* one /* two */ still\n */ b"), ["a ", " b"]);
        assert_eq!(
            code("fn f<'a>(x: &'a str) { '\\'' ; '\"' }"),
            ["fn f<'a>(x: &'a str) { '' ; '' }"]
        );
        assert_eq!(code("let r = for_r; r"), ["let r = for_r; r"]);
    }

    #[test]
    fn line_numbers_survive_literals_over_several_lines() {
        let found = code("let a = \"x\\\n  y\n\";\nlast");
        assert_eq!(found, ["let a = \"", "", "\";", "last"]);
    }

    #[test]
    fn comments_are_kept_apart() {
        let found = lines("f(); // why\n/* block */ g();");
        assert_eq!(found[0].comment, "// why");
        assert_eq!(found[1].comment, " block ");
        assert_eq!(found[1].code, " g();");
    }

    #[test]
    fn words_stand_alone() {
        assert!(has_word("unsafe { x }", "unsafe"));
        assert!(!has_word("unsafe_code", "unsafe"));
    }
}
