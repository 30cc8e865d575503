//! Cross-entropy fused with the linear layer before it: logits exist for a chunk of tokens at a
//! time, are turned into their gradient in place and consumed. Tokens whose target is ignored are
//! left out of every product.

use std::ops::Range;

use super::softmax::Row;
use crate::gemm::{Arithmetic, MatMut, MatRef, Operand, gemm};
use crate::kernels::disjoint::Disjoint;
use crate::pool::{AlignedBuffer, Pool};

/// Bytes of logits held at a time. Each chunk reads the weight twice and adds to its gradient once,
/// so chunks should be many tokens: 333 of them with a vocabulary of 50 thousand.
const LOGIT_BYTES: usize = 64 << 20;
/// Fewest tokens of a chunk, whatever the vocabulary: below that the products are slow.
const MIN_TOKENS: usize = 64;
/// The target of a token that does not count.
const IGNORED: i32 = -1;

/// The layer that makes logits: softcap(x·wᵀ).
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// [vocab, d]
    pub w: Operand<'a>,
    /// Bound of the logits, `cap·tanh(logit/cap)`.
    pub softcap: Option<f32>,
}

/// Tokens of a chunk and the distance between their rows of logits.
fn chunk(n: usize, vocab: usize) -> (usize, usize) {
    // One cache line more than whole lines: rows a power of two apart would share cache sets.
    let stride = vocab.next_multiple_of(16) + 16;
    let most = (LOGIT_BYTES / (stride * size_of::<f32>())).max(MIN_TOKENS);
    // Chunks of equal size, in whole blocks of rows of the products.
    let tokens = n.div_ceil(n.div_ceil(most).max(1)).next_multiple_of(8);
    (tokens.min(n), stride)
}

/// Elements of scratch that both directions use for n tokens of d features: logits, and the
/// features and their gradient when some targets are ignored.
pub fn scratch_floats(n: usize, d: usize, vocab: usize) -> usize {
    let (tokens, stride) = chunk(n, vocab);
    tokens * (stride + 2 * d)
}

/// Σ weights·nll for x [n, d]; `nll_i = logsumexp(logits_i) − logits_i[target_i]`, 0 where the
/// target is −1, whatever stands in such a row. `scratch` grows to [`scratch_floats`].
///
/// # Panics
/// If a target lies outside −1..vocab or a slice has another length.
pub fn cross_entropy(
    pool: &Pool,
    arithmetic: Arithmetic,
    head: Head<'_>,
    x: Operand<'_>,
    targets: &[i32],
    weights: &[f32],
    nll: &mut [f32],
    scratch: &mut AlignedBuffer,
) -> f32 {
    let pass = Pass::new(pool, arithmetic, head, x, targets, weights, None);
    let mut blocks = pass.blocks(scratch);
    for chunk in pass.chunks() {
        pass.logits(&mut blocks, chunk.clone());
        pass.rows(&mut blocks, chunk, nll);
    }
    pass.loss(nll)
}

/// Also the gradients of dloss·loss: dx [n, d], and dw [vocab, d], which is added to what it holds
/// when `accumulate`. Returns the loss.
///
/// # Panics
/// As [`cross_entropy`].
pub fn cross_entropy_backward(
    pool: &Pool,
    arithmetic: Arithmetic,
    head: Head<'_>,
    x: Operand<'_>,
    targets: &[i32],
    weights: &[f32],
    dloss: f32,
    accumulate: bool,
    dx: &mut [f32],
    dw: &mut [f32],
    nll: &mut [f32],
    scratch: &mut AlignedBuffer,
) -> f32 {
    let pass = Pass::new(pool, arithmetic, head, x, targets, weights, Some(dloss));
    assert_eq!(dx.len(), x.rows() * x.cols(), "cross_entropy: dx has the shape of x");
    assert_eq!(dw.len(), pass.vocab * pass.d, "cross_entropy: dw has the shape of w");
    let mut blocks = pass.blocks(scratch);
    let mut accumulate = accumulate;
    if !pass.dense() {
        dx.fill(0.0);
    }
    if pass.tokens.is_empty() && !accumulate {
        dw.fill(0.0);
    }
    for chunk in pass.chunks() {
        pass.logits(&mut blocks, chunk.clone());
        pass.rows(&mut blocks, chunk.clone(), nll);
        pass.features_gradient(&mut blocks, chunk.clone(), dx);
        pass.weight_gradient(&mut blocks, chunk, accumulate, dw);
        accumulate = true;
    }
    pass.loss(nll)
}

/// What both directions know.
struct Pass<'a> {
    pool: &'a Pool,
    arithmetic: Arithmetic,
    head: Head<'a>,
    x: Operand<'a>,
    targets: &'a [i32],
    weights: &'a [f32],
    dloss: Option<f32>,
    d: usize,
    vocab: usize,
    /// Tokens whose target counts.
    tokens: Vec<usize>,
}

/// Scratch of a chunk.
struct Blocks<'a> {
    /// [tokens, stride]
    logits: &'a mut [f32],
    stride: usize,
    /// [tokens, d]: rows of x that count, when not all do.
    x: &'a mut [f32],
    /// [tokens, d]: their gradient.
    dx: &'a mut [f32],
}

impl<'a> Pass<'a> {
    fn new(
        pool: &'a Pool,
        arithmetic: Arithmetic,
        head: Head<'a>,
        x: Operand<'a>,
        targets: &'a [i32],
        weights: &'a [f32],
        dloss: Option<f32>,
    ) -> Self {
        let (vocab, d) = (head.w.rows(), head.w.cols());
        assert_eq!((x.rows(), x.cols()), (targets.len(), d), "cross_entropy: x is [targets, d]");
        assert_eq!(weights.len(), targets.len(), "cross_entropy: a weight per target");
        let known = |&t: &i32| t == IGNORED || usize::try_from(t).is_ok_and(|t| t < vocab);
        assert!(targets.iter().all(known), "cross_entropy: a target is outside 0..{vocab}");
        let tokens = (0..targets.len()).filter(|&i| targets[i] != IGNORED).collect();
        Pass { pool, arithmetic, head, x, targets, weights, dloss, d, vocab, tokens }
    }

    /// Whether every token counts, so that rows can be read and written in place.
    fn dense(&self) -> bool {
        self.tokens.len() == self.targets.len()
    }

    /// Ranges of `tokens` handled together.
    fn chunks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (size, _) = chunk(self.targets.len(), self.vocab);
        let count = self.tokens.len();
        (0..count).step_by(size.max(1)).map(move |start| start..(start + size).min(count))
    }

    fn blocks<'s>(&self, scratch: &'s mut AlignedBuffer) -> Blocks<'s> {
        let (size, stride) = chunk(self.targets.len(), self.vocab);
        let scratch = scratch.slice(scratch_floats(self.targets.len(), self.d, self.vocab));
        let (logits, rest) = scratch.split_at_mut(size * stride);
        let (x, rest) = rest.split_at_mut(size * self.d);
        Blocks { logits, stride, x, dx: &mut rest[..size * self.d] }
    }

    /// logits = x·wᵀ for a chunk, without the cap.
    fn logits(&self, blocks: &mut Blocks<'_>, chunk: Range<usize>) {
        let d = self.d;
        if !self.dense() {
            for (&token, row) in self.tokens[chunk.clone()].iter().zip(blocks.x.chunks_mut(d)) {
                self.x.row_to_f32(self.arithmetic.isa, token, row);
            }
        }
        let x = self.features(blocks.x, &chunk);
        let logits = MatMut::strided(blocks.logits, chunk.len(), self.vocab, blocks.stride, 1);
        gemm(self.pool, self.arithmetic, 1.0, x, self.head.w.t(), 0.0, logits);
    }

    /// The rows of x of a chunk.
    fn features<'s>(&'s self, copy: &'s [f32], chunk: &Range<usize>) -> Operand<'s> {
        match self.dense() {
            true => self.x.rows_from(chunk.start, chunk.len()),
            false => MatRef::new(copy, chunk.len(), self.d).into(),
        }
    }

    /// nll of a chunk's tokens; in the backward direction logits become their gradient.
    fn rows(&self, blocks: &mut Blocks<'_>, chunk: Range<usize>, nll: &mut [f32]) {
        let (logits, nll) = (Disjoint::new(blocks.logits), Disjoint::new(nll));
        self.pool.run(chunk.len(), &|row, _| {
            let token = self.tokens[chunk.start + row];
            // SAFETY: each task has its own row and its own token.
            let (logits, nll) =
                unsafe { (logits.part(row * blocks.stride, self.vocab), nll.part(token, 1)) };
            let gradient = self.dloss.map(|dloss| dloss * self.weights[token]);
            let target = self.targets[token] as usize;
            let softcap = self.head.softcap;
            nll[0] = self.arithmetic.isa.dispatch(Row { logits, target, softcap, gradient }) as f32;
        });
    }

    /// dx = dlogits·w
    fn features_gradient(&self, blocks: &mut Blocks<'_>, chunk: Range<usize>, dx: &mut [f32]) {
        let d = self.d;
        let dlogits = MatRef::strided(blocks.logits, chunk.len(), self.vocab, blocks.stride, 1);
        if self.dense() {
            let dx = MatMut::new(&mut dx[chunk.start * d..], chunk.len(), d);
            gemm(self.pool, self.arithmetic, 1.0, dlogits, self.head.w, 0.0, dx);
            return;
        }
        let to = MatMut::new(blocks.dx, chunk.len(), d);
        gemm(self.pool, self.arithmetic, 1.0, dlogits, self.head.w, 0.0, to);
        for (&token, row) in self.tokens[chunk].iter().zip(blocks.dx.chunks(d)) {
            dx[token * d..(token + 1) * d].copy_from_slice(row);
        }
    }

    /// dw (+)= dlogitsᵀ·x
    fn weight_gradient(
        &self,
        blocks: &mut Blocks<'_>,
        chunk: Range<usize>,
        accumulate: bool,
        dw: &mut [f32],
    ) {
        let dlogits = MatRef::strided(blocks.logits, chunk.len(), self.vocab, blocks.stride, 1);
        let x = self.features(blocks.x, &chunk);
        let beta = if accumulate { 1.0 } else { 0.0 };
        gemm(
            self.pool,
            self.arithmetic,
            1.0,
            dlogits.t(),
            x,
            beta,
            MatMut::new(dw, self.vocab, self.d),
        );
    }

    /// Σ weights·nll over the tokens that count, in order, in f64; zeroes nll of the others.
    fn loss(&self, nll: &mut [f32]) -> f32 {
        assert_eq!(nll.len(), self.targets.len(), "cross_entropy: an nll per target");
        let mut sum = 0.0;
        for (token, nll) in nll.iter_mut().enumerate() {
            if self.targets[token] == IGNORED {
                *nll = 0.0;
            } else {
                sum += f64::from(self.weights[token]) * f64::from(*nll);
            }
        }
        sum as f32
    }
}
