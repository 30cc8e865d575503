//! Language modelling as an objective: pretraining on documents, with dialogues among them, and
//! chat fine-tuning on answers. They differ in their data and in where they start.

use sha2::{Digest, Sha256};
use stoa_durable::hex;
use stoa_graph::{DType, Engine, Placement};
use stoa_models::{
    Forward, LanguageConfig, Parameter, TrainingShape, model_weights, parameters,
    to_hugging_face_as_named, with_matrix_dtype,
};

use crate::TrainingError;
use crate::batch::{DataOrder, Source};
use crate::checkpoint::Identity;
use crate::evaluation::Evaluator;
use crate::examples::Examples;
use crate::objective::{Measure, Objective, Part, StageData, Start};
use crate::packing::WINDOW_PAIRS;
use crate::run::Stage;

/// A language model learning from examples.
#[derive(Clone, Copy)]
pub struct LanguageObjective<'a> {
    /// Name of the stage.
    pub name: &'a str,
    /// Its settings.
    pub stage: &'a Stage,
    /// Seed of the run.
    pub seed: u64,
    /// The model.
    pub model: &'a LanguageConfig,
    /// What is learned from.
    pub examples: &'a dyn Examples,
    /// What `stage.dialogue_share` of the rows come from.
    pub mixed: Option<&'a dyn Examples>,
    /// What bits per byte are measured on.
    pub held_out: Option<&'a dyn Examples>,
    /// Bytes of each token ([`crate::token_bytes`]).
    pub token_bytes: &'a [u32],
    /// Files to put into each checkpoint, by name: the tokenizer, for instance.
    pub attachments: &'a [(String, Vec<u8>)],
    /// Weights and step that the stage starts from, matrices in any float type.
    pub start: &'a dyn Fn() -> Result<Start, TrainingError>,
}

impl Objective for LanguageObjective<'_> {
    fn stage(&self) -> &str {
        self.name
    }

    fn identity(&self) -> Result<Identity, TrainingError> {
        // Settings that say when to look and what to keep do not change the result.
        let stage = Stage {
            evaluate_every: 0,
            evaluation_rows: 0,
            checkpoint_every: 0,
            keep_checkpoints: 0,
            ..self.stage.clone()
        };
        let text = serde_json::to_vec(&(self.name, self.model, stage)).expect("plain settings");
        let mut data = String::new();
        for examples in [Some(self.examples), self.mixed].into_iter().flatten() {
            data.push_str(&examples.digest()?);
            // The order of more than one window depends on where windows end.
            if examples.total_pairs() > WINDOW_PAIRS {
                data.push_str(&format!(" in windows of {WINDOW_PAIRS} pairs "));
            }
        }
        let settings = hex(&Sha256::digest(&text));
        Ok(Identity { seed: self.seed, settings, data })
    }

    fn trained(&self) -> Vec<Parameter> {
        parameters(self.model)
    }

    fn start(&self) -> Result<Start, TrainingError> {
        let Start { weights, first_step } = (self.start)()?;
        let weights = model_weights(self.model, weights)?;
        let weights = with_matrix_dtype(self.model, weights, DType::F32)?.collect();
        Ok(Start { weights, first_step })
    }

    fn forward(&self) -> Result<Forward, TrainingError> {
        let (batch, time) = (self.stage.rows, self.stage.time);
        let shape = TrainingShape { batch, time, segmented: true };
        Ok(Forward::language(self.model, shape, self.stage.precision)?)
    }

    fn data(&self) -> Result<Box<dyn StageData + '_>, TrainingError> {
        let Stage { time, dialogue_share, .. } = *self.stage;
        let main = Source::new(self.examples, time, self.seed, "training text")?;
        let steps = self.stage.steps(main.packing().rows());
        let order = match self.mixed.filter(|_| dialogue_share > 0.0) {
            Some(mixed) => {
                let second = Source::new(mixed, time, self.seed, "dialogues")?;
                DataOrder::mixed(main, second, dialogue_share)
            }
            None => DataOrder::single(main),
        };
        Ok(Box::new(Rows { order, steps, rows: self.stage.rows, parts: self.stage.accumulation }))
    }

    fn measure(
        &self,
        engine: &dyn Engine,
        placement: &Placement,
    ) -> Result<Option<Box<dyn Measure + '_>>, TrainingError> {
        let Some(text) = self.held_out else { return Ok(None) };
        let shape = (self.stage.rows, self.stage.time);
        let most = self.stage.evaluation_rows;
        let on = (engine, placement);
        let evaluator = Evaluator::new(on, self.model, text, self.token_bytes, shape, most)?;
        Ok(Some(Box::new(evaluator)))
    }

    fn model_files(&self) -> Vec<(String, Vec<u8>)> {
        let config = ("config.json".to_owned(), to_hugging_face_as_named(self.model).into_bytes());
        [config].into_iter().chain(self.attachments.iter().cloned()).collect()
    }
}

/// Packed rows in their order.
struct Rows<'a> {
    order: DataOrder<'a>,
    steps: u64,
    rows: usize,
    parts: usize,
}

impl StageData for Rows<'_> {
    fn steps(&self) -> u64 {
        self.steps
    }

    fn step(&self, step: u64) -> Result<Vec<Part>, TrainingError> {
        self.order.step(step, self.rows, self.parts)
    }
}
