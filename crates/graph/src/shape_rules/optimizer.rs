//! Gradient clipping and updates, all in f32.

use super::Result;
use super::rule::Rule;
use crate::{MuonSpec, TensorType};

impl Rule<'_> {
    pub fn global_norm(&self) -> Result<Vec<TensorType>> {
        self.attribute(!self.inputs.is_empty(), || "needs at least one tensor".into())?;
        (0..self.inputs.len()).try_for_each(|i| self.f32(i, "tensor"))?;
        Ok(vec![TensorType::scalar()])
    }

    pub fn clip_factor(&self, max_norm: f32) -> Result<Vec<TensorType>> {
        self.arity(2)?;
        self.positive("max_norm", max_norm)?;
        self.scalar(0, "norm")?;
        self.scalar(1, "limit")?;
        Ok(vec![TensorType::scalar()])
    }

    pub fn adamw(&self) -> Result<Vec<TensorType>> {
        self.arity(7)?;
        self.f32(0, "p")?;
        (1..4).try_for_each(|i| self.same(0, i))?;
        (4..7).try_for_each(|i| self.scalar(i, "lr, step, factor"))?;
        Ok(vec![self.inputs[0].clone(); 3])
    }

    pub fn muon(&self, spec: &MuonSpec) -> Result<Vec<TensorType>> {
        self.arity(6)?;
        self.f32(0, "p")?;
        self.rank(0, "p", 2)?;
        (1..3).try_for_each(|i| self.same(0, i))?;
        (3..6).try_for_each(|i| self.scalar(i, "lr, momentum, factor"))?;
        self.attribute(spec.iterations > 0, || "needs at least one iteration".into())?;
        Ok(vec![self.inputs[0].clone(); 2])
    }
}
