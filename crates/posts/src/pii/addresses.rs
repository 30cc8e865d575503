//! Addresses of machines on the internet, version 4 and 6.
//!
//! Four numbers with dots are an address, the version of a program or a part of a text. Words before
//! and after them decide; without a word, how large they are does: versions are made of small numbers,
//! addresses drawn from all are not.

use super::borders::{is_currency, is_keyed, joins};
use super::words::{MACHINE, VERSION};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// Resolvers that people write without saying what they are.
const RESOLVERS: [[u8; 4]; 5] =
    [[1, 0, 0, 1], [1, 1, 1, 1], [8, 8, 4, 4], [8, 8, 8, 8], [9, 9, 9, 9]];

/// Addresses of the public internet. Private and local ranges name no one.
pub(super) fn ip_addresses(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let in_address = |byte: &&u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
        let run = bytes[at..].iter().take_while(in_address).count();
        if run < 7 {
            at += run.max(1);
            continue;
        }
        let end = at + run;
        let start = at + label_bytes(&text[..at], &text[at..end]);
        found.extend(v6(text, start..end).or_else(|| v4(text, start..end)));
        at = end;
    }
    found
}

/// Bytes at the start of a run that end a word before an address, and their colon: `IPv6:`, `eth0:`.
fn label_bytes(before: &str, run: &str) -> usize {
    let label = run.find(|letter: char| !letter.is_ascii_hexdigit()).unwrap_or(0);
    let colon = run[label..].starts_with(':') && !run[label..].starts_with("::");
    if label > 0 && colon && before.ends_with(joins) { label + 1 } else { 0 }
}

/// The address of version 4 in a run, port or length of prefix included.
fn v4(text: &str, run: Range<usize>) -> Option<Range<usize>> {
    let digit = |letter: char| letter.is_ascii_digit();
    let start = run.start + text[run.clone()].find(digit)?;
    let inside = &text[start..run.end];
    let length = inside.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let host = inside[..length.unwrap_or(inside.len())].trim_end_matches('.');
    let address: Ipv4Addr = host.parse().ok()?;
    let end = start + host.len();
    let end = end + suffix_bytes(&text[end..], 2);
    let (before, after) = (&text[..start], &text[end..]);
    if touches_after(after) || !is_public(address) || touches_before(before) {
        return None;
    }
    let whole = start..end;
    let named = before.ends_with("//") || end > start + host.len();
    let version = nearest(VERSION.before(before), VERSION.after(after));
    let machine = nearest(MACHINE.before(before), MACHINE.after(after));
    let is_address = match (version, machine) {
        (Some(version), Some(machine)) => named || machine < version,
        (Some(_), None) => named,
        (None, Some(_)) => true,
        (None, None) => named || !is_small(address) && !is_enzyme(before, address),
    };
    is_address.then_some(whole)
}

fn nearest(before: Option<usize>, after: Option<usize>) -> Option<usize> {
    before.into_iter().chain(after).min()
}

/// Bytes of `:port` or `/length`, which has so many digits at most.
fn suffix_bytes(rest: &str, length: usize) -> usize {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let most = match rest.chars().next() {
        Some(':') => 5,
        Some('/') => length,
        _ => return 0,
    };
    let count = digits(&rest[1..]);
    let more = rest[1 + count..].starts_with(&rest[..1]);
    if (1..=most).contains(&count) && !more { 1 + count } else { 0 }
}

fn touches_before(before: &str) -> bool {
    let Some(last) = before.chars().next_back() else { return false };
    let rest = &before[..before.len() - last.len_utf8()];
    match last {
        '/' => !rest.ends_with('/'),
        '-' => rest.ends_with(joins),
        '.' | ',' => rest.ends_with(|letter: char| letter.is_ascii_digit()),
        '#' | '=' => !is_keyed(before),
        '\\' => true,
        // A word for a machine may stand next to its address: `IP8.8.4.4`.
        other => joins(other) && MACHINE.before(before) != Some(0) || is_currency(other),
    }
}

fn touches_after(after: &str) -> bool {
    let mut letters = after.chars();
    let Some(first) = letters.next() else { return false };
    let next = letters.next();
    match first {
        // The ending of a file, or more of a version.
        '.' => next.is_some_and(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit()),
        '-' | '+' => next.is_some_and(joins),
        '%' => true,
        other => joins(other) || is_currency(other),
    }
}

fn is_public(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let shared = first == 100 && (64..=127).contains(&second);
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || shared
        || first == 0
        || first >= 224)
}

/// Whether four numbers are as small as those of versions and parts of texts. Of addresses drawn from
/// all, 2.3 % have four numbers below 100, and 0.6 % the other forms.
fn is_small(address: Ipv4Addr) -> bool {
    let octets = address.octets();
    let [first, second, third, _] = octets;
    let small = octets.iter().all(|&octet| octet < 100)
        || first < 32 && second < 100 && third < 32
        || first < 32 && (second == 0 || third == 0)
        || second == 0 && third == 0;
    small && !RESOLVERS.contains(&octets)
}

/// Whether a number of the classes of enzymes, the first of which is 1 to 7, stands after the letters for it.
fn is_enzyme(before: &str, address: Ipv4Addr) -> bool {
    let before = before.trim_end_matches([' ', '.', ':']);
    let letters = ["EC", "E.C", "КФ"].iter().find_map(|letters| before.strip_suffix(letters));
    (1..=7).contains(&address.octets()[0]) && letters.is_some_and(|rest| !rest.ends_with(joins))
}

/// The address of version 6 that a run is: global unicast, 2000::/3 (RFC 4291, section 2.4), but for
/// the documentation prefix.
fn v6(text: &str, run: Range<usize>) -> Option<Range<usize>> {
    // A colon before an address announces it.
    let start = match text[run.clone()].strip_prefix(':') {
        Some(rest) if !rest.starts_with(':') => run.start + 1,
        _ => run.start,
    };
    // Two colons at the end are zeros, as in the address of a network; one is a sign of the sentence.
    let candidate = text[start..run.end].trim_end_matches('.');
    let candidate = match candidate.ends_with("::") && !candidate.ends_with(":::") {
        true => candidate,
        false => candidate.trim_end_matches(['.', ':']),
    };
    if candidate.matches(':').count() < 2 {
        return None;
    }
    let end = start + candidate.len();
    let free = !text[end..].starts_with(joins);
    let address: Ipv6Addr = candidate.parse().ok()?;
    let segments = address.segments();
    let written = candidate.split(':').filter(|group| !group.is_empty()).count();
    let public = (0x2000..=0x3fff).contains(&segments[0]) && segments[..2] != [0x2001, 0x0db8];
    // `::1` after a prefix is a pair of groups; fewer are ratios and code.
    let end = end + suffix_bytes(&text[end..], 3);
    (free && public && written >= 3 && !touches_before(&text[..start])).then_some(start..end)
}
