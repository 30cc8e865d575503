//! How wide an interval has to be to hold nine of ten runs of a source that was not seen: conformal
//! prediction with locally weighted errors (arXiv:1604.04173 section 5.2), for dense models and models
//! with experts apart, calibrated over clusters instead of rows, because runs of one model in one table
//! are off alike (hierarchical conformal prediction, arXiv:2306.06342: every cluster weighs the same,
//! whatever its rows). Knows no cost model: it is given errors and what was expected of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Nominal coverage of the stated intervals.
pub const NOMINAL: f64 = 0.90;

/// An error on a run whose source was not seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score<'a> {
    /// Source of the run.
    pub source: &'a str,
    /// Its model: runs of one model in one source are off alike.
    pub model: &'a str,
    /// Whether the model has experts.
    pub sparse: bool,
    /// Logarithm of predicted over measured step time.
    pub error: f64,
    /// Variance of that logarithm by the doubt about the constants alone.
    pub variance: f64,
}

/// What determines the width of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Widths {
    /// Error of the model itself on dense models, constants aside: root mean square of the logarithm.
    pub residual_dense: f64,
    /// The same on models with experts.
    pub residual_moe: f64,
    /// Expected errors that hold nine of ten dense models: 1.6 if errors were normal, expected rightly
    /// and many.
    pub quantile_dense: f64,
    /// The same of models with experts.
    pub quantile_moe: f64,
    /// Widening for a device that no calibrated run was on.
    pub unseen_device: f64,
}

/// Smallest residual that is accepted: no model of this kind is nearer than a few percent.
const MIN_RESIDUAL: f64 = 0.03;

/// Errors beyond this many times the expected one count no further towards the residual, so that a run
/// whose conditions were misreported does not widen all intervals.
const LARGEST: f64 = 0.5;

impl Widths {
    /// Widths from errors on sources not seen.
    pub fn of(scores: &[Score]) -> Self {
        let weights = weights(scores);
        let all = residual(scores, &weights, |_| true).unwrap_or(0.15);
        let of_class = |sparse: bool| residual(scores, &weights, |s| s.sparse == sparse);
        // A class that no other source has is doubted twice as much as what was seen.
        let mut widths = Widths {
            residual_dense: of_class(false).unwrap_or(2.0 * all),
            residual_moe: of_class(true).unwrap_or(2.0 * all),
            quantile_dense: NORMAL,
            quantile_moe: NORMAL,
            unseen_device: 1.0,
        };
        let quantile = |sparse: bool| {
            let (sizes, weights): (Vec<f64>, Vec<f64>) = scores
                .iter()
                .zip(&weights)
                .filter(|(s, _)| s.sparse == sparse)
                .map(|(s, w)| (s.error.abs() / widths.expected(s.sparse, s.variance), *w))
                .unzip();
            // The number of clusters: each weighs one.
            let clusters: f64 = weights.iter().sum();
            let level = (NOMINAL * (1.0 + 1.0 / clusters)).min(1.0);
            weighted_quantile(&sizes, &weights, level).map(|q| q * few(clusters))
        };
        let (dense, sparse) = (quantile(false), quantile(true));
        widths.quantile_dense = dense.or(sparse).unwrap_or(NORMAL);
        widths.quantile_moe = sparse.or(dense).unwrap_or(NORMAL);
        widths
    }

    /// The widening that errors on devices not seen ask for: `scores` are of runs predicted without any
    /// run on their device; `source` names the device.
    pub fn widened_for_devices(self, scores: &[Score]) -> Self {
        let sizes: Vec<f64> = scores
            .iter()
            .map(|s| s.error.abs() / self.half_width(s.sparse, s.variance, true))
            .collect();
        let wider = weighted_quantile(&sizes, &weights(scores), NOMINAL).unwrap_or(1.0);
        Widths { unseen_device: wider.clamp(1.0, 3.0), ..self }
    }

    /// Standard deviation expected of an error's logarithm.
    fn expected(&self, sparse: bool, variance: f64) -> f64 {
        let residual = if sparse { self.residual_moe } else { self.residual_dense };
        (residual * residual + variance).sqrt()
    }

    /// Half the width of an interval, in the logarithm of the step time.
    pub fn half_width(&self, sparse: bool, variance: f64, device_seen: bool) -> f64 {
        let wider = if device_seen { 1.0 } else { self.unseen_device };
        let quantile = if sparse { self.quantile_moe } else { self.quantile_dense };
        quantile * self.expected(sparse, variance) * wider
    }
}

/// The 95 % quantile of a normal.
const NORMAL: f64 = 1.645;

/// Widening for few clusters, whose spread is itself in doubt: Student's 95 % quantile over the normal
/// one (Abramowitz and Stegun 26.7.5, two terms).
fn few(clusters: f64) -> f64 {
    let freedom = (clusters - 1.0).max(1.0);
    let z = NORMAL;
    let first = (z.powi(3) + z) / (4.0 * freedom);
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * freedom * freedom);
    (z + first + second) / z
}

/// Every cluster weighs one: the runs of one model in one source.
fn weights(scores: &[Score]) -> Vec<f64> {
    let mut rows: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for score in scores {
        *rows.entry((score.source, score.model)).or_default() += 1.0;
    }
    scores.iter().map(|score| 1.0 / rows[&(score.source, score.model)]).collect()
}

/// What of the mean square error the constants do not explain; `None` without a row.
fn residual(scores: &[Score], weights: &[f64], of: impl Fn(&Score) -> bool) -> Option<f64> {
    let (mut sum, mut weight) = (0.0, 0.0);
    for (score, w) in scores.iter().zip(weights).filter(|(score, _)| of(score)) {
        sum += w * (score.error.abs().min(LARGEST).powi(2) - score.variance);
        weight += w;
    }
    (weight > 0.0).then(|| (sum / weight).max(MIN_RESIDUAL * MIN_RESIDUAL).sqrt())
}

/// The least value that, with all below it, holds a share of the weight.
pub(super) fn weighted_quantile(values: &[f64], weights: &[f64], share: f64) -> Option<f64> {
    let mut sorted: Vec<(f64, f64)> = values.iter().copied().zip(weights.iter().copied()).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = sorted.iter().map(|(_, weight)| weight).sum();
    let mut held = 0.0;
    for (value, weight) in &sorted {
        held += weight;
        if held >= share * total - 1e-12 {
            return Some(*value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_random::Draws;

    fn drawn(sources: usize, rows: usize, seed: u64) -> Vec<(String, f64, f64)> {
        let mut random = Draws::numbered(seed, 7);
        (0..sources)
            .flat_map(|source| {
                // Sources are off as a whole, and their rows besides.
                let whole = 0.08 * random.normal();
                (0..rows)
                    .map(|row| {
                        let variance = if row % 2 == 0 { 0.0 } else { 0.04 };
                        let error = whole + (0.0036_f64 + variance).sqrt() * random.normal();
                        (format!("s{source}"), error, variance)
                    })
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    fn scores(rows: &[(String, f64, f64)]) -> Vec<Score<'_>> {
        rows.iter()
            .map(|(source, error, variance)| Score {
                source,
                model: "one",
                sparse: false,
                error: *error,
                variance: *variance,
            })
            .collect()
    }

    #[test]
    fn new_sources_are_covered_as_stated_and_doubtful_rows_get_wider_intervals() {
        let known = drawn(40, 6, 1);
        let widths = Widths::of(&scores(&known));
        assert!(widths.half_width(false, 0.04, true) > 1.5 * widths.half_width(false, 0.0, true));
        let fresh = drawn(400, 6, 2);
        let covered = fresh
            .iter()
            .filter(|(_, error, variance)| error.abs() <= widths.half_width(false, *variance, true))
            .count();
        let share = covered as f64 / fresh.len() as f64;
        // Forty sources estimate a 90 % quantile to a few percent.
        assert!((0.85..0.95).contains(&share), "{share}");
    }

    #[test]
    fn a_source_with_many_rows_does_not_decide() {
        let mut rows = drawn(20, 2, 3);
        let before = Widths::of(&scores(&rows)).quantile_dense;
        rows.extend((0..500).map(|_| ("large".to_owned(), 0.001, 0.0)));
        let after = Widths::of(&scores(&rows)).quantile_dense;
        assert!(after > 0.6 * before, "{before} {after}");
    }

    #[test]
    fn few_clusters_are_trusted_less() {
        // Student's 95 % quantiles: 2.132 at 4 degrees of freedom, 1.895 at 7, 1.645 at very many.
        for (clusters, student) in [(5.0, 2.132), (8.0, 1.895), (1e6, 1.645)] {
            assert!((few(clusters) * NORMAL / student - 1.0).abs() < 0.01, "{clusters}");
        }
        let many = Widths::of(&scores(&drawn(60, 3, 5)));
        let three = drawn(3, 3, 5);
        assert!(Widths::of(&scores(&three)).quantile_dense > many.quantile_dense);
    }

    #[test]
    fn devices_and_classes_not_seen_are_doubted_more() {
        let rows = drawn(20, 3, 4);
        let widths = Widths::of(&scores(&rows));
        assert!(widths.residual_moe > 1.5 * widths.residual_dense);
        let off: Vec<(String, f64, f64)> =
            rows.iter().map(|r| (r.0.clone(), 2.0 * r.1, r.2)).collect();
        let wider = widths.widened_for_devices(&scores(&off));
        assert!(wider.unseen_device > 1.3, "{wider:?}");
        assert!(wider.half_width(false, 0.0, false) > wider.half_width(false, 0.0, true));
        assert_eq!(Widths::of(&[]).unseen_device, 1.0);
    }
}
