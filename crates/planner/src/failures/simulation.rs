//! Discrete-event simulation of a run with failures, repairs, spare machines and replicas that drop
//! out. Deterministic in its seed. Time between failures is exponential and grows with the machines
//! at work; everything else is as the scenario says.

use serde::{Deserialize, Serialize};

use crate::units::Seconds;
use stoa_random::Draws;

/// What is done about a lost machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Stop, take a spare machine or wait for a repair, load the last checkpoint.
    Restart,
    /// Continue without the replica until its machine is back; only the running step is lost.
    DropReplica,
}

/// A run to simulate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scenario {
    /// Machines that train.
    pub nodes: usize,
    /// Machines that wait.
    pub spares: usize,
    /// Machines of a replica.
    pub nodes_per_replica: usize,
    /// Mean time between interruptions when all machines work.
    pub mean_time: Seconds,
    /// Share of interruptions that take a machine out.
    pub machine_share: f64,
    /// Mean time to repair a machine.
    pub repair: Seconds,
    /// Time to find out, restart and load.
    pub restart: Seconds,
    /// Time to continue without a replica.
    pub drop_replica: Seconds,
    /// Useful work between checkpoints.
    pub interval: Seconds,
    /// Time training stands still for a checkpoint.
    pub checkpoint: Seconds,
    /// Useful work to be done, at full strength.
    pub work: Seconds,
    /// What is done about a lost machine.
    pub policy: Policy,
}

/// What happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Simulated {
    /// Time it took.
    pub wall: Seconds,
    /// Useful share of it.
    pub goodput: f64,
    /// Interruptions.
    pub failures: usize,
    /// Time waiting for machines because no spare was left.
    pub starved: Seconds,
    /// Work done twice.
    pub repeated: Seconds,
}

/// Longest run simulated, as a multiple of its work: beyond it the cluster does not make progress.
const GIVE_UP: f64 = 100.0;

struct State<'a> {
    scenario: &'a Scenario,
    random: Draws,
    now: f64,
    /// Times at which machines come back, unordered.
    repairs: Vec<f64>,
    spares: usize,
    missing: usize,
}

/// Simulates one run.
pub fn simulate(scenario: &Scenario, seed: u64) -> Simulated {
    let mut state = State {
        scenario,
        random: Draws::numbered(seed, 0xFA11),
        now: 0.0,
        repairs: Vec::new(),
        spares: scenario.spares,
        missing: 0,
    };
    let mut result = Simulated::default();
    let mut saved = 0.0;
    while saved < scenario.work.0 && state.now < GIVE_UP * scenario.work.0 {
        let speed = state.speed();
        let until_failure = state.next_failure();
        // A run that restarts takes repaired machines in at the next restart; only a run that continues
        // without them waits for each.
        let until_repair = match scenario.policy {
            Policy::Restart => f64::INFINITY,
            Policy::DropReplica => state.next_repair(),
        };
        let needed = state.time_for(scenario.work.0 - saved, speed);
        if needed <= until_failure && needed <= until_repair {
            state.now += needed;
            saved = scenario.work.0;
            break;
        }
        if until_repair < until_failure {
            // A machine comes back: it becomes a spare, or fills a gap after a pause.
            saved += state.done_in(until_repair, speed, &mut 0.0);
            state.now += until_repair;
            state.take_back();
            continue;
        }
        result.failures += 1;
        let mut lost = 0.0;
        saved += state.done_in(until_failure, speed, &mut lost);
        state.now += until_failure;
        state.fail(&mut saved, lost, &mut result);
    }
    result.wall = Seconds(state.now);
    result.goodput = saved.min(scenario.work.0) / state.now.max(f64::MIN_POSITIVE);
    result
}

impl State<'_> {
    /// Replicas at work over all replicas.
    fn speed(&self) -> f64 {
        if self.missing == 0 {
            return 1.0;
        }
        let replicas = (self.scenario.nodes / self.scenario.nodes_per_replica.max(1)).max(1);
        // Missing machines are in different replicas as long as they can be.
        let lost = self.missing.min(replicas);
        (replicas - lost) as f64 / replicas as f64
    }

    fn next_failure(&mut self) -> f64 {
        let working = (self.scenario.nodes - self.missing.min(self.scenario.nodes - 1)) as f64;
        let mean = self.scenario.mean_time.0 * self.scenario.nodes as f64 / working;
        self.random.exponential(mean)
    }

    fn next_repair(&self) -> f64 {
        let soonest = self.repairs.iter().copied().fold(f64::INFINITY, f64::min);
        (soonest - self.now).max(0.0)
    }

    /// Time for an amount of work at a speed, checkpoints included.
    fn time_for(&self, work: f64, speed: f64) -> f64 {
        if speed <= 0.0 {
            return f64::INFINITY;
        }
        let checkpoints = (work / self.scenario.interval.0 - 1e-9).floor().max(0.0);
        work / speed + checkpoints * self.scenario.checkpoint.0
    }

    /// Work saved by checkpoints in a time; what is done since the last one goes to `lost`.
    fn done_in(&self, time: f64, speed: f64, lost: &mut f64) -> f64 {
        if speed <= 0.0 {
            return 0.0;
        }
        let (interval, checkpoint) = (self.scenario.interval.0, self.scenario.checkpoint.0);
        let cycle = interval / speed + checkpoint;
        let cycles = (time / cycle).floor();
        let running = ((time - cycles * cycle) * speed).min(interval);
        match self.scenario.policy {
            Policy::Restart => {
                *lost = running;
                cycles * interval
            }
            Policy::DropReplica => cycles * interval + running,
        }
    }

    fn take_back(&mut self) {
        let soonest = self.repairs.iter().copied().fold(f64::INFINITY, f64::min);
        if let Some(at) = self.repairs.iter().position(|time| *time == soonest) {
            self.repairs.swap_remove(at);
        }
        if self.missing > 0 {
            self.missing -= 1;
            self.now += self.scenario.drop_replica.0;
        } else {
            self.spares += 1;
        }
    }

    fn fail(&mut self, saved: &mut f64, lost: f64, result: &mut Simulated) {
        let scenario = self.scenario;
        let broken = self.random.uniform() < scenario.machine_share;
        if broken {
            self.repairs.push(self.now + self.random.exponential(scenario.repair.0));
        }
        match scenario.policy {
            Policy::Restart => {
                result.repeated += Seconds(lost);
                if broken {
                    self.replace(result);
                }
                self.restart(result);
            }
            Policy::DropReplica => {
                self.now += scenario.drop_replica.0;
                let replicas = (scenario.nodes / scenario.nodes_per_replica.max(1)).max(1);
                if broken && self.spares > 0 {
                    self.spares -= 1;
                } else if broken {
                    self.missing += 1;
                }
                if self.missing >= replicas {
                    // No replica left: all since the last checkpoint is lost.
                    let interval = scenario.interval.0;
                    let since = (*saved / interval).fract() * interval;
                    *saved -= since;
                    result.repeated += Seconds(since);
                    self.missing -= 1;
                    self.replace(result);
                    self.restart(result);
                }
            }
        }
    }

    /// Takes a spare machine, or waits for the next repair.
    fn replace(&mut self, result: &mut Simulated) {
        self.collect_repaired();
        if self.spares > 0 {
            self.spares -= 1;
            return;
        }
        let wait = self.next_repair();
        result.starved += Seconds(wait);
        self.now += wait;
        self.collect_repaired();
        self.spares = self.spares.saturating_sub(1);
    }

    fn collect_repaired(&mut self) {
        let now = self.now;
        let before = self.repairs.len();
        self.repairs.retain(|time| *time > now);
        self.spares += before - self.repairs.len();
    }

    /// Restarts; another failure meanwhile starts it over.
    fn restart(&mut self, result: &mut Simulated) {
        let restart = self.scenario.restart.0;
        // A bound, so that a cluster that fails faster than it restarts does not hang us.
        for _ in 0..1000 {
            let next = self.next_failure();
            if next >= restart {
                break;
            }
            result.failures += 1;
            self.now += next;
            if self.random.uniform() < self.scenario.machine_share {
                self.repairs.push(self.now + self.random.exponential(self.scenario.repair.0));
                self.replace(result);
            }
        }
        self.now += restart;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failures::{best_interval, goodput};

    fn scenario() -> Scenario {
        Scenario {
            nodes: 2048,
            spares: 100_000,
            nodes_per_replica: 16,
            mean_time: Seconds::hours(3.0),
            machine_share: 0.8,
            repair: Seconds::hours(12.0),
            restart: Seconds(600.0),
            drop_replica: Seconds(45.0),
            interval: Seconds(840.0),
            checkpoint: Seconds(30.0),
            work: Seconds::days(60.0),
            policy: Policy::Restart,
        }
    }

    fn mean(scenario: &Scenario) -> f64 {
        (0..40).map(|seed| simulate(scenario, seed).goodput).sum::<f64>() / 40.0
    }

    #[test]
    fn with_spares_without_end_it_agrees_with_the_closed_form() {
        for (hours, checkpoint, restart) in
            [(3.0, 30.0, 600.0), (0.5, 10.0, 300.0), (12.0, 120.0, 1200.0), (48.0, 60.0, 900.0)]
        {
            let mean_time = Seconds::hours(hours);
            let interval = best_interval(Seconds(checkpoint), mean_time, Seconds::ZERO);
            let case = Scenario {
                mean_time,
                interval,
                checkpoint: Seconds(checkpoint),
                restart: Seconds(restart),
                ..scenario()
            };
            let expected = goodput(interval, Seconds(checkpoint), Seconds(restart), mean_time);
            let simulated = mean(&case);
            // Standard error of the mean over 40 runs is under 0.3 %.
            assert!((simulated - expected).abs() < 0.01, "{hours} h: {simulated} {expected}");
        }
    }

    #[test]
    fn too_few_spares_starve_and_dropping_replicas_helps() {
        let few = Scenario { spares: 2, ..scenario() };
        let starved = simulate(&few, 1);
        assert!(starved.starved > Seconds::ZERO);
        assert!(mean(&few) < mean(&scenario()) - 0.05);
        let dropping = Scenario { policy: Policy::DropReplica, ..few };
        assert!(mean(&dropping) > mean(&few));
    }

    #[test]
    fn the_same_seed_is_the_same_run() {
        assert_eq!(simulate(&scenario(), 5), simulate(&scenario(), 5));
        assert_ne!(simulate(&scenario(), 5), simulate(&scenario(), 6));
    }

    #[test]
    fn a_cluster_that_fails_faster_than_it_restarts_ends() {
        let hopeless = Scenario { mean_time: Seconds(60.0), spares: 0, ..scenario() };
        let result = simulate(&hopeless, 1);
        assert!(result.goodput < 0.05, "{result:?}");
    }
}
