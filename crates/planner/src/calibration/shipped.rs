//! The constants and interval widths this crate ships, fitted to published runs. The runs
//! themselves are not shipped; `cargo run -p stoa-planner --example calibrate` makes the file anew.

use serde::{Deserialize, Serialize};

use super::{CONSTANTS, Constants};
use crate::error::{PlanError, Result};

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
    /// Half the width of the 90 % interval of a dense model's step time, in the logarithm: the
    /// quantile of the errors on sources left out.
    pub half_width_dense: f64,
    /// The same for models with experts.
    pub half_width_moe: f64,
    /// The constants.
    pub constants: Constants,
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

    /// Half the width of the 90 % interval, in the logarithm.
    pub fn half_width(&self, sparse: bool) -> f64 {
        if sparse { self.half_width_moe } else { self.half_width_dense }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_constants_are_within_bounds() {
        let shipped = Calibration::published();
        assert!(shipped.rows > 100 && shipped.sources > 10);
        assert!((0.05..0.4).contains(&shipped.half_width_dense), "{}", shipped.half_width_dense);
        let text = CALIBRATION_DATA.replace("gemm_bf16 = 0.", "gemm_bf16 = 9.");
        assert!(Calibration::read(&text, "x").unwrap_err().to_string().contains("gemm_bf16"));
    }
}
