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
        /// Closest known names, nearest first.
        nearest: String,
        /// All names.
        known: String,
    },
    /// No such model in the data file.
    #[error("unknown model `{name}`; nearest: {nearest}. Known: {known}; or give a config.json")]
    UnknownModel {
        /// As asked.
        name: String,
        /// Closest known names, nearest first.
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
        /// Closest known names, nearest first.
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

/// How many names are proposed in place of an unknown one.
const PROPOSED: usize = 5;

/// The known names closest to the one asked, nearest first (by Levenshtein distance over lower case; a name
/// that begins the one asked, or is begun by it, counts two less; names as near stand in the order known).
/// `known` holds the names of one thing together, of which the closest is proposed.
pub(crate) fn nearest<'a, Names>(asked: &str, known: impl IntoIterator<Item = Names>) -> String
where
    Names: IntoIterator<Item = &'a str>,
{
    let asked = asked.to_lowercase();
    let far = |name: &str| {
        let name = name.to_lowercase();
        let begins = name.starts_with(&asked) || asked.starts_with(&name);
        distance(&asked, &name) - if begins { 2 } else { 0 }
    };
    let closest =
        |names: Names| names.into_iter().map(|name| (far(name), name)).min_by_key(|n| n.0);
    let mut ranked: Vec<(i64, &str)> = known.into_iter().filter_map(closest).collect();
    ranked.sort_by_key(|(far, _)| *far);
    let names: Vec<&str> = ranked.into_iter().map(|(_, name)| name).take(PROPOSED).collect();
    names.join(", ")
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
    fn the_nearest_names_are_offered_in_order() {
        let each = |names: &'static [&'static str]| names.iter().map(|name| [*name]);
        assert_eq!(nearest("h10", each(&["a100", "h100", "gb200"])), "h100, a100, gb200");
        let llamas = each(&["llama-70b", "llama-405b"]);
        assert_eq!(nearest("llama-405", llamas), "llama-405b, llama-70b");
        // Five at most; names as near in the order known.
        let many = each(&["abcd", "x", "abc", "abd", "zzzzzz", "ab", "abcde"]);
        assert_eq!(nearest("ABC", many), "abc, abcd, ab, abcde, abd");
        // One name of each thing: the closest.
        let things = [vec!["rtx-4090", "4090"], vec!["rtx-5090", "5090"], vec![]];
        assert_eq!(nearest("409", things), "4090, 5090");
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
