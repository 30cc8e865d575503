//! Enumerates the layouts of a cluster and keeps those that are valid and fit. Complete over the
//! sizes it walks: tensor and context sizes that are powers of two or divide the domain, pipeline
//! sizes that divide the layers, micro-batches of 1 to 8.

use std::collections::BTreeMap;

use serde::Serialize;

use super::front::Candidate;
use crate::calibration::Constants;
use crate::error::{PlanError, Result};
use crate::hardware::{Gpu, Precision};
use crate::layout::{Layout, Recompute, Sharding, divisors};
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
    /// The fastest.
    pub fn best(&self) -> Option<&Candidate> {
        self.candidates.iter().max_by(|a, b| {
            a.tokens_per_second
                .total_cmp(&b.tokens_per_second)
                .then(a.headroom.0.total_cmp(&b.headroom.0))
        })
    }
}

const MEMORY: &str = "does not fit in memory";
const BATCH: &str = "replicas × micro-batch do not divide the batch";
const HEADS: &str = "tensor size does not divide the heads";
const LAYERS: &str = "stages do not divide the layers";
const SEQUENCE: &str = "context size leaves chunks under 1,024 tokens";
const EXPERTS: &str = "expert size does not divide the experts or the ranks of a stage";
const FILLING: &str = "fewer micro-batches than stages";

/// Walks all layouts.
///
/// # Errors
/// When none fits, with the leanest one and a cluster that would hold the model.
pub fn search(search: &Search, constants: &Constants) -> Result<Searched> {
    let mut found = Searched { candidates: Vec::new(), rejections: Rejections::default() };
    for layout in layouts(search) {
        consider(search, constants, layout, &mut found);
    }
    found.rejections.kept = found.candidates.len();
    if found.candidates.is_empty() {
        return Err(nothing_fits(search, &found.rejections));
    }
    Ok(found)
}

/// Every combination of parallel sizes whose product is the cluster.
fn layouts(search: &Search) -> Vec<Layout> {
    let mut all = Vec::new();
    let tensor = divisors(search.gpus).into_iter().filter(|tp| *tp <= search.gpu.domain.min(16));
    for tp in tensor {
        for cp in
            divisors(search.gpus / tp).into_iter().filter(|cp| *cp <= 64 && cp.is_power_of_two())
        {
            let stages = divisors(search.gpus / tp / cp);
            for pp in stages.into_iter().filter(|pp| *pp <= search.model.layers.min(128)) {
                let dp = search.gpus / (tp * cp * pp);
                for ep in expert_sizes(search, tp * cp * dp) {
                    all.push(Layout { tp, cp, pp, dp, ep, ..Layout::single() });
                }
            }
        }
    }
    all
}

fn expert_sizes(search: &Search, ranks: usize) -> Vec<usize> {
    match search.model.experts {
        None => vec![1],
        Some(e) => {
            let sizes = divisors(e.count).into_iter().filter(|ep| *ep <= 128);
            sizes.filter(|ep| ranks.is_multiple_of(*ep)).collect()
        }
    }
}

fn consider(search: &Search, constants: &Constants, shape: Layout, found: &mut Searched) {
    let model = search.model;
    let layers = model.layers + model.extra_layers;
    let whole_variants = 3 * 4;
    let rejections = &mut found.rejections;
    if !model.heads.is_multiple_of(shape.tp) {
        return rejections.refuse(HEADS, whole_variants);
    }
    if shape.pp > 1 && !layers.is_multiple_of(shape.pp) && !(layers + 2).is_multiple_of(shape.pp) {
        return rejections.refuse(LAYERS, whole_variants);
    }
    if shape.cp > 1 && search.seq / shape.cp < 1024 {
        return rejections.refuse(SEQUENCE, whole_variants);
    }
    if model.experts.is_some_and(|e| !e.count.is_multiple_of(shape.ep)) {
        return rejections.refuse(EXPERTS, whole_variants);
    }
    for micro_batch in [1, 2, 4, 8] {
        let Some(global_batch) = batch(search, shape.dp * micro_batch) else {
            found.rejections.refuse(BATCH, 3);
            continue;
        };
        let micro_batches = global_batch / (shape.dp * micro_batch);
        if micro_batches < shape.pp {
            found.rejections.refuse(FILLING, 3);
            continue;
        }
        for recompute in [Recompute::None, Recompute::Selective, Recompute::Full] {
            for (sharding, vpp) in variants(search, &shape) {
                let layout = Layout { micro_batch, recompute, sharding, vpp, ..shape };
                let job = job(search, layout, global_batch);
                found.rejections.considered += 1;
                let memory = memory(&job);
                if !memory.fits(&job) {
                    refuse_memory(&mut found.rejections, layout, &memory, usable(&job));
                    continue;
                }
                found.candidates.push(Candidate::of(&job, constants));
            }
        }
    }
}

/// The batch nearest to the one wanted that the replicas divide; `None` when it is too far.
fn batch(search: &Search, unit: usize) -> Option<usize> {
    if search.global_batch.is_multiple_of(unit) {
        return Some(search.global_batch);
    }
    if !search.batch_may_move {
        return None;
    }
    let rounded = ((search.global_batch + unit / 2) / unit).max(1) * unit;
    let moved = rounded.abs_diff(search.global_batch) as f64 / search.global_batch as f64;
    (moved <= 0.25).then_some(rounded)
}

/// Sharding and interleaving worth looking at.
fn variants(search: &Search, shape: &Layout) -> Vec<(Sharding, usize)> {
    if shape.pp == 1 {
        let mut all = vec![(Sharding::Optimizer, 1)];
        if shape.dp * shape.cp > 1 {
            all.push((Sharding::Full, 1));
        }
        return all;
    }
    let per_stage = search.model.layers.div_ceil(shape.pp);
    let interleaved = search.software.interleaving;
    (1..=8)
        .filter(|vpp| *vpp == 1 || interleaved && per_stage.is_multiple_of(*vpp))
        .map(|vpp| (Sharding::Optimizer, vpp))
        .collect()
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
fn nothing_fits(search: &Search, rejections: &Rejections) -> PlanError {
    let available = search.gpu.memory;
    match rejections.nearest_miss {
        Some((_, over)) => {
            let needed = available + over;
            let larger = search.gpus.max(1).next_power_of_two()
                * ((needed / available).ceil() as usize).max(2).next_power_of_two();
            PlanError::DoesNotFit {
                model: search.model.name.clone(),
                gpus: search.gpus,
                gpu: search.gpu.name.clone(),
                needed,
                available,
                nearest: format!("about {larger} × {}, or a shorter sequence", search.gpu.name),
            }
        }
        None => {
            let reason = rejections.reasons.iter().max_by_key(|(_, n)| **n);
            let most = reason.map_or("no layout is valid".to_owned(), |(r, _)| r.clone());
            let down = 1_usize << search.gpus.ilog2();
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
    }
}
