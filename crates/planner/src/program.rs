//! Exact work of a tensor program, where there is one: FLOPs and bytes off its graph, and the time
//! an accelerator would need for them by a roofline over its nodes. Shapes alone are planned by
//! [`crate::time`]; this is the check that both count alike.

use stoa_graph::{Program, node_cost, program_cost};

use crate::calibration::Constants;
use crate::hardware::Gpu;
use crate::units::{Bytes, Flops, Seconds};

/// Work of a program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Operations, the causal half of attention skipped.
    pub flops: Flops,
    /// Bytes read and written if nothing is fused.
    pub bytes: Bytes,
}

/// Work of a whole program.
pub fn work(program: &Program) -> Work {
    let cost = program_cost(program);
    Work { flops: Flops(cost.flops as f64), bytes: Bytes(cost.bytes as f64) }
}

/// Time of a program on one device: each node takes as long as its arithmetic or its memory traffic,
/// whichever is longer, at the fitted shares of both.
pub fn seconds(program: &Program, gpu: &Gpu, constants: &Constants) -> Seconds {
    let rate = gpu.gemm_bf16 * constants.gemm_bf16;
    let bandwidth = gpu.hbm * constants.pointwise;
    program
        .nodes()
        .iter()
        .map(|node| {
            let cost = node_cost(program, node);
            (Flops(cost.flops as f64) / rate).max(Bytes(cost.bytes as f64) / bandwidth)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use stoa_graph::{AttentionSpec, Builder, Nonlinearity, TensorType};

    use super::*;
    use crate::hardware::Accelerators;
    use crate::model::ModelShape;

    /// The products and attention of one block of a model, forward, on `seq` tokens.
    fn block(model: &ModelShape, seq: usize) -> Program {
        let mut b = Builder::new();
        let (h, kv) = (model.hidden, model.kv_heads * model.head_dim);
        let x = b.data("x", TensorType::f32([seq, h])).unwrap();
        let linear = |b: &mut Builder, name: &str, x, from: usize, to: usize| {
            let w = b.data(name, TensorType::f32([to, from])).unwrap();
            b.linear(x, w).unwrap()
        };
        let q = linear(&mut b, "q", x, h, model.heads * model.head_dim);
        let k = linear(&mut b, "k", x, h, kv);
        let v = linear(&mut b, "v", x, h, kv);
        let spec = AttentionSpec {
            batch: 1,
            heads: model.heads,
            kv_heads: model.kv_heads,
            head_dim: model.head_dim,
            causal: true,
            window: None,
            scale: 1.0,
            score_cap: None,
        };
        let (mixed, _) = b.attention(q, k, v, None, spec).unwrap();
        let o = linear(&mut b, "o", mixed, model.heads * model.head_dim, h);
        let gate = linear(&mut b, "gate", o, h, model.ffn);
        let up = linear(&mut b, "up", o, h, model.ffn);
        let wide = b.gated(gate, up, Nonlinearity::Silu).unwrap();
        let down = linear(&mut b, "down", wide, model.ffn, h);
        b.returns("y", down).unwrap();
        b.finish()
    }

    #[test]
    fn a_block_of_the_graph_has_the_flops_of_its_shape() {
        let model = ModelShape::dense("test", 1, 256, 768, 4, 2, 1000);
        let seq = 512;
        let exact = work(&block(&model, seq));
        // A third of training without the head: attention causal, as the graph counts it.
        let head = 6.0 * (model.vocab * model.hidden) as f64;
        let shape = (model.train_flops_per_token(seq, true).0 - head) / 3.0 * seq as f64;
        // The graph adds SwiGLU and the diagonal of the mask: under 1 %.
        assert!((exact.flops.0 / shape - 1.0).abs() < 0.01, "{} {shape}", exact.flops.0);
        let known = Accelerators::published();
        let time = seconds(&block(&model, seq), known.find("h100").unwrap(), &Constants::PRIOR);
        assert!(time > exact.flops / known.find("h100").unwrap().bf16);
    }
}
