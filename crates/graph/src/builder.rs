//! Makes programs: adds nodes one by one, checking types. One short method per op.

use crate::shape_rules::output_types;
use crate::{
    AdamWSpec, AttentionSpec, CachedAttentionSpec, DType, GraphError, Input, InputKind, MuonSpec,
    Node, Nonlinearity, Op, Output, Program, RopeSpec, TensorType, ValueId,
};

type Result<T> = std::result::Result<T, GraphError>;

/// A program under construction.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    pub(crate) program: Program,
}

/// Where tokens lie in paged caches: inputs of [`Op::KvAppend`] and [`Op::CachedAttention`].
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// Pages of each sequence, i32 [m, k].
    pub table: ValueId,
    /// Sequence of each token, a row of the table, i32 \[n\].
    pub sequences: ValueId,
    /// Position of each token in its sequence, i32 \[n\].
    pub positions: ValueId,
}

impl Builder {
    /// An empty program.
    pub fn new() -> Self {
        Self::default()
    }

    /// Type of a value made so far.
    pub fn ty(&self, value: ValueId) -> &TensorType {
        self.program.ty(value)
    }

    /// The program so far.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Declares a state input: a parameter, a moment, a cache.
    ///
    /// # Errors
    /// [`GraphError::DuplicateName`], [`GraphError::TooLarge`].
    pub fn state(&mut self, name: impl Into<String>, ty: TensorType) -> Result<ValueId> {
        self.input(name.into(), InputKind::State, ty)
    }

    /// Declares an input given for each run.
    ///
    /// # Errors
    /// [`GraphError::DuplicateName`], [`GraphError::TooLarge`].
    pub fn data(&mut self, name: impl Into<String>, ty: TensorType) -> Result<ValueId> {
        self.input(name.into(), InputKind::Data, ty)
    }

    /// Returns `value` to the caller of each run under `name`.
    ///
    /// # Errors
    /// [`GraphError::DuplicateName`].
    pub fn returns(&mut self, name: impl Into<String>, value: ValueId) -> Result<()> {
        let name = name.into();
        let taken = |o: &Output| matches!(o, Output::Returned { name: n, .. } if *n == name);
        if self.program.outputs.iter().any(taken) {
            return Err(GraphError::DuplicateName(name));
        }
        self.program.outputs.push(Output::Returned { name, value });
        Ok(())
    }

    /// Makes `value` the new content of the state input `state`.
    ///
    /// # Errors
    /// [`GraphError::UnknownName`] when there is no such state, [`GraphError::Binding`] when the
    /// types differ, [`GraphError::DuplicateName`] when it is updated already.
    pub fn updates(&mut self, state: &str, value: ValueId) -> Result<()> {
        let input = self.program.input(state)?;
        if input.kind != InputKind::State {
            let states = self.program.inputs.iter().filter(|i| i.kind == InputKind::State);
            return Err(GraphError::UnknownName {
                kind: "state",
                name: state.to_owned(),
                known: states.map(|i| i.name.as_str()).collect::<Vec<_>>().join(", "),
            });
        }
        let expected = self.ty(input.value).clone();
        if expected != *self.ty(value) {
            let found = self.ty(value).clone();
            return Err(GraphError::Binding { name: state.to_owned(), expected, found });
        }
        let taken = |o: &Output| matches!(o, Output::Updates { state: s, .. } if s == state);
        if self.program.outputs.iter().any(taken) {
            return Err(GraphError::DuplicateName(state.to_owned()));
        }
        self.program.outputs.push(Output::Updates { state: state.to_owned(), value });
        Ok(())
    }

    /// Adds a node; the values of its outputs.
    ///
    /// # Errors
    /// The op's shape rule, with both shapes.
    pub fn add_node(&mut self, op: Op, inputs: &[ValueId]) -> Result<Vec<ValueId>> {
        let types: Vec<&TensorType> = inputs.iter().map(|&v| self.program.ty(v)).collect();
        let types = output_types(&op, &types)?;
        let outputs: Vec<ValueId> = types.into_iter().map(|ty| self.value(ty)).collect();
        self.program.nodes.push(Node { op, inputs: inputs.to_vec(), outputs: outputs.clone() });
        Ok(outputs)
    }

    /// The finished program, without nodes that reach no output.
    pub fn finish(self) -> Program {
        self.program.without_dead_nodes()
    }

    fn input(&mut self, name: String, kind: InputKind, ty: TensorType) -> Result<ValueId> {
        if self.program.inputs.iter().any(|i| i.name == name) {
            return Err(GraphError::DuplicateName(name));
        }
        let value = self.value(ty.checked()?);
        self.program.inputs.push(Input { name, kind, value });
        Ok(value)
    }

    fn value(&mut self, ty: TensorType) -> ValueId {
        let id = u32::try_from(self.program.types.len()).expect("fewer than 2^32 values");
        self.program.types.push(ty);
        ValueId(id)
    }

    pub(crate) fn one(&mut self, op: Op, inputs: &[ValueId]) -> Result<ValueId> {
        Ok(self.add_node(op, inputs)?[0])
    }
}

/// One method per op. Inputs and results are those of the variant of [`Op`]; each can fail with
/// that op's shape rule.
#[allow(clippy::missing_errors_doc)]
impl Builder {
    /// See [`Op::Fill`].
    pub fn fill(&mut self, ty: TensorType, value: f32) -> Result<ValueId> {
        self.one(Op::Fill { ty, value }, &[])
    }

    /// See [`Op::Reshape`].
    pub fn reshape(&mut self, x: ValueId, shape: impl Into<Vec<usize>>) -> Result<ValueId> {
        self.one(Op::Reshape { shape: shape.into() }, &[x])
    }

    /// See [`Op::Cast`].
    pub fn cast(&mut self, x: ValueId, dtype: DType) -> Result<ValueId> {
        self.one(Op::Cast { dtype }, &[x])
    }

    /// See [`Op::Add`].
    pub fn add(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.one(Op::Add, &[a, b])
    }

    /// See [`Op::Mul`].
    pub fn mul(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.one(Op::Mul, &[a, b])
    }

    /// See [`Op::Scale`].
    pub fn scale(&mut self, x: ValueId, by: f32) -> Result<ValueId> {
        self.one(Op::Scale { by }, &[x])
    }

    /// x [tokens, in] · wᵀ with w [out, in]: a linear layer without bias.
    pub fn linear(&mut self, x: ValueId, w: ValueId) -> Result<ValueId> {
        self.linear_in(x, w, self.ty(x).dtype)
    }

    /// [`Builder::linear`] with its result in a type of its own, such as f32 for operands of bf16.
    pub fn linear_in(&mut self, x: ValueId, w: ValueId, result: DType) -> Result<ValueId> {
        self.linear_biased(x, w, None, result)
    }

    /// [`Builder::linear_in`], plus a bias f32 \[out\] where there is one.
    pub fn linear_biased(
        &mut self,
        x: ValueId,
        w: ValueId,
        bias: Option<ValueId>,
        result: DType,
    ) -> Result<ValueId> {
        let (transpose_a, transpose_b) = (false, true);
        let op = Op::MatMul { transpose_a, transpose_b, bias: bias.is_some(), result };
        let inputs: Vec<ValueId> = [Some(x), Some(w), bias].into_iter().flatten().collect();
        self.one(op, &inputs)
    }

    /// residual + x·wᵀ, in the type of the residual.
    pub fn linear_residual(
        &mut self,
        x: ValueId,
        w: ValueId,
        residual: ValueId,
    ) -> Result<ValueId> {
        let product = self.linear_in(x, w, self.ty(residual).dtype)?;
        self.add(residual, product)
    }

    /// See [`Op::MatMul`], without a bias; the result has the type of a.
    pub fn matmul(
        &mut self,
        a: ValueId,
        b: ValueId,
        transpose_a: bool,
        transpose_b: bool,
    ) -> Result<ValueId> {
        let result = self.ty(a).dtype;
        self.one(Op::MatMul { transpose_a, transpose_b, bias: false, result }, &[a, b])
    }

    /// RMSNorm over the last dimension. See [`Op::RmsNorm`].
    pub fn rms_norm(&mut self, x: ValueId, w: Option<ValueId>, eps: f32) -> Result<ValueId> {
        let group = self.ty(x).last();
        self.rms_norm_grouped(x, w, group, eps)
    }

    /// RMSNorm over each `group` features. See [`Op::RmsNorm`].
    pub fn rms_norm_grouped(
        &mut self,
        x: ValueId,
        w: Option<ValueId>,
        group: usize,
        eps: f32,
    ) -> Result<ValueId> {
        let inputs: Vec<ValueId> = [Some(x), w].into_iter().flatten().collect();
        self.one(Op::RmsNorm { group, eps, weighted: w.is_some() }, &inputs)
    }

    /// Layer normalisation over the last dimension. See [`Op::LayerNorm`].
    pub fn layer_norm(
        &mut self,
        x: ValueId,
        scale: ValueId,
        bias: Option<ValueId>,
        eps: f32,
    ) -> Result<ValueId> {
        self.layer_norm_grouped(x, scale, bias, self.ty(x).last(), eps)
    }

    /// Layer normalisation over each `group` features. See [`Op::LayerNorm`].
    pub fn layer_norm_grouped(
        &mut self,
        x: ValueId,
        scale: ValueId,
        bias: Option<ValueId>,
        group: usize,
        eps: f32,
    ) -> Result<ValueId> {
        let op = Op::LayerNorm { group, eps, biased: bias.is_some() };
        let inputs: Vec<ValueId> = [Some(x), Some(scale), bias].into_iter().flatten().collect();
        self.one(op, &inputs)
    }

    /// See [`Op::Rope`].
    pub fn rope(&mut self, x: ValueId, positions: ValueId, spec: RopeSpec) -> Result<ValueId> {
        self.one(Op::Rope(spec), &[x, positions])
    }

    /// See [`Op::Attention`]; returns (out, lse).
    pub fn attention(
        &mut self,
        q: ValueId,
        k: ValueId,
        v: ValueId,
        segments: Option<ValueId>,
        spec: AttentionSpec,
    ) -> Result<(ValueId, ValueId)> {
        let inputs: Vec<ValueId> =
            [Some(q), Some(k), Some(v), segments].into_iter().flatten().collect();
        let out = self.add_node(Op::Attention { spec, segmented: segments.is_some() }, &inputs)?;
        Ok((out[0], out[1]))
    }

    /// See [`Op::Activation`].
    pub fn activation(&mut self, x: ValueId, f: Nonlinearity) -> Result<ValueId> {
        self.one(Op::Activation(f), &[x])
    }

    /// See [`Op::Gated`].
    pub fn gated(&mut self, gate: ValueId, up: ValueId, f: Nonlinearity) -> Result<ValueId> {
        self.one(Op::Gated(f), &[gate, up])
    }

    /// See [`Op::Gather`].
    pub fn gather(&mut self, table: ValueId, ids: ValueId) -> Result<ValueId> {
        self.one(Op::Gather, &[table, ids])
    }

    /// See [`Op::CrossEntropy`]; returns (loss, nll).
    pub fn cross_entropy(
        &mut self,
        x: ValueId,
        w: ValueId,
        targets: ValueId,
        weights: ValueId,
        softcap: Option<f32>,
    ) -> Result<(ValueId, ValueId)> {
        let out = self.add_node(Op::CrossEntropy { softcap }, &[x, w, targets, weights])?;
        Ok((out[0], out[1]))
    }

    /// See [`Op::MeanSquaredError`].
    pub fn mean_squared_error(
        &mut self,
        prediction: ValueId,
        target: ValueId,
        weights: ValueId,
    ) -> Result<ValueId> {
        self.one(Op::MeanSquaredError, &[prediction, target, weights])
    }

    /// See [`Op::GlobalNorm`].
    pub fn global_norm(&mut self, tensors: &[ValueId]) -> Result<ValueId> {
        self.one(Op::GlobalNorm, tensors)
    }

    /// See [`Op::ClipFactor`].
    pub fn clip_factor(&mut self, norm: ValueId, limit: ValueId, max_norm: f32) -> Result<ValueId> {
        self.one(Op::ClipFactor { max_norm }, &[norm, limit])
    }

    /// See [`Op::AdamW`]: inputs p, g, m, v, lr, step, factor; returns [p, m, v].
    pub fn adamw(&mut self, inputs: [ValueId; 7], spec: AdamWSpec) -> Result<[ValueId; 3]> {
        let out = self.add_node(Op::AdamW(spec), &inputs)?;
        Ok([out[0], out[1], out[2]])
    }

    /// See [`Op::Muon`]: inputs p, g, buffer, lr, momentum, factor; returns [p, buffer].
    pub fn muon(&mut self, inputs: [ValueId; 6], spec: MuonSpec) -> Result<[ValueId; 2]> {
        let out = self.add_node(Op::Muon(spec), &inputs)?;
        Ok([out[0], out[1]])
    }

    /// See [`Op::KvAppend`].
    pub fn kv_append(&mut self, cache: ValueId, new: ValueId, places: Places) -> Result<ValueId> {
        let Places { table, sequences, positions } = places;
        self.one(Op::KvAppend, &[cache, new, table, sequences, positions])
    }

    /// See [`Op::CachedAttention`].
    pub fn cached_attention(
        &mut self,
        q: ValueId,
        caches: (ValueId, ValueId),
        places: Places,
        spec: CachedAttentionSpec,
    ) -> Result<ValueId> {
        let Places { table, sequences, positions } = places;
        self.one(Op::CachedAttention(spec), &[q, caches.0, caches.1, table, sequences, positions])
    }
}
