//! Which states of a program are kept in panels, and bringing them into that order and back. The
//! order itself is in `gemm::panels`.

use stoa_graph::{CompileOptions, DType, InputKind, Node, Op, Program, TensorType, ValueId};

use crate::account::StateBlock;
use crate::gemm::{has_panels, to_panels, to_rows};
use crate::pool::Pool;

/// By input, whether the program reads it in panels: a matrix that is multiplied in f32, or if it is
/// quantised in integers, as x · Wᵀ, and otherwise only gathered from.
pub(crate) fn packable(program: &Program, options: &CompileOptions) -> Vec<bool> {
    let is_output = |value| program.outputs().iter().any(|output| output.value() == value);
    let inputs = program.inputs().iter().map(|input| {
        let ty = program.ty(input.value);
        let readers = || program.nodes().iter().filter(|n| n.inputs.contains(&input.value));
        options.pack_weights
            && input.kind == InputKind::State
            && ty.shape.len() == 2
            && has_panels(ty.dtype)
            && !is_output(input.value)
            && readers().all(|node| reads_panels(program, node, input.value))
            && readers().any(|node| matches!(node.op, Op::MatMul { .. }))
    });
    inputs.collect()
}

/// Whether a node can read a weight in panels, wherever it reads it.
fn reads_panels(program: &Program, node: &Node, weight: ValueId) -> bool {
    let only_at = |at| node.inputs.iter().enumerate().all(|(i, &v)| (v == weight) == (i == at));
    let quantised = program.ty(weight).dtype.is_quantised();
    let activations = if quantised { DType::Q8_0 } else { DType::F32 };
    let multiplies = matches!(node.op, Op::MatMul { transpose_a: false, transpose_b: true, .. })
        && program.ty(node.inputs[0]).dtype == activations;
    multiplies && only_at(1) || matches!(node.op, Op::Gather) && only_at(0)
}

/// Brings the matrix of a buffer into panels or back into rows, unless it is in that order.
pub(crate) fn bring(
    pool: &Pool,
    width: usize,
    ty: &TensorType,
    block: &StateBlock,
    in_panels: bool,
) {
    if block.in_panels() == in_panels {
        return;
    }
    // SAFETY: the caller holds the engine's lock on orders alone, or the only handle to the block.
    let bytes = unsafe { std::slice::from_raw_parts_mut(block.start(), block.bytes()) };
    let arrange = if in_panels { to_panels } else { to_rows };
    arrange(pool, ty.dtype, [ty.shape[0], ty.shape[1]], width, bytes);
    block.set_in_panels(in_panels);
}

#[cfg(test)]
mod tests {
    use stoa_graph::Builder;

    use super::*;

    #[test]
    fn panels_are_for_matrices_that_are_multiplied_and_read_in_no_other_way() {
        let mut b = Builder::new();
        let names = ["tied", "gathered", "transposed", "added", "returned", "multiplied"];
        let weights = names.map(|name| b.state(name, TensorType::f32([32, 32])).unwrap());
        let [tied, gathered, transposed, added, returned, multiplied] = weights;
        let ids = b.data("ids", TensorType::i32([4])).unwrap();
        let mut x = b.gather(tied, ids).unwrap();
        let other = b.gather(gathered, ids).unwrap();
        x = b.add(x, other).unwrap();
        for w in [tied, transposed, added, returned, multiplied] {
            x = b.linear(x, w).unwrap();
        }
        x = b.matmul(x, transposed, false, false).unwrap();
        let sum = b.add(added, added).unwrap();
        b.returns("sum", sum).unwrap();
        b.returns("weight", returned).unwrap();
        b.returns("x", x).unwrap();
        let program = b.finish();
        let options = CompileOptions { pack_weights: true, ..CompileOptions::default() };
        let of = |options| -> Vec<&str> {
            let packed = packable(&program, options).into_iter();
            let inputs = program.inputs().iter().zip(packed).filter(|(_, packed)| *packed);
            inputs.map(|(input, _)| input.name.as_str()).collect()
        };
        assert_eq!(of(&options), ["tied", "multiplied"]);
        assert!(of(&CompileOptions::default()).is_empty(), "only where it is asked for");
    }
}
