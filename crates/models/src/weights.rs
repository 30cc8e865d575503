//! Weights on the host, in safetensors files and on an engine; model directories are read in `load`. Files are mapped: a tensor that was
//! read from one costs no memory until it is used, and its pages are released when it is dropped, as
//! uploading does tensor by tensor. The file format's own checks (lengths, overlaps, overflow) are the
//! `safetensors` crate's; names, shapes and types against a configuration are checked here.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors, View};
use stoa_durable::WholeFile;
use stoa_graph::{
    Buffers, DType, Engine, GraphError, Placement, Tensor, TensorType, any_quantised,
};
use stoa_maps::Map;

use crate::published::{Published, published};
use crate::{LanguageConfig, ModelError, StoredTypes, published_family, to_hugging_face};

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
    let tensor = |entry: Entry| {
        let ty = entry.ty()?;
        Ok((entry.name, from_stored(ty, &bytes[entry.range])?))
    };
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
    contents(map)?.into_iter().map(|entry| mapped(map, entry)).collect()
}

/// A tensor of a mapped file.
pub(crate) fn mapped(map: &Map, entry: Entry) -> Result<(String, Tensor)> {
    let ty = entry.ty()?;
    if cfg!(target_endian = "big") {
        return Ok((entry.name, from_stored(ty, &map[entry.range])?));
    }
    let section = map.section(entry.range).map_err(map_error)?;
    Ok((entry.name, Tensor::from_shared(ty, Arc::new(section))?))
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

/// Writes `config.json` and `model.safetensors` as `transformers` reads them: class, tensor names and
/// arrangement are those of the model's family, or of the first that computes it.
///
/// # Errors
/// [`ModelError::File`], [`ModelError::MissingTensors`].
pub fn save_model(directory: &Path, config: &LanguageConfig, weights: &Weights) -> Result<()> {
    let path = directory.join("config.json");
    std::fs::write(&path, to_hugging_face(config)).map_err(file_error(&path))?;
    save(&directory.join("model.safetensors"), &published_weights(config, weights)?)
}

/// Weights under the names and in the arrangement of the class that [`to_hugging_face`] writes.
///
/// # Errors
/// [`ModelError::MissingTensors`].
pub fn published_weights(config: &LanguageConfig, weights: &Weights) -> Result<Weights> {
    let family = published_family(config).unwrap_or_default();
    let joined = |tensor: Published| tensor.joined(weights);
    let tensors: Result<Vec<_>> = published(family, config).into_iter().map(joined).collect();
    Ok(tensors?.into_iter().flatten().collect())
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
    with_types(weights, StoredTypes::uniform(config, dtype))
}

/// As [`with_matrix_dtype`], each parameter in a type of its own.
///
/// # Errors
/// As [`with_matrix_dtype`].
pub fn with_types(
    weights: Weights,
    types: StoredTypes,
) -> Result<impl Iterator<Item = (String, Tensor)>> {
    let declared = move |name: &str| types.dtype(name);
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

pub(crate) fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> ModelError {
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

/// Name, type and place of a tensor of a safetensors file.
pub(crate) struct Entry {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub range: Range<usize>,
}

impl Entry {
    /// Its type, if programs know it.
    pub fn ty(&self) -> Result<TensorType> {
        let known = DType::ALL.into_iter().find(|&ty| safetensors_type(ty) == Some(self.dtype));
        let dtype = known.ok_or_else(|| ModelError::ElementType {
            name: self.name.clone(),
            dtype: format!("{:?}", self.dtype),
        })?;
        Ok(TensorType::new(dtype, self.shape.clone()))
    }
}

/// What a safetensors file holds.
pub(crate) fn contents(bytes: &[u8]) -> Result<Vec<Entry>> {
    let (header, metadata) = SafeTensors::read_metadata(bytes)?;
    // The tensors come after the length of the header, 8 bytes, and the header.
    let first = size_of::<u64>() + header;
    let entry = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let (start, end) = info.data_offsets;
        let (dtype, shape) = (info.dtype, info.shape.clone());
        Entry { name, dtype, shape, range: first + start..first + end }
    };
    Ok(metadata.tensors().into_iter().map(entry).collect())
}

/// A tensor from the little-endian bytes of a file.
fn from_stored(ty: TensorType, bytes: &[u8]) -> std::result::Result<Tensor, GraphError> {
    if cfg!(target_endian = "little") {
        return Tensor::from_bytes(ty, bytes);
    }
    let bytes = swapped(ty.dtype, bytes);
    Tensor::from_bytes(ty, &bytes)
}

pub(crate) fn map_error(error: stoa_maps::MapError) -> ModelError {
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
