//! Which element type each matrix of a file gets, by the rules of llama.cpp for its named mixtures, with its
//! substitutions where rows are not whole blocks.

use std::fmt;

use stoa_graph::DType;

use super::tensors::{FUSED_ATTENTION, Fused};
use crate::LanguageConfig;
use crate::parameters::{Module, Place};

/// Types of a whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GgufTypes {
    /// Matrices of one type; of Q4_0, head and tied embedding in Q6_K.
    All(DType),
    /// Q4_K with more bits for values, heads and the last projection of some layers.
    Q4KM,
}

impl GgufTypes {
    /// The names that [`GgufTypes::named`] knows.
    pub const NAMES: [&str; 6] = ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_k_m"];

    /// Types by name, as files and commands write them.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "f32" => Some(GgufTypes::All(DType::F32)),
            "f16" => Some(GgufTypes::All(DType::F16)),
            "bf16" => Some(GgufTypes::All(DType::BF16)),
            "q8_0" => Some(GgufTypes::All(DType::Q8_0)),
            "q4_0" => Some(GgufTypes::All(DType::Q4_0)),
            "q4_k_m" => Some(GgufTypes::Q4KM),
            _ => None,
        }
    }

    /// The type of most matrices.
    pub const fn base(self) -> DType {
        match self {
            GgufTypes::All(dtype) => dtype,
            GgufTypes::Q4KM => DType::Q4_K,
        }
    }
}

impl fmt::Display for GgufTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GgufTypes::All(dtype) => write!(f, "{dtype}"),
            GgufTypes::Q4KM => f.write_str("q4_k_m"),
        }
    }
}

/// What stands for types with blocks of 256; F16 stands for the others.
const SUBSTITUTES: [(DType, DType); 3] =
    [(DType::Q4_K, DType::Q5_0), (DType::Q5_K, DType::Q5_1), (DType::Q6_K, DType::Q8_0)];

/// The type a matrix with rows of `cols` gets: what the mixture says, and what stands for it where
/// rows are not whole blocks. Queries, keys and values in one tensor have a rule of their own.
pub(crate) fn chosen(
    types: GgufTypes,
    config: &LanguageConfig,
    (place, fused): (Place, Option<Fused>),
    cols: usize,
) -> (DType, DType) {
    let wanted = match (types, fused) {
        (GgufTypes::Q4KM, Some(FUSED_ATTENTION)) => DType::Q5_K,
        _ => wanted(types, config, place),
    };
    let whole = |dtype: DType| cols.is_multiple_of(dtype.block().elements);
    let stands_for = |dtype| SUBSTITUTES.iter().find(|pair| pair.0 == dtype).map(|pair| pair.1);
    let mut given = wanted;
    while !whole(given) {
        given = stands_for(given).unwrap_or(DType::F16);
    }
    (wanted, given)
}

fn wanted(types: GgufTypes, config: &LanguageConfig, place: Place) -> DType {
    let base = types.base();
    // llama.cpp leaves it as it is.
    if place.module == Module::Positions {
        return DType::F32;
    }
    let is_head =
        place.module == Module::Head || (config.tied_head && place.module == Module::Embedding);
    let small = matches!(types, GgufTypes::Q4KM | GgufTypes::All(DType::Q4_0));
    if is_head && small {
        return DType::Q6_K;
    }
    let Some(layer) = place.layer.filter(|_| types == GgufTypes::Q4KM) else { return base };
    let more = has_more_bits(layer, config.layers);
    if more && matches!(place.module, Module::Value | Module::Down) {
        return DType::Q6_K;
    }
    // As of Llama 70B: values shared by eight heads.
    let shared = config.layers == 80 && config.heads != config.kv_heads;
    if shared && place.module == Module::Value { DType::Q5_K } else { base }
}

/// The first and the last eighth of layers, and every third between.
fn has_more_bits(layer: usize, layers: usize) -> bool {
    let eighth = layers / 8;
    layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixtures_are_those_of_llama_cpp() {
        let config = LanguageConfig { tied_head: true, ..LanguageConfig::from_depth(16, 100) };
        let down = |layer| {
            chosen(GgufTypes::Q4KM, &config, (Place::in_layer(layer, Module::Down), None), 1024).1
        };
        let more: Vec<usize> = (0..16).filter(|&layer| down(layer) == DType::Q6_K).collect();
        assert_eq!(more, [0, 1, 4, 7, 10, 13, 14, 15]);
        let of = |types, place, cols| chosen(types, &config, (place, None), cols);
        let table = Place::outside(Module::Embedding);
        assert_eq!(of(GgufTypes::Q4KM, table, 576), (DType::Q6_K, DType::Q8_0));
        let query = Place::in_layer(2, Module::Query);
        assert_eq!(of(GgufTypes::Q4KM, query, 576), (DType::Q4_K, DType::Q5_0));
        assert_eq!(of(GgufTypes::Q4KM, query, 512), (DType::Q4_K, DType::Q4_K));
        let fused = |cols| chosen(GgufTypes::Q4KM, &config, (query, Some(FUSED_ATTENTION)), cols);
        assert_eq!(fused(512), (DType::Q5_K, DType::Q5_K));
        assert_eq!(fused(576), (DType::Q5_K, DType::Q5_1));
        assert_eq!(of(GgufTypes::All(DType::Q8_0), query, 40), (DType::Q8_0, DType::F16));
        assert_eq!(of(GgufTypes::All(DType::BF16), table, 40), (DType::BF16, DType::BF16));
        for name in GgufTypes::NAMES {
            assert_eq!(GgufTypes::named(name).unwrap().to_string(), name);
        }
    }
}
