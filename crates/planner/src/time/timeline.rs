//! When each pipeline stage does what within a step: the schedule of one forward, one backward
//! (arXiv:2104.04473 section 2.2) run with the times of the cost model. The gaps of that schedule are
//! drawn as long as the model counts them (interleaving shortens them), so that every stage's spans end
//! with the step. Long runs of the same work are one span. All stages are timed as the mean stage; what
//! the fullest one takes longer is idle time of the others.

use serde::Serialize;

use super::step::{Job, Stage, step_of};
use crate::calibration::Constants;
use crate::units::Seconds;

/// What a stage does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Forward passes.
    Forward,
    /// Backward passes, recompute among them.
    Backward,
    /// A forward and a backward pass in turn, many times.
    Alternating,
    /// Waiting for another stage.
    Idle,
    /// Exchange of gradients and weights that nothing hides.
    DataExchange,
    /// The optimizer.
    Optimizer,
    /// Waiting for the slowest machine, and work outside the model.
    Waiting,
}

/// A stretch of a stage's time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Span {
    /// What it does.
    pub work: Work,
    /// When it begins, from the beginning of the step.
    pub start_seconds: Seconds,
    /// How long it takes.
    pub seconds: Seconds,
    /// Passes of a micro-batch in it.
    pub passes: usize,
}

/// A stage's time by what it is used for; the sum is the step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Work of forward passes.
    pub forward: Seconds,
    /// Work of backward passes.
    pub backward: Seconds,
    /// Exposed exchange within blocks and between stages.
    pub exchange: Seconds,
    /// Waiting for other stages.
    pub idle: Seconds,
    /// Exposed exchange of gradients and weights.
    pub data_exchange: Seconds,
    /// Optimizer.
    pub optimizer: Seconds,
    /// Waiting for the slowest machine.
    pub waiting: Seconds,
}

impl Totals {
    /// Name and time of each.
    pub fn parts(&self) -> [(&'static str, Seconds); 7] {
        [
            ("forward", self.forward),
            ("backward", self.backward),
            ("exchange", self.exchange),
            ("idle", self.idle),
            ("data exchange", self.data_exchange),
            ("optimizer", self.optimizer),
            ("waiting", self.waiting),
        ]
    }

    /// Their sum.
    pub fn total(&self) -> Seconds {
        self.parts().iter().map(|part| part.1).sum()
    }
}

/// A stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lane {
    /// Which stage, from 0.
    pub stage: usize,
    /// Its spans in order, without gaps.
    pub spans: Vec<Span>,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timeline {
    /// The step.
    pub step_seconds: Seconds,
    /// Stages of the pipeline; at most `MAX_LANES` of them are drawn.
    pub stages: usize,
    /// Micro-batches.
    pub micro_batches: usize,
    /// Every stage's time by use.
    pub totals: Totals,
    /// Stages, the first and last among them.
    pub lanes: Vec<Lane>,
}

/// Stages a timeline shows.
pub const MAX_LANES: usize = 16;

/// Passes of a stage that are shown one by one.
const MAX_PASSES: usize = 48;

/// The timeline of a job's step.
pub fn timeline(job: &Job, constants: &Constants) -> Timeline {
    let stage = Stage::of(job, constants);
    let step = step_of(&stage, job, constants);
    let (forward, forward_exchange) = stage.forward_seconds();
    let (backward, backward_exchange) = stage.backward_seconds();
    let count = stage.micro_batches;
    let stages = job.layout.pp;
    let totals = Totals {
        forward: forward * count,
        backward: backward * count,
        exchange: (forward_exchange + backward_exchange + stage.exchange) * count,
        idle: stage.slack * count + stage.fill,
        data_exchange: step.data,
        optimizer: step.optimizer,
        waiting: step.waiting,
    };
    // A pass lasts as long as on the fullest stage; sending is half of either pass.
    let slack = |work: Seconds| stage.slack * (work / (forward + backward));
    let pass = Pass {
        forward: forward + forward_exchange + stage.exchange * 0.5 + slack(forward),
        backward: backward + backward_exchange + stage.exchange * 0.5 + slack(backward),
    };
    let schedule = Schedule::run(stages, count as usize, pass);
    let gaps = schedule.gaps();
    let stretch = if gaps.0 > 0.0 { stage.fill / gaps } else { 0.0 };
    let last = [
        (Work::DataExchange, step.data),
        (Work::Optimizer, step.optimizer),
        (Work::Waiting, step.waiting),
    ];
    let lanes = shown(stages).map(|stage| schedule.lane(stage, stretch, &last)).collect();
    Timeline { step_seconds: step.total(), stages, micro_batches: count as usize, totals, lanes }
}

/// Stages to show: evenly chosen, first and last among them.
fn shown(stages: usize) -> impl Iterator<Item = usize> {
    let lanes = stages.min(MAX_LANES);
    (0..lanes).map(move |lane| {
        if lanes <= 1 { 0 } else { (lane * (stages - 1) + (lanes - 1) / 2) / (lanes - 1) }
    })
}

#[derive(Clone, Copy)]
struct Pass {
    forward: Seconds,
    backward: Seconds,
}

/// Ends of every pass on every stage, from the beginning of the step.
struct Schedule {
    pass: Pass,
    micro_batches: usize,
    /// `[stage][place in the stage's order]`: whether backward, and when it ends.
    ends: Vec<Vec<(bool, f64)>>,
}

impl Schedule {
    /// Runs one forward, one backward over `stages` stages.
    fn run(stages: usize, micro_batches: usize, pass: Pass) -> Self {
        let mut ends: Vec<Vec<(bool, f64)>> = vec![Vec::new(); stages];
        // When a stage's n-th forward and backward pass ended.
        let mut done = [vec![Vec::new(); stages], vec![Vec::new(); stages]];
        let mut left = stages * 2 * micro_batches;
        while left > 0 {
            let before = left;
            for stage in 0..stages {
                while let Some(backward) = next(&done, stage, stages, micro_batches) {
                    let place = done[usize::from(backward)][stage].len();
                    // What it waits for: the neighbour's pass, or its own forward on the last stage.
                    let ready: Option<f64> = match (backward, stage) {
                        (false, 0) => Some(0.0),
                        (false, _) => done[0][stage - 1].get(place).copied(),
                        (true, _) if stage + 1 == stages => done[0][stage].get(place).copied(),
                        (true, _) => done[1][stage + 1].get(place).copied(),
                    };
                    let Some(ready) = ready else { break };
                    let free = ends[stage].last().map_or(0.0, |end| end.1);
                    let takes = if backward { pass.backward } else { pass.forward };
                    let end = free.max(ready) + takes.0;
                    ends[stage].push((backward, end));
                    done[usize::from(backward)][stage].push(end);
                    left -= 1;
                }
            }
            if left == before {
                break;
            }
        }
        Schedule { pass, micro_batches, ends }
    }

    /// Time a stage waits in the schedule: the same for all, as all wait for the same end.
    fn gaps(&self) -> Seconds {
        let end = self.ends.iter().filter_map(|ends| ends.last()).map(|end| end.1);
        let work = (self.pass.forward + self.pass.backward) * self.micro_batches as f64;
        Seconds((end.fold(0.0, f64::max) - work.0).max(0.0))
    }

    /// A stage's spans with gaps stretched, and what ends the step.
    fn lane(&self, stage: usize, stretch: f64, last: &[(Work, Seconds)]) -> Lane {
        let single = 2 * self.micro_batches <= MAX_PASSES;
        let mut spans = Spans { spans: Vec::new(), now: Seconds::ZERO };
        let mut at = 0.0;
        for &(backward, end) in &self.ends[stage] {
            let takes = if backward { self.pass.backward } else { self.pass.forward };
            let gap = end - takes.0 - at;
            if gap > 1e-9 * end {
                spans.push(Work::Idle, Seconds(gap * stretch), 0, false);
            }
            let work = if backward { Work::Backward } else { Work::Forward };
            spans.push(work, takes, 1, !single);
            at = end;
        }
        let rest = self.ends.iter().filter_map(|ends| ends.last()).map(|end| end.1);
        let rest = rest.fold(0.0, f64::max) - at;
        if rest > 1e-9 * at {
            spans.push(Work::Idle, Seconds(rest * stretch), 0, false);
        }
        for &(work, seconds) in last {
            spans.push(work, seconds, 0, false);
        }
        Lane { stage, spans: spans.spans }
    }
}

/// What a stage does next, if anything is left: its warm-up of forward passes, then one of each in
/// turn, then what backward passes are left.
fn next(
    done: &[Vec<Vec<f64>>; 2],
    stage: usize,
    stages: usize,
    micro_batches: usize,
) -> Option<bool> {
    let (forward, backward) = (done[0][stage].len(), done[1][stage].len());
    let ahead = (stages - stage).min(micro_batches);
    match (forward < micro_batches, backward < micro_batches) {
        (true, _) if forward < ahead + backward => Some(false),
        (_, true) => Some(true),
        _ => None,
    }
}

struct Spans {
    spans: Vec<Span>,
    now: Seconds,
}

impl Spans {
    /// Adds a span, joined to the one before where that does the same or takes turns with it.
    fn push(&mut self, work: Work, seconds: Seconds, passes: usize, join: bool) {
        if seconds.0 <= 0.0 {
            return;
        }
        let start = self.now;
        self.now += seconds;
        if let Some(before) = self.spans.last_mut().filter(|_| join) {
            let turns = matches!(
                (before.work, work),
                (Work::Backward, Work::Forward) | (Work::Alternating, _)
            ) || (before.work, work) == (Work::Forward, Work::Backward);
            if before.work == work || (turns && before.work != Work::Idle) {
                // The last of a warm-up's forward passes stays with the warm-up.
                if before.work != work && before.work != Work::Alternating && before.passes > 1 {
                    self.spans.push(Span { work, start_seconds: start, seconds, passes });
                    return;
                }
                before.work = if before.work == work { work } else { Work::Alternating };
                before.seconds += seconds;
                before.passes += passes;
                return;
            }
        }
        self.spans.push(Span { work, start_seconds: start, seconds, passes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass() -> Pass {
        Pass { forward: Seconds(1.0), backward: Seconds(2.0) }
    }

    #[test]
    fn the_schedule_is_one_forward_one_backward() {
        let schedule = Schedule::run(4, 8, pass());
        // (p - 1) forward and backward passes are lost (arXiv:2104.04473 equation 1).
        assert_eq!(schedule.gaps(), Seconds(9.0));
        // The first stage warms up with four forward passes, the last with one.
        let order =
            |stage: usize| -> Vec<bool> { schedule.ends[stage].iter().map(|end| end.0).collect() };
        assert_eq!(&order(0)[..6], [false, false, false, false, true, false]);
        assert_eq!(&order(3)[..4], [false, true, false, true]);
        assert!(order(0).iter().filter(|backward| **backward).count() == 8);
    }

    #[test]
    fn lanes_are_without_gaps_and_end_together() {
        for (stages, micro_batches) in [(1, 5), (4, 2), (4, 8), (7, 300), (40, 64)] {
            let schedule = Schedule::run(stages, micro_batches, pass());
            let last = [(Work::Optimizer, Seconds(0.5)), (Work::Waiting, Seconds::ZERO)];
            let gaps = schedule.gaps().0;
            let whole = 3.0 * micro_batches as f64 + 0.7 * gaps + 0.5;
            for stage in shown(stages) {
                let lane = schedule.lane(stage, 0.7, &last);
                let mut now = 0.0;
                for span in &lane.spans {
                    assert!((span.start_seconds.0 - now).abs() < 1e-9 * whole);
                    now += span.seconds.0;
                }
                assert!((now - whole).abs() < 1e-9 * whole, "{stages} {stage}: {now} {whole}");
                let passes: usize = lane.spans.iter().map(|span| span.passes).sum();
                assert_eq!(passes, 2 * micro_batches);
            }
        }
    }

    #[test]
    fn many_stages_are_shown_by_a_few() {
        let chosen: Vec<usize> = shown(128).collect();
        assert_eq!((chosen.len(), chosen[0], chosen[15]), (16, 0, 127));
        assert_eq!(shown(3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(shown(1).collect::<Vec<_>>(), [0]);
    }
}
