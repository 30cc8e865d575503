//! A plan as lines for a terminal: the answer first, then what it rests on.

use std::fmt::Write as _;

use stoa_planner::plan::Plan;
use stoa_planner::units::{Bytes, Dollars, Scale, Seconds, count};

/// The law that compares alternatives: the last, most careful one.
fn law(plan: &Plan) -> &str {
    plan.forecast.loss.last().map_or("none", |law| law.0.as_str())
}

/// The plan for people.
pub fn plan(plan: &Plan) -> String {
    let mut text = String::new();
    headline(&mut text, plan);
    step(&mut text, plan);
    memory(&mut text, plan);
    failures(&mut text, plan);
    money(&mut text, plan);
    learning(&mut text, plan);
    choices(&mut text, plan);
    text.trim_end().to_owned()
}

fn line(text: &mut String, name: &str, value: impl AsRef<str>) {
    let _ = writeln!(text, "  {name:<22} {}", value.as_ref());
}

fn headline(text: &mut String, plan: &Plan) {
    let precision = plan.precision.name();
    let _ = writeln!(
        text,
        "{} ({} parameters{}) on {} × {}, {} tokens, {}",
        plan.model.name,
        count(plan.params),
        if plan.model.experts.is_some() {
            format!(", {} active", count(plan.active_params))
        } else {
            String::new()
        },
        plan.gpus,
        plan.gpu,
        count(plan.tokens),
        precision
    );
    let [low, middle, high] = plan.days.map(|days| Seconds::days(days).0);
    line(text, "time", Scale::time(Seconds(middle)).spread(low, middle, high));
    line(text, "money, rented", plan.bill.rent.dollars());
    line(text, "money, owned", plan.bill.owned.dollars());
    let (energy, power) = (plan.bill.energy_mwh, plan.bill.power_mw.median);
    line(
        text,
        "energy",
        format!(
            "{} at {}",
            Scale::energy(energy.median).spread(energy.low, energy.median, energy.high),
            Scale::power(power).show(power)
        ),
    );
    let [few, many] = plan.reliability.interruptions;
    let interruptions =
        if many < 0.1 { "fewer than 0.1".to_owned() } else { format!("{few:.1} to {many:.1}") };
    line(text, "interruptions", interruptions);
    line(text, "layout", plan.best.layout.to_string());
    line(text, "network", &plan.fabric);
    line(text, "batch", format!("{} sequences of {}", plan.best.global_batch, plan.seq));
    let _ = writeln!(text, "  (90 % intervals; calibrated {})", plan.calibrated);
}

fn step(text: &mut String, plan: &Plan) {
    let total = plan.best.step_seconds;
    let [low, high] = plan.step_interval_seconds;
    let _ = writeln!(
        text,
        "\nA step takes {}, MFU {:.1} %{}",
        Scale::time(total).spread(low, total.0, high),
        100.0 * plan.best.mfu,
        if plan.precision.is_narrow() { " of the bf16 peak" } else { "" }
    );
    for (name, time) in plan.best.step.parts() {
        let share = time / total;
        if share >= 0.005 {
            let bar = "█".repeat((share * 40.0).round() as usize);
            line(text, name, format!("{:>5.1} %  {bar}", 100.0 * share));
        }
    }
    let worth: Vec<String> = plan
        .limits
        .iter()
        .map(|l| format!("{} {:.0} %", l.resource, 100.0 * l.saved_by_doubling))
        .collect();
    line(text, "twice as fast saves", worth.join(", "));
}

fn memory(text: &mut String, plan: &Plan) {
    let memory = &plan.best.memory;
    let _ = writeln!(
        text,
        "\nMemory of the fullest rank: {} of {}, fits with {:.0} % probability{}",
        memory.total(),
        plan.usable_memory,
        100.0 * plan.best.fits_probability,
        if plan.best.is_certain() { "" } else { ", below the 95 % of a recommendation" }
    );
    let parts: Vec<String> = memory
        .parts()
        .iter()
        .filter(|(_, size)| *size > Bytes::gib(0.05))
        .map(|(name, size)| format!("{name} {size}"))
        .collect();
    line(text, "", parts.join(", "));
}

fn failures(text: &mut String, plan: &Plan) {
    let often = |hours: f64| Seconds::hours(hours).to_string();
    let r = &plan.reliability;
    let _ = writeln!(text, "\nFailures");
    line(
        text,
        "one in",
        format!("{} to {}", often(r.mean_hours_between[0]), often(r.mean_hours_between[1])),
    );
    line(
        text,
        "checkpoint",
        format!(
            "{} every {} (stands still {}, written in {})",
            r.checkpoint.bytes,
            Seconds(r.interval_seconds),
            r.checkpoint.blocking,
            r.checkpoint.write
        ),
    );
    let percent = |values: [f64; 3]| {
        format!("{:.1} % ({:.1} to {:.1})", 100.0 * values[1], 100.0 * values[0], 100.0 * values[2])
    };
    line(text, "useful, simulated", percent(r.goodput_simulated));
    line(text, "  dropping replicas", percent(r.goodput_dropping_replicas));
    line(
        text,
        "  closed form",
        format!(
            "{:.1} to {:.1} %",
            100.0 * r.goodput_closed_form[0],
            100.0 * r.goodput_closed_form[1]
        ),
    );
    line(text, "spare machines", r.spare_nodes.to_string());
}

fn money(text: &mut String, plan: &Plan) {
    let bill = &plan.bill;
    let _ = writeln!(text, "\nMoney");
    line(text, "device-hours", count(bill.gpu_hours.median));
    line(text, "cluster, if bought", bill.cluster_price.dollars());
    line(text, "electricity of the run", bill.electricity.dollars());
    for s in bill.moves_owned.iter().take(3) {
        line(
            text,
            "moves the bill",
            format!("{}: {} to {}", s.input, Dollars(s.at_low), Dollars(s.at_high)),
        );
    }
}

fn learning(text: &mut String, plan: &Plan) {
    let forecast = &plan.forecast;
    let _ = writeln!(text, "\nLearning");
    line(
        text,
        "compute",
        format!(
            "{:.2e} FLOP, {} tokens a parameter",
            forecast.train_flop,
            count(forecast.tokens_per_param)
        ),
    );
    for ((name, loss), (_, efficiency)) in forecast.loss.iter().zip(&forecast.compute_efficiency) {
        line(
            text,
            name,
            format!(
                "loss {loss:.3} nats; the best size would need {:.0} % of the compute",
                100.0 * efficiency
            ),
        );
    }
    line(
        text,
        "rules of thumb",
        format!(
            "batch {} tokens, learning rate {:.1e}",
            count(forecast.batch_tokens),
            forecast.learning_rate
        ),
    );
    for threshold in &forecast.thresholds_passed {
        line(text, "above", format!("{:.0e} FLOP: {}", threshold.flop, threshold.what));
    }
}

fn choices(text: &mut String, plan: &Plan) {
    if !plan.alternatives.is_empty() {
        let _ = writeln!(text, "\nThe same means otherwise (loss by {}):", law(plan));
        let loss = |losses: &[(String, f64)]| losses.last().map_or(f64::NAN, |law| law.1);
        line(
            text,
            "this plan",
            format!(
                "{} on {} tokens, {} × {}, {}, {}, loss {:.3}",
                count(plan.params),
                count(plan.tokens),
                plan.gpus,
                plan.gpu,
                Seconds::days(plan.days[1]),
                Dollars(plan.bill.rent.median),
                loss(&plan.forecast.loss)
            ),
        );
        for a in &plan.alternatives {
            line(
                text,
                &a.what.english,
                format!(
                    "{} on {} tokens, {} × {}, {}, {}, loss {:.3}",
                    count(a.params),
                    count(a.tokens),
                    a.gpus,
                    a.gpu,
                    Seconds::days(a.days),
                    Dollars(a.rent),
                    loss(&a.loss)
                ),
            );
        }
    }
    if !plan.cluster_sizes.is_empty() {
        let _ = writeln!(text, "\nOther sizes");
        for s in &plan.cluster_sizes {
            line(
                text,
                &format!("{} devices", s.gpus),
                format!(
                    "{}, {} rent, MFU {:.1} %",
                    Seconds::days(s.days),
                    Dollars(s.rent),
                    100.0 * s.mfu
                ),
            );
        }
    }
    if plan.front.len() > 1 {
        let _ = writeln!(text, "\nLayouts no other beats (of {})", plan.front.len());
        for c in plan.front.iter().take(5) {
            line(
                text,
                &format!("{} · MFU {:.1} %", c.step_seconds, 100.0 * c.mfu),
                format!(
                    "{} · {} left · fits with {:.0} %{}",
                    c.layout,
                    c.headroom,
                    100.0 * c.fits_probability,
                    if c.is_certain() { "" } else { ", below 95 %" }
                ),
            );
        }
    }
    if let Some(rejections) = &plan.rejections {
        let _ = writeln!(
            text,
            "\n{} layouts looked at, {} kept; refused:",
            rejections.considered, rejections.kept
        );
        for (reason, count) in &rejections.reasons {
            let _ = writeln!(text, "  {count:>8}  {reason}");
        }
    }
    if !plan.assumptions.is_empty() {
        let _ = writeln!(text, "\nAssumed");
        for assumption in &plan.assumptions {
            let _ = writeln!(text, "  {assumption}");
        }
    }
}
