//! Losses: f32 of activations of any float type.

use super::Result;
use super::rule::Rule;
use crate::{DType, TensorType};

impl Rule<'_> {
    pub fn cross_entropy(&self, softcap: Option<f32>) -> Result<Vec<TensorType>> {
        self.arity(4)?;
        self.head(softcap)?;
        Ok(vec![TensorType::scalar(), TensorType::f32([self.inputs[0].shape[0]])])
    }

    pub fn cross_entropy_backward(&self, softcap: Option<f32>) -> Result<Vec<TensorType>> {
        self.arity(5)?;
        self.head(softcap)?;
        self.scalar(4, "dloss")?;
        let dw = TensorType::f32(self.inputs[1].shape.clone());
        let nll = TensorType::f32([self.inputs[0].shape[0]]);
        let dx = TensorType::f32(self.inputs[0].shape.clone());
        Ok(vec![dx, dw, TensorType::scalar(), nll])
    }

    /// x, the layer that makes logits of it, targets and their weights.
    fn head(&self, softcap: Option<f32>) -> Result<()> {
        self.float(0, "x")?;
        self.rank(0, "x", 2)?;
        self.weight(1, "w")?;
        self.rank(1, "w", 2)?;
        let (x, w) = (self.inputs[0], self.inputs[1]);
        self.require(x.shape[1] == w.shape[1], "features of x and w differ", x, w)?;
        self.is(2, "targets", DType::I32, &[x.shape[0]])?;
        self.is(3, "weights", DType::F32, &[x.shape[0]])?;
        softcap.map_or(Ok(()), |cap| self.positive("softcap", cap))
    }

    pub fn squared_error(&self) -> Result<Vec<TensorType>> {
        self.arity(3)?;
        self.predictions()?;
        Ok(vec![TensorType::scalar()])
    }

    pub fn squared_error_backward(&self) -> Result<Vec<TensorType>> {
        self.arity(4)?;
        self.predictions()?;
        self.scalar(3, "dloss")?;
        Ok(vec![self.inputs[0].clone()])
    }

    fn predictions(&self) -> Result<()> {
        self.float(0, "prediction")?;
        self.rank(0, "prediction", 2)?;
        self.same(0, 1)?;
        self.is(2, "weights", DType::F32, &[self.inputs[0].shape[0]])
    }
}
