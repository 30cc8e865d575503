//! The forward pass, shared by every program: embedding, blocks, final norm, head. How attention
//! finds its keys (in the same batch or in a cache) is the caller's. Every family is computed here;
//! what differs between them is read from the configuration.

use std::cell::Cell;
use std::collections::BTreeMap;

use stoa_graph::{
    AttentionSpec, Builder, CachedAttentionSpec, DType, GraphError, TensorType, ValueId,
};

use crate::parameters::{Module, Place, placed_parameters};
use crate::rope::rope_spec;
use crate::{Block, LanguageConfig, Norm, Parameter, Precision, QkNorm};

type Result<T> = std::result::Result<T, GraphError>;

/// What the heads read: (builder, layer, q, k, v) with q, k rotated → [n, heads·head_dim].
type Attend<'a> = dyn FnMut(&mut Builder, usize, [ValueId; 3]) -> Result<ValueId> + 'a;

/// A forward pass under construction: the declared parameters of a configuration.
pub(crate) struct Transformer<'a> {
    config: &'a LanguageConfig,
    /// Longest sequence of the program, which may decide how positions are stretched.
    context: usize,
    precision: Precision,
    weights: BTreeMap<Place, ValueId>,
    /// What was quantised last, and what it became: several products in a row read one value.
    quantised: Cell<Option<(ValueId, ValueId)>>,
}

impl<'a> Transformer<'a> {
    /// Declares every parameter as state of the type that `stored` gives it, for sequences of up to
    /// `context` tokens.
    pub fn declare(
        builder: &mut Builder,
        config: &'a LanguageConfig,
        stored: &dyn Fn(&Parameter) -> TensorType,
        context: usize,
    ) -> Result<Self> {
        let declare = |(place, p): (Place, Parameter)| {
            let value = builder.state(&p.name, stored(&p))?;
            Ok((place, value))
        };
        let weights = placed_parameters(config).into_iter().map(declare).collect::<Result<_>>()?;
        Ok(Transformer {
            config,
            context,
            precision: Precision::F32,
            weights,
            quantised: Cell::new(None),
        })
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

    /// x·wᵀ [+ bias] in f32, for an x and a weight that are operands already. With a quantised weight
    /// x is quantised too, once for products that follow one another.
    pub fn product(
        &self,
        builder: &mut Builder,
        x: ValueId,
        weight: ValueId,
        bias: Option<ValueId>,
    ) -> Result<ValueId> {
        let x = if builder.ty(weight).dtype.is_quantised() {
            match self.quantised.get() {
                Some((last, quantised)) if last == x => quantised,
                _ => {
                    let quantised = builder.cast(x, DType::Q8_0)?;
                    self.quantised.set(Some((x, quantised)));
                    quantised
                }
            }
        } else {
            x
        };
        builder.linear_biased(x, weight, bias, DType::F32)
    }

    /// Parameters with their values, in the order of the forward pass.
    pub fn parameters(&self) -> Vec<(Parameter, ValueId)> {
        let with_value = |(place, p): (Place, Parameter)| (p, self.weights[&place]);
        placed_parameters(self.config).into_iter().map(with_value).collect()
    }

    /// The head: its own matrix or the embedding. [vocab, hidden]
    pub fn head(&self) -> ValueId {
        let module = if self.config.tied_head { Module::Embedding } else { Module::Head };
        self.weights[&Place::outside(module)]
    }

    /// tokens i32 \[n\], positions i32 \[n\] → what the head multiplies, [n, hidden].
    pub fn hidden(
        &self,
        builder: &mut Builder,
        tokens: ValueId,
        positions: ValueId,
        attend: &mut Attend<'_>,
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
        attend: &mut Attend<'_>,
    ) -> Result<ValueId> {
        let mut x = self.embedded(builder, tokens, positions)?;
        let n = builder.ty(positions).elements();
        // [n] → [n, axes = 1]
        let positions = builder.reshape(positions, [n, 1])?;
        for layer in 0..self.config.layers {
            x = self.block(builder, layer, x, positions, attend)?;
        }
        Ok(x)
    }

    /// The norm before the head, times the factor on the logits.
    pub fn final_norm(&self, builder: &mut Builder, x: ValueId) -> Result<ValueId> {
        let x = self.norm(builder, x, Place::outside(Module::FinalNorm))?;
        scaled(builder, x, self.config.logit_scale)
    }

    fn embedded(
        &self,
        builder: &mut Builder,
        tokens: ValueId,
        positions: ValueId,
    ) -> Result<ValueId> {
        let table = self.weights[&Place::outside(Module::Embedding)];
        let x = builder.gather(table, tokens)?;
        let x = scaled(builder, x, self.config.embedding_scale)?;
        match self.weights.get(&Place::outside(Module::Positions)) {
            Some(&table) => {
                let learned = builder.gather(table, positions)?;
                builder.add(x, learned)
            }
            None => Ok(x),
        }
    }

    fn block(
        &self,
        builder: &mut Builder,
        layer: usize,
        x: ValueId,
        positions: ValueId,
        attend: &mut Attend<'_>,
    ) -> Result<ValueId> {
        let at = |module| Place::in_layer(layer, module);
        let block = self.config.block;
        let for_attention =
            if block.has_input_norm() { self.norm(builder, x, at(Module::InputNorm))? } else { x };
        let read = self.attention(builder, layer, for_attention, positions, attend)?;
        let after = self.added(builder, x, read, at(Module::AttentionPostNorm))?;
        let for_mlp = match block {
            Block::PreNorm | Block::PreAndPostNorm => {
                self.norm(builder, after, at(Module::MlpNorm))?
            }
            Block::PostNorm => after,
            Block::Parallel => for_attention,
            Block::ParallelTwoNorms => self.norm(builder, x, at(Module::MlpNorm))?,
        };
        let made = self.mlp(builder, layer, for_mlp)?;
        self.added(builder, after, made, at(Module::MlpPostNorm))
    }

    /// x + the part of a block, normalised and multiplied where the configuration says so.
    fn added(
        &self,
        builder: &mut Builder,
        x: ValueId,
        part: ValueId,
        post_norm: Place,
    ) -> Result<ValueId> {
        let part = if self.config.block.has_post_norms() {
            self.norm(builder, part, post_norm)?
        } else {
            part
        };
        let part = scaled(builder, part, self.config.residual_scale)?;
        builder.add(x, part)
    }

    fn attention(
        &self,
        builder: &mut Builder,
        layer: usize,
        x: ValueId,
        positions: ValueId,
        attend: &mut Attend<'_>,
    ) -> Result<ValueId> {
        let at = |module| Place::in_layer(layer, module);
        let x = self.operand(builder, x)?;
        let q = self.linear(builder, x, at(Module::Query))?;
        let k = self.linear(builder, x, at(Module::Key))?;
        let v = self.linear(builder, x, at(Module::Value))?;
        let q = self.rotated(builder, q, positions, at(Module::QueryNorm))?;
        let k = self.rotated(builder, k, positions, at(Module::KeyNorm))?;
        let read = attend(builder, layer, [q, k, v])?;
        let read = self.operand(builder, read)?;
        self.linear(builder, read, at(Module::Output))
    }

    fn mlp(&self, builder: &mut Builder, layer: usize, x: ValueId) -> Result<ValueId> {
        let at = |module| Place::in_layer(layer, module);
        let kind = self.config.mlp.kind;
        let x = self.operand(builder, x)?;
        let up = self.linear(builder, x, at(Module::Up))?;
        let inner = if kind.is_gated() {
            let gate = self.linear(builder, x, at(Module::Gate))?;
            builder.gated(gate, up, kind.nonlinearity())?
        } else {
            builder.activation(up, kind.nonlinearity())?
        };
        let inner = self.operand(builder, inner)?;
        self.linear(builder, inner, at(Module::Down))
    }

    /// x·wᵀ, plus the bias if there is one, for an x that is an operand already.
    fn linear(&self, builder: &mut Builder, x: ValueId, place: Place) -> Result<ValueId> {
        let weight = self.operand(builder, self.weights[&place])?;
        let bias = self.weights.get(&place.bias()).copied();
        self.product(builder, x, weight, bias)
    }

    fn norm(&self, builder: &mut Builder, x: ValueId, place: Place) -> Result<ValueId> {
        let eps = self.config.rms_eps;
        let factors = self.factors(builder, place)?;
        match (self.config.norm, factors) {
            (Norm::Rms, factors) => builder.rms_norm(x, factors, eps),
            (Norm::Layer | Norm::LayerUnbiased, factors) => {
                let bias = self.weights.get(&place.bias()).copied();
                builder.layer_norm(x, factors.expect("validated: layer norms have them"), bias, eps)
            }
        }
    }

    /// Factors of a norm, if it has them: w or 1 + w.
    fn factors(&self, builder: &mut Builder, place: Place) -> Result<Option<ValueId>> {
        let Some(&stored) = self.weights.get(&place) else { return Ok(None) };
        if !self.config.norm_offset {
            return Ok(Some(stored));
        }
        let ones = builder.fill(builder.ty(stored).clone(), 1.0)?;
        builder.add(ones, stored).map(Some)
    }

    /// QK-norm, then rotary positions. x: [n, some heads·head_dim]
    fn rotated(
        &self,
        builder: &mut Builder,
        x: ValueId,
        positions: ValueId,
        norm: Place,
    ) -> Result<ValueId> {
        let (eps, head_dim) = (self.config.rms_eps, self.config.head_dim);
        let factors = self.factors(builder, norm)?;
        let x = match self.config.qk_norm {
            QkNorm::None => x,
            QkNorm::PerHead => builder.rms_norm_grouped(x, factors, head_dim, eps)?,
            QkNorm::OverAllHeads => builder.rms_norm(x, factors, eps)?,
            QkNorm::LayerByHead => {
                let factors = factors.expect("validated: layer norms have them");
                builder.layer_norm_grouped(x, factors, None, head_dim, eps)?
            }
        };
        let layer = norm.layer.expect("queries and keys are of a layer");
        match rope_spec(self.config, layer, self.context) {
            Some(spec) => builder.rope(x, positions, spec),
            None => Ok(x),
        }
    }
}

fn scaled(builder: &mut Builder, x: ValueId, by: Option<f32>) -> Result<ValueId> {
    by.map_or(Ok(x), |by| builder.scale(x, by))
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
        scale: config.score_scale(),
        score_cap: config.score_softcap,
    }
}

/// Attention of a layer over caches.
pub(crate) fn cached_attention_spec(config: &LanguageConfig, layer: usize) -> CachedAttentionSpec {
    CachedAttentionSpec {
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
        window: config.window(layer),
        scale: config.score_scale(),
        score_cap: config.score_softcap,
    }
}

/// Declares an `i32` data input of one dimension.
pub(crate) fn index_data(builder: &mut Builder, name: &str, n: usize) -> Result<ValueId> {
    builder.data(name, TensorType::i32([n]))
}
