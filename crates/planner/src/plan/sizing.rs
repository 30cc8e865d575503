//! What is left open in a question, settled from what is given: model size, tokens and devices from a
//! budget, a deadline or a cluster. Compute-optimal (arXiv:2203.15556) unless over-training is asked for;
//! the rate of the devices is the planner's own, found by planning a few times. Prices nothing itself.

use serde::Serialize;

use super::answer::plan_for;
use super::assumption::Assumption;
use super::resolve::{Knowledge, Resolved};
use super::size::{sizes, smallest};
use crate::error::{PlanError, Result};
use crate::learning::shape_of_size;
use crate::units::{Dollars, Seconds, count};

/// Length of a run when no deadline is given: a quarter of a year.
const USUAL_DAYS: f64 = 90.0;

/// Devices when neither they nor a budget are given.
const USUAL_DEVICES: usize = 1024;

/// Rate of a device that is supposed before the first plan: share of the data sheet.
const SUPPOSED_RATE: f64 = 0.36;

/// Rounds of planning; sizes settle within a percent in three or four.
const ROUNDS: usize = 6;

/// Vocabulary of a model whose size is found here: that of Llama 3.
const VOCABULARY: usize = 128_256;

/// What else could be done with the same means.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alternative {
    /// What is different.
    pub what: Assumption,
    /// Model.
    pub model: String,
    /// Parameters.
    pub params: f64,
    /// Tokens.
    pub tokens: f64,
    /// Tokens for each parameter a token passes through.
    pub tokens_per_param: f64,
    /// Device.
    pub gpu: String,
    /// Devices.
    pub gpus: usize,
    /// Days, failures included.
    pub days: f64,
    /// Middle rent.
    pub rent: f64,
    /// Loss in nats a token, by law: for comparing.
    pub loss: Vec<(String, f64)>,
}

/// Chooses model, tokens and devices where the question leaves them open. Returns the number of devices.
///
/// # Errors
/// When budget, deadline and devices allow fewer tokens than parameters: with what would be enough.
pub(super) fn size_run(asked: &mut Resolved, known: &Knowledge) -> Result<usize> {
    let by_means = asked.budget.is_some() || asked.deadline.is_some() && asked.gpus.is_some();
    let tokens_from_means = asked.tokens.is_none() && by_means;
    if asked.model_open || tokens_from_means {
        return from_means(asked, known);
    }
    if asked.tokens.is_none() {
        let tokens = asked.tokens_per_param * asked.model.active_params();
        asked.tokens = Some(tokens);
        asked.assumptions.push(ratio_assumption(
            tokens,
            asked.tokens_per_param,
            asked.compute_optimal,
        ));
    }
    match asked.gpus {
        Some(gpus) => Ok(gpus),
        None => for_deadline(asked, known),
    }
}

fn ratio_assumption(tokens: f64, ratio: f64, compute_optimal: bool) -> Assumption {
    let tokens = count(tokens);
    if !compute_optimal {
        return Assumption::new(
            format!("tokens not given: {tokens}, {ratio:.0} for each active parameter, as asked"),
            format!("jetons non donnés : {tokens}, {ratio:.0} par paramètre actif, comme demandé"),
        );
    }
    Assumption::new(
        format!(
            "tokens not given: {tokens}, {ratio:.0} for each active parameter (compute-optimal)"
        ),
        format!("jetons non donnés : {tokens}, {ratio:.0} par paramètre actif (optimum de calcul)"),
    )
}

/// The fewest devices that meet the deadline with the chosen tokens.
fn for_deadline(asked: &mut Resolved, known: &Knowledge) -> Result<usize> {
    let deadline = asked.deadline.unwrap_or(Seconds::days(USUAL_DAYS));
    let tokens = asked.tokens.unwrap_or(0.0);
    let gpus = smallest(&sizes(asked.gpu.node), deadline, |gpus| {
        // No cluster is faster than its arithmetic: skip what cannot be.
        let compute = asked.model.train_flops_per_token(asked.seq, true) * tokens;
        let floor = compute / (asked.gpu.peak(asked.precision) * gpus as f64);
        if floor > deadline {
            return Ok(floor);
        }
        let plan = plan_for(asked, gpus, known, false)?;
        Ok(Seconds::days(plan.days[1]))
    })?;
    asked.assumptions.push(match asked.deadline {
        Some(_) => Assumption::new(
            format!("{gpus} devices: the fewest looked at that meet the deadline"),
            format!("{gpus} accélérateurs : le moins, parmi les tailles vues, qui tient le délai"),
        ),
        None => Assumption::new(
            format!("number of devices not given: {gpus}, which take under 90 days"),
            format!("nombre d'accélérateurs non donné : {gpus}, qui prennent moins de 90 jours"),
        ),
    });
    Ok(gpus)
}

/// Model, tokens and devices from budget, deadline and cluster, whatever of them is open.
fn from_means(asked: &mut Resolved, known: &Knowledge) -> Result<usize> {
    let limit = asked.deadline.unwrap_or(Seconds::days(USUAL_DAYS));
    if asked.gpus.is_none() && asked.budget.is_none() {
        asked.gpus = Some(USUAL_DEVICES.next_multiple_of(asked.gpu.node));
        asked.devices_assumed = true;
        asked.assumptions.push(Assumption::new(
            format!("number of devices not given: {USUAL_DEVICES}; other sizes are below"),
            format!("nombre d'accélérateurs non donné : {USUAL_DEVICES} ; d'autres plus bas"),
        ));
    }
    let (given_tokens, given_gpus) = (asked.tokens, asked.gpus);
    let rent = asked.rent.unwrap_or((asked.gpu.rent.0 * asked.gpu.rent.1).sqrt());
    let paid = asked.budget.map(|budget| budget.0 / rent * 3600.0);
    let held = given_gpus.map(|gpus| gpus as f64 * limit.0);
    let device_seconds = match (paid, held) {
        (Some(paid), Some(held)) => paid.min(held),
        (paid, held) => paid.or(held).unwrap_or(0.0),
    };
    let mut rate = asked.gpu.bf16.0 * SUPPOSED_RATE;
    let mut settled = None;
    for round in 0..ROUNDS {
        let compute = device_seconds * rate;
        let gpus = one_size(asked, compute, given_tokens, device_seconds, limit)?;
        let (gpus, plan) = plan_larger(asked, known, gpus)?;
        let spent = plan.bill.gpu_hours.median * 3600.0;
        let done = asked.model.train_flops_per_token(asked.seq, true) * asked.tokens.unwrap_or(0.0);
        let found = done.0 / spent;
        let near = (found / rate - 1.0).abs() < 0.01;
        // A size may be slow where the next is fast: later rounds go half the way.
        rate = if round == 0 { found } else { (rate * found).sqrt() };
        settled = Some((gpus, plan));
        if near {
            break;
        }
    }
    let Some((gpus, plan)) = settled else { return Ok(given_gpus.unwrap_or(USUAL_DEVICES)) };
    if given_tokens.is_none() {
        // What is left after rounding the model; a hundredth stays, so that the answer keeps to itself.
        let by_rent = asked.budget.map_or(f64::INFINITY, |b| b.0 / plan.bill.rent.median);
        let by_time = limit.as_days() / plan.days[1];
        let by_time = if asked.deadline.is_some() || given_gpus.is_some() && paid.is_none() {
            by_time
        } else {
            f64::INFINITY
        };
        asked.tokens = asked.tokens.map(|tokens| tokens * by_rent.min(by_time) * 0.99);
    }
    enough(asked, rate * device_seconds, rent / 3600.0 / rate)?;
    list_assumptions(asked, gpus, given_gpus.is_some(), given_tokens.is_some());
    Ok(gpus)
}

/// One round: model and tokens for a compute, and the devices that do it in time.
fn one_size(
    asked: &mut Resolved,
    compute: f64,
    given_tokens: Option<f64>,
    device_seconds: f64,
    limit: Seconds,
) -> Result<usize> {
    if asked.model_open {
        let params = match given_tokens {
            Some(tokens) => compute / (6.0 * tokens),
            None => (compute / (6.0 * asked.tokens_per_param)).sqrt(),
        };
        asked.model = shape_of_size(params, VOCABULARY);
    }
    let each = asked.model.train_flops_per_token(asked.seq, true).0;
    asked.tokens = Some(given_tokens.unwrap_or(compute / each));
    if let Some(gpus) = asked.gpus {
        return Ok(gpus);
    }
    let needed = device_seconds / limit.0;
    let sizes = sizes(asked.gpu.node);
    match sizes.iter().find(|gpus| **gpus as f64 >= needed) {
        Some(gpus) => Ok(*gpus),
        None => Err(PlanError::Contradiction {
            demands: format!("the budget and {limit}"),
            reason: format!("it would take {needed:.0} devices"),
            nearest: format!(
                "{:.0} days on {} devices",
                device_seconds / 86_400.0 / sizes.last().copied().unwrap_or(1) as f64,
                sizes.last().copied().unwrap_or(1)
            ),
        }),
    }
}

/// Plans on a number of devices, or on the next larger ones where the number may grow and the model
/// does not fit.
fn plan_larger(
    asked: &Resolved,
    known: &Knowledge,
    gpus: usize,
) -> Result<(usize, super::answer::Plan)> {
    let first = match plan_for(asked, gpus, known, false) {
        Ok(plan) => return Ok((gpus, plan)),
        Err(error) => error,
    };
    if asked.gpus.is_none() {
        let larger = sizes(asked.gpu.node).into_iter().filter(|n| *n > gpus).take(10);
        for gpus in larger {
            if let Ok(plan) = plan_for(asked, gpus, known, false) {
                return Ok((gpus, plan));
            }
        }
    }
    Err(first)
}

/// Refuses a run of fewer tokens than parameters.
fn enough(asked: &Resolved, compute: f64, dollars_per_flop: f64) -> Result<()> {
    let (params, tokens) = (asked.model.active_params(), asked.tokens.unwrap_or(0.0));
    if tokens >= params {
        return Ok(());
    }
    let best = (compute / (6.0 * asked.tokens_per_param)).sqrt();
    let each = asked.model.train_flops_per_token(asked.seq, true).0;
    let needed = each * asked.tokens_per_param * params;
    let mut nearest = Vec::new();
    if asked.budget.is_some() {
        nearest.push(format!("about {}", Dollars(needed * dollars_per_flop)));
    } else {
        nearest.push(format!("about {:.0} times the time or devices", needed / compute));
    }
    let smallest = shape_of_size(1e6, VOCABULARY).params();
    if best > smallest && !asked.model_open {
        nearest.push(format!(
            "a model of about {}M parameters on {} tokens",
            (best / 1e6).round(),
            count(asked.tokens_per_param * best)
        ));
    }
    let what = match (asked.budget, asked.deadline) {
        (Some(budget), Some(deadline)) => format!("a budget of {budget} and {deadline}"),
        (Some(budget), None) => format!("a budget of {budget}"),
        (None, Some(deadline)) => format!("{deadline}"),
        (None, None) => "the cluster".to_owned(),
    };
    Err(PlanError::Contradiction {
        demands: format!("{what} and {} ({} parameters)", asked.model.name, count(params)),
        reason: format!(
            "they afford {} tokens, less than one for each parameter, from which nothing is learnt",
            count(tokens)
        ),
        nearest: nearest.join(", or "),
    })
}

/// Lists how each quantity was chosen.
fn list_assumptions(asked: &mut Resolved, gpus: usize, gpus_given: bool, tokens_given: bool) {
    let tokens = asked.tokens.unwrap_or(0.0);
    let params = asked.model.active_params();
    let ratio = tokens / params;
    let (means, moyens) = match (asked.budget, asked.deadline) {
        (Some(_), Some(_)) => ("budget and deadline afford", "le budget et le délai permettent"),
        (Some(_), None) => ("the budget affords", "le budget permet"),
        (None, Some(_)) => ("the deadline affords", "le délai permet"),
        (None, None) => ("90 days afford", "90 jours permettent"),
    };
    if asked.model_open {
        let (size, tokens) = (count(asked.model.params()), count(tokens));
        let (rule, regle) = if asked.compute_optimal {
            (
                "compute-optimal; --over-training asks for more",
                "optimum de calcul ; --over-training en demande plus",
            )
        } else {
            ("as asked", "comme demandé")
        };
        asked.assumptions.push(Assumption::new(
            format!(
                "model not given: dense, {size} parameters on {tokens} tokens, {ratio:.0} a \
                 parameter ({rule}), what {means}"
            ),
            format!(
                "modèle non donné : dense, {size} paramètres sur {tokens} jetons, \
                 {ratio:.0} par paramètre ({regle}), ce que {moyens}"
            ),
        ));
    } else if !tokens_given {
        asked.assumptions.push(Assumption::new(
            format!(
                "tokens not given: {}, {ratio:.0} a parameter, what {means} on {gpus} devices",
                count(tokens)
            ),
            format!(
                "jetons non donnés : {}, {ratio:.0} par paramètre, ce que {moyens} sur {gpus} \
                 accélérateurs",
                count(tokens)
            ),
        ));
    }
    if !gpus_given {
        let (when, quand) = match asked.deadline {
            Some(_) => ("within the deadline", "dans le délai"),
            None => ("within 90 days", "en 90 jours"),
        };
        asked.assumptions.push(Assumption::new(
            format!("number of devices not given: {gpus}, the fewest that spend the budget {when}"),
            format!(
                "nombre d'accélérateurs non donné : {gpus}, le moins qui dépense le budget {quand}"
            ),
        ));
    }
}

/// What else the same means would give: other sizes of model, other devices, other clusters.
pub(super) fn alternatives(question: &Resolved, known: &Knowledge) -> Vec<Alternative> {
    let middle = known.learning.optimal_tokens(1.0);
    let open_ratio = question.model_open && question.tokens.is_none();
    let mut variants: Vec<(Assumption, Resolved)> = Vec::new();
    if open_ratio {
        for times in [1.0, 5.0, 20.0] {
            let ratio = middle * times;
            if (ratio / question.tokens_per_param - 1.0).abs() > 0.01 {
                let mut asked = question.clone();
                asked.tokens_per_param = ratio;
                let name = Assumption::new(
                    format!("{ratio:.0} tokens a parameter"),
                    format!("{ratio:.0} jetons par paramètre"),
                );
                variants.push((name, asked));
            }
        }
    }
    let open_means = question.model_open || question.tokens.is_none();
    if open_means && question.budget.is_some() && question.gpus.is_none() && question.rent.is_none()
    {
        for name in ["h100", "h200", "b200", "gb200"] {
            let Ok(gpu) = known.accelerators.find(name) else { continue };
            if gpu.name != question.gpu.name && gpu.supports(question.precision) {
                let mut asked = question.clone();
                let fabric = asked.gpu.fabric.clone();
                asked.gpu = crate::hardware::Gpu { fabric, ..gpu.clone() };
                variants
                    .push((Assumption::new(format!("on {name}"), format!("sur {name}")), asked));
            }
        }
    }
    if question.model_open && question.budget.is_none() && question.gpus.is_none() {
        for gpus in [256, 4096, 16_384] {
            let mut asked = question.clone();
            asked.gpus = Some(gpus);
            let name = Assumption::new(format!("{gpus} devices"), format!("{gpus} accélérateurs"));
            variants.push((name, asked));
        }
    }
    let made = |(what, mut asked): (Assumption, Resolved)| -> Option<Alternative> {
        let gpus = size_run(&mut asked, known).ok()?;
        let plan = plan_for(&asked, gpus, known, false).ok()?;
        Some(Alternative {
            what,
            model: plan.model.name.clone(),
            params: plan.params,
            tokens: plan.tokens,
            tokens_per_param: plan.forecast.tokens_per_param,
            gpu: plan.gpu,
            gpus: plan.gpus,
            days: plan.days[1],
            rent: plan.bill.rent.median,
            loss: plan.forecast.loss,
        })
    };
    variants.into_iter().filter_map(made).collect()
}
