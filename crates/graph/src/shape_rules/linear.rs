//! Products and norms.

use super::Result;
use super::rule::Rule;
use crate::{DType, TensorType};

impl Rule<'_> {
    pub fn matmul(&self, ta: bool, tb: bool, bias: bool, result: DType) -> Result<Vec<TensorType>> {
        self.arity(2 + usize::from(bias))?;
        self.float(0, "a")?;
        self.weight(1, "b")?;
        self.rank(0, "a", 2)?;
        self.rank(1, "b", 2)?;
        self.attribute(result.is_float(), || format!("gives a float type, not {result}"))?;
        let (a, b) = (self.inputs[0], self.inputs[1]);
        let (m, ka) = if ta { (a.shape[1], a.shape[0]) } else { (a.shape[0], a.shape[1]) };
        let (kb, n) = if tb { (b.shape[1], b.shape[0]) } else { (b.shape[0], b.shape[1]) };
        let what = format!(
            "inner dimensions differ, {ka} and {kb} (a{}, b{})",
            if ta { " transposed" } else { "" },
            if tb { " transposed" } else { "" }
        );
        self.require(ka == kb, &what, a, b)?;
        if bias {
            self.is(2, "bias", DType::F32, &[n])?;
        }
        Ok(vec![TensorType::new(result, [m, n])])
    }

    pub fn norm(&self, group: usize, weighted: bool) -> Result<Vec<TensorType>> {
        self.arity(1 + usize::from(weighted))?;
        self.normalised(group, weighted.then_some(1))?;
        Ok(vec![self.inputs[0].clone()])
    }

    pub fn norm_backward(&self, group: usize, weighted: bool) -> Result<Vec<TensorType>> {
        self.arity(2 + usize::from(weighted))?;
        self.normalised(group, weighted.then_some(2))?;
        self.same(0, 1)?;
        let mut outputs = vec![self.inputs[0].clone()];
        outputs.extend(weighted.then(|| self.inputs[2].clone()));
        Ok(outputs)
    }

    fn normalised(&self, group: usize, weight: Option<usize>) -> Result<()> {
        self.float(0, "x")?;
        let last = self.inputs[0].last();
        self.attribute(group > 0 && last.is_multiple_of(group), || {
            format!("group {group} does not divide the last dimension of {}", self.inputs[0])
        })?;
        weight.map_or(Ok(()), |i| self.is(i, "w", DType::F32, &[group]))
    }
}
