//! The forward pass, shared by every program: embedding, blocks, final norm, head. How attention
//! finds its keys (in the same batch or in a cache) is the caller's.
//!
//! Residual stream x; each block adds attention(norm x), then mlp(norm x) (pre-norm, arXiv
//! 2002.04745; the Llama and Qwen3 arrangement).

use std::collections::BTreeMap;

use stoa_graph::{
    AttentionSpec, Builder, CachedAttentionSpec, DType, GraphError, Nonlinearity, TensorType,
    ValueId,
};

use crate::parameters::{
    DOWN, EMBEDDING, FINAL_NORM, GATE, HEAD, INPUT_NORM, KEY, KEY_NORM, MLP_NORM, OUTPUT, QUERY,
    QUERY_NORM, UP, VALUE, layer_name,
};
use crate::rope::{rope_spec, score_scale};
use crate::{LanguageConfig, Mlp, Parameter, Precision, parameters};

type Result<T> = std::result::Result<T, GraphError>;

/// A forward pass under construction: the declared parameters of a configuration.
pub(crate) struct Transformer<'a> {
    config: &'a LanguageConfig,
    precision: Precision,
    weights: BTreeMap<String, ValueId>,
}

impl<'a> Transformer<'a> {
    /// Declares every parameter as state, matrices stored as `dtype`.
    pub fn declare(
        builder: &mut Builder,
        config: &'a LanguageConfig,
        dtype: DType,
    ) -> Result<Self> {
        let declare = |p: Parameter| {
            let value = builder.state(&p.name, p.ty(dtype))?;
            Ok((p.name, value))
        };
        let weights = parameters(config).into_iter().map(declare).collect::<Result<_>>()?;
        Ok(Transformer { config, precision: Precision::F32, weights })
    }

    /// The same with the operands of its products at this precision.
    pub fn with_precision(self, precision: Precision) -> Self {
        Transformer { precision, ..self }
    }

    /// A value as products take it: activations and f32 weights are cast, sums stay f32.
    pub fn operand(&self, builder: &mut Builder, x: ValueId) -> Result<ValueId> {
        match self.precision {
            Precision::F32 => Ok(x),
            Precision::Bf16 => builder.cast(x, self.precision.dtype()),
        }
    }

    /// Parameters with their values, in the order of the forward pass.
    pub fn parameters(&self) -> Vec<(Parameter, ValueId)> {
        let with_value = |p: Parameter| {
            let value = self.weights[&p.name];
            (p, value)
        };
        parameters(self.config).into_iter().map(with_value).collect()
    }

    /// The head: its own matrix or the embedding. [vocab, hidden]
    pub fn head(&self) -> ValueId {
        self.weights[if self.config.tied_head { EMBEDDING } else { HEAD }]
    }

    /// tokens i32 \[n\], positions i32 \[n\] → normalised last hidden state [n, hidden].
    /// `attend` is given (builder, layer, q, k, v) with q, k rotated, and returns what the heads
    /// have read, [n, heads·head_dim].
    pub fn hidden(
        &self,
        builder: &mut Builder,
        tokens: ValueId,
        positions: ValueId,
        attend: impl FnMut(&mut Builder, usize, [ValueId; 3]) -> Result<ValueId>,
    ) -> Result<ValueId> {
        let x = self.blocks(builder, tokens, positions, attend)?;
        self.final_norm(builder, x)
    }

    /// As [`Transformer::hidden`], before the final norm.
    pub fn blocks(
        &self,
        builder: &mut Builder,
        tokens: ValueId,
        positions: ValueId,
        mut attend: impl FnMut(&mut Builder, usize, [ValueId; 3]) -> Result<ValueId>,
    ) -> Result<ValueId> {
        let n = builder.ty(positions).elements();
        // [n] → [n, axes = 1]
        let positions = builder.reshape(positions, [n, 1])?;
        let mut x = builder.gather(self.weights[EMBEDDING], tokens)?;
        for layer in 0..self.config.layers {
            let normed = self.norm(builder, x, layer, INPUT_NORM)?;
            let normed = self.operand(builder, normed)?;
            let q = self.linear(builder, normed, layer, QUERY)?;
            let k = self.linear(builder, normed, layer, KEY)?;
            let v = self.linear(builder, normed, layer, VALUE)?;
            let q = self.rotated(builder, q, positions, layer, QUERY_NORM)?;
            let k = self.rotated(builder, k, positions, layer, KEY_NORM)?;
            let read = attend(builder, layer, [q, k, v])?;
            x = self.residual(builder, read, layer, OUTPUT, x)?;
            let normed = self.norm(builder, x, layer, MLP_NORM)?;
            let normed = self.operand(builder, normed)?;
            let up = self.linear(builder, normed, layer, UP)?;
            let inner = match self.config.mlp {
                Mlp::Swiglu { .. } => {
                    let gate = self.linear(builder, normed, layer, GATE)?;
                    builder.gated(gate, up, Nonlinearity::Silu)?
                }
                Mlp::ReluSquared { .. } => builder.activation(up, Nonlinearity::ReluSquared)?,
            };
            x = self.residual(builder, inner, layer, DOWN, x)?;
        }
        Ok(x)
    }

    /// The norm before the head.
    pub fn final_norm(&self, builder: &mut Builder, x: ValueId) -> Result<ValueId> {
        builder.rms_norm(x, self.weights.get(FINAL_NORM).copied(), self.config.rms_eps)
    }

    fn weight(&self, layer: usize, part: &str) -> ValueId {
        self.weights[&layer_name(layer, part)]
    }

    /// x·wᵀ for an x that is an operand already.
    fn linear(
        &self,
        builder: &mut Builder,
        x: ValueId,
        layer: usize,
        part: &str,
    ) -> Result<ValueId> {
        let weight = self.operand(builder, self.weight(layer, part))?;
        builder.linear_in(x, weight, DType::F32)
    }

    /// x·wᵀ + residual.
    fn residual(
        &self,
        builder: &mut Builder,
        x: ValueId,
        layer: usize,
        part: &str,
        residual: ValueId,
    ) -> Result<ValueId> {
        let x = self.operand(builder, x)?;
        let weight = self.operand(builder, self.weight(layer, part))?;
        builder.linear_residual(x, weight, residual)
    }

    fn norm(&self, builder: &mut Builder, x: ValueId, layer: usize, part: &str) -> Result<ValueId> {
        let weight = self.weights.get(&layer_name(layer, part)).copied();
        builder.rms_norm(x, weight, self.config.rms_eps)
    }

    /// QK-norm, then rotary positions. x: [n, some heads·head_dim]
    fn rotated(
        &self,
        builder: &mut Builder,
        x: ValueId,
        positions: ValueId,
        layer: usize,
        norm: &str,
    ) -> Result<ValueId> {
        let LanguageConfig { head_dim, rms_eps, .. } = *self.config;
        let x = if self.config.qk_norm {
            let weight = self.weights.get(&layer_name(layer, norm)).copied();
            builder.rms_norm_grouped(x, weight, head_dim, rms_eps)?
        } else {
            x
        };
        builder.rope(x, positions, rope_spec(self.config))
    }
}

/// Attention of a layer over `batch` sequences.
pub(crate) fn attention_spec(config: &LanguageConfig, layer: usize, batch: usize) -> AttentionSpec {
    AttentionSpec {
        batch,
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
        causal: true,
        window: config.window(layer),
        scale: score_scale(config),
        score_cap: None,
    }
}

/// Attention of a layer over caches.
pub(crate) fn cached_attention_spec(config: &LanguageConfig, layer: usize) -> CachedAttentionSpec {
    CachedAttentionSpec {
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
        window: config.window(layer),
        scale: score_scale(config),
        score_cap: None,
    }
}

/// Declares an `i32` data input of one dimension.
pub(crate) fn index_data(builder: &mut Builder, name: &str, n: usize) -> Result<ValueId> {
    builder.data(name, TensorType::i32([n]))
}
