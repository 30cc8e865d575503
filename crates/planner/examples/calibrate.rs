//! Fits the constants to a table of runs and prints them as `data/calibration.toml` holds them;
//! with a second argument, every row's error and where its time goes, for developers of the
//! model: `cargo run -p stoa-planner --example calibrate -- training-runs.csv [rows]`.

use stoa_planner::calibration::{calibrate, read_rows, validate};
use stoa_planner::memory::memory;
use stoa_planner::time::step_time;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("give a table of runs")?;
    let table = read_rows(&std::fs::read_to_string(&path)?, &path)?;
    for refused in &table.refused {
        eprintln!("line {} ({}) left out: {}", refused.line, refused.id, refused.reason);
    }
    let found = calibrate(&table, "2026-11");
    println!("{}", toml::to_string(&found)?);
    if std::env::args().nth(2).is_none() {
        return Ok(());
    }
    let seen = found.constants;
    let report = validate(&table, &found, true);
    let insample = validate(&table, &found, false);
    let cases = &table.cases;
    for (unseen, seen_row) in report.predictions.iter().zip(&insample.predictions) {
        let Some(case) = cases.iter().find(|case| case.row.id == unseen.id) else { continue };
        let parts = step_time(&case.job(), &seen);
        let total = parts.total();
        let parts: Vec<String> = parts
            .parts()
            .iter()
            .filter(|part| part.1 / total > 0.01)
            .map(|part| format!("{} {:.0}", part.0, 100.0 * (part.1 / total)))
            .collect();
        println!(
            "{} {:22.22} {:18.18} {:5} {:?} ratio {:.2} ({:.2} to {:.2}; seen {:.2}) mfu {:.3} {} | {}",
            unseen.id,
            unseen.source,
            case.row.model,
            unseen.gpus,
            case.precision,
            unseen.ratio,
            unseen.step_time_interval_s[0] / unseen.measured_step_time_s,
            unseen.step_time_interval_s[1] / unseen.measured_step_time_s,
            seen_row.ratio,
            unseen.measured_mfu,
            unseen.layout,
            parts.join(", ")
        );
    }
    for verdict in &report.memory.verdicts {
        let Some(case) = cases.iter().find(|case| case.row.id == verdict.id) else { continue };
        let parts = memory(&case.job());
        let parts: Vec<String> =
            parts.parts().iter().map(|p| format!("{} {:.1}", p.0, p.1.as_gib())).collect();
        println!("{verdict:?} {}", parts.join(", "));
    }
    for (name, e) in report.by_source.iter().chain(&report.by_class) {
        let (b, i) = (&report.baseline[name], insample.by_source.get(name));
        println!(
            "{name:26} n {:3} unseen {:5.1} {:5.1} bias {:6.1} | baseline {:5.1} {:5.1} | seen {:5.1}",
            e.count,
            e.mfu_median_ape_pct,
            e.mfu_p90_ape_pct,
            e.step_time_bias_pct,
            b.mfu_median_ape_pct,
            b.mfu_p90_ape_pct,
            i.map_or(f64::NAN, |i| i.mfu_median_ape_pct)
        );
    }
    let m = &report.memory;
    println!(
        "memory: {} of {} within 15 %, median {:.1}, false fits {}, false rejections {}; {:?} {:?}",
        m.within_15_pct,
        m.measured,
        m.median_ape_pct,
        m.false_fits,
        m.false_rejections,
        report.interval_coverage,
        report.baseline_wins
    );
    Ok(())
}
