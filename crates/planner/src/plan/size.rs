//! How many devices a deadline asks for, and how many tokens a budget affords: searches over the
//! answers of one cluster size.

use crate::error::{PlanError, Result};
use crate::units::Seconds;

/// Cluster sizes worth trying, in devices: whole domains or machines, times powers of two and the
/// steps between.
pub fn sizes(node: usize) -> Vec<usize> {
    let mut sizes: Vec<usize> = (0..=17)
        .flat_map(|power| {
            let machines = 1_usize << power;
            [machines, machines + machines / 2]
        })
        .map(|machines| machines * node)
        .filter(|gpus| *gpus <= 524_288)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// The smallest size whose time meets the deadline. `wall` says how long a size takes, or why it
/// cannot.
///
/// # Errors
/// When none meets it, with the fastest size found.
pub fn smallest(
    sizes: &[usize],
    deadline: Seconds,
    mut wall: impl FnMut(usize) -> Result<Seconds>,
) -> Result<usize> {
    let mut fastest: Option<(usize, Seconds)> = None;
    let mut reason = None;
    for &gpus in sizes {
        match wall(gpus) {
            Ok(time) if time <= deadline => return Ok(gpus),
            Ok(time) => {
                if fastest.is_none_or(|(_, least)| time < least) {
                    fastest = Some((gpus, time));
                }
            }
            Err(error) => reason = Some(error),
        }
    }
    match (fastest, reason) {
        (Some((gpus, time)), _) => Err(PlanError::Contradiction {
            demands: format!("a deadline of {deadline}"),
            reason: "no cluster size looked at is fast enough".to_owned(),
            nearest: format!("{time} on {gpus} devices, or fewer tokens"),
        }),
        (None, Some(error)) => Err(error),
        (None, None) => unreachable!("there are always sizes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_is_found_or_the_fastest_offered() {
        let sizes = sizes(8);
        assert_eq!(&sizes[..4], [8, 16, 24, 32]);
        let ideal = |gpus: usize| Ok(Seconds::days(6400.0 / gpus as f64));
        assert_eq!(smallest(&sizes, Seconds::days(10.0), ideal), Ok(768));
        let slow = |_| Ok(Seconds::days(99.0));
        let error = smallest(&sizes, Seconds::days(10.0), slow).unwrap_err().to_string();
        assert!(error.contains("99.0 days"), "{error}");
    }
}
