//! Bits per byte on held-out text: negative log-likelihood / ln 2 / bytes, special tokens left out
//! of both, bytes those of the raw tokens (nanochat, loss_eval.py). Comparable between tokenizers.

use stoa_graph::{Buffers, Engine, Executable, Placement};
use stoa_models::{LanguageConfig, TrainingShape, evaluation_program};
use stoa_tokens::{TokenId, Tokenizer};

use crate::TrainingError;
use crate::batch::RowTensors;
use crate::examples::{Examples, IGNORED};
use crate::objective::Measure;
use crate::packing::Packing;

/// What an evaluation found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Sum of the losses of what was predicted: of text, negative log-likelihoods of tokens that are
    /// not special, in nats.
    pub loss_sum: f64,
    /// What was predicted: tokens of text, values of a picture.
    pub tokens: u64,
    /// Bytes of the text; 0 for what is none.
    pub bytes: u64,
}

impl Evaluation {
    /// Bits per byte, of text.
    pub fn bits_per_byte(&self) -> Option<f64> {
        let bits = self.loss_sum / std::f64::consts::LN_2;
        (self.bytes > 0).then(|| bits / self.bytes as f64)
    }

    /// Mean loss; of text in nats per token.
    pub fn loss(&self) -> f64 {
        self.loss_sum / self.tokens as f64
    }

    /// By what models are compared, lower is better: bits per byte, else the mean loss.
    pub fn score(&self) -> f64 {
        self.bits_per_byte().unwrap_or_else(|| self.loss())
    }
}

/// Bytes of each token by id; 0 for special ones, which are not counted.
pub fn token_bytes(tokenizer: &Tokenizer) -> Vec<u32> {
    let ids = (0..tokenizer.vocab_size() as u32).map(TokenId);
    ids.map(|id| {
        let bytes = tokenizer.token_bytes(id).filter(|_| !tokenizer.is_special(id));
        bytes.map_or(0, |bytes| bytes.len() as u32)
    })
    .collect()
}

/// An evaluation ready to run on any weights.
pub struct Evaluator<'a> {
    examples: &'a dyn Examples,
    packing: Packing<'a>,
    token_bytes: &'a [u32],
    executable: Box<dyn Executable>,
    rows: usize,
    most_rows: usize,
}

impl<'a> Evaluator<'a> {
    /// Packs `examples` into rows of `time`, `rows` at once, and reads at most `most_rows` of them:
    /// always the same ones.
    ///
    /// # Errors
    /// [`TrainingError::NoData`], or what the engine says to the program.
    pub fn new(
        (engine, placement): (&dyn Engine, &Placement),
        config: &LanguageConfig,
        examples: &'a dyn Examples,
        token_bytes: &'a [u32],
        (rows, time): (usize, usize),
        most_rows: usize,
    ) -> Result<Self, TrainingError> {
        let packing = Packing::best_fit(examples, time, 0);
        if packing.rows() == 0 {
            return Err(TrainingError::NoData("held-out text"));
        }
        let shape = TrainingShape { batch: rows, time, segmented: true };
        let executable = engine.compile(&evaluation_program(config, shape)?, &placement.into())?;
        Ok(Evaluator { examples, packing, token_bytes, executable, rows, most_rows })
    }

    fn bytes_of(&self, token: i32) -> u32 {
        usize::try_from(token).ok().and_then(|id| self.token_bytes.get(id)).copied().unwrap_or(0)
    }
}

impl Measure for Evaluator<'_> {
    fn run(&mut self, state: &mut Buffers) -> Result<Evaluation, TrainingError> {
        let mut sum = Evaluation::default();
        let rows: Vec<usize> = (0..self.packing.rows().min(self.most_rows)).collect();
        for chunk in rows.chunks(self.rows) {
            let mut tensors = RowTensors::new(self.rows, self.packing.time());
            for (row, &at) in chunk.iter().enumerate() {
                tensors.write_row(row, self.examples, &self.packing.row(at))?;
            }
            let targets = tensors.targets.clone();
            let part = tensors.into_part(1)?;
            let inputs = part.tensors.iter().filter(|(name, _)| *name != "weights");
            let data: Vec<_> = inputs.map(|(name, tensor)| (*name, tensor)).collect();
            let outputs = self.executable.run(state, &data)?.outputs()?;
            let nll = outputs["nll"].as_f32().expect("the program returns f32");
            for (&target, &nll) in targets.iter().zip(nll) {
                let bytes = if target == IGNORED { 0 } else { self.bytes_of(target) };
                if bytes > 0 {
                    sum.loss_sum += f64::from(nll);
                    sum.tokens += 1;
                    sum.bytes += u64::from(bytes);
                }
            }
        }
        if sum.tokens == 0 {
            return Err(TrainingError::NoData("held-out text"));
        }
        Ok(sum)
    }
}
