//! Every kernel against slow loops in f64, on every instruction set of the machine, at several
//! thread counts whose results must agree bit for bit.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod attention;
mod blocks;
mod oracle;
