//! Checkpoint intervals and the share of time that is useful, in closed form: Young, "A first order
//! approximation to the optimum checkpoint interval" (1974), and Daly, "A higher order estimate of
//! the optimum checkpoint interval" (2006). Failures are exponential and the cluster is always whole
//! again after a restart; what that leaves out is in [`super::simulation`].

use crate::units::Seconds;

/// Young's interval of useful work between checkpoints: √(2·C·M).
pub fn young_interval(checkpoint: Seconds, mean_time: Seconds) -> Seconds {
    Seconds((2.0 * checkpoint.0 * mean_time.0).sqrt())
}

/// Daly's interval (his equation 37): Young's with two more terms, less the checkpoint itself; never
/// below `least`, which the writing of the last checkpoint sets.
pub fn best_interval(checkpoint: Seconds, mean_time: Seconds, least: Seconds) -> Seconds {
    if checkpoint.0 >= 2.0 * mean_time.0 {
        return mean_time.max(least);
    }
    let ratio = checkpoint.0 / (2.0 * mean_time.0);
    let factor = 1.0 + ratio.sqrt() / 3.0 + ratio / 9.0;
    (young_interval(checkpoint, mean_time) * factor - checkpoint).max(Seconds(1.0)).max(least)
}

/// Share of time that is useful work: the interval over the expected time to get through it
/// (Daly's equation 20: restarts may fail too).
pub fn goodput(
    interval: Seconds,
    checkpoint: Seconds,
    restart: Seconds,
    mean_time: Seconds,
) -> f64 {
    let (t, c, r, m) = (interval.0, checkpoint.0, restart.0, mean_time.0);
    let expected = m * (r / m).exp() * (((t + c) / m).exp_m1());
    if expected.is_finite() { t / expected } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_interval_is_the_best() {
        let (c, m, r) = (Seconds(60.0), Seconds::hours(3.1), Seconds(600.0));
        let best = best_interval(c, m, Seconds::ZERO);
        let at = |factor: f64| goodput(best * factor, c, r, m);
        assert!(at(1.0) > at(0.8) && at(1.0) > at(1.25), "{best:?}");
        // The first-order loss C/T + T/2M + R/M agrees to a percent of time.
        let t = young_interval(c, m);
        let loss = c / t + t.0 / (2.0 * m.0) + r / m;
        assert!((1.0 - goodput(t, c, r, m) - loss).abs() < 0.015);
    }

    #[test]
    fn the_figures_of_the_literature() {
        // Mean time 186 minutes, checkpoint 30 s: an interval of 14 minutes.
        let t = young_interval(Seconds(30.0), Seconds(186.0 * 60.0));
        assert!((t.0 / 60.0 - 13.6).abs() < 0.1, "{}", t.0 / 60.0);
    }
}
