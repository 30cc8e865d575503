//! Constants, views, casts and pointwise ops.

use super::Result;
use super::rule::Rule;
use crate::{DType, Nonlinearity, TensorType};

impl Rule<'_> {
    pub fn fill(&self, ty: &TensorType) -> Result<Vec<TensorType>> {
        self.arity(0)?;
        let numbers = !ty.dtype.is_quantised();
        self.attribute(numbers, || format!("fills numbers, not {}", ty.dtype))?;
        Ok(vec![ty.clone()])
    }

    pub fn reshape(&self, shape: &[usize]) -> Result<Vec<TensorType>> {
        self.arity(1)?;
        let x = self.inputs[0];
        let ty = TensorType::new(x.dtype, shape).checked()?;
        self.require(ty.elements() == x.elements(), "element counts differ", x, &ty)?;
        Ok(vec![ty])
    }

    pub fn cast(&self, dtype: DType) -> Result<Vec<TensorType>> {
        self.arity(1)?;
        self.weight(0, "x")?;
        let x = self.inputs[0];
        let activation = dtype == DType::Q8_0 && x.dtype.is_float();
        self.attribute(dtype.is_float() || activation, || {
            format!("casts to float types, and floats to q8_0; not {} to {dtype}", x.dtype)
        })?;
        Ok(vec![TensorType::new(dtype, x.shape.clone()).checked()?])
    }

    /// Float tensors of one type, and a result of that type.
    pub fn pointwise(&self, arity: usize) -> Result<Vec<TensorType>> {
        self.arity(arity)?;
        self.float(0, "first")?;
        (1..arity).try_for_each(|i| self.same(0, i))?;
        Ok(vec![self.inputs[0].clone()])
    }

    pub fn nonlinear(&self, f: Nonlinearity, arity: usize) -> Result<Vec<TensorType>> {
        match f {
            Nonlinearity::SoftCap { cap } => self.positive("cap", cap)?,
            Nonlinearity::ReluSquared
            | Nonlinearity::Relu
            | Nonlinearity::Silu
            | Nonlinearity::Gelu
            | Nonlinearity::GeluExact => {}
        }
        self.pointwise(arity)
    }

    pub fn gated_backward(&self, f: Nonlinearity) -> Result<Vec<TensorType>> {
        self.nonlinear(f, 3)?;
        Ok(vec![self.inputs[0].clone(); 2])
    }
}
