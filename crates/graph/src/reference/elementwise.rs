//! Fill and the maps that all pointwise ops are made of.

use super::Array;
use crate::TensorType;

/// Every element `value`.
pub(super) fn fill(ty: &TensorType, value: f64) -> Array {
    Array::new(ty.shape.clone(), vec![value; ty.elements()])
}

/// f of each element.
pub(super) fn map(x: &Array, f: impl Fn(f64) -> f64) -> Array {
    Array::new(x.shape.clone(), x.data.iter().map(|&x| f(x)).collect::<Vec<_>>())
}

/// f of each pair of elements.
pub(super) fn map2(a: &Array, b: &Array, f: impl Fn(f64, f64) -> f64) -> Array {
    let data: Vec<f64> = a.data.iter().zip(&b.data).map(|(&a, &b)| f(a, b)).collect();
    Array::new(a.shape.clone(), data)
}
