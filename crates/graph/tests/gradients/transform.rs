//! What the transform promises besides: values inside the program, substitutes, errors.

use stoa_graph::reference::{Array, run};
use stoa_graph::{
    AdamWSpec, Builder, GraphError, Op, Output, Recompute, TensorType, ValueId, gradients,
};

use crate::finite::{Inputs, weighed};

#[test]
fn accumulators_do_not_leak_through_values_inside_the_program() {
    // d loss/dy = 2y where y = 3x, so d loss/dx = 6y = 18x whatever is accumulated on y.
    let mut b = Builder::new();
    let x = b.state("x", TensorType::f32([1])).unwrap();
    let on_x = b.state("on_x", TensorType::f32([1])).unwrap();
    let on_y = b.state("on_y", TensorType::f32([1])).unwrap();
    let y = b.scale(x, 3.0).unwrap();
    let square = b.mul(y, y).unwrap();
    let loss = b.reshape(square, []).unwrap();
    let g = gradients(&mut b, loss, &[x, y], &[on_x, on_y], Recompute::Nothing).unwrap();
    b.returns("dx", g.values[0]).unwrap();
    b.returns("dy", g.values[1]).unwrap();
    let inputs = [("x", 2.0), ("on_x", 100.0), ("on_y", 1000.0)];
    let inputs = inputs.map(|(n, x)| (n.to_owned(), Array::new([1], [x]))).into();
    let results = run(&b.finish(), &inputs).unwrap();
    assert_eq!(results["dx"].data, [136.0]);
    assert_eq!(results["dy"].data, [1012.0]);
}

#[test]
fn the_loss_itself_and_values_twice() {
    let mut b = Builder::new();
    let x = b.state("x", TensorType::scalar()).unwrap();
    let acc = b.state("acc", TensorType::scalar()).unwrap();
    let g = gradients(&mut b.clone(), x, &[x], &[], Recompute::Nothing).unwrap();
    assert_eq!(g.values.len(), 1);
    let g = gradients(&mut b, x, &[x], &[acc], Recompute::Nothing).unwrap();
    b.returns("dx", g.values[0]).unwrap();
    let inputs = [("x", 2.0), ("acc", 5.0)];
    let inputs = inputs.map(|(n, x)| (n.to_owned(), Array::scalar(x))).into();
    assert_eq!(run(&b.clone().finish(), &inputs).unwrap()["dx"].data, [6.0]);
    let twice = gradients(&mut b, x, &[x, x], &[acc, acc], Recompute::Nothing).unwrap_err();
    assert_eq!(
        twice.to_string(),
        "gradient: value 1 of wrt stands twice; give each value one accumulator"
    );
}

#[test]
fn the_backward_pass_returns_loss_and_nll_in_place_of_the_forward() {
    let inputs =
        Inputs::new(18).wrt(&[5, 3]).wrt(&[7, 3]).exactly(&[1, -1, 6, 0, 0]).constant(&[5]);
    let mut b = Builder::new();
    let x = inputs.declare(&mut b);
    let (loss, nll) = b.cross_entropy(x[0], x[1], x[2], x[3], Some(2.0)).unwrap();
    let mut forward = b.clone();
    forward.returns("loss", loss).unwrap();
    forward.returns("nll", nll).unwrap();
    let grads = gradients(&mut b, loss, &x[..2], &[], Recompute::Cheap).unwrap();
    b.returns("loss", grads.current(loss)).unwrap();
    b.returns("nll", grads.current(nll)).unwrap();
    b.returns("dx", grads.values[0]).unwrap();
    assert_eq!(grads.current(x[0]), x[0], "other values stand for themselves");
    let program = b.finish();
    let names: Vec<&str> = program.nodes().iter().map(|n| n.op.name()).collect();
    assert_eq!(names, ["fill", "cross_entropy_backward"], "the forward node is dead");
    let (expected, found) =
        (run(&forward.finish(), &inputs.map()).unwrap(), run(&program, &inputs.map()).unwrap());
    assert_eq!(found["loss"], expected["loss"]);
    assert_eq!(found["nll"], expected["nll"]);
}

/// The error of differentiating by the first of the inputs what `build` makes of them.
fn refusal(build: impl Fn(&mut Builder, &[ValueId]) -> ValueId) -> String {
    // x[0] is differentiated by, x[1] is not.
    let inputs = Inputs::new(23).wrt(&[2, 2]).wrt(&[2, 2]).wrt(&[]).wrt(&[2]).exactly(&[0, 1]);
    let mut b = Builder::new();
    let x = inputs.declare(&mut b);
    let loss = build(&mut b, &x);
    let before = b.ty(loss).clone();
    let error = gradients(&mut b, loss, &x[..1], &[], Recompute::Nothing).unwrap_err();
    assert_eq!(*b.ty(loss), before);
    error.to_string()
}

#[test]
fn what_has_no_gradient_says_so() {
    assert_eq!(refusal(|_, x| x[0]), "gradient: the loss must be an f32 scalar, is f32[2, 2]");
    assert_eq!(refusal(|_, x| x[2]), "gradient: the loss depends on none of the values");
    assert_eq!(
        refusal(|b, x| b.global_norm(&x[..1]).unwrap()),
        "global_norm: output 0 has no gradient; take the loss from a differentiable output"
    );
    assert_eq!(
        refusal(|b, x| {
            let (_, nll) = b.cross_entropy(x[0], x[1], x[4], x[3], None).unwrap();
            weighed(b, nll)
        }),
        "cross_entropy: output 1 has no gradient; take the loss from a differentiable output"
    );
    assert_eq!(
        refusal(|b, x| {
            let spec =
                AdamWSpec { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0, lr_scale: 1.0 };
            let p = b.adamw([x[0], x[0], x[0], x[0], x[2], x[2], x[2]], spec).unwrap()[0];
            weighed(b, p)
        }),
        "adamw: output 0 has no gradient; take the loss from a differentiable output"
    );
    // Weights of a loss that depend on what is differentiated by: refused, not taken as constant.
    for squared in [false, true] {
        let message = refusal(|b, x| {
            let w = b.matmul(x[0], x[0], false, false).unwrap();
            let w = b.reshape(w, [4]).unwrap();
            let tall = b.reshape(x[0], [4, 1]).unwrap();
            if squared {
                return b.mean_squared_error(tall, tall, w).unwrap();
            }
            let ids = b.data("ids", TensorType::i32([4])).unwrap();
            b.cross_entropy(tall, tall, ids, w, None).unwrap().0
        });
        let op = if squared { "mean_squared_error" } else { "cross_entropy" };
        assert_eq!(message, format!("gradient: {op} has no gradient by its weights"));
    }
}

#[test]
fn one_value_of_several_without_influence_is_named() {
    let mut b = Builder::new();
    let x = b.state("x", TensorType::scalar()).unwrap();
    let y = b.state("y", TensorType::scalar()).unwrap();
    let loss = b.mul(x, x).unwrap();
    let error = gradients(&mut b.clone(), loss, &[x, y], &[], Recompute::Nothing).unwrap_err();
    assert_eq!(error.to_string(), "gradient: the loss does not depend on value 1 of wrt");
    let error = gradients(&mut b, loss, &[x, y], &[x], Recompute::Nothing).unwrap_err();
    assert_eq!(error, GraphError::Gradient("1 accumulators for 2 values".into()));
}

#[test]
fn parts_the_loss_does_not_need_get_no_backward() {
    let mut b = Builder::new();
    let x = b.state("x", TensorType::f32([3, 3])).unwrap();
    let unused = b.matmul(x, x, false, false).unwrap();
    b.returns("unused", unused).unwrap();
    let loss = b.mul(x, x).unwrap();
    let loss = weighed(&mut b, loss);
    let before = b.program().nodes().len();
    let grads = gradients(&mut b, loss, &[x], &[], Recompute::Nothing).unwrap();
    let added = &b.program().nodes()[before..];
    let products = added.iter().filter(|n| matches!(n.op, Op::MatMul { .. })).count();
    assert_eq!(products, 1, "only the one of the weighing");
    b.returns("dx", grads.values[0]).unwrap();
    let outputs = b.finish();
    assert!(outputs.outputs().iter().all(|o| matches!(o, Output::Returned { .. })));
}
