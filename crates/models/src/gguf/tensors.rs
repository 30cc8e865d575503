//! Tensors of a GGUF file as the parameters of a model: names, parts of fused tensors, the order of
//! rows, and what is added to norms there.

use std::collections::BTreeSet;

use stoa_gguf::GgufFile;
use stoa_graph::{DType, Tensor, TensorType};

use super::architecture::Architecture;
use super::keys::{ROPE_FREQS, ROPE_LONG, ROPE_SHORT};
use crate::parameters::{Module, Parameter, ParameterGroup, Place, placed_parameters};
use crate::{LanguageConfig, ModelError, QkNorm, Weights};

type Result<T> = std::result::Result<T, ModelError>;

const fn module_name(module: Module) -> &'static str {
    match module {
        Module::Embedding => "token_embd",
        Module::Positions => "position_embd",
        Module::InputNorm => "attn_norm",
        Module::Query => "attn_q",
        Module::Key => "attn_k",
        Module::Value => "attn_v",
        Module::QueryNorm => "attn_q_norm",
        Module::KeyNorm => "attn_k_norm",
        Module::Output => "attn_output",
        Module::AttentionPostNorm => "post_attention_norm",
        Module::MlpNorm => "ffn_norm",
        Module::Gate => "ffn_gate",
        Module::Up => "ffn_up",
        Module::Down => "ffn_down",
        Module::MlpPostNorm => "post_ffw_norm",
        Module::FinalNorm => "output_norm",
        Module::Head => "output",
    }
}

fn named(layer: Option<usize>, module: &str, bias: bool) -> String {
    let kind = if bias { "bias" } else { "weight" };
    match layer {
        Some(layer) => format!("blk.{layer}.{module}.{kind}"),
        None => format!("{module}.{kind}"),
    }
}

/// Name of the tensor of a parameter, where it has one of its own.
pub(super) fn part_name(place: Place) -> String {
    named(place.layer, module_name(place.module), place.bias)
}

/// Dimensions of the tensor of a parameter: factors for each head are rows of heads.
pub(super) fn stored_shape(
    config: &LanguageConfig,
    place: Place,
    parameter: &Parameter,
) -> Vec<usize> {
    let of_qk = matches!(place.module, Module::QueryNorm | Module::KeyNorm);
    if of_qk && config.qk_norm == QkNorm::LayerByHead {
        return vec![parameter.shape[0] / config.head_dim, config.head_dim];
    }
    parameter.shape.clone()
}

/// A tensor of one shape in another; as it is where it does not have the first.
pub(super) fn reshaped(tensor: Tensor, from: &[usize], to: &[usize]) -> Result<Tensor> {
    if from == to || tensor.shape() != from {
        return Ok(tensor);
    }
    Ok(Tensor::from_bytes(TensorType::new(tensor.dtype(), to), tensor.bytes())?)
}

/// Parameters that some architectures store as one tensor, the rows of one after those of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fused {
    module: &'static str,
    parts: &'static [Module],
}

/// Queries, keys and values.
pub(super) const FUSED_ATTENTION: Fused =
    Fused { module: "attn_qkv", parts: &[Module::Query, Module::Key, Module::Value] };
/// The two halves of a gated feed-forward part.
pub(super) const FUSED_GATE: Fused = Fused { module: "ffn_up", parts: &[Module::Gate, Module::Up] };

impl Fused {
    /// All of them.
    const ALL: [Fused; 2] = [FUSED_ATTENTION, FUSED_GATE];

    /// Whether a model has the parts and this is one of them.
    fn holds(self, config: &LanguageConfig, module: Module) -> bool {
        let gated = self != FUSED_GATE || config.mlp.kind.is_gated();
        gated && self.parts.contains(&module)
    }

    /// Rows of the parts before one.
    fn rows_before(self, config: &LanguageConfig, module: Module) -> usize {
        let rows = |&part: &Module| {
            if part == Module::Query {
                config.query_features()
            } else if self == FUSED_ATTENTION {
                config.kv_features()
            } else {
                config.mlp.intermediate
            }
        };
        self.parts.iter().take_while(|&&part| part != module).map(rows).sum()
    }
}

/// Name of the tensor that a parameter is written in, and what it is fused with.
pub(super) fn written_name(
    architecture: &Architecture,
    config: &LanguageConfig,
    place: Place,
) -> (String, Option<Fused>) {
    let fused = architecture.fused.iter().find(|fused| fused.holds(config, place.module)).copied();
    let name = match fused {
        Some(fused) => named(place.layer, fused.module, place.bias),
        None => part_name(place),
    };
    (name, fused)
}

/// The parameters of a model in the types of the file. Every tensor of the file is one of them, a part
/// of one, or read elsewhere.
pub(super) fn read(
    file: &GgufFile,
    architecture: &Architecture,
    config: &LanguageConfig,
    notes: &mut Vec<String>,
) -> Result<Weights> {
    let mut used: BTreeSet<String> =
        [ROPE_FREQS, ROPE_LONG, ROPE_SHORT].map(str::to_owned).into_iter().collect();
    let mut weights = Weights::new();
    let mut moved = 0;
    for (place, parameter) in placed_parameters(config) {
        let (name, tensor) = find(file, config, place, &parameter)?;
        used.insert(name);
        let tensor = reshaped(tensor, &stored_shape(config, place, &parameter), &parameter.shape)?;
        if tensor.shape() != parameter.shape {
            let (name, found) = (parameter.name.clone(), tensor.ty());
            let expected = TensorType::new(found.dtype, parameter.shape.clone());
            let error = ModelError::TensorShape { name, expected, found };
            return Err(error.at(file.path()));
        }
        let tensor = if place.module.rotates() && architecture.pairs_adjacent {
            moved += usize::from(parameter.shape.len() == 2);
            in_halves(&tensor, config)
        } else {
            tensor
        };
        let tensor = match parameter.group {
            ParameterGroup::Norm | ParameterGroup::Bias => as_f32(&tensor, &parameter)?,
            ParameterGroup::Embedding
            | ParameterGroup::Head
            | ParameterGroup::InputProjection
            | ParameterGroup::OutputProjection => tensor,
        };
        let offset = config.norm_offset && parameter.group == ParameterGroup::Norm;
        weights.insert(parameter.name, if offset { less_one(tensor) } else { tensor });
    }
    if moved > 0 {
        notes.push(format!(
            "rows of {moved} matrices of queries and keys were put in another order"
        ));
    }
    let unread: Vec<String> = file
        .tensors()
        .map(|(name, _)| name)
        .filter(|n| !used.contains(*n))
        .map(Into::into)
        .collect();
    if !unread.is_empty() {
        return Err(ModelError::GgufTensors { path: file.path().to_owned(), names: unread });
    }
    Ok(weights)
}

/// A parameter, by itself or as rows of a fused tensor; and the name of the tensor. The fused one counts
/// where its first part has no tensor of its own: `ffn_up` is also the name of a part.
fn find(
    file: &GgufFile,
    config: &LanguageConfig,
    place: Place,
    parameter: &Parameter,
) -> Result<(String, Tensor)> {
    for fused in Fused::ALL.into_iter().filter(|fused| fused.holds(config, place.module)) {
        let joined = named(place.layer, fused.module, place.bias);
        let own = named(place.layer, module_name(fused.parts[0]), place.bias);
        if file.tensor_type(&joined).is_some() && file.tensor_type(&own).is_none() {
            let first = fused.rows_before(config, place.module);
            let rows = file.rows(&joined, first..first + parameter.shape[0])?;
            return Ok((joined, rows));
        }
    }
    let name = part_name(place);
    let tensor = file.tensor(&name)?;
    Ok((name, tensor))
}

fn as_f32(tensor: &Tensor, parameter: &Parameter) -> Result<Tensor> {
    tensor.converted(DType::F32).map_err(|source| ModelError::Conversion {
        name: parameter.name.clone(),
        source: Box::new(source),
    })
}

/// w of what is stored as 1 + w.
fn less_one(tensor: Tensor) -> Tensor {
    added(tensor, -1.0)
}

fn added(mut tensor: Tensor, number: f32) -> Tensor {
    if let Some(numbers) = tensor.elements_mut::<f32>() {
        numbers.iter_mut().for_each(|x| *x += number);
    }
    tensor
}

/// Rows of heads whose pairs stand side by side, with the first halves of all pairs before the second;
/// features that are not rotated stay.
pub(super) fn in_halves(tensor: &Tensor, config: &LanguageConfig) -> Tensor {
    reordered(tensor, config, |row, half| 2 * (row % half) + row / half)
}

/// Rows of heads with the two features of a pair side by side; features that are not rotated stay.
pub(super) fn side_by_side(tensor: &Tensor, config: &LanguageConfig) -> Tensor {
    reordered(tensor, config, |row, half| row % 2 * half + row / 2)
}

/// Tensors of one type and width as one, row after row.
pub(super) fn joined(parts: &[Tensor]) -> Option<Tensor> {
    let first = parts.first()?.ty();
    let mut shape = first.shape.clone();
    shape[0] = parts.iter().map(|part| part.shape()[0]).sum();
    let bytes: Vec<u8> = parts.iter().flat_map(|part| part.bytes().iter().copied()).collect();
    Tensor::from_bytes(TensorType::new(first.dtype, shape), &bytes).ok()
}

/// What is stored as 1 + w.
pub(super) fn one_more(tensor: Tensor) -> Tensor {
    added(tensor, 1.0)
}

/// A tensor whose rotated row `r` of each head is row `from(r, pairs of a head)` of what is given.
fn reordered(
    tensor: &Tensor,
    config: &LanguageConfig,
    from: impl Fn(usize, usize) -> usize,
) -> Tensor {
    let (head_dim, rotated) = (config.head_dim, config.rotary_dim.unwrap_or(config.head_dim));
    let rows = tensor.shape()[0];
    let row_bytes = tensor.bytes().len() / rows.max(1);
    let mut bytes = Vec::with_capacity(tensor.bytes().len());
    for row in 0..rows {
        let of_head = row % head_dim;
        let moved = if of_head < rotated { from(of_head, rotated / 2) } else { of_head };
        let source = row - of_head + moved;
        bytes.extend_from_slice(&tensor.bytes()[source * row_bytes..][..row_bytes]);
    }
    Tensor::from_bytes(tensor.ty(), &bytes).expect("the same rows in another order")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_pairs_come_apart_and_the_rest_stays() {
        let pairs = Tensor::f32([10, 1], (0..10).map(|x| x as f32).collect()).unwrap();
        let of = |head_dim, rotary_dim| LanguageConfig {
            head_dim,
            rotary_dim,
            ..LanguageConfig::from_depth(1, 10)
        };
        let cases = [
            (10, None, [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]),
            (5, Some(4), [0, 2, 1, 3, 4, 5, 7, 6, 8, 9]),
            (1, Some(0), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ];
        for (head_dim, rotary_dim, expected) in cases {
            let config = of(head_dim, rotary_dim);
            let halves = in_halves(&pairs, &config);
            assert_eq!(halves.as_f32().unwrap(), expected.map(|x: i8| f32::from(x)));
            assert_eq!(side_by_side(&halves, &config), pairs);
        }
    }

    #[test]
    fn ones_are_taken_away() {
        let norm = less_one(Tensor::f32([2], vec![1.5, 0.25]).unwrap());
        assert_eq!(norm.as_f32().unwrap(), [0.5, -0.75]);
    }
}
