//! Links with and without `http://`, as X extracts them.
//!
//! A link without protocol is one only when its last label is a top-level domain of the root zone;
//! domains longer than names can be are none. Time is linear but for a bounded window per start.

use super::letters::{is_directional, is_invalid, is_latin_accent, is_sign, is_space};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

/// Longest label of a domain name in its ASCII form, and longest name (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;
const MAX_NAME: usize = 253;
/// Bytes after a start in which a domain is looked for: more than the longest name in UTF-8.
const WINDOW_BYTES: usize = 1100;
/// Longest link.
const MAX_URL: usize = 4096;
/// Longest code of a t.co link.
const MAX_TCO_CODE: usize = 40;

/// Top-level domains in their Unicode form that are not ASCII.
static UNICODE_TLDS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let encoded = tld::TLD.iter().filter_map(|name| name.strip_prefix("xn--"));
    encoded.filter_map(|name| punycode::decode(name).ok()).collect()
});

/// Whether a label in lower case is a top-level domain of the root zone, in ASCII or as it is written.
pub(crate) fn is_top_level_domain(label: &str) -> bool {
    if label.is_ascii() { tld::exist(label) } else { UNICODE_TLDS.contains(label) }
}

/// The bytes of every link.
pub fn urls(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if !text.contains('.') {
        return found;
    }
    let mut at = 0;
    // Where the last link (or what looked like one) ended: what is before it was used up.
    let mut used_to = 0;
    while let Some(letter) = text[at..].chars().next() {
        if !in_domain(letter) {
            at += letter.len_utf8();
            continue;
        }
        let run_end =
            text[at..].find(|letter| !in_domain(letter)).map_or(text.len(), |bytes| at + bytes);
        match link_in_run(text, at..run_end, used_to) {
            Some(link) => {
                used_to = link.end;
                at = link.end;
                keep(text, link, &mut found);
            }
            None => at = run_end,
        }
    }
    found
}

/// What matched the grammar of a link, before the checks that follow it.
struct Link {
    start: usize,
    domain: Range<usize>,
    end: usize,
    protocol: bool,
}

fn link_in_run(text: &str, run: Range<usize>, used_to: usize) -> Option<Link> {
    let opens_protocol = text[run.end..].starts_with("://");
    if !opens_protocol && !text[run.clone()].contains('.') {
        return None;
    }
    for (offset, letter) in text[run.clone()].char_indices() {
        let start = run.start + offset;
        let before = text[used_to.min(start)..start].chars().next_back();
        if !(before.map_or(start == 0, may_precede)) {
            continue;
        }
        let protocol = protocol_bytes(&text[start..]);
        if protocol > 0
            && let Some(domain_end) = domain_end(text, start + protocol)
        {
            let domain = start + protocol..domain_end;
            return Some(Link {
                start,
                end: after_domain(text, domain_end),
                domain,
                protocol: true,
            });
        }
        if is_domain_letter(letter)
            && let Some(domain_end) = domain_end(text, start)
        {
            let domain = start..domain_end;
            return Some(Link {
                start,
                end: after_domain(text, domain_end),
                domain,
                protocol: false,
            });
        }
    }
    None
}

/// Checks a match and keeps the link, or the several links that a run of text without spaces holds.
fn keep(text: &str, link: Link, found: &mut Vec<Range<usize>>) {
    let Link { start, domain, mut end, protocol } = link;
    if !is_name(&text[domain.clone()]) || end - start > MAX_URL {
        return;
    }
    if protocol {
        match tco_end(&text[start..end]) {
            Some(TcoEnd::TooLong) => return,
            Some(TcoEnd::At(bytes)) => end = start + bytes,
            None => {}
        }
        found.push(start..end);
        return;
    }
    if text[..start].ends_with(['-', '_', '.', '/']) {
        return;
    }
    // Without protocol only the ASCII (and accented) part is the domain: 「例example.com」.
    let mut ascii = ascii_domains(&text[domain.clone()]);
    if let Some(last) = ascii.last_mut()
        && domain.start + last.end == domain.end
    {
        last.end = end - domain.start;
    }
    found.extend(ascii.into_iter().map(|part| domain.start + part.start..domain.start + part.end));
}

fn in_domain(letter: char) -> bool {
    is_domain_letter(letter) || matches!(letter, '-' | '_' | '.')
}

/// Anything that is no sign, space or control mark; far more than names allow, as X has it.
fn is_domain_letter(letter: char) -> bool {
    #[cfg(test)]
    work::count();
    if letter.is_ascii() {
        return letter.is_ascii_alphanumeric() || matches!(letter, '"' | '`');
    }
    !is_sign(letter) && !is_space(letter) && !is_invalid(letter) && !is_directional(letter)
}

fn may_precede(letter: char) -> bool {
    !letter.is_ascii_alphanumeric()
        && !matches!(letter, '@' | '＠' | '$' | '#' | '＃')
        && !is_invalid(letter)
}

fn protocol_bytes(text: &str) -> usize {
    ["https://", "http://"]
        .into_iter()
        .find(|protocol| {
            text.get(..protocol.len()).is_some_and(|start| start.eq_ignore_ascii_case(protocol))
        })
        .map_or(0, str::len)
}

/// Where the domain that starts at `start` ends: the longest chain of labels before a top-level domain.
fn domain_end(text: &str, start: usize) -> Option<usize> {
    let window_end = (start + WINDOW_BYTES).min(text.len());
    let run_bytes = text[start..]
        .char_indices()
        .find(|&(offset, letter)| start + offset >= window_end || !in_domain(letter))
        .map_or(text.len() - start, |(offset, _)| offset);
    let run = &text[start..start + run_bytes];
    let mut labels: Vec<(usize, &str)> = Vec::new();
    let mut offset = 0;
    for label in run.split('.') {
        labels.push((offset, label));
        offset += label.len() + 1;
    }
    let sound =
        |label: &str| label.starts_with(is_domain_letter) && label.ends_with(is_domain_letter);
    let sound_to = labels.iter().take_while(|(_, label)| sound(label)).count();
    (1..labels.len()).rev().find_map(|last| {
        let (offset, label) = labels[last];
        if last > sound_to || labels[last - 1].1.contains('_') {
            return None;
        }
        let tld = tld_bytes(label, &text[start + offset..])?;
        Some(start + offset + tld)
    })
}

/// Bytes of the top-level domain that `label` begins with; `text` continues after the label.
fn tld_bytes(label: &str, text: &str) -> Option<usize> {
    let ascii = label.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let ends = |bytes: usize| {
        text[bytes..]
            .chars()
            .next()
            .is_none_or(|next| !next.is_ascii_alphanumeric() && !matches!(next, '@' | '+' | '-'))
    };
    if ascii > 0 && ends(ascii) && tld::exist(&label[..ascii].to_ascii_lowercase()) {
        return Some(ascii);
    }
    if label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--")) {
        let rest =
            label[4..].bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'-').count();
        return (rest > 0).then_some(4 + rest);
    }
    if label.is_ascii() {
        return None;
    }
    // No top-level domain has more letters than this; marks count as letters here.
    let ends_of_letters: Vec<usize> =
        label.char_indices().map(|(at, letter)| at + letter.len_utf8()).take(24).collect();
    ends_of_letters
        .into_iter()
        .rev()
        .find(|&bytes| ends(bytes) && UNICODE_TLDS.contains(&label[..bytes].to_lowercase()))
}

/// Whether every label fits in a name once it is in ASCII form.
fn is_name(domain: &str) -> bool {
    let mut length = 0;
    for label in domain.split('.') {
        let bytes = if label.is_ascii() {
            label.len()
        } else if label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--")) {
            // Says that it is encoded already, and is not.
            return false;
        } else if label.len() > WINDOW_BYTES {
            return false;
        } else {
            match punycode::encode(&label.to_lowercase()) {
                Ok(encoded) => 4 + encoded.len(),
                Err(()) => return false,
            }
        };
        if bytes > MAX_LABEL {
            return false;
        }
        length += bytes + 1;
    }
    length <= MAX_NAME + 1
}

/// Ranges of the domains of ASCII and accented letters inside a domain.
fn ascii_domains(domain: &str) -> Vec<Range<usize>> {
    let plain =
        |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || is_latin_accent(letter);
    let mut found = Vec::new();
    let mut at = 0;
    while at < domain.len() {
        let rest = &domain[at..];
        let label = rest.find(|letter| !plain(letter)).unwrap_or(rest.len());
        if label == 0 {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        }
        // Labels joined by dots; what follows each dot may be the top-level domain.
        let mut dots = Vec::new();
        let mut end = at + label;
        while domain[end..].starts_with('.') {
            dots.push(end + 1);
            let next = &domain[end + 1..];
            let bytes = next.find(|letter| !plain(letter)).unwrap_or(next.len());
            end += 1 + bytes;
            if bytes == 0 {
                break;
            }
        }
        let matched = dots.into_iter().rev().find_map(|dot| {
            let label = domain[dot..].split('.').next().unwrap_or_default();
            Some(dot + tld_bytes(label, &domain[dot..])?)
        });
        match matched {
            Some(matched) => {
                found.push(at..matched);
                at = matched;
            }
            None => at += label,
        }
    }
    found
}

/// Where port, path and query after a domain end.
fn after_domain(text: &str, domain_end: usize) -> usize {
    let mut end = domain_end;
    if let Some(port) = text[end..].strip_prefix(':') {
        let digits = port.bytes().take_while(u8::is_ascii_digit).count();
        end += if digits > 0 { 1 + digits } else { 0 };
    }
    if text[end..].starts_with('/') {
        end += 1 + path_bytes(&text[end + 1..]);
    }
    if let Some(query) = text[end..].strip_prefix('?') {
        let run = query.bytes().take_while(|&byte| in_query(byte)).count();
        let ends = query.as_bytes()[..run].iter().rposition(|&byte| ends_query(byte));
        end += ends.map_or(0, |last| last + 2);
    }
    end
}

fn in_query(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!?*'@();:&=+$/%#[]-_.,~|".contains(&byte)
}

fn ends_query(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_&=#/".contains(&byte)
}

fn in_path(letter: char) -> bool {
    #[cfg(test)]
    work::count();
    letter.is_ascii_alphanumeric()
        || letter.is_ascii() && "!*';:=+,.$/%#[]-_~@|&".contains(letter)
        || matches!(letter, '\u{400}'..='\u{4ff}' | '\u{2013}')
        || is_latin_accent(letter)
}

fn ends_path(letter: char) -> bool {
    letter.is_ascii_alphanumeric()
        || matches!(letter, '+' | '-' | '=' | '_' | '#' | '/' | '\u{400}'..='\u{4ff}')
        || is_latin_accent(letter)
}

/// Bytes of the path after its first `/`: path characters and balanced parentheses, back to the last
/// character that may end one.
fn path_bytes(text: &str) -> usize {
    let (mut at, mut end) = (0, 0);
    while let Some(letter) = text[at..].chars().next() {
        if letter == '(' {
            let Some(bytes) = parenthesis_bytes(&text[at..], true) else { break };
            at += bytes;
            end = at;
        } else if in_path(letter) {
            at += letter.len_utf8();
            if ends_path(letter) {
                end = at;
            }
        } else {
            break;
        }
    }
    end
}

/// Bytes of `(…)` around path characters, in which one more pair may stand.
fn parenthesis_bytes(text: &str, may_nest: bool) -> Option<usize> {
    let mut at = 1;
    let mut nested = !may_nest;
    loop {
        let letter = text[at..].chars().next()?;
        match letter {
            ')' => return (at > 1).then_some(at + 1),
            '(' if !nested => {
                nested = true;
                at += parenthesis_bytes(&text[at..], false)?;
            }
            _ if in_path(letter) => at += letter.len_utf8(),
            _ => return None,
        }
    }
}

/// How a t.co link ends: after its code (and query), whatever follows.
enum TcoEnd {
    At(usize),
    TooLong,
}

fn tco_end(url: &str) -> Option<TcoEnd> {
    let host = protocol_bytes(url);
    let code_start = host + "t.co/".len();
    if !url.get(host..code_start)?.eq_ignore_ascii_case("t.co/") {
        return None;
    }
    let code = url[code_start..].bytes().take_while(u8::is_ascii_alphanumeric).count();
    if code == 0 {
        return None;
    }
    if code > MAX_TCO_CODE {
        return Some(TcoEnd::TooLong);
    }
    let end = code_start + code;
    let query_end = if url[end..].starts_with('?') { after_domain(url, end) } else { end };
    Some(TcoEnd::At(query_end))
}

/// How many letters were looked at, so that a test sees how work grows with a text.
#[cfg(test)]
pub(super) mod work {
    use std::cell::Cell;

    thread_local! {
        static LETTERS: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn count() {
        LETTERS.set(LETTERS.get() + 1);
    }

    /// Letters looked at by this thread since the last call.
    pub(in super::super) fn take() -> u64 {
        LETTERS.take()
    }
}
