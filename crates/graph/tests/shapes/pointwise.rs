//! Shapes of pointwise ops, views and casts.

use stoa_graph::{DType, Nonlinearity, Op};

use crate::rules::{accepts, refuses, result, ty};

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
    accepts(Op::Cast { dtype: DType::Q8_0 }, "bf16[2, 64]", "q8_0[2, 64]");
    let message = "cast: casts to float types, and floats to q8_0; not f32 to i32";
    refuses(Op::Cast { dtype: DType::I32 }, "f32[2]", message);
    let message = "cast: casts to float types, and floats to q8_0; not q4_0 to q8_0";
    refuses(Op::Cast { dtype: DType::Q8_0 }, "q4_0[2, 32]", message);
    let message = "cast: casts to float types, and floats to q8_0; not f32 to q4_0";
    refuses(Op::Cast { dtype: DType::Q4_0 }, "f32[2, 32]", message);
    assert!(result(&Op::Cast { dtype: DType::Q8_0 }, "f32[2, 33]").is_err());
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
