//! Weights on the host, in safetensors files and on an engine. The file format's own checks
//! (lengths, overlaps, overflow) are the `safetensors` crate's; names, shapes and types against a
//! configuration are checked here.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};
use stoa_graph::{Buffers, DType, Engine, Placement, Tensor, TensorData, TensorType};

use crate::{LanguageConfig, ModelError, from_hugging_face, parameters, to_hugging_face};

/// Tensors by name.
pub type Weights = BTreeMap<String, Tensor>;

type Result<T> = std::result::Result<T, ModelError>;

/// Tensors as the bytes of a safetensors file, in an order that depends on names and types only.
///
/// # Errors
/// [`ModelError::Safetensors`] when sizes overflow.
pub fn to_safetensors(weights: &Weights) -> Result<Vec<u8>> {
    Ok(safetensors::serialize(views(weights), Some(metadata()))?)
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
    safetensors::serialize_to_file(views(weights), Some(metadata()), path).map_err(|error| {
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
        (name.clone(), converted(tensor, dtype))
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

fn converted(tensor: &Tensor, dtype: DType) -> Tensor {
    let ty = TensorType::new(dtype, tensor.shape());
    match (tensor.data(), dtype) {
        _ if tensor.ty().dtype == dtype => tensor.clone(),
        (TensorData::F32(v), DType::BF16) => {
            let data = v.iter().map(|&x| bf16::from_f32(x)).collect();
            Tensor::new(ty.shape, TensorData::BF16(data)).expect("same number of elements")
        }
        (TensorData::F32(v), DType::F16) => {
            let data = v.iter().map(|&x| f16::from_f32(x)).collect();
            Tensor::new(ty.shape, TensorData::F16(data)).expect("same number of elements")
        }
        _ => Tensor::from_f64(&ty, &tensor.to_f64()).expect("same number of elements"),
    }
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

fn views(weights: &Weights) -> impl Iterator<Item = (&String, Stored<'_>)> {
    weights.iter().map(|(name, tensor)| (name, Stored(tensor)))
}

/// A tensor as the crate wants to see it.
struct Stored<'a>(&'a Tensor);

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        match self.0.data() {
            TensorData::F32(_) => Dtype::F32,
            TensorData::BF16(_) => Dtype::BF16,
            TensorData::F16(_) => Dtype::F16,
            TensorData::I32(_) => Dtype::I32,
            TensorData::U32(_) => Dtype::U32,
        }
    }

    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        little_endian(self.0.data())
    }

    fn data_len(&self) -> usize {
        self.0.ty().size_bytes()
    }
}

#[cfg(target_endian = "little")]
fn little_endian(data: &TensorData) -> Cow<'_, [u8]> {
    Cow::Borrowed(match data {
        TensorData::F32(v) => bytemuck::cast_slice(v),
        TensorData::BF16(v) => bytemuck::cast_slice(v),
        TensorData::F16(v) => bytemuck::cast_slice(v),
        TensorData::I32(v) => bytemuck::cast_slice(v),
        TensorData::U32(v) => bytemuck::cast_slice(v),
    })
}

#[cfg(target_endian = "big")]
fn little_endian(data: &TensorData) -> Cow<'_, [u8]> {
    Cow::Owned(match data {
        TensorData::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        TensorData::BF16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        TensorData::F16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        TensorData::I32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        TensorData::U32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
    })
}

fn tensor(name: &str, view: &TensorView<'_>) -> Result<Tensor> {
    let bytes = view.data();
    let data = match view.dtype() {
        Dtype::F32 => TensorData::F32(elements(bytes, f32::from_le_bytes)),
        Dtype::BF16 => TensorData::BF16(elements(bytes, bf16::from_le_bytes)),
        Dtype::F16 => TensorData::F16(elements(bytes, f16::from_le_bytes)),
        Dtype::I32 => TensorData::I32(elements(bytes, i32::from_le_bytes)),
        Dtype::U32 => TensorData::U32(elements(bytes, u32::from_le_bytes)),
        other => {
            let dtype = format!("{other:?}");
            return Err(ModelError::ElementType { name: name.to_owned(), dtype });
        }
    };
    Ok(Tensor::new(view.shape(), data)?)
}

fn elements<T, const SIZE: usize>(bytes: &[u8], read: fn([u8; SIZE]) -> T) -> Vec<T> {
    let (chunks, _) = bytes.as_chunks::<SIZE>();
    chunks.iter().map(|&chunk| read(chunk)).collect()
}
