//! Where the time of a step goes, its timeline, and what fills the memory.

use stoa_report::{
    Content, GanttChart, GanttLane, GanttSpan, Plot, Section, StackBar, StackPart, Table,
};

use super::words::Words;
use crate::plan::Plan;
use crate::time::{Timeline, Work};
use crate::units::Seconds;

pub(super) fn step(plan: &Plan, w: Words) -> Section {
    let total = plan.best.step_seconds;
    let parts = plan.best.step.parts();
    let part = |(name, time): &(&str, Seconds)| StackPart {
        label: w.term(name),
        value: time.0,
        shown: format!("{} · {}", w.time(*time), w.percent(*time / total)),
    };
    let bar = StackBar {
        title: w.say("Where the time of a step goes", "Où va le temps d'un pas"),
        whole: total.0,
        parts: parts.iter().map(part).collect(),
        table: Table::default(),
    };
    let worth: Vec<String> = plan
        .limits
        .iter()
        .map(|l| format!("{} {}", w.term(l.resource), w.percent(l.saved_by_doubling)))
        .collect();
    let [low, high] = plan.step_interval_seconds.map(|s| w.time(Seconds(s)));
    let took = w.between(&w.time(total), &low, &high);
    let mut plots = vec![Plot::Stack(bar)];
    plots.extend(plan.timeline.as_ref().map(|timeline| Plot::Gantt(gantt(timeline, w))));
    Section {
        title: w.say("A step", "Un pas"),
        text: w.say(
            format!("{took}. Twice as fast would save: {}.", worth.join(", ")),
            format!("{took}. Deux fois plus rapide épargnerait : {}.", worth.join(", ")),
        ),
        content: Content::Plots(plots),
    }
}

/// Kinds of spans in the order of the legend.
const KINDS: [Work; 5] =
    [Work::Forward, Work::Backward, Work::DataExchange, Work::Optimizer, Work::Waiting];

fn kinds_of(work: Work) -> Vec<usize> {
    match work {
        Work::Alternating => vec![0, 1],
        Work::Idle => Vec::new(),
        other => KINDS.iter().position(|kind| *kind == other).into_iter().collect(),
    }
}

fn work_name(work: Work, w: Words) -> String {
    match work {
        Work::Alternating => w.say("forward and backward in turn", "aller et retour en alternance"),
        Work::Forward => w.term("forward"),
        Work::Backward => w.term("backward"),
        Work::Idle => w.term("idle"),
        Work::DataExchange => w.term("data exchange"),
        Work::Optimizer => w.term("optimizer"),
        Work::Waiting => w.term("waiting"),
    }
}

fn gantt(timeline: &Timeline, w: Words) -> GanttChart {
    let lanes = timeline
        .lanes
        .iter()
        .map(|lane| GanttLane {
            label: w.say(format!("stage {}", lane.stage + 1), format!("étage {}", lane.stage + 1)),
            spans: lane
                .spans
                .iter()
                .map(|span| GanttSpan {
                    start: span.start_seconds.0,
                    length: span.seconds.0,
                    kinds: kinds_of(span.work),
                    label: match span.passes {
                        0 | 1 => format!("{} · {}", work_name(span.work, w), w.time(span.seconds)),
                        n => format!("{} ×{n} · {}", work_name(span.work, w), w.time(span.seconds)),
                    },
                })
                .collect(),
        })
        .collect();
    let parts = timeline.totals.parts();
    let row = |(name, time): &(&str, Seconds)| {
        vec![w.term(name), w.time(*time), w.percent(*time / timeline.step_seconds)]
    };
    let labels: Vec<String> =
        parts.iter().map(|(name, time)| format!("{} {}", w.term(name), w.time(*time))).collect();
    GanttChart {
        title: w.say("Timeline of a step", "Chronologie d'un pas"),
        x_label: w.say("seconds", "secondes"),
        kinds: KINDS.iter().map(|work| work_name(*work, w)).collect(),
        lanes,
        description: w.say(
            format!(
                "{} stages, {} micro-batches; each stage: {}.",
                timeline.stages,
                timeline.micro_batches,
                labels.join(", ")
            ),
            format!(
                "{} étages, {} micro-lots ; chaque étage : {}.",
                timeline.stages,
                timeline.micro_batches,
                labels.join(", ")
            ),
        ),
        table: Table {
            header: vec![
                w.say("time of a stage", "temps d'un étage"),
                w.say("seconds", "secondes"),
                w.say("share", "part"),
            ],
            rows: parts.iter().map(row).collect(),
        },
    }
}

pub(super) fn memory(plan: &Plan, w: Words) -> Section {
    let memory = &plan.best.memory;
    let mut parts: Vec<StackPart> = memory
        .parts()
        .iter()
        .map(|(name, size)| StackPart { label: w.term(name), value: size.0, shown: w.bytes(*size) })
        .collect();
    let left = plan.usable_memory - memory.total();
    parts.push(StackPart {
        label: w.say("left", "reste"),
        value: left.0.max(0.0),
        shown: w.bytes(left),
    });
    let (used, all) = (w.bytes(memory.total()), w.bytes(plan.usable_memory));
    Section {
        title: w.say("Memory of the fullest device", "Mémoire de l'accélérateur le plus plein"),
        text: w.say(format!("{used} of {all}."), format!("{used} sur {all}.")),
        content: Content::Plots(vec![Plot::Stack(StackBar {
            title: w.say("What fills it", "Ce qui la remplit"),
            whole: plan.usable_memory.0,
            parts,
            table: Table::default(),
        })]),
    }
}
