//! Models handed on: exports and merges, with licence, notices and counts of training posts.

use anyhow::Context as _;
use serde_json::json;
use stoa_graph::DType;
use stoa_models::Adapter;
use stoa_runs::{Model, export_directory, merge_directory};

use super::{ExportArgs, Form, MergeArgs, find};
use crate::terminal::Terminal;

/// `stoa models export`.
///
/// # Errors
/// An unknown licence, what cannot be read or written.
pub fn export(args: &ExportArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let model = find(&args.model, terminal)?;
    let parts = model.read()?;
    let facts = model.facts_of(&parts);
    let provenance = model.provenance(&facts)?;
    provenance.check_licence(model.path(), args.accept_unknown_licence)?;
    // Where types are mixed, the one that holds all of them.
    let matrices = parts.matrices(args.weights).of_all().unwrap_or(DType::F32);
    let exported = match args.to {
        Form::Safetensors => {
            export_directory(&model, parts, (&facts, &provenance), matrices, &args.out)?
        }
    };
    let value = json!({
        "out": args.out,
        "tensors": exported.tensors,
        "bytes": exported.bytes,
        "type": exported.matrices.to_string(),
        "compared": "every tensor",
        "licence": provenance.licence,
        "posts_by_basis": provenance.posts_by_basis,
    });
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
            "{} holds {} tensors, {:.1} MB as {}; each was read again and compared\n\
             licence: {}; training posts by basis: {posts}",
            args.out.display(),
            exported.tensors,
            exported.bytes as f64 / 1e6,
            exported.matrices,
            provenance.licence.described(),
        )
    })
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
    model.provenance(&facts)?.check_licence(base, args.accept_unknown_licence)?;
    let adapter = Adapter::read(&args.adapter)
        .with_context(|| format!("cannot merge {}", args.adapter.display()))?;
    if let Some(named) = &adapter.base {
        terminal.note(format!("adapter      was made for {named}; merged into {}", base.display()));
    }
    let merged = merge_directory(base, adapter, &args.out)?;
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
