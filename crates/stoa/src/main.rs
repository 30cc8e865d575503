//! The `stoa` binary: parses, wires, prints.

fn main() {}
