//! Models in GGUF files, read and written: what keys and tensor names mean for each architecture that
//! llama.cpp names and this transformer computes. The format itself is in `stoa-gguf`, the tokenizer's
//! tables are not read here.
//!
//! Rules where a file leaves something open. A file without `output.weight` has a tied head. Factors of
//! positions in a file (`rope_freqs.weight`, `rope_factors_long.weight`) hold, and scaling that keys
//! name beside them does not. A window that a file gives holds for the layers that the architecture
//! has windows in. Keys of the architecture that are not read are listed, tensors that are not read
//! are refused.

mod architecture;
mod keys;
mod mixture;
mod tensors;
mod write;

use std::path::Path;

use stoa_gguf::GgufFile;

use crate::{LanguageConfig, ModelError, Note, Weights};
pub use architecture::architectures;
pub use mixture::GgufTypes;
pub(crate) use mixture::chosen;
pub use write::{GgufReport, GgufTensor, export_gguf, export_gguf_with, gguf_bytes, gguf_types};

/// A model of a GGUF file.
#[derive(Clone, Debug)]
pub struct GgufModel {
    /// Name of the architecture, `general.architecture`.
    pub architecture: &'static str,
    /// Its shape.
    pub config: LanguageConfig,
    /// Weights in the types of the file; factors and biases as f32.
    pub weights: Weights,
    /// What was decided where the file leaves something open, and what was left unread.
    pub notes: Vec<Note>,
}

/// Reads the model of an open file. Matrices stay in the file, except those whose rows are in another
/// order there.
///
/// # Errors
/// [`ModelError::Architecture`] for one that is not computed here, [`ModelError::GgufTensors`] for
/// tensors that belong to something else, keys and tensors that are missing or wrong.
pub fn from_gguf(file: &GgufFile) -> Result<GgufModel, ModelError> {
    let keys = keys::Keys::new(file)?;
    let (config, mut notes) = configured(file, &keys)?;
    let weights = tensors::read(file, keys.architecture, &config, &mut notes)?;
    let weights = crate::model_weights(&config, weights).map_err(|error| error.at(file.path()))?;
    let about = format!("{}:", file.path().display());
    let notes = notes.into_iter().map(|text| Note::new(about.clone(), text)).collect();
    Ok(GgufModel { architecture: keys.architecture.name, config, weights, notes })
}

/// The shape of the model in a GGUF file, by its keys: tensors are not read, so that sizes can be
/// compared before memory is taken.
///
/// # Errors
/// As [`GgufFile::open`]; [`ModelError::Architecture`] for one that is not computed here, keys that are
/// missing or wrong.
pub fn gguf_config(path: &Path) -> Result<LanguageConfig, ModelError> {
    let file = GgufFile::open(path)?;
    Ok(configured(&file, &keys::Keys::new(&file)?)?.0)
}

/// The configuration that keys give, and notes.
fn configured(
    file: &GgufFile,
    keys: &keys::Keys<'_>,
) -> Result<(LanguageConfig, Vec<String>), ModelError> {
    let (config, notes) = keys.config()?;
    config.validate().map_err(|error| error.at(file.path()))?;
    Ok((config, notes))
}

/// Opens a file, whole or split, and reads its model.
///
/// # Errors
/// As [`GgufFile::open`] and [`from_gguf`].
pub fn load_gguf(path: &Path) -> Result<GgufModel, ModelError> {
    from_gguf(&GgufFile::open(path)?)
}
