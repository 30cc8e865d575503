//! How families spell parameters in their files: names, projections that are stored as one tensor, and
//! matrices that are stored [in, out]. One description serves both directions.
//!
//! Rows of fused tensors that lie together are taken as they lie in the file; what has to be rearranged
//! (queries and keys by head, transposed matrices, pairs that rotate) is copied.

use std::collections::BTreeMap;
use std::sync::Arc;

use stoa_graph::{Tensor, TensorType};

use crate::parameters::{Module, Parameter, Place, placed_parameters};
use crate::{Block, Family, LanguageConfig, ModelError, QkNorm};

type Result<T> = std::result::Result<T, ModelError>;

/// How several projections lie in one tensor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fusing {
    /// One after the other.
    InOrder,
    /// For each key head its query heads, its key and its value.
    ByKeyHead,
}

/// Names of a family, where they are not those of Llama.
struct Names {
    root: &'static str,
    layers: &'static str,
    modules: &'static [(Module, &'static str)],
    fused: &'static [(&'static [Module], &'static str, Fusing)],
    /// Matrices of layers are [in, out].
    transposed: bool,
    /// Features 2i and 2i + 1 of a head rotate together.
    interleaved: bool,
    /// How factors for each head are stored.
    by_head: ByHead,
}

/// How the factors of [`QkNorm::LayerByHead`] are stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ByHead {
    /// All in one row, as parameters are.
    InOrder,
    /// [heads, head_dim].
    Rows,
    /// A tensor for each head, in a list of this name.
    Tensors { query: &'static str, key: &'static str },
}

const LLAMA: Names = Names {
    root: "model.",
    layers: "layers",
    modules: &[],
    fused: &[],
    transposed: false,
    interleaved: false,
    by_head: ByHead::InOrder,
};

const QKV: &[Module] = &[Module::Query, Module::Key, Module::Value];

const GEMMA2: Names = Names {
    modules: &[
        (Module::AttentionPostNorm, "post_attention_layernorm"),
        (Module::MlpNorm, "pre_feedforward_layernorm"),
        (Module::MlpPostNorm, "post_feedforward_layernorm"),
    ],
    ..LLAMA
};

const PHI3: Names = Names {
    fused: &[
        (QKV, "self_attn.qkv_proj", Fusing::InOrder),
        (&[Module::Gate, Module::Up], "mlp.gate_up_proj", Fusing::InOrder),
    ],
    ..LLAMA
};

const GPT2: Names = Names {
    root: "transformer.",
    layers: "h",
    modules: &[
        (Module::Embedding, "wte"),
        (Module::Positions, "wpe"),
        (Module::InputNorm, "ln_1"),
        (Module::Output, "attn.c_proj"),
        (Module::MlpNorm, "ln_2"),
        (Module::Up, "mlp.c_fc"),
        (Module::Down, "mlp.c_proj"),
        (Module::FinalNorm, "ln_f"),
    ],
    fused: &[(QKV, "attn.c_attn", Fusing::InOrder)],
    transposed: true,
    ..LLAMA
};

const GPT_NEOX: Names = Names {
    root: "gpt_neox.",
    modules: &[
        (Module::Embedding, "embed_in"),
        (Module::Output, "attention.dense"),
        (Module::Up, "mlp.dense_h_to_4h"),
        (Module::Down, "mlp.dense_4h_to_h"),
        (Module::FinalNorm, "final_layer_norm"),
        (Module::Head, "embed_out"),
    ],
    fused: &[(QKV, "attention.query_key_value", Fusing::ByKeyHead)],
    ..LLAMA
};

const FALCON: Names = Names {
    root: "transformer.",
    layers: "h",
    modules: &[
        (Module::Embedding, "word_embeddings"),
        (Module::Output, "self_attention.dense"),
        (Module::Up, "mlp.dense_h_to_4h"),
        (Module::Down, "mlp.dense_4h_to_h"),
        (Module::FinalNorm, "ln_f"),
    ],
    fused: &[(QKV, "self_attention.query_key_value", Fusing::ByKeyHead)],
    ..LLAMA
};

const FALCON_TWO_NORMS: Names = Names {
    modules: &[
        (Module::Embedding, "word_embeddings"),
        (Module::InputNorm, "ln_attn"),
        (Module::MlpNorm, "ln_mlp"),
        (Module::Output, "self_attention.dense"),
        (Module::Up, "mlp.dense_h_to_4h"),
        (Module::Down, "mlp.dense_4h_to_h"),
        (Module::FinalNorm, "ln_f"),
    ],
    ..FALCON
};

const STABLELM: Names = Names {
    by_head: ByHead::Tensors {
        query: "self_attn.q_layernorm.norms",
        key: "self_attn.k_layernorm.norms",
    },
    ..LLAMA
};

const COHERE: Names = Names { interleaved: true, by_head: ByHead::Rows, ..LLAMA };

const fn names(family: Family, config: &LanguageConfig) -> &'static Names {
    match family {
        Family::None
        | Family::Llama
        | Family::Mistral
        | Family::Qwen2
        | Family::Qwen3
        | Family::Smollm3
        | Family::Gemma
        | Family::Granite => &LLAMA,
        Family::Stablelm => &STABLELM,
        Family::Gemma2 | Family::Gemma3 | Family::Olmo2 => &GEMMA2,
        Family::Phi3 => &PHI3,
        Family::Gpt2 => &GPT2,
        Family::GptNeox => &GPT_NEOX,
        Family::Falcon if matches!(config.block, Block::ParallelTwoNorms) => &FALCON_TWO_NORMS,
        Family::Falcon => &FALCON,
        Family::Cohere | Family::Cohere2 => &COHERE,
    }
}

/// One tensor of a file, or several that are read as one, and the parameters they hold.
pub(crate) struct Published {
    /// Names in the file of the tensor, or of those whose rows follow one another.
    pub names: Vec<String>,
    /// What they hold.
    pub parts: Vec<Parameter>,
    /// Dimensions of each in the file.
    pub shape: Vec<usize>,
    transposed: bool,
    /// Runs of rows in the order of the file, of each its part and first row; `None` where the file's
    /// order is that of the only part.
    runs: Option<Vec<Run>>,
}

/// Consecutive rows of a part.
#[derive(Clone, Copy)]
struct Run {
    part: usize,
    first: usize,
    rows: usize,
}

/// Whether a family's files hold each parameter of a configuration as it is, under its own name.
pub(crate) fn keeps_names(family: Family, config: &LanguageConfig) -> bool {
    let all = published(family, config);
    all.iter().all(|tensor| {
        let own = tensor.parts.iter().map(|part| &part.name).eq(&tensor.names);
        own && tensor.parts[0].shape == tensor.shape && !tensor.transposed && tensor.runs.is_none()
    })
}

/// The tensors of a family's file.
pub(crate) fn published(family: Family, config: &LanguageConfig) -> Vec<Published> {
    let names = names(family, config);
    let mut list: Vec<Published> = Vec::new();
    let mut at: BTreeMap<String, usize> = BTreeMap::new();
    for (place, parameter) in placed_parameters(config) {
        let fused = names.fused.iter().find(|(modules, ..)| modules.contains(&place.module));
        let name = file_name(names, place, fused.map(|(_, name, _)| *name));
        if let Some(&index) = at.get(&name) {
            list[index].parts.push(parameter);
            continue;
        }
        let matrix = parameter.shape.len() == 2;
        let transposed = names.transposed && place.layer.is_some() && matrix;
        let runs = (names.interleaved && place.module.rotates())
            .then(|| interleaved(parameter.shape[0], config.head_dim));
        let (shape, parts) = (Vec::new(), vec![parameter]);
        at.insert(name.clone(), list.len());
        let names = vec![name];
        list.push(Published { names, parts, shape, transposed, runs });
    }
    for tensor in &mut list {
        if tensor.parts.len() > 1 {
            tensor.runs = Some(match fusing(names, &tensor.names[0]) {
                Fusing::InOrder => in_order(&tensor.parts),
                Fusing::ByKeyHead => by_key_head(config),
            });
        }
        tensor.shape = tensor.parts[0].shape.clone();
        tensor.shape[0] = tensor.parts.iter().map(|part| part.shape[0]).sum();
        if tensor.transposed {
            tensor.shape.reverse();
        }
    }
    if config.qk_norm == QkNorm::LayerByHead {
        store_by_head(names, config, &mut list, &at);
    }
    list
}

/// Gives factors for each head the names and dimensions that they have in the file.
fn store_by_head(
    names: &Names,
    config: &LanguageConfig,
    list: &mut [Published],
    at: &BTreeMap<String, usize>,
) {
    let layers = 0..config.layers;
    let modules = [(Module::QueryNorm, config.heads), (Module::KeyNorm, config.kv_heads)];
    for (layer, (module, heads)) in layers.flat_map(|layer| modules.map(|of| (layer, of))) {
        let place = Place::in_layer(layer, module);
        let Some(&index) = at.get(&file_name(names, place, None)) else { continue };
        let tensor = &mut list[index];
        match names.by_head {
            ByHead::InOrder => {}
            ByHead::Rows => tensor.shape = vec![heads, config.head_dim],
            ByHead::Tensors { query, key } => {
                let stem = if module == Module::QueryNorm { query } else { key };
                let name = |head: usize| file_name(names, place, Some(&format!("{stem}.{head}")));
                tensor.names = (0..heads).map(name).collect();
                tensor.shape = vec![config.head_dim];
            }
        }
    }
}

fn fusing(names: &Names, file_name: &str) -> Fusing {
    let found = names.fused.iter().find(|(_, name, _)| file_name.contains(name));
    found.map_or(Fusing::InOrder, |(.., fusing)| *fusing)
}

/// Name of the tensor of a place, or of the one of another name that it is in.
fn file_name(names: &Names, place: Place, fused: Option<&str>) -> String {
    let listed = names.modules.iter().find(|(module, _)| *module == place.module);
    let module = fused.or(listed.map(|(_, name)| *name)).unwrap_or(place.module.name());
    let kind = if place.bias { "bias" } else { "weight" };
    match place.layer {
        Some(layer) => format!("{}{}.{layer}.{module}.{kind}", names.root, names.layers),
        None if place.module == Module::Head => format!("{module}.{kind}"),
        None => format!("{}{module}.{kind}", names.root),
    }
}

fn in_order(parts: &[Parameter]) -> Vec<Run> {
    let run = |(part, of): (usize, &Parameter)| Run { part, first: 0, rows: of.shape[0] };
    parts.iter().enumerate().map(run).collect()
}

fn by_key_head(config: &LanguageConfig) -> Vec<Run> {
    let (dim, group) = (config.head_dim, config.heads / config.kv_heads);
    let of = |head: usize| {
        [
            Run { part: 0, first: head * group * dim, rows: group * dim },
            Run { part: 1, first: head * dim, rows: dim },
            Run { part: 2, first: head * dim, rows: dim },
        ]
    };
    (0..config.kv_heads).flat_map(of).collect()
}

/// Row 2i of a head in the file is feature i, row 2i + 1 feature i + head_dim/2.
fn interleaved(rows: usize, head_dim: usize) -> Vec<Run> {
    let of = |row: usize| {
        let (head, at) = (row / head_dim, row % head_dim);
        Run { part: 0, first: head * head_dim + at / 2 + at % 2 * (head_dim / 2), rows: 1 }
    };
    (0..rows).map(of).collect()
}

impl Published {
    /// The parameters of tensors of a file, whose shapes are right.
    pub fn split(&self, found: &[Tensor]) -> Result<Vec<(String, Tensor)>> {
        let tensor = match found {
            [one] if self.transposed => transposed(one)?,
            [one] if self.parts[0].shape.len() == one.shape().len() => one.clone(),
            several => {
                let bytes: Vec<&[u8]> = several.iter().map(Tensor::bytes).collect();
                let ty = TensorType::new(several[0].dtype(), self.parts[0].shape.clone());
                Tensor::from_bytes(ty, &bytes.concat())?
            }
        };
        let Some(runs) = &self.runs else {
            return Ok(vec![(self.parts[0].name.clone(), tensor)]);
        };
        let row_bytes = tensor.bytes().len() / tensor.shape()[0];
        let mut starts = Vec::with_capacity(runs.len());
        let mut next = 0;
        for run in runs {
            starts.push((next, run));
            next += run.rows;
        }
        let part = |(index, part): (usize, &Parameter)| {
            let mut own: Vec<_> = starts.iter().filter(|(_, run)| run.part == index).collect();
            own.sort_by_key(|(_, run)| run.first);
            let ty = TensorType::new(tensor.dtype(), part.shape.clone());
            let bytes =
                |&&(start, run): &&(usize, &Run)| start * row_bytes..(start + run.rows) * row_bytes;
            let made = match own.as_slice() {
                [one] => {
                    let rows = Rows { tensor: tensor.clone(), range: bytes(one) };
                    Tensor::from_shared(ty, Arc::new(rows))?
                }
                several => {
                    let all = several.iter().map(|run| &tensor.bytes()[bytes(run)]);
                    Tensor::from_bytes(ty, &all.collect::<Vec<_>>().concat())?
                }
            };
            Ok((part.name.clone(), made))
        };
        self.parts.iter().enumerate().map(part).collect()
    }

    /// The tensors of a file from their parameters, by name.
    pub fn joined(&self, weights: &BTreeMap<String, Tensor>) -> Result<Vec<(String, Tensor)>> {
        let whole = self.whole(weights)?;
        if self.names.len() == 1 && whole.shape() == self.shape {
            return Ok(vec![(self.names[0].clone(), whole)]);
        }
        let ty = TensorType::new(whole.dtype(), self.shape.clone());
        let tensor = |(name, bytes): (&String, &[u8])| {
            Ok((name.clone(), Tensor::from_bytes(ty.clone(), bytes)?))
        };
        self.names.iter().zip(whole.bytes().chunks(ty.size_bytes())).map(tensor).collect()
    }

    /// All of it as one tensor.
    fn whole(&self, weights: &BTreeMap<String, Tensor>) -> Result<Tensor> {
        let parts: Vec<&Tensor> = self
            .parts
            .iter()
            .map(|part| weights.get(&part.name))
            .collect::<Option<_>>()
            .ok_or_else(|| ModelError::MissingTensors(vec![self.parts[0].name.clone()]))?;
        let joined = match &self.runs {
            None => parts[0].clone(),
            Some(runs) => {
                let mut bytes = Vec::new();
                for run in runs {
                    let part = parts[run.part].bytes();
                    let row = part.len() / self.parts[run.part].shape[0];
                    bytes.extend(&part[run.first * row..(run.first + run.rows) * row]);
                }
                let mut shape = self.parts[0].shape.clone();
                shape[0] = self.parts.iter().map(|part| part.shape[0]).sum();
                Tensor::from_bytes(TensorType::new(parts[0].dtype(), shape), &bytes)?
            }
        };
        if self.transposed { transposed(&joined) } else { Ok(joined) }
    }
}

/// Bytes of some rows of a tensor, which stay where they are.
struct Rows {
    tensor: Tensor,
    range: std::ops::Range<usize>,
}

impl AsRef<[u8]> for Rows {
    fn as_ref(&self) -> &[u8] {
        &self.tensor.bytes()[self.range.clone()]
    }
}

/// A matrix of numbers with its dimensions exchanged.
fn transposed(tensor: &Tensor) -> Result<Tensor> {
    let ty = tensor.ty();
    let &[rows, columns] = ty.shape.as_slice() else { return Ok(tensor.clone()) };
    let size = ty.dtype.block().bytes;
    let bytes = tensor.bytes();
    let mut out = Vec::with_capacity(bytes.len());
    for column in 0..columns {
        for row in 0..rows {
            let at = (row * columns + column) * size;
            out.extend(&bytes[at..at + size]);
        }
    }
    Ok(Tensor::from_bytes(TensorType::new(ty.dtype, [columns, rows]), &out)?)
}
