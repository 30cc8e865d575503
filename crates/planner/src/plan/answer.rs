//! Answers a resolved question: search, failures, bill, lesson, over the cluster sizes it asks for.

use serde::Serialize;

use super::resolve::{Knowledge, Resolved};
use super::size::{sizes, smallest};
use crate::error::{PlanError, Result};
use crate::failures::{
    Checkpoint, Failures, Policy, Scenario, best_interval, goodput, simulate, young_interval,
};
use crate::layout::Layout;
use crate::learning::Lesson;
use crate::memory::{memory, usable};
use crate::model::ModelShape;
use crate::money::{Bill, Run, bill};
use crate::search::{Candidate, Limit, Rejections, Search, limits, pareto, search};
use crate::time::Job;
use crate::units::{Bytes, Dollars, Seconds};

/// Failures of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reliability {
    /// Interruptions for 1,000 machine-days: low and high.
    pub per_1000_node_days: [f64; 2],
    /// Mean time between interruptions, in hours: worst and best.
    pub mean_hours_between: [f64; 2],
    /// Interruptions expected over the run: low and high.
    pub interruptions: [f64; 2],
    /// Checkpoint.
    pub checkpoint: Checkpoint,
    /// Work between checkpoints, in seconds (Daly, at the middle rate).
    pub interval_seconds: f64,
    /// The same by Young.
    pub young_interval_seconds: f64,
    /// Useful share by closed form: at the worst and best rate.
    pub goodput_closed_form: [f64; 2],
    /// Useful share by simulation with the planned spares: 5 %, 50 %, 95 %.
    pub goodput_simulated: [f64; 3],
    /// The same when a lost replica is dropped instead: 5 %, 50 %, 95 %.
    pub goodput_dropping_replicas: [f64; 3],
    /// Spare machines planned.
    pub spare_nodes: usize,
    /// Useful share by number of devices at the middle rate: restart, dropping replicas.
    pub curve: Vec<(usize, f64, f64)>,
}

/// A cluster size beside the one planned.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scale {
    /// Devices that train.
    pub gpus: usize,
    /// Its best layout.
    pub layout: Layout,
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
    pub assumptions: Vec<String>,
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
    pub scales: Vec<Scale>,
    /// Failures.
    pub reliability: Reliability,
    /// Money and energy.
    pub bill: Bill,
    /// Learning.
    pub lesson: Lesson,
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
pub fn answer(asked: &Resolved, known: &Knowledge) -> Result<Plan> {
    let mut asked = asked.clone();
    let gpus = match asked.gpus {
        Some(gpus) => gpus,
        None => choose_size(&mut asked, known)?,
    };
    if asked.tokens.is_none() {
        asked.tokens = Some(affordable_tokens(&mut asked, gpus, known)?);
    }
    let plan = plan_for(&asked, gpus, known, true)?;
    check_demands(&asked, &plan)?;
    Ok(plan)
}

fn tokens(asked: &Resolved) -> f64 {
    asked.tokens.expect("tokens are settled before a plan is made")
}

/// The number of devices a deadline or budget asks for.
fn choose_size(asked: &mut Resolved, known: &Knowledge) -> Result<usize> {
    let deadline = asked.deadline.unwrap_or(Seconds::days(90.0));
    // With a budget the tokens are what it affords on the cluster chosen here.
    let settled_by_budget = asked.tokens.is_none() && asked.budget.is_some();
    if settled_by_budget {
        asked.tokens = Some(known.learning.optimal_tokens(asked.model.active_params()));
    } else if asked.tokens.is_none() {
        asked.tokens = Some(known.learning.optimal_tokens(asked.model.active_params()));
        asked.assumptions.push(format!(
            "tokens not given: {:.3}T, twenty for each active parameter (compute-optimal)",
            tokens(asked) / 1e12
        ));
    }
    let sizes = sizes(asked.gpu.node);
    let gpus = smallest(&sizes, deadline, |gpus| {
        // No cluster is faster than its arithmetic: skip what cannot be.
        let compute = asked.model.train_flops_per_token(asked.seq, true) * tokens(asked);
        let floor = compute / (asked.gpu.peak(asked.precision) * gpus as f64);
        if floor > deadline {
            return Ok(floor);
        }
        let plan = plan_for(asked, gpus, known, false)?;
        Ok(Seconds::days(plan.days[1]))
    })?;
    if settled_by_budget {
        asked.tokens = None;
    }
    asked.assumptions.push(match asked.deadline {
        Some(_) => format!("{gpus} devices: the fewest looked at that meet the deadline"),
        None => format!("number of devices not given: {gpus}, which take under 90 days"),
    });
    Ok(gpus)
}

/// Tokens that the budget's rent buys on a cluster.
fn affordable_tokens(asked: &mut Resolved, gpus: usize, known: &Knowledge) -> Result<f64> {
    let budget = asked.budget.unwrap_or(Dollars(0.0));
    let trial = 1e12;
    asked.tokens = Some(trial);
    let plan = plan_for(asked, gpus, known, false)?;
    let mut affordable = trial * budget.0 / plan.bill.rent.median;
    if let Some(deadline) = asked.deadline {
        affordable = affordable.min(trial * deadline.as_days() / plan.days[1]);
    }
    // A hundredth is left, so that the answer keeps to its own budget.
    let affordable = affordable * 0.99;
    asked.assumptions.push(format!(
        "tokens not given: {:.3}T, what budget and deadline afford on {gpus} devices",
        affordable / 1e12
    ));
    Ok(affordable)
}

fn check_demands(asked: &Resolved, plan: &Plan) -> Result<()> {
    if let Some(deadline) = asked.deadline.filter(|d| plan.days[1] > d.as_days()) {
        let gpus =
            (plan.gpus as f64 * plan.days[1] / deadline.as_days() / 0.95 / asked.gpu.node as f64)
                .ceil() as usize
                * asked.gpu.node;
        let tokens = plan.tokens * deadline.as_days() / plan.days[1];
        return Err(PlanError::Contradiction {
            demands: format!("{} × {} and a deadline of {deadline}", plan.gpus, plan.gpu),
            reason: format!("the run takes about {:.1} days", plan.days[1]),
            nearest: format!(
                "{:.1} days, or about {gpus} devices, or {:.2}T tokens",
                plan.days[1],
                tokens / 1e12
            ),
        });
    }
    if let Some(budget) = asked.budget.filter(|b| plan.bill.rent.median > b.0 * 1.001) {
        let tokens = plan.tokens * budget.0 / plan.bill.rent.median;
        return Err(PlanError::Contradiction {
            demands: format!("{:.2}T tokens and a budget of {budget}", plan.tokens / 1e12),
            reason: format!("rent is about {}", plan.bill.rent.dollars()),
            nearest: format!(
                "{}, or {:.2}T tokens on the same cluster",
                Dollars(plan.bill.rent.median),
                tokens / 1e12
            ),
        });
    }
    Ok(())
}

/// Sequences of a step: as asked, or by the published rule.
fn batch(asked: &Resolved, known: &Knowledge) -> (usize, bool) {
    match asked.global_batch {
        Some(batch) => (batch, false),
        None => {
            let compute = asked.model.train_flops_per_token(asked.seq, true) * tokens(asked);
            let wanted = known.learning.batch_tokens(compute) / asked.seq as f64;
            ((wanted.round() as usize).max(1), true)
        }
    }
}

fn plan_for(asked: &Resolved, gpus: usize, known: &Knowledge, whole: bool) -> Result<Plan> {
    let constants = &known.calibration.constants;
    let (global_batch, batch_may_move) = batch(asked, known);
    let (best, front, rejections) = match asked.layout {
        Some(layout) => {
            let best = fixed(asked, layout, gpus, global_batch, batch_may_move, known)?;
            (best, vec![best], None)
        }
        None => {
            let space = Search {
                model: &asked.model,
                gpu: &asked.gpu,
                software: &asked.software,
                gpus,
                seq: asked.seq,
                global_batch,
                batch_may_move,
                precision: asked.precision,
            };
            let found = search_growing(space, constants)?;
            let best = *found.best().expect("a search that finds nothing is an error");
            let front = if whole { pareto(&found.candidates) } else { Vec::new() };
            (best, front, Some(found.rejections))
        }
    };
    let job = job(asked, &best);
    let tokens = tokens(asked);
    let steps = tokens / (best.global_batch as f64 * asked.seq as f64);
    let ideal = best.step_seconds * steps;
    let half_width = known.calibration.half_width(asked.model.experts.is_some());
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
    let scales = if whole { scales(asked, gpus, known) } else { Vec::new() };
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
        assumptions: asked.assumptions.clone(),
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
        rejections,
        scales,
        reliability,
        bill: bill(&run, &known.prices, asked.seed),
        lesson: known.learning.lesson(&asked.model, asked.seq, tokens),
        calibrated: known.calibration.date.clone(),
        step_half_width: half_width,
        best,
        model: asked.model.clone(),
    })
}

/// Searches; where the rule's batch is too small for the cluster, doubles it a few times.
fn search_growing(
    space: Search,
    constants: &crate::calibration::Constants,
) -> Result<crate::search::Searched> {
    let mut space = space;
    let mut last = search(&space, constants);
    for _ in 0..6 {
        match &last {
            Err(PlanError::Contradiction { .. }) if space.batch_may_move => {
                space.global_batch *= 2;
                last = search(&space, constants);
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

fn fixed(
    asked: &Resolved,
    layout: Layout,
    gpus: usize,
    global_batch: usize,
    batch_may_move: bool,
    known: &Knowledge,
) -> Result<Candidate> {
    let unit = layout.dp * layout.micro_batch;
    let global_batch = if batch_may_move && unit > 0 {
        (global_batch / unit).max(layout.pp.max(1)) * unit
    } else {
        global_batch
    };
    layout.check(&asked.model, gpus, global_batch)?;
    let job = Job {
        model: &asked.model,
        gpu: &asked.gpu,
        software: &asked.software,
        layout,
        seq: asked.seq,
        global_batch,
        precision: asked.precision,
    };
    let needed = memory(&job);
    if !needed.fits(&job) {
        let leaner = Layout { recompute: crate::layout::Recompute::Full, micro_batch: 1, ..layout };
        let lean = memory(&Job { layout: leaner, ..job });
        let nearest = if lean.total() <= usable(&job) {
            leaner.to_string()
        } else {
            "leave --layout out and let the search find one".to_owned()
        };
        return Err(PlanError::DoesNotFit {
            model: asked.model.name.clone(),
            gpus,
            gpu: asked.gpu.name.clone(),
            needed: needed.total(),
            available: usable(&job),
            nearest,
        });
    }
    Ok(Candidate::of(&job, &known.calibration.constants))
}

/// Runs simulated for an interval.
const RUNS: u64 = 60;

fn reliability(
    asked: &Resolved,
    best: &Candidate,
    ideal: Seconds,
    half_width: f64,
    known: &Knowledge,
    whole: bool,
) -> (Reliability, [f64; 3]) {
    let failures = &known.failures;
    let gpus = best.gpus;
    let (low, high) = match asked.failures {
        Some(rate) => (rate, rate),
        None => failures.rate_range(gpus),
    };
    let middle = (low * high).sqrt();
    let params = asked.model.params();
    let checkpoint = failures.checkpoint(params, gpus, asked.gpu.node, asked.storage);
    let mean = |rate: f64| Failures::mean_time(rate, gpus);
    let interval = best_interval(checkpoint.blocking, mean(middle), checkpoint.write);
    let (restart_low, restart_high) = failures.restart_range();
    let (repair_low, repair_high) = failures.repair_range();
    let between = |a: Seconds, b: Seconds| Seconds((a.0 * b.0).sqrt());
    let nodes = gpus.div_ceil(asked.gpu.node);
    // Machines in repair on average at the high rate and a long repair, and two deviations more: a
    // spare is then nearly always there, and costs little beside a cluster that waits.
    let long_repair = between(between(repair_low, repair_high), repair_high);
    let in_repair = failures.machine_share() * long_repair.0 / mean(high).0;
    let spares = asked.spares.unwrap_or((in_repair + 2.0 * in_repair.sqrt()).ceil() as usize);
    let scenario = |rate: f64, restart: Seconds, repair: Seconds, policy| Scenario {
        nodes,
        spares,
        nodes_per_replica: (best.layout.tp * best.layout.pp * best.layout.cp)
            .div_ceil(asked.gpu.node),
        mean_time: mean(rate),
        machine_share: failures.machine_share(),
        repair,
        restart,
        drop_replica: failures.drop_replica(),
        interval,
        checkpoint: checkpoint.blocking,
        work: ideal.max(Seconds(1.0)),
        policy,
    };
    let runs = if whole { RUNS } else { 12 };
    let mut random = crate::random::Random::new(asked.seed, 0x5EED);
    let mut restarting = Vec::new();
    let mut dropping = Vec::new();
    let mut walls = Vec::new();
    for run in 0..runs {
        let rate = random.log_between(low, high);
        let restart = Seconds(random.log_between(restart_low.0, restart_high.0));
        let repair = Seconds(random.log_between(repair_low.0, repair_high.0));
        let seed = asked.seed.wrapping_add(run);
        let result = simulate(&scenario(rate, restart, repair, Policy::Restart), seed);
        let drop = simulate(&scenario(rate, restart, repair, Policy::DropReplica), seed);
        restarting.push(result.goodput);
        dropping.push(drop.goodput);
        // The step's own error: 90 % of a normal lie within 1.645 deviations.
        let step = (half_width / 1.645 * random.normal()).exp();
        walls.push(ideal.as_days() * step / result.goodput.max(1e-6));
    }
    let spread = |values: &mut Vec<f64>| {
        [0.05, 0.5, 0.95].map(|share| crate::calibration::quantile(values, share).unwrap_or(0.0))
    };
    let days = spread(&mut walls);
    let restart = between(restart_low, restart_high);
    let closed = |rate: f64| goodput(interval, checkpoint.blocking, restart, mean(rate));
    let curve = if whole { curve(asked, known, middle) } else { Vec::new() };
    let answer = Reliability {
        per_1000_node_days: [low, high],
        mean_hours_between: [mean(high).as_hours(), mean(low).as_hours()],
        interruptions: [ideal / mean(low), ideal / mean(high)],
        checkpoint,
        interval_seconds: interval.0,
        young_interval_seconds: young_interval(checkpoint.blocking, mean(middle)).0,
        goodput_closed_form: [closed(high), closed(low)],
        goodput_simulated: spread(&mut restarting),
        goodput_dropping_replicas: spread(&mut dropping),
        spare_nodes: spares,
        curve,
    };
    (answer, days)
}

/// Useful share at 1,024 to 131,072 devices, at one rate, with spares in proportion.
fn curve(asked: &Resolved, known: &Knowledge, rate: f64) -> Vec<(usize, f64, f64)> {
    let failures = &known.failures;
    let (restart_low, restart_high) = failures.restart_range();
    let (repair_low, repair_high) = failures.repair_range();
    (10..=17)
        .map(|power| {
            let gpus = 1_usize << power;
            let checkpoint =
                failures.checkpoint(asked.model.params(), gpus, asked.gpu.node, asked.storage);
            let mean_time = Failures::mean_time(rate, gpus);
            let repair = Seconds((repair_low.0 * repair_high.0).sqrt());
            let in_repair = failures.machine_share() * repair.0 / mean_time.0;
            let scenario = Scenario {
                nodes: gpus.div_ceil(asked.gpu.node),
                spares: (in_repair + 2.0 * in_repair.sqrt()).ceil() as usize,
                nodes_per_replica: 16,
                mean_time,
                machine_share: failures.machine_share(),
                repair,
                restart: Seconds((restart_low.0 * restart_high.0).sqrt()),
                drop_replica: failures.drop_replica(),
                interval: best_interval(checkpoint.blocking, mean_time, checkpoint.write),
                checkpoint: checkpoint.blocking,
                work: Seconds::days(30.0),
                policy: Policy::Restart,
            };
            let mean = |policy| {
                let case = Scenario { policy, ..scenario };
                (0..8).map(|run| simulate(&case, asked.seed + run).goodput).sum::<f64>() / 8.0
            };
            (gpus, mean(Policy::Restart), mean(Policy::DropReplica))
        })
        .collect()
}

/// The same run on an eighth, a quarter, half and twice the devices.
fn scales(asked: &Resolved, gpus: usize, known: &Knowledge) -> Vec<Scale> {
    if asked.layout.is_some() {
        return Vec::new();
    }
    [gpus / 8, gpus / 4, gpus / 2, gpus, gpus * 2]
        .into_iter()
        .filter(|n| *n > 0)
        .filter_map(|n| {
            let plan = plan_for(asked, n, known, false).ok()?;
            Some(Scale {
                gpus: n,
                layout: plan.best.layout,
                mfu: plan.best.mfu,
                days: plan.days[1],
                rent: plan.bill.rent.median,
            })
        })
        .collect()
}
