//! Rotations, attention, and attention over caches.

use super::Result;
use super::rule::Rule;
use crate::{AttentionSpec, CachedAttentionSpec, DType, RopeSpec, TensorType};

impl Rule<'_> {
    pub fn rope(&self, spec: &RopeSpec) -> Result<Vec<TensorType>> {
        self.arity(2)?;
        self.float(0, "x")?;
        self.rank(0, "x", 2)?;
        let x = self.inputs[0];
        let pairs = spec.frequencies.len();
        let fits = spec.axes > 0
            && spec.head_dim > 0
            && spec.head_dim.is_multiple_of(spec.axes)
            && x.shape[1].is_multiple_of(spec.head_dim);
        self.attribute(fits, || {
            format!(
                "head_dim {} must be a multiple of axes = {} and divide the features of {x}",
                spec.head_dim, spec.axes
            )
        })?;
        self.attribute((1..=spec.chunk() / 2).contains(&pairs), || {
            format!(
                "{pairs} frequencies for chunks of {} features: at most half as many",
                spec.chunk()
            )
        })?;
        self.attribute(spec.factor.is_finite(), || format!("factor {} is no number", spec.factor))?;
        self.is(1, "positions", DType::I32, &[x.shape[0], spec.axes])?;
        Ok(vec![x.clone()])
    }

    pub fn attention(&self, spec: &AttentionSpec, segmented: bool) -> Result<Vec<TensorType>> {
        self.arity(3 + usize::from(segmented))?;
        self.queries(spec, segmented.then_some(3))?;
        let lse = TensorType::f32([self.inputs[0].shape[0], spec.heads]);
        Ok(vec![self.inputs[0].clone(), lse])
    }

    pub fn attention_backward(
        &self,
        spec: &AttentionSpec,
        segmented: bool,
    ) -> Result<Vec<TensorType>> {
        self.arity(6 + usize::from(segmented))?;
        self.queries(spec, segmented.then_some(6))?;
        self.same(0, 3)?;
        self.is(4, "lse", DType::F32, &[self.inputs[0].shape[0], spec.heads])?;
        self.same(0, 5)?;
        Ok(self.inputs[..3].iter().map(|&t| t.clone()).collect())
    }

    pub fn kv_append(&self) -> Result<Vec<TensorType>> {
        self.arity(5)?;
        self.cache(0, "cache")?;
        self.rank(0, "cache", 4)?;
        self.float(1, "new")?;
        self.rank(1, "new", 2)?;
        let (cache, new) = (self.inputs[0], self.inputs[1]);
        let n = new.shape[0];
        let features = cache.shape[1].saturating_mul(cache.shape[3]);
        self.is(1, "new", new.dtype, &[n, features])?;
        self.places(2, n)?;
        Ok(vec![cache.clone()])
    }

    pub fn cached_attention(&self, spec: &CachedAttentionSpec) -> Result<Vec<TensorType>> {
        self.arity(6)?;
        self.heads(spec.heads, spec.kv_heads, spec.head_dim)?;
        self.scores(spec.window, spec.score_cap)?;
        self.float(0, "q")?;
        self.rank(0, "q", 2)?;
        self.rank(1, "keys", 4)?;
        let q = self.inputs[0];
        let n = q.shape[0];
        self.is(0, "q", q.dtype, &[n, spec.heads.saturating_mul(spec.head_dim)])?;
        self.cache(1, "keys")?;
        let (kv_heads, head_dim) = (spec.kv_heads, spec.head_dim);
        let keys = &self.inputs[1].shape;
        let fits = (keys[1], keys[3]) == (kv_heads, head_dim);
        self.input(1, "keys", fits, format!("[_, {kv_heads}, _, {head_dim}]"))?;
        self.same(1, 2)?;
        self.places(3, n)?;
        Ok(vec![q.clone()])
    }

    /// Inputs from `first` on that say where n tokens lie in paged caches.
    fn places(&self, first: usize, n: usize) -> Result<()> {
        self.rank(first, "table", 2)?;
        self.is(first, "table", DType::I32, &self.inputs[first].shape)?;
        self.is(first + 1, "sequences", DType::I32, &[n])?;
        self.is(first + 2, "positions", DType::I32, &[n])
    }

    fn heads(&self, heads: usize, kv_heads: usize, head_dim: usize) -> Result<()> {
        let sound = kv_heads > 0 && heads.is_multiple_of(kv_heads) && head_dim > 0;
        self.attribute(sound, || {
            format!(
                "kv_heads {kv_heads} must divide heads {heads}, head_dim {head_dim} must be positive"
            )
        })
    }

    fn scores(&self, window: Option<usize>, cap: Option<f32>) -> Result<()> {
        self.attribute(window != Some(0), || "a window must hold at least one key".into())?;
        cap.map_or(Ok(()), |cap| self.positive("score_cap", cap))
    }

    /// q, k and v of whole sequences.
    fn queries(&self, spec: &AttentionSpec, segments: Option<usize>) -> Result<()> {
        self.heads(spec.heads, spec.kv_heads, spec.head_dim)?;
        self.scores(spec.window, spec.score_cap)?;
        self.float(0, "q")?;
        self.rank(0, "q", 2)?;
        let (tokens, dtype) = (self.inputs[0].shape[0], self.inputs[0].dtype);
        self.attribute(spec.batch > 0 && tokens.is_multiple_of(spec.batch), || {
            format!("batch {} does not divide the rows of q, {}", spec.batch, self.inputs[0])
        })?;
        let features = spec.kv_heads.saturating_mul(spec.head_dim);
        self.is(0, "q", dtype, &[tokens, spec.heads.saturating_mul(spec.head_dim)])?;
        self.is(1, "k", dtype, &[tokens, features])?;
        self.is(2, "v", dtype, &[tokens, features])?;
        segments.map_or(Ok(()), |i| self.is(i, "segments", DType::I32, &[tokens]))
    }
}
