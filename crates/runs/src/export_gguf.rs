//! Models written as one GGUF file: weights, tokenizer, template, licence and where they came from. The
//! file gets its name after it was opened again and compared.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use stoa_assistant::ModelParts;
use stoa_durable::{name_file, unfinished};
use stoa_gguf::{GgufFile, Metadata};
use stoa_graph::Engine;
use stoa_models::{GgufReport, GgufTypes, ModelError, export_gguf_with, gguf_bytes};
use stoa_shelf::{check_space, terms_of_gguf};

use crate::compare::compare;
use crate::{Likeness, Model, Progress, Provenance, RunsError, passport};

/// A file that was written.
#[derive(Clone, Debug, Serialize)]
pub struct ExportedGguf {
    /// Its tensors.
    #[serde(skip)]
    pub report: GgufReport,
    /// What of the tokenizer a GGUF file has no place for.
    pub notes: Vec<String>,
    /// How the file compares with its source.
    pub likeness: Likeness,
}

/// Writes a model as a GGUF file.
///
/// # Errors
/// [`RunsError::Exists`], no room on the disk, a model or a tokenizer that GGUF files cannot hold,
/// [`RunsError::Otherwise`] when the file does not do what its source does.
pub fn export_gguf(
    model: &Model,
    parts: ModelParts,
    provenance: &Provenance,
    types: GgufTypes,
    out: &Path,
    engine: &Arc<dyn Engine>,
    progress: &dyn Progress,
) -> Result<ExportedGguf, RunsError> {
    if out.exists() {
        return Err(RunsError::Exists(out.to_owned()));
    }
    let mut keys = Metadata::new(out);
    let notes = set_keys(&mut keys, model, &parts, provenance, out)?;
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    let bytes = gguf_bytes(&parts.config, types)?;
    check_space(parent.unwrap_or(Path::new(".")), bytes)?;
    let waiting = unfinished(out);
    let mut work = progress.begin("write", 2 * bytes, "bytes");
    let mut update = |done: u64, total: u64| {
        work.set_total(total);
        work.update(done, if 2 * done <= total { "" } else { "reading it again" });
    };
    let weights = (&parts.config, &parts.weights);
    let written = export_gguf_with(&waiting, weights, types, &keys, &mut update)?;
    work.finish(&format!("{} tensors", written.tensors.len()));
    drop(parts);
    progress.note("compare      the file with its source");
    let likeness = compare(model, &Model::Gguf(waiting.clone()), engine, !notes.is_empty())
        .inspect_err(|_| {
            // What cannot be removed is replaced by the next write of this path.
            let _ = fs::remove_file(&waiting);
        })?;
    name_file(out)?;
    Ok(ExportedGguf { report: written, notes, likeness })
}

/// Name, provenance, terms, tokenizer and template. Those of a GGUF file stay as they are.
fn set_keys(
    keys: &mut Metadata,
    model: &Model,
    parts: &ModelParts,
    provenance: &Provenance,
    out: &Path,
) -> Result<Vec<String>, RunsError> {
    let name = out.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    keys.set("general.type", "model");
    keys.set("general.name", name);
    match model {
        Model::Directory(directory) => {
            passport::set_keys(keys, provenance, &passport::terms_of_directory(directory)?);
            let failed =
                |source| RunsError::Model { path: directory.clone(), source: Box::new(source) };
            parts.set_gguf_keys(keys).map_err(failed)
        }
        Model::Gguf(path) => {
            let file = GgufFile::open(path).map_err(ModelError::from)?;
            let own = ["general.", "tokenizer."];
            let kept = file.metadata().entries().iter().filter(|(key, _)| {
                own.iter().any(|begin| key.starts_with(begin)) && key != "general.architecture"
            });
            kept.for_each(|(key, value)| keys.set(key.as_str(), value.clone()));
            let mut terms = passport::terms_of_directory(model.directory())?;
            terms.extend(terms_of_gguf(file.metadata()));
            passport::set_keys(keys, provenance, &terms);
            Ok(Vec::new())
        }
    }
}
