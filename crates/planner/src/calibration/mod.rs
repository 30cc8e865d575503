//! Published runs against the model: reading their rows, fitting the constants, stating the error.

mod constants;
mod fit;
mod rows;
mod shipped;
mod validation;

pub use constants::{CONSTANTS, Constant, Constants};
pub use fit::{Fit, fit};
pub use rows::{Case, Outcome, Row, read_rows};
pub use shipped::{CALIBRATION_DATA, Calibration};
pub(crate) use validation::quantile;
pub use validation::{Errors, MemoryReport, Report, validate};
