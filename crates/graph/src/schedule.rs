//! Reorders nodes without changing results.

use crate::{InputKind, Node, Op, Program, ValueId};

impl Program {
    /// Moves every optimizer update to the earliest place it may stand: after its gradient, its
    /// scalars and, unless one of these readers needs the updated value, every other reader of the
    /// state it replaces. Gradients then die one by one instead of living together, where no
    /// global norm forces them to. Scalars made of nothing but given scalars go first, so that no
    /// update waits for them.
    pub fn with_early_updates(mut self) -> Self {
        let is_update = |node: &Node| node.op.facts().is_update;
        let (updates, order): (Vec<Node>, Vec<Node>) =
            std::mem::take(&mut self.nodes).into_iter().partition(is_update);
        let order = scalars_first(&self, order);
        let Uses { mut made, last_reader, first_reader } = uses(&self, &order);
        let mut placed: Vec<(usize, Node)> = Vec::with_capacity(updates.len());
        for node in updates {
            let latest =
                |of: &[usize]| node.inputs.iter().map(|v| of[v.index()]).max().unwrap_or(0);
            let needed = node.outputs.iter().map(|v| first_reader[v.index()]).min();
            let at = latest(&last_reader).min(needed.unwrap_or(usize::MAX)).max(latest(&made));
            // An update of what this one makes stands after it.
            node.outputs.iter().for_each(|v| made[v.index()] = at);
            placed.push((at, node));
        }
        placed.sort_by_key(|(at, _)| *at);
        let mut placed = placed.into_iter().peekable();
        for (at, node) in order.into_iter().enumerate() {
            while let Some((_, update)) = placed.next_if(|(p, _)| *p <= at) {
                self.nodes.push(update);
            }
            self.nodes.push(node);
        }
        self.nodes.extend(placed.map(|(_, update)| update));
        self
    }
}

/// `order` with the nodes that make scalars of input scalars alone, or of nothing, in front.
fn scalars_first(program: &Program, order: Vec<Node>) -> Vec<Node> {
    let is_scalar = |v: ValueId| program.ty(v).shape.is_empty();
    let mut given = vec![false; program.types.len()];
    for input in program.inputs.iter().filter(|i| is_scalar(i.value)) {
        given[input.value.index()] = true;
    }
    let (mut first, rest): (Vec<Node>, Vec<Node>) = order.into_iter().partition(|node| {
        let early = node.inputs.iter().all(|v| given[v.index()])
            && node.outputs.iter().all(|&v| is_scalar(v));
        node.outputs.iter().for_each(|v| given[v.index()] = early);
        early
    });
    first.extend(rest);
    first
}

/// Places in an order of nodes, by value; place i is before node i.
struct Uses {
    /// First place where the value is made; 0 for inputs.
    made: Vec<usize>,
    /// First place after all readers of a state, or of what is cast from it, which an engine may
    /// read through; 0 for other values.
    last_reader: Vec<usize>,
    /// Last place before all readers.
    first_reader: Vec<usize>,
}

fn uses(program: &Program, order: &[Node]) -> Uses {
    let values = program.types.len();
    // The state that a value is, or is cast from.
    let mut state_of: Vec<Option<usize>> = vec![None; values];
    for input in program.inputs.iter().filter(|i| i.kind == InputKind::State) {
        state_of[input.value.index()] = Some(input.value.index());
    }
    let mut uses = Uses {
        made: vec![0; values],
        last_reader: vec![0; values],
        first_reader: vec![usize::MAX; values],
    };
    for (at, node) in order.iter().enumerate() {
        node.outputs.iter().for_each(|v| uses.made[v.index()] = at + 1);
        for v in node.inputs.iter().map(|v: &ValueId| v.index()) {
            uses.first_reader[v] = uses.first_reader[v].min(at);
            if let Some(state) = state_of[v] {
                uses.last_reader[state] = at + 1;
            }
        }
        if matches!(node.op, Op::Cast { .. }) {
            state_of[node.outputs[0].index()] = state_of[node.inputs[0].index()];
        }
    }
    uses
}
