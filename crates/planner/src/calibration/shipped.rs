//! The constants and interval widths this crate ships, fitted to published runs. The runs
//! themselves are not shipped; `cargo run -p stoa-planner --example calibrate` rewrites the file.

use serde::{Deserialize, Serialize};

use super::{CONSTANTS, Constants, Covariance, MemoryError, Widths};
use crate::error::{PlanError, Result};
use crate::time::Job;

/// The data file, as text.
pub const CALIBRATION_DATA: &str = include_str!("../../data/calibration.toml");

/// Constants with the error they leave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// When it was fitted.
    pub date: String,
    /// Rows it was fitted to.
    pub rows: usize,
    /// Sources of those rows.
    pub sources: usize,
    /// Devices of those rows; on others intervals are wider.
    pub devices: Vec<String>,
    /// What makes the width of an interval.
    pub widths: Widths,
    /// Error of the memory model.
    pub memory: MemoryError,
    /// The constants.
    pub constants: Constants,
    /// How well the rows determine them.
    pub covariance: Covariance,
}

impl Calibration {
    /// The calibration shipped with this crate.
    pub fn published() -> Self {
        Self::read(CALIBRATION_DATA, "data/calibration.toml")
            .expect("the shipped data file is tested")
    }

    /// Reads a calibration.
    ///
    /// # Errors
    /// When the text is not one, or a constant leaves its bounds.
    pub fn read(text: &str, place: &str) -> Result<Self> {
        let malformed = |reason: String| PlanError::Malformed { place: place.to_owned(), reason };
        let read: Calibration = toml::from_str(text).map_err(|e| malformed(e.to_string()))?;
        let n = CONSTANTS.len();
        if read.covariance.0.len() != n || read.covariance.0.iter().any(|row| row.len() != n) {
            return Err(malformed(format!("covariance is not {n} rows of {n} numbers")));
        }
        for (constant, value) in CONSTANTS.iter().zip(read.constants.to_vec()) {
            if !(constant.low..=constant.high).contains(&value) {
                return Err(malformed(format!(
                    "{} is {value}, outside {} to {}",
                    constant.name, constant.low, constant.high
                )));
            }
        }
        Ok(read)
    }

    /// Half the width of the 90 % interval of a job's step time, in the logarithm.
    pub fn half_width(&self, job: &Job) -> f64 {
        let variance = self.covariance.variance(job, &self.constants);
        let seen = self.devices.contains(&job.gpu.name);
        self.widths.half_width(job.model.experts.is_some(), variance, seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_constants_are_within_bounds() {
        let shipped = Calibration::published();
        assert!(shipped.rows > 100 && shipped.sources > 10);
        assert!(
            shipped.widths.residual_dense < shipped.widths.residual_moe,
            "{:?}",
            shipped.widths
        );
        let text = CALIBRATION_DATA.replace("gemm_bf16 = 0.", "gemm_bf16 = 9.");
        assert!(Calibration::read(&text, "x").unwrap_err().to_string().contains("gemm_bf16"));
    }
}
