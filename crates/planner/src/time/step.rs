//! Time of a whole step: blocks over micro-batches and pipeline stages, head, exchange of gradients
//! and weights, optimizer, waiting. Sums what [`super::layer`] says of a block.

use serde::Serialize;

use super::exchange::Group;
use super::layer::{LayerTime, layer_times};
use super::product::Product;
use crate::calibration::Constants;
use crate::hardware::{Gpu, Precision};
use crate::layout::{Layout, Recompute, Sharding};
use crate::model::ModelShape;
use crate::software::Software;
use crate::units::{Bytes, FlopRate, Flops, Seconds};

/// Everything the time of a step depends on.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// Model.
    pub model: &'a ModelShape,
    /// Device.
    pub gpu: &'a Gpu,
    /// Training program.
    pub software: &'a Software,
    /// How it is spread.
    pub layout: Layout,
    /// Tokens of a sequence.
    pub seq: usize,
    /// Sequences of a step.
    pub global_batch: usize,
    /// Number format.
    pub precision: Precision,
}

impl Job<'_> {
    /// Devices.
    pub fn gpus(&self) -> usize {
        self.layout.gpus()
    }

    /// Tokens of a step.
    pub fn tokens(&self) -> f64 {
        self.global_batch as f64 * self.seq as f64
    }

    /// Model FLOPs utilisation of a step time, attention in full or causal.
    pub fn mfu(&self, step: Seconds, causal: bool) -> f64 {
        let flops = self.model.train_flops_per_token(self.seq, causal) * self.tokens();
        let peak = self.gpu.bf16 * self.gpus() as f64;
        (flops / peak) / step
    }

    /// Parameters on one rank: those split by tensor and pipeline, and those of experts.
    pub fn rank_params(&self) -> (f64, f64) {
        let (model, layout) = (self.model, &self.layout);
        let (sparse, dense) = model.sparse_and_dense_layers();
        let layers = layout.layers_per_stage(model) / (sparse + dense) as f64;
        let (tp, ep) = (layout.tp as f64, layout.ep as f64);
        let blocks = (sparse + dense) as f64 * model.attention_params()
            + dense as f64 * model.dense_ffn_params()
            + sparse as f64 * model.shared_params();
        // First and last stage hold one table each; a single stage holds both.
        let tables = model.embedding_params() * if layout.pp > 1 { 0.5 } else { 1.0 };
        let experts = sparse as f64 * model.routed_params() * layers / ep;
        ((blocks * layers + tables) / tp, experts)
    }
}

/// Where the time of a step goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Breakdown {
    /// Products of linear layers and head.
    pub products: Seconds,
    /// Attention.
    pub attention: Seconds,
    /// Norms, activations, casts, permutations, losses.
    pub pointwise: Seconds,
    /// Gaps between kernels.
    pub gaps: Seconds,
    /// Exposed tensor-parallel exchange.
    pub tensor: Seconds,
    /// Exposed context-parallel exchange.
    pub context: Seconds,
    /// Exposed expert exchange.
    pub expert: Seconds,
    /// Exposed exchange between stages.
    pub pipeline: Seconds,
    /// Stages waiting for the first and last micro-batch, or for a fuller stage.
    pub bubble: Seconds,
    /// Exposed exchange of gradients and weights.
    pub data: Seconds,
    /// Optimizer.
    pub optimizer: Seconds,
    /// Waiting for the slowest machine, and work outside the model.
    pub waiting: Seconds,
}

impl Breakdown {
    /// The step.
    pub fn total(&self) -> Seconds {
        self.parts().iter().map(|part| part.1).sum()
    }

    /// Name and time of each part, in the order of a step.
    pub fn parts(&self) -> [(&'static str, Seconds); 12] {
        [
            ("products", self.products),
            ("attention", self.attention),
            ("pointwise", self.pointwise),
            ("kernel gaps", self.gaps),
            ("tensor exchange", self.tensor),
            ("context exchange", self.context),
            ("expert exchange", self.expert),
            ("stage exchange", self.pipeline),
            ("pipeline bubble", self.bubble),
            ("data exchange", self.data),
            ("optimizer", self.optimizer),
            ("waiting", self.waiting),
        ]
    }
}

/// Bytes the optimizer reads and writes for a parameter: master weight, two moments (4 bytes each,
/// both ways), gradient, and the 16-bit weight.
const OPTIMIZER_BYTES: f64 = 30.0;

/// Passes over the logits, in 32 bits: maximum and sum, loss, gradient.
const LOGIT_BYTES: f64 = 16.0;

/// What one micro-batch takes on the mean stage of a pipeline, and how the stages wait for each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stage {
    /// Forward through the stage's layers.
    pub(super) forward: LayerTime,
    /// Backward.
    pub(super) backward: LayerTime,
    /// Layers of the mean stage.
    layers: f64,
    /// Products of the head, forward and backward, of the mean stage.
    head_products: Seconds,
    /// Losses, likewise.
    head_pointwise: Seconds,
    /// Exposed sending to the neighbours.
    pub(super) exchange: Seconds,
    /// What the fullest stage takes longer than the mean one.
    pub(super) slack: Seconds,
    /// Micro-batches of a step.
    pub(super) micro_batches: f64,
    /// Waiting for the first and last micro-batch.
    pub(super) fill: Seconds,
}

impl Stage {
    pub(super) fn of(job: &Job, constants: &Constants) -> Self {
        let (model, layout) = (job.model, &job.layout);
        let (sparse, dense) = model.sparse_and_dense_layers();
        let per_stage = layout.layers_per_stage(model);
        let stages = layout.pp as f64;
        let layers = (sparse + dense) as f64 / stages;
        let (mut forward, mut backward) = (LayerTime::default(), LayerTime::default());
        for (count, of_experts) in [(sparse, model.experts.is_some()), (dense, false)] {
            if count > 0 {
                let (one, back) = layer_times(job, constants, of_experts);
                let share = count as f64 / (sparse + dense) as f64;
                forward.add(&one, share);
                backward.add(&back, share);
            }
        }
        let (head_products, head_pointwise) = head_time(job, constants);
        let head = head_products + head_pointwise;
        let block = forward.total() + backward.total();
        // The fullest stage sets the pace; what the mean stage does not do is waiting.
        let mean = block * layers + head / stages;
        let even = per_stage < layers;
        let pace = if layout.pp == 1 {
            mean
        } else if even
            || (model.layers + 2).is_multiple_of(layout.pp)
                && !model.layers.is_multiple_of(layout.pp)
        {
            mean.max(block * per_stage)
        } else {
            // The last stage has the head in addition to its layers.
            block * per_stage.max(layers) + head
        };
        let bubbles = job.software.bubble * (layout.pp - 1) as f64 / layout.vpp as f64;
        Stage {
            forward,
            backward,
            layers,
            head_products: head_products / stages,
            head_pointwise: head_pointwise / stages,
            exchange: stage_exchange(job, constants),
            slack: pace - mean,
            micro_batches: layout.micro_batches(job.global_batch) as f64,
            fill: mean * bubbles,
        }
    }

    /// Forward of a micro-batch: work, and exposed exchange within the blocks.
    pub(super) fn forward_seconds(&self) -> (Seconds, Seconds) {
        self.pass(&self.forward, 1.0 / 3.0)
    }

    /// Backward of a micro-batch, likewise.
    pub(super) fn backward_seconds(&self) -> (Seconds, Seconds) {
        self.pass(&self.backward, 2.0 / 3.0)
    }

    /// A third of the head's work is forward.
    fn pass(&self, block: &LayerTime, head: f64) -> (Seconds, Seconds) {
        let work =
            block.compute() * self.layers + (self.head_products + self.head_pointwise) * head;
        (work, (block.total() - block.compute()) * self.layers)
    }
}

/// Time of a step.
pub fn step_time(job: &Job, constants: &Constants) -> Breakdown {
    step_of(&Stage::of(job, constants), job, constants)
}

pub(super) fn step_of(stage: &Stage, job: &Job, constants: &Constants) -> Breakdown {
    let mut block = stage.forward;
    block.add(&stage.backward, 1.0);
    let (layers, micro_batches) = (stage.layers, stage.micro_batches);
    let times = layers * micro_batches;
    let mut parts = Breakdown {
        products: block.products * times + stage.head_products * micro_batches,
        attention: block.attention * times,
        pointwise: block.pointwise * times + stage.head_pointwise * micro_batches,
        gaps: block.gaps * times,
        tensor: block.tensor * times,
        context: block.context * times,
        expert: block.expert * times,
        pipeline: stage.exchange * micro_batches,
        bubble: stage.slack * micro_batches + stage.fill,
        optimizer: optimizer_time(job, constants),
        ..Breakdown::default()
    };
    // Context exchange already hides behind attention: what is left of it counts with it, or the same
    // attention would hide two exchanges and a faster device could be slower.
    let per_stage = job.layout.layers_per_stage(job.model);
    let overlapped = |pass: &LayerTime| (pass.compute() + pass.context) * per_stage;
    parts.data = data_exchange(
        job,
        constants,
        overlapped(&stage.forward),
        overlapped(&stage.backward),
        micro_batches,
    );
    let machines = (job.gpus() as f64 / job.gpu.node as f64).max(1.0);
    parts.waiting =
        parts.total() * (constants.straggling * machines.log2()) + Seconds(constants.step_overhead);
    parts
}

/// Head and loss of a micro-batch, forward and backward: products, pointwise.
fn head_time(job: &Job, constants: &Constants) -> (Seconds, Seconds) {
    let tokens = (job.layout.micro_batch * job.seq).div_ceil(job.layout.cp);
    let columns = job.model.vocab.div_ceil(job.layout.tp);
    // Vocabularies are padded to whole tiles.
    let product = Product::new(tokens, columns.next_multiple_of(128), job.model.hidden);
    let rate: FlopRate = job.gpu.gemm_bf16 * constants.gemm_bf16;
    let hbm = job.gpu.hbm * constants.pointwise;
    let at = |p: Product| p.seconds_at(job.gpu, rate, hbm, 2.0);
    let products = at(product) + at(product.left_gradient()) + at(product.right_gradient());
    let pointwise = Bytes(tokens as f64 * columns as f64 * LOGIT_BYTES) / hbm;
    (products, pointwise)
}

/// Exposed sending of a micro-batch's activations to the next stage and gradients back.
fn stage_exchange(job: &Job, constants: &Constants) -> Seconds {
    let layout = &job.layout;
    if layout.pp == 1 {
        return Seconds::ZERO;
    }
    let tokens = (layout.micro_batch * job.seq).div_ceil(layout.cp) as f64;
    // Each tensor-parallel rank sends its part (arXiv:2104.04473 section 4.1).
    let bytes = Bytes(tokens * job.model.hidden as f64 * 2.0 / layout.tp as f64);
    let (gpu, reach) = (job.gpu, layout.gpus());
    // Devices of a stage send to those of the next: where a unit of the network holds several stages,
    // only the last one's leave it.
    let stage = reach / layout.pp;
    let (rate, farther) = if reach <= gpu.domain {
        (gpu.nvlink * constants.nvlink, Seconds::ZERO)
    } else {
        let share = gpu.fabric.share(reach, stage);
        (gpu.nic * (constants.network * share), gpu.fabric.farthest(2 * stage))
    };
    let once = bytes / rate + Seconds(constants.hop_us * 1e-6) + farther;
    // Forward and backward of every chunk; half is hidden where exchange overlaps.
    let shown = if job.software.data_overlap { 0.5 } else { 1.0 };
    once * (2.0 * layout.vpp as f64 * shown)
}

fn optimizer_time(job: &Job, constants: &Constants) -> Seconds {
    let (dense, experts) = job.rank_params();
    let (dense_ranks, expert_ranks) = if job.layout.sharding == Sharding::None {
        (1, 1)
    } else {
        (job.layout.dp * job.layout.cp, job.layout.expert_dp())
    };
    let own = dense / dense_ranks as f64 + experts / expert_ranks as f64;
    Bytes(own * OPTIMIZER_BYTES) / (job.gpu.hbm * constants.pointwise)
}

/// Exposed exchange of gradients and weights over a step. `forward` and `backward` are the
/// computation of one micro-batch on a stage: what exchange can hide behind.
fn data_exchange(
    job: &Job,
    constants: &Constants,
    forward: Seconds,
    backward: Seconds,
    micro_batches: f64,
) -> Seconds {
    let layout = &job.layout;
    let (dense, experts) = job.rank_params();
    let groups = [
        (dense, Group { ranks: layout.dp * layout.cp, stride: layout.tp }),
        (experts, Group { ranks: layout.expert_dp(), stride: layout.ep.max(layout.tp) }),
    ];
    // Exchange is layer by layer, or chunk by chunk.
    let pieces = if layout.sharding == Sharding::Full {
        layout.layers_per_stage(job.model)
    } else {
        layout.vpp as f64
    };
    let mut weights = Seconds::ZERO;
    let mut gradients = Seconds::ZERO;
    for (params, group) in groups {
        if group.ranks > 1 && params > 0.0 {
            let piece = params / pieces;
            let gather =
                |bytes: f64| group.gather(Bytes(piece * bytes), job.gpu, constants) * pieces;
            weights += gather(2.0);
            gradients += gather(job.software.gradient_bytes);
        }
    }
    let hidden = if job.software.data_overlap { constants.data_hidden } else { 0.0 };
    let exposed = |exchange: Seconds, overlapped: Seconds| {
        let room = exchange - overlapped * hidden;
        room.max(exchange * (1.0 - hidden))
    };
    match layout.sharding {
        Sharding::None => exposed(gradients * 2.0, backward),
        Sharding::Optimizer | Sharding::Gradients => {
            exposed(gradients, backward) + exposed(weights, forward)
        }
        Sharding::Full => {
            // Gathered for both passes of every micro-batch; with stages they are kept over a step.
            let rounds = if layout.pp > 1 { 1.0 } else { micro_batches };
            let again =
                if layout.recompute == Recompute::Full || layout.pp == 1 { 1.0 } else { 0.0 };
            (exposed(weights, forward) + exposed(weights * again + gradients, backward)) * rounds
        }
    }
}

/// FLOPs of a step that the device does, recompute counted, attention in full.
pub fn hardware_flops(job: &Job) -> Flops {
    let model = job.model.train_flops_per_token(job.seq, false);
    let again = match job.layout.recompute {
        Recompute::Full => job.model.block_forward_flops_per_token(job.seq),
        Recompute::None | Recompute::Selective => Flops::ZERO,
    };
    (model + again) * job.tokens()
}
