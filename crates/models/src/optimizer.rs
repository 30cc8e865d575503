//! Which optimizer trains which group of parameters, and the nodes that apply it. Constants are
//! nanochat's (optim.py, base_train.py); schedules are given to each run as data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stoa_graph::{AdamWSpec, Builder, GraphError, MuonSpec, Orthogonalizer, TensorType, ValueId};

use crate::{LanguageConfig, Parameter, ParameterGroup};

/// AdamW for one group (arXiv 1711.05101).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamWConfig {
    /// Learning rate at the top of the schedule.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay, multiplied by the learning rate.
    pub weight_decay: f32,
}

impl AdamWConfig {
    fn spec(self) -> AdamWSpec {
        let AdamWConfig { lr, beta1, beta2, eps, weight_decay } = self;
        AdamWSpec { beta1, beta2, eps, weight_decay, lr_scale: lr }
    }
}

/// Optimizer of the matrices inside blocks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum MatrixOptimizer {
    /// Adam with decoupled weight decay.
    AdamW(AdamWConfig),
    /// Orthogonalised Nesterov momentum; its momentum is given to each run.
    Muon {
        /// Learning rate at the top of the schedule, multiplied by √max(1, out/in).
        lr: f32,
        /// Decoupled weight decay, multiplied by the learning rate.
        weight_decay: f32,
        /// Steps of the Polar Express iteration.
        iterations: usize,
    },
}

/// Scaling down of large gradients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clipping {
    /// Norm of all gradients together that is scaled down to; infinite for none.
    pub max_norm: f32,
}

/// Optimizers of all parameter groups.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Token embedding.
    pub embedding: AdamWConfig,
    /// Output head, when not tied.
    pub head: AdamWConfig,
    /// Factors of norms, and biases.
    pub norm: AdamWConfig,
    /// Matrices of the blocks.
    pub matrices: MatrixOptimizer,
    /// Clipping. With it the gradient norm is measured and a step above the run's `limit` is left
    /// out; without it each update runs as soon as its gradient is there, which takes less memory.
    pub clipping: Option<Clipping>,
}

/// nanochat's epsilon for every AdamW group (optim.py).
const EPS: f32 = 1e-10;

/// Width at which nanochat's rates of embedding and head were tuned; they go with its inverse root.
const TUNED_HIDDEN: f32 = 768.0;

impl OptimizerConfig {
    /// Muon for the matrices and AdamW for the rest, at nanochat's rates for this width.
    pub fn muon(config: &LanguageConfig) -> Self {
        let scale = (config.hidden as f32 / TUNED_HIDDEN).powf(-0.5);
        let adamw = |lr, beta1, beta2, weight_decay| AdamWConfig {
            lr,
            beta1,
            beta2,
            eps: EPS,
            weight_decay,
        };
        // A tied embedding is trained like a head: rows of 0.02 do not survive steps of 0.3.
        let embedding_lr = if config.tied_head { 0.008 } else { 0.3 };
        OptimizerConfig {
            embedding: adamw(embedding_lr * scale, 0.8, 0.995, 0.001),
            head: adamw(0.008 * scale, 0.8, 0.96, 0.01),
            norm: adamw(0.005, 0.8, 0.95, 0.0),
            matrices: MatrixOptimizer::Muon { lr: 0.02, weight_decay: 0.1, iterations: 5 },
            clipping: Some(Clipping { max_norm: 1.0 }),
        }
    }

    /// AdamW for everything at one rate, without decay of embedding and norms (Llama 2, arXiv
    /// 2307.09288 §2.2, for betas, decay and clipping).
    pub fn adamw(lr: f32) -> Self {
        let plain = AdamWConfig { lr, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0 };
        let decayed = AdamWConfig { weight_decay: 0.1, ..plain };
        OptimizerConfig {
            embedding: plain,
            head: decayed,
            norm: plain,
            matrices: MatrixOptimizer::AdamW(decayed),
            clipping: Some(Clipping { max_norm: 1.0 }),
        }
    }

    /// The same with every learning rate multiplied.
    pub fn scaled(mut self, by: f32) -> Self {
        self.embedding.lr *= by;
        self.head.lr *= by;
        self.norm.lr *= by;
        match &mut self.matrices {
            MatrixOptimizer::AdamW(adamw) => adamw.lr *= by,
            MatrixOptimizer::Muon { lr, .. } => *lr *= by,
        }
        self
    }

    /// Whether runs must be given `momentum`.
    pub fn uses_momentum(&self) -> bool {
        matches!(self.matrices, MatrixOptimizer::Muon { .. })
    }

    /// Learning rate of the matrices, the one to show.
    pub fn matrix_lr(&self) -> f32 {
        match self.matrices {
            MatrixOptimizer::AdamW(adamw) => adamw.lr,
            MatrixOptimizer::Muon { lr, .. } => lr,
        }
    }

    fn rule(&self, group: ParameterGroup) -> Rule {
        match group {
            ParameterGroup::Embedding => Rule::AdamW(self.embedding.spec()),
            ParameterGroup::Head => Rule::AdamW(self.head.spec()),
            ParameterGroup::Norm | ParameterGroup::Bias => Rule::AdamW(self.norm.spec()),
            ParameterGroup::InputProjection | ParameterGroup::OutputProjection => match self
                .matrices
            {
                MatrixOptimizer::AdamW(adamw) => Rule::AdamW(adamw.spec()),
                MatrixOptimizer::Muon { lr, weight_decay, iterations } => Rule::Muon(MuonSpec {
                    nesterov: true,
                    orthogonalizer: Orthogonalizer::PolarExpress,
                    iterations,
                    weight_decay,
                    lr_scale: lr,
                }),
            },
        }
    }
}

enum Rule {
    AdamW(AdamWSpec),
    Muon(MuonSpec),
}

impl Rule {
    /// What the names of its states end in.
    fn suffixes(&self) -> &'static [&'static str] {
        match self {
            Rule::AdamW(_) => &["adamw_m", "adamw_v"],
            Rule::Muon(_) => &["muon_momentum"],
        }
    }
}

/// Names and types of the optimizer's state for these parameters; all of it starts at zero.
pub fn optimizer_state(
    parameters: &[Parameter],
    optimizer: &OptimizerConfig,
) -> BTreeMap<String, TensorType> {
    let of = |p: &Parameter| {
        let p = p.clone();
        let suffixes = optimizer.rule(p.group).suffixes();
        suffixes.iter().map(move |s| (format!("{}.{s}", p.name), TensorType::f32(p.shape.clone())))
    };
    parameters.iter().flat_map(of).collect()
}

/// Adds the update of every parameter to a program: declares moments and the data `lr`, `step`,
/// and where needed `momentum` and `limit`; returns `grad_norm` when clipping.
pub(crate) fn add_updates(
    builder: &mut Builder,
    optimizer: &OptimizerConfig,
    trained: &[(Parameter, ValueId)],
    gradients: &[ValueId],
) -> Result<(), GraphError> {
    let lr = builder.data("lr", TensorType::scalar())?;
    let step = builder.data("step", TensorType::scalar())?;
    let momentum = if optimizer.uses_momentum() {
        Some(builder.data("momentum", TensorType::scalar())?)
    } else {
        None
    };
    let factor = match optimizer.clipping {
        None => builder.fill(TensorType::scalar(), 1.0)?,
        Some(Clipping { max_norm }) => {
            let limit = builder.data("limit", TensorType::scalar())?;
            let norm = builder.global_norm(gradients)?;
            builder.returns("grad_norm", norm)?;
            builder.clip_factor(norm, limit, max_norm)?
        }
    };
    for ((parameter, value), &gradient) in trained.iter().zip(gradients) {
        let rule = optimizer.rule(parameter.group);
        let names: Vec<String> =
            rule.suffixes().iter().map(|s| format!("{}.{s}", parameter.name)).collect();
        let ty = builder.ty(*value).clone();
        let moments = names
            .iter()
            .map(|name| builder.state(name, ty.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let updated = match rule {
            Rule::AdamW(spec) => builder
                .adamw([*value, gradient, moments[0], moments[1], lr, step, factor], spec)?
                .to_vec(),
            Rule::Muon(spec) => {
                let momentum = momentum.expect("declared whenever a group uses Muon");
                let inputs = [*value, gradient, moments[0], lr, momentum, factor];
                builder.muon(inputs, spec)?.to_vec()
            }
        };
        builder.updates(&parameter.name, updated[0])?;
        for (name, &moment) in names.iter().zip(&updated[1..]) {
            builder.updates(name, moment)?;
        }
    }
    Ok(())
}
