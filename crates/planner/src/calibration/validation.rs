//! How wrong the model is on published runs: by class, source, device and size, with intervals and
//! memory verdicts, each source predicted by constants and interval widths that have not seen it when
//! asked (leave-one-source-out, as cross-validation+ of arXiv:1905.02928 does by row). The widths are
//! those of [`super::interval`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::case::stated_memory;
use super::fit::{Fit, fit, log_ratio};
use super::interval::{NOMINAL, Score, Widths};
use super::rows::{Refused, Table};
use super::{Calibration, Case, Constants, MemoryError, MemoryScore, Outcome};
use crate::memory::{memory, usable};
use crate::time::step_time;

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

/// A row without a measured time: what it would take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unmeasured {
    /// Row.
    pub id: String,
    /// Its source.
    pub source: String,
    /// Predicted step.
    pub step_time_s: f64,
    /// Interval of the step, low and high.
    pub step_time_interval_s: [f64; 2],
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
    /// Assumption to fit.
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
    /// Rows that did not fit and were predicted to.
    pub false_fits: usize,
    /// Rows that ran and were predicted not to fit.
    pub false_rejections: usize,
    /// Rows judged.
    pub judged: usize,
    /// The error as a distribution, with the rows below the bound that the other sources give.
    pub error: Option<MemoryError>,
    /// Measured over predicted memory that holds 95 % of runs.
    pub bound: Option<f64>,
    /// Each row with a measurement, or judged wrongly.
    pub verdicts: Vec<MemoryVerdict>,
}

/// The comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Rows of the file.
    pub rows: usize,
    /// Rows with a measured time, which the errors are over.
    pub count: usize,
    /// Rows that cannot be predicted, and why.
    pub refused: Vec<Refused>,
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
    /// Widths of intervals from the errors on all rows.
    pub widths: Widths,
    /// Every row with a measured time.
    pub predictions: Vec<Prediction>,
    /// Every other row that can be predicted.
    pub unmeasured: Vec<Unmeasured>,
}

/// Compares a table with the model under `shipped` constants and intervals, or, leaving one source
/// out, under constants fitted to the other sources and intervals of the errors on them.
pub fn validate(table: &Table, shipped: &Calibration, leave_one_source_out: bool) -> Report {
    let cases = &table.cases;
    let timed: Vec<&Case> = cases.iter().filter(|case| case.measured.is_some()).collect();
    let fits = if leave_one_source_out {
        left_out(&timed, |case| &case.row.group)
    } else {
        BTreeMap::new()
    };
    let ratio = |case: &Case| match fits.get(case.row.group.as_str()) {
        Some(fit) => log_ratio(case, &fit.constants).unwrap_or(0.0),
        None => log_ratio(case, &shipped.constants).unwrap_or(0.0),
    };
    let ratios: Vec<f64> = timed.iter().map(|case| ratio(case)).collect();
    let scores = scores(&timed, &ratios, &fits, |case| &case.row.group);
    let width = |case: &Case| match fits.get(case.row.group.as_str()) {
        Some(fit) => left_out_half_width(case, fit, &timed, &scores),
        None => shipped.half_width(&case.job()),
    };
    let predictions: Vec<Prediction> =
        timed.iter().zip(&ratios).map(|(case, r)| predict(case, *r, width(case))).collect();
    let unmeasured = cases
        .iter()
        .filter(|case| case.measured.is_none())
        .map(|case| unmeasured(case, &shipped.constants, shipped.half_width(&case.job())))
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
        rows: cases.len() + table.refused.len(),
        count: predictions.len(),
        refused: table.refused.clone(),
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
        widths: if leave_one_source_out { Widths::of(&scores) } else { shipped.widths },
        predictions,
        unmeasured,
    }
}

/// Calibration from a table: constants and their doubt from all rows, widths of intervals from the
/// errors on sources, and on devices, that were left out.
pub fn calibrate(table: &Table, date: &str) -> Calibration {
    let timed: Vec<&Case> = table.cases.iter().filter(|case| case.measured.is_some()).collect();
    let whole = fit(&timed);
    let by_source = |case: &Case| case.row.group.clone();
    let by_device = |case: &Case| case.gpu.name.clone();
    let sources = left_out(&timed, |case| &case.row.group);
    let devices = left_out(&timed, |case| &case.gpu.name);
    let errors = |fits: &BTreeMap<String, Fit>, key: &dyn Fn(&Case) -> String| -> Vec<f64> {
        let ratio = |case: &&Case| log_ratio(case, &fits[&key(case)].constants).unwrap_or(0.0);
        timed.iter().map(ratio).collect()
    };
    let widths = Widths::of(&scores(&timed, &errors(&sources, &by_source), &sources, |case| {
        &case.row.group
    }));
    let unseen = scores(&timed, &errors(&devices, &by_device), &devices, |case| &case.gpu.name);
    Calibration {
        date: date.to_owned(),
        rows: timed.len(),
        sources: sources.len(),
        devices: devices.into_keys().collect(),
        widths: widths.widened_for_devices(&unseen),
        memory: MemoryError::of(&memory_scores(&table.cases)),
        constants: whole.constants,
        covariance: whole.covariance,
    }
}

/// For each value of a key, the constants fitted to all rows with another.
fn left_out<'a>(timed: &[&'a Case], key: impl Fn(&'a Case) -> &'a str) -> BTreeMap<String, Fit> {
    let keys: BTreeSet<&str> = timed.iter().map(|case| key(case)).collect();
    keys.into_iter()
        .map(|left| {
            let others: Vec<&Case> =
                timed.iter().copied().filter(|case| key(case) != left).collect();
            (left.to_owned(), fit(&others))
        })
        .collect()
}

/// Errors with what was expected of them; `key` is what was left out.
fn scores<'a>(
    timed: &[&'a Case],
    ratios: &[f64],
    fits: &BTreeMap<String, Fit>,
    key: impl Fn(&'a Case) -> &'a str,
) -> Vec<Score<'a>> {
    let rows = timed.iter().zip(ratios);
    rows.map(|(case, error)| {
        let source = key(case);
        let variance = fits
            .get(source)
            .map_or(0.0, |fit| fit.covariance.variance(&case.job(), &fit.constants));
        Score { source, model: &case.model.name, sparse: case.is_sparse(), error: *error, variance }
    })
    .collect()
}

/// Half the width of an interval for a case whose source was left out: from the errors on the other
/// sources, each of them left out in its turn.
fn left_out_half_width(of: &Case, fit: &Fit, timed: &[&Case], scores: &[Score]) -> f64 {
    let others: Vec<Score> =
        scores.iter().copied().filter(|score| score.source != of.row.group).collect();
    let seen =
        timed.iter().any(|case| case.row.group != of.row.group && case.gpu.name == of.gpu.name);
    let variance = fit.covariance.variance(&of.job(), &fit.constants);
    Widths::of(&others).half_width(of.is_sparse(), variance, seen)
}

fn unmeasured(case: &Case, constants: &Constants, width: f64) -> Unmeasured {
    let step = step_time(&case.job(), constants).total().0;
    Unmeasured {
        id: case.row.id.clone(),
        source: case.row.group.clone(),
        step_time_s: step,
        step_time_interval_s: [step * (-width).exp(), step * width.exp()],
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

/// Errors of the memory model on the rows that state memory.
fn memory_scores(cases: &[Case]) -> Vec<MemoryScore<'_>> {
    cases
        .iter()
        .filter_map(|case| {
            let measured = stated_memory(&case.row)?;
            let error = (measured / memory(&case.job()).total()).ln();
            Some(MemoryScore { source: &case.row.group, model: &case.row.model, error })
        })
        .collect()
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
    let scores = memory_scores(cases);
    report.error = (!scores.is_empty()).then(|| MemoryError::of(&scores));
    report.bound = report.error.map(|error| error.bound());
    report.median_ape_pct = quantile(&mut misses, 0.5).unwrap_or(0.0);
    report.max_ape_pct = quantile(&mut misses, 1.0).unwrap_or(0.0);
    report
}
