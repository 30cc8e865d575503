//! Activations of bf16 and f16 through every family.

use stoa_graph::{AttentionSpec, DType, Op};

use crate::attention::cached_spec;
use crate::rules::{accepts, refuses};

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
