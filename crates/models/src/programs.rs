//! Programs over batches of whole sequences: training in one go, gradient accumulation in two, and
//! evaluation. Decoding with caches is in `decoding`.
//!
//! Data inputs, all of batch·time elements, row by row: `tokens`, `positions` (i32), `targets`
//! (i32, −1 = not predicted), `weights` (f32 factor of each target's loss; the loss is their
//! weighted sum, so they usually add up to 1 over a step), and `segments` (i32 document ids) when
//! the shape says so.

use serde::{Deserialize, Serialize};
use stoa_graph::{Builder, DType, Program, Recompute, TensorType, ValueId, gradients};

use crate::optimizer::add_updates;
use crate::transformer::{Transformer, attention_spec, index_data};
use crate::{LanguageConfig, ModelError, OptimizerConfig, Parameter};

type Result<T> = std::result::Result<T, ModelError>;

/// Sequences a program takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingShape {
    /// Sequences.
    pub batch: usize,
    /// Tokens of each.
    pub time: usize,
    /// Whether sequences hold several documents, kept apart by the input `segments`.
    pub segmented: bool,
}

impl TrainingShape {
    /// Tokens of all sequences.
    pub const fn tokens(&self) -> usize {
        self.batch * self.time
    }
}

/// What the products of a program multiply. Sums, what lies between products, weights, gradients and
/// moments are f32 either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32.
    #[default]
    F32,
    /// Activations, weights and gradients rounded to bfloat16: faster where the processor has dot
    /// products of it, the same speed elsewhere.
    Bf16,
}

impl Precision {
    /// The type.
    pub const fn dtype(self) -> DType {
        match self {
            Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
        }
    }
}

/// What a training program computes with and what it keeps.
#[derive(Clone, Copy, Debug)]
pub struct Compute {
    /// What the backward pass makes again instead of keeping.
    pub recompute: Recompute,
    /// What products multiply.
    pub precision: Precision,
}

impl From<Recompute> for Compute {
    fn from(recompute: Recompute) -> Self {
        Compute { recompute, precision: Precision::F32 }
    }
}

/// One optimizer step of the language transformer: [`Forward::training_program`].
///
/// # Errors
/// [`ModelError::Config`], or a shape that does not fit.
pub fn training_program(
    config: &LanguageConfig,
    optimizer: &OptimizerConfig,
    shape: TrainingShape,
    compute: impl Into<Compute>,
) -> Result<Program> {
    let Compute { recompute, precision } = compute.into();
    Forward::language(config, shape, precision)?.training_program(optimizer, recompute)
}

/// Applies accumulated gradients of these parameters and sets them back to zero. Data: the scalars
/// of [`Forward::training_program`]. Returns `grad_norm` when clipping.
///
/// # Errors
/// A shape that does not fit.
pub fn update_program(parameters: &[Parameter], optimizer: &OptimizerConfig) -> Result<Program> {
    let mut builder = Builder::new();
    let declare = |p: &Parameter| Ok((p.clone(), builder.state(&p.name, p.ty(DType::F32))?));
    let trained: Vec<(Parameter, ValueId)> =
        parameters.iter().map(declare).collect::<Result<_>>()?;
    let sums = declare_gradients(&mut builder, &trained)?;
    add_updates(&mut builder, optimizer, &trained, &sums)?;
    for (parameter, value) in &trained {
        let zero = builder.fill(builder.ty(*value).clone(), 0.0)?;
        builder.updates(&gradient_name(&parameter.name), zero)?;
    }
    Ok(builder.finish())
}

/// Forward only. Data: `tokens`, `targets`, `positions`, and `segments` when segmented. Returns
/// `nll` [batch·time], in nats, 0 where the target is −1.
///
/// # Errors
/// As [`training_program`].
pub fn evaluation_program(config: &LanguageConfig, shape: TrainingShape) -> Result<Program> {
    config.validate()?;
    let mut builder = Builder::new();
    let weights = builder.fill(TensorType::f32([shape.tokens()]), 1.0)?;
    let (_, nll) = head_loss(&mut builder, config, shape, Precision::F32, weights)?.1;
    builder.returns("nll", nll)?;
    Ok(builder.finish())
}

/// Name of the state that sums a parameter's gradient.
pub fn gradient_name(parameter: &str) -> String {
    format!("{parameter}.gradient")
}

fn declare_gradients(
    builder: &mut Builder,
    trained: &[(Parameter, ValueId)],
) -> Result<Vec<ValueId>> {
    let declare = |(p, v): &(Parameter, ValueId)| {
        let ty = builder.ty(*v).clone();
        Ok(builder.state(gradient_name(&p.name), ty)?)
    };
    trained.iter().map(declare).collect()
}

/// A program that has got as far as its loss: what a trainer makes steps of, whatever the model.
pub struct Forward {
    /// The program so far.
    pub builder: Builder,
    /// What is trained, declared as state; other states are only read.
    pub trained: Vec<(Parameter, ValueId)>,
    /// The scalar to be made small.
    pub loss: ValueId,
}

impl Forward {
    /// The language transformer on a batch, all of its parameters trained.
    ///
    /// # Errors
    /// [`ModelError::Config`], or a shape that does not fit.
    pub fn language(
        config: &LanguageConfig,
        shape: TrainingShape,
        precision: Precision,
    ) -> Result<Self> {
        config.validate()?;
        let mut builder = Builder::new();
        let weights = builder.data("weights", TensorType::f32([shape.tokens()]))?;
        let (trained, (loss, _)) = head_loss(&mut builder, config, shape, precision, weights)?;
        Ok(Forward { builder, trained, loss })
    }

    /// One optimizer step: forward, backward, update. Data beside the batch: scalars `lr` (factor on
    /// every group's rate), `step` (from 1), `momentum` (with Muon), `limit` (with clipping: a step of
    /// larger gradient norm changes nothing). Returns `loss`, and `grad_norm` when clipping.
    ///
    /// # Errors
    /// A shape that does not fit.
    pub fn training_program(
        mut self,
        optimizer: &OptimizerConfig,
        recompute: Recompute,
    ) -> Result<Program> {
        let wrt: Vec<ValueId> = self.trained.iter().map(|(_, v)| *v).collect();
        let grads = gradients(&mut self.builder, self.loss, &wrt, &[], recompute)?;
        self.builder.returns("loss", grads.current(self.loss))?;
        add_updates(&mut self.builder, optimizer, &self.trained, &grads.values)?;
        let program = self.builder.finish();
        Ok(if optimizer.clipping.is_some() { program } else { program.with_early_updates() })
    }

    /// Forward and backward of a part of a step's batch: adds its gradients to the states
    /// [`gradient_name`]. Returns `loss`.
    ///
    /// # Errors
    /// As [`Forward::training_program`].
    pub fn accumulation_program(mut self, recompute: Recompute) -> Result<Program> {
        let wrt: Vec<ValueId> = self.trained.iter().map(|(_, v)| *v).collect();
        let sums = declare_gradients(&mut self.builder, &self.trained)?;
        let grads = gradients(&mut self.builder, self.loss, &wrt, &sums, recompute)?;
        self.builder.returns("loss", grads.current(self.loss))?;
        for ((parameter, _), &sum) in self.trained.iter().zip(&grads.values) {
            self.builder.updates(&gradient_name(&parameter.name), sum)?;
        }
        Ok(self.builder.finish())
    }
}

/// Parameters, and (loss, nll) of every target.
fn head_loss(
    builder: &mut Builder,
    config: &LanguageConfig,
    shape: TrainingShape,
    precision: Precision,
    weights: ValueId,
) -> Result<(Vec<(Parameter, ValueId)>, (ValueId, ValueId))> {
    let model = Transformer::declare(builder, config, &|p| p.ty(DType::F32), shape.time)?
        .with_precision(precision);
    let n = shape.tokens();
    let tokens = index_data(builder, "tokens", n)?;
    let targets = index_data(builder, "targets", n)?;
    let positions = index_data(builder, "positions", n)?;
    let segments = if shape.segmented { Some(index_data(builder, "segments", n)?) } else { None };
    let x = model.hidden(builder, tokens, positions, &mut |builder, layer, [q, k, v]| {
        let spec = attention_spec(config, layer, shape.batch);
        Ok(builder.attention(q, k, v, segments, spec)?.0)
    })?;
    let (x, head) = (model.operand(builder, x)?, model.operand(builder, model.head())?);
    let outputs = builder.cross_entropy(x, head, targets, weights, config.logit_softcap)?;
    Ok((model.parameters(), outputs))
}
