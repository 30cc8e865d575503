//! Products and norms.

use super::Result;
use super::rule::Rule;
use crate::{DType, TensorType};

impl Rule<'_> {
    pub fn matmul(&self, ta: bool, tb: bool, bias: bool, result: DType) -> Result<Vec<TensorType>> {
        self.arity(2 + usize::from(bias))?;
        self.weight(1, "b")?;
        // Blocks lie along the last dimension: that of the sum, where nothing else is asked for.
        let blocks = !ta && tb && self.inputs[1].dtype.is_quantised();
        if !(blocks && self.inputs[0].dtype == DType::Q8_0) {
            self.float(0, "a")?;
        }
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

    /// A norm over each `group` features, with these vectors of as many after x.
    pub fn norm(&self, group: usize, vectors: &[&'static str]) -> Result<Vec<TensorType>> {
        self.arity(1 + vectors.len())?;
        self.normalised(group, 1, vectors)?;
        Ok(vec![self.inputs[0].clone()])
    }

    /// Its gradient: these vectors after x and dy; dx, then the gradients of so many vectors.
    pub fn norm_backward(
        &self,
        group: usize,
        vectors: &[&'static str],
        gradients: usize,
    ) -> Result<Vec<TensorType>> {
        self.arity(2 + vectors.len())?;
        self.normalised(group, 2, vectors)?;
        self.same(0, 1)?;
        let mut outputs = vec![self.inputs[0].clone()];
        outputs.extend(vec![TensorType::f32([group]); gradients]);
        Ok(outputs)
    }

    /// A layer norm over each `group` features, with these vectors after x, which repeat every so many
    /// features as they have.
    pub fn layer_norm(&self, group: usize, vectors: &[&'static str]) -> Result<Vec<TensorType>> {
        self.arity(1 + vectors.len())?;
        self.repeated(group, 1, vectors)?;
        Ok(vec![self.inputs[0].clone()])
    }

    /// Its gradient: scale after x and dy; dx, then the gradients of so many vectors.
    pub fn layer_norm_backward(&self, group: usize, gradients: usize) -> Result<Vec<TensorType>> {
        self.arity(3)?;
        let period = self.repeated(group, 2, &["scale"])?;
        self.same(0, 1)?;
        let mut outputs = vec![self.inputs[0].clone()];
        outputs.extend(vec![TensorType::f32([period]); gradients]);
        Ok(outputs)
    }

    /// The length of vectors that belong to one or several groups.
    fn repeated(&self, group: usize, first: usize, vectors: &[&'static str]) -> Result<usize> {
        self.grouped(group)?;
        let (x, scale) = (self.inputs[0], self.inputs[first]);
        self.rank(first, vectors[0], 1)?;
        let period = scale.last();
        let fits = period > 0 && period.is_multiple_of(group) && x.last().is_multiple_of(period);
        self.attribute(fits, || {
            format!("`{}` {scale} must be whole groups of {group} and divide {x}", vectors[0])
        })?;
        let mut vectors = vectors.iter().enumerate();
        vectors.try_for_each(|(i, name)| self.is(first + i, name, DType::F32, &[period]))?;
        Ok(period)
    }

    fn grouped(&self, group: usize) -> Result<()> {
        self.float(0, "x")?;
        let last = self.inputs[0].last();
        self.attribute(group > 0 && last.is_multiple_of(group), || {
            format!("group {group} does not divide the last dimension of {}", self.inputs[0])
        })
    }

    fn normalised(&self, group: usize, first: usize, vectors: &[&'static str]) -> Result<()> {
        self.grouped(group)?;
        let mut vectors = vectors.iter().enumerate();
        vectors.try_for_each(|(i, name)| self.is(first + i, name, DType::F32, &[group]))
    }
}
