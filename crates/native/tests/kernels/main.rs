//! Every kernel against slow loops in f64, on every instruction set of the machine, at several
//! thread counts whose results must agree bit for bit.

mod attention;
mod oracle;
