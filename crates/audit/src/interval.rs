//! Interval bounds of a difference at any level, and p-values by turning them around.
//!
//! Bounds are BCa (Efron, "Better bootstrap confidence intervals", JASA 82, 1987): percentiles of the
//! resampled differences, shifted for median bias and skewness. With few authors, or few that write
//! most, percentiles lie too close together; they are taken further out, as Student's t lies outside
//! the normal (the expanded percentile interval of Hesterberg, "What teachers should know about the
//! bootstrap", The American Statistician 69, 2015), with authors counted by their weight. Resampling cannot see what it never
//! drew: a side of which a rule dropped nothing (or everything) would get an interval of no width. Its
//! part of the uncertainty is then the exact bound of a beta-binomial model, joined to the rest by
//! MOVER (Zou and Donner, "Construction of confidence limits about effect measures", Statistics in
//! Medicine 27, 2008).

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use statrs::function::gamma::ln_gamma;

/// Correlation of two posts of one author that an unseen drop is assumed to have, when nothing was
/// seen to estimate it from. Nine rules on four groups of political posts had 0 to 0.13, but for 0.22
/// and 0.35 (analysis of variance estimator; docs/posts-audit.md).
const UNSEEN_CORRELATION: f64 = 0.3;

/// How finely levels are searched: halvings of the z range. 2^-40 of it is far below what a thousand
/// resamples can tell.
const HALVINGS: usize = 40;
/// Range of z in that search; beyond it probabilities are below 1e-9.
const WIDEST_Z: f64 = 6.0;

fn standard() -> Normal {
    Normal::standard()
}

/// How far out percentiles are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expansion {
    /// Degrees of freedom of Student's t.
    freedom: f64,
    /// Ratio of the unbiased standard error to that of resampling.
    factor: f64,
}

impl Expansion {
    /// None: plain BCa.
    #[cfg(test)]
    pub(super) const NONE: Expansion = Expansion { freedom: f64::INFINITY, factor: 1.0 };

    /// From the variance that either side adds and its posts by author. A side has as many authors as
    /// count in a weighted mean (Kish, "Survey Sampling", 1965, section 11.7); degrees of freedom are
    /// Welch and Satterthwaite's.
    pub(super) fn new(variance: [f64; 2], sizes: [&[u64]; 2]) -> Expansion {
        let effective = sizes.map(|sizes| {
            let sum: f64 = sizes.iter().map(|&n| n as f64).sum();
            let squares: f64 = sizes.iter().map(|&n| (n as f64).powi(2)).sum();
            // One author alone would give no degree of freedom at all.
            (sum * sum / squares).max(1.5)
        });
        let total: f64 = variance.iter().sum();
        if total <= 0.0 {
            return Expansion { freedom: f64::INFINITY, factor: 1.0 };
        }
        let sides = || variance.into_iter().zip(effective);
        let spread: f64 = sides().map(|(v, g)| v * v / (g - 1.0)).sum();
        let unbiased: f64 = sides().map(|(v, g)| v * g / (g - 1.0)).sum();
        Expansion { freedom: total * total / spread, factor: (unbiased / total).sqrt() }
    }

    /// The normal quantile `z`, further out.
    fn quantile(self, z: f64) -> f64 {
        // Beyond a hundred thousand, t is the normal within 1e-4 of z.
        if self.freedom > 1e5 {
            return self.factor * z;
        }
        match StudentsT::new(0.0, 1.0, self.freedom) {
            // The tail below zero is exact where the one above would round to 1.
            Ok(t) => self.factor * t.inverse_cdf(standard().cdf(-z.abs())).abs().copysign(z),
            Err(_) => self.factor * z,
        }
    }
}

/// Bounds of one difference.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    observed: f64,
    /// Ascending.
    distribution: Vec<f64>,
    bias: f64,
    acceleration: f64,
    expansion: Expansion,
    /// What the sides without variation may add: to the lower end, and to the upper.
    unseen: [Vec<UnseenRate>; 2],
}

/// A side of which a rule dropped none, or all: how far its rate may be from that.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct UnseenRate {
    /// Size of cluster, and how many there are.
    sizes: Vec<(u64, f64)>,
    correlation: f64,
}

impl UnseenRate {
    /// For posts by cluster. Without authors, posts are independent and clusters random.
    pub(super) fn new(mut sizes: Vec<u64>, authors_known: bool) -> UnseenRate {
        if !authors_known {
            let posts = sizes.iter().sum::<u64>() as f64;
            return UnseenRate { sizes: vec![(1, posts)], correlation: 0.0 };
        }
        sizes.sort_unstable();
        let groups = sizes.chunk_by(|a, b| a == b);
        let sizes = groups.map(|group| (group[0], group.len() as f64)).collect();
        UnseenRate { sizes, correlation: UNSEEN_CORRELATION }
    }

    /// The largest rate under which seeing no drop at all has probability `alpha` or more.
    ///
    /// Beta-binomial with mean m and correlation r: P(0 of n) = B(a, b + n) / B(a, b) with a = m k,
    /// b = (1 - m) k, k = (1 - r) / r.
    pub(super) fn bound(&self, alpha: f64) -> f64 {
        let target = alpha.ln();
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..HALVINGS {
            let rate = f64::midpoint(low, high);
            if self.log_probability(rate) > target { low = rate } else { high = rate }
        }
        f64::midpoint(low, high)
    }

    /// Log probability of no drop in any cluster at a mean rate.
    fn log_probability(&self, rate: f64) -> f64 {
        if self.correlation == 0.0 {
            return self.sizes.iter().map(|&(n, count)| count * n as f64 * (-rate).ln_1p()).sum();
        }
        let k = (1.0 - self.correlation) / self.correlation;
        let b = (1.0 - rate) * k;
        let of = |n: f64| ln_gamma(b + n) - ln_gamma(b) + ln_gamma(k) - ln_gamma(k + n);
        self.sizes.iter().map(|&(n, count)| count * of(n as f64)).sum()
    }
}

impl Bounds {
    /// From the observed difference, its resampled values in ascending order, the acceleration, how far
    /// out percentiles are taken, and sides without variation by the end they widen (lower, upper). `None` without enough values.
    pub(super) fn new(
        observed: f64,
        distribution: Vec<f64>,
        acceleration: f64,
        expansion: Expansion,
        unseen: [Vec<UnseenRate>; 2],
    ) -> Option<Bounds> {
        if observed.is_nan() || distribution.is_empty() {
            return None;
        }
        let count = distribution.len() as f64;
        let below = distribution.partition_point(|v| *v < observed) as f64;
        let up_to = distribution.partition_point(|v| *v <= observed) as f64;
        // Ties count half. A share of 0 or 1 would shift without end.
        let share = ((below + up_to) / (2.0 * count)).clamp(0.5 / count, 1.0 - 0.5 / count);
        let bias = standard().inverse_cdf(share);
        Some(Bounds { observed, distribution, bias, acceleration, expansion, unseen })
    }

    /// One-sided lower bound at error `alpha`.
    pub(super) fn lower(&self, alpha: f64) -> f64 {
        let below = self.observed - self.percentile(standard().inverse_cdf(alpha));
        self.observed - self.widened(below, &self.unseen[0], alpha)
    }

    /// One-sided upper bound at error `alpha`.
    pub(super) fn upper(&self, alpha: f64) -> f64 {
        let above = self.percentile(-standard().inverse_cdf(alpha)) - self.observed;
        self.observed + self.widened(above, &self.unseen[1], alpha)
    }

    /// The interval that misses the truth with probability `alpha`, half on either side.
    pub(super) fn interval(&self, alpha: f64) -> [f64; 2] {
        [self.lower(alpha / 2.0), self.upper(alpha / 2.0)]
    }

    /// MOVER: distances of independent parts add as squares.
    fn widened(&self, distance: f64, unseen: &[UnseenRate], alpha: f64) -> f64 {
        if unseen.is_empty() {
            return distance;
        }
        let parts = unseen.iter().map(|rate| rate.bound(alpha).powi(2));
        (distance.max(0.0).powi(2) + parts.sum::<f64>()).sqrt()
    }

    /// The resampled value at the BCa-adjusted place of the normal quantile `z`.
    fn percentile(&self, z: f64) -> f64 {
        let shifted = self.bias + self.expansion.quantile(z);
        let shrink = 1.0 - self.acceleration * shifted;
        // Past the pole of the adjustment, the outermost value is all there is.
        let adjusted = if shrink > 0.0 { self.bias + shifted / shrink } else { shifted * 1e9 };
        quantile(&self.distribution, standard().cdf(adjusted))
    }

    /// p-value of the hypothesis that the difference is at most `value`: the least error at which the
    /// lower bound lies above it, but no less than resampling can tell.
    pub(super) fn p_at_most(&self, value: f64) -> f64 {
        self.least_alpha(|alpha| self.lower(alpha) > value)
    }

    /// p-value of the hypothesis that the difference is at least `value`.
    pub(super) fn p_at_least(&self, value: f64) -> f64 {
        self.least_alpha(|alpha| self.upper(alpha) < value)
    }

    /// Two-sided p-value of the hypothesis that there is no difference.
    pub(super) fn p_of_none(&self) -> f64 {
        (2.0 * self.p_at_most(0.0).min(self.p_at_least(0.0))).min(1.0)
    }

    /// p-value of the hypothesis that the difference is `margin` or more in either direction: the
    /// larger of two one-sided tests (Schuirmann, "A comparison of the two one-sided tests procedure
    /// and the power approach", J. Pharmacokinetics and Biopharmaceutics 15, 1987).
    pub(super) fn p_outside(&self, margin: f64) -> f64 {
        self.p_at_most(-margin).max(self.p_at_least(margin))
    }

    fn least_alpha(&self, excludes: impl Fn(f64) -> bool) -> f64 {
        let alpha_of = |z: f64| standard().cdf(z);
        let (mut low, mut high) = (-WIDEST_Z, WIDEST_Z);
        for _ in 0..HALVINGS {
            let z = f64::midpoint(low, high);
            if excludes(alpha_of(z)) { high = z } else { low = z }
        }
        alpha_of(high).max(1.0 / (self.distribution.len() as f64 + 1.0))
    }
}

/// Quantile of ascending values, linear between them (Hyndman and Fan 1996, definition 7).
fn quantile(ascending: &[f64], share: f64) -> f64 {
    let place = share.clamp(0.0, 1.0) * (ascending.len() - 1) as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    let high = (low + 1).min(ascending.len() - 1);
    ascending[low] + part * (ascending[high] - ascending[low])
}
