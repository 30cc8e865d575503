//! The page of a plan: answer, step, memory, layouts, failures, money, learning, assumptions and
//! sources, in English or French. Charts and page are those of the house's room for reports.

use stoa_report::{
    Content, Figure, Language, Plot, RangeChart, Report, ScatterChart, ScatterSeries, Section,
    StackBar, StackPart, Table,
};

use super::layouts::{cluster_sizes, layouts};
use super::step::{memory, step};
use super::words::Words;
use crate::calibration::CONSTANTS;
use crate::money::Interval;
use crate::plan::Plan;
use crate::units::{Scale, Seconds};

/// The report of a plan.
pub fn html(plan: &Plan, language: Language) -> String {
    report(plan, language).to_html()
}

fn report(plan: &Plan, language: Language) -> Report {
    let w = Words(language);
    let mut sections = vec![step(plan, w), memory(plan, w)];
    sections.extend(layouts(plan, w));
    sections.extend(cluster_sizes(plan, w));
    sections.extend(alternatives(plan, w));
    sections.push(failures(plan, w));
    sections.push(money(plan, w));
    sections.push(learning(plan, w));
    sections.push(grounds(plan, w));
    Report {
        language,
        title: w.say(
            format!("{} on {} × {}", plan.model.name, plan.gpus, plan.gpu),
            format!("{} sur {} × {}", plan.model.name, plan.gpus, plan.gpu),
        ),
        summary: summary(plan, w),
        figures: figures(plan, w),
        sections,
    }
}

fn summary(plan: &Plan, w: Words) -> String {
    let (size, active) = (w.count(plan.params), w.count(plan.active_params));
    let sparse = plan.model.experts.is_some();
    let tokens = w.count(plan.tokens);
    let fits = w.percent(plan.best.fits_probability);
    let format = plan.precision.name();
    let (layout, fabric) = (w.layout(&plan.best.layout), &plan.fabric);
    w.say(
        format!(
            "{size} parameters{}, {tokens} tokens, sequences of {}, {format}, network {fabric}. \
             Layout: {layout}; fits in memory with a probability of {fits}. Intervals hold 90 %; \
             calibrated {}.",
            if sparse { format!(" ({active} active)") } else { String::new() },
            plan.seq,
            plan.calibrated
        ),
        format!(
            "{size} paramètres{}, {tokens} jetons, séquences de {}, {format}, réseau {fabric}. \
             Disposition : {layout} ; tient en mémoire avec une probabilité de {fits}. Les intervalles \
             tiennent 90 % ; étalonné en {}.",
            if sparse { format!(" ({active} actifs)") } else { String::new() },
            plan.seq,
            plan.calibrated
        ),
    )
}

fn span(w: Words, interval: &Interval, show: impl Fn(f64) -> String) -> (String, String) {
    let (low, high) = (show(interval.low), show(interval.high));
    (show(interval.median), w.say(format!("{low} to {high}"), format!("{low} à {high}")))
}

fn figures(plan: &Plan, w: Words) -> Vec<Figure> {
    let [low, middle, high] = plan.days.map(|days| Seconds::days(days).0);
    let time = Scale::time(Seconds(middle));
    let [low, middle, high] = [low, middle, high].map(|t| w.shown(time, t));
    let bill = &plan.bill;
    let (rent, rent_range) = span(w, &bill.rent, |v| w.dollars(v));
    let (owned, owned_range) = span(w, &bill.owned, |v| w.dollars(v));
    let (energy, energy_range) =
        span(w, &bill.energy_mwh, |v| w.shown(Scale::energy(bill.energy_mwh.median), v));
    let power = w.shown(Scale::power(bill.power_mw.median), bill.power_mw.median);
    let [few, many] = plan.reliability.interruptions.map(|n| w.number(n, 0));
    vec![
        Figure::new(
            w.say("Time", "Durée"),
            middle,
            w.say(format!("{low} to {high}"), format!("{low} à {high}")),
        ),
        Figure::new(w.say("Rented", "En location"), rent, rent_range),
        Figure::new(w.say("Owned", "En propre"), owned, owned_range),
        Figure::new(
            w.say("Energy", "Énergie"),
            energy,
            w.say(format!("{energy_range}; {power}"), format!("{energy_range} ; {power}")),
        ),
        Figure::new(
            "MFU",
            w.percent(plan.best.mfu),
            if plan.precision.is_narrow() {
                w.say("of the bf16 peak", "du pic bf16")
            } else {
                w.say("of the arithmetic used", "du calcul employé")
            },
        ),
        Figure::new(
            w.say("Interruptions", "Interruptions"),
            w.say(format!("{few} to {many}"), format!("{few} à {many}")),
            w.say("over the run", "pendant l'entraînement"),
        ),
    ]
}

fn alternatives(plan: &Plan, w: Words) -> Option<Section> {
    if plan.alternatives.is_empty() {
        return None;
    }
    let mut header = vec![
        w.say("instead", "au lieu"),
        w.say("parameters", "paramètres"),
        w.say("tokens", "jetons"),
        w.say("devices", "accélérateurs"),
        w.say("time", "durée"),
        w.say("rent", "location"),
    ];
    let loss = |name: &str| w.say(format!("loss, {name}"), format!("perte, {name}"));
    header.extend(plan.forecast.loss.iter().map(|(name, _)| loss(name)));
    let row = |what: String, params: f64, tokens: f64, devices: String, days: f64, rent: f64| {
        vec![
            what,
            w.count(params),
            w.count(tokens),
            devices,
            w.time(Seconds::days(days)),
            w.dollars(rent),
        ]
    };
    let mut first = row(
        w.say("this plan", "ce plan"),
        plan.params,
        plan.tokens,
        format!("{} × {}", plan.gpus, plan.gpu),
        plan.days[1],
        plan.bill.rent.median,
    );
    first.extend(plan.forecast.loss.iter().map(|(_, loss)| w.number(*loss, 3)));
    let mut rows = vec![first];
    for a in &plan.alternatives {
        let devices = format!("{} × {}", a.gpus, a.gpu);
        let mut cells = row(w.assumption(&a.what), a.params, a.tokens, devices, a.days, a.rent);
        cells.extend(a.loss.iter().map(|(_, loss)| w.number(*loss, 3)));
        rows.push(cells);
    }
    Some(Section {
        title: w.say("What else the same means would give", "Ce que donneraient les mêmes moyens"),
        text: w.say(
            "These losses compare sizes; they do not predict the loss on your data.",
            "Ces pertes comparent des tailles ; elles ne prédisent pas la perte sur vos données.",
        ),
        content: Content::Table(Table { header, rows }),
    })
}

fn failures(plan: &Plan, w: Words) -> Section {
    let r = &plan.reliability;
    let [worst, best] = r.mean_hours_between.map(|hours| w.number(hours, 1));
    let useful = r.goodput_simulated.map(|share| w.percent(share));
    let useful = w.between(&useful[1], &useful[0], &useful[2]);
    let dropping = w.percent(r.goodput_dropping_replicas[1]);
    let [low, high] = r.goodput_closed_form.map(|share| w.percent(share));
    let (bytes, every) = (w.bytes(r.checkpoint.bytes), w.time(Seconds(r.interval_seconds)));
    let (blocking, write) = (w.time(r.checkpoint.blocking), w.time(r.checkpoint.write));
    let spares = r.spare_nodes;
    let series = |name: String, value: &dyn Fn(&(usize, f64, f64)) -> f64| ScatterSeries {
        points: r
            .curve
            .iter()
            .map(|c| (c.0 as f64, 100.0 * value(c), format!("{} : {}", c.0, w.percent(value(c)))))
            .collect(),
        name,
        joined: true,
    };
    let (restart, drop) = (
        w.say("restart with spares", "redémarrer avec des machines de réserve"),
        w.say("drop replicas", "continuer sans les répliques en panne"),
    );
    let rows =
        r.curve.iter().map(|c| vec![c.0.to_string(), w.percent(c.1), w.percent(c.2)]).collect();
    Section {
        title: w.say("Failures", "Pannes"),
        text: w.say(
            format!(
                "One interruption in {worst} to {best} hours. A checkpoint of {bytes} every {every} \
                 ({blocking} standing still, {write} to storage); {spares} spare machines. Useful \
                 share of the time, simulated: {useful}; dropping replicas instead: {dropping}; by \
                 Daly's closed form: {low} to {high}."
            ),
            format!(
                "Une interruption toutes les {worst} à {best} heures. Une sauvegarde de {bytes} toutes \
                 les {every} ({blocking} d'arrêt, {write} d'écriture) ; {spares} machines de réserve. \
                 Part utile du temps, simulée : {useful} ; en laissant tomber des répliques : \
                 {dropping} ; par la forme close de Daly : {low} à {high}."
            ),
        ),
        content: Content::Plots(vec![Plot::Scatter(ScatterChart {
            title: w.say("Useful share by size", "Part utile selon la taille"),
            x_label: w.say("devices", "accélérateurs"),
            y_label: w.say("useful share, %", "part utile, %"),
            log_x: true,
            series: vec![series(restart.clone(), &|c| c.1), series(drop.clone(), &|c| c.2)],
            table: Table { header: vec![w.say("devices", "accélérateurs"), restart, drop], rows },
        })]),
    }
}

fn money(plan: &Plan, w: Words) -> Section {
    let bill = &plan.bill;
    let total: f64 = bill.parts.iter().map(|part| part.1).sum();
    let of = |interval: &Interval| {
        let (middle, range) = span(w, interval, |v| w.dollars(v));
        format!("{middle} ({range})")
    };
    let parts = bill
        .parts
        .iter()
        .map(|(name, value)| StackPart {
            label: w.term(name),
            value: *value,
            shown: w.dollars(*value),
        })
        .collect();
    let scale = Scale::dollars(total);
    let unit = scale.unit;
    let moves = bill
        .moves_owned
        .iter()
        .map(|s| (w.term(&s.input), [s.at_low / scale.one, s.at_high / scale.one]))
        .collect();
    let (rent, owned, cluster) = (of(&bill.rent), of(&bill.owned), of(&bill.cluster_price));
    Section {
        title: w.say("Money", "Argent"),
        text: w.say(
            format!(
                "Rented for the run: {rent}. Owned, the share of the cluster's life it uses: {owned}. \
                 The cluster itself: {cluster}."
            ),
            format!(
                "En location : {rent}. En propre, la part de vie du parc employée : {owned}. Le parc \
                 lui-même : {cluster}."
            ),
        ),
        content: Content::Plots(vec![
            Plot::Stack(StackBar {
                title: w.say("Cost of an owned cluster at middle prices", "Coût d'un cluster acheté, aux prix moyens"),
                whole: total,
                parts,
                table: Table::default(),
            }),
            Plot::Ranges(RangeChart {
                title: w.say("What moves the owner's bill", "Ce qui fait bouger la facture"),
                x_label: unit.to_owned(),
                middle: total / scale.one,
                rows: moves,
                header: [
                    w.say("input", "donnée"),
                    w.say(format!("at its low end, {unit}"), format!("en bas, {unit}")),
                    w.say(format!("at its high end, {unit}"), format!("en haut, {unit}")),
                ],
            }),
        ]),
    }
}

fn learning(plan: &Plan, w: Words) -> Section {
    let l = &plan.forecast;
    let (flop, ratio) = (w.scientific(l.train_flop, 2), w.number(l.tokens_per_param, 0));
    let [low, middle, high] = l.optimal_tokens.map(|t| w.count(t));
    let (batch, rate) = (w.count(l.batch_tokens), w.scientific(l.learning_rate, 1));
    let passed: Vec<String> = l
        .thresholds_passed
        .iter()
        .map(|t| {
            let what = w.say(t.what.clone(), t.what_fr.clone());
            format!("{} FLOP: {what} ({}, {})", w.scientific(t.flop, 0), t.source, t.date)
        })
        .collect();
    let beyond = if passed.is_empty() {
        String::new()
    } else {
        let list = passed.join("; ");
        w.say(format!(" Above {list}."), format!(" Au-delà de {list}."))
    };
    let rows = l
        .loss
        .iter()
        .enumerate()
        .map(|(i, (name, loss))| {
            let (_, params, tokens) = &l.optimum[i];
            let (params, tokens) = (w.count(*params), w.count(*tokens));
            vec![
                name.clone(),
                w.number(*loss, 3),
                w.percent(l.compute_efficiency[i].1),
                w.say(format!("{params} on {tokens}"), format!("{params} sur {tokens}")),
            ]
        })
        .collect();
    Section {
        title: w.say("Learning", "Apprentissage"),
        text: w.say(
            format!(
                "{flop} FLOP, {ratio} tokens for each active parameter. Compute-optimal for this size: \
                 {middle} tokens ({low} to {high}). Rules of thumb: batch of {batch} tokens, learning \
                 rate {rate}.{beyond}"
            ),
            format!(
                "{flop} FLOP, {ratio} jetons par paramètre actif. Optimum de calcul à cette taille : \
                 {middle} jetons ({low} à {high}). Règles : lot de {batch} jetons, taux \
                 d'apprentissage {rate}.{beyond}"
            ),
        ),
        content: Content::Table(Table {
            header: vec![
                w.say("law", "loi"),
                w.say("loss, nats", "perte, nats"),
                w.say("compute the best size would need", "calcul qu'exigerait la taille optimale"),
                w.say("best size for this compute", "taille optimale pour ce calcul"),
            ],
            rows,
        }),
    }
}

fn grounds(plan: &Plan, w: Words) -> Section {
    let mut rows: Vec<Vec<String>> =
        plan.assumptions.iter().map(|assumption| vec![w.assumption(assumption)]).collect();
    if rows.is_empty() {
        rows.push(vec![w.say("nothing", "rien")]);
    }
    let wide = w.percent(plan.step_half_width.exp() - 1.0);
    let constants = CONSTANTS.len();
    Section {
        title: w.say("What this rests on", "Sur quoi cela repose"),
        text: w.say(
            format!(
                "Step times come from a roofline with {constants} constants fitted to published runs; \
                 prices, failure rates and specifications from dated data files. Half the width of a \
                 step's interval is {wide}."
            ),
            format!(
                "Les temps viennent d'un modèle en toit à {constants} constantes ajustées à des \
                 entraînements publiés ; prix, pannes et caractéristiques de fichiers datés. La \
                 demi-largeur de l'intervalle d'un pas est de {wide}."
            ),
        ),
        content: Content::Table(Table { header: vec![w.say("assumed", "supposé")], rows }),
    }
}
