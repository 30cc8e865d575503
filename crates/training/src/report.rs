//! What training has to say in a report: the curves of a run. The page is made by `stoa-report`.

use std::collections::BTreeMap;

use stoa_graph::DType;
use stoa_report::{Content, LineChart, Plot, Section, Series};

use crate::metrics::{Metric, StepMetrics};

/// The curves of a run as a part of its report; nothing before the first step.
pub fn curves(metrics: &[Metric]) -> Option<Section> {
    let charts = charts(metrics);
    (!charts.is_empty()).then(|| Section {
        title: "Training".into(),
        text: String::new(),
        content: Content::Plots(charts.into_iter().map(Plot::Lines).collect()),
    })
}

/// A line per stage of what `pick` finds in the metrics, in the order in which stages appear.
fn by_stage<'m>(
    metrics: &'m [Metric],
    pick: impl Fn(&'m Metric) -> Option<(&'m str, f64)>,
) -> Vec<Series> {
    let mut series: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    for metric in metrics {
        let Some((stage, y)) = pick(metric) else { continue };
        let at = series.iter().position(|(name, _)| *name == stage).unwrap_or_else(|| {
            series.push((stage, Vec::new()));
            series.len() - 1
        });
        series[at].1.push((metric.step() as f64, y));
    }
    series.into_iter().map(|(name, points)| Series::new(name, points)).collect()
}

/// The best peak known by the end, by what products multiplied.
fn peaks(metrics: &[Metric]) -> BTreeMap<DType, f64> {
    let mut peaks = BTreeMap::new();
    for metric in metrics {
        let Metric::Step(StepMetrics { precision, peak_flops: Some(peak), .. }) = metric else {
            continue;
        };
        let best = peaks.entry(precision.dtype()).or_insert(*peak);
        *best = peak.max(*best);
    }
    peaks
}

fn charts(metrics: &[Metric]) -> Vec<LineChart> {
    let step = |pick: fn(&StepMetrics) -> Option<f64>| {
        by_stage(metrics, |metric| match metric {
            Metric::Step(m) => pick(m).map(|y| (m.stage.as_str(), y)),
            Metric::Evaluation(_) => None,
        })
    };
    let held_out = by_stage(metrics, |metric| match metric {
        Metric::Evaluation(m) => m.bits_per_byte.map(|y| (m.stage.as_str(), y)),
        Metric::Step(_) => None,
    });
    let peaks = peaks(metrics);
    let rates = peaks.iter().map(|(dtype, peak)| format!("{:.0} GFLOP/s in {dtype}", peak / 1e9));
    let of_peak = format!("of {}, the best measured", rates.collect::<Vec<_>>().join(", "));
    let mfu = by_stage(metrics, |metric| match metric {
        // All steps of a type as shares of one peak: the best one known by the end.
        Metric::Step(m) => m.mfu.map(|mfu| {
            let peak = m.peak_flops.zip(peaks.get(&m.precision.dtype()));
            (m.stage.as_str(), mfu * peak.map_or(1.0, |(known, best)| known / best))
        }),
        Metric::Evaluation(_) => None,
    });
    [
        ("Training loss", "nats per token", step(|m| m.loss.map(f64::from))),
        ("Held-out text", "bits per byte", held_out),
        ("Learning rate of the matrices", "", step(|m| Some(f64::from(m.lr)))),
        ("Gradient norm", "", step(|m| m.grad_norm.map(f64::from))),
        ("Speed", "tokens per second", step(|m| Some(m.tokens_per_second))),
        ("Share of the peak (MFU)", if peaks.is_empty() { "" } else { &of_peak }, mfu),
    ]
    .into_iter()
    .filter(|(_, _, series)| !series.is_empty())
    .map(|(title, unit, series)| LineChart {
        title: title.into(),
        x_label: "step".into(),
        y_label: unit.into(),
        series,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use stoa_models::Precision;

    use super::*;
    use crate::EvaluationMetrics;

    #[test]
    fn curves_are_drawn_of_what_was_measured() {
        let step = |i: u64, stage: &str| {
            Metric::Step(StepMetrics {
                step: i,
                stage: stage.to_owned(),
                loss: (i != 3).then_some(5.0 / i as f32),
                lr: 0.02,
                grad_norm: Some(1.0),
                skipped: i == 3,
                tokens: 100 * i,
                tokens_per_second: 1234.5,
                mfu: (i != 3).then_some(0.5),
                peak_flops: Some(if i < 5 { 1e12 } else { 2e12 }),
                precision: if i < 9 { Precision::F32 } else { Precision::Bf16 },
            })
        };
        let evaluation = Metric::Evaluation(EvaluationMetrics {
            step: 0,
            stage: crate::PRETRAIN.to_owned(),
            bits_per_byte: Some(7.9),
            loss: 5.0,
            tokens: 10,
            bytes: 30,
        });
        let mut metrics = vec![evaluation];
        metrics.extend((1..=5).map(|i| step(i, crate::PRETRAIN)));
        metrics.extend((6..=9).map(|i| step(i, crate::CHAT)));
        let report = stoa_report::Report {
            sections: curves(&metrics).into_iter().collect(),
            ..Default::default()
        };
        let html = report.to_html();
        // Loss, held-out, rate, norm, speed and MFU.
        assert_eq!(html.matches("<svg").count(), 6);
        assert_eq!(html.matches("<desc").count(), 6);
        // Half of the peak as it was known at step 1 is a quarter of the peak that was found later.
        assert!(html.contains("pretrain: from 0.25 at step 1 to 0.5 at step 5"));
        assert!(html.contains("of 2000 GFLOP/s in f32, 2000 GFLOP/s in bf16"));
        assert!(html.contains("pretrain: from 5 at step 1 to 1 at step 5"));
        assert!(html.contains("class=\"legend\""), "two stages have a legend");
        assert_eq!(curves(&[]), None);
    }
}
