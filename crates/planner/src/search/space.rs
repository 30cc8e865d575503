//! Enumerates the layouts of a cluster and keeps those that are valid and fit. Complete over the
//! sizes it walks: tensor and context sizes that are powers of two or divide the domain, pipeline
//! sizes that divide the layers, micro-batches of 1 to 8. What was asked for of a layout is kept to, also
//! beyond these sizes; the rest is chosen.

use std::collections::BTreeMap;

use serde::Serialize;

use super::front::Candidate;
use crate::calibration::{CERTAIN, Calibration};
use crate::error::{PlanError, Result};
use crate::hardware::{Gpu, Precision};
use crate::layout::{AskedLayout, Layout, Recompute, Sharding, divisors};
use crate::memory::{Memory, memory, usable};
use crate::model::ModelShape;
use crate::software::Software;
use crate::time::Job;
use crate::units::Bytes;

/// What to lay out on what.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// Model.
    pub model: &'a ModelShape,
    /// Device.
    pub gpu: &'a Gpu,
    /// Training program.
    pub software: &'a Software,
    /// Devices.
    pub gpus: usize,
    /// Tokens of a sequence.
    pub seq: usize,
    /// Sequences of a step wanted.
    pub global_batch: usize,
    /// Whether the batch may be rounded to what a layout divides evenly (at most by a quarter).
    pub batch_may_move: bool,
    /// Number format.
    pub precision: Precision,
    /// What of the layout was asked for.
    pub asked: AskedLayout,
}

/// Why layouts were refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Rejections {
    /// Layouts looked at.
    pub considered: usize,
    /// Layouts that are valid and fit.
    pub kept: usize,
    /// Reason and how many it refused.
    pub reasons: BTreeMap<String, usize>,
    /// The refused layout that came nearest to fitting, and by how much it misses.
    pub nearest_miss: Option<(Layout, Bytes)>,
}

impl Rejections {
    fn refuse(&mut self, reason: &str, count: usize) {
        self.considered += count;
        *self.reasons.entry(reason.to_owned()).or_default() += count;
    }
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Searched {
    /// Layouts that fit, in the order they were met.
    pub candidates: Vec<Candidate>,
    /// What became of the others.
    pub rejections: Rejections,
}

impl Searched {
    /// The fastest of those that fit with the probability a recommendation asks for; where there is
    /// none, of those nearly as likely to fit as the likeliest.
    pub fn best(&self) -> Option<&Candidate> {
        let likeliest = self.candidates.iter().map(|c| c.fits_probability).fold(0.0, f64::max);
        let least = if likeliest >= CERTAIN { CERTAIN } else { NEARLY * likeliest };
        self.candidates.iter().filter(|c| c.fits_probability >= least).max_by(|a, b| {
            a.tokens_per_second
                .total_cmp(&b.tokens_per_second)
                .then(a.headroom.0.total_cmp(&b.headroom.0))
        })
    }

    fn has_certain(&self) -> bool {
        self.candidates.iter().any(Candidate::is_certain)
    }
}

/// Share of the greatest probability that counts as nearly as likely: the likeliest layout of all may be
/// many times slower than one that is hardly less likely.
const NEARLY: f64 = 0.95;

const MEMORY: &str = "does not fit in memory";
const BATCH: &str = "replicas × micro-batch do not divide the batch";
const HEADS: &str = "tensor size does not divide the heads";
const LAYERS: &str = "stages do not divide the layers";
const SEQUENCE: &str = "context size leaves chunks under 1,024 tokens";
const EXPERTS: &str = "expert size does not divide the experts or the ranks of a stage";
const FILLING: &str = "fewer micro-batches than stages";

/// Walks all layouts. Where none fits with the probability of a recommendation, also those that share
/// more than programs usually do.
///
/// # Errors
/// When none fits, with the leanest one and a cluster that would hold the model; when what was asked for
/// breaks a rule, with that rule.
pub fn search(search: &Search, calibration: &Calibration) -> Result<Searched> {
    let shapes = layouts(search);
    let filled = search.asked.filled();
    if shapes.is_empty() || filled.micro_batch == 0 {
        filled.check(search.model, search.gpus, search.global_batch.max(filled.dp))?;
    }
    let (mut last, mut uncertain) = (None, None);
    for lean in [false, true] {
        let rejections = Rejections::default();
        let mut found = Walk { search, calibration, lean, candidates: Vec::new(), rejections };
        let mut broken = None;
        for shape in &shapes {
            if let Err(error) = found.consider(*shape) {
                broken.get_or_insert(error);
            }
        }
        found.rejections.kept = found.candidates.len();
        let Walk { candidates, rejections, .. } = found;
        let found = Searched { candidates, rejections };
        if found.has_certain() {
            return Ok(found);
        }
        if !found.candidates.is_empty() {
            uncertain = Some(found);
            continue;
        }
        let rejections = found.rejections;
        if let Some(error) = broken.filter(|_| rejections.nearest_miss.is_none()) {
            return Err(error);
        }
        last = Some(rejections);
    }
    uncertain.ok_or_else(|| nothing_fits(search, &last.unwrap_or_default(), calibration))
}

/// Every combination of parallel sizes whose product is the cluster and that keeps to what was asked.
fn layouts(search: &Search) -> Vec<Layout> {
    let asked = &search.asked;
    // What was asked for, or what is usual, as far as it divides what is left of the cluster.
    let sizes = |asked: Option<usize>, left: usize, usual: &dyn Fn(usize) -> bool| match asked {
        Some(size) => {
            if size > 0 && left.is_multiple_of(size) {
                vec![size]
            } else {
                Vec::new()
            }
        }
        None => divisors(left).into_iter().filter(|size| usual(*size)).collect(),
    };
    let mut all = Vec::new();
    for tp in sizes(asked.tp, search.gpus, &|tp| tp <= search.gpu.domain.min(16)) {
        let left = search.gpus / tp;
        for cp in sizes(asked.cp, left, &|cp| cp <= 64 && cp.is_power_of_two()) {
            let left = left / cp;
            for pp in sizes(asked.pp, left, &|pp| pp <= search.model.layers.min(128)) {
                let dp = left / pp;
                if asked.dp.is_some_and(|asked| asked != dp) {
                    continue;
                }
                for ep in expert_sizes(search, tp * cp * dp) {
                    all.push(Layout { tp, cp, pp, dp, ep, ..Layout::single() });
                }
            }
        }
    }
    all
}

fn expert_sizes(search: &Search, ranks: usize) -> Vec<usize> {
    match (search.asked.ep, search.model.experts) {
        (Some(ep), _) => vec![ep],
        (None, None) => vec![1],
        (None, Some(e)) => {
            let sizes = divisors(e.count).into_iter().filter(|ep| *ep <= 128);
            sizes.filter(|ep| ranks.is_multiple_of(*ep)).collect()
        }
    }
}

/// One walk over the layouts.
struct Walk<'a> {
    search: &'a Search<'a>,
    calibration: &'a Calibration,
    /// Whether more is shared than programs usually share.
    lean: bool,
    candidates: Vec<Candidate>,
    rejections: Rejections,
}

impl Walk<'_> {
    /// The usual sizes only, where a size was left open.
    fn unusual(&self, shape: &Layout) -> Option<&'static str> {
        let (model, asked) = (self.search.model, &self.search.asked);
        let layers = model.layers + model.extra_layers;
        let uneven = !layers.is_multiple_of(shape.pp) && !(layers + 2).is_multiple_of(shape.pp);
        if asked.tp.is_none() && !model.heads.is_multiple_of(shape.tp) {
            Some(HEADS)
        } else if asked.pp.is_none() && shape.pp > 1 && uneven {
            Some(LAYERS)
        } else if asked.cp.is_none() && shape.cp > 1 && self.search.seq / shape.cp < 1024 {
            Some(SEQUENCE)
        } else if asked.ep.is_none()
            && model.experts.is_some_and(|e| !e.count.is_multiple_of(shape.ep))
        {
            Some(EXPERTS)
        } else {
            None
        }
    }

    /// Looks at every variant of a shape.
    ///
    /// # Errors
    /// When what was asked for breaks a rule.
    fn consider(&mut self, shape: Layout) -> Result<()> {
        if let Some(reason) = self.unusual(&shape) {
            self.rejections.refuse(reason, 3 * 4);
            return Ok(());
        }
        let search = self.search;
        let micro_batches = match search.asked.micro_batch {
            Some(size) => vec![size],
            None => vec![1, 2, 4, 8],
        };
        let mut batches: Vec<(usize, usize)> = Vec::new();
        for &micro_batch in &micro_batches {
            let unit = shape.dp * micro_batch;
            match batch(search, unit, shape.pp) {
                None => self.rejections.refuse(BATCH, 3),
                Some(batch) if batch / unit < shape.pp => self.rejections.refuse(FILLING, 3),
                Some(batch) => batches.push((micro_batch, batch)),
            }
        }
        if batches.is_empty() && search.asked.dp.is_some() {
            batches.push((micro_batches[0], nearest_batch(search, &shape, micro_batches[0])));
        }
        for (micro_batch, global_batch) in batches {
            for (sharding, vpp) in self.variants(&shape) {
                let layout = Layout { micro_batch, sharding, vpp, ..shape };
                layout.check(search.model, search.gpus, global_batch)?;
                for recompute in [Recompute::None, Recompute::Selective, Recompute::Full] {
                    if search.asked.recompute.is_none_or(|asked| asked == recompute) {
                        self.weigh(Layout { recompute, ..layout }, global_batch);
                    }
                }
            }
        }
        Ok(())
    }

    fn weigh(&mut self, layout: Layout, global_batch: usize) {
        let job = job(self.search, layout, global_batch);
        self.rejections.considered += 1;
        let memory = memory(&job);
        if memory.fits(&job) {
            self.candidates.push(Candidate::of(&job, self.calibration));
        } else {
            refuse_memory(&mut self.rejections, layout, &memory, usable(&job));
        }
    }

    /// Sharding and interleaving worth looking at.
    fn variants(&self, shape: &Layout) -> Vec<(Sharding, usize)> {
        let (search, asked) = (self.search, &self.search.asked);
        let usual: &[Sharding] = match (self.lean, shape.pp) {
            (_, 1) if shape.dp * shape.cp > 1 => &[Sharding::Optimizer, Sharding::Full],
            (false, _) | (_, 1) => &[Sharding::Optimizer],
            (true, _) => &[Sharding::Optimizer, Sharding::Gradients, Sharding::Full],
        };
        let shardings = asked.sharding.map_or_else(|| usual.to_vec(), |sharding| vec![sharding]);
        let per_stage = search.model.layers.div_ceil(shape.pp);
        let chunks: Vec<usize> = match asked.vpp {
            Some(vpp) => vec![vpp],
            None if shape.pp == 1 || !search.software.interleaving => vec![1],
            None => (1..=8).filter(|vpp| per_stage.is_multiple_of(*vpp)).collect(),
        };
        let pairs = shardings.iter().flat_map(|s| chunks.iter().map(move |vpp| (*s, *vpp)));
        pairs.collect()
    }
}

/// The batch nearest to the one wanted that the replicas divide and that fills the stages; `None` when
/// it is too far.
fn batch(search: &Search, unit: usize, stages: usize) -> Option<usize> {
    if unit == 0 {
        return None;
    }
    if search.global_batch.is_multiple_of(unit) && search.global_batch / unit >= stages {
        return Some(search.global_batch);
    }
    if !search.batch_may_move {
        return search.global_batch.is_multiple_of(unit).then_some(search.global_batch);
    }
    let rounded = ((search.global_batch + unit / 2) / unit).max(1).max(stages) * unit;
    let moved = rounded.abs_diff(search.global_batch) as f64 / search.global_batch as f64;
    (moved <= 0.25).then_some(rounded)
}

/// The batch of replicas that were asked for, however far it is from the one wanted.
fn nearest_batch(search: &Search, shape: &Layout, micro_batch: usize) -> usize {
    let unit = shape.dp * micro_batch;
    if search.batch_may_move && unit > 0 {
        (search.global_batch / unit).max(shape.pp) * unit
    } else {
        search.global_batch
    }
}

fn job<'a>(search: &Search<'a>, layout: Layout, global_batch: usize) -> Job<'a> {
    Job {
        model: search.model,
        gpu: search.gpu,
        software: search.software,
        layout,
        seq: search.seq,
        global_batch,
        precision: search.precision,
    }
}

fn refuse_memory(rejections: &mut Rejections, layout: Layout, memory: &Memory, available: Bytes) {
    *rejections.reasons.entry(MEMORY.to_owned()).or_default() += 1;
    let over = memory.total() - available;
    if rejections.nearest_miss.is_none_or(|(_, least)| over < least) {
        rejections.nearest_miss = Some((layout, over));
    }
}

/// The answer when nothing fits: how much is missing, and what would do.
fn nothing_fits(search: &Search, rejections: &Rejections, calibration: &Calibration) -> PlanError {
    let Some((layout, over)) = rejections.nearest_miss else {
        return no_layout(search, rejections);
    };
    let available = usable(&job(search, layout, search.global_batch.max(1)));
    let needed = available + over;
    let open = Search { asked: AskedLayout::default(), ..*search };
    let free = if search.asked == AskedLayout::default() {
        None
    } else {
        self::search(&open, calibration).ok()
    };
    let nearest = match free.as_ref().and_then(Searched::best) {
        Some(best) => best.layout.to_string(),
        None => {
            let larger = search.gpus.max(1).next_power_of_two()
                * ((needed / available).ceil() as usize).max(2).next_power_of_two();
            format!("about {larger} × {}, or a shorter sequence", search.gpu.name)
        }
    };
    PlanError::DoesNotFit {
        model: search.model.name.clone(),
        gpus: search.gpus,
        gpu: search.gpu.name.clone(),
        needed,
        available,
        nearest,
    }
}

/// The answer when no layout divides model, cluster and batch.
fn no_layout(search: &Search, rejections: &Rejections) -> PlanError {
    let reason = rejections.reasons.iter().max_by_key(|(_, n)| **n);
    let most = reason.map_or("no layout is valid".to_owned(), |(r, _)| r.clone());
    let down = 1_usize << search.gpus.max(1).ilog2();
    let nearest = if down == search.gpus {
        format!("a batch of at least {} sequences", search.gpus.max(64))
    } else {
        format!("{down} GPUs, whose layouts divide evenly")
    };
    PlanError::Contradiction {
        demands: format!(
            "{} on {} GPUs with a batch of {} sequences",
            search.model.name, search.gpus, search.global_batch
        ),
        reason: most,
        nearest,
    }
}
