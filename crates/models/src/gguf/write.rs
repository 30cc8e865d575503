//! Models written as GGUF files, and read again before that is called done.

use std::collections::BTreeMap;
use std::path::Path;

use stoa_gguf::{GgufWriter, Metadata, Value, file_type};
use stoa_graph::{DType, Tensor, TensorType};

use super::architecture::{self, Architecture};
use super::keys::{ROPE_FREQS, ROPE_LONG, ROPE_SHORT, same_positions};
use super::load_gguf;
use super::mixture::{GgufTypes, chosen};
use super::tensors::{joined, one_more, reshaped, side_by_side, stored_shape, written_name};
use crate::parameters::{Parameter, ParameterGroup, Place, placed_parameters};
use crate::stored::squares;
use crate::{LanguageConfig, ModelError, RopeScaling, StoredTypes, Weights};

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
    /// What other programs make of the file otherwise.
    pub notes: Vec<String>,
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
    export_gguf_with(path, (config, weights), types, others, &mut |_, _| {})
}

/// As [`export_gguf`], which hears how many bytes of how many are done: each is written, and then read.
///
/// # Errors
/// As [`export_gguf`].
pub fn export_gguf_with(
    path: &Path,
    (config, weights): (&LanguageConfig, &Weights),
    types: GgufTypes,
    others: &Metadata,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<GgufReport> {
    let (architecture, plan) = planned(config, types)?;
    let mut report = GgufReport {
        architecture: architecture.name,
        bytes: plan.iter().map(|tensor| tensor.ty.size_bytes() as u64).sum(),
        tensors: Vec::with_capacity(plan.len()),
        notes: architecture.notes(config),
    };
    let mut announced: Vec<(String, TensorType)> =
        plan.iter().map(|tensor| (tensor.name.clone(), tensor.ty.clone())).collect();
    let factors = listed_factors(config);
    announced.extend(factors.iter().map(|(name, factors)| ((*name).to_owned(), factors.ty())));
    let keys = keys(path, architecture, config, types, others);
    let mut writer = GgufWriter::create(path, &keys, announced)?;
    let mut done = 0;
    for tensor in &plan {
        let mut parts = Vec::with_capacity(tensor.parts.len());
        let (mut apart, mut size) = (0.0, 0.0);
        for (place, parameter) in &tensor.parts {
            let given = given(weights, parameter)?;
            let part = converted(given, parameter, tensor.ty.dtype)?;
            let (part_apart, part_size) = squares(given, &part);
            (apart, size) = (apart + part_apart, size + part_size);
            parts.push(in_file(architecture, config, *place, parameter, part)?);
        }
        let whole = if parts.len() == 1 { parts.pop() } else { joined(&parts) };
        let whole = whole.ok_or_else(|| ModelError::Reopened {
            path: path.to_owned(),
            what: format!("the parts of `{}` are of several widths", tensor.name),
        })?;
        writer.write(&tensor.name, &whole)?;
        report.tensors.push(GgufTensor {
            name: tensor.name.clone(),
            dtype: tensor.ty.dtype,
            instead_of: tensor.instead_of,
            relative_error: if apart == 0.0 { 0.0 } else { f64::sqrt(apart / size) },
        });
        done += tensor.ty.size_bytes() as u64;
        progress(done, 2 * report.bytes);
    }
    for (name, factors) in &factors {
        writer.write(name, factors)?;
    }
    writer.finish()?;
    check(path, (config, weights), &plan, &mut |read| progress(done + read, 2 * done))
        .inspect_err(|_| {
            // What cannot be removed is named by the error all the same.
            let _ = std::fs::remove_file(path);
        })?;
    Ok(report)
}

/// Bytes of the tensors of a file of these types.
///
/// # Errors
/// [`ModelError::NoArchitecture`].
pub fn gguf_bytes(config: &LanguageConfig, types: GgufTypes) -> Result<u64> {
    let (_, plan) = planned(config, types)?;
    Ok(plan.iter().map(|tensor| tensor.ty.size_bytes() as u64).sum())
}

/// The type that each parameter has in a file of these types.
///
/// # Errors
/// [`ModelError::NoArchitecture`].
pub fn gguf_types(config: &LanguageConfig, types: GgufTypes) -> Result<StoredTypes> {
    let (_, plan) = planned(config, types)?;
    let named = |tensor: Planned| {
        let dtype = tensor.ty.dtype;
        tensor.parts.into_iter().map(move |(_, parameter)| (parameter.name, dtype))
    };
    let types: BTreeMap<String, DType> = plan.into_iter().flat_map(named).collect();
    Ok(StoredTypes::new(config, |p| types.get(&p.name).copied().unwrap_or(DType::F32)))
}

/// A tensor of the file.
struct Planned {
    name: String,
    ty: TensorType,
    instead_of: Option<DType>,
    /// The parameters in it, first to last.
    parts: Vec<(Place, Parameter)>,
}

/// The tensors of a model in the order of the file.
fn planned(
    config: &LanguageConfig,
    types: GgufTypes,
) -> Result<(&'static Architecture, Vec<Planned>)> {
    let known = || super::architectures().collect::<Vec<_>>().join(", ");
    let architecture =
        architecture::of(config).ok_or_else(|| ModelError::NoArchitecture { known: known() })?;
    let mut plan: Vec<Planned> = Vec::new();
    for (place, parameter) in placed_parameters(config) {
        let (name, fused) = written_name(architecture, config, place);
        if let Some(tensor) = plan.iter_mut().rev().find(|tensor| tensor.name == name) {
            tensor.ty.shape[0] += parameter.shape[0];
            tensor.parts.push((place, parameter));
            continue;
        }
        let (wanted, dtype) = if parameter.is_matrix() {
            chosen(types, config, (place, fused), parameter.shape[1])
        } else {
            (DType::F32, DType::F32)
        };
        plan.push(Planned {
            name,
            ty: TensorType::new(dtype, stored_shape(config, place, &parameter)),
            instead_of: (wanted != dtype).then_some(wanted),
            parts: vec![(place, parameter)],
        });
    }
    Ok((architecture, plan))
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
        side_by_side(&tensor, config)
    } else {
        tensor
    };
    let offset = config.norm_offset && parameter.group == ParameterGroup::Norm;
    let tensor = if offset { one_more(tensor) } else { tensor };
    reshaped(tensor, &parameter.shape, &stored_shape(config, place, parameter))
}

/// The divisors of scaling that GGUF has no keys for.
fn listed_factors(config: &LanguageConfig) -> Vec<(&'static str, Tensor)> {
    let list = |factors: &[f64]| {
        let factors: Vec<f32> = factors.iter().map(|&x| x as f32).collect();
        Tensor::f32([factors.len()], factors).ok()
    };
    let lists = match &config.rope_scaling {
        Some(RopeScaling::LongRope { short_factor, long_factor, .. })
            if short_factor != long_factor =>
        {
            vec![(ROPE_LONG, list(long_factor)), (ROPE_SHORT, list(short_factor))]
        }
        Some(RopeScaling::Llama3 { .. } | RopeScaling::LongRope { .. }) => {
            vec![(ROPE_FREQS, list(&crate::rope::divisors(config)))]
        }
        Some(
            RopeScaling::Linear { .. } | RopeScaling::Yarn { .. } | RopeScaling::Dynamic { .. },
        )
        | None => Vec::new(),
    };
    lists.into_iter().filter_map(|(name, list)| Some((name, list?))).collect()
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
    if let Some(theta) = config.local_rope_theta {
        set("rope.freq_base_swa", Value::F32(theta));
    }
    if let Some(sliding) = &config.sliding_window {
        set("attention.sliding_window", size(sliding.window));
    }
    if architecture.other_block.is_some() {
        set("use_parallel_residual", Value::Bool(config.block.is_parallel()));
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
        Some(RopeScaling::LongRope {
            original_max_position_embeddings: original,
            attention_factor,
            ..
        }) => {
            set("rope.scaling.original_context_length", size(original));
            set("rope.scaling.attn_factor", Value::F32(attention_factor as f32));
        }
        Some(RopeScaling::Llama3 { .. } | RopeScaling::Dynamic { .. }) | None => {}
    }
    keys
}

/// Reads the file again and compares.
fn check(
    path: &Path,
    (config, weights): (&LanguageConfig, &Weights),
    plan: &[Planned],
    progress: &mut dyn FnMut(u64),
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
    let mut done = 0;
    for tensor in plan {
        for (_, parameter) in &tensor.parts {
            let expected = converted(given(weights, parameter)?, parameter, tensor.ty.dtype)?;
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
                return Err(differs(format!("the tensor `{}` is another", tensor.name)));
            }
        }
        done += tensor.ty.size_bytes() as u64;
        progress(done);
    }
    Ok(())
}
