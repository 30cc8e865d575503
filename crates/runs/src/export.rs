//! Models written as other tools read them: a directory in the Hugging Face layout, with the tokenizer,
//! the template, the terms and a card. It appears whole, and what was written is read again and compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use stoa_assistant::ModelParts;
use stoa_dialogue::ChatTemplate;
use stoa_durable::{replace_directory, unfinished};
use stoa_gguf::GgufFile;
use stoa_graph::{DType, Engine};
use stoa_models::{ModelError, StoredTypes, Weights, parameters, save_model, with_matrix_dtype};
use stoa_shelf::{Licence, PROVENANCE, belongs, check_space, terms_of_gguf};
use stoa_tokens::{IM_END, TokenId, Tokenizer};

use crate::compare::compare;
use crate::error::io;
use crate::facts::ModelFacts;
use crate::provenance::{Provenance, card, hashes};
use crate::{Likeness, Model, Progress, RunsError, passport};

/// `tokenizer.json`, and `tokenizer_config.json` with the template, where there is one: what makes weights
/// a whole model directory.
pub fn tokenizer_files(tokenizer: &Tokenizer, template: &ChatTemplate) -> Vec<(String, Vec<u8>)> {
    let mut config = Map::new();
    config.extend(template.variables().map(|(name, value)| (name.to_owned(), value.into())));
    if tokenizer.special(IM_END).is_some() {
        config.entry("eos_token").or_insert(IM_END.into());
    }
    if !template.is_missing() {
        config.insert("chat_template".into(), template.source().into());
    }
    config.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
    let config = serde_json::to_vec_pretty(&config).expect("plain strings");
    vec![
        ("tokenizer.json".into(), tokenizer.to_hugging_face_json().into_bytes()),
        ("tokenizer_config.json".into(), config),
    ]
}

/// What a written directory holds.
#[derive(Clone, Debug)]
pub struct Exported {
    /// Tensors, each compared with what was to be written.
    pub tensors: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The type of matrices.
    pub matrices: DType,
    /// How the directory compares with its source.
    pub likeness: Likeness,
}

/// Writes a model as a directory, matrices as `matrices`, norm factors as `f32`.
///
/// # Errors
/// [`RunsError::Exists`], [`RunsError::NoFloat`], no room on the disk; a file that cannot be written, or
/// reads back otherwise.
pub fn export_directory(
    model: &Model,
    parts: ModelParts,
    (facts, provenance): (&ModelFacts, &Provenance),
    matrices: DType,
    out: &Path,
    engine: &Arc<dyn Engine>,
    progress: &dyn Progress,
) -> Result<Exported, RunsError> {
    if !matrices.is_float() {
        return Err(RunsError::NoFloat(matrices));
    }
    if out.exists() {
        return Err(RunsError::Exists(out.to_owned()));
    }
    let ModelParts { config, weights, tokenizer, template, end_tokens, .. } = parts;
    let stored = StoredTypes::uniform(&config, matrices);
    let sizes = parameters(&config).into_iter().map(|p| stored.ty(&p).size_bytes() as u64);
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    check_space(parent.unwrap_or(Path::new(".")), sizes.sum())?;
    let mut work = progress.begin("convert", weights.len() as u64, "tensors");
    let mut converted = Weights::new();
    for tensor in with_matrix_dtype(&config, weights, matrices)? {
        converted.extend([tensor]);
        work.update(converted.len() as u64, "");
    }
    work.finish("done");
    let weights = converted;
    let waiting = unfinished(out);
    if waiting.exists() {
        fs::remove_dir_all(&waiting).map_err(io("removing", &waiting))?;
    }
    fs::create_dir_all(&waiting).map_err(io("creating", &waiting))?;
    save_model(&waiting, &config, &weights)?;
    companions(model, &tokenizer, &template, &end_tokens, &waiting)?;
    note_type(&waiting, matrices)?;
    reread(&waiting, &weights)?;
    progress.note("compare      the directory with its source");
    let likeness =
        compare(model, &Model::Directory(waiting.clone()), engine, false).inspect_err(|_| {
            // What cannot be removed is replaced by the next export to this place.
            let _ = fs::remove_dir_all(&waiting);
        })?;
    passport::write(&waiting, provenance)?;
    let text = card(facts, provenance, &hashes(&waiting)?);
    stoa_durable::write(&waiting.join("README.md"), text.as_bytes())?;
    replace_directory(out)?;
    let bytes = weights.values().map(|tensor| tensor.ty().size_bytes() as u64).sum();
    Ok(Exported { tensors: weights.len(), bytes, matrices, likeness })
}

/// The files beside the weights: those of the model's directory as they are, else written from what
/// was read.
fn companions(
    model: &Model,
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    end_tokens: &[TokenId],
    to: &Path,
) -> Result<(), RunsError> {
    let own =
        ["config.json", "manifest.json", "state.json", "model.safetensors.index.json", PROVENANCE];
    let from = model.directory();
    let is_directory = matches!(model, Model::Directory(_));
    let mut has_tokenizer = false;
    for entry in fs::read_dir(from).map_err(io("listing", from))? {
        let path = entry.map_err(io("listing", from))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let weights = name.ends_with(".safetensors") || own.contains(&name.as_str());
        let wanted =
            if is_directory { belongs(&name) && !weights } else { Licence::is_terms(&name) };
        if path.is_file() && wanted && name != "README.md" {
            has_tokenizer |= name == "tokenizer.json";
            fs::copy(&path, to.join(&name)).map_err(io("copying", &path))?;
        }
    }
    if let Model::Gguf(path) = model {
        let file = GgufFile::open(path).map_err(ModelError::from)?;
        for (name, text) in terms_of_gguf(file.metadata()) {
            stoa_durable::write(&to.join(name), text.as_bytes())?;
        }
        let ends: Vec<u32> = end_tokens.iter().map(|id| id.0).collect();
        if !ends.is_empty() {
            let generation = serde_json::to_vec_pretty(&json!({ "eos_token_id": ends }))
                .expect("numbers and plain strings");
            stoa_durable::write(&to.join("generation_config.json"), &generation)?;
        }
    }
    if !has_tokenizer {
        for (name, bytes) in tokenizer_files(tokenizer, template) {
            stoa_durable::write(&to.join(name), &bytes)?;
        }
    }
    Ok(())
}

/// Writes the type of the matrices into `config.json`, by which other tools choose theirs.
fn note_type(directory: &Path, matrices: DType) -> Result<(), RunsError> {
    let path = directory.join("config.json");
    let text = fs::read(&path).map_err(io("reading", &path))?;
    let damaged = |source| RunsError::Damaged { path: path.clone(), source };
    let mut keys: BTreeMap<String, Value> = serde_json::from_slice(&text).map_err(damaged)?;
    let name = match matrices {
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        _ => "float32",
    };
    keys.insert("torch_dtype".to_owned(), name.into());
    let text = serde_json::to_vec_pretty(&keys).map_err(damaged)?;
    Ok(stoa_durable::write(&path, &text)?)
}

/// That what was written reads back as it was.
fn reread(directory: &Path, weights: &Weights) -> Result<(), RunsError> {
    let found = stoa_models::load(directory)?.weights;
    for (name, tensor) in weights {
        if found.get(name) != Some(tensor) {
            return Err(RunsError::Unlike { directory: directory.to_owned(), name: name.clone() });
        }
    }
    Ok(())
}
