//! Weights on the host, in safetensors files and on an engine. The file format's own checks
//! (lengths, overlaps, overflow) are the `safetensors` crate's; names, shapes and types against a
//! configuration are checked here.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};
use stoa_graph::{Buffers, DType, Engine, Placement, Tensor, TensorType};

use crate::{LanguageConfig, ModelError, from_hugging_face, parameters, to_hugging_face};

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
    let file = SafeTensors::deserialize(bytes)?;
    file.iter().map(|(name, view)| Ok((name.to_owned(), tensor(name, &view)?))).collect()
}

/// Writes a file of tensors. It is not atomic: write beside and rename where that matters.
///
/// # Errors
/// [`ModelError::File`].
pub fn save(path: &Path, weights: &Weights) -> Result<()> {
    safetensors::serialize_to_file(views(weights)?, Some(metadata()), path).map_err(|error| {
        match error {
            safetensors::SafeTensorError::IoError(source) => {
                ModelError::File { path: path.to_owned(), source }
            }
            other => ModelError::Safetensors(other).at(path),
        }
    })
}

/// Reads a model directory in the Hugging Face layout: `config.json` and `model.safetensors`, or
/// the shards that `model.safetensors.index.json` names. Tensors keep the types they are stored in.
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
        let bytes = std::fs::read(&path).map_err(file_error(&path))?;
        weights.append(&mut from_safetensors(&bytes).map_err(|e| e.at(&path))?);
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
        found.remove(parameters::HEAD);
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

/// The same weights as a program with matrices of `dtype` declares them: norm factors as `f32`.
pub fn with_matrix_dtype(config: &LanguageConfig, weights: &Weights, dtype: DType) -> Weights {
    let norms: BTreeSet<String> = parameters(config)
        .into_iter()
        .filter(|p| p.ty(dtype).dtype != dtype)
        .map(|p| p.name)
        .collect();
    let convert = |(name, tensor): (&String, &Tensor)| {
        let dtype = if norms.contains(name) { DType::F32 } else { dtype };
        (name.clone(), tensor.converted(dtype).expect("numbers are blocks of one element"))
    };
    weights.iter().map(convert).collect()
}

/// Copies tensors into an engine's memory, each to the device of its place.
///
/// # Errors
/// [`ModelError::Engine`].
pub fn upload_to(
    engine: &dyn Engine,
    placement: &Placement,
    weights: &Weights,
    state: &mut Buffers,
) -> Result<()> {
    for (name, tensor) in weights {
        state.insert(name.clone(), engine.upload_to(placement.device(name), tensor)?);
    }
    Ok(())
}

/// Copies tensors to the first device of an engine.
///
/// # Errors
/// [`ModelError::Engine`].
pub fn upload(engine: &dyn Engine, weights: &Weights, state: &mut Buffers) -> Result<()> {
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

fn tensor(name: &str, view: &TensorView<'_>) -> Result<Tensor> {
    let known = DType::ALL.into_iter().find(|&dtype| safetensors_type(dtype) == Some(view.dtype()));
    let dtype = known.ok_or_else(|| ModelError::ElementType {
        name: name.to_owned(),
        dtype: format!("{:?}", view.dtype()),
    })?;
    let ty = TensorType::new(dtype, view.shape());
    if cfg!(target_endian = "little") {
        return Ok(Tensor::from_bytes(ty, view.data())?);
    }
    Ok(Tensor::from_bytes(ty, &swapped(dtype, view.data()))?)
}

/// How safetensors names an element type; it has no quantised ones.
fn safetensors_type(dtype: DType) -> Option<Dtype> {
    match dtype {
        DType::F32 => Some(Dtype::F32),
        DType::BF16 => Some(Dtype::BF16),
        DType::F16 => Some(Dtype::F16),
        DType::I32 => Some(Dtype::I32),
        DType::U32 => Some(Dtype::U32),
        DType::Q8_0 | DType::Q4_0 => None,
    }
}
