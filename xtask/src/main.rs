//! Developer commands of the workspace: what CI runs, what benches compare, what oracles answer.
//!
//! Nothing here is needed to use Stoa. Commands that need Python make their own environment.

mod python_env;

fn main() {}
