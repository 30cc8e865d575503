//! Weights on the host, in safetensors files and on an engine. Files are mapped: a tensor that was
//! read from one costs no memory until it is used, and its pages are released when it is dropped, as
//! uploading does tensor by tensor. The file format's own checks (lengths, overlaps, overflow) are the
//! `safetensors` crate's; names, shapes and types against a configuration are checked here.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors, View};
use stoa_durable::WholeFile;
use stoa_graph::{
    Buffers, DType, Engine, GraphError, Placement, Tensor, TensorType, any_quantised,
};
use stoa_maps::Map;

use crate::{
    LanguageConfig, ModelError, Module, Place, from_hugging_face, parameters, to_hugging_face,
};

/// Tensors by name.
pub type Weights = BTreeMap<String, Tensor>;

type Result<T> = std::result::Result<T, ModelError>;

/// Tensors as the bytes of a safetensors file, in an order that depends on names and types only.
///
/// # Errors
/// [`ModelError::Safetensors`] when sizes overflow, [`ModelError::ElementType`] for quantised tensors.
pub fn to_safetensors(weights: &Weights) -> Result<Vec<u8>> {
    Ok(safetensors::serialize(views(weights)?, Some(metadata()))?)
}

/// Tensors of the bytes of a safetensors file.
///
/// # Errors
/// [`ModelError::Safetensors`] on malformed bytes, [`ModelError::ElementType`].
pub fn from_safetensors(bytes: &[u8]) -> Result<Weights> {
    let tensor = |(name, ty, range)| Ok((name, from_stored(ty, &bytes[range])?));
    contents(bytes)?.into_iter().map(tensor).collect()
}

/// Tensors of a mapped safetensors file, which stay in it.
///
/// # Errors
/// As [`from_safetensors`].
pub fn from_map(map: &Map) -> Result<Weights> {
    if cfg!(target_endian = "big") {
        return from_safetensors(map);
    }
    let tensor = |(name, ty, range)| {
        let section = map.section(range).map_err(map_error)?;
        Ok((name, Tensor::from_shared(ty, Arc::new(section))?))
    };
    contents(map)?.into_iter().map(tensor).collect()
}

/// Writes a file of tensors, which appears whole: tensors that are mapped from a file of this name
/// stay as they are.
///
/// # Errors
/// [`ModelError::File`].
pub fn save(path: &Path, weights: &Weights) -> Result<()> {
    let refused = |error: stoa_durable::FileError| ModelError::File {
        path: error.path,
        source: error.source,
    };
    let file = WholeFile::create(path).map_err(refused)?;
    let unfinished = stoa_durable::unfinished(path);
    safetensors::serialize_to_file(views(weights)?, Some(metadata()), &unfinished).map_err(
        |error| {
            if let safetensors::SafeTensorError::IoError(source) = error {
                return ModelError::File { path: path.to_owned(), source };
            }
            ModelError::Safetensors(error).at(path)
        },
    )?;
    file.commit().map_err(refused)
}

/// Reads a model directory in the Hugging Face layout: `config.json` and `model.safetensors`, or
/// the shards that `model.safetensors.index.json` names. Tensors keep the types they are stored in,
/// and stay in their mapped files.
///
/// # Errors
/// A file that is not there or not right, by path.
pub fn load(directory: &Path) -> Result<(LanguageConfig, Weights)> {
    let path = directory.join("config.json");
    let config = from_hugging_face(&read_text(&path)?).map_err(|e| e.at(&path))?;
    let index = directory.join("model.safetensors.index.json");
    let files = if index.exists() {
        shards(&read_text(&index)?).map_err(|e| e.at(&index))?
    } else {
        vec!["model.safetensors".to_owned()]
    };
    let mut weights = Weights::new();
    for file in files {
        let path = directory.join(file);
        let map = Map::open(&path).map_err(map_error)?;
        weights.append(&mut from_map(&map).map_err(|e| e.at(&path))?);
    }
    let weights = model_weights(&config, weights).map_err(|e| e.at(directory))?;
    Ok((config, weights))
}

/// The tensors of a model among those of a file, checked against its configuration.
///
/// # Errors
/// [`ModelError::MissingTensors`], [`ModelError::UnknownTensors`], [`ModelError::TensorShape`].
pub fn model_weights(config: &LanguageConfig, mut found: Weights) -> Result<Weights> {
    // Tied checkpoints may store the head a second time, old Llama ones their rotary frequencies.
    if config.tied_head {
        found.remove(&Place::outside(Module::Head).name());
    }
    found.retain(|name, _| !name.ends_with(".rotary_emb.inv_freq"));
    let mut weights = Weights::new();
    let mut missing = Vec::new();
    for parameter in parameters(config) {
        let Some(tensor) = found.remove(&parameter.name) else {
            missing.push(parameter.name);
            continue;
        };
        let ty = tensor.ty();
        if ty.shape != parameter.shape || !ty.dtype.is_float() {
            return Err(ModelError::TensorShape {
                expected: parameter.ty(DType::F32),
                found: ty,
                name: parameter.name,
            });
        }
        weights.insert(parameter.name, tensor);
    }
    if !missing.is_empty() {
        return Err(ModelError::MissingTensors(missing));
    }
    if !found.is_empty() {
        return Err(ModelError::UnknownTensors(found.into_keys().collect()));
    }
    Ok(weights)
}

/// Weights as a program with matrices of `dtype` declares them, norm factors as `f32`: each is
/// converted when it is asked for. The largest come first, so that what a conversion needs is gone
/// before the sum of all is reached.
///
/// # Errors
/// [`ModelError::Conversion`] names a matrix whose rows are not whole blocks of `dtype`.
pub fn with_matrix_dtype(
    config: &LanguageConfig,
    weights: Weights,
    dtype: DType,
) -> Result<impl Iterator<Item = (String, Tensor)>> {
    let norms: BTreeSet<String> = parameters(config)
        .into_iter()
        .filter(|p| p.ty(dtype).dtype != dtype)
        .map(|p| p.name)
        .collect();
    let declared = move |name: &str| if norms.contains(name) { DType::F32 } else { dtype };
    for (name, tensor) in &weights {
        TensorType::new(declared(name), tensor.shape()).checked().map_err(|source| {
            ModelError::Conversion { name: name.clone(), source: Box::new(source) }
        })?;
    }
    let mut weights: Vec<(String, Tensor)> = weights.into_iter().collect();
    weights.sort_by_key(|(_, tensor)| Reverse(tensor.ty().elements()));
    Ok(weights.into_iter().map(move |(name, tensor)| {
        let tensor = tensor.converted(declared(&name)).expect("the types were checked");
        (name, tensor)
    }))
}

/// Moves tensors into an engine's memory one after another, each to the device of its place. What a
/// tensor took on the host is free before the next is read.
///
/// # Errors
/// [`ModelError::Engine`].
pub fn upload_to(
    engine: &dyn Engine,
    placement: &Placement,
    weights: impl IntoIterator<Item = (String, Tensor)>,
    state: &mut Buffers,
) -> Result<()> {
    for (name, tensor) in weights {
        let buffer = engine.upload_to(placement.device(&name), &tensor)?;
        state.insert(name, buffer);
    }
    Ok(())
}

/// Moves tensors to the first device of an engine.
///
/// # Errors
/// [`ModelError::Engine`].
pub fn upload(
    engine: &dyn Engine,
    weights: impl IntoIterator<Item = (String, Tensor)>,
    state: &mut Buffers,
) -> Result<()> {
    upload_to(engine, &Placement::default(), weights, state)
}

/// Copies tensors out of an engine's memory.
///
/// # Errors
/// [`ModelError::Graph`] on an unknown name, [`ModelError::Engine`].
pub fn download<'a>(
    engine: &dyn Engine,
    state: &Buffers,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<Weights> {
    let fetch = |name: &str| Ok((name.to_owned(), engine.download(state.get(name)?)?));
    names.into_iter().map(fetch).collect()
}

/// Writes `config.json` and `model.safetensors` as `transformers` reads them.
///
/// # Errors
/// [`ModelError::File`].
pub fn save_model(directory: &Path, config: &LanguageConfig, weights: &Weights) -> Result<()> {
    let path = directory.join("config.json");
    std::fs::write(&path, to_hugging_face(config)).map_err(file_error(&path))?;
    save(&directory.join("model.safetensors"), weights)
}

/// Files an index names, each once.
fn shards(index: &str) -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_str(index)?;
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

fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(file_error(path))
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> ModelError {
    let path: PathBuf = path.to_owned();
    move |source| ModelError::File { path, source }
}

/// `transformers` refuses files that do not say which framework they are for. One key only, since
/// the crate keeps metadata in an unordered map and files must be the same bytes every time.
fn metadata() -> HashMap<String, String> {
    HashMap::from([("format".to_owned(), "pt".to_owned())])
}

fn views(weights: &Weights) -> Result<Vec<(&String, Stored<'_>)>> {
    weights.iter().map(|(name, tensor)| Ok((name, Stored::new(name, tensor)?))).collect()
}

/// A tensor as the crate wants to see it.
struct Stored<'a>(&'a Tensor, Dtype);

impl<'a> Stored<'a> {
    fn new(name: &str, tensor: &'a Tensor) -> Result<Self> {
        let dtype = safetensors_type(tensor.dtype()).ok_or_else(|| ModelError::ElementType {
            name: name.to_owned(),
            dtype: tensor.dtype().to_string(),
        })?;
        Ok(Stored(tensor, dtype))
    }
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        self.1
    }

    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let bytes = self.0.bytes();
        if cfg!(target_endian = "little") {
            return Cow::Borrowed(bytes);
        }
        Cow::Owned(swapped(self.0.dtype(), bytes))
    }

    fn data_len(&self) -> usize {
        self.0.bytes().len()
    }
}

/// The bytes of each number in reverse.
fn swapped(dtype: DType, bytes: &[u8]) -> Vec<u8> {
    bytes.chunks(dtype.block().bytes).flat_map(|number| number.iter().rev()).copied().collect()
}

/// Name, type and place of each tensor of a safetensors file.
fn contents(bytes: &[u8]) -> Result<Vec<(String, TensorType, Range<usize>)>> {
    let (header, metadata) = SafeTensors::read_metadata(bytes)?;
    // The tensors come after the length of the header, 8 bytes, and the header.
    let first = size_of::<u64>() + header;
    let entry = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let known = DType::ALL.into_iter().find(|&ty| safetensors_type(ty) == Some(info.dtype));
        let dtype = known.ok_or_else(|| ModelError::ElementType {
            name: name.clone(),
            dtype: format!("{:?}", info.dtype),
        })?;
        let (start, end) = info.data_offsets;
        Ok((name, TensorType::new(dtype, info.shape.clone()), first + start..first + end))
    };
    metadata.tensors().into_iter().map(entry).collect()
}

/// A tensor from the little-endian bytes of a file.
fn from_stored(ty: TensorType, bytes: &[u8]) -> std::result::Result<Tensor, GraphError> {
    if cfg!(target_endian = "little") {
        return Tensor::from_bytes(ty, bytes);
    }
    let bytes = swapped(ty.dtype, bytes);
    Tensor::from_bytes(ty, &bytes)
}

fn map_error(error: stoa_maps::MapError) -> ModelError {
    ModelError::File { path: error.path, source: error.source }
}

/// How safetensors names an element type; it has no quantised ones.
fn safetensors_type(dtype: DType) -> Option<Dtype> {
    match dtype {
        DType::F32 => Some(Dtype::F32),
        DType::BF16 => Some(Dtype::BF16),
        DType::F16 => Some(Dtype::F16),
        DType::I32 => Some(Dtype::I32),
        any_quantised!() => None,
    }
}
