//! Memory of the fullest rank, by component: weights, gradients, optimizer, activations, buffers,
//! fragmentation. Activation sizes follow arXiv:2205.05198 section 4, restated for gated blocks and
//! grouped heads. Says nothing about time.

use serde::Serialize;

use crate::hardware::Precision;
use crate::layout::{Layout, Recompute, Sharding};
use crate::time::Job;
use crate::units::Bytes;

/// Bytes of the runtime on each device: context, kernels, communicators. (PyTorch with NCCL holds
/// 1 to 2 GiB before the first tensor.)
const RUNTIME: Bytes = Bytes(1.5 * 1_073_741_824.0);

/// Part of transient memory lost between blocks of the caching allocator (arXiv:2104.04473 and
/// practice: reserved over allocated is 5 to 10 %).
const FRAGMENTATION: f64 = 0.05;

/// Part of the device that is there to use: ECC and driver take the rest.
const USABLE: f64 = 0.985;

/// Memory of a rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Weights in the format of computation, and gathered ones.
    pub weights: Bytes,
    /// Gradients.
    pub gradients: Bytes,
    /// Master weights and moments.
    pub optimizer: Bytes,
    /// What the forward pass keeps for the backward pass.
    pub activations: Bytes,
    /// Logits, communication buffers, the running block.
    pub buffers: Bytes,
    /// Lost by the allocator.
    pub fragmentation: Bytes,
    /// Context and libraries.
    pub runtime: Bytes,
}

impl Memory {
    /// Sum.
    pub fn total(&self) -> Bytes {
        self.parts().iter().map(|part| part.1).sum()
    }

    /// What the framework's allocator holds: all but context and libraries.
    pub fn reserved(&self) -> Bytes {
        self.total() - self.runtime
    }

    /// Name and size of each part.
    pub fn parts(&self) -> [(&'static str, Bytes); 7] {
        [
            ("weights", self.weights),
            ("gradients", self.gradients),
            ("optimizer", self.optimizer),
            ("activations", self.activations),
            ("buffers", self.buffers),
            ("fragmentation", self.fragmentation),
            ("runtime", self.runtime),
        ]
    }

    /// Whether it fits on the job's device.
    pub fn fits(&self, job: &Job) -> bool {
        self.total() <= usable(job)
    }
}

/// Memory of the job's device that a run can use.
pub fn usable(job: &Job) -> Bytes {
    job.gpu.memory * USABLE
}

/// Memory of the fullest rank of a job.
pub fn memory(job: &Job) -> Memory {
    let layout = &job.layout;
    let (dense, experts) = job.rank_params();
    let shares = [(dense, (layout.dp * layout.cp) as f64), (experts, layout.expert_dp() as f64)];
    let mut memory = Memory { runtime: RUNTIME, ..Memory::default() };
    for (params, ranks) in shares {
        let split = |stage: Sharding| if layout.sharding >= stage { ranks } else { 1.0 };
        let kept_gathered = layout.sharding == Sharding::Full && layout.pp > 1;
        if layout.sharding == Sharding::Full {
            // Shards are the 32-bit masters themselves; 16-bit copies exist while gathered.
            // With stages both stay whole over a step, so that they are exchanged once.
            memory.weights += Bytes(if kept_gathered { 2.0 * params } else { 0.0 });
            memory.gradients += Bytes(4.0 * params / if kept_gathered { 1.0 } else { ranks });
        } else {
            memory.weights += Bytes(2.0 * params);
            memory.gradients +=
                Bytes(job.software.gradient_bytes * params / split(Sharding::Gradients));
        }
        memory.optimizer += Bytes(12.0 * params / split(Sharding::Optimizer));
    }
    if layout.sharding == Sharding::Full && layout.pp == 1 {
        // Two blocks gathered at a time (the next is fetched ahead), with their gradients whole.
        let block = (dense + experts) / layout.layers_per_stage(job.model);
        let table = (job.model.vocab * job.model.hidden / layout.tp) as f64;
        memory.buffers += match job.software.gathered_params {
            None => Bytes(
                2.0 * 2.0 * block + 2.0 * block.max(table) + job.software.gradient_bytes * block,
            ),
            // Gathered and reduced matrix by matrix: never less than the largest one.
            Some(most) => {
                let largest = (job.model.hidden * job.model.ffn / layout.tp) as f64;
                let live = most.min(2.0 * block).max(largest).max(table);
                let reduced = (most / 2.0).min(block).max(largest).max(table);
                Bytes(2.0 * live + job.software.gradient_bytes * reduced)
            }
        };
    }
    let (kept, running) = activations(job);
    memory.activations = kept;
    memory.buffers += (running + gathered(job)).max(logits(job));
    memory.fragmentation = (kept + memory.buffers) * FRAGMENTATION;
    memory
}

/// Bytes of a block's activations for one micro-batch: kept for backward, and all of them.
fn block_activations(job: &Job) -> (Bytes, Bytes) {
    let (model, layout) = (job.model, &job.layout);
    let t = (layout.micro_batch * job.seq).div_ceil(layout.cp) as f64;
    let (h, tp) = (model.hidden as f64, layout.tp as f64);
    let stream_split = if job.software.sequence_parallel { tp } else { 1.0 };
    // Inputs of both norms (16 bits) and of the products after them.
    let operand = match job.precision {
        Precision::Bf16 | Precision::Fp16 => 2.0,
        Precision::Fp8 | Precision::Fp4 | Precision::Fp8Rowwise => 1.5,
    };
    let stream = t * h / stream_split * (4.0 + 2.0 * operand);
    let queries = (model.heads * model.head_dim) as f64;
    let keys_values = match model.latent {
        Some(l) => (l.kv_rank + l.query_rank) as f64 * tp + queries,
        None => 2.0 * (model.kv_heads * model.head_dim) as f64,
    };
    let attention = t / tp * (2.0 * (queries + keys_values) + 2.0 * model.value_width() as f64);
    let widths = if model.gated { 3.0 } else { 2.0 };
    let (dense_ffn, sparse_ffn) = match model.experts {
        Some(e) => {
            let routed = e.per_token as f64 * (widths * e.ffn as f64 + 2.0 * h);
            (0.0, t / tp * 2.0 * (routed + widths * e.shared_ffn as f64))
        }
        None => (t / tp * 2.0 * widths * model.ffn as f64, 0.0),
    };
    let scores = if job.software.flash_attention {
        0.0
    } else {
        // Scores and their softmax in 16 bits and a mask (5·a·s² of the paper).
        5.0 * t * model.heads as f64 / tp * job.seq as f64
    };
    let all = stream + attention + dense_ffn + sparse_ffn + scores;
    let kept = match layout.recompute {
        Recompute::None => all,
        // What products and attention give is kept in part, pointwise results are recomputed:
        // block input and output, queries, values, attention's result, half of the wide layer.
        Recompute::Selective if job.software.flash_attention => {
            let latents = match model.latent {
                Some(l) => (l.kv_rank + l.query_rank) as f64 + model.value_width() as f64 / tp,
                None => (queries + keys_values / 2.0 + model.value_width() as f64) / tp,
            };
            2.0 * t * (2.0 * h / stream_split + latents) + (dense_ffn + sparse_ffn) / widths
        }
        Recompute::Selective => all - scores,
        Recompute::Full => t * h * 2.0 / stream_split,
    };
    (Bytes(kept), Bytes(all))
}

/// Activations kept by the first stage over all micro-batches in flight, and those of the block
/// that is being recomputed.
fn activations(job: &Job) -> (Bytes, Bytes) {
    let layout = &job.layout;
    let (kept, all) = block_activations(job);
    let running = if layout.recompute == Recompute::None { Bytes::ZERO } else { all };
    let at_once = in_flight(layout, job.global_batch);
    let sent = if layout.pp > 1 && job.software.keeps_stage_outputs {
        let tokens = (layout.micro_batch * job.seq).div_ceil(layout.cp) as f64;
        let split = if job.software.sequence_parallel { layout.tp as f64 } else { 1.0 };
        Bytes(2.0 * tokens * job.model.hidden as f64 / split * layout.vpp as f64)
    } else {
        Bytes::ZERO
    };
    ((kept * layout.layers_per_stage(job.model) + sent) * at_once, running)
}

/// Micro-batches whose activations the first stage holds at once, under one-forward-one-backward
/// (arXiv:2104.04473 section 2.2; interleaving holds a share more).
fn in_flight(layout: &Layout, global_batch: usize) -> f64 {
    let most = layout.micro_batches(global_batch) as f64;
    let pp = layout.pp as f64;
    if layout.pp == 1 {
        return 1.0;
    }
    let interleaved =
        if layout.vpp > 1 { 1.0 + (pp - 1.0) / (pp * layout.vpp as f64) } else { 1.0 };
    (pp * interleaved).min(most)
}

/// A block's input gathered from the tensor-parallel ranks, its gradient, and the gradient of the
/// wide layer, while the block runs backward.
fn gathered(job: &Job) -> Bytes {
    let (model, layout) = (job.model, &job.layout);
    let t = (layout.micro_batch * job.seq).div_ceil(layout.cp) as f64;
    let whole = if layout.tp > 1 && job.software.sequence_parallel {
        4.0 * model.hidden as f64
    } else {
        0.0
    };
    let wide =
        if model.experts.is_some() { 0.0 } else { 4.0 * model.ffn as f64 / layout.tp as f64 };
    Bytes(t * (whole + wide))
}

/// Logits in 16 bits, in 32 bits and their gradient; with stages they are on another rank than the
/// fullest one.
fn logits(job: &Job) -> Bytes {
    let layout = &job.layout;
    if layout.pp > 1 {
        return Bytes::ZERO;
    }
    let t = (layout.micro_batch * job.seq).div_ceil(layout.cp) as f64;
    Bytes(t * job.model.vocab as f64 / layout.tp as f64 * job.software.logit_bytes)
}
