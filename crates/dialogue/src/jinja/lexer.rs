//! Tokens of a template, cut as Jinja2 cuts them with `trim_blocks` and `lstrip_blocks`: white-space
//! control, comments, raw text, numbers, Python's string escapes. Builds no tree.

use std::str::FromStr as _;

use num_bigint::BigInt;

use super::fault::{Fault, Result};
use super::words::{is_space, is_word, trim_end};

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Data(String),
    BlockBegin,
    BlockEnd,
    VariableBegin,
    VariableEnd,
    Name(String),
    Str(String),
    Int(BigInt),
    Float(f64),
    Sign(&'static str),
    End,
}

/// Signs, the longer first.
const SIGNS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",", ";",
];

/// The tokens of a template, each with its line.
///
/// # Errors
/// What is no token.
pub(crate) fn tokens(source: &str) -> Result<Vec<(usize, Token)>> {
    let mut text = source.replace("\r\n", "\n").replace('\r', "\n");
    if text.ends_with('\n') {
        text.pop();
    }
    let mut lexer = Lexer { text: &text, at: 0, line: 1, counted: 0, out: Vec::new() };
    lexer.run()?;
    let line = lexer.line();
    let mut out = lexer.out;
    out.push((line, Token::End));
    Ok(out)
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    /// Up to where line ends are counted in `line`.
    counted: usize,
    out: Vec<(usize, Token)>,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn line(&mut self) -> usize {
        self.line += self.text[self.counted..self.at].matches('\n').count();
        self.counted = self.at;
        self.line
    }

    fn push(&mut self, token: Token) {
        let line = self.line();
        self.out.push((line, token));
    }

    fn error(&mut self, message: impl Into<String>) -> Fault {
        let line = self.line();
        Fault::syntax(line, message)
    }

    /// Passes white space.
    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(is_space).len();
    }

    fn run(&mut self) -> Result<()> {
        while !self.rest().is_empty() {
            let rest = self.rest();
            let openers = ["{%", "{{", "{#"].iter().filter_map(|opener| rest.find(opener));
            let Some(begin) = openers.min() else {
                self.push(Token::Data(rest.to_owned()));
                self.at = self.text.len();
                break;
            };
            let opener = &rest[begin..begin + 2];
            let after = &rest[begin + 2..];
            let sign = after.chars().next().filter(|&c| c == '-' || c == '+');
            let line_starts = self.at == 0 || self.text[..self.at].ends_with('\n');
            let data = stripped(&rest[..begin], sign, opener != "{{", line_starts);
            if !data.is_empty() {
                self.push(Token::Data(data.to_owned()));
            }
            self.at += begin + 2 + usize::from(sign.is_some());
            match opener {
                "{#" => self.comment()?,
                "{{" => {
                    self.push(Token::VariableBegin);
                    self.code(true)?;
                }
                _ => match self.raw_begin() {
                    Some(end) => {
                        self.at = end;
                        self.raw()?;
                    }
                    None => {
                        self.push(Token::BlockBegin);
                        self.code(false)?;
                    }
                },
            }
        }
        Ok(())
    }

    fn comment(&mut self) -> Result<()> {
        let rest = self.rest();
        if rest.is_empty() {
            return Ok(());
        }
        let Some(close) = rest.find("#}") else {
            return Err(self.error("missing end of comment tag"));
        };
        let sign = rest[..close].chars().next_back();
        self.at += close + 2;
        self.after_close(sign);
        Ok(())
    }

    /// What the end of a block or comment takes with it.
    fn after_close(&mut self, sign: Option<char>) {
        match sign {
            Some('-') => self.skip_space(),
            Some('+') => {}
            _ => self.at += usize::from(self.rest().starts_with('\n')),
        }
    }

    /// The end of a `raw` tag whose beginning was just read.
    fn raw_begin(&self) -> Option<usize> {
        let rest = self.rest().trim_start_matches(is_space);
        let rest = rest.strip_prefix("raw")?.trim_start_matches(is_space);
        let rest = match rest.strip_prefix("-%}") {
            Some(rest) => rest.trim_start_matches(is_space),
            None => rest.strip_prefix("%}")?,
        };
        Some(self.text.len() - rest.len())
    }

    fn raw(&mut self) -> Result<()> {
        let rest = self.rest();
        let line_starts = self.at == 0 || self.text[..self.at].ends_with('\n');
        for (begin, _) in rest.match_indices("{%") {
            let after = &rest[begin + 2..];
            let sign = after.chars().next().filter(|&c| c == '-' || c == '+');
            let after = &after[usize::from(sign.is_some())..];
            let Some(after) = after.trim_start_matches(is_space).strip_prefix("endraw") else {
                continue;
            };
            let after = after.trim_start_matches(is_space);
            let close_sign = after.chars().next().filter(|&c| c == '-' || c == '+');
            let Some(after) = after[usize::from(close_sign.is_some())..].strip_prefix("%}") else {
                continue;
            };
            let data = stripped(&rest[..begin], sign, true, line_starts);
            if !data.is_empty() {
                self.push(Token::Data(data.to_owned()));
            }
            self.at = self.text.len() - after.len();
            self.after_close(close_sign);
            return Ok(());
        }
        Err(self.error("missing end of raw directive"))
    }

    /// Tokens of a block or an expression, up to its end.
    fn code(&mut self, variable: bool) -> Result<()> {
        let close = if variable { "}}" } else { "%}" };
        let mut open: Vec<char> = Vec::new();
        loop {
            let rest = self.rest();
            let Some(first) = rest.chars().next() else { return Ok(()) };
            if open.is_empty() {
                let signed = first == '-' || (first == '+' && !variable);
                let sign = signed.then_some(first);
                if rest[usize::from(signed)..].starts_with(close) {
                    self.push(if variable { Token::VariableEnd } else { Token::BlockEnd });
                    self.at += 2 + usize::from(signed);
                    match sign {
                        None if variable => {}
                        sign => self.after_close(sign),
                    }
                    return Ok(());
                }
            }
            if is_space(first) {
                self.skip_space();
            } else if first.is_ascii_digit() {
                self.number()?;
            } else if is_word(first) {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                let name = &rest[..end];
                if !name.starts_with(|c: char| c == '_' || c.is_alphabetic()) {
                    return Err(self.error("invalid character in identifier"));
                }
                self.push(Token::Name(name.to_owned()));
                self.at += end;
            } else if first == '\'' || first == '"' {
                self.string(first)?;
            } else {
                self.sign(&mut open)?;
            }
        }
    }

    fn sign(&mut self, open: &mut Vec<char>) -> Result<()> {
        let rest = self.rest();
        let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) else {
            let found = rest.chars().next().unwrap_or_default();
            return Err(self.error(format!("unexpected character {found:?}")));
        };
        match sign {
            "{" => open.push('}'),
            "(" => open.push(')'),
            "[" => open.push(']'),
            "}" | ")" | "]" => match open.pop() {
                Some(expected) if sign.starts_with(expected) => {}
                Some(expected) => {
                    return Err(self.error(format!("unexpected '{sign}', expected '{expected}'")));
                }
                None => return Err(self.error(format!("unexpected '{sign}'"))),
            },
            _ => {}
        }
        self.push(Token::Sign(sign));
        self.at += sign.len();
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        let rest = self.rest();
        let after_dot = self.text[..self.at].ends_with('.');
        if !after_dot && let Some(length) = float_length(rest) {
            let text = rest[..length].replace('_', "");
            let value = f64::from_str(&text).unwrap_or(f64::NAN);
            self.push(Token::Float(value));
            self.at += length;
            return Ok(());
        }
        let bytes = rest.as_bytes();
        let radix = match bytes.get(1).map(u8::to_ascii_lowercase) {
            Some(b'b') if bytes[0] == b'0' => 2,
            Some(b'o') if bytes[0] == b'0' => 8,
            Some(b'x') if bytes[0] == b'0' => 16,
            _ => 10,
        };
        let is_digit = |c: char| c.is_digit(radix);
        let prefixed = if radix == 10 { 0 } else { digits_length(&rest[2..], true, is_digit) };
        let (digits, length) = if prefixed > 0 {
            (&rest[2..2 + prefixed], 2 + prefixed)
        } else if bytes[0] == b'0' {
            let length = digits_length(rest, false, |c| c == '0');
            (&rest[..length], length)
        } else {
            let length = digits_length(rest, false, |c| c.is_ascii_digit());
            (&rest[..length], length)
        };
        let radix = if prefixed > 0 { radix } else { 10 };
        if length > super::limits::MAX_DIGITS {
            return Err(self.error("an integer of more than 4300 digits"));
        }
        let value = BigInt::parse_bytes(digits.replace('_', "").as_bytes(), radix);
        self.push(Token::Int(value.unwrap_or_default()));
        self.at += length;
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<()> {
        let rest = self.rest();
        let mut escaped = false;
        let end = rest[1..].char_indices().find_map(|(at, c)| {
            let closes = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            closes.then_some(at + 1)
        });
        let Some(end) = end else {
            return Err(
                self.error(format!("unexpected character {quote:?}: the string has no end"))
            );
        };
        let value = unescaped(&rest[1..end]).map_err(|message| self.error(message))?;
        self.push(Token::Str(value));
        self.at += end + 1;
        Ok(())
    }
}

/// Text before a tag without the white space that the tag takes with it.
fn stripped(text: &str, sign: Option<char>, block: bool, line_starts: bool) -> &str {
    match sign {
        Some('-') => trim_end(text),
        None if block => {
            let line = text.rfind('\n').map_or(0, |at| at + 1);
            let blank = line < text.len() && text[line..].chars().all(is_space);
            if blank && (line > 0 || line_starts) { &text[..line] } else { text }
        }
        _ => text,
    }
}

/// Bytes of digits with single underscores between them, before them too if `leading`.
fn digits_length(text: &str, leading: bool, is_digit: impl Fn(char) -> bool) -> usize {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(|&byte| is_digit(char::from(byte)));
    let mut length = 0;
    loop {
        let underscore = bytes.get(length) == Some(&b'_') && (length > 0 || leading);
        if digit(length) {
            length += 1;
        } else if underscore && digit(length + 1) {
            length += 2;
        } else {
            return length;
        }
    }
}

/// Bytes of a number with a fraction or an exponent at the beginning of `text`.
fn float_length(text: &str) -> Option<usize> {
    let digits = |text: &str| digits_length(text, false, |c| c.is_ascii_digit());
    let whole = digits(text);
    let fraction = match text[whole..].strip_prefix('.').map(digits) {
        Some(length) if length > 0 => length + 1,
        _ => 0,
    };
    let mantissa = whole + fraction;
    let rest = &text[mantissa..];
    if let Some(rest) = rest.strip_prefix(['e', 'E']) {
        let signed = usize::from(rest.starts_with(['+', '-']));
        let exponent = digits(&rest[signed..]);
        if exponent > 0 {
            return Some(mantissa + 1 + signed + exponent);
        }
    }
    (fraction > 0).then_some(mantissa)
}

/// A string literal's value: the escapes of Python.
fn unescaped(text: &str) -> std::result::Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let Some(kind) = chars.next() else { return Err("\\ at end of string".into()) };
        let mut hex = |digits: usize| {
            let text: String = chars.by_ref().take(digits).collect();
            let whole = text.len() == digits && text.chars().all(|c| c.is_ascii_hexdigit());
            let code = u32::from_str_radix(&text, 16).ok().filter(|_| whole);
            let code = code.ok_or_else(|| format!("truncated \\{kind} escape"))?;
            char::from_u32(code).ok_or_else(|| format!("\\{kind} escape of no character"))
        };
        match kind {
            '\n' => {}
            '\\' | '\'' | '"' => out.push(kind),
            'a' => out.push('\x07'),
            'b' => out.push('\x08'),
            'f' => out.push('\x0c'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'v' => out.push('\x0b'),
            'x' => out.push(hex(2)?),
            'u' => out.push(hex(4)?),
            'U' => out.push(hex(8)?),
            'N' => return Err("\\N escapes of characters by name are not supported".into()),
            '0'..='7' => {
                let mut code = kind.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = chars.clone().next().and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    code = code * 8 + digit;
                    chars.next();
                }
                out.extend(char::from_u32(code));
            }
            // Jinja2 writes other alphabets as escapes before it reads escapes.
            c if !c.is_ascii() => {
                let code = c as u32;
                out.push('\\');
                out.push_str(&match code {
                    ..=0xff => format!("x{code:02x}"),
                    0x100..=0xffff => format!("u{code:04x}"),
                    _ => format!("U{code:08x}"),
                });
            }
            c => out.extend(['\\', c]),
        }
    }
    Ok(out)
}
