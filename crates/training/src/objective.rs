//! What a stage learns. The trainer and the checkpoints know names and tensors; everything else, the
//! model, its data, how it is measured and which files make it usable, is the objective's.

use stoa_graph::{Buffers, Engine, Placement, Tensor};
use stoa_models::{Forward, Parameter, Weights};

use crate::TrainingError;
use crate::checkpoint::Identity;
use crate::evaluation::Evaluation;

/// What is learned, from what, and how it is measured. A pure function of its settings: the same
/// objective gives the same values whenever it is asked.
pub trait Objective {
    /// Name of the stage, as in `run.toml`.
    fn stage(&self) -> &str;

    /// What must be the same for a stage to be resumed.
    ///
    /// # Errors
    /// Data that cannot be read.
    fn identity(&self) -> Result<Identity, TrainingError>;

    /// What is trained: name, shape, and the group that decides its optimizer. In f32; these and
    /// their moments are what a checkpoint holds.
    fn trained(&self) -> Vec<Parameter>;

    /// States that programs read and no step changes, such as the base model under adapters. They
    /// are in no checkpoint.
    ///
    /// # Errors
    /// Weights that cannot be read.
    fn frozen(&self) -> Result<Weights, TrainingError> {
        Ok(Weights::new())
    }

    /// Where the stage starts.
    ///
    /// # Errors
    /// An earlier stage that it starts from is missing.
    fn start(&self) -> Result<Start, TrainingError>;

    /// The program of a batch as far as its loss. Its trained values are those of
    /// [`Objective::trained`] in the same order, its data inputs those of [`StageData::step`].
    ///
    /// # Errors
    /// Shapes that do not fit.
    fn forward(&self) -> Result<Forward, TrainingError>;

    /// The training data.
    ///
    /// # Errors
    /// [`TrainingError::NoData`].
    fn data(&self) -> Result<Box<dyn StageData + '_>, TrainingError>;

    /// What measures the model on data it is not trained on, if there are any.
    ///
    /// # Errors
    /// What the engine says to the program.
    fn measure(
        &self,
        engine: &dyn Engine,
        placement: &Placement,
    ) -> Result<Option<Box<dyn Measure + '_>>, TrainingError>;

    /// Files that stand beside the weights in a checkpoint, by name, so that it is a model which
    /// other programs load.
    fn model_files(&self) -> Vec<(String, Vec<u8>)>;
}

/// Where a stage starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Values of what is trained.
    pub weights: Weights,
    /// Steps that earlier stages have done.
    pub first_step: u64,
}

/// Training data by step.
pub trait StageData {
    /// Steps of the stage.
    fn steps(&self) -> u64;

    /// The parts of a step's batch, one for each run of the forward pass.
    ///
    /// # Errors
    /// Data that cannot be read.
    fn step(&self, step: u64) -> Result<Vec<Part>, TrainingError>;
}

/// The data inputs of one run of the forward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// By input name.
    pub tensors: Vec<(&'static str, Tensor)>,
    /// Tokens, or what else is counted, that are not padding.
    pub tokens: usize,
}

impl Part {
    /// The input of that name.
    pub fn input(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|(input, _)| *input == name).map(|(_, tensor)| tensor)
    }
}

/// Measures the model on data it is not trained on.
pub trait Measure {
    /// Measures the values in `state`.
    ///
    /// # Errors
    /// What the engine says.
    fn run(&mut self, state: &mut Buffers) -> Result<Evaluation, TrainingError>;
}
