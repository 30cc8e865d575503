//! Personal data in a text: e-mail and IP addresses, phone numbers, bank accounts, payment cards, social
//! security numbers, handles, and addresses (URL) with a user in them.
//!
//! Everything is validated (domains by the root zone, IBANs modulo 97, cards by Luhn's digit, phone
//! numbers by calling code and grouping), and links, dates and identifiers are masked first, so that
//! they are not taken for phone numbers. Digits and signs of every script are matched in their ASCII
//! form (`plain`), and a pattern ends where its own letters do (`borders`). What is found is replaced by
//! a placeholder of its kind. It does not look for names of persons or street addresses.

mod accounts;
mod addresses;
mod borders;
mod domains;
mod emails;
mod handles;
mod links;
mod phones;
mod plain;
mod spans;
mod words;

use crate::twitter_text::urls;
use plain::Plain;
use std::borrow::Cow;
use std::ops::Range;

/// A kind of personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PiiKind {
    /// An e-mail address under an existing or reserved top-level domain.
    Email,
    /// A phone number.
    Phone,
    /// A public IP address, version 4 or 6.
    IpAddress,
    /// A bank account (ISO 13616).
    Iban,
    /// A payment card (ISO/IEC 7812).
    PaymentCard,
    /// A number that a state gives its people: a social security number of the United States.
    NationalId,
    /// The name of an account: `@name`, `@name@server`, `@name.domain`, `u/name`.
    Handle,
    /// An address (URL) with a user in it: before the host, or of a profile.
    Link,
}

impl PiiKind {
    /// All kinds.
    pub const ALL: [PiiKind; 8] = [
        PiiKind::Email,
        PiiKind::Phone,
        PiiKind::IpAddress,
        PiiKind::Iban,
        PiiKind::PaymentCard,
        PiiKind::NationalId,
        PiiKind::Handle,
        PiiKind::Link,
    ];

    /// What stands in a text instead.
    pub fn placeholder(self) -> &'static str {
        match self {
            PiiKind::Email => "[email]",
            PiiKind::Phone => "[phone]",
            PiiKind::IpAddress => "[ip]",
            PiiKind::Iban => "[iban]",
            PiiKind::PaymentCard => "[card]",
            PiiKind::NationalId => "[id]",
            PiiKind::Handle => "[handle]",
            PiiKind::Link => "[link]",
        }
    }
}

/// Personal data and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: PiiKind,
    /// Its bytes.
    pub range: Range<usize>,
}

/// An account of a network that a text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The bytes of the handle, sign included, or of the whole link.
    pub range: Range<usize>,
    /// Its name without the sign, with its server or domain where the text has them.
    pub name: String,
}

impl Account {
    /// The names under which a source may know the account: the one in the text, without what a hyphen
    /// or a dot ties to it, and as the fediverse's addresses of people.
    pub fn names(&self) -> Vec<String> {
        let mut names = vec![self.name.clone()];
        if let Some((name, server)) = self.name.split_once('@') {
            names.push(format!("https://{server}/users/{name}"));
            names.push(format!("https://{server}/@{name}"));
        } else {
            let ends = self.name.match_indices(['-', '.']).map(|(at, _)| at);
            names.extend(ends.map(|at| self.name[..at].to_string()));
        }
        names
    }
}

/// All handles of a text, in order: what a thread puts its placeholders for.
pub fn handles(text: &str) -> Vec<Account> {
    if !text.contains(['@', '＠']) && !text.contains("u/") {
        return Vec::new();
    }
    let plain = Plain::of(text);
    written(&plain, handles::handles(&plain.text))
}

/// All accounts that a text names by handles or by links, in order.
pub fn accounts(text: &str) -> Vec<Account> {
    let plain = Plain::of(text);
    let mut found = links::profiles(&plain.text);
    let links: Vec<Range<usize>> = found.iter().map(|link| link.range.clone()).collect();
    let outside = |account: &Account| links.iter().all(|link| !overlap(link, &account.range));
    found.extend(handles::handles(&plain.text).into_iter().filter(outside));
    found.sort_by_key(|account| account.range.start);
    written(&plain, found)
}

fn written(plain: &Plain<'_>, accounts: Vec<Account>) -> Vec<Account> {
    let written = |account: Account| Account { range: plain.written(&account.range), ..account };
    accounts.into_iter().map(written).collect()
}

/// All personal data in a text, in order, without overlaps.
pub fn find(text: &str) -> Vec<Finding> {
    find_in(&Plain::of(text))
}

fn find_in(plain: &Plain<'_>) -> Vec<Finding> {
    let text: &str = &plain.text;
    let digits = text.bytes().filter(u8::is_ascii_digit).take(7).count();
    let mut found = Found::default();
    if text.contains(['/', '.']) {
        found.take(PiiKind::Link, links::profiles(text).into_iter().map(|link| link.range));
    }
    if text.contains('@') {
        found.take(PiiKind::Email, emails::emails(text));
    }
    if text.contains(emails::BRACKETS.map(|(open, _)| open)) || text.contains(" AT ") {
        found.take(PiiKind::Email, emails::spelled(text));
    }
    if text.contains('@') || text.contains("u/") {
        let handles = handles::handles(text).into_iter().map(|handle| handle.range);
        // No link continues after a space, so that most handles stand in none.
        let may_be_in_link = |handle: &Range<usize>| {
            text[..handle.start].ends_with(|letter: char| letter.is_ascii_graphic())
        };
        let (beside, free): (Vec<_>, Vec<_>) = handles.partition(may_be_in_link);
        found.take(PiiKind::Handle, free);
        found.take_outside_links(PiiKind::Handle, beside, text);
    }
    if digits >= 4 || text.contains(':') {
        found.take_outside_links(PiiKind::IpAddress, addresses::ip_addresses(text), text);
    }
    if digits >= 7 {
        found.take_outside_links(PiiKind::Iban, accounts::ibans(text), text);
        let spans = spans::number_spans(text);
        found.take_outside_links(PiiKind::PaymentCard, accounts::cards(text, &spans), text);
        found.take_outside_links(PiiKind::NationalId, accounts::national_ids(text, &spans), text);
        found.take_outside_links(PiiKind::Phone, phones::phones(text, &spans), text);
    }
    let mut findings = found.findings;
    findings.iter_mut().for_each(|finding| finding.range = plain.written(&finding.range));
    findings
}

/// What is found so far, in order.
#[derive(Default)]
struct Found {
    findings: Vec<Finding>,
    /// Links that name no one, once they were needed: numbers and handles in them are parts of them.
    links: Option<Vec<Range<usize>>>,
}

impl Found {
    /// Adds what does not overlap what was found before.
    fn take(&mut self, kind: PiiKind, ranges: impl IntoIterator<Item = Range<usize>>) {
        for range in ranges {
            let place = self.findings.partition_point(|known| known.range.end <= range.start);
            let free = |known: &Finding| range.end <= known.range.start;
            if self.findings.get(place).is_none_or(free) {
                self.findings.insert(place, Finding { kind, range });
            }
        }
    }

    /// Adds what stands in no link and does not overlap what was found before.
    fn take_outside_links(&mut self, kind: PiiKind, ranges: Vec<Range<usize>>, text: &str) {
        if ranges.is_empty() {
            return;
        }
        // The domain of an address or a handle looks like a link.
        let links = self.links.get_or_insert_with(|| {
            let mut links = urls(text);
            links.retain(|link| self.findings.iter().all(|known| !overlap(link, &known.range)));
            links
        });
        let in_link = |range: &Range<usize>| {
            let next = links.partition_point(|link| link.end <= range.start);
            // A handle that begins before a link holds it: `@name.domain`.
            links.get(next).is_some_and(|link| link.start <= range.start && overlap(link, range))
                || kind != PiiKind::Handle
                    && links.get(next).is_some_and(|link| overlap(link, range))
        };
        let outside: Vec<Range<usize>> =
            ranges.into_iter().filter(|range| !in_link(range)).collect();
        self.take(kind, outside);
    }
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

/// The text with personal data replaced by placeholders.
pub fn replace(text: &str) -> Cow<'_, str> {
    mask(text, &find(text))
}

/// The text with findings replaced by their placeholders.
pub fn mask<'t>(text: &'t str, findings: &[Finding]) -> Cow<'t, str> {
    if findings.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut from = 0;
    for Finding { kind, range } in findings {
        masked.push_str(&text[from..range.start]);
        masked.push_str(kind.placeholder());
        from = range.end;
    }
    masked.push_str(&text[from..]);
    Cow::Owned(masked)
}

#[cfg(test)]
mod tests;
