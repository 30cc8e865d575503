//! Losses and their gradients.

mod cross_entropy;
mod softmax;
mod squared_error;

pub use cross_entropy::{Head, cross_entropy, cross_entropy_backward, scratch_floats};
pub use squared_error::{mean_squared_error, mean_squared_error_backward};
