//! A row of a table turned into a job the model can time. A field that was not published is filled by
//! what the model itself would choose, under the prior constants, never by looking at the measurement.
//! What cannot be true (sizes that do not make up the cluster, a rate above the device's) is refused.

use serde::Serialize;

use super::{Constants, Row};
use crate::error::{PlanError, Result};
use crate::hardware::{Accelerators, Generation, Gpu, Precision};
use crate::layout::{Layout, Recompute, Sharding, divisors};
use crate::memory::memory;
use crate::model::{Experts, ModelShape, Models};
use crate::software::{self, Software};
use crate::time::{Job, hardware_flops, step_time};
use crate::units::{ByteRate, Bytes, FlopRate, Flops, Seconds};

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It ran.
    Ran,
    /// It ran out of memory.
    OutOfMemory,
}

/// A row ready to be timed.
#[derive(Clone, Debug)]
pub struct Case {
    /// The row.
    pub row: Row,
    /// Shape of its model.
    pub model: ModelShape,
    /// Its device, with the network the row states.
    pub gpu: Gpu,
    /// Its program.
    pub software: Software,
    /// Its layout, completed.
    pub layout: Layout,
    /// Tokens of a sequence.
    pub seq: usize,
    /// Sequences of a step.
    pub global_batch: usize,
    /// Number format.
    pub precision: Precision,
    /// Whether any part of the layout had to be chosen.
    pub completed: bool,
    /// Measured step; `None` where only memory was measured.
    pub measured: Option<Seconds>,
    /// What became of it.
    pub outcome: Outcome,
}

impl Case {
    /// Completes a row.
    ///
    /// # Errors
    /// With what is missing, unknown or impossible in it.
    pub(super) fn from_row(
        row: Row,
        gpus: &Accelerators,
        models: &Models,
        programs: &[Software],
    ) -> Result<Case> {
        let mut gpu = gpus.find(&row.gpu_type)?.clone();
        if let Some(nic) = stated_network(&row.notes, gpu.node) {
            gpu.nic = nic;
        }
        let mut model = shape_of(&row, models)?;
        let notes = row.notes.to_lowercase();
        let own_words = notes.contains("parallel block") && row.framework == "MegaScale";
        model.parallel_block |= own_words;
        let software = program_of(&row, programs);
        let precision = precision_of(&row.precision);
        let seq = row.seq.unwrap_or(2048);
        let devices = row.gpus.filter(|&n| n > 0).ok_or_else(|| PlanError::Quantity {
            what: "gpus".to_owned(),
            value: row.gpus.unwrap_or(0).to_string(),
            remedy: "give the number of devices, at least 1".to_owned(),
        })?;
        let global_batch = row.global_batch_seqs.filter(|&n| n > 0).unwrap_or(devices.max(256));
        check_sizes(&row, seq, devices, global_batch)?;
        let layouts = possible_layouts(&row, devices, &model, &gpu, &software, global_batch);
        let layouts = of_cluster(layouts, devices)?;
        let completed = layouts.len() > 1;
        let job = |layout| Job {
            model: &model,
            gpu: &gpu,
            software: &software,
            layout,
            seq,
            global_batch,
            precision,
        };
        let layout = choose(&layouts, job);
        let measured = measured_step(&row, &job(layout));
        check_measured(&job(layout), measured)?;
        let failed = ["oom", "out of memory", "did not fit", "does not fit"];
        let outcome = if failed.iter().any(|word| notes.contains(word)) {
            Outcome::OutOfMemory
        } else {
            Outcome::Ran
        };
        Ok(Case {
            layout,
            completed,
            measured,
            outcome,
            row,
            model,
            gpu,
            software,
            seq,
            global_batch,
            precision,
        })
    }

    /// The job to be timed.
    pub fn job(&self) -> Job<'_> {
        Job {
            model: &self.model,
            gpu: &self.gpu,
            software: &self.software,
            layout: self.layout,
            seq: self.seq,
            global_batch: self.global_batch,
            precision: self.precision,
        }
    }

    /// Whether the model has experts.
    pub fn is_sparse(&self) -> bool {
        self.model.experts.is_some()
    }
}

/// Sizes beyond anything that is trained: a slip of the pen, and arithmetic that overflows.
fn check_sizes(row: &Row, seq: usize, devices: usize, global_batch: usize) -> Result<()> {
    let sizes = [
        ("seq", seq, 1 << 24),
        ("gpus", devices, 4_000_000),
        ("global_batch_seqs", global_batch, 1 << 28),
        ("layers", row.layers.unwrap_or(1), 4096),
        ("micro_batch", row.micro_batch.unwrap_or(1), 1 << 20),
        ("tp", row.tp.unwrap_or(1), 1 << 20),
        ("pp", row.pp.unwrap_or(1), 4096),
        ("vpp", row.vpp.unwrap_or(1), 4096),
        ("dp", row.dp.unwrap_or(1), 4_000_000),
        ("cp", row.cp.unwrap_or(1), 1 << 20),
        ("ep", row.ep.unwrap_or(1), 1 << 20),
    ];
    match sizes.into_iter().find(|(_, size, most)| size > most) {
        Some((what, size, most)) => Err(PlanError::Quantity {
            what: what.to_owned(),
            value: size.to_string(),
            remedy: format!("give at most {most}"),
        }),
        None => Ok(()),
    }
}

/// The layouts that make up the cluster.
fn of_cluster(layouts: Vec<Layout>, devices: usize) -> Result<Vec<Layout>> {
    let (fitting, others): (Vec<Layout>, Vec<Layout>) =
        layouts.into_iter().partition(|layout| layout.gpus() == devices);
    match others.first() {
        Some(layout) if fitting.is_empty() => Err(PlanError::Quantity {
            what: "gpus".to_owned(),
            value: devices.to_string(),
            remedy: format!(
                "tp·pp·cp·dp is {} ({} · {} · {} · {}); correct one, or leave out what is not known",
                layout.gpus(),
                layout.tp,
                layout.pp,
                layout.cp,
                layout.dp
            ),
        }),
        _ => Ok(fitting),
    }
}

/// Refuses what no device can do: more than its data sheet says.
fn check_measured(job: &Job, measured: Option<Seconds>) -> Result<()> {
    let step = step_time(job, &Constants::PRIOR).total();
    if !(step.0.is_finite() && step.0 > 0.0) {
        return Err(PlanError::Quantity {
            what: "layout".to_owned(),
            value: job.layout.to_string(),
            remedy: format!("no step of {} can be laid out so", job.model.name),
        });
    }
    let Some(measured) = measured else { return Ok(()) };
    let rate = job.gpu.peak(job.precision).0 / job.gpu.bf16.0;
    // Attention counted in the half that is used.
    let share = job.mfu(measured, true) / rate;
    if share > 1.0 || !(share.is_finite() && share > 1e-6) {
        return Err(PlanError::Quantity {
            what: "measured rate".to_owned(),
            value: format!("{:.3} % of what {} can do", 100.0 * share, job.gpu.name),
            remedy: "check units, devices and batch: it must lie between 0.0001 and 100 %"
                .to_owned(),
        });
    }
    Ok(())
}

fn precision_of(text: &str) -> Precision {
    let text = text.to_lowercase();
    if text.contains("fp4") {
        Precision::Fp4
    } else if text.contains("rowwise") {
        Precision::Fp8Rowwise
    } else if text.contains("fp8") {
        Precision::Fp8
    } else if text.contains("fp16") {
        Precision::Fp16
    } else {
        Precision::Bf16
    }
}

/// Network of a device where the notes state links of the machine.
fn stated_network(notes: &str, node: usize) -> Option<ByteRate> {
    let notes = notes.to_lowercase();
    if let Some(at) = notes.find("omni-path") {
        // Omni-Path links carry 100 Gb/s.
        let links: f64 =
            notes[at..].split_whitespace().find_map(|word| word.parse().ok()).unwrap_or(1.0);
        return Some(ByteRate::gigabits(100.0 * links / node as f64));
    }
    None
}

fn program_of(row: &Row, programs: &[Software]) -> Software {
    let mut program = software::find(programs, &row.framework);
    let notes = row.notes.to_lowercase();
    if notes.contains("eager") {
        program.fused = 0.3;
    }
    if notes.contains("async tp") {
        program.tensor_overlap = true;
    }
    let recompute = row.recompute.to_lowercase();
    let megatron = program.name == "megatron-lm";
    // Selective recompute and sequence parallelism came together, and with them fused attention
    // and overlapped gradients soon after (Megatron-LM of 2023).
    if recompute.contains("sequence-parallel") || (megatron && recompute.is_empty()) {
        program.sequence_parallel = true;
    }
    if megatron && recompute.is_empty() {
        program.flash_attention = true;
        program.data_overlap = true;
        program.fused = program.fused.max(0.8);
    }
    program
}

fn shape_of(row: &Row, models: &Models) -> Result<ModelShape> {
    let name = row.model.split(" (").next().unwrap_or(&row.model);
    let known = models.find(name).ok().cloned();
    let sparse = row.arch.eq_ignore_ascii_case("moe");
    if let Some(mut known) = known.clone().filter(|k| sparse || row.heads.is_none() && k.layers > 0)
    {
        known.layers = row.layers.unwrap_or(known.layers);
        known.vocab = row.vocab.unwrap_or(known.vocab);
        known.counted = known.counted.filter(|_| row.layers.is_none() && row.vocab.is_none());
        return Ok(known);
    }
    let needed = |what: &str, value: Option<usize>| {
        value.ok_or_else(|| PlanError::Quantity {
            what: format!("{what} of {}", row.model),
            value: "missing".to_owned(),
            remedy: "give it, or name a published model".to_owned(),
        })
    };
    let layers = needed("layers", row.layers)?;
    let hidden = needed("hidden", row.hidden)?;
    let heads = row.heads.unwrap_or(hidden / 128);
    let mut shape = ModelShape::dense(
        &row.model,
        layers,
        hidden,
        row.ffn.unwrap_or(4 * hidden),
        heads,
        row.kv_heads.unwrap_or(heads),
        row.vocab.unwrap_or(51_200),
    );
    if let Some(known) = known.filter(|known| known.heads == heads) {
        shape.head_dim = known.head_dim;
    }
    if sparse {
        shape.experts = guessed_experts(row, &shape);
    }
    // Two matrices or three, whichever is nearer the stated size.
    let stated = row.params_b.unwrap_or(0.0) * 1e9;
    if !sparse {
        let miss = |gated: bool, tied: bool| {
            (ModelShape { gated, tied, ..shape.clone() }.params() - stated).abs()
        };
        let choices = [(true, false), (true, true), (false, false), (false, true)];
        let nearest = choices.into_iter().min_by(|a, b| miss(a.0, a.1).total_cmp(&miss(b.0, b.1)));
        (shape.gated, shape.tied) = nearest.expect("there are four");
    }
    shape.check()?;
    Ok(shape)
}

/// Experts that give the stated total and active sizes, 8 of them to a token.
fn guessed_experts(row: &Row, dense: &ModelShape) -> Option<Experts> {
    let total = row.params_b? * 1e9;
    let active = row.active_params_b? * 1e9;
    let layers = dense.layers as f64;
    let rest = layers * dense.attention_params() + dense.embedding_params();
    let visited = ((active - rest) / layers).max(dense.hidden as f64 * 192.0);
    let all = ((total - rest) / layers).max(visited);
    let per_token = 8;
    let ffn = (visited / (per_token * 3 * dense.hidden) as f64 / 64.0).ceil() as usize * 64;
    let count = (all / visited * per_token as f64 / 8.0).round() as usize * 8;
    Some(Experts { count: count.max(8), per_token, ffn, shared_ffn: 0, dense_layers: 0 })
}

fn sharding_of(row: &Row, gpu: &Gpu) -> Sharding {
    let text = row.sharding.to_lowercase();
    if text.is_empty() && gpu.generation == Generation::Tpu {
        // Weights lie split over both axes of a pod (arXiv:2204.02311 section 4).
        Sharding::Full
    } else if text.contains("zero-3") || text == "fsdp" || text.contains("fsdp full") {
        Sharding::Full
    } else if text.contains("grad+opt") || text.contains("zero-2") {
        Sharding::Gradients
    } else if text == "none" {
        Sharding::None
    } else if text.is_empty() && row.framework == "Megatron-LM" && row.precision.contains("fp16") {
        // Megatron-LM before its distributed optimizer.
        Sharding::None
    } else {
        Sharding::Optimizer
    }
}

/// Every layout the row allows: one where all was published.
fn possible_layouts(
    row: &Row,
    devices: usize,
    model: &ModelShape,
    gpu: &Gpu,
    software: &Software,
    global_batch: usize,
) -> Vec<Layout> {
    let recompute = row.recompute.to_lowercase();
    let recomputes: &[Recompute] = if recompute.starts_with("full") {
        &[Recompute::Full]
    } else if recompute.starts_with("selective") {
        &[Recompute::Selective]
    } else if recompute.starts_with("none") {
        &[Recompute::None]
    } else {
        &[Recompute::None, Recompute::Selective, Recompute::Full]
    };
    let tuned = row.notes.contains("tuned");
    let micro: Vec<usize> = match row.micro_batch {
        Some(n) => vec![n.max(1)],
        None if tuned || row.tp.is_none() => vec![1, 2, 4, 8],
        None => vec![1, 2],
    };
    let whole = row.tp.is_some() || row.pp.is_some() || row.dp.is_some();
    // Its pipeline makes as many micro-batches as stages unless set otherwise (torchtitan,
    // `pipeline_parallel_microbatches`, 2024).
    let micro = match (software.name.as_str(), row.pp, row.dp, row.micro_batch) {
        ("torchtitan", Some(pp), Some(dp), None) if pp > 1 => {
            vec![(global_batch / (dp.max(1) * pp)).max(1)]
        }
        _ => micro,
    };
    let cp = row.cp.unwrap_or(1).max(1);
    // What the other sizes leave for the one that was not published.
    let left = |known: usize| if devices.is_multiple_of(known) { devices / known } else { 1 };
    let sizes: Vec<(usize, usize)> = if whole {
        let (tp, pp) = match (row.tp, row.pp, row.dp) {
            (None, Some(pp), Some(dp)) => (left(pp * cp * dp), pp),
            (Some(tp), None, Some(dp)) => (tp, left(tp * cp * dp)),
            (tp, pp, _) => (tp.unwrap_or(1), pp.unwrap_or(1)),
        };
        vec![(tp.max(1), pp.max(1))]
    } else {
        let tps = [1, 2, 4, 8].into_iter().filter(|tp| *tp <= gpu.domain);
        let pps = divisors(devices).into_iter().filter(|pp| *pp <= 16);
        tps.flat_map(|tp| pps.clone().map(move |pp| (tp, pp)))
            .filter(|(tp, pp)| devices.is_multiple_of(tp * pp) && model.layers.is_multiple_of(*pp))
            .collect()
    };
    let mut layouts = Vec::new();
    for &(tp, pp) in &sizes {
        let dp = row.dp.filter(|_| whole).unwrap_or(devices / (tp * pp * cp)).max(1);
        let vpps: Vec<usize> = match row.vpp {
            Some(n) => vec![n.max(1)],
            None if software.interleaving && pp > 1 && !row.notes.contains("1F1B") => {
                (1..=8).collect()
            }
            None => vec![1],
        };
        for vpp in vpps {
            let even = |layers: usize| layers.is_multiple_of(pp * vpp);
            if vpp > 1 && !even(model.layers) && !even(model.layers + 2) && row.vpp.is_none() {
                continue;
            }
            for &micro_batch in &micro {
                if row.micro_batch.is_none() && micro_batch * dp > global_batch {
                    continue;
                }
                layouts.extend(recomputes.iter().map(|&recompute| Layout {
                    tp,
                    pp,
                    vpp,
                    dp,
                    cp,
                    ep: row.ep.unwrap_or(1).max(1),
                    sharding: sharding_of(row, gpu),
                    recompute,
                    micro_batch,
                }));
            }
        }
    }
    if layouts.is_empty() {
        layouts.push(Layout { dp: devices, ..Layout::single() });
    }
    layouts
}

/// The fastest that fits, or the leanest when none does.
fn choose<'a>(layouts: &[Layout], job: impl Fn(Layout) -> Job<'a>) -> Layout {
    let key = |layout: &Layout| {
        let job = job(*layout);
        let memory = memory(&job);
        if memory.fits(&job) {
            (0.0_f64, step_time(&job, &Constants::PRIOR).total().0)
        } else {
            (1.0, memory.total().0)
        }
    };
    let best = layouts.iter().min_by(|a, b| {
        let (a, b) = (key(a), key(b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    *best.expect("there is always one")
}

/// Step time from whatever was printed.
fn measured_step(row: &Row, job: &Job) -> Option<Seconds> {
    if let Some(step) = row.step_time_s.filter(|s| *s > 0.0) {
        return Some(Seconds(step));
    }
    let devices = job.gpus() as f64;
    if let Some(rate) = row.tokens_per_s_per_gpu.filter(|r| *r > 0.0) {
        return Some(Seconds(job.tokens() / (rate * devices)));
    }
    let causal = row.tflops_kind.contains("causal");
    let model = job.model.train_flops_per_token(job.seq, causal) * job.tokens();
    let hardware = hardware_flops(job);
    let at = |flops: Flops, rate: FlopRate| Some(flops / (rate * devices));
    let peak = row.peak_tflops_basis.map_or(job.gpu.bf16, FlopRate::tera);
    match (row.tflops_per_gpu, row.mfu_pct, row.hfu_pct) {
        (Some(rate), _, _) if row.tflops_kind.starts_with("hardware") => {
            at(hardware, FlopRate::tera(rate))
        }
        (Some(rate), _, _) => at(model, FlopRate::tera(rate)),
        (None, Some(percent), _) => at(model, peak * (percent / 100.0)),
        (None, None, Some(percent)) => at(hardware, peak * (percent / 100.0)),
        (None, None, None) => None,
    }
}

/// Memory a row states.
pub(super) fn stated_memory(row: &Row) -> Option<Bytes> {
    row.memory_gib.filter(|gib| *gib > 0.0).map(Bytes::gib)
}
