//! `stoa models quantize`: what smaller weights cost, tensor by tensor and on a text.

use serde_json::json;
use stoa_graph::DType;
use stoa_models::relative_error;
use stoa_runs::{Loaded, Model, Storage};

use super::{QuantizeArgs, find};
use crate::cli::MachineArgs;
use crate::eval::text_cost;
use crate::terminal::Terminal;
use crate::{engine, files};

/// What a tensor loses.
struct Loss {
    name: String,
    from: DType,
    /// ‖W − Q‖ / ‖W‖; `None` where the rows are no whole blocks, so that it stays as it is.
    relative_error: Option<f64>,
    bytes: (usize, usize),
}

/// Runs the command.
///
/// # Errors
/// A model that cannot be read or does not fit, a text that cannot be read.
pub fn run(args: &QuantizeArgs, machine: &MachineArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let text = args.text.as_deref().map(files::read_text).transpose()?;
    let model = find(&args.model.model, terminal)?;
    let losses = losses(&model, args.to, terminal)?;
    let bits = match &text {
        None => None,
        Some(text) => Some((
            cost(&model, args, args.model.weights, machine, text, terminal)?,
            cost(&model, args, Storage::As(args.to), machine, text, terminal)?,
        )),
    };
    let kept: Vec<&str> =
        losses.iter().filter(|l| l.relative_error.is_none()).map(|l| l.name.as_str()).collect();
    let bytes = losses.iter().fold((0, 0), |sum, l| (sum.0 + l.bytes.0, sum.1 + l.bytes.1));
    let value = json!({
        "to": args.to.to_string(),
        "tensors": losses.iter().map(|l| json!({
            "name": l.name, "from": l.from.to_string(), "relative_error": l.relative_error,
            "bytes_before": l.bytes.0, "bytes_after": l.bytes.1,
        })).collect::<Vec<_>>(),
        "kept": kept,
        "bytes_before": bytes.0,
        "bytes_after": bytes.1,
        "bits_per_byte_before": bits.map(|b| b.0),
        "bits_per_byte_after": bits.map(|b| b.1),
    });
    terminal.result(&value, || {
        let line = |loss: &Loss| match loss.relative_error {
            Some(error) => {
                format!("{:<56} {:>5} → {}  {:.3} %", loss.name, loss.from, args.to, 100.0 * error)
            }
            None => format!(
                "{:<56} {:>5}, kept: its rows are no whole blocks of {}",
                loss.name, loss.from, args.to
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
fn losses(model: &Model, to: DType, terminal: &Terminal) -> anyhow::Result<Vec<Loss>> {
    let weights = model.read()?.weights;
    let mut bar = terminal.bar("quantise", weights.len() as u64, "tensors");
    let mut losses = Vec::new();
    for (at, (name, tensor)) in weights.into_iter().enumerate() {
        if tensor.shape().len() < 2 {
            continue;
        }
        let before = tensor.ty().size_bytes();
        let (relative_error, after) = match tensor.converted(to) {
            Ok(quantised) => {
                (Some(relative_error(&tensor, &quantised)), quantised.ty().size_bytes())
            }
            Err(_) => (None, before),
        };
        losses.push(Loss { name, from: tensor.dtype(), relative_error, bytes: (before, after) });
        bar.update(at as u64 + 1, "");
    }
    bar.finish(&format!("{} matrices", losses.len()));
    Ok(losses)
}
