//! The memory plan: every value gets a place before anything runs, so peak memory is known.
//! Values whose lives do not overlap share bytes of one arena (greedy by size, as in
//! arXiv 2001.03288 §4.2); an output takes over its input's bytes where the kernel allows it;
//! state is updated in place.

use stoa_graph::{DType, Elements, InputKind, Op, Output, Program, ValueId};

use crate::gemm::Precision;
use crate::step::{Kernel, Step, steps, updated_state};

/// Cache-line and AVX-512 vector size: the alignment of every place.
pub(crate) const ALIGNMENT: usize = 64;

/// Where a value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the buffer of this input (index among the program's inputs).
    Input(usize),
    /// At this byte offset of the arena.
    Arena(usize),
    /// Nowhere: no step makes or reads it.
    None,
}

/// A program with a place for every value.
#[derive(Debug)]
pub(crate) struct Plan {
    pub steps: Vec<Step>,
    /// By [`ValueId::index`].
    pub places: Vec<Place>,
    pub arena_bytes: usize,
    /// Updates that could not happen in place: value, and the state input it is copied to.
    pub copies: Vec<(ValueId, usize)>,
}

/// A run of bytes shared by values that alias each other.
#[derive(Clone, Debug)]
struct Storage {
    bytes: usize,
    first: usize,
    last: usize,
    /// The input whose buffer this is, if any.
    input: Option<usize>,
}

impl Plan {
    /// Plans a program.
    pub fn new(program: &Program) -> Self {
        let (steps, originals) = without_views(program);
        let mut layout = Layout::new(program, &steps, &originals);
        for (at, step) in steps.iter().enumerate() {
            layout.place_outputs(at, step);
        }
        let Layout { storages, of, .. } = layout;
        let offsets = offsets(&storages);
        let arena_bytes = storages.iter().zip(&offsets).map(|(s, o)| match s.input {
            Some(_) => 0,
            None => o + s.bytes,
        });
        let arena_bytes = arena_bytes.max().unwrap_or(0);
        let place = |storage: &Option<usize>| match storage {
            None => Place::None,
            Some(s) => storages[*s].input.map_or(Place::Arena(offsets[*s]), Place::Input),
        };
        let places: Vec<Place> = originals.iter().map(|&v| place(&of[v])).collect();
        let copies = program.outputs().iter().filter_map(|output| {
            let Output::Updates { value, .. } = output else { return None };
            let state = updated_state(program, *value)?;
            (places[value.index()] != Place::Input(state)).then_some((*value, state))
        });
        let copies = copies.collect();
        Plan { steps, places, arena_bytes, copies }
    }
}

/// The steps of a program with views resolved, and for each value the one whose bytes it is (both
/// by index). A view is the bytes of its original under another shape, and only an output made by
/// a view keeps its step. A cast to bf16 that products alone read is resolved too: they read what
/// is cast and round it themselves.
fn without_views(program: &Program) -> (Vec<Step>, Vec<usize>) {
    let mut originals: Vec<usize> = (0..program.types().len()).collect();
    let mut unrounded: Vec<Option<ValueId>> = vec![None; program.types().len()];
    let mut kept = Vec::new();
    let steps = steps(program);
    let mut resolvable = readers_round(program, &steps);
    program.outputs().iter().for_each(|o| resolvable[o.value().index()] = false);
    let is_output = |v: ValueId| program.outputs().iter().any(|o| o.value() == v);
    for mut step in steps {
        for input in &mut step.inputs {
            *input = unrounded[input.index()].unwrap_or(*input);
        }
        let made = step.outputs[0];
        if is_view(&step.kernel) && !is_output(made) {
            originals[made.index()] = originals[step.inputs[0].index()];
        } else if resolvable[made.index()] && is_rounding(program, &step) {
            unrounded[made.index()] = Some(step.inputs[0]);
        } else {
            kept.push(step);
        }
    }
    (kept, originals)
}

fn is_view(kernel: &Kernel) -> bool {
    match kernel {
        Kernel::Op(op) => op.facts().elements == Elements::Viewed,
        Kernel::Adding(_) | Kernel::ProductThen { .. } => false,
    }
}

/// Whether a step only rounds f32 to bf16.
fn is_rounding(program: &Program, step: &Step) -> bool {
    step.kernel == Kernel::Op(Op::Cast { dtype: DType::BF16 })
        && program.ty(step.inputs[0]).dtype == DType::F32
}

/// Of each value, whether its readers are products that round what they read to bf16.
fn readers_round(program: &Program, steps: &[Step]) -> Vec<bool> {
    let mut rounded = vec![true; program.types().len()];
    for step in steps {
        let operands = if step.precision == Precision::Bf16 { 2 } else { 0 };
        step.inputs[operands..].iter().for_each(|v| rounded[v.index()] = false);
    }
    rounded
}

/// Storages under construction. Of values that are the same bytes, the original stands for all.
struct Layout<'a> {
    program: &'a Program,
    originals: &'a [usize],
    /// Last step that reads each value; `end` for outputs.
    last_read: Vec<usize>,
    storages: Vec<Storage>,
    /// Storage of each value.
    of: Vec<Option<usize>>,
}

impl<'a> Layout<'a> {
    fn new(program: &'a Program, steps: &[Step], originals: &'a [usize]) -> Self {
        let mut last_read = vec![0; originals.len()];
        for (at, step) in steps.iter().enumerate() {
            let values = step.inputs.iter().chain(&step.outputs);
            values.for_each(|v| last_read[originals[v.index()]] = at);
        }
        let outputs = program.outputs().iter();
        outputs.for_each(|o| last_read[originals[o.value().index()]] = steps.len());
        let of = vec![None; originals.len()];
        let mut layout = Layout { program, originals, last_read, storages: vec![], of };
        for (index, input) in program.inputs().iter().enumerate() {
            let last = layout.last_read[input.value.index()];
            let bytes = program.ty(input.value).size_bytes();
            layout.of[input.value.index()] = Some(layout.storages.len());
            layout.storages.push(Storage { bytes, first: 0, last, input: Some(index) });
        }
        layout
    }

    /// Storage of a value or of its original.
    fn storage(&self, value: ValueId) -> Option<usize> {
        self.of[self.originals[value.index()]]
    }

    fn place_outputs(&mut self, at: usize, step: &Step) {
        let mut taken: Vec<usize> = Vec::new();
        for (o, &value) in step.outputs.iter().enumerate() {
            let candidates = step.in_place(o).into_iter().map(|i| step.inputs[i]);
            let reused = candidates
                .filter_map(|input| self.storage(input))
                .find(|s| !taken.contains(s) && self.may_take(*s, value, at, step, o));
            let storage = reused.unwrap_or_else(|| {
                let bytes = self.program.ty(value).size_bytes();
                self.storages.push(Storage { bytes, first: at, last: at, input: None });
                self.storages.len() - 1
            });
            taken.push(storage);
            let last = &mut self.storages[storage].last;
            *last = (*last).max(self.last_read[value.index()]);
            self.of[value.index()] = Some(storage);
        }
    }

    /// Whether output `o` of the step at `at` may overwrite storage `s`.
    fn may_take(&self, s: usize, value: ValueId, at: usize, step: &Step, o: usize) -> bool {
        let storage = &self.storages[s];
        let dead_after = storage.last <= at;
        let fits = storage.bytes == self.program.ty(value).size_bytes();
        // The same storage given in another role would be overwritten while still being read.
        let allowed = step.in_place(o);
        let read_elsewhere = step
            .inputs
            .iter()
            .enumerate()
            .any(|(i, &v)| self.storage(v) == Some(s) && !allowed.contains(&i));
        let roles = step.inputs.iter().filter(|&&v| self.storage(v) == Some(s)).count();
        let owner = match storage.input {
            None => true,
            Some(i) => {
                let input = &self.program.inputs()[i];
                input.kind == InputKind::State && updated_state(self.program, value) == Some(i)
            }
        };
        dead_after && fits && !read_elsewhere && owner && roles == 1
    }
}

/// Byte offsets of the arena storages: largest first, each at the lowest gap among those placed
/// that live at the same time.
fn offsets(storages: &[Storage]) -> Vec<usize> {
    let mut order: Vec<usize> =
        (0..storages.len()).filter(|&s| storages[s].input.is_none()).collect();
    order.sort_by_key(|&s| (std::cmp::Reverse(storages[s].bytes), storages[s].first));
    let mut offsets = vec![0; storages.len()];
    let mut placed: Vec<usize> = Vec::new();
    for s in order {
        let this = &storages[s];
        let alive = |p: &&usize| {
            let other = &storages[**p];
            other.first <= this.last && this.first <= other.last
        };
        let mut busy: Vec<(usize, usize)> = placed
            .iter()
            .filter(alive)
            .map(|&p| (offsets[p], offsets[p] + padded(storages[p].bytes)))
            .collect();
        busy.sort_unstable();
        let mut offset = 0;
        for (start, end) in busy {
            if offset + padded(this.bytes) <= start {
                break;
            }
            offset = offset.max(end);
        }
        offsets[s] = offset;
        placed.push(s);
    }
    offsets
}

fn padded(bytes: usize) -> usize {
    bytes.max(1).next_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use stoa_graph::{
        AdamWSpec, AttentionSpec, Builder, Nonlinearity, Recompute, RopeSpec, TensorType, gradients,
    };

    use super::*;

    /// Plays the plan and checks that no value is overwritten before its last reader.
    fn assert_sound(program: &Program, plan: &Plan) {
        let mut writer: Vec<(Place, usize, ValueId)> = Vec::new();
        let overlap = |a: (Place, usize), b: (Place, usize)| match (a.0, b.0) {
            (Place::Arena(x), Place::Arena(y)) => x < y + b.1 && y < x + a.1,
            (x, y) => x == y && x != Place::None,
        };
        let span = |v: ValueId| (plan.places[v.index()], program.ty(v).size_bytes());
        let mut write = |v: ValueId| {
            let new = span(v);
            writer.retain(|(place, bytes, _)| !overlap((*place, *bytes), new));
            writer.push((new.0, new.1, v));
            writer.clone()
        };
        let mut held = Vec::new();
        for input in program.inputs() {
            held = write(input.value);
        }
        let (_, originals) = without_views(program);
        for step in &plan.steps {
            for v in step.inputs.iter().map(|v| originals[v.index()]) {
                let is_held = held.iter().any(|(_, _, h)| h.index() == v);
                assert!(is_held, "{step:?} reads a value overwritten");
            }
            for &v in &step.outputs {
                held = write(v);
            }
            for v in &step.outputs {
                assert!(held.iter().any(|(_, _, h)| h == v), "outputs of {step:?} overlap");
            }
        }
        for output in program.outputs() {
            let v = output.value();
            assert!(held.iter().any(|(_, _, h)| *h == v), "an output was overwritten");
        }
    }

    /// A training step of a small transformer block, with state updated in place.
    fn step_program(recompute: Recompute, early: bool, products: DType) -> Program {
        let operand = |b: &mut Builder, x| match products {
            DType::F32 => x,
            narrow => b.cast(x, narrow).unwrap(),
        };
        let (tokens, d, vocab) = (12, 8, 11);
        let mut b = Builder::new();
        let ids = b.data("ids", TensorType::i32([tokens])).unwrap();
        let targets = b.data("targets", TensorType::i32([tokens])).unwrap();
        let positions = b.data("positions", TensorType::i32([tokens, 1])).unwrap();
        let weights = b.data("weights", TensorType::f32([tokens])).unwrap();
        let one = b.data("one", TensorType::scalar()).unwrap();
        let mut params = Vec::new();
        let mut param = |b: &mut Builder, name: &str, shape: [usize; 2]| {
            let v = b.state(name, TensorType::f32(shape)).unwrap();
            params.push((name.to_owned(), v));
            v
        };
        let table = param(&mut b, "table", [vocab, d]);
        let mut x = b.gather(table, ids).unwrap();
        for layer in 0..2 {
            let w: Vec<ValueId> = ["q", "k", "v", "o"]
                .map(|n| param(&mut b, &format!("{n}{layer}"), [d, d]))
                .to_vec();
            let up = param(&mut b, &format!("up{layer}"), [16, d]);
            let down = param(&mut b, &format!("down{layer}"), [d, 16]);
            let h = b.rms_norm(x, None, 1e-5).unwrap();
            let rope = RopeSpec::geometric(4, 1e4, 1);
            let h = operand(&mut b, h);
            let w: Vec<ValueId> = w.iter().map(|&w| operand(&mut b, w)).collect();
            let q = b.linear_in(h, w[0], DType::F32).unwrap();
            let q = b.rope(q, positions, rope.clone()).unwrap();
            let k = b.linear_in(h, w[1], DType::F32).unwrap();
            let k = b.rope(k, positions, rope.clone()).unwrap();
            let v = b.linear_in(h, w[2], DType::F32).unwrap();
            let spec = AttentionSpec {
                batch: 2,
                heads: 2,
                kv_heads: 2,
                head_dim: 4,
                causal: true,
                window: None,
                scale: 0.5,
                score_cap: None,
            };
            let (a, _) = b.attention(q, k, v, None, spec).unwrap();
            let a = operand(&mut b, a);
            x = b.linear_residual(a, w[3], x).unwrap();
            let h = b.rms_norm(x, None, 1e-5).unwrap();
            let (h, up) = (operand(&mut b, h), operand(&mut b, up));
            let h = b.linear_in(h, up, DType::F32).unwrap();
            let h = b.activation(h, Nonlinearity::ReluSquared).unwrap();
            let (h, down) = (operand(&mut b, h), operand(&mut b, down));
            x = b.linear_residual(h, down, x).unwrap();
        }
        let (x, head) = (operand(&mut b, x), operand(&mut b, table));
        let (loss, _) = b.cross_entropy(x, head, targets, weights, None).unwrap();
        let wrt: Vec<ValueId> = params.iter().map(|(_, v)| *v).collect();
        let grads = gradients(&mut b, loss, &wrt, &[], recompute).unwrap();
        b.returns("loss", grads.current(loss)).unwrap();
        for ((name, p), g) in params.iter().zip(&grads.values) {
            let ty = b.ty(*p).clone();
            let m = b.state(format!("{name}.m"), ty.clone()).unwrap();
            let v = b.state(format!("{name}.v"), ty).unwrap();
            let spec =
                AdamWSpec { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0, lr_scale: 1.0 };
            let [p, m, v] = b.adamw([*p, *g, m, v, one, one, one], spec).unwrap();
            b.updates(name, p).unwrap();
            b.updates(&format!("{name}.m"), m).unwrap();
            b.updates(&format!("{name}.v"), v).unwrap();
        }
        let program = b.finish();
        if early { program.with_early_updates() } else { program }
    }

    #[test]
    fn no_value_is_overwritten_while_it_is_needed() {
        for recompute in
            [Recompute::Nothing, Recompute::Cheap, Recompute::Projections, Recompute::Blocks]
        {
            for (early, products) in [false, true]
                .into_iter()
                .flat_map(|early| [(early, DType::F32), (early, DType::BF16)])
            {
                let program = step_program(recompute, early, products);
                let plan = Plan::new(&program);
                assert_sound(&program, &plan);
                assert!(plan.copies.is_empty(), "all updates happen in place");
                let cast = Kernel::Op(Op::Cast { dtype: DType::BF16 });
                let kept = plan.steps.iter().filter(|step| step.kernel == cast).count();
                assert_eq!(kept, 0, "products round what they read");
                let adds = plan.steps.iter().filter(|step| step.kernel == Kernel::Op(Op::Add));
                assert_eq!(adds.count(), 0, "products, norms and losses add to the sum so far");
            }
        }
    }

    #[test]
    fn lives_that_do_not_overlap_share_bytes() {
        let program = step_program(Recompute::Nothing, false, DType::F32);
        let every_value: usize = program
            .nodes()
            .iter()
            .flat_map(|n| &n.outputs)
            .map(|v| program.ty(*v).size_bytes())
            .sum();
        assert!(Plan::new(&program).arena_bytes < every_value / 2);
    }

    #[test]
    fn traded_states_are_copied() {
        let mut b = Builder::new();
        let x = b.state("x", TensorType::f32([3])).unwrap();
        let y = b.state("y", TensorType::f32([3])).unwrap();
        b.updates("x", y).unwrap();
        b.updates("y", x).unwrap();
        let plan = Plan::new(&b.finish());
        assert_eq!(plan.copies, [(y, 0), (x, 1)]);
    }
}
