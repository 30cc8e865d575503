//! The reference training workloads: architecture, batch, step. The same ones as in
//! `xtask/oracle/train/bench_torch.py`, token for token.

use stoa_graph::{Buffers, Engine, Program, Recompute, Tensor, TensorType};
use stoa_models::{
    AdamWConfig, Compute, LanguageConfig, MatrixOptimizer, Mlp, OptimizerConfig, Parameter,
    ParameterGroup, QkNorm, TrainingShape, optimizer_state, parameters, training_program,
};

use super::args::Workload;

/// A workload as programs and data.
pub struct Step {
    /// Forward, backward and AdamW of every parameter.
    pub program: Program,
    /// Tokens of one step.
    pub tokens: usize,
    data: Vec<(&'static str, Tensor)>,
    parameters: Vec<Parameter>,
    moments: Vec<(String, TensorType)>,
}

/// Learning rate and constants of AdamW; they do not change the time of a step.
const ADAMW: AdamWConfig =
    AdamWConfig { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };

impl Workload {
    /// The model.
    pub fn config(self) -> LanguageConfig {
        match self {
            Workload::S => plain(6, 384, 6, 8192, 256),
            Workload::L => plain(12, 768, 12, 50304, 512),
            // As `up` makes it on the sample square, whose tokenizer has 3462 tokens.
            Workload::Default => LanguageConfig {
                hidden: 192,
                heads: 3,
                kv_heads: 3,
                head_dim: 64,
                mlp: Mlp::swiglu(512),
                ..LanguageConfig::from_depth(4, 3462)
            },
        }
    }

    /// What the backward pass makes again by default: the fastest that keeps to the memory that the
    /// comparison with PyTorch allows (0.45 of its peak for S, 0.5 for L).
    pub const fn recompute(self) -> Recompute {
        match self {
            Workload::S | Workload::Default => Recompute::Cheap,
            Workload::L => Recompute::Blocks,
        }
    }

    /// One optimizer step on a fixed batch.
    ///
    /// # Errors
    /// A program that does not fit together.
    pub fn step(self, compute: Compute) -> anyhow::Result<Step> {
        let config = self.config();
        let (batch, time) = match self {
            Workload::S | Workload::Default => (16, 256),
            Workload::L => (4, 512),
        };
        let optimizer = OptimizerConfig {
            embedding: ADAMW,
            head: ADAMW,
            norm: ADAMW,
            matrices: MatrixOptimizer::AdamW(ADAMW),
            clipping: None,
        };
        let shape = TrainingShape { batch, time, segmented: false };
        let program = training_program(&config, &optimizer, shape, compute)?;
        Ok(Step {
            program,
            tokens: shape.tokens(),
            data: batch_data(batch, time, config.vocab)?,
            moments: optimizer_state(&parameters(&config), &optimizer).into_iter().collect(),
            parameters: parameters(&config),
        })
    }
}

/// ReLU² MLP four times as wide, norms without weight, untied head.
fn plain(
    layers: usize,
    hidden: usize,
    heads: usize,
    vocab: usize,
    max_time: usize,
) -> LanguageConfig {
    LanguageConfig {
        vocab,
        hidden,
        layers,
        heads,
        kv_heads: heads,
        head_dim: hidden / heads,
        mlp: Mlp::relu_squared(4 * hidden),
        qk_norm: QkNorm::None,
        norm_weights: false,
        max_time,
        ..LanguageConfig::from_depth(layers, vocab)
    }
}

impl Step {
    /// Parameters drawn from N(0, 0.02²) and zero moments, in the engine's memory.
    ///
    /// # Errors
    /// Out of memory.
    pub fn state(&self, engine: &dyn Engine) -> anyhow::Result<Buffers> {
        let mut state = Buffers::new();
        for p in &self.parameters {
            state.insert(p.name.clone(), engine.upload(&drawn(p))?);
        }
        for (name, ty) in &self.moments {
            state.insert(name.clone(), engine.upload(&Tensor::zeros(ty))?);
        }
        Ok(state)
    }

    /// The batch and the scalars of step `step`, counted from 1.
    pub fn inputs<'a>(
        &'a self,
        step: &'a Tensor,
        lr: &'a Tensor,
    ) -> Vec<(&'static str, &'a Tensor)> {
        let batch = self.data.iter().map(|(name, tensor)| (*name, tensor));
        batch.chain([("step", step), ("lr", lr)]).collect()
    }
}

/// Values of a parameter: N(0, 0.02²), and 1 for factors of norms.
pub fn drawn(parameter: &Parameter) -> Tensor {
    let n = parameter.shape.iter().product::<usize>() as u64;
    let stream = stoa_random::Stream::new(0, &parameter.name);
    let norm = parameter.group == ParameterGroup::Norm;
    let value = |i| if norm { 1.0 } else { 0.02 * normal(&stream, i) };
    let values = (0..n).map(value).collect();
    Tensor::f32(parameter.shape.clone(), values).expect("as many as the shape has")
}

/// A standard normal draw by Box and Muller's transform.
fn normal(stream: &stoa_random::Stream, index: u64) -> f32 {
    let unit = |i| (stream.bits(i) >> 40) as f32 / (1_u64 << 24) as f32;
    let (u, v) = (unit(2 * index) + f32::EPSILON, unit(2 * index + 1));
    (-2.0 * u.ln()).sqrt() * (std::f32::consts::TAU * v).cos()
}

/// Tokens by Knuth's multiplicative hash of the position (TAOCP vol. 3, 6.4), as the opponent
/// makes them: id_i = (i·2654435761 mod 2³²)·vocab div 2³².
fn batch_data(
    batch: usize,
    time: usize,
    vocab: usize,
) -> anyhow::Result<Vec<(&'static str, Tensor)>> {
    let id = |i: usize| {
        let hash = (i as u64).wrapping_mul(2_654_435_761) % (1 << 32);
        ((hash * vocab as u64) >> 32) as i32
    };
    let n = batch * time;
    let at = |row: usize, t: usize| row * (time + 1) + t;
    let cells = || (0..batch).flat_map(|row| (0..time).map(move |t| (row, t)));
    Ok(vec![
        ("tokens", Tensor::i32([n], cells().map(|(r, t)| id(at(r, t))).collect())?),
        ("targets", Tensor::i32([n], cells().map(|(r, t)| id(at(r, t) + 1)).collect())?),
        ("positions", Tensor::i32([n], cells().map(|(_, t)| t as i32).collect())?),
        ("weights", Tensor::f32([n], vec![1.0 / n as f32; n])?),
    ])
}
