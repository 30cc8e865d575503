//! Author-clustered bootstrap of differences between two sides, in all and by stratum.
//!
//! Authors, not posts, are drawn: posts of one author resemble each other, and only new authors bring
//! news (Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8). Each
//! side is resampled by itself; every rule sees the same draws. A resample is a function of (seed,
//! side, number), so the result is the same at any thread count.

use std::thread;

use super::tally::SideCounts;
use stoa_random::Draws;

/// Which numbers one resample gives, and where they stand: for every rule (the pipeline first) the
/// difference in all, like for like, and in each stratum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) strata: usize,
    pub(super) rules: usize,
}

/// A difference that is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contrast {
    /// Rates over all posts.
    Overall,
    /// Rates within strata, averaged with Mantel–Haenszel weights.
    LikeForLike,
    /// Rates in one stratum.
    Stratum(usize),
}

impl Layout {
    pub(super) fn of(side: &SideCounts) -> Layout {
        Layout { strata: side.strata, rules: side.width - 1 }
    }

    pub(super) fn len(self) -> usize {
        self.rules * (self.strata + 2)
    }

    pub(super) fn place(self, rule: usize, contrast: Contrast) -> usize {
        let within = match contrast {
            Contrast::Overall => 0,
            Contrast::LikeForLike => 1,
            Contrast::Stratum(stratum) => 2 + stratum,
        };
        rule * (self.strata + 2) + within
    }
}

/// The differences `other - reference`, from sums of shape `[strata, width]` each. A difference that
/// has no posts to stand on is NaN.
///
/// Like for like is the Mantel–Haenszel risk difference: strata are weighted by `n_a n_b / (n_a +
/// n_b)` (Greenland and Robins, "Estimation of a common effect parameter from sparse follow-up data",
/// Biometrics 41, 1985, formula for the risk difference). Strata that only one side has do not count.
pub(super) fn differences(layout: Layout, reference: &[u64], other: &[u64], out: &mut [f64]) {
    let width = layout.rules + 1;
    for rule in 0..layout.rules {
        let (mut n, mut dropped) = ([0_u64; 2], [0_u64; 2]);
        let (mut weighted, mut weights) = (0.0, 0.0);
        for stratum in 0..layout.strata {
            let [base, against] = [reference, other].map(|sums| &sums[stratum * width..][..width]);
            let posts = [base[0], against[0]];
            let drops = [base[rule + 1], against[rule + 1]];
            for side in 0..2 {
                n[side] += posts[side];
                dropped[side] += drops[side];
            }
            let difference = difference(posts, drops);
            out[layout.place(rule, Contrast::Stratum(stratum))] = difference;
            if posts[0] > 0 && posts[1] > 0 {
                let [a, b] = posts.map(|posts| posts as f64);
                let weight = a * b / (a + b);
                weighted += weight * difference;
                weights += weight;
            }
        }
        out[layout.place(rule, Contrast::Overall)] = difference(n, dropped);
        let like = if weights > 0.0 { weighted / weights } else { f64::NAN };
        out[layout.place(rule, Contrast::LikeForLike)] = like;
    }
}

fn difference(posts: [u64; 2], dropped: [u64; 2]) -> f64 {
    dropped[1] as f64 / posts[1] as f64 - dropped[0] as f64 / posts[0] as f64
}

/// The bootstrap of two sides.
pub(super) struct Resampled {
    /// The differences in the data, by `Layout`.
    pub(super) observed: Vec<f64>,
    /// What the jackknife over authors says of each.
    pub(super) jackknife: Vec<Jackknife>,
    /// Differences of the resamples: `[resamples, layout]`, row-major.
    distributions: Vec<f64>,
}

impl Resampled {
    /// The differences of one resample.
    #[cfg(test)]
    pub(super) fn row(&self, number: usize) -> &[f64] {
        &self.distributions[number * self.observed.len()..][..self.observed.len()]
    }

    /// The resampled values of one difference, ascending, those without posts to stand on left out.
    pub(super) fn distribution(&self, place: usize) -> Vec<f64> {
        let rows = self.distributions.chunks(self.observed.len());
        let mut values: Vec<f64> = rows.map(|row| row[place]).filter(|v| !v.is_nan()).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }
}

/// How many resamples, from which seed, on how many threads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) resamples: usize,
    pub(super) threads: usize,
}

/// Resamples both sides. `names` tell the streams of draws apart, so that the draws of a side do not
/// depend on what it is compared with.
pub(super) fn resample(
    plan: Plan,
    names: [&str; 2],
    reference: &SideCounts,
    other: &SideCounts,
) -> Resampled {
    let layout = Layout::of(reference);
    let mut observed = vec![f64::NAN; layout.len()];
    differences(layout, &reference.totals(), &other.totals(), &mut observed);
    let mut distributions = vec![f64::NAN; plan.resamples * layout.len()];
    let rows_each = plan.resamples.div_ceil(plan.threads.max(1)).max(1);
    thread::scope(|scope| {
        for (block, rows) in distributions.chunks_mut(rows_each * layout.len()).enumerate() {
            scope.spawn(move || {
                let first = block * rows_each;
                for (index, row) in rows.chunks_mut(layout.len()).enumerate() {
                    let number = first + index;
                    let [a, b] = [(names[0], reference), (names[1], other)]
                        .map(|(name, side)| drawn(side, plan.seed, name, number));
                    differences(layout, &a, &b, row);
                }
            });
        }
    });
    let jackknife = jackknife(layout, reference, other);
    Resampled { observed, jackknife, distributions }
}

/// Sums over as many clusters as the side has, drawn with replacement.
fn drawn(side: &SideCounts, seed: u64, name: &str, number: usize) -> Vec<u64> {
    let mut sums = vec![0; side.strata * side.width];
    let mut draws = Draws::new(seed, &format!("audit/{name}/{number}"));
    for _ in 0..side.clusters.len() {
        let cluster: &Vec<_> = draws.pick(&side.clusters);
        side.add(&mut sums, cluster);
    }
    sums
}

/// What leaving out one author at a time says of a difference.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Jackknife {
    /// Acceleration of the two-sample BCa interval: the skewness of the influence values of both
    /// sides together (Efron, "Better bootstrap confidence intervals", JASA 82, 1987, section 7;
    /// several samples as `scipy.stats.bootstrap` takes them).
    pub(super) acceleration: f64,
    /// What either side, the reference first, adds to the variance of the difference.
    pub(super) variance: [f64; 2],
}

fn jackknife(layout: Layout, reference: &SideCounts, other: &SideCounts) -> Vec<Jackknife> {
    let totals = [reference.totals(), other.totals()];
    let mut cubes = vec![0.0; layout.len()];
    let mut found = vec![Jackknife::default(); layout.len()];
    for (at, side) in [reference, other].into_iter().enumerate() {
        let count = side.clusters.len() as f64;
        let mut left_out = vec![f64::NAN; side.clusters.len() * layout.len()];
        for (cluster, row) in side.clusters.iter().zip(left_out.chunks_mut(layout.len())) {
            let mut sums = totals.clone();
            for (stratum, counts) in cluster {
                let sums = &mut sums[at][stratum * side.width..][..side.width];
                sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum -= count);
            }
            differences(layout, &sums[0], &sums[1], row);
        }
        for place in 0..layout.len() {
            let values =
                || left_out.iter().skip(place).step_by(layout.len()).filter(|v| !v.is_nan());
            let mean = values().sum::<f64>() / values().count() as f64;
            for value in values() {
                let influence = (count - 1.0) * (mean - value) / count;
                cubes[place] += influence.powi(3);
                found[place].variance[at] += influence.powi(2);
            }
        }
    }
    for (found, cube) in found.iter_mut().zip(cubes) {
        let square: f64 = found.variance.iter().sum();
        found.acceleration = if square > 0.0 { cube / (6.0 * square.powf(1.5)) } else { 0.0 };
    }
    found
}
