//! `stoa eval …`: measures a model.

use std::f64::consts::LN_2;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;
use stoa_assistant::{Assistant, TokenId};
use stoa_graph::{Buffers, DType, Placement};
use stoa_models::{upload, with_matrix_dtype};
use stoa_runs::{Loaded, RunFiles};
use stoa_tokens::{END_OF_TEXT, TokenShard, Tokenizer};
use stoa_training::{Documents, Evaluator, Measure, token_bytes};

use crate::cli::{EvalCommand, MachineArgs, ModelArgs};
use crate::terminal::Terminal;
use crate::tokens_command::note_left_out;
use crate::{engine, exam, files, models};

/// Rows of held-out text read at once, and their length.
const ROWS: (usize, usize) = (16, 256);

/// Tokens of a window of a text; each is predicted from half a window or more.
const WINDOW: usize = 1024;

/// Runs a command.
///
/// # Errors
/// A model that cannot be read.
pub fn run(
    command: &EvalCommand,
    machine: &MachineArgs,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    match command {
        EvalCommand::Exam { run, seed, questions } => {
            exam::run(run, *seed, *questions, machine, terminal)
        }
        EvalCommand::Bpb { model, file: None } => held_out(&model.model, machine, terminal),
        EvalCommand::Bpb { model, file: Some(file) } => of_text(model, file, machine, terminal),
        EvalCommand::Logits { model, ids } => logits(model, ids, machine, terminal),
    }
}

fn held_out(run: &Path, machine: &MachineArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let files = RunFiles::new(run);
    let engine = engine::open(machine)?;
    let model = models::find(run, terminal)?;
    anyhow::ensure!(
        files.held_out_tokens().exists(),
        "{} has no held-out documents; give a text file: stoa eval bpb --model {} FILE",
        run.display(),
        run.display()
    );
    let parts = model.read()?;
    let (config, weights) = (parts.config, parts.weights);
    let tokenizer = Tokenizer::open(&files.tokenizer())?;
    let shard = TokenShard::open_for(&files.held_out_tokens(), tokenizer.fingerprint())?;
    shard.verify()?;
    let documents = Documents::from_shards(vec![shard], &tokenizer)?;
    let bytes = token_bytes(&tokenizer);
    let rows = (ROWS.0, ROWS.1.min(config.max_time));
    let mut evaluator = Evaluator::new(
        (&*engine, &Placement::default()),
        &config,
        &documents,
        &bytes,
        rows,
        usize::MAX,
    )?;
    let mut state = Buffers::new();
    upload(&*engine, with_matrix_dtype(&config, weights, DType::F32)?, &mut state)?;
    let evaluation = evaluator.run(&mut state)?;
    let summary = json!({
        "bits_per_byte": evaluation.bits_per_byte(),
        "loss": evaluation.loss(),
        "tokens": evaluation.tokens,
        "bytes": evaluation.bytes,
        "model": model.path(),
    });
    terminal.result(&summary, || {
        format!(
            "{:.4} bits per byte on {} bytes of held-out text ({})",
            evaluation.score(),
            evaluation.bytes,
            model.path().display()
        )
    })
}

/// What a text costs a model.
pub struct TextCost {
    /// The sum of −ln p of its tokens.
    pub nats: f64,
    /// Tokens that were predicted.
    pub tokens: usize,
    /// Bytes of their text.
    pub bytes: usize,
    /// Characters of the text without a token, which cost nothing.
    pub characters_left_out: u64,
}

impl TextCost {
    /// Bits a byte.
    pub fn bits_per_byte(&self) -> f64 {
        self.nats / LN_2 / self.bytes.max(1) as f64
    }
}

/// Reads a text in windows that overlap by half: of each the second half is counted, of the first
/// one all. A text begins after the token that begins texts, where the model has one; else its
/// first token is not counted.
///
/// # Errors
/// A text without tokens, the engine's.
pub fn text_cost(
    assistant: &mut Assistant,
    text: &str,
    terminal: &Terminal,
) -> anyhow::Result<TextCost> {
    let tokenizer = assistant.tokenizer();
    let begin = assistant.template().variable("bos_token").unwrap_or(END_OF_TEXT);
    let mut tokens: Vec<TokenId> = tokenizer.special(begin).into_iter().collect();
    let lead = tokens.len();
    let before = (tokenizer.characters_left_out(), tokenizer.searches_given_up());
    tokens.extend(tokenizer.encode(text));
    let characters_left_out = tokenizer.characters_left_out() - before.0;
    note_left_out(characters_left_out, tokenizer.searches_given_up() - before.1, terminal);
    anyhow::ensure!(tokens.len() > 1, "the text is too short to be predicted");
    let bytes = match lead {
        0 => text.len().saturating_sub(tokenizer.decode(&tokens[..1])?.len()),
        _ => text.len(),
    };
    let window = assistant.context().min(WINDOW);
    let mut bar = terminal.bar("text", tokens.len() as u64, "tokens");
    let (mut nats, mut counted) = (0.0, 1);
    while counted < tokens.len() {
        let start = (counted + window / 2).min(tokens.len()).saturating_sub(window);
        let start = if counted == 1 { 0 } else { start };
        let end = tokens.len().min(start + window);
        let scores = assistant.score(&tokens[start..end])?;
        // Scores are of every token but the first.
        nats -= scores[counted - start - 1..].iter().sum::<f64>();
        counted = end;
        bar.update(end as u64, "");
    }
    bar.finish("read");
    Ok(TextCost { nats, tokens: tokens.len() - 1, bytes, characters_left_out })
}

fn of_text(
    model: &ModelArgs,
    file: &Path,
    machine: &MachineArgs,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let text = files::read_text(file)?;
    let found = models::find(&model.model, terminal)?;
    let Loaded { mut assistant, notes, .. } =
        found.assistant(engine::open(machine)?, &model.options())?;
    let cost = text_cost(&mut assistant, &text, terminal)
        .with_context(|| format!("cannot measure {}", file.display()))?;
    let summary = json!({
        "bits_per_byte": cost.bits_per_byte(),
        "loss": cost.nats / cost.tokens as f64,
        "tokens": cost.tokens,
        "bytes": cost.bytes,
        "characters_left_out": cost.characters_left_out,
        "window": assistant.context().min(WINDOW),
        "model": found.path(),
        "notes": notes,
    });
    terminal.result(&summary, || {
        format!(
            "{:.4} bits per byte on {} bytes of {} ({})",
            cost.bits_per_byte(),
            cost.bytes,
            file.display(),
            found.path().display()
        )
    })
}

fn logits(
    model: &ModelArgs,
    ids: &[u32],
    machine: &MachineArgs,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let found = models::find(&model.model, terminal)?;
    let Loaded { mut assistant, matrices, notes, .. } =
        found.assistant(engine::open(machine)?, &model.options())?;
    let tokens: Vec<TokenId> = ids.iter().copied().map(TokenId).collect();
    let logits = assistant.logits(&tokens)?;
    let summary = json!({
        "ids": ids,
        "logits": logits,
        "weights": matrices.to_string(),
        "model": found.path(),
        "notes": notes,
    });
    terminal.result(&summary, || {
        let mut best: Vec<usize> = (0..logits.len()).collect();
        best.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let line = |&id: &usize| {
            let text = assistant.tokenizer().decode_lossy(&[TokenId(id as u32)]);
            format!("{id:>8} {:>10.4} {text:?}", logits[id])
        };
        best.iter().take(10).map(line).collect::<Vec<_>>().join("\n")
    })
}
