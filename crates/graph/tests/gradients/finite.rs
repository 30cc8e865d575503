//! Gradients against central differences: programs of drawn inputs, and the comparison.

use std::collections::BTreeMap;

use stoa_graph::reference::{Array, run};
use stoa_graph::{Builder, DType, Program, Recompute, TensorType, ValueId, gradients};

use crate::draws::Draws;

pub const POLICIES: [Recompute; 4] =
    [Recompute::Nothing, Recompute::Cheap, Recompute::Projections, Recompute::Blocks];

/// An input of a test program.
pub struct Given {
    pub name: String,
    pub dtype: DType,
    pub value: Array,
    pub differentiate: bool,
}

/// Inputs by position, with the random numbers they are drawn from.
pub struct Inputs {
    pub draws: Draws,
    pub given: Vec<Given>,
}

impl Inputs {
    pub fn new(seed: u64) -> Self {
        Inputs { draws: Draws::new(seed), given: Vec::new() }
    }

    pub fn push(mut self, dtype: DType, value: Array, differentiate: bool) -> Self {
        let name = format!("x{}", self.given.len());
        self.given.push(Given { name, dtype, value, differentiate });
        self
    }

    /// A tensor to differentiate by.
    pub fn wrt(self, shape: &[usize]) -> Self {
        self.wrt_as(DType::F32, shape)
    }

    pub fn wrt_as(mut self, dtype: DType, shape: &[usize]) -> Self {
        let value = self.draws.array(shape);
        self.push(dtype, value, true)
    }

    /// A tensor the gradient is not wanted for.
    pub fn constant(mut self, shape: &[usize]) -> Self {
        let value = self.draws.array(shape);
        self.push(DType::F32, value, false)
    }

    /// Integers in a range.
    pub fn integers(mut self, shape: &[usize], range: std::ops::Range<i64>) -> Self {
        let value = self.draws.integers(shape, range);
        self.push(DType::I32, value, false)
    }

    /// These integers.
    pub fn exactly(self, integers: &[i32]) -> Self {
        let data: Vec<f64> = integers.iter().map(|&i| f64::from(i)).collect();
        self.push(DType::I32, Array::new([integers.len()], data), false)
    }

    pub fn map(&self) -> BTreeMap<String, Array> {
        self.given.iter().map(|g| (g.name.clone(), g.value.clone())).collect()
    }

    /// Declares the inputs; their values.
    pub fn declare(&self, b: &mut Builder) -> Vec<ValueId> {
        let declare = |g: &Given| {
            let ty = TensorType::new(g.dtype, g.value.shape.clone());
            b.state(g.name.clone(), ty).unwrap()
        };
        self.given.iter().map(declare).collect()
    }

    pub fn wanted(&self) -> Vec<usize> {
        (0..self.given.len()).filter(|&i| self.given[i].differentiate).collect()
    }
}

/// Σ c·y with fixed odd coefficients: a scalar every element of y matters to.
pub fn weighed(b: &mut Builder, y: ValueId) -> ValueId {
    let n = b.ty(y).elements();
    let row = b.reshape(y, [1, n]).unwrap();
    let c = b.data(format!("weigh{}", y.index()), TensorType::f32([1, n])).unwrap();
    let sum = b.matmul(row, c, false, true).unwrap();
    b.reshape(sum, []).unwrap()
}

pub fn weigh_inputs(program: &Program, inputs: &mut BTreeMap<String, Array>) {
    for input in program.inputs().iter().filter(|i| i.name.starts_with("weigh")) {
        let n = program.ty(input.value).elements();
        inputs.insert(input.name.clone(), Draws::new(n as u64).array(&[1, n]));
    }
}

/// Loss and gradients of a scalar function, as two programs with the same inputs.
pub struct Differentiated {
    pub inputs: BTreeMap<String, Array>,
    pub forward: Program,
    pub backward: Program,
    pub wanted: Vec<String>,
}

pub fn differentiate(
    inputs: &Inputs,
    recompute: Recompute,
    build: impl Fn(&mut Builder, &[ValueId]) -> ValueId,
) -> Differentiated {
    let mut b = Builder::new();
    let values = inputs.declare(&mut b);
    let y = build(&mut b, &values);
    let loss = if b.ty(y).shape.is_empty() { y } else { weighed(&mut b, y) };
    let mut forward = b.clone();
    forward.returns("loss", loss).unwrap();
    let wanted = inputs.wanted();
    let wrt: Vec<ValueId> = wanted.iter().map(|&i| values[i]).collect();
    let grads = gradients(&mut b, loss, &wrt, &[], recompute).unwrap();
    for (&i, &g) in wanted.iter().zip(&grads.values) {
        b.returns(inputs.given[i].name.clone(), g).unwrap();
    }
    let (forward, backward) = (forward.finish(), b.finish());
    let mut map = inputs.map();
    weigh_inputs(&forward, &mut map);
    let wanted = wanted.iter().map(|&i| inputs.given[i].name.clone()).collect();
    Differentiated { inputs: map, forward, backward, wanted }
}

impl Differentiated {
    pub fn loss(&self, inputs: &BTreeMap<String, Array>) -> f64 {
        run(&self.forward, inputs).unwrap()["loss"].data[0]
    }

    pub fn gradients(&self) -> BTreeMap<String, Array> {
        run(&self.backward, &self.inputs).unwrap()
    }

    /// Central difference along `direction` of the input `name`.
    pub fn slope(&self, name: &str, direction: &[f64]) -> f64 {
        // Truncation is of order h², rounding of order 2⁻⁵²/h; both are near 1e-10 here.
        const H: f64 = 1e-5;
        let at = |h: f64| {
            let mut inputs = self.inputs.clone();
            let x = &mut inputs.get_mut(name).unwrap().data;
            x.iter_mut().zip(direction).for_each(|(x, d)| *x += h * d);
            self.loss(&inputs)
        };
        (at(H) - at(-H)) / (2.0 * H)
    }

    /// Compares every coordinate of small tensors, some of large ones, and a random direction.
    pub fn check(&self, what: &str) {
        // Third derivatives of these programs are below 1e3: 1e3·h² = 1e-7.
        const TOLERANCE: f64 = 1e-7;
        let gradients = self.gradients();
        for name in &self.wanted {
            let g = &gradients[name];
            assert_eq!(g.shape, self.inputs[name].shape, "{what}: shape of the gradient by {name}");
            let scale = g.data.iter().fold(1.0, |m: f64, g| m.max(g.abs()));
            let close = |direction: &[f64], of: &str| {
                let expected = self.slope(name, direction);
                let found: f64 = g.data.iter().zip(direction).map(|(g, d)| g * d).sum();
                assert!(
                    (expected - found).abs() <= TOLERANCE * scale * direction.len() as f64,
                    "{what}: gradient by {name} along {of}: {found}, finite difference {expected}"
                );
            };
            let n = g.data.len();
            let stride = n.div_ceil(24);
            for i in (0..n).step_by(stride.max(1)) {
                let mut direction = vec![0.0; n];
                direction[i] = 1.0;
                close(&direction, &format!("coordinate {i}"));
            }
            close(&Draws::new(7).array(&[n]).data, "a random direction");
        }
    }
}

pub fn check(what: &str, inputs: &Inputs, build: impl Fn(&mut Builder, &[ValueId]) -> ValueId) {
    differentiate(inputs, Recompute::Nothing, build).check(what);
}
