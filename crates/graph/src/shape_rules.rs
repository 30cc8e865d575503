//! The type of every op's results from the types of its inputs, or why it does not fit.
//! The one place that knows arity, ranks and dtypes.

use crate::{AttentionSpec, DType, GraphError, Op, RopeSpec, TensorType};

type Result<T> = std::result::Result<T, GraphError>;

/// Types of the results of `op` on inputs of these types.
///
/// # Errors
/// What does not fit, with the types involved.
pub fn output_types(op: &Op, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
    let types = types_by_rule(op, inputs)?;
    types.into_iter().map(TensorType::checked).collect()
}

fn types_by_rule(op: &Op, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
    let rule = Rule { op: op.name(), inputs };
    match op {
        Op::Fill { ty, .. } => {
            rule.arity(0)?;
            rule.attribute(!ty.dtype.is_quantised(), || {
                format!("fills numbers, not {}", ty.dtype)
            })?;
            Ok(vec![ty.clone()])
        }
        Op::Reshape { shape } => {
            rule.arity(1)?;
            let ty = TensorType::new(inputs[0].dtype, shape.clone()).checked()?;
            rule.require(
                ty.elements() == inputs[0].elements(),
                "element counts differ",
                inputs[0],
                &ty,
            )?;
            Ok(vec![ty])
        }
        Op::Cast { dtype } => {
            rule.arity(1)?;
            rule.weight(0, "x")?;
            rule.attribute(dtype.is_float(), || format!("casts to float types, not {dtype}"))?;
            Ok(vec![TensorType::new(*dtype, inputs[0].shape.clone())])
        }
        Op::Add | Op::Mul | Op::ActivationBackward(_) | Op::Swiglu => rule.pointwise(2),
        Op::Scale { .. } | Op::Activation(_) => rule.pointwise(1),
        Op::SoftCap { cap } => {
            rule.positive("cap", *cap)?;
            rule.pointwise(1)
        }
        Op::SoftCapBackward { cap } => {
            rule.positive("cap", *cap)?;
            rule.pointwise(2)
        }
        Op::SwigluBackward => {
            rule.arity(3)?;
            rule.f32(0, "gate")?;
            rule.same(0, 1)?;
            rule.same(0, 2)?;
            Ok(vec![inputs[0].clone(), inputs[0].clone()])
        }
        Op::MatMul { transpose_a, transpose_b, accumulate } => {
            rule.matmul(*transpose_a, *transpose_b, *accumulate)
        }
        Op::RmsNorm { group, weighted, .. } => {
            rule.arity(1 + usize::from(*weighted))?;
            rule.norm(*group, weighted.then_some(1))?;
            Ok(vec![inputs[0].clone()])
        }
        Op::RmsNormBackward { group, weighted, accumulate, .. } => {
            rule.arity(2 + usize::from(*weighted) + usize::from(*accumulate))?;
            rule.norm(*group, weighted.then_some(2))?;
            rule.same(0, 1)?;
            if *accumulate {
                rule.same(0, inputs.len() - 1)?;
            }
            let mut outputs = vec![inputs[0].clone()];
            outputs.extend(weighted.then(|| inputs[2].clone()));
            Ok(outputs)
        }
        Op::Rope(spec) => rule.rope(spec),
        Op::Attention { spec, segmented } => {
            rule.arity(3 + usize::from(*segmented))?;
            rule.attention(spec, segmented.then_some(3))?;
            let lse = TensorType::f32([inputs[0].shape[0], spec.heads]);
            Ok(vec![inputs[0].clone(), lse])
        }
        Op::AttentionBackward { spec, segmented } => {
            rule.arity(6 + usize::from(*segmented))?;
            rule.attention(spec, segmented.then_some(6))?;
            rule.same(0, 3)?;
            rule.is(4, "lse", DType::F32, &[inputs[0].shape[0], spec.heads])?;
            rule.same(0, 5)?;
            Ok(inputs[..3].iter().map(|&t| t.clone()).collect())
        }
        Op::Gather => {
            rule.arity(2)?;
            rule.weight(0, "table")?;
            rule.rank(0, "table", 2)?;
            rule.rank(1, "ids", 1)?;
            rule.is(1, "ids", DType::I32, &inputs[1].shape.clone())?;
            Ok(vec![TensorType::f32([inputs[1].shape[0], inputs[0].shape[1]])])
        }
        Op::GatherBackward { rows, accumulate } => {
            rule.arity(2 + usize::from(*accumulate))?;
            rule.rank(1, "dy", 2)?;
            rule.f32(1, "dy")?;
            rule.is(0, "ids", DType::I32, &[inputs[1].shape[0]])?;
            let table = [*rows, inputs[1].shape[1]];
            if *accumulate {
                rule.is(2, "c", DType::F32, &table)?;
            }
            Ok(vec![TensorType::f32(table)])
        }
        Op::CrossEntropy { softcap } => {
            rule.arity(4)?;
            rule.cross_entropy(*softcap)?;
            Ok(vec![TensorType::scalar(), TensorType::f32([inputs[0].shape[0]])])
        }
        Op::CrossEntropyBackward { softcap, accumulate } => {
            rule.arity(5 + usize::from(*accumulate))?;
            rule.cross_entropy(*softcap)?;
            rule.is(4, "dloss", DType::F32, &[])?;
            let dw = TensorType::f32(inputs[1].shape.clone());
            if *accumulate {
                rule.is(5, "c", DType::F32, &dw.shape)?;
            }
            let nll = TensorType::f32([inputs[0].shape[0]]);
            Ok(vec![inputs[0].clone(), dw, TensorType::scalar(), nll])
        }
        Op::MeanSquaredError => {
            rule.arity(3)?;
            rule.squared_error()?;
            Ok(vec![TensorType::scalar()])
        }
        Op::MeanSquaredErrorBackward => {
            rule.arity(4)?;
            rule.squared_error()?;
            rule.is(3, "dloss", DType::F32, &[])?;
            Ok(vec![inputs[0].clone()])
        }
        Op::GlobalNorm => {
            rule.attribute(!inputs.is_empty(), || "needs at least one tensor".into())?;
            (0..inputs.len()).try_for_each(|i| rule.f32(i, "tensor"))?;
            Ok(vec![TensorType::scalar()])
        }
        Op::ClipFactor { max_norm } => {
            rule.arity(2)?;
            rule.positive("max_norm", *max_norm)?;
            rule.is(0, "norm", DType::F32, &[])?;
            rule.is(1, "limit", DType::F32, &[])?;
            Ok(vec![TensorType::scalar()])
        }
        Op::AdamW(_) => {
            rule.arity(7)?;
            rule.f32(0, "p")?;
            (1..4).try_for_each(|i| rule.same(0, i))?;
            (4..7).try_for_each(|i| rule.is(i, "lr, step, factor", DType::F32, &[]))?;
            Ok(vec![inputs[0].clone(); 3])
        }
        Op::Muon(spec) => {
            rule.arity(6)?;
            rule.f32(0, "p")?;
            rule.rank(0, "p", 2)?;
            (1..3).try_for_each(|i| rule.same(0, i))?;
            (3..6).try_for_each(|i| rule.is(i, "lr, momentum, factor", DType::F32, &[]))?;
            rule.attribute(spec.iterations > 0, || "needs at least one iteration".into())?;
            Ok(vec![inputs[0].clone(); 2])
        }
        Op::KvAppend => {
            rule.arity(4)?;
            rule.float(0, "cache")?;
            rule.rank(0, "cache", 3)?;
            rule.rank(1, "new", 2)?;
            let n = inputs[1].shape[0];
            rule.is(1, "new", DType::F32, &[n, inputs[0].shape[2]])?;
            rule.is(2, "slots", DType::I32, &[n])?;
            rule.is(3, "positions", DType::I32, &[n])?;
            Ok(vec![inputs[0].clone()])
        }
        Op::CachedAttention(spec) => rule.cached_attention(spec),
    }
}

/// The inputs of one op, and the checks its rule is made of.
struct Rule<'a> {
    op: &'static str,
    inputs: &'a [&'a TensorType],
}

impl Rule<'_> {
    fn arity(&self, expected: usize) -> Result<()> {
        if self.inputs.len() == expected {
            return Ok(());
        }
        let found = self.inputs.len();
        Err(GraphError::Arity { op: self.op, expected: expected.to_string(), found })
    }

    fn attribute(&self, holds: bool, message: impl FnOnce() -> String) -> Result<()> {
        if holds { Ok(()) } else { Err(GraphError::Attribute { op: self.op, message: message() }) }
    }

    fn positive(&self, name: &str, value: f32) -> Result<()> {
        self.attribute(value > 0.0, || format!("{name} must be positive, is {value}"))
    }

    fn require(
        &self,
        holds: bool,
        what: &str,
        left: &TensorType,
        right: &TensorType,
    ) -> Result<()> {
        if holds {
            return Ok(());
        }
        let (left, right) = (left.clone(), right.clone());
        Err(GraphError::Mismatch { op: self.op, what: what.to_owned(), left, right })
    }

    fn input(&self, i: usize, input: &'static str, holds: bool, expected: String) -> Result<()> {
        if holds {
            return Ok(());
        }
        Err(GraphError::Input { op: self.op, input, expected, found: self.inputs[i].clone() })
    }

    fn same(&self, i: usize, j: usize) -> Result<()> {
        let (left, right) = (self.inputs[i], self.inputs[j]);
        self.require(left == right, &format!("inputs {i} and {j} must have one type"), left, right)
    }

    fn f32(&self, i: usize, input: &'static str) -> Result<()> {
        self.input(i, input, self.inputs[i].dtype == DType::F32, "f32".into())
    }

    fn float(&self, i: usize, input: &'static str) -> Result<()> {
        self.input(i, input, self.inputs[i].dtype.is_float(), "f32, bf16 or f16".into())
    }

    /// A float or quantised type.
    fn weight(&self, i: usize, input: &'static str) -> Result<()> {
        let dtype = self.inputs[i].dtype;
        let real = dtype.is_float() || dtype.is_quantised();
        self.input(i, input, real, "of real numbers: f32, bf16, f16, q8_0 or q4_0".into())
    }

    fn rank(&self, i: usize, input: &'static str, rank: usize) -> Result<()> {
        self.input(i, input, self.inputs[i].shape.len() == rank, format!("{rank}-dimensional"))
    }

    fn is(&self, i: usize, input: &'static str, dtype: DType, shape: &[usize]) -> Result<()> {
        let expected = TensorType::new(dtype, shape);
        self.input(i, input, *self.inputs[i] == expected, expected.to_string())
    }

    /// f32 tensors of one type, and a result of that type.
    fn pointwise(&self, arity: usize) -> Result<Vec<TensorType>> {
        self.arity(arity)?;
        self.f32(0, "first")?;
        (1..arity).try_for_each(|i| self.same(0, i))?;
        Ok(vec![self.inputs[0].clone()])
    }

    fn matmul(&self, ta: bool, tb: bool, accumulate: bool) -> Result<Vec<TensorType>> {
        self.arity(2 + usize::from(accumulate))?;
        self.f32(0, "a")?;
        self.weight(1, "b")?;
        self.rank(0, "a", 2)?;
        self.rank(1, "b", 2)?;
        let (a, b) = (self.inputs[0], self.inputs[1]);
        let (m, ka) = if ta { (a.shape[1], a.shape[0]) } else { (a.shape[0], a.shape[1]) };
        let (kb, n) = if tb { (b.shape[1], b.shape[0]) } else { (b.shape[0], b.shape[1]) };
        let what = format!(
            "inner dimensions differ, {ka} and {kb} (a{}, b{})",
            if ta { " transposed" } else { "" },
            if tb { " transposed" } else { "" }
        );
        self.require(ka == kb, &what, a, b)?;
        let ty = TensorType::f32([m, n]);
        if accumulate {
            self.require(
                *self.inputs[2] == ty,
                "c must have the type of the product",
                self.inputs[2],
                &ty,
            )?;
        }
        Ok(vec![ty])
    }

    fn norm(&self, group: usize, weight: Option<usize>) -> Result<()> {
        self.f32(0, "x")?;
        let last = self.inputs[0].last();
        self.attribute(group > 0 && last.is_multiple_of(group), || {
            format!("group {group} does not divide the last dimension of {}", self.inputs[0])
        })?;
        weight.map_or(Ok(()), |i| self.is(i, "w", DType::F32, &[group]))
    }

    fn rope(&self, spec: &RopeSpec) -> Result<Vec<TensorType>> {
        self.arity(2)?;
        self.f32(0, "x")?;
        self.rank(0, "x", 2)?;
        let x = self.inputs[0];
        let divides = spec.axes > 0
            && spec.head_dim > 0
            && spec.head_dim.is_multiple_of(spec.axes.saturating_mul(2))
            && x.shape[1].is_multiple_of(spec.head_dim);
        self.attribute(divides, || {
            format!(
                "head_dim {} must be a multiple of 2·axes = {} and divide the features of {x}",
                spec.head_dim,
                spec.axes.saturating_mul(2)
            )
        })?;
        self.is(1, "positions", DType::I32, &[x.shape[0], spec.axes])?;
        Ok(vec![x.clone()])
    }

    fn heads(&self, spec: &AttentionSpec) -> Result<()> {
        let sound =
            spec.kv_heads > 0 && spec.heads.is_multiple_of(spec.kv_heads) && spec.head_dim > 0;
        self.attribute(sound, || {
            format!(
                "kv_heads {} must divide heads {}, head_dim {} must be positive",
                spec.kv_heads, spec.heads, spec.head_dim
            )
        })?;
        self.attribute(spec.window != Some(0), || "a window must hold at least one key".into())
    }

    fn attention(&self, spec: &AttentionSpec, segments: Option<usize>) -> Result<()> {
        self.heads(spec)?;
        self.rank(0, "q", 2)?;
        let tokens = self.inputs[0].shape[0];
        self.attribute(spec.batch > 0 && tokens.is_multiple_of(spec.batch), || {
            format!("batch {} does not divide the rows of q, {}", spec.batch, self.inputs[0])
        })?;
        let features = spec.kv_heads.saturating_mul(spec.head_dim);
        self.is(0, "q", DType::F32, &[tokens, spec.heads.saturating_mul(spec.head_dim)])?;
        self.is(1, "k", DType::F32, &[tokens, features])?;
        self.is(2, "v", DType::F32, &[tokens, features])?;
        segments.map_or(Ok(()), |i| self.is(i, "segments", DType::I32, &[tokens]))
    }

    fn cached_attention(&self, spec: &AttentionSpec) -> Result<Vec<TensorType>> {
        self.arity(5)?;
        self.heads(spec)?;
        self.attribute(spec.causal, || "attends to the past: the spec must be causal".into())?;
        self.rank(0, "q", 2)?;
        self.rank(1, "keys", 3)?;
        let n = self.inputs[0].shape[0];
        self.is(0, "q", DType::F32, &[n, spec.heads.saturating_mul(spec.head_dim)])?;
        self.float(1, "keys")?;
        let features = spec.kv_heads.saturating_mul(spec.head_dim);
        self.input(
            1,
            "keys",
            self.inputs[1].shape[2] == features,
            format!("of {features} features"),
        )?;
        self.same(1, 2)?;
        self.is(3, "slots", DType::I32, &[n])?;
        self.is(4, "positions", DType::I32, &[n])?;
        Ok(vec![self.inputs[0].clone()])
    }

    fn cross_entropy(&self, softcap: Option<f32>) -> Result<()> {
        self.f32(0, "x")?;
        self.rank(0, "x", 2)?;
        self.weight(1, "w")?;
        self.rank(1, "w", 2)?;
        let (x, w) = (self.inputs[0], self.inputs[1]);
        self.require(x.shape[1] == w.shape[1], "features of x and w differ", x, w)?;
        self.is(2, "targets", DType::I32, &[x.shape[0]])?;
        self.is(3, "weights", DType::F32, &[x.shape[0]])?;
        softcap.map_or(Ok(()), |cap| self.positive("softcap", cap))
    }

    fn squared_error(&self) -> Result<()> {
        self.f32(0, "prediction")?;
        self.rank(0, "prediction", 2)?;
        self.same(0, 1)?;
        self.is(2, "weights", DType::F32, &[self.inputs[0].shape[0]])
    }
}
