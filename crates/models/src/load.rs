//! Model directories in the Hugging Face layout: which files count, which tensors they hold, and under
//! which names. What was decided is said in notes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use safetensors::tensor::Dtype;
use stoa_graph::{DType, Tensor, TensorType};
use stoa_maps::Map;

use crate::published::{Published, published};
use crate::scaled::{self, Source};
use crate::weights::{Entry, Weights, contents, file_error, map_error, mapped};
use crate::{
    Family, LanguageConfig, ModelError, Note, Parameter, Place, ReadConfig, from_hugging_face,
    placed_parameters, read_json,
};

type Result<T> = std::result::Result<T, ModelError>;

/// A model as read from a directory.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its shape.
    pub config: LanguageConfig,
    /// Its weights, in the types they are stored in; they stay in their mapped files.
    pub weights: Weights,
    /// What was taken as a default, left aside or decided.
    pub notes: Vec<Note>,
}

/// Reads a model directory in the Hugging Face layout: `config.json` and `model.safetensors`, or
/// the shards that `model.safetensors.index.json` names. Where both are there the single file counts, as
/// in transformers. Tensors keep the types they are stored in, and stay in their mapped files.
///
/// # Errors
/// A file that is not there or not right, by path.
pub fn load(directory: &Path) -> Result<Loaded> {
    let path = directory.join("config.json");
    let text = String::from_utf8_lossy(&read(&path)?).into_owned();
    let ReadConfig { config, stored_as, eight_bits, mut notes } =
        from_hugging_face(&text).map_err(|e| e.at(&path))?;
    let mut maps = Vec::new();
    for file in weight_files(directory, &mut notes)? {
        let path = directory.join(file);
        maps.push(Map::open(&path).map_err(map_error)?);
    }
    let mut sources = BTreeMap::new();
    let mut rounded = 0;
    for map in &maps {
        for entry in contents(map).map_err(|e| e.at(map.path()))? {
            rounded += usize::from(entry.dtype == Dtype::F64);
            sources.insert(entry.name.clone(), Source { map, entry });
        }
    }
    if rounded > 0 {
        notes.push(Note::new("weights:", format!("{rounded} tensors of f64 are rounded to f32")));
    }
    let scales =
        scaled::taken(&mut sources, eight_bits, &mut notes).map_err(|e| e.at(directory))?;
    let names: BTreeSet<String> = sources.keys().cloned().collect();
    let mut take = |name: &str| {
        let source = sources.remove(name).expect("one of the names");
        let path = source.map.path();
        let tensor = match scales.get(name) {
            Some(scales) => scales.dequantised(&source, eight_bits),
            None => stored(source.map, source.entry),
        };
        tensor.map_err(|e| e.at(path))
    };
    let weights =
        named(&config, stored_as, &names, &mut take, &mut notes).map_err(|e| e.at(directory))?;
    Ok(Loaded { config, weights, notes })
}

/// What is to be said of `config.json` and of the choice of weight files, before any of these is
/// opened; nothing where [`load`] will fail on them.
pub fn file_notes(directory: &Path) -> Vec<Note> {
    let text = std::fs::read(directory.join("config.json")).unwrap_or_default();
    let read = from_hugging_face(&String::from_utf8_lossy(&text));
    let Ok(ReadConfig { mut notes, .. }) = read else { return Vec::new() };
    match weight_files(directory, &mut notes) {
        Ok(_) => notes,
        Err(_) => Vec::new(),
    }
}

/// The tensors of a model among those of a file, checked against its configuration.
///
/// # Errors
/// [`ModelError::MissingTensors`], [`ModelError::UnknownTensors`], [`ModelError::TensorShape`].
pub fn model_weights(config: &LanguageConfig, mut found: Weights) -> Result<Weights> {
    let names: BTreeSet<String> = found.keys().cloned().collect();
    let mut take = |name: &str| Ok(found.remove(name).expect("one of the names"));
    let own = |p: &(Place, Parameter)| names.contains(&p.1.name);
    let own = placed_parameters(config).iter().all(own);
    let stored_as = if own { Family::None } else { config.family };
    named(config, stored_as, &names, &mut take, &mut Vec::new())
}

/// A tensor in a type that programs know: f64 is rounded to f32.
pub(crate) fn stored(map: &Map, entry: Entry) -> Result<Tensor> {
    if entry.dtype != Dtype::F64 {
        return mapped(map, entry).map(|(_, tensor)| tensor);
    }
    let numbers = map[entry.range].chunks_exact(8);
    let numbers: Vec<f64> =
        numbers.map(|bytes| f64::from_le_bytes(bytes.try_into().expect("8 bytes"))).collect();
    Ok(Tensor::from_f64(&TensorType::new(DType::F32, entry.shape), &numbers)?)
}

/// What exporters put before names.
const PREFIXES: [&str; 7] = [
    "_orig_mod.",
    "module.",
    "base_model.model.",
    "language_model.",
    "model.",
    "transformer.",
    "gpt_neox.",
];

/// A name without prefixes: `layers.0.mlp.up_proj.weight`.
fn core(name: &str) -> &str {
    // The head of GPT-NeoX, which transformers 5 renames when it reads.
    if name == "embed_out.weight" {
        return "lm_head.weight";
    }
    let stripped = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix));
    stripped.map_or(name, core)
}

/// Tensors of old checkpoints that are not weights: rotary frequencies and causal masks.
const CONSTANTS: [&str; 6] = [
    ".rotary_emb.inv_freq",
    ".attn.bias",
    ".attn.masked_bias",
    ".attention.bias",
    ".attention.masked_bias",
    ".embed_positions.sin_cos",
];

/// Tensors of parts that are not read.
const OTHER_PARTS: [&str; 4] =
    ["vision_tower.", "vision_model.", "multi_modal_projector.", "audio_tower."];

/// The weights of a configuration among tensors of these names, which `take` hands over.
fn named(
    config: &LanguageConfig,
    stored_as: Family,
    names: &BTreeSet<String>,
    take: &mut dyn FnMut(&str) -> Result<Tensor>,
    notes: &mut Vec<Note>,
) -> Result<Weights> {
    let mut left: BTreeMap<&str, &String> = BTreeMap::new();
    let mut other_parts = 0;
    for name in names {
        if OTHER_PARTS.iter().any(|part| name.contains(part)) {
            other_parts += 1;
        } else if let Some(twin) = left.insert(core(name), name) {
            return Err(ModelError::TwiceNamed { first: twin.clone(), second: name.clone() });
        }
    }
    if other_parts > 0 {
        let text = format!("{other_parts} tensors of parts that read pictures or sound left aside");
        notes.push(Note::new("weights:", text));
    }
    left.retain(|name, _| !CONSTANTS.iter().any(|constant| name.ends_with(constant)));
    let tensors = published(stored_as, config);
    let wanted = tensors.iter().flat_map(|tensor| &tensor.names);
    let missing: Vec<String> =
        wanted.filter(|name| !left.contains_key(core(name))).cloned().collect();
    if !missing.is_empty() {
        return Err(match left.values().next() {
            Some(found) => ModelError::OtherTensors { missing, found: (*found).clone() },
            None => ModelError::MissingTensors(missing),
        });
    }
    let mut weights = Weights::new();
    for tensor in &tensors {
        let mut found = Vec::with_capacity(tensor.names.len());
        for name in &tensor.names {
            let name = left.remove(core(name)).expect("none is missing");
            found.push(checked(name, take(name)?, tensor)?);
        }
        weights.extend(tensor.split(&found)?);
    }
    if config.tied_head {
        tied_twice(&mut left, &weights, take, notes)?;
    }
    if !left.is_empty() {
        return Err(ModelError::UnknownTensors(left.into_values().cloned().collect()));
    }
    Ok(weights)
}

/// A tensor of a file, if it has the shape that it should have and holds numbers of one type with those
/// that it belongs to.
fn checked(name: &str, found: Tensor, of: &Published) -> Result<Tensor> {
    let real = found.dtype().is_float() || found.dtype().is_quantised();
    if found.shape() == of.shape && real {
        return Ok(found);
    }
    let expected = TensorType::new(DType::F32, of.shape.clone());
    Err(ModelError::TensorShape { name: name.to_owned(), expected, found: found.ty() })
}

/// Tied checkpoints may store the head a second time: the embedding counts, as in transformers.
fn tied_twice(
    left: &mut BTreeMap<&str, &String>,
    weights: &Weights,
    take: &mut dyn FnMut(&str) -> Result<Tensor>,
    notes: &mut Vec<Note>,
) -> Result<()> {
    let Some(name) = left.remove("lm_head.weight") else { return Ok(()) };
    let head = take(name)?;
    if weights.get("model.embed_tokens.weight") != Some(&head) {
        let text = "is not the embedding, which it is tied to: the embedding counts";
        notes.push(Note::new(format!("tensor `{name}`"), text));
    }
    Ok(())
}

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The weight files of a directory, in the order of transformers: the single file before an index.
fn weight_files(directory: &Path, notes: &mut Vec<Note>) -> Result<Vec<String>> {
    let index = directory.join(INDEX);
    if directory.join(SINGLE).exists() {
        if index.exists() {
            notes
                .push(Note::new(INDEX, format!("left aside: {SINGLE} counts, as in transformers")));
        }
        return Ok(vec![SINGLE.to_owned()]);
    }
    if index.exists() {
        let files = shards(&read(&index)?).map_err(|e| e.at(&index))?;
        let absent: Vec<&String> =
            files.iter().filter(|file| !directory.join(file).exists()).collect();
        if let Some(first) = absent.first() {
            let (count, of) = (absent.len(), files.len());
            return Err(ModelError::Shards { path: index, first: (*first).clone(), count, of });
        }
        return Ok(files);
    }
    for pickled in ["pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth"] {
        let path = directory.join(pickled);
        if path.exists() {
            return Err(ModelError::Pickled { path, directory: directory.to_owned() });
        }
    }
    Ok(vec![SINGLE.to_owned()])
}

/// Files an index names, each once.
fn shards(index: &[u8]) -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_value(read_json(index)?)?;
    let files: BTreeSet<String> = index.weight_map.into_values().collect();
    for file in &files {
        // A name from a file must not lead out of its directory.
        if Path::new(file).components().count() != 1 || file.starts_with('.') {
            return Err(ModelError::Unsupported {
                key: "weight_map".into(),
                value: file.clone(),
                expected: "names of files in the same directory".into(),
            });
        }
    }
    Ok(files.into_iter().collect())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(file_error(path))
}
