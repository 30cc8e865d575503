//! A plan as lines for a terminal: the answer first, then what it rests on.

use std::fmt::Write as _;

use stoa_planner::plan::Plan;
use stoa_planner::units::{Bytes, Seconds};

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
    let precision = format!("{:?}", plan.precision).to_lowercase();
    let _ = writeln!(
        text,
        "{} ({:.1}B parameters{}) on {} × {}, {:.3}T tokens, {}",
        plan.model.name,
        plan.params / 1e9,
        if plan.model.experts.is_some() {
            format!(", {:.1}B active", plan.active_params / 1e9)
        } else {
            String::new()
        },
        plan.gpus,
        plan.gpu,
        plan.tokens / 1e12,
        precision
    );
    let [low, middle, high] = plan.days;
    line(text, "time", format!("{middle:.1} days ({low:.1} to {high:.1})"));
    line(text, "money, rented", plan.bill.rent.dollars());
    line(text, "money, owned", plan.bill.owned.dollars());
    let energy = plan.bill.energy_mwh;
    line(
        text,
        "energy",
        format!(
            "{:.0} MWh ({:.0} to {:.0}) at {:.1} MW",
            energy.median, energy.low, energy.high, plan.bill.power_mw.median
        ),
    );
    let [few, many] = plan.reliability.interruptions;
    line(text, "interruptions", format!("{few:.0} to {many:.0}"));
    line(text, "layout", plan.best.layout.to_string());
    line(text, "network", &plan.fabric);
    line(text, "batch", format!("{} sequences of {}", plan.best.global_batch, plan.seq));
    let _ = writeln!(text, "  (90 % intervals; calibrated {})", plan.calibrated);
}

fn step(text: &mut String, plan: &Plan) {
    let total = plan.best.step_seconds;
    let _ = writeln!(
        text,
        "\nA step takes {total} ({} to {}), MFU {:.1} %{}",
        Seconds(plan.step_interval_seconds[0]),
        Seconds(plan.step_interval_seconds[1]),
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
        "\nMemory of the fullest rank: {} of {}",
        memory.total(),
        plan.usable_memory
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
    let r = &plan.reliability;
    let _ = writeln!(text, "\nFailures");
    line(
        text,
        "one in",
        format!("{:.1} to {:.1} h", r.mean_hours_between[0], r.mean_hours_between[1]),
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
    line(text, "device-hours", format!("{:.2}M", bill.gpu_hours.median / 1e6));
    line(text, "cluster, if bought", bill.cluster_price.dollars());
    line(text, "electricity of the run", bill.electricity.dollars());
    for s in bill.moves_owned.iter().take(3) {
        line(
            text,
            "moves the bill",
            format!("{}: {:.1}M to {:.1}M$", s.input, s.at_low / 1e6, s.at_high / 1e6),
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
            "{:.2e} FLOP, {:.0} tokens a parameter",
            forecast.train_flop, forecast.tokens_per_param
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
            "batch {:.1}M tokens, learning rate {:.1e}",
            forecast.batch_tokens / 1e6,
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
                "{:.1}B on {:.3}T tokens, {} × {}, {:.0} days, {:.1}M$, loss {:.3}",
                plan.params / 1e9,
                plan.tokens / 1e12,
                plan.gpus,
                plan.gpu,
                plan.days[1],
                plan.bill.rent.median / 1e6,
                loss(&plan.forecast.loss)
            ),
        );
        for a in &plan.alternatives {
            line(
                text,
                &a.what.english,
                format!(
                    "{:.1}B on {:.3}T tokens, {} × {}, {:.0} days, {:.1}M$, loss {:.3}",
                    a.params / 1e9,
                    a.tokens / 1e12,
                    a.gpus,
                    a.gpu,
                    a.days,
                    a.rent / 1e6,
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
                    "{:.1} days, {:.1}M$ rent, MFU {:.1} %",
                    s.days,
                    s.rent / 1e6,
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
                format!("{} · {} left", c.layout, c.headroom),
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
