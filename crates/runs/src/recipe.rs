//! What `up` decides: sizes and lengths found by experiment (docs/experiments.md).

use stoa_models::Precision;
use stoa_training::{Length, RunFile, StageFile};

use crate::RunFiles;
use crate::shards::Totals;

/// Layers by default: on two cores the square is learned in some minutes.
const DEPTH: usize = 4;
/// Width by default, in heads of 64.
const HIDDEN: usize = 192;
/// Rows of a step, and tokens of a row.
const BATCH: (usize, usize) = (16, 256);
/// Share of dialogues among the rows of pretraining. Questions with the posts that answer them
/// are what makes facts answerable (Allen-Zhu and Li 2023, "Physics of Language Models" 3.1, §4).
const DIALOGUE_SHARE: f64 = 0.25;
/// Steps of pretraining at effort 1, at most.
const PRETRAIN_STEPS: f64 = 340.0;
/// Passes over real posts at effort 1, at most: held-out loss rises after the third. The square
/// is read more often, since its facts are to be known by heart.
const PASSES: f64 = 3.0;
/// Fewest steps of pretraining at effort 1, for the smallest archives.
const MIN_STEPS: f64 = 10.0;
/// Steps of chat tuning at effort 1, at most.
const CHAT_STEPS: f64 = 40.0;
/// Share of the pretraining rates in chat tuning. Dialogues are part of pretraining here, so
/// tuning has only the form to teach; at 0.8 for 190 steps it made the model forget two thirds
/// of what it had read.
const CHAT_RATES: f32 = 0.1;

/// What the caller of `up` decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Seed of everything drawn.
    pub seed: u64,
    /// Layers of the model.
    pub depth: Option<usize>,
    /// Factor on the numbers of steps.
    pub effort: f64,
    /// What products multiply.
    pub precision: Precision,
}

impl Recipe {
    /// The run of a run's token shards, of a square or of posts.
    pub fn run_file(&self, files: &RunFiles, totals: &Totals, square: bool) -> RunFile {
        let mut run = RunFile { seed: Some(self.seed), ..RunFile::default() };
        run.data.directory = Some(files.directory.clone());
        run.data.tokenizer = Some(files.tokenizer());
        run.data.train = vec![files.train_tokens()];
        run.data.held_out = vec![files.held_out_tokens()];
        if totals.dialogues > 0 {
            run.data.dialogues = vec![files.dialogue_tokens()];
        }
        let dialogue_share = if totals.dialogues > 0 { DIALOGUE_SHARE } else { 0.0 };
        let pretrain_steps = if square {
            PRETRAIN_STEPS
        } else {
            let tokens_per_step = (BATCH.0 * BATCH.1) as f64 * (1.0 - dialogue_share);
            let steps = PASSES * totals.tokens as f64 / tokens_per_step;
            steps.clamp(MIN_STEPS, PRETRAIN_STEPS)
        };
        let chat_steps = CHAT_STEPS * pretrain_steps / PRETRAIN_STEPS;
        let length = |steps: f64| Length::Steps((steps * self.effort).ceil().max(1.0) as u64);
        run.model.depth = Some(self.depth.unwrap_or(DEPTH));
        if self.depth.is_none() {
            run.model.hidden = Some(HIDDEN);
            run.model.head_dim = Some(64);
        }
        let (mut pretrain, mut chat) = (StageFile::pretrain(), StageFile::chat());
        for stage in [&mut pretrain, &mut chat] {
            (stage.rows, stage.time) = (Some(BATCH.0), Some(BATCH.1));
            stage.checkpoint_every = Some(100);
            stage.precision = Some(self.precision);
        }
        pretrain.length = Some(length(pretrain_steps));
        pretrain.dialogue_share = Some(dialogue_share);
        pretrain.evaluate_every = Some(if pretrain_steps < 100.0 { 10 } else { 50 });
        chat.length = Some(length(chat_steps));
        chat.learning_rate_scale = Some(CHAT_RATES);
        chat.evaluate_every = Some(100);
        run.stages = vec![pretrain, chat];
        run
    }
}
