//! Answers a resolved question: search, failures, bill, forecast, over the cluster sizes it asks for.

use serde::Serialize;

use super::assumption::Assumption;
use super::constraints;
use super::reliability::{Reliability, reliability};
use super::resolve::{Knowledge, Resolved};
use super::sizing::{Alternative, alternatives, size_run};
use crate::calibration::Calibration;
use crate::error::{PlanError, Result};
use crate::layout::Layout;
use crate::learning::LossForecast;
use crate::memory::usable;
use crate::model::ModelShape;
use crate::money::{Bill, Run, bill};
use crate::search::{Candidate, Limit, Rejections, Search, limits, pareto, search};
use crate::time::{Job, Timeline, timeline};
use crate::units::{Bytes, Seconds};

/// Another cluster size than the one planned.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClusterSize {
    /// Devices that train.
    pub gpus: usize,
    /// Its best layout.
    pub layout: Layout,
    /// Probability that it fits.
    pub fits_probability: f64,
    /// Utilisation.
    pub mfu: f64,
    /// Days, failures included.
    pub days: f64,
    /// Middle rent.
    pub rent: f64,
}

/// The whole plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Model.
    pub model: ModelShape,
    /// Parameters.
    pub params: f64,
    /// Parameters a token passes through.
    pub active_params: f64,
    /// Device.
    pub gpu: String,
    /// Devices of a machine.
    pub node: usize,
    /// Devices that train.
    pub gpus: usize,
    /// Tokens.
    pub tokens: f64,
    /// Tokens of a sequence.
    pub seq: usize,
    /// Number format.
    pub precision: crate::hardware::Precision,
    /// Seed of everything drawn.
    pub seed: u64,
    /// What was filled in.
    pub assumptions: Vec<Assumption>,
    /// The layout planned, and what a step of it takes.
    pub best: Candidate,
    /// Its 90 % interval of a step, in seconds.
    pub step_interval_seconds: [f64; 2],
    /// Steps of the run.
    pub steps: f64,
    /// Days without failures.
    pub ideal_days: f64,
    /// Days with failures: 5 %, 50 %, 95 %, errors of the step included.
    pub days: [f64; 3],
    /// Memory a device has for a run.
    pub usable_memory: Bytes,
    /// What limits the layout.
    pub limits: Vec<Limit>,
    /// Layouts that no other beats in speed, memory and energy.
    pub front: Vec<Candidate>,
    /// Why the others were refused.
    pub rejections: Option<Rejections>,
    /// Other cluster sizes.
    #[serde(rename = "scales")]
    pub cluster_sizes: Vec<ClusterSize>,
    /// What else could be done with the same means, where a size was left open.
    pub alternatives: Vec<Alternative>,
    /// When each stage does what within a step.
    pub timeline: Option<Timeline>,
    /// The network beyond the machine.
    pub fabric: String,
    /// Failures.
    pub reliability: Reliability,
    /// Money and energy.
    pub bill: Bill,
    /// Learning.
    #[serde(rename = "lesson")]
    pub forecast: LossForecast,
    /// Date of the calibration.
    pub calibrated: String,
    /// Half the width of the step's interval, in the logarithm.
    pub step_half_width: f64,
}

/// Answers a question.
///
/// # Errors
/// When nothing fits, a layout is impossible, or demands contradict each other: with the nearest
/// that is possible.
pub fn answer(question: &Resolved, known: &Knowledge) -> Result<Plan> {
    let mut asked = question.clone();
    let gpus = size_run(&mut asked, known)?;
    let mut plan = plan_for(&asked, gpus, known, true)?;
    constraints::check(&asked, &plan)?;
    plan.alternatives = alternatives(question, known);
    Ok(plan)
}

fn tokens(asked: &Resolved) -> f64 {
    asked.tokens.expect("tokens are settled before a plan is made")
}

/// Sequences of a step: as asked, or by the published rule.
fn batch(asked: &Resolved, known: &Knowledge) -> (usize, bool) {
    match asked.global_batch {
        Some(batch) => (batch, !asked.batch_exact),
        None => {
            let compute = asked.model.train_flops_per_token(asked.seq, true) * tokens(asked);
            let wanted = known.learning.batch_tokens(compute) / asked.seq as f64;
            ((wanted.round() as usize).max(1), true)
        }
    }
}

pub(super) fn plan_for(
    asked: &Resolved,
    gpus: usize,
    known: &Knowledge,
    whole: bool,
) -> Result<Plan> {
    let constants = &known.calibration.constants;
    let (global_batch, batch_may_move) = batch(asked, known);
    let space = Search {
        model: &asked.model,
        gpu: &asked.gpu,
        software: &asked.software,
        gpus,
        seq: asked.seq,
        global_batch,
        batch_may_move,
        precision: asked.precision,
        asked: asked.layout.unwrap_or_default(),
    };
    let found = search_growing(space, &known.calibration)?;
    let best = *found.best().expect("a search that finds nothing is an error");
    let front = if whole { pareto(&found.candidates) } else { Vec::new() };
    let job = job(asked, &best);
    let tokens = tokens(asked);
    let steps = tokens / (best.global_batch as f64 * asked.seq as f64);
    let ideal = best.step_seconds * steps;
    constraints::lasting(tokens, gpus, &asked.gpu.name, ideal)?;
    let half_width = known.calibration.half_width(&job);
    let (reliability, days) = reliability(asked, &best, ideal, half_width, known, whole);
    let spare_gpus = reliability.spare_nodes * asked.gpu.node;
    let run = Run {
        gpu: &asked.gpu,
        gpus: gpus + spare_gpus,
        gpu_power: best.gpu_watts,
        wall: Seconds::days(days[1]),
        wall_half_width: (days[2] / days[0]).ln() / 2.0,
        rent: asked.rent,
    };
    let cluster_sizes = if whole { cluster_sizes(asked, gpus, known) } else { Vec::new() };
    Ok(Plan {
        params: asked.model.params(),
        active_params: asked.model.active_params(),
        gpu: asked.gpu.name.clone(),
        node: asked.gpu.node,
        gpus,
        tokens,
        seq: asked.seq,
        precision: asked.precision,
        seed: asked.seed,
        assumptions: assumptions(asked, &best),
        step_interval_seconds: [
            best.step_seconds.0 * (-half_width).exp(),
            best.step_seconds.0 * half_width.exp(),
        ],
        steps,
        ideal_days: ideal.as_days(),
        days,
        usable_memory: usable(&job),
        limits: limits(&job, constants),
        front,
        rejections: Some(found.rejections),
        cluster_sizes,
        alternatives: Vec::new(),
        timeline: whole.then(|| timeline(&job, constants)),
        fabric: asked.gpu.fabric.name.clone(),
        reliability,
        bill: bill(&run, &known.prices, asked.seed),
        forecast: known.learning.forecast(&asked.model, asked.seq, tokens),
        calibrated: known.calibration.date.clone(),
        step_half_width: half_width,
        best,
        model: asked.model.clone(),
    })
}

/// Searches; where the rule's batch is too small for the cluster, doubles it a few times.
fn search_growing(space: Search, calibration: &Calibration) -> Result<crate::search::Searched> {
    let mut space = space;
    let mut last = search(&space, calibration);
    for _ in 0..6 {
        match &last {
            Err(PlanError::Contradiction { .. }) if space.batch_may_move => {
                space.global_batch *= 2;
                last = search(&space, calibration);
            }
            _ => break,
        }
    }
    last
}

fn job<'a>(asked: &'a Resolved, best: &Candidate) -> Job<'a> {
    Job {
        model: &asked.model,
        gpu: &asked.gpu,
        software: &asked.software,
        layout: best.layout,
        seq: asked.seq,
        global_batch: best.global_batch,
        precision: asked.precision,
    }
}

/// What was assumed of the question, and what was chosen that it left open in part.
fn assumptions(asked: &Resolved, best: &Candidate) -> Vec<Assumption> {
    let mut all = asked.assumptions.clone();
    if let Some(layout) = &asked.layout {
        let chosen = layout.chosen(&best.layout).join(", ");
        if !chosen.is_empty() {
            all.push(Assumption::new(
                format!("layout given in part, chosen: {chosen}, the fastest that fits"),
                format!(
                    "disposition donnée en partie, choisi : {chosen}, la plus rapide qui tienne"
                ),
            ));
        }
    }
    if let Some(wanted) = asked.global_batch.filter(|wanted| *wanted != best.global_batch) {
        let n = best.global_batch;
        all.push(Assumption::new(
            format!("a step of {n} sequences in place of {wanted}, so that replicas divide it"),
            format!("un pas de {n} séquences au lieu de {wanted}, que les répliques divisent"),
        ));
    }
    if !best.is_certain() {
        let percent = 100.0 * best.fits_probability;
        all.push(Assumption::new(
            format!("memory: no layout looked at fits with 95 % probability; this one with {percent:.0} %"),
            format!("mémoire : aucune disposition vue ne tient à 95 % ; celle-ci à {percent:.0} %"),
        ));
    }
    all
}

/// The same run on an eighth, a quarter, half and twice the devices.
fn cluster_sizes(asked: &Resolved, gpus: usize, known: &Knowledge) -> Vec<ClusterSize> {
    if asked.layout.is_some() {
        return Vec::new();
    }
    [gpus / 8, gpus / 4, gpus / 2, gpus, gpus * 2]
        .into_iter()
        .filter(|n| *n > 0)
        .filter_map(|n| {
            let plan = plan_for(asked, n, known, false).ok()?;
            Some(ClusterSize {
                gpus: n,
                layout: plan.best.layout,
                fits_probability: plan.best.fits_probability,
                mfu: plan.best.mfu,
                days: plan.days[1],
                rent: plan.bill.rent.median,
            })
        })
        .collect()
}
