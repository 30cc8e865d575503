//! The inputs of one op, and the checks that rules are made of.

use super::Result;
use crate::{DType, GraphError, TensorType};

/// The inputs of one op.
pub(super) struct Rule<'a> {
    pub op: &'static str,
    pub inputs: &'a [&'a TensorType],
}

impl<'a> Rule<'a> {
    pub fn new(op: &'static str, inputs: &'a [&'a TensorType]) -> Self {
        Rule { op, inputs }
    }

    pub fn arity(&self, expected: usize) -> Result<()> {
        if self.inputs.len() == expected {
            return Ok(());
        }
        let found = self.inputs.len();
        Err(GraphError::Arity { op: self.op, expected: expected.to_string(), found })
    }

    pub fn attribute(&self, holds: bool, message: impl FnOnce() -> String) -> Result<()> {
        if holds { Ok(()) } else { Err(GraphError::Attribute { op: self.op, message: message() }) }
    }

    pub fn positive(&self, name: &str, value: f32) -> Result<()> {
        self.attribute(value > 0.0, || format!("{name} must be positive, is {value}"))
    }

    pub fn require(
        &self,
        holds: bool,
        what: &str,
        left: &TensorType,
        right: &TensorType,
    ) -> Result<()> {
        if holds {
            return Ok(());
        }
        let (left, right) = (left.clone(), right.clone());
        Err(GraphError::Mismatch { op: self.op, what: what.to_owned(), left, right })
    }

    pub fn input(
        &self,
        i: usize,
        input: &'static str,
        holds: bool,
        expected: String,
    ) -> Result<()> {
        if holds {
            return Ok(());
        }
        Err(GraphError::Input { op: self.op, input, expected, found: self.inputs[i].clone() })
    }

    pub fn same(&self, i: usize, j: usize) -> Result<()> {
        let (left, right) = (self.inputs[i], self.inputs[j]);
        self.require(left == right, &format!("inputs {i} and {j} must have one type"), left, right)
    }

    pub fn f32(&self, i: usize, input: &'static str) -> Result<()> {
        self.input(i, input, self.inputs[i].dtype == DType::F32, "f32".into())
    }

    /// What keys or values are kept in.
    pub fn cache(&self, i: usize, input: &'static str) -> Result<()> {
        let dtype = self.inputs[i].dtype;
        let kept = dtype.is_float() || dtype == DType::Q8_0;
        self.input(i, input, kept, "f32, bf16, f16 or q8_0".into())
    }

    /// An activation.
    pub fn float(&self, i: usize, input: &'static str) -> Result<()> {
        self.input(i, input, self.inputs[i].dtype.is_float(), "f32, bf16 or f16".into())
    }

    /// A float or quantised type.
    pub fn weight(&self, i: usize, input: &'static str) -> Result<()> {
        let dtype = self.inputs[i].dtype;
        let real = dtype.is_float() || dtype.is_quantised();
        self.input(i, input, real, "of real numbers: f32, bf16, f16, q8_0 or q4_0".into())
    }

    pub fn rank(&self, i: usize, input: &'static str, rank: usize) -> Result<()> {
        self.input(i, input, self.inputs[i].shape.len() == rank, format!("{rank}-dimensional"))
    }

    pub fn is(&self, i: usize, input: &'static str, dtype: DType, shape: &[usize]) -> Result<()> {
        let expected = TensorType::new(dtype, shape);
        self.input(i, input, *self.inputs[i] == expected, expected.to_string())
    }

    pub fn scalar(&self, i: usize, input: &'static str) -> Result<()> {
        self.is(i, input, DType::F32, &[])
    }
}
