//! Models written as GGUF files, and read again before that is called done.

use std::path::Path;

use stoa_gguf::{GgufWriter, Metadata, Value, file_type};
use stoa_graph::{DType, Tensor, TensorType};

use super::architecture::{self, Architecture};
use super::keys::{ROPE_FREQS, same_positions};
use super::load_gguf;
use super::mixture::{GgufTypes, chosen};
use super::tensors::{one_more, part_name, reshaped, side_by_side, stored_shape};
use crate::parameters::{Parameter, ParameterGroup, Place, placed_parameters};
use crate::{LanguageConfig, ModelError, RopeScaling, Weights, relative_error};

type Result<T> = std::result::Result<T, ModelError>;

/// A tensor that was written.
#[derive(Clone, Debug, PartialEq)]
pub struct GgufTensor {
    /// Name in the file.
    pub name: String,
    /// Type in the file.
    pub dtype: DType,
    /// The type that the mixture asks for, where rows are not whole blocks of it.
    pub instead_of: Option<DType>,
    /// What rounding cost: the norm of the difference over the norm of the tensor.
    pub relative_error: f64,
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub struct GgufReport {
    /// Name of the architecture.
    pub architecture: &'static str,
    /// Tensors in the order of the file.
    pub tensors: Vec<GgufTensor>,
    /// Bytes of the tensors.
    pub bytes: u64,
}

/// Writes a model. `others` are keys beside those of the architecture: the tokenizer's, the template,
/// name, licence and source. The file is opened again, and what it reads as is compared with what was
/// given: the configuration, and every tensor bit for bit in its type.
///
/// # Errors
/// [`ModelError::NoArchitecture`] for a model that no architecture written here computes, what the
/// system refuses, [`ModelError::Reopened`] when the file does not read the same; it is removed then.
pub fn export_gguf(
    path: &Path,
    config: &LanguageConfig,
    weights: &Weights,
    types: GgufTypes,
    others: &Metadata,
) -> Result<GgufReport> {
    let architecture = architecture::of(config)
        .ok_or_else(|| ModelError::NoArchitecture { known: architecture::written() })?;
    let placed = placed_parameters(config);
    let mut report = GgufReport { architecture: architecture.name, tensors: Vec::new(), bytes: 0 };
    let mut announced: Vec<(String, TensorType)> = Vec::new();
    for (place, parameter) in &placed {
        let (wanted, dtype) = if parameter.is_matrix() {
            chosen(types, config, *place, parameter.shape[1])
        } else {
            (DType::F32, DType::F32)
        };
        let ty = TensorType::new(dtype, stored_shape(config, *place, parameter));
        report.bytes += ty.size_bytes() as u64;
        let instead_of = (wanted != dtype).then_some(wanted);
        let name = part_name(*place);
        announced.push((name.clone(), ty));
        report.tensors.push(GgufTensor { name, dtype, instead_of, relative_error: 0.0 });
    }
    let factors = listed_factors(config);
    if let Some(factors) = &factors {
        announced.push((ROPE_FREQS.to_owned(), factors.ty()));
    }
    let keys = keys(path, architecture, config, types, others);
    let mut writer = GgufWriter::create(path, &keys, announced)?;
    for ((place, parameter), written) in placed.iter().zip(&mut report.tensors) {
        let given = given(weights, parameter)?;
        let tensor = converted(given, parameter, written.dtype)?;
        written.relative_error = relative_error(given, &tensor);
        let tensor = in_file(architecture, config, *place, parameter, tensor)?;
        writer.write(&written.name, &tensor)?;
    }
    if let Some(factors) = &factors {
        writer.write(ROPE_FREQS, factors)?;
    }
    writer.finish()?;
    check(path, config, weights, &report).inspect_err(|_| {
        // What cannot be removed is named by the error all the same.
        let _ = std::fs::remove_file(path);
    })?;
    Ok(report)
}

fn given<'a>(weights: &'a Weights, parameter: &Parameter) -> Result<&'a Tensor> {
    weights
        .get(&parameter.name)
        .ok_or_else(|| ModelError::MissingTensors(vec![parameter.name.clone()]))
}

fn converted(tensor: &Tensor, parameter: &Parameter, dtype: DType) -> Result<Tensor> {
    tensor.converted(dtype).map_err(|source| ModelError::Conversion {
        name: parameter.name.clone(),
        source: Box::new(source),
    })
}

/// A tensor as the architecture stores it.
fn in_file(
    architecture: &Architecture,
    config: &LanguageConfig,
    place: Place,
    parameter: &Parameter,
    tensor: Tensor,
) -> Result<Tensor> {
    let tensor = if place.module.rotates() && architecture.pairs_adjacent {
        side_by_side(&tensor, config.head_dim)
    } else {
        tensor
    };
    let offset = config.norm_offset && parameter.group == ParameterGroup::Norm;
    let tensor = if offset { one_more(tensor) } else { tensor };
    reshaped(tensor, &parameter.shape, &stored_shape(config, place, parameter))
}

/// The divisors of scaling that GGUF has no keys for.
fn listed_factors(config: &LanguageConfig) -> Option<Tensor> {
    let Some(RopeScaling::Llama3 { .. } | RopeScaling::LongRope { .. }) = config.rope_scaling
    else {
        return None;
    };
    let factors = crate::rope::divisors(config);
    let factors: Vec<f32> = factors.into_iter().map(|x| x as f32).collect();
    Tensor::f32([factors.len()], factors).ok()
}

fn keys(
    path: &Path,
    architecture: &Architecture,
    config: &LanguageConfig,
    types: GgufTypes,
    others: &Metadata,
) -> Metadata {
    let mut keys = Metadata::new(path);
    keys.set("general.architecture", architecture.name);
    for (key, value) in others.entries() {
        let taken = super::architectures().any(|name| key.starts_with(&format!("{name}.")));
        if !taken && key != "general.architecture" && !key.starts_with("split.") {
            keys.set(key, value.clone());
        }
    }
    if let Some(number) = file_type(types.base()) {
        keys.set("general.file_type", number);
    }
    keys.set("general.quantization_version", 2_u32);
    let mut set = |key: &str, value: Value| keys.set(format!("{}.{key}", architecture.name), value);
    let size = |x: usize| Value::U32(x as u32);
    set("vocab_size", size(config.vocab));
    set("context_length", size(config.max_time));
    set("embedding_length", size(config.hidden));
    set("block_count", size(config.layers));
    set("feed_forward_length", size(config.mlp.intermediate));
    set("attention.head_count", size(config.heads));
    set("attention.head_count_kv", size(config.kv_heads));
    set("attention.key_length", size(config.head_dim));
    set("attention.value_length", size(config.head_dim));
    set(architecture.eps_key(), Value::F32(config.rms_eps));
    set("rope.dimension_count", size(config.rotary_dim.unwrap_or(config.head_dim)));
    set("rope.freq_base", Value::F32(config.rope_theta));
    if let Some(sliding) = &config.sliding_window {
        set("attention.sliding_window", size(sliding.window));
    }
    let divided = |scale: f32| if architecture.logit_divisor { 1.0 / scale } else { scale };
    for (key, number) in [
        ("embedding_scale", config.embedding_scale.filter(|_| !architecture.embedding_root)),
        ("residual_scale", config.residual_scale),
        ("attention.scale", config.attention_scale),
        ("logit_scale", config.logit_scale.map(divided)),
        ("attn_logit_softcapping", config.score_softcap),
        ("final_logit_softcapping", config.logit_softcap),
    ] {
        if let Some(number) = number {
            set(key, Value::F32(number));
        }
    }
    match config.rope_scaling {
        Some(RopeScaling::Linear { factor }) => {
            set("rope.scaling.type", "linear".into());
            set("rope.scaling.factor", Value::F32(factor as f32));
        }
        Some(RopeScaling::Yarn { factor, original_max_position_embeddings: original, .. }) => {
            set("rope.scaling.type", "yarn".into());
            set("rope.scaling.factor", Value::F32(factor as f32));
            set("rope.scaling.original_context_length", size(original));
        }
        Some(
            RopeScaling::Llama3 { .. } | RopeScaling::LongRope { .. } | RopeScaling::Dynamic { .. },
        )
        | None => {}
    }
    keys
}

/// Reads the file again and compares.
fn check(
    path: &Path,
    config: &LanguageConfig,
    weights: &Weights,
    report: &GgufReport,
) -> Result<()> {
    let differs = |what: String| ModelError::Reopened { path: path.to_owned(), what };
    let read = load_gguf(path)?;
    let positions = same_positions(config, &read.config);
    let found = LanguageConfig {
        family: config.family,
        rope_scaling: config.rope_scaling.clone(),
        ..read.config
    };
    if found != *config || !positions {
        return Err(differs(format!("its configuration is {found:?}, not {config:?}")));
    }
    for ((_, parameter), written) in placed_parameters(config).iter().zip(&report.tensors) {
        let expected = converted(given(weights, parameter)?, parameter, written.dtype)?;
        let found = &read.weights[&parameter.name];
        let offset = config.norm_offset && parameter.group == ParameterGroup::Norm;
        // 1 + w loses the last bits of w, which the model's own 1 + w does not have either.
        let near = |(a, b): (f64, f64)| (a - b).abs() <= 1e-6 * a.abs().max(1.0);
        let same = if offset {
            found.to_f64().into_iter().zip(expected.to_f64()).all(near)
        } else {
            *found == expected
        };
        if !same {
            return Err(differs(format!("the tensor `{}` is another", written.name)));
        }
    }
    Ok(())
}
