//! Times as posts write them, to Unix seconds.
//!
//! Known: X's `Wed Oct 10 20:19:24 +0000 2018`, ISO 8601 with or without zone (without: UTC), and Unix
//! seconds, milliseconds, microseconds or nanoseconds. Anything else is no time, never an error.

/// Unix seconds of a written time.
pub(super) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|_| text.len() >= 9).map(of_number);
    }
    if text.as_bytes().first()?.is_ascii_digit() { iso(text) } else { x_style(text) }
}

/// Unix seconds of a number of seconds, milliseconds, microseconds or nanoseconds, by its size.
pub(super) fn of_number(number: i64) -> i64 {
    // 10^11 seconds is the year 5138; as milliseconds it is 1973. So with each smaller unit.
    number.div_euclid(match number.unsigned_abs() {
        0..100_000_000_000 => 1,
        100_000_000_000..100_000_000_000_000 => 1000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000_000,
        _ => 1_000_000_000,
    })
}

fn x_style(text: &str) -> Option<i64> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let [_, month, day, clock, zone, year] = parts.as_slice() else { return None };
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.iter().position(|name| name == month)? as i64 + 1;
    Some(
        days(year.parse().ok()?, month, day.parse().ok()?)? * 86_400 + seconds(clock)?
            - zone_seconds(zone)?,
    )
}

fn iso(text: &str) -> Option<i64> {
    let (date, rest) = match text.find(['T', ' ']) {
        Some(at) => (&text[..at], text[at + 1..].trim()),
        None => (text, ""),
    };
    let mut fields = date.split('-').map(|field| field.parse::<i64>().ok());
    let day = days(fields.next()??, fields.next()??, fields.next()??)?;
    let zone_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(zone_at);
    let clock = if clock.is_empty() { 0 } else { seconds(clock.trim())? };
    Some(day * 86_400 + clock - zone_seconds(zone)?)
}

/// `20:19`, `20:19:24` or `20:19:24.123`.
fn seconds(clock: &str) -> Option<i64> {
    let whole = clock.split('.').next()?;
    let mut fields = whole.split(':').map(|field| field.parse::<i64>().ok());
    let (hour, minute) = (fields.next()??, fields.next()??);
    let second = fields.next().unwrap_or(Some(0))?;
    let valid = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    valid.then_some(hour * 3600 + minute * 60 + second)
}

/// ``, `Z`, `+0000`, `-05:00`.
fn zone_seconds(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match zone.as_bytes()[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = zone.chars().filter(char::is_ascii_digit).collect();
    let number: i64 = digits.parse().ok().filter(|_| digits.len() == 4)?;
    Some(sign * (number / 100 * 3600 + number % 100 * 60))
}

/// Days from 1970-01-01 in the Gregorian calendar (Hinnant, "chrono-compatible low-level date
/// algorithms", `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(0..=9999).contains(&year) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        // `date -u -d '2018-10-10 20:19:24' +%s` prints 1539202764.
        assert_eq!(parse("Wed Oct 10 20:19:24 +0000 2018"), Some(1_539_202_764));
        assert_eq!(parse("2018-10-10T20:19:24Z"), Some(1_539_202_764));
        assert_eq!(parse("2018-10-10T20:19:24.000Z"), Some(1_539_202_764));
        assert_eq!(parse("2018-10-10 16:19:24-04:00"), Some(1_539_202_764));
        assert_eq!(parse("1539202764"), Some(1_539_202_764));
        assert_eq!(parse("1539202764123"), Some(1_539_202_764));
        assert_eq!(parse("1539202764123456"), Some(1_539_202_764));
        assert_eq!(parse("1539202764123456789"), Some(1_539_202_764));
        assert_eq!(parse("1970-01-01"), Some(0));
        assert_eq!(parse("2000-02-29"), Some(951_782_400));
    }

    #[test]
    fn nonsense_is_no_time() {
        for text in
            ["", "soon", "2018-13-01", "Wed Foo 10 20:19:24 +0000 2018", "12", "2018-1", "+"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
