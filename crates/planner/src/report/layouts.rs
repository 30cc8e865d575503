//! Layouts that no other beats, and the same run on other sizes of the cluster.

use stoa_report::{Content, Plot, ScatterChart, ScatterSeries, Section, Table};

use super::words::Words;
use crate::plan::Plan;

pub(super) fn layouts(plan: &Plan, w: Words) -> Option<Section> {
    let rejections = plan.rejections.as_ref()?;
    let days =
        |step: f64, batch: usize| step * plan.tokens / (batch as f64 * plan.seq as f64) / 86_400.0;
    // Layouts many times slower would squeeze the rest together.
    let slowest = 2.0 * plan.best.gpu_seconds_per_token();
    let shown = || plan.front.iter().filter(|c| c.gpu_seconds_per_token() <= slowest);
    let points = shown()
        .map(|c| (days(c.step_seconds.0, c.global_batch), c.headroom.as_gib(), w.layout(&c.layout)))
        .collect();
    let rows = shown()
        .take(12)
        .map(|c| {
            vec![
                w.layout(&c.layout),
                w.time(c.step_seconds),
                w.percent(c.mfu),
                w.bytes(c.headroom),
                w.number(c.joules_per_token, 2),
            ]
        })
        .collect();
    let reasons: Vec<String> =
        rejections.reasons.iter().map(|(reason, n)| format!("{n} {}", w.term(reason))).collect();
    let (seen, kept) = (rejections.considered, rejections.kept);
    Some(Section {
        title: w.say("Layouts that no other beats", "Dispositions qu'aucune autre ne bat"),
        text: w.say(
            format!("{seen} layouts looked at, {kept} kept. Refused: {}.", reasons.join("; ")),
            format!(
                "{seen} dispositions vues, {kept} gardées. Refusées : {}.",
                reasons.join(" ; ")
            ),
        ),
        content: Content::Plots(vec![Plot::Scatter(ScatterChart {
            title: w.say("Time against memory left", "Durée et mémoire restante"),
            x_label: w.say("days without failures", "jours sans panne"),
            y_label: w.say("GiB left on the fullest device", "Gio restants"),
            log_x: false,
            series: vec![ScatterSeries {
                name: w.say("layouts", "dispositions"),
                points,
                joined: false,
            }],
            table: Table {
                header: vec![
                    w.say("layout", "disposition"),
                    w.say("step", "pas"),
                    "MFU".to_owned(),
                    w.say("left", "reste"),
                    w.say("J a token", "J par jeton"),
                ],
                rows,
            },
        })]),
    })
}

pub(super) fn cluster_sizes(plan: &Plan, w: Words) -> Option<Section> {
    if plan.cluster_sizes.is_empty() {
        return None;
    }
    let points = plan
        .cluster_sizes
        .iter()
        .map(|s| (s.days, s.rent / 1e6, format!("{} : {}", s.gpus, w.layout(&s.layout))))
        .collect();
    let rows = plan
        .cluster_sizes
        .iter()
        .map(|s| {
            vec![
                s.gpus.to_string(),
                w.number(s.days, 1),
                w.dollars(s.rent),
                w.percent(s.mfu),
                w.layout(&s.layout),
            ]
        })
        .collect();
    Some(Section {
        title: w.say("Other sizes of the cluster", "Autres tailles de parc"),
        text: w.say(
            "The same run on fewer and more devices.",
            "Le même entraînement sur moins et plus d'accélérateurs.",
        ),
        content: Content::Plots(vec![Plot::Scatter(ScatterChart {
            title: w.say("Time against money", "Durée et argent"),
            x_label: w.say("days", "jours"),
            y_label: w.say("rent, M$", "location, M$"),
            log_x: false,
            series: vec![ScatterSeries { name: w.say("sizes", "tailles"), points, joined: true }],
            table: Table {
                header: vec![
                    w.say("devices", "accélérateurs"),
                    w.say("days", "jours"),
                    w.say("rent", "location"),
                    "MFU".to_owned(),
                    w.say("layout", "disposition"),
                ],
                rows,
            },
        })]),
    })
}
