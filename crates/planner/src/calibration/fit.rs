//! Fits the constants to measured steps: Levenberg–Marquardt over the logarithm of the ratio of
//! predicted to measured time, robust against single rows (Huber), each constant held near its
//! prior and within its bounds, each source given a weight that grows only with the root of its
//! rows. Predicts nothing itself.

use std::collections::BTreeMap;

use super::{CONSTANTS, Case, Constants};
use crate::time::step_time;

/// A fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The constants found.
    pub constants: Constants,
    /// Rows it was made from.
    pub rows: usize,
}

/// Residual beyond which a row pulls only linearly: typical errors of the model are below it.
const HUBER: f64 = 0.10;

/// Weight of the priors: a constant one unit away from its prior on the logistic scale costs as
/// much as one row that is off by this ratio.
const PRIOR_PULL: f64 = 0.06;

/// Steps of the search; it settles in about ten.
const ROUNDS: usize = 25;

/// Fits the constants to cases.
pub fn fit(cases: &[&Case]) -> Fit {
    let timed: Vec<&&Case> = cases.iter().filter(|case| case.measured.is_some()).collect();
    let mut per_source: BTreeMap<&str, f64> = BTreeMap::new();
    for case in &timed {
        *per_source.entry(&case.row.group).or_default() += 1.0;
    }
    let weights: Vec<f64> =
        timed.iter().map(|case| per_source[case.row.group.as_str()].powf(-0.25)).collect();
    let prior: Vec<f64> = CONSTANTS.iter().map(|c| to_free(c.prior, c.low, c.high)).collect();
    let problem = Problem { timed: &timed, weights: &weights, prior: &prior };
    let mut free = prior.clone();
    let mut damping = 1e-2;
    let mut cost = problem.cost(&free);
    for _ in 0..ROUNDS {
        let step = problem.step(&free, damping);
        let trial: Vec<f64> = free.iter().zip(&step).map(|(x, d)| x + d.clamp(-1.0, 1.0)).collect();
        let trial_cost = problem.cost(&trial);
        if trial_cost < cost {
            let gain = cost - trial_cost;
            (free, cost) = (trial, trial_cost);
            damping = (damping * 0.3).max(1e-9);
            if gain < 1e-7 * cost {
                break;
            }
        } else {
            damping *= 8.0;
        }
    }
    Fit { constants: constants(&free), rows: timed.len() }
}

/// The logarithm of predicted over measured step time.
pub(super) fn log_ratio(case: &Case, constants: &Constants) -> Option<f64> {
    let measured = case.measured?;
    Some((step_time(&case.job(), constants).total() / measured).ln())
}

struct Problem<'a> {
    timed: &'a [&'a &'a Case],
    weights: &'a [f64],
    prior: &'a [f64],
}

impl Problem<'_> {
    fn residuals(&self, free: &[f64]) -> Vec<f64> {
        let constants = constants(free);
        self.timed.iter().map(|case| log_ratio(case, &constants).unwrap_or(0.0)).collect()
    }

    fn cost(&self, free: &[f64]) -> f64 {
        let rows: f64 =
            self.residuals(free).iter().zip(self.weights).map(|(r, w)| w * w * huber(*r)).sum();
        let held: f64 =
            free.iter().zip(self.prior).map(|(x, p)| (PRIOR_PULL * (x - p)).powi(2)).sum();
        rows + held
    }

    /// Solves the damped normal equations of the reweighted problem.
    fn step(&self, free: &[f64], damping: f64) -> Vec<f64> {
        const DELTA: f64 = 1e-4;
        let n = free.len();
        let base = self.residuals(free);
        let columns: Vec<Vec<f64>> = (0..n)
            .map(|i| {
                let mut moved = free.to_vec();
                moved[i] += DELTA;
                let after = self.residuals(&moved);
                after.iter().zip(&base).map(|(a, b)| (a - b) / DELTA).collect()
            })
            .collect();
        let mut matrix = vec![vec![0.0; n]; n];
        let mut right = vec![0.0; n];
        for row in 0..base.len() {
            let weight = self.weights[row].powi(2) * (HUBER / base[row].abs()).min(1.0);
            for i in 0..n {
                right[i] -= weight * columns[i][row] * base[row];
                for j in 0..n {
                    matrix[i][j] += weight * columns[i][row] * columns[j][row];
                }
            }
        }
        for i in 0..n {
            matrix[i][i] += PRIOR_PULL.powi(2);
            right[i] -= PRIOR_PULL.powi(2) * (free[i] - self.prior[i]);
            matrix[i][i] *= 1.0 + damping;
        }
        solve(matrix, right)
    }
}

fn huber(residual: f64) -> f64 {
    let size = residual.abs();
    if size <= HUBER { size * size } else { HUBER * (2.0 * size - HUBER) }
}

/// From the bounds to the whole line.
fn to_free(value: f64, low: f64, high: f64) -> f64 {
    let share = (value - low) / (high - low);
    (share / (1.0 - share)).ln()
}

/// From the whole line into the bounds.
fn constants(free: &[f64]) -> Constants {
    let values: Vec<f64> = CONSTANTS
        .iter()
        .zip(free)
        .map(|(c, x)| c.low + (c.high - c.low) / (1.0 + (-x).exp()))
        .collect();
    Constants::from_slice(&values)
}

/// Gaussian elimination with pivots; the matrix is positive definite.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let n = right.len();
    for column in 0..n {
        let pivot = (column..n)
            .max_by(|&a, &b| matrix[a][column].abs().total_cmp(&matrix[b][column].abs()))
            .expect("rows are left");
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        for row in column + 1..n {
            let factor = matrix[row][column] / matrix[column][column];
            for k in column..n {
                matrix[row][k] -= factor * matrix[column][k];
            }
            right[row] -= factor * right[column];
        }
    }
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|k| matrix[row][k] * right[k]).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_systems_are_solved() {
        let x = solve(vec![vec![4.0, 1.0], vec![1.0, 3.0]], vec![9.0, 5.0]);
        assert!((x[0] - 2.0).abs() < 1e-12 && (x[1] - 1.0).abs() < 1e-12, "{x:?}");
    }

    #[test]
    fn bounds_and_back() {
        for c in CONSTANTS {
            let x = to_free(c.prior, c.low, c.high);
            let back = c.low + (c.high - c.low) / (1.0 + (-x).exp());
            assert!((back - c.prior).abs() < 1e-12);
        }
    }
}
