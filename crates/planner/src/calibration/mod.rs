//! Published runs against the model: reading their rows, fitting the constants, stating the error.

mod case;
mod constants;
mod fit;
mod interval;
mod memory_error;
mod rows;
mod shipped;
mod validation;

pub use case::{Case, Outcome};
pub use constants::{CONSTANTS, Constant, Constants};
pub use fit::{Covariance, Fit, fit};
pub use interval::{NOMINAL, Widths};
pub use memory_error::{CERTAIN, MemoryError, MemoryScore};
pub use rows::{Refused, Row, Table, read_rows};
pub use shipped::{CALIBRATION_DATA, Calibration};
pub(crate) use validation::quantile;
pub use validation::{Errors, MemoryReport, Report, Unmeasured, calibrate, validate};
