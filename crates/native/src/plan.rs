//! The memory plan: every value gets a place before anything runs, so peak memory is known.
//! Values whose lives do not overlap share bytes of one arena (greedy by size, as in
//! arXiv 2001.03288 §4.2); an output takes over its input's bytes where the kernel allows it;
//! state is updated in place.

use stoa_graph::{InputKind, Op, Output, Program, ValueId};

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
        let steps = without_reshapes(program);
        let mut layout = Layout::new(program, &steps);
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
        let places: Vec<Place> = of.iter().map(place).collect();
        let copies = program.outputs().iter().filter_map(|output| {
            let Output::Updates { value, .. } = output else { return None };
            let state = updated_state(program, *value)?;
            (places[value.index()] != Place::Input(state)).then_some((*value, state))
        });
        let copies = copies.collect();
        Plan { steps, places, arena_bytes, copies }
    }
}

/// The steps of a program with reshapes resolved: a reshaped value is the same bytes, so later
/// steps read the original and only an output made by a reshape keeps its step.
fn without_reshapes(program: &Program) -> Vec<Step> {
    let mut original: Vec<Option<ValueId>> = vec![None; program.types().len()];
    let mut kept = Vec::new();
    let is_output = |v: ValueId| program.outputs().iter().any(|o| o.value() == v);
    for mut step in steps(program) {
        for input in &mut step.inputs {
            *input = original[input.index()].unwrap_or(*input);
        }
        if matches!(step.kernel, Kernel::Op(Op::Reshape { .. })) && !is_output(step.outputs[0]) {
            original[step.outputs[0].index()] = Some(step.inputs[0]);
        } else {
            kept.push(step);
        }
    }
    kept
}

/// Storages under construction.
struct Layout<'a> {
    program: &'a Program,
    /// Last step that reads each value; `end` for outputs.
    last_read: Vec<usize>,
    storages: Vec<Storage>,
    /// Storage of each value.
    of: Vec<Option<usize>>,
}

impl<'a> Layout<'a> {
    fn new(program: &'a Program, steps: &[Step]) -> Self {
        let mut last_read = vec![0; program.types().len()];
        for (at, step) in steps.iter().enumerate() {
            step.inputs.iter().chain(&step.outputs).for_each(|v| last_read[v.index()] = at);
        }
        program.outputs().iter().for_each(|o| last_read[o.value().index()] = steps.len());
        let mut layout =
            Layout { program, last_read, storages: vec![], of: vec![None; program.types().len()] };
        for (index, input) in program.inputs().iter().enumerate() {
            let last = layout.last_read[input.value.index()];
            let bytes = program.ty(input.value).size_bytes();
            layout.of[input.value.index()] = Some(layout.storages.len());
            layout.storages.push(Storage { bytes, first: 0, last, input: Some(index) });
        }
        layout
    }

    fn place_outputs(&mut self, at: usize, step: &Step) {
        let mut taken: Vec<usize> = Vec::new();
        for (o, &value) in step.outputs.iter().enumerate() {
            let candidates = step.in_place(o).iter().map(|&i| step.inputs[i]);
            let reused = candidates
                .filter_map(|input| self.of[input.index()])
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
        let read_elsewhere = step.inputs.iter().enumerate().any(|(i, v)| {
            self.of[v.index()] == Some(s) && !allowed.contains(&i)
        });
        let roles = step.inputs.iter().filter(|v| self.of[v.index()] == Some(s)).count();
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
