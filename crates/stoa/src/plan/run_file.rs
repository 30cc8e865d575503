//! Planning the model of a run file: its shape, and batch, sequence and tokens of its pretraining
//! where the question leaves them out; the work of its own program next to what the planner counts.

use std::path::Path;

use anyhow::Context as _;
use stoa_models::{LanguageConfig, TrainingShape, training_program};
use stoa_planner::model::ModelShape;
use stoa_planner::plan::Question;
use stoa_planner::program::work;
use stoa_tokens::Tokenizer;
use stoa_training::{Length, ModelFile, ObjectiveKind, Run, RunFile, Stage};

use crate::terminal::Terminal;

/// The model of a run file, and the file's question with its gaps filled; `None` where the file names
/// no model of its own.
///
/// # Errors
/// A run file that does not resolve, or whose vocabulary is not known.
pub fn read(
    path: &Path,
    asked: Question,
    terminal: &Terminal,
) -> anyhow::Result<Option<(ModelShape, Question)>> {
    // A plan file has a model too, but as a name.
    let text = crate::files::read_text(path)?;
    let table: toml::Table =
        text.parse().with_context(|| format!("cannot read {}", path.display()))?;
    if !table.get("model").is_some_and(toml::Value::is_table) {
        return Ok(None);
    }
    let file = RunFile::read(path)?;
    if file.model == ModelFile::default() {
        return Ok(None);
    }
    let vocab = match (file.model.vocab, &file.data.tokenizer) {
        (Some(vocab), _) => vocab,
        (None, Some(tokenizer)) => Tokenizer::open(tokenizer)?.vocab_size(),
        (None, None) => anyhow::bail!(
            "{}: the size of the vocabulary is not known; give model.vocab or data.tokenizer",
            path.display()
        ),
    };
    let run = file.resolve(vocab)?;
    let shape = shape(&run.model, &path.display().to_string());
    let question = filled(asked, &run);
    compare(&run, &shape, terminal)?;
    Ok(Some((shape, question)))
}

fn shape(model: &LanguageConfig, name: &str) -> ModelShape {
    let (ffn, gated) = (model.mlp.intermediate, model.mlp.kind.is_gated());
    let LanguageConfig { layers, hidden, heads, kv_heads, vocab, .. } = *model;
    let mut shape = ModelShape::dense(name, layers, hidden, ffn, heads, kv_heads, vocab);
    (shape.head_dim, shape.gated, shape.tied) = (model.head_dim, gated, model.tied_head);
    shape.window = model
        .sliding_window
        .as_ref()
        .map(|limited| (limited.window, limited.layers.len() as f64 / layers.max(1) as f64));
    shape
}

/// The settings of the first stage that learns from documents.
fn pretraining(run: &Run) -> Option<&Stage> {
    let mut stages = run.stages.iter();
    let found = stages.find(|stage| stage.objective == ObjectiveKind::Pretrain);
    found.map(|stage| &stage.settings)
}

/// What the pretraining of the run says where the question says nothing.
fn filled(asked: Question, run: &Run) -> Question {
    let Some(stage) = pretraining(run) else { return asked };
    let batch = stage.rows * stage.time * stage.accumulation;
    let tokens = match stage.length {
        Length::Steps(steps) => Some((steps * batch as u64).to_string()),
        // Passes over shards that may not be there yet.
        Length::Epochs(_) => None,
    };
    Question {
        seq: asked.seq.or(Some(stage.time)),
        batch: asked.batch.or(Some(batch.to_string())),
        tokens: asked.tokens.or(tokens),
        ..asked
    }
}

/// Says how the planner's count of a step compares with the run's program, which is exact.
fn compare(run: &Run, shape: &ModelShape, terminal: &Terminal) -> anyhow::Result<()> {
    let Some(stage) = pretraining(run) else { return Ok(()) };
    let batch = TrainingShape { batch: stage.rows, time: stage.time, segmented: true };
    let program = training_program(&run.model, &stage.groups, batch, stage.compute())?;
    let exact = work(&program);
    let tokens = (stage.rows * stage.time) as f64;
    let counted = shape.train_flops_per_token(stage.time, true).0 * tokens;
    terminal.note(format!(
        "program      {:.3e} FLOP for {tokens} tokens with optimizer and recomputation, {:.3e} bytes \
         unfused; products and attention by shape {counted:.3e}",
        exact.flops.0, exact.bytes.0
    ));
    Ok(())
}
