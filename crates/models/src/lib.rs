//! The language transformer written as programs, and its weight files.
