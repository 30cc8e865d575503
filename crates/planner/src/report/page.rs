//! The page: answer, step, memory, layouts, failures, money, learning, assumptions and sources.

use std::fmt::Write as _;

use super::chart::{Series, escape, plot, stack, tornado};
use crate::calibration::CONSTANTS;
use crate::plan::Plan;
use crate::search::Candidate;
use crate::units::Seconds;

const STYLE: &str = "\
:root{--ink:#1c2430;--soft:#5b6675;--line:#d9dee5;--paper:#fff;--wash:#f5f7fa}\
@media(prefers-color-scheme:dark){:root{--ink:#e7ebf0;--soft:#9aa6b5;--line:#36404d;--paper:#12161c;--wash:#1b212a}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}\
main{max-width:800px;margin:0 auto;padding:28px 20px 60px}h1{font-size:25px;line-height:1.25;margin:0 0 4px}\
h2{font-size:18px;margin:38px 0 8px}p{margin:6px 0}.soft{color:var(--soft)}\
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:10px;margin:18px 0}\
.tile{background:var(--wash);border-radius:8px;padding:10px 14px}.tile b{display:block;font-size:21px}\
.tile span{color:var(--soft);font-size:13px}table{border-collapse:collapse;width:100%;font-size:13.5px}\
td,th{text-align:left;padding:4px 8px 4px 0;border-bottom:1px solid var(--line);vertical-align:top}\
th{color:var(--soft);font-weight:500}td.n,th.n{text-align:right;white-space:nowrap}\
.scroll{overflow-x:auto}svg{width:100%;height:auto;display:block;margin:8px 0}\
svg text{font:12.5px system-ui,sans-serif;fill:var(--ink)}svg text.small{font-size:11.5px;fill:var(--soft)}\
.grid{stroke:var(--line)}.axis{stroke:var(--ink);stroke-dasharray:3 3}.frame{fill:none;stroke:var(--line)}\
.c0{fill:#2f6fde}.c1{fill:#e07b39}.c2{fill:#3f9d6b}.c3{fill:#a4acb8}.c4{fill:#8d5fd3}.c5{fill:#c94f7c}\
.c6{fill:#d0a215}.c7{fill:#4fb3bf}.c8{fill:#b6543e}.c9{fill:#6c8ebf}.c10{fill:#7f9b3a}.c11{fill:#77808c}\
polyline{fill:none;stroke-width:2}.l0{stroke:#2f6fde}.l1{stroke:#e07b39}.l2{stroke:#3f9d6b}";

/// The report of a plan.
pub fn html(plan: &Plan) -> String {
    let title = format!("{} on {} × {}", plan.model.name, plan.gpus, plan.gpu);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{0}</title><style>{STYLE}</style></head><body><main><h1>{0}</h1>\
         <p class=\"soft\">{1:.1}B parameters{2}, {3:.3}T tokens, sequences of {4}, {5:?}. \
         Intervals hold 90 %. Calibrated {6}.</p>",
        escape(&title),
        plan.params / 1e9,
        if plan.model.experts.is_some() {
            format!(" ({:.1}B active)", plan.active_params / 1e9)
        } else {
            String::new()
        },
        plan.tokens / 1e12,
        plan.seq,
        plan.precision,
        escape(&plan.calibrated)
    );
    tiles(&mut page, plan);
    step(&mut page, plan);
    memory(&mut page, plan);
    layouts(&mut page, plan);
    failures(&mut page, plan);
    money(&mut page, plan);
    learning(&mut page, plan);
    grounds(&mut page, plan);
    page + "</main></body></html>\n"
}

fn tiles(page: &mut String, plan: &Plan) {
    let [low, middle, high] = plan.days;
    let energy = &plan.bill.energy_mwh;
    let millions = |i: &crate::money::Interval| {
        (format!("{:.1}M$", i.median / 1e6), format!("{:.1} to {:.1}", i.low / 1e6, i.high / 1e6))
    };
    let (rent, rent_range) = millions(&plan.bill.rent);
    let (owned, owned_range) = millions(&plan.bill.owned);
    let [few, many] = plan.reliability.interruptions;
    let tiles = [
        (format!("{middle:.1} days"), format!("time, {low:.1} to {high:.1}")),
        (rent, format!("rented, {rent_range}")),
        (owned, format!("owned, {owned_range}")),
        (
            format!("{:.1} GWh", energy.median / 1e3),
            format!(
                "energy, {:.1} to {:.1}; {:.1} MW",
                energy.low / 1e3,
                energy.high / 1e3,
                plan.bill.power_mw.median
            ),
        ),
        (format!("{:.1} %", 100.0 * plan.best.mfu), "of the arithmetic used (MFU)".to_owned()),
        (format!("{few:.0} to {many:.0}"), "interruptions".to_owned()),
    ];
    page.push_str("<div class=\"tiles\">");
    for (value, name) in tiles {
        let _ = write!(
            page,
            "<div class=\"tile\"><b>{}</b><span>{}</span></div>",
            escape(&value),
            escape(&name)
        );
    }
    page.push_str("</div>");
    let _ = write!(page, "<p>Layout: <b>{}</b>.</p>", escape(&plan.best.layout.to_string()));
}

fn step(page: &mut String, plan: &Plan) {
    let total = plan.best.step_seconds;
    let parts: Vec<(String, f64, String)> = plan
        .best
        .step
        .parts()
        .iter()
        .map(|(name, time)| {
            ((*name).to_owned(), time.0, format!("{:.1} %", 100.0 * (*time / total)))
        })
        .collect();
    let _ = write!(
        page,
        "<h2>A step: {} ({} to {})</h2>{}",
        total,
        Seconds(plan.step_interval_seconds[0]),
        Seconds(plan.step_interval_seconds[1]),
        stack("where the time of a step goes", &parts, total.0)
    );
    let worth: Vec<String> = plan
        .limits
        .iter()
        .map(|l| format!("{} {:.0} %", l.resource, 100.0 * l.saved_by_doubling))
        .collect();
    let _ = write!(page, "<p class=\"soft\">Twice as fast would save: {}.</p>", worth.join(", "));
}

fn memory(page: &mut String, plan: &Plan) {
    let memory = &plan.best.memory;
    let mut parts: Vec<(String, f64, String)> = memory
        .parts()
        .iter()
        .map(|(name, size)| ((*name).to_owned(), size.0, size.to_string()))
        .collect();
    let left = plan.usable_memory - memory.total();
    parts.extend((0..4).map(|_| (String::new(), 0.0, String::new())));
    parts.push(("left".to_owned(), left.0.max(0.0), left.to_string()));
    let _ = write!(
        page,
        "<h2>Memory of the fullest device: {} of {}</h2>{}",
        memory.total(),
        plan.usable_memory,
        stack("memory of the fullest device", &parts, plan.usable_memory.0)
    );
}

fn layouts(page: &mut String, plan: &Plan) {
    page.push_str("<h2>Layouts and sizes</h2>");
    if plan.front.len() > 1 {
        // Layouts many times slower would squeeze the rest together.
        let slowest = 2.0 * plan.best.gpu_seconds_per_token();
        let points = plan
            .front
            .iter()
            .filter(|c| c.gpu_seconds_per_token() <= slowest)
            .map(|c| {
                let days = c.step_seconds.0 * plan.tokens
                    / (c.global_batch as f64 * plan.seq as f64)
                    / 86_400.0;
                (days, c.headroom.as_gib(), c.layout.to_string())
            })
            .collect();
        let series = [Series { name: "layouts no other beats".to_owned(), points, joined: false }];
        page.push_str(&plot(
            "time against memory left",
            "days without failures",
            "GiB left on the fullest device",
            &series,
            false,
        ));
        page.push_str("<div class=\"scroll\"><table><tr><th>layout</th><th class=\"n\">step</th><th class=\"n\">MFU</th><th class=\"n\">left</th></tr>");
        for c in plan.front.iter().take(8) {
            candidate_row(page, c);
        }
        page.push_str("</table></div>");
    }
    if !plan.scales.is_empty() {
        let points = plan
            .scales
            .iter()
            .map(|s| (s.days, s.rent / 1e6, format!("{} devices: {}", s.gpus, s.layout)))
            .collect();
        let series = [Series { name: "cluster sizes".to_owned(), points, joined: true }];
        page.push_str(&plot("time against money", "days", "rent, M$", &series, false));
        page.push_str("<div class=\"scroll\"><table><tr><th class=\"n\">devices</th><th class=\"n\">days</th><th class=\"n\">rent</th><th class=\"n\">MFU</th><th>layout</th></tr>");
        for s in &plan.scales {
            let _ = write!(
                page,
                "<tr><td class=\"n\">{}</td><td class=\"n\">{:.1}</td><td class=\"n\">{:.1}M$</td><td class=\"n\">{:.1} %</td><td>{}</td></tr>",
                s.gpus,
                s.days,
                s.rent / 1e6,
                100.0 * s.mfu,
                escape(&s.layout.to_string())
            );
        }
        page.push_str("</table></div>");
    }
    if let Some(rejections) = &plan.rejections {
        let _ = write!(
            page,
            "<p class=\"soft\">{} layouts looked at, {} kept. Refused: ",
            rejections.considered, rejections.kept
        );
        let reasons: Vec<String> =
            rejections.reasons.iter().map(|(r, n)| format!("{n} {}", escape(r))).collect();
        let _ = write!(page, "{}.</p>", reasons.join("; "));
    }
}

fn candidate_row(page: &mut String, c: &Candidate) {
    let _ = write!(
        page,
        "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{:.1} %</td><td class=\"n\">{}</td></tr>",
        escape(&c.layout.to_string()),
        c.step_seconds,
        100.0 * c.mfu,
        c.headroom
    );
}

fn failures(page: &mut String, plan: &Plan) {
    let r = &plan.reliability;
    let _ = write!(
        page,
        "<h2>Failures</h2><p>One interruption in {:.1} to {:.1} hours. A checkpoint of {} every {} \
         ({} standing still, {} to storage); {} spare machines. Useful share of the time, simulated: \
         {:.1} % ({:.1} to {:.1}); dropping replicas instead: {:.1} %; by Daly's closed form: {:.1} to {:.1} %.</p>",
        r.mean_hours_between[0],
        r.mean_hours_between[1],
        r.checkpoint.bytes,
        Seconds(r.interval_seconds),
        r.checkpoint.blocking,
        r.checkpoint.write,
        r.spare_nodes,
        100.0 * r.goodput_simulated[1],
        100.0 * r.goodput_simulated[0],
        100.0 * r.goodput_simulated[2],
        100.0 * r.goodput_dropping_replicas[1],
        100.0 * r.goodput_closed_form[0],
        100.0 * r.goodput_closed_form[1]
    );
    let line = |name: &str, value: &dyn Fn(&(usize, f64, f64)) -> f64| Series {
        name: name.to_owned(),
        points: r
            .curve
            .iter()
            .map(|c| {
                let share = 100.0 * value(c);
                (c.0 as f64, share, format!("{} devices: {share:.1} %", c.0))
            })
            .collect(),
        joined: true,
    };
    let series = [line("restart with spares", &|c| c.1), line("drop replicas", &|c| c.2)];
    page.push_str(&plot("useful share by size", "devices", "useful share, %", &series, true));
}

fn money(page: &mut String, plan: &Plan) {
    let bill = &plan.bill;
    let total: f64 = bill.parts.iter().map(|p| p.1).sum();
    let parts: Vec<(String, f64, String)> = bill
        .parts
        .iter()
        .map(|(name, v)| (name.clone(), *v, format!("{:.1}M$", v / 1e6)))
        .collect();
    let _ = write!(
        page,
        "<h2>Money</h2><p>Rented for the run: {}. Owned, the share of the cluster's life it uses: {}. \
         The cluster itself: {}.</p>{}<h3>What moves the owner's bill (M$)</h3>{}",
        bill.rent.dollars(),
        bill.owned.dollars(),
        bill.cluster_price.dollars(),
        stack("owner's cost at middle prices", &parts, total),
        tornado(
            "what moves the bill",
            &bill
                .moves_owned
                .iter()
                .map(|s| (s.input.clone(), s.at_low / 1e6, s.at_high / 1e6))
                .collect::<Vec<_>>(),
            total / 1e6,
            "M$"
        )
    );
}

fn learning(page: &mut String, plan: &Plan) {
    let l = &plan.lesson;
    let _ = write!(
        page,
        "<h2>Learning</h2><p>{:.2e} FLOP, {:.0} tokens for each active parameter. Compute-optimal for \
         this size: {:.2}T tokens ({:.2} to {:.2}). Rules of thumb: batch of {:.1}M tokens, learning \
         rate {:.1e}.</p><table><tr><th>law</th><th class=\"n\">loss, nats</th><th class=\"n\">compute the best size would need</th><th class=\"n\">best size for this compute</th></tr>",
        l.train_flop,
        l.tokens_per_param,
        l.optimal_tokens[1] / 1e12,
        l.optimal_tokens[0] / 1e12,
        l.optimal_tokens[2] / 1e12,
        l.batch_tokens / 1e6,
        l.learning_rate
    );
    for (i, (name, loss)) in l.loss.iter().enumerate() {
        let (_, params, tokens) = &l.optimum[i];
        let _ = write!(
            page,
            "<tr><td>{}</td><td class=\"n\">{loss:.3}</td><td class=\"n\">{:.0} %</td><td class=\"n\">{:.0}B on {:.1}T</td></tr>",
            escape(name),
            100.0 * l.compute_efficiency[i].1,
            params / 1e9,
            tokens / 1e12
        );
    }
    page.push_str("</table>");
    for t in &l.thresholds_passed {
        let _ = write!(
            page,
            "<p>Above {:.0e} FLOP: {} <span class=\"soft\">({}, {})</span></p>",
            t.flop,
            escape(&t.what),
            escape(&t.source),
            t.date
        );
    }
}

fn grounds(page: &mut String, plan: &Plan) {
    page.push_str("<h2>What this rests on</h2>");
    if !plan.assumptions.is_empty() {
        let _ = write!(page, "<p>Assumed: {}.</p>", escape(&plan.assumptions.join("; ")));
    }
    let _ = write!(
        page,
        "<p class=\"soft\">Step times come from a roofline with {} constants fitted to published \
         runs; prices, failure rates and specifications from dated data files. Half the width of a \
         step's interval is {:.0} %.</p>",
        CONSTANTS.len(),
        100.0 * (plan.step_half_width.exp() - 1.0)
    );
}
