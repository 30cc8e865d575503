//! The network beyond the machine as tiers of units, read from the dated data file `data/fabrics.toml`:
//! what share of a device's network is left for traffic that leaves a unit, and what it takes longer.
//! Placement is by rank order, as topology-aware schedulers do it (arXiv:2407.21783 section 3.3.1). No
//! contention with other jobs, no routing.

use serde::{Deserialize, Serialize};

use crate::error::{PlanError, Result, nearest};
use crate::units::Seconds;

/// The data file, as text.
pub const FABRIC_DATA: &str = include_str!("../data/fabrics.toml");

/// A unit of the network and what leaving it means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// What the unit is called.
    pub name: String,
    /// Devices under one unit.
    pub devices: usize,
    /// Bandwidth of its devices over bandwidth out of it.
    pub oversubscription: f64,
    /// Added one way to a message that leaves it, in microseconds.
    pub latency_us: f64,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fabric {
    /// Name in the data file.
    pub name: String,
    /// What it is.
    pub what: String,
    /// Where its shape is published.
    pub source: String,
    /// When.
    pub date: String,
    /// How the numbers were verified.
    pub checked: String,
    /// Where its latencies come from.
    pub latency_source: String,
    /// Units, the smallest first.
    pub tiers: Vec<Tier>,
}

impl Fabric {
    /// Without tiers.
    pub fn flat() -> Self {
        let nothing = String::new;
        Fabric {
            name: "flat".to_owned(),
            what: nothing(),
            source: nothing(),
            date: nothing(),
            checked: nothing(),
            latency_source: nothing(),
            tiers: Vec::new(),
        }
    }

    /// Tiers that traffic over `reach` neighbouring devices crosses.
    fn crossed(&self, reach: usize) -> impl Iterator<Item = &Tier> {
        self.tiers.iter().filter(move |tier| tier.devices < reach)
    }

    /// Share of its network a device has when, of every unit, `leaving` devices send beyond it at once:
    /// rings of interleaved groups leave a unit once each, so that few neighbours of a wide group share
    /// what goes up.
    pub fn share(&self, reach: usize, leaving: usize) -> f64 {
        self.crossed(reach)
            .map(|tier| {
                let up = tier.devices as f64 / tier.oversubscription;
                (up / leaving.clamp(1, tier.devices) as f64).min(1.0)
            })
            .fold(1.0, f64::min)
    }

    /// What an even exchange over `reach` devices puts on the narrowest tier, over what each device
    /// sends: the part that leaves a unit, times its oversubscription.
    pub fn even_exchange(&self, reach: usize) -> f64 {
        self.crossed(reach)
            .map(|tier| (1.0 - tier.devices as f64 / reach as f64) * tier.oversubscription)
            .fold(0.0, f64::max)
    }

    /// What a message over `reach` devices takes longer than within a leaf.
    pub fn farthest(&self, reach: usize) -> Seconds {
        self.crossed(reach).map(|tier| Seconds(tier.latency_us * 1e-6)).sum()
    }

    /// What going once around a ring over `reach` devices takes longer: a unit's border is crossed
    /// once for each unit.
    pub fn around(&self, reach: usize) -> Seconds {
        self.crossed(reach)
            .map(|tier| Seconds(tier.latency_us * 1e-6) * (reach as f64 / tier.devices as f64))
            .sum()
    }
}

/// Reads a data file of this format.
///
/// # Errors
/// When the text is not one, or an entry lacks source, date or order.
pub fn read(text: &str, place: &str) -> Result<Vec<Fabric>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        fabric: Vec<Fabric>,
    }
    let malformed = |reason: String| PlanError::Malformed { place: place.to_owned(), reason };
    let file: File = toml::from_str(text).map_err(|error| malformed(error.to_string()))?;
    for fabric in &file.fabric {
        let named = [&fabric.source, &fabric.checked, &fabric.latency_source];
        if named.iter().any(|text| text.is_empty()) || fabric.date.len() != 7 {
            return Err(malformed(format!(
                "`{}` needs source, latency_source, checked and a date like 2024-07",
                fabric.name
            )));
        }
        let valid = |t: &Tier| t.devices > 0 && t.oversubscription >= 1.0 && t.latency_us >= 0.0;
        let ordered = fabric.tiers.windows(2).all(|w| w[0].devices < w[1].devices);
        if !fabric.tiers.iter().all(valid) || !ordered {
            return Err(malformed(format!(
                "`{}`: tiers grow, oversubscription is at least 1, latencies are not negative",
                fabric.name
            )));
        }
    }
    Ok(file.fabric)
}

/// The shipped networks; the first is assumed where none is named.
pub fn published() -> Vec<Fabric> {
    read(FABRIC_DATA, "data/fabrics.toml").expect("the shipped data file is tested")
}

/// Finds one by name.
///
/// # Errors
/// With the nearest known name.
pub fn find<'a>(fabrics: &'a [Fabric], name: &str) -> Result<&'a Fabric> {
    let asked = name.trim().to_lowercase();
    fabrics.iter().find(|fabric| fabric.name == asked).ok_or_else(|| {
        let names: Vec<&str> = fabrics.iter().map(|fabric| fabric.name.as_str()).collect();
        PlanError::Quantity {
            what: "fabric".to_owned(),
            value: name.to_owned(),
            remedy: format!(
                "nearest: {}; known: {}",
                nearest(&asked, names.iter().map(|name| [*name])),
                names.join(", ")
            ),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_file_is_sourced_and_dated() {
        let fabrics = published();
        assert!(fabrics.len() >= 4 && fabrics[0].name == "fat-tree");
        assert!(find(&fabrics, "meta-roc").unwrap_err().to_string().contains("meta-roce"));
        let text = FABRIC_DATA.replace("date = \"2024-07\"", "date = \"\"");
        assert!(read(&text, "x").unwrap_err().to_string().contains("meta-roce"));
    }

    #[test]
    fn rings_share_what_goes_up_and_even_exchange_pays_in_full() {
        let fabrics = published();
        let meta = find(&fabrics, "meta-roce").unwrap();
        // Inside a pod nothing is lost; eight interleaved rings leave it with room to spare; when all
        // devices send to the next pod, a seventh is left.
        assert_eq!(meta.share(3072, 3072), 1.0);
        assert_eq!(meta.share(16_384, 8), 1.0);
        assert!((meta.share(16_384, 4096) - 1.0 / 7.0).abs() < 1e-12);
        assert_eq!(meta.even_exchange(16), 0.0);
        assert!((meta.even_exchange(6144) - 3.5).abs() < 1e-12);
        assert_eq!(meta.farthest(8), Seconds::ZERO);
        assert!(meta.around(16_384) > meta.farthest(16_384));
    }
}
