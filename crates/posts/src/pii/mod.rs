//! Personal data in a text: e-mail and IP addresses, phone numbers, IBANs, payment cards.
//!
//! Everything is validated (domains by the root zone, IBANs modulo 97, cards by Luhn's digit, phone
//! numbers by calling code and grouping), and links, dates and identifiers are masked first, so that
//! they are not taken for phone numbers. What is found is replaced by a placeholder of its kind. It
//! does not look for names or street addresses.

mod accounts;
mod addresses;
mod phones;
mod spans;

use crate::twitter_text::urls;
use std::borrow::Cow;
use std::ops::Range;

/// A kind of personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PiiKind {
    /// An e-mail address under an existing top-level domain.
    Email,
    /// A phone number.
    Phone,
    /// A public IP address, version 4 or 6.
    IpAddress,
    /// A bank account (ISO 13616).
    Iban,
    /// A payment card (ISO/IEC 7812).
    PaymentCard,
}

impl PiiKind {
    /// All kinds.
    pub const ALL: [PiiKind; 5] =
        [PiiKind::Email, PiiKind::Phone, PiiKind::IpAddress, PiiKind::Iban, PiiKind::PaymentCard];

    /// What stands in a text instead.
    pub fn placeholder(self) -> &'static str {
        match self {
            PiiKind::Email => "[email]",
            PiiKind::Phone => "[phone]",
            PiiKind::IpAddress => "[ip]",
            PiiKind::Iban => "[iban]",
            PiiKind::PaymentCard => "[card]",
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

/// All personal data in a text, in order, without overlaps.
pub fn find(text: &str) -> Vec<Finding> {
    let digits = text.bytes().filter(u8::is_ascii_digit).take(7).count();
    if digits < 4 && !text.contains('@') && !text.contains(':') {
        return Vec::new();
    }
    let mut taken: Vec<Range<usize>> = urls(text);
    let mut findings = Vec::new();
    let mut take = |kind: PiiKind, found: Vec<Range<usize>>, taken: &mut Vec<Range<usize>>| {
        for range in found {
            if taken.iter().all(|other| range.end <= other.start || other.end <= range.start) {
                taken.push(range.clone());
                findings.push(Finding { kind, range });
            }
        }
    };
    // Mail first: its domain may look like a link.
    let mails = addresses::emails(text);
    taken.retain(|link| mails.iter().all(|mail| link.end <= mail.start || mail.end <= link.start));
    take(PiiKind::Email, mails, &mut taken);
    take(PiiKind::IpAddress, addresses::ip_addresses(text), &mut taken);
    if digits >= 7 {
        take(PiiKind::Iban, accounts::ibans(text), &mut taken);
        let spans = spans::number_spans(text);
        take(PiiKind::PaymentCard, accounts::cards(text, &spans), &mut taken);
        take(PiiKind::Phone, phones::phones(text, &spans), &mut taken);
    }
    findings.sort_by_key(|finding| finding.range.start);
    findings
}

/// The text with personal data replaced by placeholders.
pub fn replace(text: &str) -> Cow<'_, str> {
    let findings = find(text);
    if findings.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut replaced = String::with_capacity(text.len());
    let mut from = 0;
    for Finding { kind, range } in findings {
        replaced.push_str(&text[from..range.start]);
        replaced.push_str(kind.placeholder());
        from = range.end;
    }
    replaced.push_str(&text[from..]);
    Cow::Owned(replaced)
}

#[cfg(test)]
mod tests;
