//! Failure rates and times from the dated data file `data/failures.toml`, and the cost of a
//! checkpoint from its bytes.

use serde::{Deserialize, Serialize};

use crate::error::{PlanError, Result};
use crate::units::{ByteRate, Bytes, Seconds};

/// The data file, as text.
pub const FAILURE_DATA: &str = include_str!("../../data/failures.toml");

/// A published rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// Cluster and period.
    pub what: String,
    /// Devices.
    pub gpus: usize,
    /// Interruptions for 1,000 days of 8-device machines.
    pub per_1000_node_days: f64,
    /// Where.
    pub source: String,
    /// When.
    pub date: String,
    /// How it was verified: read, secondary or recalled.
    pub checked: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Causes {
    machine: f64,
    network: f64,
    software: f64,
    source: String,
    date: String,
    checked: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Times {
    restart_low_minutes: f64,
    restart_high_minutes: f64,
    drop_replica_seconds: f64,
    repair_low_hours: f64,
    repair_high_hours: f64,
    source: String,
    date: String,
    checked: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Storage {
    write_gb_s_per_node: f64,
    snapshot_gb_s_per_gpu: f64,
    source: String,
    date: String,
    checked: String,
}

/// What is known of failures.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failures {
    #[serde(rename = "observation")]
    observations: Vec<Observation>,
    causes: Causes,
    times: Times,
    storage: Storage,
}

impl Failures {
    /// The data shipped with this crate.
    pub fn published() -> Self {
        Self::read(FAILURE_DATA, "data/failures.toml").expect("the shipped data file is tested")
    }

    /// Reads a data file of this format.
    ///
    /// # Errors
    /// When the text is not one, holds no rate, or lacks a source or date.
    pub fn read(text: &str, place: &str) -> Result<Self> {
        let malformed = |reason: String| PlanError::Malformed { place: place.to_owned(), reason };
        let read: Failures = toml::from_str(text).map_err(|e| malformed(e.to_string()))?;
        let sourced = read
            .observations
            .iter()
            .map(|o| (&o.source, &o.date, &o.checked))
            .chain([
                (&read.causes.source, &read.causes.date, &read.causes.checked),
                (&read.times.source, &read.times.date, &read.times.checked),
                (&read.storage.source, &read.storage.date, &read.storage.checked),
            ])
            .all(|(source, date, checked)| {
                let marked = ["read", "secondary", "recalled"].contains(&checked.as_str());
                !source.is_empty() && date.len() == 7 && marked
            });
        if read.observations.is_empty() || !sourced {
            return Err(malformed(
                "every entry needs a source, a date like 2024-07 and checked = \"read\", \"secondary\" \
                 or \"recalled\""
                    .to_owned(),
            ));
        }
        Ok(read)
    }

    /// The observations.
    pub fn observations(&self) -> &[Observation] {
        &self.observations
    }

    /// Range of interruptions for 1,000 machine-days at a cluster's size: from the least of all
    /// observations to the greatest among clusters of at least a quarter of the size (what is
    /// tolerated on a small cluster would never let a large one work).
    pub fn rate_range(&self, gpus: usize) -> (f64, f64) {
        let rates = |least: usize| {
            self.observations.iter().filter(move |o| o.gpus >= least).map(|o| o.per_1000_node_days)
        };
        let low = rates(0).fold(f64::INFINITY, f64::min);
        let of_size = rates((gpus / 4).min(16_384)).fold(0.0, f64::max);
        (low, of_size.max(low))
    }

    /// Mean time between interruptions of a cluster of `gpus` at a rate for 1,000 machine-days.
    pub fn mean_time(per_1000_node_days: f64, gpus: usize) -> Seconds {
        let nodes = gpus as f64 / 8.0;
        Seconds::days(1000.0 / (per_1000_node_days * nodes))
    }

    /// Share of interruptions that take a machine out.
    pub fn machine_share(&self) -> f64 {
        self.causes.machine / (self.causes.machine + self.causes.network + self.causes.software)
    }

    /// Time to find out and restart, low and high.
    pub fn restart_range(&self) -> (Seconds, Seconds) {
        let minutes = |m: f64| Seconds(m * 60.0);
        (minutes(self.times.restart_low_minutes), minutes(self.times.restart_high_minutes))
    }

    /// Time to continue without a replica.
    pub fn drop_replica(&self) -> Seconds {
        Seconds(self.times.drop_replica_seconds)
    }

    /// Time to repair a machine, low and high.
    pub fn repair_range(&self) -> (Seconds, Seconds) {
        (Seconds::hours(self.times.repair_low_hours), Seconds::hours(self.times.repair_high_hours))
    }

    /// Cost of a checkpoint of a model of `params` parameters on `gpus` devices in machines of
    /// `node`, with shared storage of `storage` or what the data file says a machine writes.
    pub fn checkpoint(
        &self,
        params: f64,
        gpus: usize,
        node: usize,
        storage: Option<ByteRate>,
    ) -> Checkpoint {
        // Master weights and both moments in 32 bits, weights in 16.
        let bytes = Bytes(14.0 * params);
        let nodes = (gpus as f64 / node as f64).max(1.0);
        let shared = storage.unwrap_or(ByteRate::giga(self.storage.write_gb_s_per_node * nodes));
        let snapshot = ByteRate::giga(self.storage.snapshot_gb_s_per_gpu * gpus as f64);
        Checkpoint {
            bytes,
            // The step also waits once for all ranks to agree.
            blocking: bytes / snapshot + Seconds(1.0),
            write: bytes / shared,
        }
    }
}

/// What a checkpoint costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Checkpoint {
    /// Size.
    pub bytes: Bytes,
    /// Time training stands still: copying to host memory.
    pub blocking: Seconds,
    /// Time until it is on shared storage; no two overlap.
    pub write: Seconds,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_rates_are_reproduced() {
        // Llama 3: one interruption in 3.1 h on 16,384 devices.
        let mean = Failures::mean_time(3.8, 16_384);
        assert!((mean.as_hours() - 3.08).abs() < 0.02, "{}", mean.as_hours());
        let published = Failures::published();
        assert_eq!(published.rate_range(1024), (1.9, 23.7));
        assert_eq!(published.rate_range(16_384), (1.9, 6.5));
        assert_eq!(published.rate_range(100_000), (1.9, 6.5));
        assert!((published.machine_share() - 0.785).abs() < 1e-9);
    }

    #[test]
    fn a_checkpoint_of_llama_405b() {
        let cost = Failures::published().checkpoint(405e9, 16_384, 8, None);
        assert!((cost.bytes.0 / 5.67e12 - 1.0).abs() < 1e-9);
        // 5.67 TB at 2,048 GB/s.
        assert!((cost.write.0 - 2.77).abs() < 0.01, "{}", cost.write.0);
    }
}
