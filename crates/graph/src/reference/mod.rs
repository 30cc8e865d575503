//! The slow, obvious definition of every op: plain loops in f64.
