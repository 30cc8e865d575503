//! What can be wrong with a question put to the planner. Every variant carries the values and the
//! nearest thing that would do; nothing here knows files or terminals.

use thiserror::Error;

use crate::units::Bytes;

/// A question the planner cannot answer.
#[derive(Debug, Error, PartialEq)]
pub enum PlanError {
    /// No such accelerator in the data file.
    #[error("unknown GPU `{name}`; nearest: {nearest}. Known: {known}")]
    UnknownGpu {
        /// As asked.
        name: String,
        /// Closest known name.
        nearest: String,
        /// All names.
        known: String,
    },
    /// No such model in the data file.
    #[error("unknown model `{name}`; nearest: {nearest}. Known: {known}; or give a config.json")]
    UnknownModel {
        /// As asked.
        name: String,
        /// Closest known name.
        nearest: String,
        /// All names.
        known: String,
    },
    /// No such training program in the data file.
    #[error(
        "unknown software `{name}`; nearest: {nearest}. Known: {known}; or leave it out for present practice"
    )]
    UnknownSoftware {
        /// As asked.
        name: String,
        /// Closest known name.
        nearest: String,
        /// All names.
        known: String,
    },
    /// A quantity outside what makes sense.
    #[error("{what} is {value}: {remedy}")]
    Quantity {
        /// Name of the option or field.
        what: String,
        /// As given.
        value: String,
        /// What to give instead.
        remedy: String,
    },
    /// Parallel sizes that do not make up the cluster or the model.
    #[error("impossible layout {layout}: {reason}; nearest possible: {nearest}")]
    Layout {
        /// As given.
        layout: String,
        /// The rule it breaks.
        reason: String,
        /// A layout that obeys it.
        nearest: String,
    },
    /// No layout fits in memory.
    #[error(
        "{model} does not fit on {gpus} × {gpu}: the leanest layout needs {needed} a GPU of {available}; \
         nearest possible: {nearest}"
    )]
    DoesNotFit {
        /// Name of the model.
        model: String,
        /// Devices.
        gpus: usize,
        /// Device.
        gpu: String,
        /// Least memory a rank found.
        needed: Bytes,
        /// Memory of the device.
        available: Bytes,
        /// A cluster or setting that would do.
        nearest: String,
    },
    /// Demands that contradict each other.
    #[error("{demands} contradict each other: {reason}; nearest possible: {nearest}")]
    Contradiction {
        /// The demands.
        demands: String,
        /// Why.
        reason: String,
        /// What could be had.
        nearest: String,
    },
    /// A data file, row or configuration that cannot be read.
    #[error("{place}: {reason}")]
    Malformed {
        /// File, line, column or field.
        place: String,
        /// What is wrong and what to do.
        reason: String,
    },
}

/// Result of the planner.
pub type Result<T> = std::result::Result<T, PlanError>;

/// The known name closest to the one asked (by Levenshtein distance over lower case).
pub(crate) fn nearest<'a>(asked: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let asked = asked.to_lowercase();
    known
        .into_iter()
        .min_by_key(|name| {
            let shared = name.starts_with(&asked) || asked.starts_with(name);
            distance(&asked, &name.to_lowercase()) - if shared { 2 } else { 0 }
        })
        .unwrap_or_default()
        .to_owned()
}

fn distance(a: &str, b: &str) -> i64 {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<i64> = (0..=b.len() as i64).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i as i64 + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + i64::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered() {
        assert_eq!(nearest("h10", ["a100", "h100", "gb200"]), "h100");
        assert_eq!(nearest("llama-405", ["llama-70b", "llama-405b"]), "llama-405b");
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
