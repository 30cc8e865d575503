//! Shapes of products and norms.

use stoa_graph::{DType, Op};

use crate::rules::{accepts, refuses};

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
    // Activations in blocks, where weights are, along the sum of both.
    accepts(matmul(false, true), "q8_0[3, 64]; q4_0[7, 64]", "f32[3, 7]");
    let message = |given| format!("matmul: input `a` must be f32, bf16 or f16, is {given}");
    for (op, given, a) in [
        (matmul(false, true), "q8_0[3, 64]; f32[7, 64]", "q8_0[3, 64]"),
        (matmul(false, true), "q4_0[3, 64]; q4_0[7, 64]", "q4_0[3, 64]"),
        (matmul(false, false), "q8_0[3, 64]; q8_0[64, 32]", "q8_0[3, 64]"),
        (matmul(true, true), "q8_0[64, 32]; q8_0[7, 64]", "q8_0[64, 32]"),
    ] {
        refuses(op, given, &message(a));
    }
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
fn layer_norms() {
    let norm = |group, biased| Op::LayerNorm { group, eps: 1e-5, biased };
    let back = |biased| Op::LayerNormBackward { group: 3, eps: 1e-5, biased };
    accepts(norm(6, false), "f32[2, 6]; f32[6]", "f32[2, 6]");
    accepts(norm(3, true), "bf16[2, 2, 6]; f32[3]; f32[3]", "bf16[2, 2, 6]");
    accepts(norm(3, true), "f32[2, 12]; f32[6]; f32[6]", "f32[2, 12]");
    accepts(back(true), "f32[2, 12]; f32[2, 12]; f32[6]", "f32[2, 12]; f32[6]; f32[6]");
    accepts(back(false), "f32[2, 6]; f32[2, 6]; f32[3]", "f32[2, 6]; f32[3]");
    accepts(back(true), "bf16[2, 6]; bf16[2, 6]; f32[3]", "bf16[2, 6]; f32[3]; f32[3]");
    let message = "layer_norm: group 4 does not divide the last dimension of f32[2, 6]";
    refuses(norm(4, false), "f32[2, 6]; f32[4]", message);
    for features in [0, 4, 9] {
        let message = format!(
            "layer_norm: `scale` f32[{features}] must be whole groups of 3 and divide f32[2, 6]"
        );
        refuses(norm(3, false), &format!("f32[2, 6]; f32[{features}]"), &message);
    }
    let message = "layer_norm: input `bias` must be f32[3], is f16[3]";
    refuses(norm(3, true), "f32[2, 6]; f32[3]; f16[3]", message);
    refuses(
        back(false),
        "f32[2, 6]; f32[2, 3]; f32[3]",
        "layer_norm_backward: inputs 0 and 1 must have one type: f32[2, 6] against f32[2, 3]",
    );
}
