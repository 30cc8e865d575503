//! E-mail and IP addresses.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// Longest local part and address (RFC 5321, section 4.5.3.1).
const MAX_LOCAL: usize = 64;
const MAX_ADDRESS: usize = 254;

/// E-mail addresses under existing top-level domains. `@name@server` is a handle of the fediverse.
pub(super) fn emails(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices('@') {
        let local = text[..at]
            .bytes()
            .rev()
            .take(MAX_LOCAL)
            .take_while(|&byte| byte.is_ascii_alphanumeric() || b"._%+-".contains(&byte))
            .count();
        let start = at - local;
        let start = start
            + text[start..at].bytes().take_while(|byte| !byte.is_ascii_alphanumeric()).count();
        let before = text[..start].chars().next_back();
        let from = found.last().map_or(0, |last: &Range<usize>| last.end);
        if start == at
            || start < from
            || matches!(before, Some('@' | '＠'))
            || text[..at].ends_with('.')
        {
            continue;
        }
        if let Some(domain) = domain_bytes(&text[at + 1..])
            && at + 1 + domain - start <= MAX_ADDRESS
        {
            found.push(start..at + 1 + domain);
        }
    }
    found
}

/// Bytes of the domain name that `text` begins with, two labels at least, the last in the root zone.
fn domain_bytes(text: &str) -> Option<usize> {
    let run = text
        .bytes()
        .take(MAX_ADDRESS)
        .take_while(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        .count();
    let mut domain = &text[..run];
    loop {
        domain = domain.trim_end_matches(['.', '-']);
        let (rest, last) = domain.rsplit_once('.')?;
        let sound =
            |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
        if tld::exist(&last.to_ascii_lowercase()) && rest.split('.').all(sound) {
            return Some(domain.len());
        }
        domain = rest;
    }
}

/// Addresses of the public internet. Private and local ranges name no one, versions are no addresses.
pub(super) fn ip_addresses(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    let in_address = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
    while at < text.len() {
        let run = text.as_bytes()[at..].iter().take_while(|byte| in_address(**byte)).count();
        if run < 7 {
            at += run.max(1);
            continue;
        }
        let candidate = text[at..at + run].trim_end_matches(['.', ':']);
        let touches = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '/');
        let free = !text.get(..at).is_some_and(|before| before.ends_with(touches))
            && !text
                .get(at + candidate.len()..)
                .is_some_and(|after| after.starts_with(char::is_alphanumeric));
        if free && (is_public_v4(candidate, &text[..at]) || is_public_v6(candidate)) {
            found.push(at..at + candidate.len());
        }
        at += run;
    }
    found
}

fn is_public_v4(candidate: &str, before: &str) -> bool {
    // An address may carry a port.
    let host = candidate.split(':').next().unwrap_or_default();
    let Ok(address) = host.parse::<Ipv4Addr>() else { return false };
    let [first, second, ..] = address.octets();
    let shared = first == 100 && (64..=127).contains(&second);
    let word =
        before.trim_end().rsplit(|letter: char| !letter.is_alphabetic()).next().unwrap_or_default();
    let version =
        matches!(word.to_lowercase().as_str(), "v" | "version" | "release" | "firmware" | "build");
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || shared
        || first == 0
        || first >= 224
        || version)
}

/// Global unicast, 2000::/3 (RFC 4291, section 2.4), but for the documentation prefix.
fn is_public_v6(candidate: &str) -> bool {
    let Ok(address) = candidate.parse::<Ipv6Addr>() else { return false };
    let segments = address.segments();
    let written = candidate.split(':').filter(|group| !group.is_empty()).count();
    (0x2000..=0x3fff).contains(&segments[0]) && segments[..2] != [0x2001, 0x0db8] && written >= 3
}
