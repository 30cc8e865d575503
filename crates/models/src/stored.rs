//! The element types that the parameters of a model are stored in, one by one: files may mix them. No
//! numbers.

use std::collections::BTreeMap;
use std::fmt;

use stoa_graph::{DType, TensorType};

use crate::{LanguageConfig, Parameter, Weights, parameters};

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

    fn new(config: &LanguageConfig, matrix: impl Fn(&Parameter) -> DType) -> Self {
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
        let dtype = self.types.get(&parameter.name).copied().unwrap_or(DType::F32);
        TensorType::new(dtype, parameter.shape.clone())
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
