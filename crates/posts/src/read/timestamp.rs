//! Times as posts write them, to Unix seconds. Calendar and forms are those of `jiff`.
//!
//! **Numbers** are Unix seconds, milliseconds, microseconds or nanoseconds, by their size, with or without a
//! fraction; eight digits that are a date, `20181010`, are one. With `--dates excel`, numbers are days since
//! 1899-12-30, as spreadsheets count them.
//!
//! **Words.** ISO 8601 in all its forms; else a clock time (`20:19`, `20:19:24.5`, `8:19 PM`), a zone (`Z`,
//! `+0200`, `UTC+02:00`, the abbreviations of RFC 2822) and a date of [`DATES`], in any order, with or without
//! commas: X, RFC 2822, JavaScript, pages. A date that begins with day or month in figures, `3/4/2018`, is read
//! only where `--dates day-first` or `month-first` says how; with dots, `3.4.2018`, the day comes first.
//!
//! **A time without a zone is taken as UTC**, and counted. A time before 1970 or from 2200 on is none, nor is
//! a date that no calendar has, such as the 30th of February, or whose weekday is another one. What is not
//! understood is counted by its form: `31/12/2018` as `99/99/9999`.

use super::remarks::Remarks;
use jiff::civil::{Date, Time};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::Offset;

/// 2200-01-01: a post from later has a wrong time.
const END_UNIX_SECONDS: i64 = 7_258_118_400;
/// Longest text that is looked at for a time, and longest form.
const LONGEST_TEXT: usize = 100;
const LONGEST_FORM: usize = 40;

const WITHOUT_ZONE: &str = "times without a zone, taken as UTC";
const NOT_UNDERSTOOD: &str = "times not understood (9 for any digit, a for any letter)";

/// How dates are written whose order of day and month does not show, and what numbers mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateOrder {
    /// Dates that can be read in two ways are not read.
    #[default]
    Unstated,
    /// `31/12/2018`.
    DayFirst,
    /// `12/31/2018`.
    MonthFirst,
    /// Numbers are days since 1899-12-30; dates as in `MonthFirst`.
    Excel,
}

impl DateOrder {
    /// Every order with the name the command line uses.
    pub const ALL: [(&'static str, DateOrder); 4] = [
        ("unstated", DateOrder::Unstated),
        ("day-first", DateOrder::DayFirst),
        ("month-first", DateOrder::MonthFirst),
        ("excel", DateOrder::Excel),
    ];

    /// The order of a name.
    pub fn from_name(name: &str) -> Option<DateOrder> {
        DateOrder::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, order)| order)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        DateOrder::ALL.into_iter().find(|(_, order)| *order == self).map_or("", |(name, _)| name)
    }

    fn formats(self) -> &'static [&'static str] {
        match self {
            DateOrder::Unstated => &[],
            DateOrder::DayFirst => &["%d/%m/%Y", "%d-%m-%Y"],
            DateOrder::MonthFirst | DateOrder::Excel => &["%m/%d/%Y", "%m-%d-%Y"],
        }
    }
}

/// Dates without clock time, zone and commas, the most frequent first.
const DATES: &[&str] = &[
    "%a %b %d %Y",
    "%a %d %b %Y",
    "%d %b %Y",
    "%b %d %Y",
    "%d %B %Y",
    "%B %d %Y",
    "%A %B %d %Y",
    "%A %d %B %Y",
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d-%b-%Y",
    "%d.%m.%Y",
    "%Y %b %d",
];

/// Clock times.
const CLOCKS: &[&str] = &["%H:%M:%S%.f", "%H:%M"];
const CLOCKS_OF_HALF_DAYS: &[&str] = &["%I:%M:%S %p", "%I:%M %p"];

/// Zones by name: RFC 2822, section 4.3, and UTC. Other abbreviations mean several zones.
const ZONES: &[(&str, i8)] = &[
    ("Z", 0),
    ("UTC", 0),
    ("GMT", 0),
    ("UT", 0),
    ("EST", -5),
    ("EDT", -4),
    ("CST", -6),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
];

/// A time that was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    unix_seconds: i64,
    has_zone: bool,
}

/// Unix seconds of a written time.
pub(super) fn parse(text: &str) -> Option<i64> {
    moment(text, DateOrder::Unstated).map(|moment| moment.unix_seconds)
}

/// As [`parse`], with an order of dates; counts what is taken for granted and what is not understood.
pub(super) fn read(text: &str, order: DateOrder, remarks: &mut Remarks) -> Option<i64> {
    let moment = moment(text, order);
    match moment {
        None => remarks.add(&format!("{NOT_UNDERSTOOD}: {}", form(text)), 1),
        Some(Moment { has_zone: false, .. }) => remarks.add(WITHOUT_ZONE, 1),
        Some(_) => {}
    }
    moment.map(|moment| moment.unix_seconds)
}

fn moment(text: &str, order: DateOrder) -> Option<Moment> {
    let text = text.trim();
    if text.len() > LONGEST_TEXT {
        return None;
    }
    // JSON of ASP.NET.
    let text = text.strip_prefix("/Date(").and_then(|text| text.strip_suffix(")/")).unwrap_or(text);
    let number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && text.bytes().filter(|byte| *byte == b'.').count() < 2;
    let moment = match number {
        true => numeric(text, order),
        false => iso(text).or_else(|| words(text, order)),
    };
    moment.filter(|moment| (0..END_UNIX_SECONDS).contains(&moment.unix_seconds))
}

fn numeric(text: &str, order: DateOrder) -> Option<Moment> {
    let whole = text.split('.').next()?;
    if order == DateOrder::Excel && whole.len() < 8 {
        // Spreadsheets count 1900-02-29, which was none: days are right from March 1900 on.
        let days: f64 = text.parse().ok()?;
        let unix_seconds = ((days - 25_569.0) * 86_400.0).round() as i64;
        return Some(Moment { unix_seconds, has_zone: false });
    }
    if text.len() == 8 {
        return iso(text);
    }
    let number = whole.parse().ok().filter(|_| whole.len() >= 9)?;
    Some(Moment { unix_seconds: of_number(number), has_zone: true })
}

/// Unix seconds of a number of seconds, milliseconds, microseconds or nanoseconds, by its size.
fn of_number(number: i64) -> i64 {
    // 10^11 seconds is the year 5138; as milliseconds it is 1973. So with each smaller unit.
    number.div_euclid(match number.unsigned_abs() {
        0..100_000_000_000 => 1,
        100_000_000_000..100_000_000_000_000 => 1000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000_000,
        _ => 1_000_000_000,
    })
}

fn at(date: Date, time: Option<Time>, offset: Option<Offset>) -> Option<Moment> {
    let moment = date.to_datetime(time.unwrap_or(Time::midnight()));
    let timestamp = offset.unwrap_or(Offset::UTC).to_timestamp(moment).ok()?;
    Some(Moment { unix_seconds: timestamp.as_second(), has_zone: offset.is_some() })
}

/// ISO 8601, as RFC 9557 extends it. A zone that is only named needs a table of zones and is none.
fn iso(text: &str) -> Option<Moment> {
    if !text.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    let pieces = Pieces::parse(text).ok()?;
    let offset = pieces.to_numeric_offset();
    if offset.is_none() && pieces.time_zone_annotation().is_some() {
        return None;
    }
    at(pieces.date(), pieces.time(), offset)
}

/// A clock time, a zone and a date in any order.
fn words(text: &str, order: DateOrder) -> Option<Moment> {
    // JavaScript adds the name of the zone: `GMT+0200 (Central European Summer Time)`.
    let text = text.split('(').next()?;
    let spaced = text.replace([',', '\u{b7}', '\u{202f}', '\u{a0}'], " ");
    let (mut clock, mut half, mut offset, mut date) = (None, None, None, Vec::new());
    for word in spaced.split_whitespace().filter(|word| !matches!(*word, "at" | "-")) {
        if clock.is_none() && word.contains(':') && word.as_bytes()[0].is_ascii_digit() {
            let (time, letters) = split_half(word);
            clock = Some(time);
            half = half.or(letters);
        } else if half.is_none() && is_half(word) {
            half = Some(word);
        } else if let Some(found) = zone(word).filter(|_| offset.is_none() && clock.is_some()) {
            offset = Some(found);
        } else {
            date.push(word);
        }
    }
    let date = date.join(" ");
    let formats = DATES.iter().chain(order.formats());
    let date = formats
        .into_iter()
        .find_map(|format| BrokenDownTime::parse(format, &date).ok()?.to_date().ok())?;
    let time = match clock {
        None => None,
        Some(clock) => Some(clock_time(clock, half)?),
    };
    at(date, time, offset)
}

fn is_half(word: &str) -> bool {
    ["am", "pm", "a.m.", "p.m."].iter().any(|half| word.eq_ignore_ascii_case(half))
}

/// `8:19PM` as `8:19` and `PM`.
fn split_half(word: &str) -> (&str, Option<&str>) {
    let at = word.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(word.len());
    let (clock, letters) = word.split_at(at);
    if is_half(letters) { (clock, Some(letters)) } else { (word, None) }
}

fn clock_time(clock: &str, half: Option<&str>) -> Option<Time> {
    let (text, formats) = match half {
        None => (clock.to_string(), CLOCKS),
        Some(half) => (format!("{clock} {}", half.replace('.', "")), CLOCKS_OF_HALF_DAYS),
    };
    formats.iter().find_map(|format| BrokenDownTime::parse(format, &text).ok()?.to_time().ok())
}

/// `UTC`, `PDT`, `+0200`, `+02:00`, `GMT+0200`.
fn zone(word: &str) -> Option<Offset> {
    let named = ZONES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    if let Some((_, hours)) = named {
        return Some(Offset::constant(*hours));
    }
    let signed = word.strip_prefix("GMT").or(word.strip_prefix("UTC")).unwrap_or(word);
    let digits = signed.strip_prefix(['+', '-'])?.replace(':', "");
    if digits.len() != 4 {
        return None;
    }
    BrokenDownTime::parse("%z", format!("{}{digits}", &signed[..1])).ok()?.offset()
}

/// The form of a text: digits as 9, letters as `a`, in runs of at most four; what it says does not show.
fn form(text: &str) -> String {
    let mut form = String::new();
    let (mut last, mut run) = (' ', 0);
    for letter in text.trim().chars() {
        let kind = match letter {
            letter if letter.is_ascii_digit() => '9',
            letter if letter.is_alphanumeric() => 'a',
            letter if letter.is_whitespace() => ' ',
            letter if letter.is_ascii_punctuation() => letter,
            _ => '?',
        };
        run = if kind == last { run + 1 } else { 1 };
        last = kind;
        if run <= 4 {
            form.push(kind);
        }
        if form.len() >= LONGEST_FORM {
            break;
        }
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `date -u -d '2018-10-10 20:19:24' +%s`.
    const SECONDS: i64 = 1_539_202_764;

    #[test]
    fn forms_of_exporters_are_one_moment() {
        for text in [
            "Wed Oct 10 20:19:24 +0000 2018",
            "Wed Oct 10 13:19:24 PDT 2018",
            "Wed Oct 10 2018 22:19:24 GMT+0200 (Central European Summer Time)",
            "Wed, 10 Oct 2018 20:19:24 +0000",
            "Wed, 10 Oct 2018 20:19:24 GMT",
            "10 Oct 2018 15:19:24 -0500",
            "2018-10-10T20:19:24Z",
            "2018-10-10T20:19:24.000Z",
            "2018-10-10T20:19:24+0000",
            "2018-10-10T20:19:24,500+00:00",
            "20181010T201924Z",
            "2018-10-10 20:19:24+00:00",
            "2018-10-10 16:19:24-04:00",
            "2018-10-10 16:19:24 -0400",
            "2018-10-10 20:19:24 UTC",
            "2018-10-10 20:19:24.123456 UTC",
            "2018/10/10 20:19:24 UTC",
            "1539202764",
            "1539202764.0",
            "1539202764123",
            "1539202764123456",
            "1539202764123456789",
            "/Date(1539202764123)/",
        ] {
            let known = Moment { unix_seconds: SECONDS, has_zone: true };
            assert_eq!(moment(text, DateOrder::Unstated), Some(known), "{text}");
        }
        for text in [
            "2018-10-10 20:19:24",
            "2018-10-10T20:19:24.250",
            "Oct 10, 2018 8:19:24 PM",
            "October 10, 2018 at 08:19:24PM",
            "10.10.2018 20:19:24",
            "10-Oct-2018 20:19:24",
            "Wednesday, October 10, 2018 20:19:24",
            "Wed Oct 10 20:19:24 2018",
        ] {
            let known = Moment { unix_seconds: SECONDS, has_zone: false };
            assert_eq!(moment(text, DateOrder::Unstated), Some(known), "{text}");
        }
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("20000229", 951_782_400),
            ("8:19 PM \u{b7} Oct 10, 2018", SECONDS - 24),
            ("20:19 - 10 Oct 2018", SECONDS - 24),
            ("2018-10-10 20:19", SECONDS - 24),
        ] {
            assert_eq!(parse(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_read_as_stated() {
        let read = |text, order| moment(text, order).map(|moment| moment.unix_seconds);
        // The 2nd of January and the 1st of February 2018.
        let (january, february) = (1_514_851_200, 1_517_443_200);
        assert_eq!(read("1/2/2018 0:00", DateOrder::Unstated), None);
        assert_eq!(read("1/2/2018 0:00", DateOrder::MonthFirst), Some(january));
        assert_eq!(read("1/2/2018 0:00", DateOrder::DayFirst), Some(february));
        assert_eq!(read("1.2.2018", DateOrder::Unstated), Some(february));
        assert_eq!(read("43102", DateOrder::Unstated), None);
        assert_eq!(read("43102", DateOrder::Excel), Some(january));
        assert_eq!(read("43102.5", DateOrder::Excel), Some(january + 43_200));
    }

    #[test]
    fn impossible_times_are_none_and_counted_by_form() {
        let mut remarks = Remarks::default();
        let wrong = [
            "soon",
            "2018-13-01",
            "2019-02-29",
            "2018-02-30T00:00:00Z",
            "0000-01-01",
            "9999-12-31",
            "1899-12-31",
            "Wed Foo 10 20:19:24 +0000 2018",
            "Thu Oct 10 20:19:24 +0000 2018",
            "12",
            "2018-1",
            "+",
            "99999999999",
            "2018-10-10T25:00:00Z",
            "10 Oct 2018 20:61",
            "2018-10-10T20:19:24[Europe/Paris]",
            "20181399",
            "1.5.2",
        ];
        for text in wrong {
            assert_eq!(read(text, DateOrder::Unstated, &mut remarks), None, "{text:?}");
        }
        assert_eq!(remarks.iter().map(|(_, count)| count).sum::<u64>(), wrong.len() as u64);
        assert_eq!(
            remarks.count("times not understood (9 for any digit, a for any letter): 9999-99-99"),
            5
        );
        assert_eq!(form("Ann was born 31/12/1999"), "aaa aaa aaaa 99/99/9999");
        assert!(form(&"a1".repeat(500)).len() <= LONGEST_FORM);
    }

    proptest! {
        #[test]
        fn every_second_is_read_in_every_form(seconds in 100_000_000..END_UNIX_SECONDS) {
            let moment = jiff::Timestamp::from_second(seconds).unwrap().to_zoned_datetime(jiff::tz::TimeZone::UTC);
            for format in [
                "%a %b %d %H:%M:%S %z %Y", "%a, %d %b %Y %H:%M:%S %z", "%Y-%m-%dT%H:%M:%SZ", "%s",
                "%Y-%m-%d %H:%M:%S UTC", "%b %d, %Y at %I:%M:%S%p", "%d.%m.%Y %H:%M:%S",
            ] {
                let text = moment.strftime(format).to_string();
                prop_assert_eq!(parse(&text), Some(seconds), "{}", text);
            }
        }

        #[test]
        fn no_text_is_a_fault(text in "\\PC{0,40}") {
            parse(&text);
        }
    }
}
