//! Layouts that no other beats, and the same run on other sizes of the cluster.

use stoa_report::{Content, Plot, ScatterChart, ScatterSeries, Section, Table};

use super::words::Words;
use crate::plan::Plan;
use crate::units::{Scale, Seconds};

pub(super) fn layouts(plan: &Plan, w: Words) -> Option<Section> {
    let rejections = plan.rejections.as_ref()?;
    let time = Scale::time(Seconds::days(plan.ideal_days));
    let run =
        |step: f64, batch: usize| step * plan.tokens / (batch as f64 * plan.seq as f64) / time.one;
    // Layouts many times slower would squeeze the rest together.
    let slowest = 2.0 * plan.best.gpu_seconds_per_token();
    let shown = || plan.front.iter().filter(|c| c.gpu_seconds_per_token() <= slowest);
    let points = shown()
        .map(|c| (run(c.step_seconds.0, c.global_batch), c.headroom.as_gib(), w.layout(&c.layout)))
        .collect();
    let rows = shown()
        .take(12)
        .map(|c| {
            vec![
                w.layout(&c.layout),
                w.time(c.step_seconds),
                w.percent(c.mfu),
                w.bytes(c.headroom),
                w.percent(c.fits_probability),
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
            format!("{seen} layouts examined, {kept} kept. Refused: {}.", reasons.join("; ")),
            format!(
                "{seen} répartitions examinées, {kept} retenues. Refusées : {}.",
                reasons.join(" ; ")
            ),
        ),
        content: Content::Plots(vec![Plot::Scatter(ScatterChart {
            title: w.say("Time against memory left", "Durée et mémoire restante"),
            x_label: w.say(
                format!("{} without failures", w.unit(time)),
                format!("{} sans panne", w.unit(time)),
            ),
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
                    w.say("fits with (95 % recommended)", "tient à (95 % conseillé)"),
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
    let longest = plan.cluster_sizes.iter().map(|s| s.days).fold(0.0, f64::max);
    let dearest = plan.cluster_sizes.iter().map(|s| s.rent).fold(0.0, f64::max);
    let (time, money) = (Scale::time(Seconds::days(longest)), Scale::dollars(dearest));
    let points = plan
        .cluster_sizes
        .iter()
        .map(|s| {
            (
                Seconds::days(s.days).0 / time.one,
                s.rent / money.one,
                format!("{} : {}", s.gpus, w.layout(&s.layout)),
            )
        })
        .collect();
    let rows = plan
        .cluster_sizes
        .iter()
        .map(|s| {
            vec![
                s.gpus.to_string(),
                w.time(Seconds::days(s.days)),
                w.dollars(s.rent),
                w.percent(s.mfu),
                w.layout(&s.layout),
                w.percent(s.fits_probability),
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
            x_label: w.unit(time).to_owned(),
            y_label: w.say(format!("rent, {}", money.unit), format!("location, {}", money.unit)),
            log_x: false,
            series: vec![ScatterSeries { name: w.say("sizes", "tailles"), points, joined: true }],
            table: Table {
                header: vec![
                    w.say("devices", "accélérateurs"),
                    w.say("time", "durée"),
                    w.say("rent", "location"),
                    "MFU".to_owned(),
                    w.say("layout", "disposition"),
                    w.say("fits with", "tient à"),
                ],
                rows,
            },
        })]),
    })
}
