//! Shapes of tables, losses and optimizers.

use stoa_graph::{AdamWSpec, MuonSpec, Op, Orthogonalizer};

use crate::rules::{accepts, refuses};

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
    refuses(Op::Gather, "f32[7, 3]; f32[5]", "gather: input `ids` must be i32[5], is f32[5]");
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
