//! What can go wrong with a sample square, with the remedy.

use thiserror::Error;

/// An error of the sample square.
#[derive(Debug, Error)]
pub enum SquareError {
    /// A size the sample square cannot have.
    #[error(
        "the sample square cannot have {name} = {given}; choose a number from {lowest} to {highest}"
    )]
    Size {
        /// Field of the configuration.
        name: &'static str,
        /// What was asked for.
        given: usize,
        /// Smallest accepted value.
        lowest: usize,
        /// Largest accepted value.
        highest: usize,
    },
}
