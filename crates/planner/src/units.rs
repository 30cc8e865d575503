//! Quantities with their units, so that bytes are not added to seconds. Arithmetic only where it
//! has a meaning; no formatting beyond a short human form.

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
            d if d < 1e4 => write!(f, "${:.0}", self.0),
            d if d < 1e6 => write!(f, "${:.0}k", self.0 / 1e3),
            d if d < 1e9 => write!(f, "${:.1}M", self.0 / 1e6),
            _ => write!(f, "${:.2}B", self.0 / 1e9),
        }
    }
}

#[cfg(test)]
mod tests {
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
    }
}
