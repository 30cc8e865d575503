//! Renders the cases of a file that `xtask/oracle/dialogue/template_cases.py` wrote, and shows where
//! our texts differ from Jinja2's.
//!
//! Usage: `compare_templates FILE`; fails when a case differs.

use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;

#[path = "../tests/rendered_cases/mod.rs"]
mod rendered_cases;

/// Differences that are shown in full.
const SHOWN: usize = 20;

fn main() -> ExitCode {
    let path = std::env::args().nth(1).expect("a file of cases");
    let file = BufReader::new(File::open(path).expect("a file that can be read"));
    let mut shown = 0;
    let counts = rendered_cases::compare(file, |difference| {
        if shown < SHOWN {
            println!("{difference}");
        }
        shown += 1;
    });
    let rendered_cases::Counts { cases, refused, apart } = counts;
    println!("{cases} cases, of which both refuse {refused}; {apart} apart");
    if apart == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
