//! Reorders nodes without changing results.

use crate::{InputKind, Node, Op, Program, ValueId};

impl Program {
    /// Moves every optimizer update to the earliest place it may stand: after its gradient, its
    /// scalars and every other reader of the state it replaces. Gradients then die one by one
    /// instead of living together, where no global norm forces them to.
    pub fn with_early_updates(mut self) -> Self {
        let is_update = |node: &Node| matches!(node.op, Op::AdamW(_) | Op::Muon(_));
        let (updates, order): (Vec<Node>, Vec<Node>) =
            std::mem::take(&mut self.nodes).into_iter().partition(is_update);
        let mut replaced = vec![false; self.types.len()];
        for input in self.inputs.iter().filter(|i| i.kind == InputKind::State) {
            replaced[input.value.index()] = true;
        }
        // Last reader of state, producer of anything else.
        let mut ready = vec![0; self.types.len()];
        for (at, node) in order.iter().enumerate() {
            node.outputs.iter().for_each(|v| ready[v.index()] = at + 1);
            let states = node.inputs.iter().filter(|v| replaced[v.index()]);
            states.for_each(|v| ready[v.index()] = at + 1);
        }
        let place = |v: &ValueId| ready[v.index()];
        let mut placed: Vec<(usize, Node)> = updates
            .into_iter()
            .map(|n| (n.inputs.iter().map(place).max().unwrap_or(0), n))
            .collect();
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
