//! Rows of tables. What comes out of a table is f32, whatever it is stored in.

use super::Result;
use super::rule::Rule;
use crate::{DType, TensorType};

impl Rule<'_> {
    pub fn gather(&self) -> Result<Vec<TensorType>> {
        self.arity(2)?;
        self.weight(0, "table")?;
        self.rank(0, "table", 2)?;
        self.rank(1, "ids", 1)?;
        self.is(1, "ids", DType::I32, &self.inputs[1].shape)?;
        Ok(vec![TensorType::f32([self.inputs[1].shape[0], self.inputs[0].shape[1]])])
    }

    pub fn gather_backward(&self, rows: usize) -> Result<Vec<TensorType>> {
        self.arity(2)?;
        self.rank(1, "dy", 2)?;
        self.f32(1, "dy")?;
        self.is(0, "ids", DType::I32, &[self.inputs[1].shape[0]])?;
        Ok(vec![TensorType::f32([rows, self.inputs[1].shape[1]])])
    }
}
