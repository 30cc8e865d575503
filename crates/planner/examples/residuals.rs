//! Prints the errors of the cost model on a table of runs, row by row, for whoever works on it.
use stoa_planner::calibration::{Constants, CONSTANTS, fit, read_rows, validate, Case};
use stoa_planner::time::step_time;
use stoa_planner::memory::memory;
fn main() {
    let path = std::env::args().nth(1).expect("a table of runs");
    let cases = read_rows(&std::fs::read_to_string(&path).expect("readable"), &path).expect("rows");
    let r: Vec<&Case> = cases.iter().collect();
    let f = fit(&r).constants;
    for (c, v) in CONSTANTS.iter().zip(f.to_vec()) { println!("{:20} {:.4}  prior {} in {}..{}", c.name, v, c.prior, c.low, c.high); }
    let report = validate(&cases, &f, true);
    let insample = validate(&cases, &f, false);
    if std::env::args().nth(2).is_some() {
        for p in report.predictions.iter().zip(&insample.predictions) {
            let c = cases.iter().find(|c| c.row.id == p.0.id).unwrap();
            let b = step_time(&c.job(), &f);
            let tot = b.total().0;
            let parts: Vec<String> = b.parts().iter().filter(|q| q.1.0/tot>0.004).map(|q| format!("{} {:.0}", q.0.split(' ').map(|w| &w[..w.len().min(5)]).collect::<Vec<_>>().join(""), 100.0*q.1.0/tot)).collect();
            println!("{} {:22.22} {:22.22} {:5} {:9.9} r={:.2} in={:.2} mfu {:.3} {} | {}", p.0.id, p.0.source, c.row.model, p.0.gpus, c.row.precision, p.0.ratio, p.1.ratio, p.0.measured_mfu, p.0.layout, parts.join(", "));
        }
    }
    for (n, e) in &report.by_source { let b = report.baseline[n]; let i = insample.by_source[n]; println!("{:26} n={:3} med {:5.1} p90 {:5.1} bias {:6.1}   base {:5.1} {:5.1}  insample {:5.1} {:5.1}", n, e.count, e.mfu_median_ape_pct, e.mfu_p90_ape_pct, e.step_time_bias_pct, b.mfu_median_ape_pct, b.mfu_p90_ape_pct, i.mfu_median_ape_pct, i.mfu_p90_ape_pct); }
    for (n, e) in &report.by_class { let i = insample.by_class[n];let b = report.baseline[n]; println!("{:10} n={:3} med {:5.1} p90 {:5.1} bias {:6.1} base {:5.1} {:5.1}  insample {:5.1} {:5.1}", n, e.count, e.mfu_median_ape_pct, e.mfu_p90_ape_pct, e.step_time_bias_pct, b.mfu_median_ape_pct, b.mfu_p90_ape_pct, i.mfu_median_ape_pct, i.mfu_p90_ape_pct); }
    println!("{:?}\nwins {:?}", report.interval_coverage, report.baseline_wins);
    let m = &report.memory;
    println!("memory n={} med {:.1} max {:.1} within15 {} falsefits {} falserej {}", m.measured, m.median_ape_pct, m.max_ape_pct, m.within_15_pct, m.false_fits, m.false_rejections);
    for v in &m.verdicts { let c = cases.iter().find(|c| c.row.id == v.id).unwrap(); let mm = memory(&c.job()); println!("{} {:20.20} {:?} pred {:.1} usable {:.1} fits {} | {} | {}", v.id, c.row.model, v.measured_gib, v.predicted_gib, v.usable_gib, v.fits, mm.parts().iter().map(|p| format!("{} {:.1}", &p.0[..5], p.1.as_gib())).collect::<Vec<_>>().join(" "), c.layout); }
}
