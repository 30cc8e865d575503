//! Quantities with their units, so that bytes are not added to seconds. Arithmetic only where it
//! has a meaning; no formatting beyond a short human form: three or four digits and the unit that fits.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Sub};

use serde::{Deserialize, Serialize};

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub f64);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0.0);

            /// The greater of two.
            #[must_use]
            pub fn max(self, other: Self) -> Self {
                Self(self.0.max(other.0))
            }

            /// The lesser of two.
            #[must_use]
            pub fn min(self, other: Self) -> Self {
                Self(self.0.min(other.0))
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }

        impl Mul<f64> for $name {
            type Output = Self;
            fn mul(self, factor: f64) -> Self {
                Self(self.0 * factor)
            }
        }

        impl Div<f64> for $name {
            type Output = Self;
            fn div(self, divisor: f64) -> Self {
                Self(self.0 / divisor)
            }
        }

        /// Ratio of two quantities of a kind.
        impl Div for $name {
            type Output = f64;
            fn div(self, other: Self) -> f64 {
                self.0 / other.0
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
                items.fold(Self::ZERO, Add::add)
            }
        }
    };
}

quantity!(
    /// Seconds.
    Seconds
);
quantity!(
    /// Bytes.
    Bytes
);
quantity!(
    /// Floating-point operations; a multiply-add counts two.
    Flops
);
quantity!(
    /// Floating-point operations a second.
    FlopRate
);
quantity!(
    /// Bytes a second.
    ByteRate
);
quantity!(
    /// Watts.
    Watts
);
quantity!(
    /// Joules.
    Joules
);
quantity!(
    /// US dollars.
    Dollars
);

/// `$a / $b = $c` and `$b * $c = $a`.
macro_rules! rate {
    ($a:ident / $b:ident = $c:ident) => {
        impl Div<$b> for $a {
            type Output = $c;
            fn div(self, other: $b) -> $c {
                $c(self.0 / other.0)
            }
        }
        impl Mul<$c> for $b {
            type Output = $a;
            fn mul(self, other: $c) -> $a {
                $a(self.0 * other.0)
            }
        }
    };
}

rate!(Bytes / ByteRate = Seconds);
rate!(Flops / FlopRate = Seconds);
rate!(Joules / Watts = Seconds);

impl Seconds {
    /// Seconds in a day.
    pub const DAY: Self = Self(86_400.0);

    /// This many hours.
    pub fn hours(hours: f64) -> Self {
        Self(hours * 3600.0)
    }

    /// This many days.
    pub fn days(days: f64) -> Self {
        Self(days * 86_400.0)
    }

    /// As hours.
    pub fn as_hours(self) -> f64 {
        self.0 / 3600.0
    }

    /// As days.
    pub fn as_days(self) -> f64 {
        self.0 / 86_400.0
    }
}

impl Bytes {
    /// This many GiB.
    pub fn gib(gib: f64) -> Self {
        Self(gib * f64::from(1_u32 << 30))
    }

    /// As GiB.
    pub fn as_gib(self) -> f64 {
        self.0 / f64::from(1_u32 << 30)
    }
}

impl FlopRate {
    /// This many TFLOP/s.
    pub fn tera(tera: f64) -> Self {
        Self(tera * 1e12)
    }
}

impl ByteRate {
    /// This many GB/s (powers of ten, as data sheets count).
    pub fn giga(giga: f64) -> Self {
        Self(giga * 1e9)
    }

    /// This many Gb/s.
    pub fn gigabits(gigabits: f64) -> Self {
        Self(gigabits * 1e9 / 8.0)
    }
}

impl Joules {
    /// As megawatt-hours.
    pub fn as_mwh(self) -> f64 {
        self.0 / 3.6e9
    }
}

/// A unit to show a quantity in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// What one of it is.
    pub one: f64,
    /// Its name.
    pub unit: &'static str,
}

impl Scale {
    /// The largest unit of which there is at least one; the first where there is none.
    fn fitting(value: f64, units: &[Scale]) -> Scale {
        let fits = units.iter().rev().find(|scale| value.abs() >= scale.one);
        fits.or(units.first()).copied().unwrap_or(Scale { one: 1.0, unit: "" })
    }

    /// For a time as long as this one, in seconds; days from two on.
    pub fn time(time: Seconds) -> Scale {
        let of = |one, unit| Scale { one, unit };
        match time.0.abs() {
            s if s < 1e-3 => of(1e-6, "µs"),
            s if s < 1.0 => of(1e-3, "ms"),
            s if s < 120.0 => of(1.0, "s"),
            s if s < 7200.0 => of(60.0, "min"),
            s if s < 172_800.0 => of(3600.0, "h"),
            _ => of(86_400.0, "days"),
        }
    }

    /// For an energy, in megawatt-hours.
    pub fn energy(mwh: f64) -> Scale {
        let of = |one, unit| Scale { one, unit };
        let units = [of(1e-6, "Wh"), of(1e-3, "kWh"), of(1.0, "MWh"), of(1e3, "GWh")];
        Self::fitting(mwh, &units)
    }

    /// For a power, in megawatts.
    pub fn power(mw: f64) -> Scale {
        let of = |one, unit| Scale { one, unit };
        Self::fitting(mw, &[of(1e-6, "W"), of(1e-3, "kW"), of(1.0, "MW"), of(1e3, "GW")])
    }

    /// For an amount of dollars.
    pub fn dollars(dollars: f64) -> Scale {
        let of = |one, unit| Scale { one, unit };
        match dollars.abs() {
            d if d < 1e4 => of(1.0, "$"),
            d if d < 1e6 => of(1e3, "k$"),
            _ => of(1e6, "M$"),
        }
    }

    /// A value in this unit, without its name.
    pub fn number(&self, value: f64) -> String {
        digits(value / self.one)
    }

    /// A value in this unit.
    pub fn show(&self, value: f64) -> String {
        format!("{} {}", self.number(value), self.unit)
    }

    /// A middle with its ends: 2.8 min (2.5 to 3.1).
    pub fn spread(&self, low: f64, middle: f64, high: f64) -> String {
        format!("{} ({} to {})", self.show(middle), self.number(low), self.number(high))
    }
}

/// Three digits, more for what is above a thousand; what is below a thousandth as a power of ten.
fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        v if v < 1e-3 => format!("{value:.1e}"),
        v if v < 0.1 => format!("{value:.4}"),
        v if v < 10.0 => format!("{value:.2}"),
        v if v < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A count with at most four digits: 10M, 65.54k, 15.6T, 512.
pub fn count(number: f64) -> String {
    let of = |one, unit| Scale { one, unit };
    let units = [of(1.0, ""), of(1e3, "k"), of(1e6, "M"), of(1e9, "B"), of(1e12, "T")];
    let scale = Scale::fitting(number, &units);
    let value = number / scale.one;
    let decimals = match value.abs() {
        v if v < 10.0 => 3,
        v if v < 100.0 => 2,
        v if v < 1000.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let text = if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", scale.unit)
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            s if s < 1e-3 => write!(f, "{:.0} µs", s * 1e6),
            s if s < 1.0 => write!(f, "{:.0} ms", s * 1e3),
            s if s < 120.0 => write!(f, "{s:.2} s"),
            s if s < 7200.0 => write!(f, "{:.1} min", s / 60.0),
            s if s < 172_800.0 => write!(f, "{:.1} h", s / 3600.0),
            s => write!(f, "{:.1} days", s / 86_400.0),
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (divisor, unit) = match self.0 {
            b if b < 1024.0 * 1024.0 => (1024.0, "KiB"),
            b if b < 1_073_741_824.0 => (1_048_576.0, "MiB"),
            b if b < 1_099_511_627_776.0 => (1_073_741_824.0, "GiB"),
            _ => (1_099_511_627_776.0, "TiB"),
        };
        write!(f, "{:.1} {unit}", self.0 / divisor)
    }
}

impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.abs() {
            d if d < 0.01 && d > 0.0 => write!(f, "${:.1e}", self.0),
            d if d < 10.0 => write!(f, "${:.2}", self.0),
            d if d < 1e4 => write!(f, "${:.0}", self.0),
            d if d < 1e6 => write!(f, "${:.0}k", self.0 / 1e3),
            d if d < 1e9 => write!(f, "${:.1}M", self.0 / 1e6),
            _ => write!(f, "${:.2}B", self.0 / 1e9),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_give_times_and_people_read_them() {
        let time = Bytes::gib(1.0) / ByteRate(1_073_741_824.0 / 2.0);
        assert_eq!(time, Seconds(2.0));
        assert_eq!(Watts(1000.0) * Seconds::hours(1000.0), Joules(3.6e9));
        assert_eq!(Joules(3.6e9).as_mwh(), 1.0);
        assert_eq!(Seconds(5400.0).to_string(), "90.0 min");
        assert_eq!(Dollars(5.576e6).to_string(), "$5.6M");
        assert_eq!(Bytes::gib(80.0).to_string(), "80.0 GiB");
        assert_eq!(Dollars(0.42).to_string(), "$0.42");
    }

    #[test]
    fn quantities_are_shown_in_the_unit_that_fits() {
        for (number, text) in [
            (10e6, "10M"),
            (15.6e12, "15.6T"),
            (65_536.0, "65.54k"),
            (512.0, "512"),
            (0.5, "0.5"),
            (8.03e9, "8.03B"),
            (124_439_808.0, "124.4M"),
            (9.9e15, "9900T"),
        ] {
            assert_eq!(count(number), text);
        }
        let day = 86_400.0;
        assert_eq!(
            Scale::time(Seconds(168.0)).spread(150.0, 168.0, 186.0),
            "2.80 min (2.50 to 3.10)"
        );
        assert_eq!(Scale::time(Seconds(41.0 * day)).show(41.25 * day), "41.2 days");
        assert_eq!(Scale::energy(0.0019).spread(0.0014, 0.0019, 0.0026), "1.90 kWh (1.40 to 2.60)");
        assert_eq!(Scale::energy(25_000.0).show(25_000.0), "25.0 GWh");
        assert_eq!(Scale::power(0.0017).show(0.0017), "1.70 kW");
        assert_eq!(Scale::dollars(1.5e8).show(1.5e8), "150 M$");
    }

    proptest! {
        #[test]
        fn a_count_above_nothing_is_never_shown_as_nothing(power in -2.0..16.0_f64) {
            let number = 10_f64.powf(power);
            let text = count(number);
            let digits: String =
                text.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
            let shown: f64 = digits.parse().unwrap();
            prop_assert!(shown > 0.0, "{number} is shown as {text}");
            let factor = match text.chars().last() {
                Some('k') => 1e3,
                Some('M') => 1e6,
                Some('B') => 1e9,
                Some('T') => 1e12,
                _ => 1.0,
            };
            // Four digits, three decimals below ten.
            prop_assert!((shown * factor / number - 1.0).abs() < 0.06, "{number} is {text}");
        }
    }
}
