//! `stoa models quantize`: what smaller weights cost, tensor by tensor and on a text; and the model
//! written so.

use serde_json::json;
use stoa_assistant::ModelParts;
use stoa_graph::DType;
use stoa_models::{StoredTypes, parameters, relative_error};
use stoa_runs::{Loaded, Model, Storage};

use super::hand_on::{gguf_value, likeness_words, provenance, write_gguf};
use super::{QuantizeArgs, find, gguf_types};
use crate::cli::MachineArgs;
use crate::eval::text_cost;
use crate::terminal::Terminal;
use crate::{engine, files};

/// What a tensor loses.
struct Loss {
    name: String,
    from: DType,
    to: DType,
    /// ‖W − Q‖ / ‖W‖; `None` where the rows are no whole blocks, so that it stays as it is.
    relative_error: Option<f64>,
    bytes: (usize, usize),
}

/// Runs the command.
///
/// # Errors
/// A model that cannot be read or does not fit, a text that cannot be read, a file that cannot be
/// written.
pub fn run(args: &QuantizeArgs, machine: &MachineArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let text = args.text.as_deref().map(files::read_text).transpose()?;
    let model = find(&args.model.model, terminal)?;
    let parts = model.read()?;
    let types = parts.matrices(args.to)?;
    let facts = model.facts_of(&parts);
    let named = match args.to {
        Storage::Keep => types.to_string(),
        Storage::As(dtype) => dtype.to_string(),
        Storage::Mixture(types) => types.to_string(),
    };
    let written = match &args.out {
        None => None,
        Some(out) => {
            let types = gguf_types(args.to, &types)?;
            let provenance = provenance(&model, &facts, args.accept_unknown_licence, terminal)?;
            let exported =
                write_gguf(&model, model.read()?, &provenance, types, out, machine, terminal)?;
            Some((exported, types))
        }
    };
    let losses = losses(parts, &types, terminal)?;
    let bits = match &text {
        None => None,
        Some(text) => {
            let cost = |model: &Model, weights| cost(model, args, weights, machine, text, terminal);
            let after = match &args.out {
                Some(out) => cost(&Model::Gguf(out.clone()), Storage::Keep)?,
                None => cost(&model, args.to)?,
            };
            Some((cost(&model, args.model.weights)?, after))
        }
    };
    let kept: Vec<&str> =
        losses.iter().filter(|l| l.relative_error.is_none()).map(|l| l.name.as_str()).collect();
    let bytes = losses.iter().fold((0, 0), |sum, l| (sum.0 + l.bytes.0, sum.1 + l.bytes.1));
    let file = written.as_ref().map(|(exported, types)| {
        let mut value = gguf_value(exported, *types);
        value["out"] = json!(args.out);
        value["compared"] = json!(exported.likeness);
        value
    });
    let value = json!({
        "to": named,
        "tensors": losses.iter().map(|l| json!({
            "name": l.name, "from": l.from.to_string(), "to": l.to.to_string(),
            "relative_error": l.relative_error,
            "bytes_before": l.bytes.0, "bytes_after": l.bytes.1,
        })).collect::<Vec<_>>(),
        "kept": kept,
        "bytes_before": bytes.0,
        "bytes_after": bytes.1,
        "bits_per_byte_before": bits.map(|b| b.0),
        "bits_per_byte_after": bits.map(|b| b.1),
        "file": file,
    });
    terminal.result(&value, || {
        let line = |loss: &Loss| match loss.relative_error {
            Some(error) => {
                format!("{:<56} {:>5} → {}  {:.3} %", loss.name, loss.from, loss.to, 100.0 * error)
            }
            None => format!(
                "{:<56} {:>5}, kept: its rows are no whole blocks of {}",
                loss.name, loss.from, loss.to
            ),
        };
        let mut lines: Vec<String> = losses.iter().map(line).collect();
        lines.push(format!(
            "{:.1} MB before, {:.1} MB after",
            bytes.0 as f64 / 1e6,
            bytes.1 as f64 / 1e6
        ));
        lines.push(match bits {
            Some((before, after)) => {
                format!("{before:.4} bits per byte before, {after:.4} after")
            }
            None => "give --text FILE to measure bits per byte before and after".to_owned(),
        });
        if let (Some(out), Some((exported, _))) = (&args.out, &written) {
            lines.push(format!("{} is written", out.display()));
            lines.push(likeness_words(&exported.likeness));
        }
        lines.join("\n")
    })
}

fn cost(
    model: &Model,
    args: &QuantizeArgs,
    weights: Storage,
    machine: &MachineArgs,
    text: &str,
    terminal: &Terminal,
) -> anyhow::Result<f64> {
    let options = stoa_runs::ModelOptions { weights, ..args.model.options() };
    let Loaded { mut assistant, .. } = model.assistant(engine::open(machine)?, &options)?;
    Ok(text_cost(&mut assistant, text, terminal)?.bits_per_byte())
}

/// The error of each matrix; vectors stay as they are and are not listed.
fn losses(
    parts: ModelParts,
    types: &StoredTypes,
    terminal: &Terminal,
) -> anyhow::Result<Vec<Loss>> {
    let ModelParts { config, mut weights, .. } = parts;
    let matrices: Vec<_> = parameters(&config).into_iter().filter(|p| p.is_matrix()).collect();
    let mut bar = terminal.bar("quantise", matrices.len() as u64, "tensors");
    let mut losses = Vec::new();
    for parameter in matrices {
        let to = types.ty(&parameter).dtype;
        let Some(tensor) = weights.remove(&parameter.name) else { continue };
        let before = tensor.ty().size_bytes();
        let (relative_error, after) = match tensor.converted(to) {
            Ok(quantised) => {
                (Some(relative_error(&tensor, &quantised)), quantised.ty().size_bytes())
            }
            Err(_) => (None, before),
        };
        let (name, from) = (parameter.name, tensor.dtype());
        losses.push(Loss { name, from, to, relative_error, bytes: (before, after) });
        bar.update(losses.len() as u64, "");
    }
    bar.finish(&format!("{} matrices", losses.len()));
    Ok(losses)
}
