//! What each op takes and gives, and what it says when something does not fit. Types are written
//! as programs print them: `f32[3, 5]`; inputs are separated by `;`.

#![allow(clippy::unwrap_used)]

use stoa_graph::{
    AdamWSpec, AttentionSpec, Bound, Builder, CachedAttentionSpec, DType, Elements, GraphError,
    MuonSpec, Nonlinearity, Op, Orthogonalizer, RopeSpec, Tensor, TensorType, output_types,
};

fn ty(text: &str) -> TensorType {
    let (dtype, shape) = text.trim().trim_end_matches(']').split_once('[').unwrap();
    let dtype = DType::ALL.into_iter().find(|d| d.name() == dtype).unwrap();
    let shape = shape.split(',').filter(|d| !d.trim().is_empty());
    TensorType::new(dtype, shape.map(|d| d.trim().parse().unwrap()).collect::<Vec<usize>>())
}

fn types(text: &str) -> Vec<TensorType> {
    text.split(';').filter(|t| !t.trim().is_empty()).map(ty).collect()
}

fn result(op: &Op, inputs: &str) -> Result<Vec<TensorType>, GraphError> {
    output_types(op, &types(inputs).iter().collect::<Vec<_>>())
}

/// Takes the inputs, gives the outputs, and refuses one input less and one more.
fn accepts(op: Op, inputs: &str, outputs: &str) {
    assert_eq!(result(&op, inputs), Ok(types(outputs)), "{op:?} on {inputs}");
    let given = types(inputs);
    facts_hold(&op, &given, &types(outputs));
    reads_weights_as_stored(&op, &given);
    let n = given.len();
    let mut wrong: Vec<Vec<&TensorType>> = vec![given.iter().collect(); 2];
    wrong[0].pop();
    let scalar = TensorType::scalar();
    wrong[1].push(&scalar);
    for wrong in wrong.into_iter().filter(|w| w.len() != n) {
        let variadic = matches!(op, Op::GlobalNorm) && !wrong.is_empty();
        let found = wrong.len();
        match output_types(&op, &wrong) {
            Err(GraphError::Arity { found: said, expected, .. }) => {
                assert_eq!((said, expected), (found, n.to_string()), "{op:?}");
            }
            Err(GraphError::Attribute { .. }) => assert!(matches!(op, Op::GlobalNorm)),
            other => assert!(variadic && other.is_ok(), "{op:?} on {found} inputs: {other:?}"),
        }
    }
}

/// Every input of integers is known as one, an index reaches into an input that is there, and a
/// result takes over only memory of its own type.
fn facts_hold(op: &Op, inputs: &[TensorType], outputs: &[TensorType]) {
    let facts = op.facts();
    for (i, ty) in inputs.iter().enumerate() {
        // A fill and a view hold elements of any type and read none.
        let reads = facts.elements == Elements::Computed;
        let known = facts.integers.iter().any(|integers| integers.input == i);
        assert_eq!(known, reads && ty.dtype == DType::I32, "{op:?}, input {i}: {ty}");
    }
    for integers in &facts.integers {
        let types: Vec<&TensorType> = inputs.iter().collect();
        let limit = integers.bound.limit(&types);
        assert_eq!(limit.is_none(), integers.bound == Bound::Free, "{op:?}");
        assert!(integers.unless.is_none_or(|i| inputs[i].dtype == DType::I32), "{op:?}");
    }
    assert!(facts.in_place.len() <= outputs.len(), "{op:?}");
    for (o, output) in outputs.iter().enumerate() {
        for &i in facts.in_place_of(o) {
            assert_eq!(inputs[i], *output, "{op:?}: result {o} in the place of input {i}");
        }
    }
}

/// Inputs that may be quantised are those the facts name, and no others.
fn reads_weights_as_stored(op: &Op, given: &[TensorType]) {
    let facts = op.facts();
    if facts.elements != Elements::Computed {
        return;
    }
    for dtype in [DType::Q8_0, DType::Q4_0] {
        for i in 0..given.len() {
            let mut given = given.to_vec();
            given[i].dtype = dtype;
            let taken = output_types(op, &given.iter().collect::<Vec<_>>()).is_ok();
            assert_eq!(taken, facts.quantised.contains(&i), "{op:?}, input {i} in {dtype}");
        }
    }
    assert!(facts.quantised.iter().all(|i| facts.stored.contains(i)), "{op:?}");
}

#[track_caller]
fn refuses(op: Op, inputs: &str, message: &str) {
    assert_eq!(result(&op, inputs).unwrap_err().to_string(), message, "{op:?} on {inputs}");
}

#[test]
fn fill_reshape_and_cast() {
    for text in ["f32[]", "bf16[0, 3]", "i32[2, 3]"] {
        accepts(Op::Fill { ty: ty(text), value: 1.0 }, "", text);
    }
    let reshape = |shape: &[usize]| Op::Reshape { shape: shape.to_vec() };
    accepts(reshape(&[3, 2]), "f32[6]", "f32[3, 2]");
    accepts(reshape(&[]), "i32[1, 1]", "i32[]");
    accepts(reshape(&[0, 9]), "f32[5, 0]", "f32[0, 9]");
    refuses(
        reshape(&[4, 2]),
        "f32[2, 3]",
        "reshape: element counts differ: f32[2, 3] against f32[4, 2]",
    );
    accepts(Op::Cast { dtype: DType::BF16 }, "f32[2, 3]", "bf16[2, 3]");
    accepts(Op::Cast { dtype: DType::F32 }, "f16[2, 3]", "f32[2, 3]");
    refuses(
        Op::Cast { dtype: DType::F32 },
        "i32[2]",
        "cast: input `x` must be of real numbers: f32, bf16, f16, q8_0 or q4_0, is i32[2]",
    );
    refuses(Op::Cast { dtype: DType::I32 }, "f32[2]", "cast: casts to float types, not i32");
}

#[test]
fn pointwise_ops() {
    let unary = [
        Op::Scale { by: 2.0 },
        Op::Activation(Nonlinearity::SoftCap { cap: 2.0 }),
        Op::Activation(Nonlinearity::Silu),
        Op::Activation(Nonlinearity::ReluSquared),
    ];
    let binary = [
        Op::Add,
        Op::Mul,
        Op::ActivationBackward(Nonlinearity::SoftCap { cap: 2.0 }),
        Op::ActivationBackward(Nonlinearity::Silu),
        Op::Gated(Nonlinearity::Silu),
    ];
    for op in unary {
        let name = op.name();
        accepts(op.clone(), "f32[2, 3]", "f32[2, 3]");
        accepts(op.clone(), "f32[]", "f32[]");
        accepts(op.clone(), "bf16[3]", "bf16[3]");
        let message = "input `first` must be f32, bf16 or f16, is i32[2]";
        refuses(op, "i32[2]", &format!("{name}: {message}"));
    }
    for op in binary {
        let name = op.name();
        accepts(op.clone(), "f32[2, 3]; f32[2, 3]", "f32[2, 3]");
        let message = "inputs 0 and 1 must have one type: f32[2, 3] against f32[3, 2]";
        refuses(op.clone(), "f32[2, 3]; f32[3, 2]", &format!("{name}: {message}"));
        let message = "inputs 0 and 1 must have one type: f32[2] against bf16[2]";
        refuses(op.clone(), "f32[2]; bf16[2]", &format!("{name}: {message}"));
        accepts(op.clone(), "f16[2]; f16[2]", "f16[2]");
        let message = "input `first` must be f32, bf16 or f16, is q8_0[32]";
        refuses(op, "q8_0[32]; q8_0[32]", &format!("{name}: {message}"));
    }
    accepts(Op::GatedBackward(Nonlinearity::Silu), "f32[2]; f32[2]; f32[2]", "f32[2]; f32[2]");
    refuses(
        Op::GatedBackward(Nonlinearity::Silu),
        "f32[2]; f32[2]; f32[3]",
        "gated_backward: inputs 0 and 2 must have one type: f32[2] against f32[3]",
    );
    refuses(
        Op::GatedBackward(Nonlinearity::Silu),
        "f32[2]; f32[3]; f32[2]",
        "gated_backward: inputs 0 and 1 must have one type: f32[2] against f32[3]",
    );
    let message = "activation: cap must be positive, is 0";
    refuses(Op::Activation(Nonlinearity::SoftCap { cap: 0.0 }), "f32[2]", message);
    let message = "activation_backward: cap must be positive, is NaN";
    refuses(
        Op::ActivationBackward(Nonlinearity::SoftCap { cap: f32::NAN }),
        "f32[2]; f32[2]",
        message,
    );
}

fn matmul(transpose_a: bool, transpose_b: bool) -> Op {
    Op::MatMul { transpose_a, transpose_b, bias: false, result: DType::F32 }
}

#[test]
fn matmul_in_all_layouts() {
    accepts(matmul(false, false), "f32[3, 5]; f32[5, 7]", "f32[3, 7]");
    accepts(matmul(false, true), "f32[3, 5]; bf16[7, 5]", "f32[3, 7]");
    accepts(matmul(true, false), "f32[5, 3]; f16[5, 7]", "f32[3, 7]");
    accepts(matmul(false, true), "bf16[3, 5]; bf16[7, 5]", "f32[3, 7]");
    accepts(matmul(true, true), "f32[5, 3]; f32[7, 5]", "f32[3, 7]");
    refuses(
        matmul(false, false),
        "f32[3, 5]; f32[4, 7]",
        "matmul: inner dimensions differ, 5 and 4 (a, b): f32[3, 5] against f32[4, 7]",
    );
    refuses(
        matmul(false, true),
        "f32[3, 5]; f32[5, 7]",
        "matmul: inner dimensions differ, 5 and 7 (a, b transposed): f32[3, 5] against f32[5, 7]",
    );
    refuses(
        matmul(true, true),
        "f32[3, 5]; f32[5, 7]",
        "matmul: inner dimensions differ, 3 and 7 (a transposed, b transposed): \
         f32[3, 5] against f32[5, 7]",
    );
    let biased =
        Op::MatMul { transpose_a: false, transpose_b: true, bias: true, result: DType::BF16 };
    accepts(biased.clone(), "bf16[3, 32]; q8_0[7, 32]; f32[7]", "bf16[3, 7]");
    for bias in ["f32[3]", "f32[1, 7]", "bf16[7]"] {
        let message = format!("matmul: input `bias` must be f32[7], is {bias}");
        refuses(biased.clone(), &format!("f32[3, 5]; f32[7, 5]; {bias}"), &message);
    }
    refuses(
        matmul(false, false),
        "i32[3, 5]; f32[5, 7]",
        "matmul: input `a` must be f32, bf16 or f16, is i32[3, 5]",
    );
    refuses(
        matmul(false, false),
        "f32[3, 5]; i32[5, 7]",
        "matmul: input `b` must be of real numbers: f32, bf16, f16, q8_0 or q4_0, is i32[5, 7]",
    );
    refuses(
        matmul(false, false),
        "f32[2, 3, 5]; f32[5, 7]",
        "matmul: input `a` must be 2-dimensional, is f32[2, 3, 5]",
    );
    refuses(
        matmul(false, false),
        "f32[3, 5]; f32[5]",
        "matmul: input `b` must be 2-dimensional, is f32[5]",
    );
}

#[test]
fn norms() {
    let norm = |group, weighted| Op::RmsNorm { group, eps: 1e-5, weighted };
    let back = |weighted| Op::RmsNormBackward { group: 3, eps: 1e-5, weighted };
    accepts(norm(6, false), "f32[2, 6]", "f32[2, 6]");
    accepts(norm(3, true), "f32[2, 2, 6]; f32[3]", "f32[2, 2, 6]");
    accepts(back(false), "f32[2, 6]; f32[2, 6]", "f32[2, 6]");
    accepts(back(true), "f32[2, 6]; f32[2, 6]; f32[3]", "f32[2, 6]; f32[3]");
    for group in [0, 4, 12] {
        let message =
            format!("rms_norm: group {group} does not divide the last dimension of f32[2, 6]");
        refuses(norm(group, false), "f32[2, 6]", &message);
    }
    refuses(norm(3, true), "f32[2, 6]; f32[6]", "rms_norm: input `w` must be f32[3], is f32[6]");
    accepts(norm(3, true), "bf16[2, 6]; f32[3]", "bf16[2, 6]");
    let message = "rms_norm: input `x` must be f32, bf16 or f16, is i32[2, 6]";
    refuses(norm(3, false), "i32[2, 6]", message);
    refuses(
        back(true),
        "f32[2, 6]; f32[2, 3]; f32[3]",
        "rms_norm_backward: inputs 0 and 1 must have one type: f32[2, 6] against f32[2, 3]",
    );
}

#[test]
fn rotations() {
    let rope = |head_dim, axes| Op::Rope(RopeSpec::geometric(head_dim, 1e4, axes));
    accepts(rope(4, 1), "f32[5, 12]; i32[5, 1]", "f32[5, 12]");
    accepts(rope(12, 2), "f32[5, 12]; i32[5, 2]", "f32[5, 12]");
    // Features beyond the pairs stay as they are.
    accepts(rope(3, 1), "f32[5, 12]; i32[5, 1]", "f32[5, 12]");
    let divides = |head_dim, axes| {
        format!(
            "rope: head_dim {head_dim} must be a multiple of axes = {axes} and divide the features \
             of f32[5, 12]"
        )
    };
    refuses(rope(3, 2), "f32[5, 12]; i32[5, 2]", &divides(3, 2));
    refuses(rope(8, 1), "f32[5, 12]; i32[5, 1]", &divides(8, 1));
    refuses(rope(0, 1), "f32[5, 12]; i32[5, 1]", &divides(0, 1));
    refuses(rope(4, 0), "f32[5, 12]; i32[5, 0]", &divides(4, 0));
    for pairs in [0, 3] {
        let spec =
            RopeSpec { frequencies: vec![0.5; pairs].into(), ..RopeSpec::geometric(4, 9.0, 1) };
        let message =
            format!("rope: {pairs} frequencies for chunks of 4 features: at most half as many");
        refuses(Op::Rope(spec), "f32[5, 12]; i32[5, 1]", &message);
    }
    let message = "rope: input `positions` must be i32[5, 1], is i32[5]";
    refuses(rope(4, 1), "f32[5, 12]; i32[5]", message);
    let message = "rope: input `positions` must be i32[5, 1], is f32[5, 1]";
    refuses(rope(4, 1), "f32[5, 12]; f32[5, 1]", message);
    let message = "rope: input `x` must be 2-dimensional, is f32[1, 5, 12]";
    refuses(rope(4, 1), "f32[1, 5, 12]; i32[5, 1]", message);
}

fn spec() -> AttentionSpec {
    AttentionSpec {
        batch: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 3,
        causal: true,
        window: None,
        scale: 1.0,
        score_cap: None,
    }
}

fn cached_spec() -> CachedAttentionSpec {
    let AttentionSpec { heads, kv_heads, head_dim, window, scale, score_cap, .. } = spec();
    CachedAttentionSpec { heads, kv_heads, head_dim, window, scale, score_cap }
}

#[test]
fn attention() {
    let op = |spec, segmented| Op::Attention { spec, segmented };
    let qkv = "f32[10, 12]; f32[10, 6]; f32[10, 6]";
    accepts(op(spec(), false), qkv, "f32[10, 12]; f32[10, 4]");
    accepts(op(spec(), true), &format!("{qkv}; i32[10]"), "f32[10, 12]; f32[10, 4]");
    let heads = "attention: kv_heads 3 must divide heads 4, head_dim 3 must be positive";
    refuses(op(AttentionSpec { kv_heads: 3, ..spec() }, false), qkv, heads);
    let heads = "attention: kv_heads 0 must divide heads 4, head_dim 3 must be positive";
    refuses(op(AttentionSpec { kv_heads: 0, ..spec() }, false), qkv, heads);
    let heads = "attention: kv_heads 2 must divide heads 4, head_dim 0 must be positive";
    refuses(op(AttentionSpec { head_dim: 0, ..spec() }, false), qkv, heads);
    let window = "attention: a window must hold at least one key";
    refuses(op(AttentionSpec { window: Some(0), ..spec() }, false), qkv, window);
    let cap = "attention: score_cap must be positive, is -1";
    refuses(op(AttentionSpec { score_cap: Some(-1.0), ..spec() }, false), qkv, cap);
    for batch in [0, 3] {
        let message =
            format!("attention: batch {batch} does not divide the rows of q, f32[10, 12]");
        refuses(op(AttentionSpec { batch, ..spec() }, false), qkv, &message);
    }
    for (inputs, message) in [
        (
            "f32[10, 13]; f32[10, 6]; f32[10, 6]",
            "attention: input `q` must be f32[10, 12], is f32[10, 13]",
        ),
        (
            "f32[10, 12]; f32[10, 12]; f32[10, 6]",
            "attention: input `k` must be f32[10, 6], is f32[10, 12]",
        ),
        (
            "f32[10, 12]; f32[10, 6]; f32[8, 6]",
            "attention: input `v` must be f32[10, 6], is f32[8, 6]",
        ),
        (
            "f32[2, 5, 12]; f32[10, 6]; f32[10, 6]",
            "attention: input `q` must be 2-dimensional, is f32[2, 5, 12]",
        ),
    ] {
        refuses(op(spec(), false), inputs, message);
    }
    let message = "attention: input `segments` must be i32[10], is i32[2, 5]";
    refuses(op(spec(), true), &format!("{qkv}; i32[2, 5]"), message);
    let huge = AttentionSpec { heads: usize::MAX - 1, kv_heads: 2, ..spec() };
    assert!(result(&op(huge, false), qkv).is_err(), "no overflow");
}

#[test]
fn attention_backward() {
    let op = |segmented| Op::AttentionBackward { spec: spec(), segmented };
    let inputs = "f32[10, 12]; f32[10, 6]; f32[10, 6]; f32[10, 12]; f32[10, 4]; f32[10, 12]";
    let outputs = "f32[10, 12]; f32[10, 6]; f32[10, 6]";
    accepts(op(false), inputs, outputs);
    accepts(op(true), &format!("{inputs}; i32[10]"), outputs);
    refuses(
        op(false),
        "f32[10, 12]; f32[10, 6]; f32[10, 6]; f32[10, 6]; f32[10, 4]; f32[10, 12]",
        "attention_backward: inputs 0 and 3 must have one type: f32[10, 12] against f32[10, 6]",
    );
    refuses(
        op(false),
        "f32[10, 12]; f32[10, 6]; f32[10, 6]; f32[10, 12]; f32[4, 10]; f32[10, 12]",
        "attention_backward: input `lse` must be f32[10, 4], is f32[4, 10]",
    );
    refuses(
        op(false),
        "f32[10, 12]; f32[10, 6]; f32[10, 6]; f32[10, 12]; f32[10, 4]; f32[10]",
        "attention_backward: inputs 0 and 5 must have one type: f32[10, 12] against f32[10]",
    );
}

#[test]
fn tables() {
    accepts(Op::Gather, "f32[7, 3]; i32[5]", "f32[5, 3]");
    accepts(Op::Gather, "bf16[7, 3]; i32[0]", "f32[0, 3]");
    let message = "gather: input `table` must be 2-dimensional, is f32[7]";
    refuses(Op::Gather, "f32[7]; i32[5]", message);
    let message =
        "gather: input `table` must be of real numbers: f32, bf16, f16, q8_0 or q4_0, is i32[7, 3]";
    refuses(Op::Gather, "i32[7, 3]; i32[5]", message);
    let message = "gather: input `ids` must be 1-dimensional, is i32[5, 1]";
    refuses(Op::Gather, "f32[7, 3]; i32[5, 1]", message);
    refuses(Op::Gather, "f32[7, 3]; u32[5]", "gather: input `ids` must be i32[5], is u32[5]");
    let back = Op::GatherBackward { rows: 7 };
    accepts(back.clone(), "i32[5]; f32[5, 3]", "f32[7, 3]");
    let message = "gather_backward: input `ids` must be i32[5], is i32[4]";
    refuses(back.clone(), "i32[4]; f32[5, 3]", message);
    let message = "gather_backward: input `dy` must be 2-dimensional, is f32[15]";
    refuses(back.clone(), "i32[5]; f32[15]", message);
    let message = "gather_backward: input `dy` must be f32, is bf16[5, 3]";
    refuses(back.clone(), "i32[5]; bf16[5, 3]", message);
}

#[test]
fn losses() {
    let entropy = |softcap| Op::CrossEntropy { softcap };
    let inputs = "f32[5, 3]; f32[7, 3]; i32[5]; f32[5]";
    accepts(entropy(None), inputs, "f32[]; f32[5]");
    accepts(entropy(Some(15.0)), "f32[5, 3]; bf16[7, 3]; i32[5]; f32[5]", "f32[]; f32[5]");
    for (inputs, message) in [
        (
            "f32[5, 3]; f32[3, 7]; i32[5]; f32[5]",
            "cross_entropy: features of x and w differ: f32[5, 3] against f32[3, 7]",
        ),
        (
            "f32[5, 3]; f32[7, 3]; i32[7]; f32[5]",
            "cross_entropy: input `targets` must be i32[5], is i32[7]",
        ),
        (
            "f32[5, 3]; f32[7, 3]; f32[5]; f32[5]",
            "cross_entropy: input `targets` must be i32[5], is f32[5]",
        ),
        (
            "f32[5, 3]; f32[7, 3]; i32[5]; f32[]",
            "cross_entropy: input `weights` must be f32[5], is f32[]",
        ),
        (
            "i32[5, 3]; f32[7, 3]; i32[5]; f32[5]",
            "cross_entropy: input `x` must be f32, bf16 or f16, is i32[5, 3]",
        ),
        (
            "f32[5, 3]; f32[21]; i32[5]; f32[5]",
            "cross_entropy: input `w` must be 2-dimensional, is f32[21]",
        ),
    ] {
        refuses(entropy(None), inputs, message);
    }
    refuses(entropy(Some(0.0)), inputs, "cross_entropy: softcap must be positive, is 0");
    let back = Op::CrossEntropyBackward { softcap: None };
    let outputs = "f32[5, 3]; f32[7, 3]; f32[]; f32[5]";
    accepts(back.clone(), &format!("{inputs}; f32[]"), outputs);
    accepts(back.clone(), "f32[5, 3]; bf16[7, 3]; i32[5]; f32[5]; f32[]", outputs);
    accepts(back.clone(), "bf16[5, 3]; bf16[7, 3]; i32[5]; f32[5]; f32[]", outputs);
    let message = "cross_entropy_backward: input `dloss` must be f32[], is f32[1]";
    refuses(back.clone(), &format!("{inputs}; f32[1]"), message);
    accepts(Op::MeanSquaredError, "f32[5, 3]; f32[5, 3]; f32[5]", "f32[]");
    accepts(Op::MeanSquaredErrorBackward, "f32[5, 3]; f32[5, 3]; f32[5]; f32[]", "f32[5, 3]");
    refuses(
        Op::MeanSquaredError,
        "f32[5, 3]; f32[3, 5]; f32[5]",
        "mean_squared_error: inputs 0 and 1 must have one type: f32[5, 3] against f32[3, 5]",
    );
    refuses(
        Op::MeanSquaredError,
        "f32[15]; f32[15]; f32[15]",
        "mean_squared_error: input `prediction` must be 2-dimensional, is f32[15]",
    );
    refuses(
        Op::MeanSquaredErrorBackward,
        "f32[5, 3]; f32[5, 3]; f32[3]; f32[]",
        "mean_squared_error_backward: input `weights` must be f32[5], is f32[3]",
    );
    refuses(
        Op::MeanSquaredErrorBackward,
        "f32[5, 3]; f32[5, 3]; f32[5]; i32[]",
        "mean_squared_error_backward: input `dloss` must be f32[], is i32[]",
    );
}

#[test]
fn optimizers() {
    accepts(Op::GlobalNorm, "f32[5, 3]; f32[2]; f32[]", "f32[]");
    refuses(Op::GlobalNorm, "", "global_norm: needs at least one tensor");
    let message = "global_norm: input `tensor` must be f32, is bf16[2]";
    refuses(Op::GlobalNorm, "f32[2]; bf16[2]", message);
    accepts(Op::ClipFactor { max_norm: f32::INFINITY }, "f32[]; f32[]", "f32[]");
    let message = "clip_factor: max_norm must be positive, is 0";
    refuses(Op::ClipFactor { max_norm: 0.0 }, "f32[]; f32[]", message);
    let message = "clip_factor: max_norm must be positive, is NaN";
    refuses(Op::ClipFactor { max_norm: f32::NAN }, "f32[]; f32[]", message);
    let message = "clip_factor: input `limit` must be f32[], is f32[1]";
    refuses(Op::ClipFactor { max_norm: 1.0 }, "f32[]; f32[1]", message);
    let adamw = || {
        Op::AdamW(AdamWSpec {
            beta1: 0.9,
            beta2: 0.99,
            eps: 1e-8,
            weight_decay: 0.1,
            lr_scale: 1.0,
        })
    };
    let p = "f32[2, 3]; f32[2, 3]; f32[2, 3]";
    accepts(adamw(), &format!("{p}; f32[2, 3]; f32[]; f32[]; f32[]"), p);
    refuses(
        adamw(),
        &format!("{p}; f32[3, 2]; f32[]; f32[]; f32[]"),
        "adamw: inputs 0 and 3 must have one type: f32[2, 3] against f32[3, 2]",
    );
    refuses(
        adamw(),
        &format!("{p}; f32[2, 3]; f32[]; i32[]; f32[]"),
        "adamw: input `lr, step, factor` must be f32[], is i32[]",
    );
    let muon = |iterations| {
        Op::Muon(MuonSpec {
            nesterov: true,
            orthogonalizer: Orthogonalizer::NewtonSchulz,
            iterations,
            weight_decay: 0.0,
            lr_scale: 1.0,
        })
    };
    accepts(muon(5), &format!("{p}; f32[]; f32[]; f32[]"), "f32[2, 3]; f32[2, 3]");
    let message = "muon: needs at least one iteration";
    refuses(muon(0), &format!("{p}; f32[]; f32[]; f32[]"), message);
    let message = "muon: input `p` must be 2-dimensional, is f32[6]";
    refuses(muon(5), "f32[6]; f32[6]; f32[6]; f32[]; f32[]; f32[]", message);
    let message = "muon: inputs 0 and 1 must have one type: f32[2, 3] against f32[3, 2]";
    refuses(muon(5), "f32[2, 3]; f32[3, 2]; f32[2, 3]; f32[]; f32[]; f32[]", message);
}

#[test]
fn caches() {
    let append = "f32[5, 6]; i32[3, 4]; i32[5]; i32[5]";
    for cache in ["f32[2, 3, 9, 2]", "bf16[2, 3, 9, 2]", "f16[2, 3, 9, 2]"] {
        accepts(Op::KvAppend, &format!("{cache}; {append}"), cache);
    }
    for (inputs, message) in [
        (
            "i32[2, 3, 9, 2]; f32[5, 6]; i32[3, 4]; i32[5]; i32[5]",
            "kv_append: input `cache` must be f32, bf16 or f16, is i32[2, 3, 9, 2]",
        ),
        (
            "f32[18, 6]; f32[5, 6]; i32[3, 4]; i32[5]; i32[5]",
            "kv_append: input `cache` must be 4-dimensional, is f32[18, 6]",
        ),
        (
            "f32[2, 3, 9, 2]; f32[5, 7]; i32[3, 4]; i32[5]; i32[5]",
            "kv_append: input `new` must be f32[5, 6], is f32[5, 7]",
        ),
        (
            "f32[2, 3, 9, 2]; f32[5, 6]; i32[12]; i32[5]; i32[5]",
            "kv_append: input `table` must be 2-dimensional, is i32[12]",
        ),
        (
            "f32[2, 3, 9, 2]; f32[5, 6]; f32[3, 4]; i32[5]; i32[5]",
            "kv_append: input `table` must be i32[3, 4], is f32[3, 4]",
        ),
        (
            "f32[2, 3, 9, 2]; f32[5, 6]; i32[3, 4]; i32[4]; i32[5]",
            "kv_append: input `sequences` must be i32[5], is i32[4]",
        ),
        (
            "f32[2, 3, 9, 2]; f32[5, 6]; i32[3, 4]; i32[5]; i32[5, 1]",
            "kv_append: input `positions` must be i32[5], is i32[5, 1]",
        ),
    ] {
        refuses(Op::KvAppend, inputs, message);
    }
    let attend = || Op::CachedAttention(cached_spec());
    let tail = "i32[3, 4]; i32[5]; i32[5]";
    let inputs = format!("f32[5, 12]; bf16[2, 2, 9, 3]; bf16[2, 2, 9, 3]; {tail}");
    accepts(attend(), &inputs, "f32[5, 12]");
    let capped = CachedAttentionSpec { score_cap: Some(0.0), ..cached_spec() };
    let message = "cached_attention: score_cap must be positive, is 0";
    refuses(Op::CachedAttention(capped), &inputs, message);
    for (inputs, message) in [
        (
            "f32[5, 12]; f32[2, 6, 9, 2]; f32[2, 6, 9, 2]",
            "cached_attention: input `keys` must be [_, 2, _, 3], is f32[2, 6, 9, 2]",
        ),
        (
            "f32[5, 12]; f32[2, 2, 9, 3]; f32[2, 2, 8, 3]",
            "cached_attention: inputs 1 and 2 must have one type: f32[2, 2, 9, 3] against \
             f32[2, 2, 8, 3]",
        ),
        (
            "f32[5, 6]; f32[2, 2, 9, 3]; f32[2, 2, 9, 3]",
            "cached_attention: input `q` must be f32[5, 12], is f32[5, 6]",
        ),
        (
            "f32[5, 12]; i32[2, 2, 9, 3]; i32[2, 2, 9, 3]",
            "cached_attention: input `keys` must be f32, bf16 or f16, is i32[2, 2, 9, 3]",
        ),
        (
            "f32[5, 12]; f32[18, 6]; f32[18, 6]",
            "cached_attention: input `keys` must be 4-dimensional, is f32[18, 6]",
        ),
    ] {
        refuses(attend(), &format!("{inputs}; {tail}"), message);
    }
    let message = "cached_attention: input `sequences` must be i32[5], is i32[2]";
    let keys = "f32[2, 2, 9, 3]";
    let inputs = format!("f32[5, 12]; {keys}; {keys}; i32[3, 4]; i32[2]; i32[5]");
    refuses(attend(), &inputs, message);
}

#[test]
fn sizes_beyond_any_memory_are_refused() {
    let huge = TensorType::f32([1 << 40, 1 << 40]);
    let message = "f32[1099511627776, 1099511627776] holds more bytes than can be addressed; \
                   check the sizes it is made from";
    let mut b = Builder::new();
    assert_eq!(b.state("x", huge.clone()).unwrap_err().to_string(), message);
    assert_eq!(b.data("x", huge.clone()).unwrap_err().to_string(), message);
    assert_eq!(b.fill(huge.clone(), 0.0).unwrap_err().to_string(), message);
    let x = b.data("x", TensorType::f32([1])).unwrap();
    assert_eq!(b.reshape(x, huge.shape.clone()).unwrap_err().to_string(), message);
    let tall = b.data("tall", TensorType::f32([1 << 40, 1])).unwrap();
    assert_eq!(b.matmul(tall, tall, false, true).unwrap_err().to_string(), message);
    let tensor = Tensor::f32(huge.shape, vec![]);
    assert_eq!(tensor.unwrap_err().to_string(), message);
    assert!(Tensor::f32([usize::MAX, 2, 0], vec![]).is_err(), "nor on the way to zero elements");
}

#[test]
fn tensors_hold_what_their_shape_says() {
    assert!(Tensor::f32([2, 3], vec![0.0; 6]).is_ok());
    assert_eq!(
        Tensor::f32([2, 3], vec![0.0; 5]).unwrap_err().to_string(),
        "f32[2, 3] holds 6 elements, was given 5"
    );
    for text in ["f32[2]", "bf16[2]", "f16[2]", "i32[2]", "u32[2]"] {
        let tensor = Tensor::from_f64(&ty(text), &[1.0, 3.0]).unwrap();
        assert_eq!(tensor.ty(), ty(text));
        assert_eq!(tensor.to_f64(), [1.0, 3.0]);
        assert_eq!(Tensor::zeros(&ty(text)).to_f64(), [0.0, 0.0]);
    }
}

#[test]
fn activations_of_any_float_type_are_alike() {
    let matmul = |result| Op::MatMul { transpose_a: false, transpose_b: true, bias: false, result };
    accepts(matmul(DType::BF16), "bf16[3, 32]; f32[5, 32]", "bf16[3, 5]");
    accepts(matmul(DType::F32), "bf16[3, 32]; q8_0[5, 32]", "f32[3, 5]");
    let message = "matmul: gives a float type, not i32";
    refuses(matmul(DType::I32), "bf16[3, 5]; f32[7, 5]", message);
    let spec = AttentionSpec {
        batch: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 3,
        causal: true,
        window: None,
        scale: 1.0,
        score_cap: None,
    };
    let attention = Op::Attention { spec: spec.clone(), segmented: false };
    let given = "bf16[10, 12]; bf16[10, 6]; bf16[10, 6]";
    accepts(attention.clone(), given, "bf16[10, 12]; f32[10, 4]");
    let message = "attention: input `v` must be bf16[10, 6], is f32[10, 6]";
    refuses(attention, "bf16[10, 12]; bf16[10, 6]; f32[10, 6]", message);
    let backward = Op::AttentionBackward { spec: spec.clone(), segmented: false };
    let given = format!("{given}; bf16[10, 12]; f32[10, 4]; bf16[10, 12]");
    accepts(backward, &given, "bf16[10, 12]; bf16[10, 6]; bf16[10, 6]");
    let keys = "f16[2, 2, 9, 3]";
    let cache = format!("{keys}; {keys}; i32[3, 4]; i32[5]; i32[5]");
    accepts(Op::CachedAttention(cached_spec()), &format!("bf16[5, 12]; {cache}"), "bf16[5, 12]");
    let append = format!("{keys}; bf16[5, 6]; i32[3, 4]; i32[5]; i32[5]");
    accepts(Op::KvAppend, &append, keys);
    let entropy = "bf16[5, 3]; f32[7, 3]; i32[5]; f32[5]";
    accepts(Op::CrossEntropy { softcap: None }, entropy, "f32[]; f32[5]");
    let backward = Op::CrossEntropyBackward { softcap: None };
    let results = "f32[5, 3]; f32[7, 3]; f32[]; f32[5]";
    accepts(backward, &format!("{entropy}; f32[]"), results);
    let error = "bf16[5, 3]; bf16[5, 3]; f32[5]";
    accepts(Op::MeanSquaredError, error, "f32[]");
    accepts(Op::MeanSquaredErrorBackward, &format!("{error}; f32[]"), "bf16[5, 3]");
}

#[test]
fn names_and_states() {
    let mut b = Builder::new();
    let x = b.state("x", TensorType::f32([2])).unwrap();
    let ids = b.data("ids", TensorType::i32([2])).unwrap();
    let twice = "the name `x` is used twice; inputs and outputs of a program need distinct names";
    assert_eq!(b.data("x", TensorType::scalar()).unwrap_err().to_string(), twice);
    b.returns("x", x).unwrap();
    assert_eq!(b.returns("x", x).unwrap_err().to_string(), twice);
    b.updates("x", x).unwrap();
    assert_eq!(b.updates("x", x).unwrap_err().to_string(), twice);
    assert_eq!(
        b.updates("ids", ids).unwrap_err().to_string(),
        "the program has no state named `ids`; it has: x"
    );
    assert_eq!(
        b.updates("y", x).unwrap_err().to_string(),
        "the program has no input named `y`; it has: x, ids"
    );
    let mut b = Builder::new();
    let x = b.state("x", TensorType::f32([2])).unwrap();
    let y = b.reshape(x, [1, 2]).unwrap();
    let wrong = "`x` must be f32[2], was given f32[1, 2]";
    assert_eq!(b.updates("x", y).unwrap_err().to_string(), wrong);
}
