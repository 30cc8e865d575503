//! Models handed on: exports and merges, with licence, notices and counts of training posts.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;
use stoa_assistant::ModelParts;
use stoa_graph::DType;
use stoa_models::{Adapter, GgufTensor, GgufTypes};
use stoa_runs::{
    ExportedGguf, Likeness, Model, ModelFacts, Provenance, Storage, export_directory, export_gguf,
    merge_directory,
};

use super::{ExportArgs, Form, MergeArgs, find, gguf_types};
use crate::cli::MachineArgs;
use crate::engine;
use crate::terminal::Terminal;

/// `stoa models export`.
///
/// # Errors
/// An unknown licence, what cannot be read or written.
pub fn export(args: &ExportArgs, machine: &MachineArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let model = find(&args.model, terminal)?;
    let parts = model.read()?;
    let facts = model.facts_of(&parts);
    let provenance = provenance(&model, &facts, args.accept_unknown_licence, terminal)?;
    let (mut value, held, likeness) = match args.to {
        Form::Safetensors => {
            // Where types are mixed, the one that holds all of them.
            let matrices = match args.weights {
                Storage::Mixture(GgufTypes::All(dtype)) | Storage::As(dtype) => dtype,
                Storage::Keep => parts.matrices(args.weights)?.of_all().unwrap_or(DType::F32),
                Storage::Mixture(GgufTypes::Q4KM) => DType::Q4_K,
            };
            let (about, engine) = ((&facts, &provenance), engine::open(machine)?);
            let exported =
                export_directory(&model, parts, about, matrices, &args.out, &engine, terminal)?;
            let value = json!({
                "tensors": exported.tensors,
                "bytes": exported.bytes,
                "type": exported.matrices.to_string(),
            });
            let held = held(exported.tensors, exported.bytes, &exported.matrices.to_string());
            (value, held, exported.likeness)
        }
        Form::Gguf => {
            let types = gguf_types(args.weights, &parts.matrices(Storage::Keep)?)?;
            let exported =
                write_gguf(&model, parts, &provenance, types, &args.out, machine, terminal)?;
            let report = &exported.report;
            let held = held(report.tensors.len(), report.bytes, &types.to_string());
            (gguf_value(&exported, types), held, exported.likeness)
        }
    };
    value["out"] = json!(args.out);
    value["compared"] = json!(likeness);
    value["licence"] = json!(provenance.licence);
    value["posts_by_basis"] = json!(provenance.posts_by_basis);
    terminal.result(&value, || {
        let posts = match &provenance.posts_by_basis {
            None => "not known".to_owned(),
            Some(counts) if counts.is_empty() => "none".to_owned(),
            Some(counts) => {
                let count = |(basis, count): (&String, &u64)| match basis.as_str() {
                    "" => format!("not stated: {count}"),
                    basis => format!("{basis}: {count}"),
                };
                counts.iter().map(count).collect::<Vec<_>>().join(", ")
            }
        };
        format!(
            "{} holds {held}; each was read again and compared\n{}\n\
             licence: {}; training posts by basis: {posts}",
            args.out.display(),
            likeness_words(&likeness),
            provenance.licence.described(),
        )
    })
}

fn held(tensors: usize, bytes: u64, types: &str) -> String {
    format!("{tensors} tensors, {:.1} MB as {types}", bytes as f64 / 1e6)
}

/// Where a model came from, when it may be handed on.
///
/// # Errors
/// An unknown licence that is not accepted.
pub fn provenance(
    model: &Model,
    facts: &ModelFacts,
    accepted: bool,
    terminal: &Terminal,
) -> anyhow::Result<Provenance> {
    let provenance = model.provenance(facts)?;
    provenance.notes.iter().for_each(|note| terminal.note(format!("provenance   {note}")));
    provenance.check_licence(model.path(), accepted)?;
    Ok(provenance)
}

/// Writes a GGUF file and says what it has no place for.
///
/// # Errors
/// As [`export_gguf`].
pub fn write_gguf(
    model: &Model,
    parts: ModelParts,
    provenance: &Provenance,
    types: GgufTypes,
    out: &Path,
    machine: &MachineArgs,
    terminal: &Terminal,
) -> anyhow::Result<ExportedGguf> {
    let engine = engine::open(machine)?;
    let exported = export_gguf(model, parts, provenance, types, out, &engine, terminal)?;
    for note in &exported.notes {
        terminal.note(format!("left out     of the tokenizer: {note}"));
    }
    exported.report.notes.iter().for_each(|note| terminal.note(format!("note         {note}")));
    let substituted = exported.report.tensors.iter().filter(|tensor| tensor.instead_of.is_some());
    let mut counts: BTreeMap<(DType, DType), usize> = BTreeMap::new();
    for tensor in substituted {
        *counts.entry((tensor.instead_of.unwrap_or(tensor.dtype), tensor.dtype)).or_default() += 1;
    }
    for ((wanted, given), count) in counts {
        terminal.note(format!(
            "types        {given} in place of {wanted} in {count} tensors, whose rows are no whole blocks"
        ));
    }
    Ok(exported)
}

/// What was written, for scripts.
pub fn gguf_value(exported: &ExportedGguf, types: GgufTypes) -> serde_json::Value {
    let tensor = |tensor: &GgufTensor| {
        json!({
            "name": tensor.name,
            "type": tensor.dtype.to_string(),
            "instead_of": tensor.instead_of.map(|dtype| dtype.to_string()),
            "relative_error": tensor.relative_error,
        })
    };
    let notes = [&exported.notes[..], &exported.report.notes[..]].concat();
    json!({
        "architecture": exported.report.architecture,
        "tensors": exported.report.tensors.len(),
        "written": exported.report.tensors.iter().map(tensor).collect::<Vec<_>>(),
        "bytes": exported.report.bytes,
        "type": types.to_string(),
        "notes": notes,
    })
}

/// What the comparison found.
pub fn likeness_words(likeness: &Likeness) -> String {
    let logits = match (likeness.logits_apart, &likeness.not_compared) {
        (Some(0.0), _) => "equal bit for bit".to_owned(),
        (Some(apart), _) => format!("{apart:.1e} of their standard deviation apart"),
        (None, why) => format!("not compared: {}", why.as_deref().unwrap_or("unknown")),
    };
    let texts = match likeness.texts_apart {
        0 => "the same ids".to_owned(),
        apart => format!("other ids in {apart} of {} texts", likeness.texts),
    };
    let conversation = if likeness.conversation { ", the same conversation" } else { "" };
    format!("beside the source: logits {logits}; {texts}{conversation}")
}

/// `stoa models merge`.
///
/// # Errors
/// An adapter that is not merged here, an unknown licence, what cannot be read or written.
pub fn merge(args: &MergeArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let model = find(&args.base, terminal)?;
    let Model::Directory(base) = &model else {
        anyhow::bail!(
            "{} is a GGUF file; give the model directory that the adapter was trained on",
            model.path().display()
        );
    };
    let facts = model.facts()?;
    let provenance = provenance(&model, &facts, args.accept_unknown_licence, terminal)?;
    let adapter = Adapter::read(&args.adapter)
        .with_context(|| format!("cannot merge {}", args.adapter.display()))?;
    if let Some(named) = &adapter.base {
        terminal.note(format!("adapter      was made for {named}; merged into {}", base.display()));
    }
    let merged = merge_directory(base, adapter, &provenance, &args.out)?;
    let value = json!({
        "out": args.out,
        "added": merged.added,
        "replaced": merged.replaced,
    });
    terminal.result(&value, || {
        format!(
            "{} holds the model with the adapter in {} of its matrices, and {} tensors replaced",
            args.out.display(),
            merged.added.len(),
            merged.replaced.len()
        )
    })
}
