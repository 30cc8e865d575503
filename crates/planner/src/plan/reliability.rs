//! Failures of a planned run: interval of checkpoints, share of time that is useful, spare machines, and
//! how long the run takes with all of it. Rates and simulation are in [`crate::failures`].

use serde::Serialize;

use super::resolve::{Knowledge, Resolved};
use crate::failures::{
    Checkpoint, Failures, Policy, Scenario, best_interval, goodput, simulate, young_interval,
};
use crate::search::Candidate;
use crate::units::Seconds;

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

/// Interruptions expected of a run below which no machine is held in reserve for it.
const HARDLY: f64 = 0.1;

/// Runs simulated for an interval.
const RUNS: u64 = 60;

/// Failures of a run of `ideal` length, and its days with them: 5 %, 50 %, 95 %.
pub(super) fn reliability(
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
    // spare is then nearly always there, and costs little compared with a cluster that waits.
    let long_repair = between(between(repair_low, repair_high), repair_high);
    let in_repair = failures.machine_share() * long_repair.0 / mean(high).0;
    // A run that will hardly be interrupted needs none.
    let needed = if ideal / mean(high) < HARDLY {
        0
    } else {
        (in_repair + 2.0 * in_repair.sqrt()).ceil() as usize
    };
    let spares = asked.spares.unwrap_or(needed);
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
    let mut random = stoa_random::Draws::numbered(asked.seed, 0x5EED);
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
