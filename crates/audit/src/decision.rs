//! From p-values and intervals to a verdict on a rule.

use serde::{Deserialize, Serialize};

/// What an audit says of a rule. In this order, the later weighs more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaning {
    /// Shown to treat the sides alike within the margin.
    WithinMargin,
    /// Neither shown to be within the margin nor to lean: more authors would tell.
    Undetermined,
    /// Drops more of one side, and is not shown to be within the margin.
    Leans,
}

impl Leaning {
    /// Name in results.
    pub fn name(self) -> &'static str {
        match self {
            Leaning::WithinMargin => "within_margin",
            Leaning::Undetermined => "undetermined",
            Leaning::Leans => "leans",
        }
    }

    /// The verdict of one comparison.
    ///
    /// Equivalence is judged first: with many authors a difference of no importance is not zero either.
    /// All comparisons must be within the margin for the whole to be, which needs no correction (an
    /// intersection–union test, Berger, "Multiparameter hypothesis testing and acceptance sampling",
    /// Technometrics 24, 1982); that any of them leans does, so `p_adjusted` is a corrected one.
    pub(super) fn judge(p_adjusted: f64, p_outside: f64, alpha: f64) -> Leaning {
        if p_outside < alpha {
            Leaning::WithinMargin
        } else if p_adjusted < alpha {
            Leaning::Leans
        } else {
            Leaning::Undetermined
        }
    }
}

/// p-values adjusted for their number, in the same order (Holm, "A simple sequentially rejective
/// multiple test procedure", Scandinavian Journal of Statistics 6, 1979). Those that are NaN are no
/// tests and stay NaN.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).filter(|&i| !p_values[i].is_nan()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![f64::NAN; p_values.len()];
    let mut largest = 0.0_f64;
    for (rank, &at) in order.iter().enumerate() {
        largest = largest.max((order.len() - rank) as f64 * p_values[at]).min(1.0);
        adjusted[at] = largest;
    }
    adjusted
}
