//! Time of one block on one rank for one micro-batch, forward and backward: products, attention,
//! pointwise work, and the exchange inside the block. The sum over layers is in [`super::step`].

use super::exchange::Group;
use super::product::Product;
use super::step::Job;
use crate::calibration::Constants;
use crate::hardware::{Generation, Precision};
use crate::layout::Recompute;
use crate::units::{ByteRate, Bytes, FlopRate, Flops, Seconds};

/// Time of one pass over a block.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LayerTime {
    /// Products of linear layers.
    pub products: Seconds,
    /// Attention.
    pub attention: Seconds,
    /// Norms, activations, residuals, casts, permutation of tokens.
    pub pointwise: Seconds,
    /// Exposed exchange of tensor-parallel ranks.
    pub tensor: Seconds,
    /// Exposed exchange of context-parallel ranks.
    pub context: Seconds,
    /// Exposed exchange of expert-parallel ranks.
    pub expert: Seconds,
    /// Gaps between kernels.
    pub gaps: Seconds,
}

impl LayerTime {
    /// Sum of all.
    pub fn total(&self) -> Seconds {
        self.compute() + self.tensor + self.context + self.expert
    }

    /// What the device works, exchange left out.
    pub fn compute(&self) -> Seconds {
        self.products + self.attention + self.pointwise + self.gaps
    }

    /// Adds `times` of another.
    pub fn add(&mut self, other: &LayerTime, times: f64) {
        self.products += other.products * times;
        self.attention += other.attention * times;
        self.pointwise += other.pointwise * times;
        self.tensor += other.tensor * times;
        self.context += other.context * times;
        self.expert += other.expert * times;
        self.gaps += other.gaps * times;
    }
}

/// Backward attention does five products where forward does two, a little less efficiently
/// (FlashAttention-2, arXiv:2307.08691 section 4.1: 5/2 of the work at 0.85 of the rate).
const ATTENTION_BACKWARD: f64 = 2.5 / 0.85;

/// Rate of attention written for Hopper over that carried over from Ampere (FlashAttention-3,
/// arXiv:2407.08608: 1.5 to 2.0 forward, 1.5 to 1.75 backward).
const NATIVE_ATTENTION: f64 = 1.6;

/// Bytes moved for each score when the score matrix is kept, besides the products' own: softmax reads
/// and writes 2 each, dropout too and its mask; backward reads both results and masks again.
const SCORE_BYTES_FORWARD: f64 = 9.0;
const SCORE_BYTES_BACKWARD: f64 = 11.0;

/// Residual-stream elements read and written outside products by a block's two halves (norm: 2,
/// residual and dropout: 3, each twice), and backward.
const STREAM_FORWARD: f64 = 10.0;
const STREAM_BACKWARD: f64 = 16.0;

/// Kernels of a block forward, and backward relative to it, when fused.
const KERNELS_FORWARD: f64 = 14.0;
const KERNELS_BACKWARD: f64 = 26.0;

/// Forward and backward of a dense or sparse block of a job.
pub fn layer_times(job: &Job, constants: &Constants, sparse: bool) -> (LayerTime, LayerTime) {
    let block = Block::new(job, constants, sparse);
    let (forward, backward) = (block.forward(), block.backward());
    let mut backward = backward;
    match job.layout.recompute {
        Recompute::None => {}
        Recompute::Selective => {
            // Fused attention never keeps scores, so only pointwise work is recomputed.
            if !job.software.flash_attention {
                backward.attention += forward.attention;
            }
            backward.pointwise += forward.pointwise * 0.3;
            backward.products += forward.products * job.software.selective_products;
        }
        Recompute::Full => backward.add(&forward, 1.0),
    }
    (forward, backward)
}

struct Block<'a> {
    job: &'a Job<'a>,
    constants: &'a Constants,
    sparse: bool,
    /// Tokens of a micro-batch on a rank.
    tokens: usize,
    hbm: ByteRate,
}

impl<'a> Block<'a> {
    fn new(job: &'a Job<'a>, constants: &'a Constants, sparse: bool) -> Self {
        let tokens = (job.layout.micro_batch * job.seq).div_ceil(job.layout.cp);
        Block { job, constants, sparse, tokens, hbm: job.gpu.hbm * constants.pointwise }
    }

    fn linear_rate(&self) -> (FlopRate, f64) {
        product_rate(self.job, self.constants)
    }

    /// Products of the forward pass: (product, whether of experts).
    fn products(&self) -> Vec<(Product, bool)> {
        let (model, tp) = (self.job.model, self.job.layout.tp);
        let (t, h) = (self.tokens, model.hidden);
        let queries = model.heads * model.head_dim;
        let mut products = Vec::with_capacity(8);
        match model.latent {
            Some(l) => {
                let positional = model.head_dim.saturating_sub(l.value_dim);
                let up = model.heads * (model.head_dim - positional + l.value_dim);
                products.push((Product::new(t, l.query_rank + l.kv_rank, h), false));
                let from = if l.query_rank == 0 { h } else { l.query_rank };
                products.push((Product::new(t, queries / tp, from), false));
                products.push((Product::new(t, up / tp, l.kv_rank - positional), false));
            }
            None => {
                let keys_values = 2 * (model.kv_heads.max(tp)) * model.head_dim;
                products.push((Product::new(t, (queries + keys_values) / tp, h), false));
            }
        }
        products.push((Product::new(t, h, model.value_width() / tp), false));
        let first = if model.gated { 2 } else { 1 };
        match model.experts.filter(|_| self.sparse) {
            None => {
                let f = (model.ffn / tp).max(1);
                products.push((Product::new(t, first * f, h), false));
                products.push((Product::new(t, h, f), false));
            }
            Some(e) => {
                // Experts are whole on their rank; tokens come from the ranks of the expert group.
                let local = e.count / self.job.layout.ep;
                let routed = (t / tp).max(1) * e.per_token * self.job.layout.ep;
                let rows = routed.div_ceil(e.count).max(1);
                let of = |n, k| Product { m: rows, n, k, count: local };
                products.push((of(first * e.ffn, h), true));
                products.push((of(h, e.ffn), true));
                products.push((Product::new(t, e.count.next_multiple_of(64), h), false));
                if e.shared_ffn > 0 {
                    let f = (e.shared_ffn / tp).max(1);
                    products.push((Product::new(t, first * f, h), false));
                    products.push((Product::new(t, h, f), false));
                }
            }
        }
        products
    }

    fn product_seconds(&self, product: &Product, of_experts: bool) -> Seconds {
        let (mut rate, width) = self.linear_rate();
        if of_experts {
            rate = rate * self.constants.grouped;
        }
        product.seconds_at(self.job.gpu, rate, self.hbm, width)
    }

    fn forward(&self) -> LayerTime {
        let products = self.products();
        let sum = |p: &(Product, bool)| self.product_seconds(&p.0, p.1);
        let attention = self.attention_forward();
        LayerTime {
            products: products.iter().map(sum).sum(),
            attention,
            pointwise: self.pointwise(STREAM_FORWARD, 1.0, &products),
            tensor: self.tensor_exchange(),
            context: self.context_exchange(1.0, attention),
            expert: self.expert_exchange(),
            gaps: self.gaps(KERNELS_FORWARD),
        }
    }

    fn backward(&self) -> LayerTime {
        let products = self.products();
        let sum = |(p, of_experts): &(Product, bool)| {
            self.product_seconds(&p.left_gradient(), *of_experts)
                + self.product_seconds(&p.right_gradient(), *of_experts)
        };
        let attention = self.attention_backward();
        LayerTime {
            products: products.iter().map(sum).sum(),
            attention,
            pointwise: self.pointwise(STREAM_BACKWARD, 2.0, &products),
            tensor: self.tensor_exchange(),
            context: self.context_exchange(2.0, attention),
            expert: self.expert_exchange(),
            gaps: self.gaps(KERNELS_BACKWARD),
        }
    }

    /// Attention's two products over the pairs of queries and keys, in full.
    fn attention_flops(&self) -> Flops {
        let model = self.job.model;
        let widths = (model.heads * model.head_dim + model.value_width()) as f64;
        let keys = model.mean_keys(self.job.seq);
        Flops(2.0 * self.tokens as f64 * widths / self.job.layout.tp as f64 * keys)
    }

    fn score_bytes(&self, each: f64) -> Bytes {
        let heads = self.job.model.heads as f64 / self.job.layout.tp as f64;
        Bytes(self.tokens as f64 * heads * self.job.model.mean_keys(self.job.seq) * each)
    }

    fn attention_forward(&self) -> Seconds {
        if self.job.software.flash_attention {
            return self.attention_flops() * self.causal_share() / self.attention_rate();
        }
        self.unfused_attention(1.0, SCORE_BYTES_FORWARD)
    }

    fn attention_backward(&self) -> Seconds {
        if self.job.software.flash_attention {
            let flops = self.attention_flops() * self.causal_share() * ATTENTION_BACKWARD;
            return flops / self.attention_rate();
        }
        self.unfused_attention(2.0, SCORE_BYTES_BACKWARD)
    }

    fn causal_share(&self) -> f64 {
        // Tiles on the diagonal are computed whole.
        let tile = 128.0 / self.job.seq as f64;
        if self.job.model.window.is_some() { 0.6 } else { (0.5 + 0.5 * tile).min(1.0) }
    }

    fn attention_rate(&self) -> FlopRate {
        let constants = self.constants;
        let native = if self.job.software.native_attention { NATIVE_ATTENTION } else { 1.0 };
        let share = match self.job.gpu.generation {
            Generation::Volta
            | Generation::Turing
            | Generation::Ampere
            | Generation::AmpereRtx
            | Generation::Ada
            | Generation::BlackwellRtx
            | Generation::Tpu => constants.attention_ampere,
            Generation::Hopper | Generation::Cdna3 | Generation::Cdna4 => {
                constants.attention_hopper * native
            }
            Generation::Blackwell => constants.attention_blackwell,
        };
        // Heads narrower than a tile's depth feed the tensor cores worse.
        let narrow = (self.job.model.head_dim as f64 / 128.0).clamp(0.5, 1.0).sqrt();
        // A device held below its power is slowed in this too.
        let power = (self.job.gpu.gemm_bf16 / self.job.gpu.bf16) / expected_ceiling(self.job);
        self.job.gpu.bf16 * (share * narrow * power)
    }

    /// Batched products over whole score matrices and the passes over them.
    fn unfused_attention(&self, passes: f64, score_bytes: f64) -> Seconds {
        let (model, layout, seq) = (self.job.model, &self.job.layout, self.job.seq);
        let heads = layout.micro_batch * (model.heads / layout.tp).max(1);
        let rows = seq.div_ceil(layout.cp);
        let scores = Product { m: rows, n: seq, k: model.head_dim, count: heads };
        let values = Product { m: rows, n: model.head_dim, k: seq, count: heads };
        let rate = self.job.gpu.gemm_bf16 * self.constants.gemm_bf16;
        let at = |p: Product| p.seconds_at(self.job.gpu, rate, self.hbm, 2.0);
        (at(scores) + at(values)) * passes + self.score_bytes(score_bytes) / self.hbm
    }

    fn pointwise(&self, stream: f64, passes: f64, products: &[(Product, bool)]) -> Seconds {
        let (job, t) = (self.job, self.tokens as f64);
        let (h, tp) = (job.model.hidden as f64, job.layout.tp as f64);
        let stream_split = if job.software.sequence_parallel { tp } else { 1.0 };
        // Residual stream, in 16 bits.
        let mut bytes = stream * t * h / stream_split * 2.0;
        // Outputs of products once more through rope, bias or activation.
        let wide: f64 = products.iter().map(|(p, _)| (p.m * p.n * p.count) as f64).sum();
        bytes += passes * 2.0 * 1.5 * (wide - t * h).max(0.0);
        if let Some(e) = job.model.experts.filter(|_| self.sparse) {
            // Tokens are permuted to their experts and back; reading is part of the exchange.
            bytes += passes * 2.0 * 2.0 * (t / tp) * e.per_token as f64 * h;
        }
        let loose = 1.0 - job.software.fused;
        let unfused = 1.0 + loose * (self.constants.unfused - 1.0);
        let casts = match job.precision {
            Precision::Bf16 | Precision::Fp16 => 0.0,
            // Each operand is written in 8 bits in both orders, and read in 16 where that is not
            // fused into the kernel before it.
            Precision::Fp8 | Precision::Fp8Rowwise => {
                passes * (2.0 + 2.0 * loose) * operands(products)
            }
            Precision::Fp4 => passes * (1.2 + 2.0 * loose) * operands(products),
        };
        Bytes(bytes * unfused + casts) / self.hbm
    }

    fn tensor_exchange(&self) -> Seconds {
        let layout = &self.job.layout;
        let group = Group { ranks: layout.tp, stride: 1 };
        let bytes = Bytes(self.tokens as f64 * self.job.model.hidden as f64 * 2.0);
        // One sum for attention and one for the feed-forward block; experts are not split.
        let blocks = if self.job.model.parallel_block || self.sparse { 1.0 } else { 2.0 };
        let all = group.all_reduce(bytes, self.job.gpu, self.constants) * blocks;
        let hidden =
            if self.job.software.tensor_overlap { self.constants.tensor_hidden } else { 0.0 };
        all * (1.0 - hidden)
    }

    fn context_exchange(&self, passes: f64, attention: Seconds) -> Seconds {
        let (layout, model) = (&self.job.layout, self.job.model);
        if layout.cp == 1 {
            return Seconds::ZERO;
        }
        let width = match model.latent {
            Some(l) => l.kv_rank as f64,
            None => 2.0 * (model.kv_heads * model.head_dim) as f64 / layout.tp as f64,
        };
        let whole = Bytes(self.tokens as f64 * layout.cp as f64 * width * 2.0);
        let group = Group { ranks: layout.cp, stride: layout.tp };
        let all = group.gather(whole, self.job.gpu, self.constants) * passes;
        // The exchange overlaps with attention, except for the first block of keys.
        (all - attention).max(all / layout.cp as f64)
    }

    fn expert_exchange(&self) -> Seconds {
        let (layout, model) = (&self.job.layout, self.job.model);
        let Some(e) = model.experts.filter(|_| self.sparse && layout.ep > 1) else {
            return Seconds::ZERO;
        };
        let group = Group { ranks: layout.ep, stride: 1 };
        // A token goes once to each machine it visits, then over the fast link.
        let visits = if group.is_local(self.job.gpu) { e.per_token } else { e.per_token.min(4) };
        let sent = (self.tokens / layout.tp).max(1) as f64 * visits as f64;
        let bytes = Bytes(sent * model.hidden as f64 * 2.0);
        let both = group.all_to_all(bytes, self.job.gpu, self.constants) * 2.0;
        // Two micro-batches in opposite directions hide all but a tenth (arXiv:2412.19437 section 3.2).
        let shown = match (self.job.software.expert_overlap, group.is_local(self.job.gpu)) {
            (true, _) => 0.1,
            (false, true) => 1.0 - self.constants.expert_hidden,
            (false, false) => 1.0,
        };
        both * shown
    }

    fn gaps(&self, kernels: f64) -> Seconds {
        let more = if self.sparse { 2.0 } else { 1.0 };
        let unfused = 1.0 + (1.0 - self.job.software.fused);
        Seconds(self.constants.gap_us * 1e-6) * (kernels * more * unfused)
    }
}

/// Elements of the left operands: what is cast again for each micro-batch.
fn operands(products: &[(Product, bool)]) -> f64 {
    products.iter().map(|(p, _)| (p.m * p.k * p.count) as f64).sum()
}

/// Share of the data sheet that products attain on the family's device at full power.
fn expected_ceiling(job: &Job) -> f64 {
    match job.gpu.generation {
        Generation::Hopper => 795.0 / 989.0,
        Generation::Blackwell => 1745.0 / 2250.0,
        _ => job.gpu.gemm_bf16 / job.gpu.bf16,
    }
}

/// Rate of linear layers and bytes of an element in the job's number format.
pub(super) fn product_rate(job: &Job, constants: &Constants) -> (FlopRate, f64) {
    let gpu = job.gpu;
    // A device held below its power is slowed alike in all formats.
    let power = (gpu.gemm_bf16 / gpu.bf16) / expected_ceiling(job);
    match job.precision {
        Precision::Fp8 if gpu.fp8.is_some() => {
            (gpu.peak(Precision::Fp8) * (constants.gemm_fp8 * power), 1.0)
        }
        Precision::Fp4 if gpu.fp4.is_some() => {
            (gpu.peak(Precision::Fp4) * (constants.gemm_fp4 * power), 0.6)
        }
        Precision::Fp4 if gpu.fp8.is_some() => {
            (gpu.peak(Precision::Fp8) * (constants.gemm_fp8 * power), 1.0)
        }
        _ => (gpu.gemm_bf16 * constants.gemm_bf16, 2.0),
    }
}
