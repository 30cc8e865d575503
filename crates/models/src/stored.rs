//! The element types that the parameters of a model are stored in, one by one: files may mix them. And
//! what rounding to them costs.

use std::collections::BTreeMap;
use std::fmt;

use stoa_graph::{DType, Tensor, TensorType};

use crate::gguf::chosen;
use crate::parameters::placed_parameters;
use crate::{GgufTypes, LanguageConfig, Parameter, Weights, parameters};

/// Element types by parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTypes {
    types: BTreeMap<String, DType>,
    /// Of matrices alone, by how many there are.
    matrices: BTreeMap<DType, usize>,
}

impl StoredTypes {
    /// Matrices of one type.
    pub fn uniform(config: &LanguageConfig, matrices: DType) -> Self {
        StoredTypes::new(config, |_| matrices)
    }

    /// Each matrix in the type it has among some weights, `f32` where it is not among them.
    pub fn of(config: &LanguageConfig, weights: &Weights) -> Self {
        let found = |p: &Parameter| weights.get(&p.name).map_or(DType::F32, |w| w.dtype());
        StoredTypes::new(config, found)
    }

    /// Each matrix in the type that a GGUF file of `types` gives it.
    pub fn mixture(config: &LanguageConfig, types: GgufTypes) -> Self {
        let chosen: BTreeMap<String, DType> = placed_parameters(config)
            .into_iter()
            .filter(|(_, p)| p.is_matrix())
            .map(|(place, p)| (p.name, chosen(types, config, (place, None), p.shape[1]).1))
            .collect();
        StoredTypes::new(config, |p| chosen.get(&p.name).copied().unwrap_or(DType::F32))
    }

    pub(crate) fn new(config: &LanguageConfig, matrix: impl Fn(&Parameter) -> DType) -> Self {
        let mut stored = StoredTypes { types: BTreeMap::new(), matrices: BTreeMap::new() };
        for parameter in parameters(config) {
            let dtype = parameter.ty(matrix(&parameter)).dtype;
            if parameter.is_matrix() {
                *stored.matrices.entry(dtype).or_default() += 1;
            }
            stored.types.insert(parameter.name, dtype);
        }
        stored
    }

    /// The type of all matrices, where they have one.
    pub fn of_all(&self) -> Option<DType> {
        let (dtype, _) = self.matrices.first_key_value()?;
        (self.matrices.len() == 1).then_some(*dtype)
    }

    /// The type of a parameter.
    pub fn ty(&self, parameter: &Parameter) -> TensorType {
        TensorType::new(self.dtype(&parameter.name), parameter.shape.clone())
    }

    /// The type of the parameter of a name.
    pub(crate) fn dtype(&self, name: &str) -> DType {
        self.types.get(name).copied().unwrap_or(DType::F32)
    }
}

impl fmt::Display for StoredTypes {
    /// The type of all matrices, or how many there are of each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(dtype) = self.of_all() {
            return write!(f, "{dtype}");
        }
        let mut counts: Vec<_> = self.matrices.iter().map(|(dtype, n)| (*n, *dtype)).collect();
        counts.sort_by(|a, b| b.cmp(a));
        let parts: Vec<String> = counts.iter().map(|(n, dtype)| format!("{n} {dtype}")).collect();
        f.write_str(&parts.join(", "))
    }
}

/// What rounding cost a tensor: ‖given − written‖ / ‖given‖, in f64. 0 where nothing changed, infinity
/// where zeros became something else.
pub fn relative_error(given: &Tensor, written: &Tensor) -> f64 {
    let (apart, size) = squares(given, written);
    if apart == 0.0 { 0.0 } else { (apart / size).sqrt() }
}

/// ‖given − written‖² and ‖given‖², in f64.
pub(crate) fn squares(given: &Tensor, written: &Tensor) -> (f64, f64) {
    let (mut apart, mut size) = (0.0, 0.0);
    for (x, y) in given.to_f64().into_iter().zip(written.to_f64()) {
        apart += (x - y) * (x - y);
        size += x * x;
    }
    (apart, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixture_gives_each_matrix_the_type_of_its_file() {
        let config = LanguageConfig { tied_head: false, ..LanguageConfig::from_depth(8, 64) };
        let of = |name: &str| StoredTypes::mixture(&config, GgufTypes::named(name).unwrap());
        assert_eq!(of("f16"), StoredTypes::uniform(&config, DType::F16));
        let small = of("q4_0");
        let more: Vec<String> = parameters(&config)
            .into_iter()
            .filter(|p| p.is_matrix() && small.ty(p).dtype != DType::Q4_0)
            .map(|p| format!("{} {}", p.name, small.ty(&p).dtype))
            .collect();
        assert_eq!(more, ["lm_head.weight q6_k"]);
    }

    #[test]
    fn errors_are_relative() {
        let tensor = |numbers: &[f32]| Tensor::f32([numbers.len()], numbers.to_vec()).unwrap();
        assert_eq!(relative_error(&tensor(&[0.0, 0.0]), &tensor(&[0.0, 0.0])), 0.0);
        assert_eq!(relative_error(&tensor(&[3.0, 4.0]), &tensor(&[3.0, 4.5])), 0.1);
        assert_eq!(relative_error(&tensor(&[0.0]), &tensor(&[1.0])), f64::INFINITY);
    }
}
