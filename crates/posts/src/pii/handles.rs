//! Names of accounts: `@name` of X, Instagram, Threads, TikTok, Telegram; `@name@server` of the fediverse;
//! `@name.domain` of Bluesky; `u/name` of Reddit; `@名字` of Weibo.
//!
//! A name that begins with a letter of Han runs as that network reads it, to the next sign or space, and
//! only in a text without kana: in Japanese an `@` before such letters names a place (`ライブ@渋谷`).
//!
//! Broader than what a network links, on purpose: a name that is cut leaves its rest in the text. Words
//! of code that begin with `@` are no names.

use super::Account;
use super::borders::is_latin;
use super::domains::domain_bytes;
use unicode_script::{Script, UnicodeScript as _};

/// Words after `@` in code, style sheets, documentation and package names.
const CODE: &[&str] = &[
    "abstractmethod",
    "aftereach",
    "angular",
    "apollo",
    "app",
    "apply",
    "appstorage",
    "author",
    "autowired",
    "aws-sdk",
    "azure",
    "babel",
    "bean",
    "before",
    "beforeeach",
    "binding",
    "builtin",
    "cached_property",
    "charset",
    "classmethod",
    "click",
    "component",
    "composable",
    "contextmanager",
    "controller",
    "counter-style",
    "dataclass",
    "deletemapping",
    "deprecated",
    "directive",
    "discardableresult",
    "dynamicMemberLookup",
    "elseif",
    "emotion",
    "endforeach",
    "endif",
    "environmentobject",
    "escaping",
    "eslint",
    "extend",
    "fixture",
    "font-face",
    "foreach",
    "forelse",
    "functionalinterface",
    "functools",
    "generatedvalue",
    "getmapping",
    "google-cloud",
    "import",
    "include",
    "injectable",
    "inlinable",
    "interface",
    "jest",
    "jsonproperty",
    "jvmstatic",
    "keyframes",
    "layer",
    "lru_cache",
    "main",
    "mainactor",
    "media",
    "mixin",
    "mui",
    "namespace",
    "nestjs",
    "ngmodule",
    "nonnull",
    "notnull",
    "nullable",
    "nuxt",
    "objc",
    "objcmembers",
    "observedobject",
    "octokit",
    "override",
    "page",
    "param",
    "pathvariable",
    "postmapping",
    "prisma",
    "property",
    "published",
    "putmapping",
    "pytest",
    "react",
    "reduxjs",
    "requestbody",
    "requestmapping",
    "restcontroller",
    "return",
    "returns",
    "rollup",
    "safevarargs",
    "see",
    "since",
    "springbootapplication",
    "starting-style",
    "stateobject",
    "staticmethod",
    "storybook",
    "supports",
    "suppresswarnings",
    "sveltejs",
    "swc",
    "tailwind",
    "tanstack",
    "test",
    "testing-library",
    "throws",
    "transactional",
    "types",
    "typescript-eslint",
    "value",
    "vercel",
    "viewbuilder",
    "viewchild",
    "vite",
    "vitest",
    "vue",
];

/// What stands after `@@` in queries.
const SYSTEM: [&str; 9] = [
    "version",
    "rowcount",
    "identity",
    "error",
    "servername",
    "trancount",
    "fetch_status",
    "global",
    "session",
];

/// What stands before a declaration of code.
const MODIFIERS: [&str; 8] =
    ["private", "public", "protected", "internal", "fileprivate", "static", "final", "override"];

/// What stands after `u/` in units.
const UNITS: [&str; 2] = ["min", "sec"];

/// Longest name after `u/` (Reddit's limit), and shortest.
const REDDIT_NAME: std::ops::RangeInclusive<usize> = 3..=20;

/// All handles, in order.
pub(super) fn handles(text: &str) -> Vec<Account> {
    let mut found: Vec<Account> = Vec::new();
    for (at, sign) in text.match_indices(['@', '/']) {
        if found.last().is_some_and(|last| at < last.range.end) {
            continue;
        }
        let account = match sign {
            "@" => mention(text, at).or_else(|| han_mention(text, at)),
            _ => reddit(text, at),
        };
        let Some(mut account) = account else { continue };
        // `@u/name` is one handle, though `@u` alone would be another.
        if let Some(last) = found.pop_if(|last| account.range.start < last.range.end) {
            account.range.start = last.range.start;
        }
        found.push(account);
    }
    found
}

/// The handle whose sign stands at `at`.
fn mention(text: &str, at: usize) -> Option<Account> {
    // Of several signs in a row the last one names.
    if text[..at].trim_end_matches('@').ends_with(is_name) {
        return None;
    }
    let name = at + 1;
    let first = label_end(text, name);
    let mut end = first;
    while let Some(next) = continues(text, end) {
        end = next;
    }
    // Faces are made of signs alone: `@_@`.
    if !text[name..end].contains(char::is_alphanumeric) {
        return None;
    }
    let rest = &text[end..];
    if let Some(server) = rest.strip_prefix('@') {
        let bytes = domain_bytes(server).unwrap_or_else(|| label_end(server, 0));
        let end = if bytes > 0 { end + 1 + bytes } else { end };
        return Some(Account { range: at..end, name: text[name..end].to_string() });
    }
    if let Some(domain) = domain_bytes(&text[name..]) {
        end = end.max(name + domain);
    }
    let code = |name: &str| CODE.iter().any(|word| word.eq_ignore_ascii_case(name));
    // A call of code has one dot mostly, and ends in no domain: `@app.route(`.
    let host = text[name..end].matches('.').count() > 1 && domain_bytes(&text[name..]).is_some();
    let is_code = code(&text[name..first])
        || end > first && (code(&text[name..end]) || rest.starts_with('(') && !host);
    let is_code = is_code
        || text[..at].ends_with('@') && SYSTEM.contains(&&*text[name..end].to_ascii_lowercase())
        || declares(rest);
    (!is_code && !is_figure(&text[name..end]))
        .then(|| Account { range: at..end, name: text[name..end].to_string() })
}

/// Whether code is declared after a name, which annotates it: `@State private var n`, `@Tiny fun a()`. Keywords that
/// are words of a sentence too need the sign that code puts there (`@ann fun (really)`).
fn declares(rest: &str) -> bool {
    if !rest.starts_with([' ', '\n']) {
        return false;
    }
    let mut words = rest.split_whitespace().peekable();
    let mut modifiers = 0;
    while words.next_if(|word| MODIFIERS.contains(word)).is_some() {
        modifiers += 1;
    }
    let mut next = || words.next().unwrap_or_default();
    let (keyword, name, then) = (next(), next(), next());
    let named = name.starts_with(char::is_alphabetic);
    let called = named && name.contains('(');
    match keyword {
        "var" | "let" | "val" => named && (modifiers > 0 || then == "="),
        "func" | "fun" | "fn" | "void" => called,
        "class" | "struct" => named && (then.starts_with('{') || name.ends_with('{')),
        _ => modifiers > 1,
    }
}

/// Letters of a name in Han: four to thirty units, of which such a letter is two (Weibo's limits).
const HAN_NAME: std::ops::RangeInclusive<usize> = 4..=30;

/// The handle in letters of Han whose sign stands at `at`.
fn han_mention(text: &str, at: usize) -> Option<Account> {
    let name = text[at + 1..].split(|letter| !is_han_name(letter)).next()?;
    let units: usize = name.chars().map(|letter| 1 + usize::from(!letter.is_ascii())).sum();
    let named = name.starts_with(is_han)
        && HAN_NAME.contains(&units)
        && !text[..at].ends_with(is_name)
        && !text.contains(is_kana);
    named.then(|| Account { range: at..at + 1 + name.len(), name: name.to_string() })
}

fn is_han(letter: char) -> bool {
    !letter.is_ascii() && letter.is_alphabetic() && letter.script() == Script::Han
}

fn is_kana(letter: char) -> bool {
    !letter.is_ascii() && matches!(letter.script(), Script::Hiragana | Script::Katakana)
}

fn is_han_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-') || is_han(letter)
}

/// Sizes of pictures, hours, years: `@2x`, `@5pm`, `@18h`, `@2024`. Names that begin with a digit are not
/// (`@4H`, `@92Y`).
fn is_figure(name: &str) -> bool {
    let unit = name.trim_start_matches(|digit: char| digit.is_ascii_digit());
    name.len() < 5 && unit.len() < name.len() && ["", "x", "h", "am", "pm"].contains(&unit)
}

/// What names are made of.
fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || !letter.is_ascii() && is_latin(letter)
}

fn label_end(text: &str, start: usize) -> usize {
    let rest = &text[start..];
    start + rest.find(|letter| !is_name(letter)).unwrap_or(rest.len())
}

/// Where a name ends that continues at `at` after a dot or a hyphen. A capital after a dot begins a
/// sentence.
fn continues(text: &str, at: usize) -> Option<usize> {
    let sign = text[at..].chars().next().filter(|sign| matches!(sign, '.' | '-'))?;
    let next = text[at + 1..].chars().next().filter(|&letter| is_name(letter))?;
    (sign == '-' || !next.is_uppercase()).then(|| label_end(text, at + 1))
}

/// The `u/name` or `/u/name` whose last slash stands at `at`.
fn reddit(text: &str, at: usize) -> Option<Account> {
    let before = text[..at].strip_suffix('u')?;
    let before = before.strip_suffix('/').unwrap_or(before);
    if before.ends_with(|letter| is_name(letter) || matches!(letter, '/' | '.' | '-')) {
        return None;
    }
    let name = &text[at + 1..];
    let bytes = name
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        .count();
    let known = REDDIT_NAME.contains(&bytes) && !UNITS.contains(&&name[..bytes]);
    let ends = !name[bytes..].starts_with('/');
    (known && ends)
        .then(|| Account { range: before.len()..at + 1 + bytes, name: name[..bytes].to_string() })
}
