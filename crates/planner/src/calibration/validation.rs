//! How wrong the model is on published runs: by class, source, device and size, with intervals and
//! memory verdicts, each source predicted by constants that have not seen it when asked. The
//! intervals come from the errors on other sources (leave-one-source-out, as cross-validation+
//! of arXiv:1905.02928 does by row).

use std::collections::BTreeMap;

use serde::Serialize;

use super::fit::{fit, log_ratio};
use super::rows::stated_memory;
use super::{Calibration, Case, Constants, Outcome};
use crate::memory::{memory, usable};

/// Nominal coverage of the stated intervals.
pub const NOMINAL: f64 = 0.90;

/// Errors over a set of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Errors {
    /// Rows.
    pub count: usize,
    /// Median absolute percentage error of MFU.
    pub mfu_median_ape_pct: f64,
    /// Its 90th percentile.
    pub mfu_p90_ape_pct: f64,
    /// Median absolute percentage error of the step time.
    pub step_time_median_ape_pct: f64,
    /// Its 90th percentile.
    pub step_time_p90_ape_pct: f64,
    /// Median of predicted over measured step time, less 1: the bias.
    pub step_time_bias_pct: f64,
}

impl Report {
    /// Calibration from a comparison that left one source out: constants of all rows, and the
    /// quantiles of the errors on sources not seen.
    pub fn calibration(&self, date: &str) -> Calibration {
        let width = |class: &str| {
            let of_class = self.predictions.iter().filter(|p| p.class == class);
            let mut errors: Vec<f64> = of_class.map(|p| p.ratio.ln().abs()).collect();
            quantile(&mut errors, NOMINAL).unwrap_or(0.5)
        };
        Calibration {
            date: date.to_owned(),
            rows: self.predictions.len(),
            sources: self.by_source.len(),
            half_width_dense: width("dense"),
            half_width_moe: width("moe"),
            constants: self.constants,
        }
    }
}

/// A row's prediction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// Row.
    pub id: String,
    /// Its source.
    pub source: String,
    /// dense or moe.
    pub class: &'static str,
    /// Device.
    pub gpu: String,
    /// Devices.
    pub gpus: usize,
    /// Layout, as published or completed.
    pub layout: String,
    /// Predicted step.
    pub step_time_s: f64,
    /// Measured step.
    pub measured_step_time_s: f64,
    /// Interval of the step, low and high.
    pub step_time_interval_s: [f64; 2],
    /// Predicted utilisation (attention in full).
    pub mfu: f64,
    /// Measured utilisation (attention in full).
    pub measured_mfu: f64,
    /// Predicted over measured step time.
    pub ratio: f64,
}

/// Coverage of intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Coverage {
    /// Nominal share.
    pub nominal: f64,
    /// Rows whose measurement lies in the interval.
    pub covered: usize,
    /// Rows.
    pub count: usize,
    /// Share covered.
    pub share: f64,
}

/// A row's memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryVerdict {
    /// Row.
    pub id: String,
    /// Predicted for the device, in GiB.
    pub predicted_gib: f64,
    /// Measured, in GiB, where stated.
    pub measured_gib: Option<f64>,
    /// What a run can use, in GiB.
    pub usable_gib: f64,
    /// Said to fit.
    pub fits: bool,
    /// What became of it.
    pub outcome: Outcome,
}

/// Memory over all rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MemoryReport {
    /// Rows with a measurement.
    pub measured: usize,
    /// Median absolute percentage error where measured.
    pub median_ape_pct: f64,
    /// Greatest error where measured.
    pub max_ape_pct: f64,
    /// Rows within 15 %.
    pub within_15_pct: usize,
    /// Rows that did not fit and were said to.
    pub false_fits: usize,
    /// Rows that ran and were said not to fit.
    pub false_rejections: usize,
    /// Rows judged.
    pub judged: usize,
    /// Each row with a measurement, or judged wrongly.
    pub verdicts: Vec<MemoryVerdict>,
}

/// The comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Rows of the file.
    pub rows: usize,
    /// Whether each source was predicted without having been seen.
    pub leave_one_source_out: bool,
    /// Over all timed rows.
    pub all: Errors,
    /// By class.
    pub by_class: BTreeMap<String, Errors>,
    /// By source.
    pub by_source: BTreeMap<String, Errors>,
    /// By device.
    pub by_gpu: BTreeMap<String, Errors>,
    /// By number of devices.
    pub by_size: BTreeMap<String, Errors>,
    /// The same rows by a constant utilisation: the median of the other rows of the same device,
    /// number format and class.
    pub baseline: BTreeMap<String, Errors>,
    /// Sources of five rows or more on which the baseline's median is better.
    pub baseline_wins: Vec<String>,
    /// Intervals.
    pub interval_coverage: BTreeMap<String, Coverage>,
    /// Memory.
    pub memory: MemoryReport,
    /// Constants of a fit to all rows.
    pub constants: Constants,
    /// Every row.
    pub predictions: Vec<Prediction>,
}

/// Compares cases with the model under `shipped` constants and intervals, or, leaving one source
/// out, under constants fitted to the other sources and intervals of the errors on them.
pub fn validate(cases: &[Case], shipped: &Calibration, leave_one_source_out: bool) -> Report {
    let timed: Vec<&Case> = cases.iter().filter(|case| case.measured.is_some()).collect();
    let mut by_source: BTreeMap<&str, Constants> = BTreeMap::new();
    for case in &timed {
        by_source.entry(&case.row.group).or_insert(shipped.constants);
    }
    if leave_one_source_out {
        for (source, constants) in &mut by_source {
            let others: Vec<&Case> =
                timed.iter().copied().filter(|case| case.row.group != *source).collect();
            *constants = fit(&others).constants;
        }
    }
    let ratios: Vec<f64> = timed
        .iter()
        .map(|case| log_ratio(case, &by_source[case.row.group.as_str()]).unwrap_or(0.0))
        .collect();
    let predictions: Vec<Prediction> = timed
        .iter()
        .zip(&ratios)
        .map(|(case, ratio)| {
            let width = if leave_one_source_out {
                half_width(&timed, &ratios, case)
            } else {
                shipped.half_width(case.is_sparse())
            };
            predict(case, *ratio, width)
        })
        .collect();
    let constants = if leave_one_source_out { fit(&timed).constants } else { shipped.constants };
    let baseline = baseline(&timed);
    let sources = group(&predictions, |p| p.source.clone());
    let baseline_sources = group(&baseline, |p| p.source.clone());
    let baseline_wins = sources
        .iter()
        .filter(|(name, e)| {
            e.count >= 5 && baseline_sources[*name].mfu_median_ape_pct < e.mfu_median_ape_pct
        })
        .map(|(name, _)| name.clone())
        .collect();
    let mut baseline_errors = baseline_sources;
    baseline_errors.extend(group(&baseline, |p| p.class.to_owned()));
    Report {
        rows: cases.len(),
        leave_one_source_out,
        all: errors(predictions.iter()),
        by_class: group(&predictions, |p| p.class.to_owned()),
        by_source: sources,
        by_gpu: group(&predictions, |p| p.gpu.clone()),
        by_size: group(&predictions, |p| size_class(p.gpus).to_owned()),
        baseline: baseline_errors,
        baseline_wins,
        interval_coverage: coverage(&predictions),
        memory: memory_report(cases),
        constants,
        predictions,
    }
}

fn class(case: &Case) -> &'static str {
    if case.is_sparse() { "moe" } else { "dense" }
}

fn size_class(gpus: usize) -> &'static str {
    match gpus {
        ..=8 => "1-8",
        9..=127 => "9-127",
        128..=1023 => "128-1023",
        1024..=4095 => "1024-4095",
        _ => "4096+",
    }
}

fn predict(case: &Case, ratio: f64, width: f64) -> Prediction {
    let measured = case.measured.expect("only timed cases come here");
    let job = case.job();
    let step = measured * ratio.exp();
    Prediction {
        id: case.row.id.clone(),
        source: case.row.group.clone(),
        class: class(case),
        gpu: case.gpu.name.clone(),
        gpus: job.gpus(),
        layout: case.layout.to_string(),
        step_time_s: step.0,
        measured_step_time_s: measured.0,
        step_time_interval_s: [step.0 * (-width).exp(), step.0 * width.exp()],
        mfu: job.mfu(step, false),
        measured_mfu: job.mfu(measured, false),
        ratio: ratio.exp(),
    }
}

/// Half the width of a case's interval, in the logarithm: the quantile of the absolute errors on
/// the other sources, of its class where that has been seen in another source often enough.
fn half_width(cases: &[&Case], ratios: &[f64], of: &Case) -> f64 {
    let others = |same_class: bool| -> Vec<f64> {
        cases
            .iter()
            .zip(ratios)
            .filter(|(case, _)| case.row.group != of.row.group)
            .filter(|(case, _)| !same_class || case.is_sparse() == of.is_sparse())
            .map(|(_, ratio)| ratio.abs())
            .collect()
    };
    let mut errors = others(true);
    if errors.len() < 5 {
        errors = others(false);
    }
    quantile(&mut errors, NOMINAL).unwrap_or(0.5)
}

/// A quantile with linear interpolation.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let place = share * last as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    Some(values[low] + (values[high] - values[low]) * (place - low as f64))
}

fn errors<'a>(predictions: impl Iterator<Item = &'a Prediction>) -> Errors {
    let ratios: Vec<f64> = predictions.map(|p| p.ratio).collect();
    let mut mfu: Vec<f64> = ratios.iter().map(|r| 100.0 * (1.0 / r - 1.0).abs()).collect();
    let mut step: Vec<f64> = ratios.iter().map(|r| 100.0 * (r - 1.0).abs()).collect();
    let mut signed: Vec<f64> = ratios.iter().map(|r| 100.0 * (r - 1.0)).collect();
    let at = |values: &mut Vec<f64>, share| quantile(values, share).unwrap_or(0.0);
    Errors {
        count: ratios.len(),
        mfu_median_ape_pct: at(&mut mfu, 0.5),
        mfu_p90_ape_pct: at(&mut mfu, 0.9),
        step_time_median_ape_pct: at(&mut step, 0.5),
        step_time_p90_ape_pct: at(&mut step, 0.9),
        step_time_bias_pct: at(&mut signed, 0.5),
    }
}

fn group(
    predictions: &[Prediction],
    key: impl Fn(&Prediction) -> String,
) -> BTreeMap<String, Errors> {
    let mut groups: BTreeMap<String, Vec<&Prediction>> = BTreeMap::new();
    for prediction in predictions {
        groups.entry(key(prediction)).or_default().push(prediction);
    }
    groups.into_iter().map(|(name, rows)| (name, errors(rows.into_iter()))).collect()
}

/// Constant utilisation, each source predicted from the others: same device, format and class,
/// else same class, else all.
fn baseline(cases: &[&Case]) -> Vec<Prediction> {
    let utilisation = |case: &Case| case.measured.map_or(0.0, |m| case.job().mfu(m, false));
    cases
        .iter()
        .map(|case| {
            let alike: [&dyn Fn(&Case) -> bool; 3] = [
                &|other| {
                    other.gpu.name == case.gpu.name
                        && other.precision == case.precision
                        && other.is_sparse() == case.is_sparse()
                },
                &|other| other.is_sparse() == case.is_sparse(),
                &|_| true,
            ];
            let known = alike.iter().find_map(|alike| {
                let mut seen: Vec<f64> = cases
                    .iter()
                    .filter(|other| other.row.group != case.row.group && alike(other))
                    .map(|other| utilisation(other))
                    .collect();
                quantile(&mut seen, 0.5)
            });
            let own = utilisation(case);
            predict(case, (own / known.unwrap_or(own)).ln(), 0.0)
        })
        .collect()
}

fn coverage(predictions: &[Prediction]) -> BTreeMap<String, Coverage> {
    let of = |rows: Vec<&Prediction>| {
        let covered = rows
            .iter()
            .filter(|p| {
                let [low, high] = p.step_time_interval_s;
                (low..=high).contains(&p.measured_step_time_s)
            })
            .count();
        let share = covered as f64 / rows.len().max(1) as f64;
        Coverage { nominal: NOMINAL, covered, count: rows.len(), share }
    };
    let class = |name: &str| predictions.iter().filter(|p| p.class == name).collect::<Vec<_>>();
    let mut table = BTreeMap::from([("all".to_owned(), of(predictions.iter().collect()))]);
    for name in ["dense", "moe"] {
        let rows = class(name);
        if !rows.is_empty() {
            table.insert(name.to_owned(), of(rows));
        }
    }
    table
}

fn memory_report(cases: &[Case]) -> MemoryReport {
    let mut report = MemoryReport::default();
    let mut misses = Vec::new();
    for case in cases {
        let job = case.job();
        let predicted = memory(&job);
        let fits = predicted.fits(&job);
        let wrong = fits != (case.outcome == Outcome::Ran);
        report.judged += 1;
        report.false_fits += usize::from(fits && wrong);
        report.false_rejections += usize::from(!fits && wrong);
        let measured = stated_memory(&case.row);
        if let Some(measured) = measured {
            let miss = 100.0 * (predicted.total() / measured - 1.0).abs();
            report.measured += 1;
            report.within_15_pct += usize::from(miss <= 15.0);
            misses.push(miss);
        }
        if wrong || measured.is_some() {
            report.verdicts.push(MemoryVerdict {
                id: case.row.id.clone(),
                predicted_gib: predicted.total().as_gib(),
                measured_gib: measured.map(|m| m.as_gib()),
                usable_gib: usable(&job).as_gib(),
                fits,
                outcome: case.outcome,
            });
        }
    }
    report.median_ape_pct = quantile(&mut misses, 0.5).unwrap_or(0.0);
    report.max_ape_pct = quantile(&mut misses, 1.0).unwrap_or(0.0);
    report
}
