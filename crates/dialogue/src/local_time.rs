//! A moment on a wall clock, and its text by a C format: what templates ask for with
//! `strftime_now`. Gregorian calendar, English names (the C locale). Reads no clock.

use std::fmt::Write as _;

/// A date and time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// Year of the Gregorian calendar.
    pub year: i64,
    /// Month from 1.
    pub month: u32,
    /// Day of the month from 1.
    pub day: u32,
    /// Hour from 0.
    pub hour: u32,
    /// Minute from 0.
    pub minute: u32,
    /// Second from 0.
    pub second: u32,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const DAY_SECONDS: i64 = 86_400;

impl LocalTime {
    /// The time on a clock that runs `offset_seconds` ahead of UTC, `unix_seconds` after 1970.
    pub fn from_unix(unix_seconds: i64, offset_seconds: i32) -> Self {
        let local = unix_seconds.saturating_add(i64::from(offset_seconds));
        let (days, seconds) = (local.div_euclid(DAY_SECONDS), local.rem_euclid(DAY_SECONDS) as u32);
        // Days from 0000-03-01, so that the leap day ends the year; eras of 400 years all have
        // 146 097 days, years from March (Hinnant, "chrono-compatible low-level date algorithms").
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        LocalTime {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: month as u32,
            day: (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
        }
    }

    /// The text of a `strftime` format. Directives it does not know are left as they stand.
    pub fn format(&self, format: &str) -> String {
        let mut out = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let mut directive = chars.next();
            let unpadded = directive == Some('-');
            if unpadded {
                directive = chars.next();
            }
            self.directive(&mut out, directive, unpadded);
        }
        out
    }

    fn directive(&self, out: &mut String, directive: Option<char>, unpadded: bool) {
        let month = MONTHS[(self.month.clamp(1, 12) - 1) as usize];
        let day = DAYS[self.weekday()];
        let hour12 = (self.hour + 11) % 12 + 1;
        let width = |width| if unpadded { 0 } else { width };
        let mut number = |n: i64, digits: usize| write!(out, "{n:0digits$}");
        let written = match directive {
            Some('Y') => number(self.year, 0),
            Some('y') => number(self.year.rem_euclid(100), width(2)),
            Some('m') => number(i64::from(self.month), width(2)),
            Some('d') => number(i64::from(self.day), width(2)),
            Some('H') => number(i64::from(self.hour), width(2)),
            Some('I') => number(i64::from(hour12), width(2)),
            Some('M') => number(i64::from(self.minute), width(2)),
            Some('S') => number(i64::from(self.second), width(2)),
            Some('j') => number(i64::from(self.day_of_year()), width(3)),
            Some('e') => write!(out, "{:1$}", self.day, width(2)),
            Some('B') => write!(out, "{month}"),
            Some('b' | 'h') => write!(out, "{}", &month[..3]),
            Some('A') => write!(out, "{day}"),
            Some('a') => write!(out, "{}", &day[..3]),
            Some('p') => write!(out, "{}", if self.hour < 12 { "AM" } else { "PM" }),
            Some('F') => write!(out, "{}-{:02}-{:02}", self.year, self.month, self.day),
            Some('T') => write!(out, "{:02}:{:02}:{:02}", self.hour, self.minute, self.second),
            Some('%') => write!(out, "%"),
            other => {
                let dash = if unpadded { "-" } else { "" };
                write!(out, "%{dash}{}", other.map(String::from).unwrap_or_default())
            }
        };
        written.expect("writing to a string does not fail");
    }

    fn is_leap_year(&self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    fn day_of_year(&self) -> u32 {
        const BEFORE: [u32; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let leap_day = u32::from(self.month > 2 && self.is_leap_year());
        BEFORE[(self.month.clamp(1, 12) - 1) as usize] + leap_day + self.day
    }

    /// Days after Sunday.
    fn weekday(&self) -> usize {
        let years = self.year - 1;
        let leap_days = years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
        // 0001-01-01 was a Monday in the proleptic Gregorian calendar.
        (years * 365 + leap_days + i64::from(self.day_of_year())).rem_euclid(7) as usize
    }
}
