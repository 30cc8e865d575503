//! Reverse-mode gradients as a graph-to-graph transform: each op names its backward as ops of the
//! same vocabulary. Recomputation (activation checkpointing, arXiv 1604.06174) is a policy of the
//! transform: forward values it does not keep are recomputed where the backward pass needs them.
//! First order only: optimizer, cache and backward ops have no gradient. The gradient of an input of
//! the program is f32 whatever the type of the input, so that terms of several uses add up
//! unrounded; that of an activation has the activation's type.

use std::collections::BTreeMap;

use crate::{
    AttentionSpec, Builder, DType, GraphError, Node, Op, RecomputeClass, RopeSpec, TensorType,
    ValueId,
};

type Result<T> = std::result::Result<T, GraphError>;

/// Which forward values are recomputed in the backward pass instead of being kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recompute {
    /// All needed values are kept.
    Nothing,
    /// Row-wise values (norms, activations, scalings) are recomputed: a few percent of time.
    #[default]
    Cheap,
    /// Also projections that do not end in the residual stream (q, k, v, gate, up) and their
    /// rotations: about a sixth more arithmetic.
    Projections,
    /// Everything but the residual stream, attention included: about a third more arithmetic.
    Blocks,
}

impl Recompute {
    /// Whether the results of `node` are recomputed rather than kept.
    fn recomputes(self, node: &Node, class_of: impl Fn(ValueId) -> Option<RecomputeClass>) -> bool {
        match node.op.facts().recompute {
            RecomputeClass::RowWise => self >= Recompute::Cheap,
            // The backward of a rotation does not need its input, so keeping the rotated value
            // frees the projection. After QK-norm the projection is kept for the norm anyway.
            RecomputeClass::Rotation => {
                let frees_projection =
                    || class_of(node.inputs[0]) == Some(RecomputeClass::Projection);
                self >= Recompute::Projections || self == Recompute::Cheap && !frees_projection()
            }
            RecomputeClass::Projection => self >= Recompute::Projections,
            RecomputeClass::Attention => self == Recompute::Blocks,
            RecomputeClass::Kept => false,
        }
    }
}

/// Result of [`gradients`].
#[derive(Clone, Debug)]
pub struct Gradients {
    /// Gradient of the loss by each value asked for, in that order.
    pub values: Vec<ValueId>,
    substitutes: BTreeMap<ValueId, ValueId>,
}

impl Gradients {
    /// The value to use in place of a forward value: the backward pass makes some (loss, nll)
    /// again for free, and a program that uses those drops the forward node.
    pub fn current(&self, value: ValueId) -> ValueId {
        self.substitutes.get(&value).copied().unwrap_or(value)
    }
}

/// Appends the backward pass of the scalar `loss` and returns its gradient by each of `wrt`.
/// `accumulators`, when not empty, gives for each of `wrt` a value the gradient is added to.
///
/// # Errors
/// When `loss` is not an `f32` scalar, does not depend on one of `wrt`, or passes through a result
/// without gradient.
pub fn gradients(
    builder: &mut Builder,
    loss: ValueId,
    wrt: &[ValueId],
    accumulators: &[ValueId],
    recompute: Recompute,
) -> Result<Gradients> {
    if *builder.ty(loss) != TensorType::scalar() {
        let found = builder.ty(loss);
        return Err(GraphError::Gradient(format!("the loss must be an f32 scalar, is {found}")));
    }
    if !accumulators.is_empty() && accumulators.len() != wrt.len() {
        let (a, w) = (accumulators.len(), wrt.len());
        return Err(GraphError::Gradient(format!("{a} accumulators for {w} values")));
    }
    if let Some(i) = (1..accumulators.len()).find(|&i| wrt[..i].contains(&wrt[i])) {
        let message = format!("value {i} of wrt stands twice; give each value one accumulator");
        return Err(GraphError::Gradient(message));
    }
    let forward = builder.program().nodes().to_vec();
    let producers = producers(&forward);
    // An input's gradient starts at its accumulator. A value made by a node passes its gradient on:
    // what is accumulated there must not flow with it.
    let accumulated = || wrt.iter().copied().zip(accumulators.iter().copied());
    let mut pass = Pass {
        active: reaches(builder, &forward, wrt),
        grads: accumulated().filter(|(v, _)| !producers.contains_key(v)).collect(),
        producers,
        forward: &forward,
        recomputed: BTreeMap::new(),
        substitutes: BTreeMap::new(),
        recompute,
        builder,
    };
    if !pass.active[loss.index()] {
        return Err(GraphError::Gradient("the loss depends on none of the values".into()));
    }
    let one = pass.builder.fill(TensorType::scalar(), 1.0)?;
    pass.contribute(loss, one)?;
    for node in forward.iter().rev() {
        pass.backward(node)?;
    }
    for (value, accumulator) in accumulated() {
        if pass.producers.contains_key(&value) {
            pass.contribute(value, accumulator)?;
        }
    }
    let values = wrt
        .iter()
        .enumerate()
        .map(|(i, v)| match pass.grads.get(v) {
            Some(&g) => Ok(g),
            None => {
                Err(GraphError::Gradient(format!("the loss does not depend on value {i} of wrt")))
            }
        })
        .collect::<Result<_>>()?;
    Ok(Gradients { values, substitutes: pass.substitutes })
}

/// Which values depend on one of `wrt`.
fn reaches(builder: &Builder, forward: &[Node], wrt: &[ValueId]) -> Vec<bool> {
    let mut active = vec![false; builder.program().types().len()];
    wrt.iter().for_each(|v| active[v.index()] = true);
    for node in forward {
        if node.inputs.iter().any(|v| active[v.index()]) {
            node.outputs.iter().for_each(|v| active[v.index()] = true);
        }
    }
    active
}

fn producers(forward: &[Node]) -> BTreeMap<ValueId, usize> {
    let of =
        |(i, node): (usize, &Node)| node.outputs.iter().map(move |&v| (v, i)).collect::<Vec<_>>();
    forward.iter().enumerate().flat_map(of).collect()
}

/// State of one backward pass.
struct Pass<'a> {
    builder: &'a mut Builder,
    forward: &'a [Node],
    producers: BTreeMap<ValueId, usize>,
    /// Values that depend on what gradients are wanted for.
    active: Vec<bool>,
    /// Gradient so far, by value.
    grads: BTreeMap<ValueId, ValueId>,
    /// Forward values recomputed.
    recomputed: BTreeMap<ValueId, ValueId>,
    substitutes: BTreeMap<ValueId, ValueId>,
    recompute: Recompute,
}

impl Pass<'_> {
    /// A forward value, kept or recomputed.
    fn kept_or_recomputed(&mut self, value: ValueId) -> Result<ValueId> {
        let Some(&at) = self.producers.get(&value) else { return Ok(value) };
        let node = &self.forward[at];
        let class_of =
            |v: ValueId| self.producers.get(&v).map(|&i| self.forward[i].op.facts().recompute);
        if !self.recompute.recomputes(node, class_of) {
            return Ok(value);
        }
        if let Some(&recomputed) = self.recomputed.get(&value) {
            return Ok(recomputed);
        }
        let inputs =
            node.inputs.iter().map(|&v| self.kept_or_recomputed(v)).collect::<Result<Vec<_>>>()?;
        let outputs = self.builder.add_node(node.op.clone(), &inputs)?;
        self.recomputed.extend(node.outputs.iter().copied().zip(outputs));
        Ok(self.recomputed[&value])
    }

    fn wants(&self, value: ValueId) -> bool {
        self.active[value.index()]
    }

    /// Type of the gradient of `value`: that of an activation, f32 for masters, and for what is cast
    /// that of the original, so that it is not rounded on its way there.
    fn gradient_dtype(&self, value: ValueId) -> DType {
        let Some(&at) = self.producers.get(&value) else { return DType::F32 };
        let (node, dtype) = (&self.forward[at], self.builder.ty(value).dtype);
        if matches!(node.op, Op::Cast { .. }) {
            return self.gradient_dtype(node.inputs[0]);
        }
        if dtype.is_float() { dtype } else { DType::F32 }
    }

    /// `value` in element type `dtype`.
    fn cast(&mut self, value: ValueId, dtype: DType) -> Result<ValueId> {
        if self.builder.ty(value).dtype == dtype {
            return Ok(value);
        }
        self.builder.cast(value, dtype)
    }

    /// Adds `term` to the gradient of `value`.
    fn contribute(&mut self, value: ValueId, term: ValueId) -> Result<()> {
        if !self.wants(value) {
            return Ok(());
        }
        let term = self.cast(term, self.gradient_dtype(value))?;
        let sum = match self.grads.get(&value) {
            Some(&so_far) => self.builder.add(so_far, term)?,
            None => term,
        };
        self.grads.insert(value, sum);
        Ok(())
    }

    /// Appends the backward of one node, if its results have a gradient.
    fn backward(&mut self, node: &Node) -> Result<()> {
        let dys: Vec<Option<ValueId>> =
            node.outputs.iter().map(|v| self.grads.get(v).copied()).collect();
        if let Some(output) = dys.iter().skip(1).position(Option::is_some) {
            return Err(GraphError::NotDifferentiable { op: node.op.name(), output: output + 1 });
        }
        let Some(dy) = dys.first().copied().flatten() else { return Ok(()) };
        let inputs = &node.inputs;
        match &node.op {
            Op::Fill { .. } => Ok(()),
            Op::Reshape { .. } => {
                let shape = self.builder.ty(inputs[0]).shape.clone();
                let dx = self.builder.reshape(dy, shape)?;
                self.contribute(inputs[0], dx)
            }
            Op::Cast { .. } => self.contribute(inputs[0], dy),
            Op::Add => inputs.iter().try_for_each(|&v| self.contribute(v, dy)),
            Op::Mul => {
                for (this, other) in [(inputs[0], inputs[1]), (inputs[1], inputs[0])] {
                    if self.wants(this) {
                        let other = self.kept_or_recomputed(other)?;
                        let term = self.builder.mul(dy, other)?;
                        self.contribute(this, term)?;
                    }
                }
                Ok(())
            }
            Op::Scale { by } => {
                let dx = self.builder.scale(dy, *by)?;
                self.contribute(inputs[0], dx)
            }
            Op::Activation(f) => self.unary(inputs[0], dy, Op::ActivationBackward(*f)),
            Op::MatMul { transpose_a, transpose_b, bias, result: _ } => {
                if *bias {
                    self.bias(inputs[2], dy)?;
                }
                self.matmul(inputs, dy, *transpose_a, *transpose_b)
            }
            Op::RmsNorm { group, eps, weighted } => self.norm(inputs, dy, *group, *eps, *weighted),
            Op::Rope(spec) => {
                let spec = RopeSpec { inverse: !spec.inverse, ..spec.clone() };
                let dx = self.builder.rope(dy, inputs[1], spec)?;
                self.contribute(inputs[0], dx)
            }
            Op::Attention { spec, segmented } => self.attention(node, dy, spec, *segmented),
            Op::Gated(f) => {
                let (gate, up) =
                    (self.kept_or_recomputed(inputs[0])?, self.kept_or_recomputed(inputs[1])?);
                let d = self.builder.add_node(Op::GatedBackward(*f), &[gate, up, dy])?;
                self.contribute(inputs[0], d[0])?;
                self.contribute(inputs[1], d[1])
            }
            Op::Gather => {
                let rows = self.builder.ty(inputs[0]).shape[0];
                if self.wants(inputs[0]) {
                    let dy = self.cast(dy, DType::F32)?;
                    let table = self.builder.one(Op::GatherBackward { rows }, &[inputs[1], dy])?;
                    self.contribute(inputs[0], table)?;
                }
                Ok(())
            }
            Op::CrossEntropy { softcap } => self.cross_entropy(node, dy, *softcap),
            Op::MeanSquaredError => {
                self.constant_weights(node, 2)?;
                let (prediction, target) =
                    (self.kept_or_recomputed(inputs[0])?, self.kept_or_recomputed(inputs[1])?);
                let op = Op::MeanSquaredErrorBackward;
                let dx = self.builder.one(op, &[prediction, target, inputs[2], dy])?;
                self.contribute(inputs[0], dx)?;
                if self.wants(inputs[1]) {
                    let negative = self.builder.scale(dx, -1.0)?;
                    self.contribute(inputs[1], negative)?;
                }
                Ok(())
            }
            Op::RmsNormBackward { .. }
            | Op::AttentionBackward { .. }
            | Op::ActivationBackward(_)
            | Op::GatedBackward(_)
            | Op::GatherBackward { .. }
            | Op::CrossEntropyBackward { .. }
            | Op::MeanSquaredErrorBackward
            | Op::GlobalNorm
            | Op::ClipFactor { .. }
            | Op::AdamW(_)
            | Op::Muon(_)
            | Op::KvAppend
            | Op::CachedAttention(_) => {
                Err(GraphError::NotDifferentiable { op: node.op.name(), output: 0 })
            }
        }
    }

    /// Refuses weights of a loss, its input `at`, that depend on what gradients are wanted for.
    fn constant_weights(&self, node: &Node, at: usize) -> Result<()> {
        if self.wants(node.inputs[at]) {
            let message = format!("{} has no gradient by its weights", node.op.name());
            return Err(GraphError::Gradient(message));
        }
        Ok(())
    }

    /// Backward of a pointwise op of one input: `op` takes (x, dy).
    fn unary(&mut self, x: ValueId, dy: ValueId, op: Op) -> Result<()> {
        let saved = self.kept_or_recomputed(x)?;
        let dx = self.builder.one(op, &[saved, dy])?;
        self.contribute(x, dx)
    }

    /// Gradient of a bias added to each row: dy summed over its rows, which is 1·dy.
    fn bias(&mut self, bias: ValueId, dy: ValueId) -> Result<()> {
        if !self.wants(bias) {
            return Ok(());
        }
        let [rows, n] = self.builder.ty(dy).shape[..] else { return Ok(()) };
        let ones = self.builder.fill(TensorType::f32([1, rows]), 1.0)?;
        let sum = self.builder.matmul(ones, dy, false, false)?;
        let sum = self.builder.reshape(sum, [n])?;
        self.contribute(bias, sum)
    }

    fn matmul(&mut self, inputs: &[ValueId], dy: ValueId, ta: bool, tb: bool) -> Result<()> {
        let product = |transpose_a, transpose_b, result| Op::MatMul {
            transpose_a,
            transpose_b,
            bias: false,
            result,
        };
        let (a, b) = (inputs[0], inputs[1]);
        let (a_dtype, b_dtype) = (self.gradient_dtype(a), self.gradient_dtype(b));
        // Of a product of bf16, both products of the backward pass are of bf16 too.
        let narrow = [a, b].iter().all(|&v| self.builder.ty(v).dtype == DType::BF16);
        let dy = if narrow { self.cast(dy, DType::BF16)? } else { dy };
        // With A = op(a), B = op(b): dA = dY·Bᵀ and dB = Aᵀ·dY, transposed back where op did.
        if self.wants(b) {
            let a = self.kept_or_recomputed(a)?;
            let db = if tb {
                self.builder.one(product(true, ta, b_dtype), &[dy, a])?
            } else {
                self.builder.one(product(!ta, false, b_dtype), &[a, dy])?
            };
            self.contribute(b, db)?;
        }
        if self.wants(a) {
            let mut b = self.kept_or_recomputed(b)?;
            let da = if ta {
                // On the left of a product an activation stands.
                b = self.cast(b, self.builder.ty(dy).dtype)?;
                self.builder.one(product(tb, true, a_dtype), &[b, dy])?
            } else {
                self.builder.one(product(false, !tb, a_dtype), &[dy, b])?
            };
            self.contribute(a, da)?;
        }
        Ok(())
    }

    fn norm(
        &mut self,
        inputs: &[ValueId],
        dy: ValueId,
        group: usize,
        eps: f32,
        weighted: bool,
    ) -> Result<()> {
        let mut given = vec![self.kept_or_recomputed(inputs[0])?, dy];
        given.extend(weighted.then(|| inputs[1]));
        let d = self.builder.add_node(Op::RmsNormBackward { group, eps, weighted }, &given)?;
        self.contribute(inputs[0], d[0])?;
        if weighted { self.contribute(inputs[1], d[1]) } else { Ok(()) }
    }

    fn attention(
        &mut self,
        node: &Node,
        dy: ValueId,
        spec: &AttentionSpec,
        segmented: bool,
    ) -> Result<()> {
        let mut given = Vec::with_capacity(7);
        for &v in node.inputs[..3].iter().chain(&node.outputs) {
            given.push(self.kept_or_recomputed(v)?);
        }
        given.push(dy);
        given.extend(segmented.then(|| node.inputs[3]));
        let op = Op::AttentionBackward { spec: spec.clone(), segmented };
        let d = self.builder.add_node(op, &given)?;
        (0..3).try_for_each(|i| self.contribute(node.inputs[i], d[i]))
    }

    fn cross_entropy(&mut self, node: &Node, dy: ValueId, softcap: Option<f32>) -> Result<()> {
        self.constant_weights(node, 3)?;
        let inputs = &node.inputs;
        let (x, w) = (self.kept_or_recomputed(inputs[0])?, self.kept_or_recomputed(inputs[1])?);
        let given = [x, w, inputs[2], inputs[3], dy];
        let d = self.builder.add_node(Op::CrossEntropyBackward { softcap }, &given)?;
        self.contribute(inputs[0], d[0])?;
        self.contribute(inputs[1], d[1])?;
        self.substitutes.insert(node.outputs[0], d[2]);
        self.substitutes.insert(node.outputs[1], d[3]);
        Ok(())
    }
}
