//! E-mail addresses (RFC 5321, 6531): quoted local parts, apostrophes, letters of every script, and those
//! whose signs are spelled out (`ann [at] example [dot] org`).
//!
//! A word for `@` counts in brackets, or as `AT` in capitals with `DOT` after it. Without either it is a
//! word of the sentence (`look at example dot com`).

use super::borders::{is_latin, is_unspaced};
use super::domains::{domain_bytes, is_mark};
use std::ops::Range;
use unicode_script::{Script, UnicodeScript as _};

/// Longest local part and address (RFC 5321, section 4.5.3.1).
const MAX_LOCAL: usize = 64;
const MAX_ADDRESS: usize = 254;

/// Accounts of services, by which programs name places: `git@server:path`.
const SERVICES: [&str; 4] = ["git", "hg", "svn", "cvs"];

/// E-mail addresses under existing or reserved top-level domains. `@name@server` is a handle.
pub(super) fn emails(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices('@') {
        let from = found.last().map_or(0, |last| last.end);
        let start = if at > from { from + local_start(&text[from..at]) } else { at };
        if start == at || text[..start].ends_with('@') || text[..at].ends_with('.') {
            continue;
        }
        let Some(domain) = domain_bytes(&text[at + 1..]) else { continue };
        if !belong_together(&text[start..at], &text[at + 1..]) {
            continue;
        }
        let end = at + 1 + domain;
        // `_ann@example.org_` is emphasis.
        let emphasised = text[start..].starts_with('_') && text[end..].starts_with('_');
        let start = start + usize::from(emphasised);
        let service = SERVICES.contains(&&text[start..at]);
        if end - start <= MAX_ADDRESS && !service {
            found.push(start..end);
        }
    }
    found
}

/// Words for `@`, and for the dot, in the languages of posts.
const AT: &[&str] = &[
    "at",
    "@",
    "ät",
    "æt",
    "et",
    "arroba",
    "arobase",
    "arobas",
    "chez",
    "chiocciola",
    "małpa",
    "małpka",
    "zavináč",
    "zavinac",
    "kukac",
    "snabel-a",
    "snabela",
    "krøllalfa",
    "apenstaartje",
    "klammeraffe",
    "собака",
    "собачка",
    "эт",
    "ет",
    "ат",
    "равлик",
    "кльомба",
    "آت",
    "أت",
    "ات",
    "ایٹ",
    "שטרודל",
    "כרוכית",
    "ऐट",
    "एट",
    "अॅट",
    "แอท",
    "แอ็ท",
    "แอต",
    "艾特",
    "小老鼠",
    "アット",
    "アットマーク",
    "あっと",
    "골뱅이",
    "앳",
    "엣",
];
const DOT: &[&str] = &[
    "dot",
    ".",
    "punkt",
    "punto",
    "point",
    "ponto",
    "kropka",
    "tečka",
    "tecka",
    "bodka",
    "pont",
    "prikk",
    "piste",
    "titik",
    "точка",
    "крапка",
    "кропка",
    "дот",
    "nokta",
    "نقطة",
    "نقطه",
    "دوت",
    "ڈاٹ",
    "נקודה",
    "डॉट",
    "จุด",
    "ดอท",
    "点",
    "點",
    "ドット",
    "どっと",
    "점",
    "닷",
];
/// Brackets around such words.
pub(super) const BRACKETS: [(char, char); 5] =
    [('[', ']'), ('(', ')'), ('{', '}'), ('<', '>'), ('【', '】')];

/// Addresses whose signs are spelled out, under existing or reserved top-level domains.
pub(super) fn spelled(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let signs = text.match_indices(BRACKETS.map(|(open, _)| open)).map(|(at, _)| at);
    let capitals = text.match_indices(" AT ").map(|(at, _)| at + 1);
    let mut places: Vec<usize> = signs.chain(capitals).collect();
    places.sort_unstable();
    for at in places {
        let from = found.last().map_or(0, |last| last.end);
        if at < from {
            continue;
        }
        let Some((host, in_brackets)) = sign_end(&text[at..], AT, &["AT"]) else { continue };
        let local = text[from..at].trim_end_matches(' ');
        let start = from + local_start(local);
        let Some(end) = spelled_domain(text, at + host, !in_brackets) else { continue };
        if start < from + local.len() && end - start <= MAX_ADDRESS {
            found.push(start..end);
        }
    }
    found
}

/// Bytes of a spelled-out sign that `text` begins with, and whether it stands in brackets; without them
/// it is `bare`, and a space follows.
fn sign_end(text: &str, words: &[&str], bare: &[&str]) -> Option<(usize, bool)> {
    let first = text.chars().next()?;
    if let Some((_, close)) = BRACKETS.iter().find(|(open, _)| *open == first) {
        let inner = &text[first.len_utf8()..];
        let end = inner.find(*close)?;
        let word = inner[..end].trim().to_lowercase();
        let bytes = first.len_utf8() + end + close.len_utf8();
        return words.contains(&word.as_str()).then_some((bytes, true));
    }
    let spaced = |word: &&&str| text.strip_prefix(**word).is_some_and(|rest| rest.starts_with(' '));
    bare.iter().find(spaced).map(|word| (word.len(), false))
}

/// Where the domain ends that stands at `start`, its dots spelled out or not. After an `AT` in capitals
/// every one is a `DOT`.
fn spelled_domain(text: &str, start: usize, capitals: bool) -> Option<usize> {
    let bare: &[&str] = if capitals { &["DOT"] } else { DOT };
    let mut domain = String::new();
    let mut ends = Vec::new();
    let mut at = start;
    loop {
        at += text[at..].len() - text[at..].trim_start_matches(' ').len();
        let label = text[at..]
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            .count();
        if label == 0 {
            break;
        }
        domain.push_str(&text[at..at + label]);
        at += label;
        ends.push((domain.len(), at));
        let space = text[at..].len() - text[at..].trim_start_matches(' ').len();
        let dot = match text[at + space..].starts_with('.') {
            true if space == 0 && !capitals => Some(1),
            true => None,
            false => sign_end(&text[at + space..], DOT, bare).map(|(bytes, _)| bytes),
        };
        let Some(dot) = dot else { break };
        domain.push('.');
        at += space + dot;
    }
    let bytes = domain_bytes(&domain)?;
    ends.iter().find(|(length, _)| *length == bytes).map(|(_, end)| *end)
}

/// Whether what stands before an `@` is no word of the sentence before a handle (`ดู@name.example.org`):
/// letters of a script without spaces write to a domain of their own script, a hyphen after letters
/// of another script joins a prefix, and one or two letters of Hebrew or Arabic are one.
fn belong_together(local: &str, domain: &str) -> bool {
    let last = local.chars().rev().find(|letter| letter.is_alphabetic() || is_mark(*letter));
    let Some(last) = last.filter(|&letter| !is_latin(letter)) else { return true };
    let ascii = domain.starts_with(|letter: char| letter.is_ascii());
    let prefix =
        || matches!(last.script(), Script::Hebrew | Script::Arabic) && local.chars().count() <= 2;
    !(local.ends_with('-') || ascii && (is_unspaced(last.script()) || prefix()))
}

/// Where the local part begins that `text` ends with; its end where there is none.
fn local_start(text: &str) -> usize {
    if let Some(inner) = text.strip_suffix('"') {
        return quoted_start(inner).unwrap_or(text.len());
    }
    let mut script = None;
    let mut digits = false;
    let mut start = text.len();
    for (at, letter) in text.char_indices().rev() {
        if text.len() - at > MAX_LOCAL {
            break;
        }
        let belongs = match letter {
            '0'..='9' => {
                digits = true;
                true
            }
            _ if letter.is_ascii_punctuation() => is_local_sign(letter),
            // Apostrophes as keyboards and word processors put them.
            '\u{2bc}' | '\u{2019}' => true,
            _ if letter.is_alphanumeric() || is_mark(letter) => {
                let found = if is_latin(letter) { Script::Latin } else { letter.script() };
                let same =
                    script.is_none_or(|script| script == found || found == Script::Inherited);
                // Digits end what stands before them where words have no spaces.
                let begins = script.is_none() && digits && is_unspaced(found);
                if found != Script::Inherited {
                    script = Some(found);
                }
                same && !begins
            }
            _ => false,
        };
        if !belongs {
            break;
        }
        start = at;
    }
    let local = &text[start..];
    // A hyphen joins a prefix of one or two letters to what stands after it in digits or other letters.
    let prefixed = |(prefix, rest): &(&str, &str)| {
        let of_prefix = |letter: char| matches!(letter.script(), Script::Hebrew | Script::Arabic);
        prefix.chars().count() <= 2 && prefix.chars().all(of_prefix) && !rest.contains(of_prefix)
    };
    let local = local.split_once('-').filter(prefixed).map_or(local, |(_, rest)| rest);
    let sign = |sign: char| !sign.is_alphanumeric() && sign != '_';
    let local = local.trim_start_matches(sign);
    let named = local.contains(char::is_alphanumeric);
    if named { text.len() - local.len() } else { text.len() }
}

/// Signs of a local part. Those of addresses (URL) and of markup are left out: `/ = ? { | }` and the
/// grave accent.
fn is_local_sign(sign: char) -> bool {
    ".!#$%&'*+-^_~".contains(sign)
}

/// Where the quotation mark stands that opens a quoted local part; `inner` ends before the closing one.
fn quoted_start(inner: &str) -> Option<usize> {
    let at = inner.rfind('"')?;
    let content = &inner[at + 1..];
    let sound = !content.is_empty() && content.len() <= MAX_LOCAL && !content.contains(['\n', '@']);
    sound.then_some(at)
}
