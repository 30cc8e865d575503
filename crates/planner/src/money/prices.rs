//! Price ranges from the dated data file `data/prices.toml`.

use serde::{Deserialize, Serialize};

use crate::error::{PlanError, Result};
use stoa_random::Draws;

/// The data file, as text.
pub const PRICE_DATA: &str = include_str!("../../data/prices.toml");

/// A range with its source: 90 % of the truth is held to lie in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Low end.
    pub low: f64,
    /// High end.
    pub high: f64,
    /// What is meant.
    pub what: String,
    /// Where.
    pub source: String,
    /// When.
    pub date: String,
    /// How the numbers were verified: read, secondary or recalled.
    pub checked: String,
}

impl Range {
    /// A range of one value, as a user gives it.
    pub fn exactly(value: f64, what: &str) -> Self {
        Range {
            low: value,
            high: value,
            what: what.to_owned(),
            source: "given on the command line".to_owned(),
            date: "-".to_owned(),
            checked: "given".to_owned(),
        }
    }

    /// Middle in the logarithm.
    pub fn middle(&self) -> f64 {
        (self.low * self.high).sqrt()
    }

    /// A draw: log-normal with 90 % between the ends.
    pub(crate) fn draw(&self, random: &mut Draws) -> f64 {
        let normal = random.normal();
        if self.low <= 0.0 || self.low == self.high {
            return self.low;
        }
        // 1.645 deviations from the middle lie 5 % on each side.
        let deviation = (self.high / self.low).ln() / (2.0 * 1.645);
        self.middle() * (deviation * normal).exp()
    }
}

/// All ranges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Server over accelerators.
    pub servers: Range,
    /// With network over without.
    pub network: Range,
    /// Paid over listed.
    pub accelerator: Range,
    /// Site, dollars a watt.
    pub site: Range,
    /// Dollars a kilowatt-hour.
    pub electricity: Range,
    /// Site power over machine power.
    pub pue: Range,
    /// Server power over accelerator power.
    pub host_power: Range,
    /// Years of use.
    pub life_years: Range,
    /// Repair a year, share of price.
    pub upkeep: Range,
}

impl Prices {
    /// The ranges shipped with this crate.
    pub fn published() -> Self {
        Self::read(PRICE_DATA, "data/prices.toml").expect("the shipped data file is tested")
    }

    /// Reads a data file of this format.
    ///
    /// # Errors
    /// When the text is not one, or a range is empty or lacks source or date.
    pub fn read(text: &str, place: &str) -> Result<Self> {
        let malformed = |reason: String| PlanError::Malformed { place: place.to_owned(), reason };
        let prices: Prices = toml::from_str(text).map_err(|e| malformed(e.to_string()))?;
        for range in prices.all() {
            if !(range.low > 0.0 && range.low <= range.high) {
                return Err(malformed(format!("`{}` is no range above 0", range.what)));
            }
            if range.source.is_empty() || range.date.len() != 7 {
                let what = &range.what;
                return Err(malformed(format!("`{what}` needs a source and a date like 2024-07")));
            }
            if !["read", "secondary", "recalled"].contains(&range.checked.as_str()) {
                let what = &range.what;
                return Err(malformed(format!(
                    "`{what}` needs checked = \"read\", \"secondary\" or \"recalled\""
                )));
            }
        }
        Ok(prices)
    }

    /// Every range.
    pub fn all(&self) -> [&Range; 9] {
        [
            &self.servers,
            &self.network,
            &self.accelerator,
            &self.site,
            &self.electricity,
            &self.pue,
            &self.host_power,
            &self.life_years,
            &self.upkeep,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_without_source_date_or_mark_are_refused() {
        for (part, put) in [
            ("date = \"2024-05\"", "date = \"\""),
            ("checked = \"read\"", "checked = \"surely\""),
            ("source = \"arXiv:2405.21015 (Epoch)\"", "source = \"\""),
            ("low = 1.3", "low = 9.9"),
        ] {
            assert!(PRICE_DATA.contains(part), "{part}");
            assert!(Prices::read(&PRICE_DATA.replace(part, put), "x").is_err(), "{put}");
        }
    }

    #[test]
    fn draws_fill_the_range_as_stated() {
        let range = Prices::published().servers;
        let mut random = Draws::numbered(3, 1);
        let n = 20_000;
        let inside =
            (0..n).filter(|_| (range.low..=range.high).contains(&range.draw(&mut random))).count();
        // 90 %, give or take four standard errors.
        assert!((inside as f64 / f64::from(n) - 0.9).abs() < 0.009, "{inside}");
        assert_eq!(Range::exactly(2.0, "x").draw(&mut random), 2.0);
    }
}
