//! How likely a run fits that the memory model says fits: the model's error on rows with measured memory,
//! as a distribution that says how far the truth may lie above. No constant of the memory model is fitted,
//! so every row is one it has not seen; rows of one model in one source are off alike and weigh one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::interval::weighted_quantile;
use crate::units::Bytes;

/// Probability with which a recommended layout fits.
pub const CERTAIN: f64 = 0.95;

/// An error on a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryScore<'a> {
    /// Source of the run.
    pub source: &'a str,
    /// Its model.
    pub model: &'a str,
    /// Logarithm of measured over predicted memory.
    pub error: f64,
}

/// The error of the memory model: the logarithm of measured over predicted memory lies about `center`,
/// and above it by Student's t of `clusters - 1` degrees of freedom times `above`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryError {
    /// Rows with measured memory.
    pub rows: usize,
    /// Sources of those rows.
    pub sources: usize,
    /// Models of those sources, which weigh one each.
    pub clusters: usize,
    /// Median of the logarithm.
    pub center: f64,
    /// Deviation of what lies above it: too much memory predicted harms no run.
    pub above: f64,
    /// Rows below the bound of [`CERTAIN`] that the other sources give.
    pub covered: usize,
}

impl MemoryError {
    /// The error from rows, with the coverage of bounds that have not seen the row's source.
    pub fn of(scores: &[MemoryScore]) -> Self {
        let mut error = Self::seen(scores);
        let sources: BTreeSet<&str> = scores.iter().map(|score| score.source).collect();
        error.sources = sources.len();
        for source in sources {
            let (own, others): (Vec<MemoryScore>, Vec<MemoryScore>) =
                scores.iter().copied().partition(|score| score.source == source);
            let bound = Self::seen(&others).bound();
            error.covered += own.iter().filter(|score| score.error <= bound.ln()).count();
        }
        error
    }

    fn seen(scores: &[MemoryScore]) -> Self {
        let mut rows: BTreeMap<(&str, &str), f64> = BTreeMap::new();
        for score in scores {
            *rows.entry((score.source, score.model)).or_default() += 1.0;
        }
        let weights: Vec<f64> =
            scores.iter().map(|score| 1.0 / rows[&(score.source, score.model)]).collect();
        let errors: Vec<f64> = scores.iter().map(|score| score.error).collect();
        let center = weighted_quantile(&errors, &weights, 0.5).unwrap_or(0.0);
        let clusters = rows.len();
        let squares = errors.iter().zip(&weights).map(|(e, w)| w * (e - center).max(0.0).powi(2));
        // Half of a symmetric error lies above, and one degree of freedom went into the center.
        let variance = 2.0 * squares.sum::<f64>() / (clusters as f64 - 1.0).max(1.0);
        let above = variance.sqrt().max(LEAST);
        MemoryError { rows: scores.len(), sources: 0, clusters, center, above, covered: 0 }
    }

    /// Probability that a run fits which is predicted to need so much.
    pub fn probability(&self, predicted: Bytes, usable: Bytes) -> f64 {
        let room = (usable / predicted).ln() - self.center;
        self.student().map_or(0.5, |t| t.cdf(room / self.scale()))
    }

    /// Memory over predicted memory that holds [`CERTAIN`] of all runs.
    pub fn bound(&self) -> f64 {
        let quantile = self.student().map_or(0.0, |t| t.inverse_cdf(CERTAIN));
        (self.center + quantile * self.scale()).exp()
    }

    /// The doubt about the center adds to the deviation.
    fn scale(&self) -> f64 {
        self.above * (1.0 + 1.0 / (self.clusters as f64).max(1.0)).sqrt()
    }

    fn student(&self) -> Option<StudentsT> {
        let freedom = (self.clusters as f64 - 1.0).max(1.0);
        StudentsT::new(0.0, 1.0, freedom).ok()
    }
}

/// Least deviation that is accepted: the allocator alone is off by a percent or two.
const LEAST: f64 = 0.02;

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_random::Draws;

    fn drawn(sources: usize, deviation: f64, seed: u64) -> Vec<(String, f64)> {
        let mut random = Draws::numbered(seed, 11);
        (0..sources).map(|i| (format!("s{i}"), deviation * random.normal())).collect()
    }

    fn scores(rows: &[(String, f64)]) -> Vec<MemoryScore<'_>> {
        rows.iter().map(|(source, e)| MemoryScore { source, model: "one", error: *e }).collect()
    }

    #[test]
    fn probabilities_are_those_of_the_error_that_was_drawn() {
        let rows = drawn(800, 0.1, 1);
        let error = MemoryError::of(&scores(&rows));
        // Of 800 rows a share of 0.95 is known to three quarters of a percent, and the bound to two.
        assert!((error.bound() - (0.1645_f64).exp()).abs() < 0.02, "{error:?}");
        assert!((error.covered as f64 / 800.0 - 0.95).abs() < 0.025, "{error:?}");
        let at = |usable: f64| error.probability(Bytes(1.0), Bytes(usable));
        assert!((at(0.1645_f64.exp()) - 0.95).abs() < 0.02);
        assert!((at(1.0) - 0.5).abs() < 0.05 && at(0.7) < 0.01 && at(2.0) > 0.999);
    }

    #[test]
    fn few_rows_widen_and_overestimates_do_not() {
        let many = MemoryError::of(&scores(&drawn(200, 0.1, 2)));
        let few = MemoryError::of(&scores(&drawn(4, 0.1, 2)));
        let width = |e: &MemoryError| (e.bound().ln() - e.center) / e.above;
        // Student's quantile with three degrees of freedom against the normal one, and the doubt about
        // the center: 2.63 against 1.66.
        assert!(width(&few) > 1.4 * width(&many), "{few:?} {many:?}");
        let mut rows = drawn(50, 0.1, 3);
        let before = MemoryError::of(&scores(&rows)).bound();
        rows.push(("too much predicted".to_owned(), -2.0));
        let after = MemoryError::of(&scores(&rows)).bound();
        assert!(after < 1.02 * before, "{before} {after}");
        assert!(MemoryError::of(&[]).bound().is_finite());
    }
}
