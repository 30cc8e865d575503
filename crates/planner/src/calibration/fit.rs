//! Fits the constants to measured steps: Levenberg–Marquardt over the logarithm of the ratio of
//! predicted to measured time, robust against single rows (Huber), each constant held near its
//! prior and within its bounds, each source given a weight that grows only with the root of its
//! rows. Predicts nothing itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CONSTANTS, Case, Constants};
use crate::time::{Job, step_time};

/// A fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The constants found.
    pub constants: Constants,
    /// Covariance of the constants on the whole line (see `to_free`): how well the rows and the priors
    /// together determine them, by Laplace's approximation at the minimum.
    pub covariance: Covariance,
    /// Rows it was made from.
    pub rows: usize,
}

/// Covariance of the constants, in the order of [`CONSTANTS`], each on the logistic scale between its
/// bounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Covariance(pub Vec<Vec<f64>>);

impl Covariance {
    /// Variance of the logarithm of a job's step time that the doubt about the constants brings with it:
    /// the delta method, J·Σ·Jᵀ. Large where a job rests on constants that few runs have determined.
    pub fn variance(&self, job: &Job, constants: &Constants) -> f64 {
        const DELTA: f64 = 1e-4;
        if self.0.len() != CONSTANTS.len() {
            return 0.0;
        }
        let free = free_of(constants);
        let base = step_time(job, constants).total();
        let slopes: Vec<f64> = (0..free.len())
            .map(|i| {
                let mut moved = free.clone();
                moved[i] += DELTA;
                (step_time(job, &constants_of(&moved)).total() / base).ln() / DELTA
            })
            .collect();
        let rows = self.0.iter().zip(&slopes);
        let sum: f64 =
            rows.map(|(row, a)| a * row.iter().zip(&slopes).map(|(c, b)| c * b).sum::<f64>()).sum();
        sum.max(0.0)
    }
}

fn free_of(constants: &Constants) -> Vec<f64> {
    // A constant on its very bound has no finite place on the line.
    let inside = |value: f64, low: f64, high: f64| {
        let margin = 1e-9 * (high - low);
        value.clamp(low + margin, high - margin)
    };
    CONSTANTS
        .iter()
        .zip(constants.to_vec())
        .map(|(c, value)| to_free(inside(value, c.low, c.high), c.low, c.high))
        .collect()
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
    Fit { constants: constants_of(&free), covariance: problem.covariance(&free), rows: timed.len() }
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
        let constants = constants_of(free);
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
        let base = self.residuals(free);
        let columns = self.slopes(free, &base);
        let mut matrix = self.normal_matrix(&base, &columns);
        let mut right = vec![0.0; free.len()];
        for row in 0..base.len() {
            let weight = self.weight(row, base[row]);
            for (i, column) in columns.iter().enumerate() {
                right[i] -= weight * column[row] * base[row];
            }
        }
        for i in 0..free.len() {
            right[i] -= PRIOR_PULL.powi(2) * (free[i] - self.prior[i]);
            matrix[i][i] *= 1.0 + damping;
        }
        solve(matrix, right)
    }

    /// Slope of every residual along every constant, on the whole line.
    fn slopes(&self, free: &[f64], base: &[f64]) -> Vec<Vec<f64>> {
        const DELTA: f64 = 1e-4;
        (0..free.len())
            .map(|i| {
                let mut moved = free.to_vec();
                moved[i] += DELTA;
                let after = self.residuals(&moved);
                after.iter().zip(base).map(|(a, b)| (a - b) / DELTA).collect()
            })
            .collect()
    }

    fn weight(&self, row: usize, residual: f64) -> f64 {
        self.weights[row].powi(2) * (HUBER / residual.abs()).min(1.0)
    }

    /// Second derivatives of half the cost: of the reweighted rows and of the priors.
    fn normal_matrix(&self, base: &[f64], columns: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let n = columns.len();
        let mut matrix = vec![vec![0.0; n]; n];
        for row in 0..base.len() {
            let weight = self.weight(row, base[row]);
            for i in 0..n {
                for j in 0..n {
                    matrix[i][j] += weight * columns[i][row] * columns[j][row];
                }
            }
        }
        for (i, line) in matrix.iter_mut().enumerate() {
            line[i] += PRIOR_PULL.powi(2);
        }
        matrix
    }

    /// Laplace's approximation: the residual variance over the second derivatives.
    fn covariance(&self, free: &[f64]) -> Covariance {
        let base = self.residuals(free);
        let matrix = self.normal_matrix(&base, &self.slopes(free, &base));
        let weight: f64 = self.weights.iter().map(|w| w * w).sum();
        let rows: f64 = base.iter().zip(self.weights).map(|(r, w)| w * w * huber(*r)).sum();
        let scale = if weight > 0.0 { rows / weight } else { HUBER * HUBER };
        let n = free.len();
        let columns: Vec<Vec<f64>> = (0..n)
            .map(|i| {
                let mut unit = vec![0.0; n];
                unit[i] = scale;
                solve(matrix.clone(), unit)
            })
            .collect();
        // The inverse is symmetric but for rounding.
        let entry = |i: usize, j: usize| f64::midpoint(columns[i][j], columns[j][i]);
        Covariance((0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect())
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
fn constants_of(free: &[f64]) -> Constants {
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
    fn without_rows_the_doubt_is_that_of_the_priors() {
        let found = fit(&[]);
        assert_eq!(found.rows, 0);
        for (i, row) in found.covariance.0.iter().enumerate() {
            for (j, value) in row.iter().enumerate() {
                let expected = if i == j { (HUBER / PRIOR_PULL).powi(2) } else { 0.0 };
                assert!((value - expected).abs() < 1e-9, "{i} {j} {value}");
            }
        }
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
