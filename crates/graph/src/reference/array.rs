//! Arrays of f64 and their rounding to declared element types. No arithmetic.

use half::{bf16, f16};

use crate::{DType, GraphError, Tensor, TensorType, any_quantised, dequantise, quantise};

/// Whether values are rounded to the types the program declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// Every value keeps the precision of f64 (finite differences need this).
    #[default]
    Exact,
    /// Inputs and the results of each op are rounded to their declared type, to nearest even;
    /// inside an op everything stays f64.
    Declared,
}

/// Elements in row-major order, whatever the declared type (all of them fit f64 exactly).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Array {
    /// Dimensions, outermost first; none for a scalar.
    pub shape: Vec<usize>,
    /// Elements.
    pub data: Vec<f64>,
}

impl Array {
    /// An array from its parts.
    pub fn new(shape: impl Into<Vec<usize>>, data: impl Into<Vec<f64>>) -> Self {
        Array { shape: shape.into(), data: data.into() }
    }

    /// A scalar.
    pub fn scalar(value: f64) -> Self {
        Array::new([], [value])
    }

    /// All zeros.
    pub fn zeros(shape: &[usize]) -> Self {
        Array::new(shape, vec![0.0; shape.iter().product()])
    }

    /// Rounded to a tensor of element type `dtype`.
    ///
    /// # Errors
    /// [`GraphError::ElementCount`] when the elements do not fill the shape.
    pub fn to_tensor(&self, dtype: DType) -> Result<Tensor, GraphError> {
        Tensor::from_f64(&TensorType::new(dtype, self.shape.clone()), &self.data)
    }

    /// Last dimension; 1 for a scalar.
    pub(super) fn last(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Row `i` of all dimensions but the last taken as one.
    pub(super) fn row(&self, i: usize) -> &[f64] {
        let width = self.last();
        &self.data[i * width..(i + 1) * width]
    }

    pub(super) fn row_mut(&mut self, i: usize) -> &mut [f64] {
        let width = self.last();
        &mut self.data[i * width..(i + 1) * width]
    }

    /// Element `i` of an array of integers.
    pub(super) fn index(&self, i: usize) -> i64 {
        self.data[i] as i64
    }

    pub(super) fn rounded(mut self, dtype: DType, rounding: Rounding) -> Self {
        if rounding == Rounding::Declared {
            round(&mut self.data, dtype);
        }
        self
    }
}

impl From<&Tensor> for Array {
    fn from(tensor: &Tensor) -> Self {
        Array::new(tensor.shape(), tensor.to_f64())
    }
}

/// Rounds numbers to what `dtype` holds. Rows of a quantised type are whole blocks, and so are all
/// of them together.
fn round(data: &mut [f64], dtype: DType) {
    let each = |data: &mut [f64], f: fn(f64) -> f64| data.iter_mut().for_each(|x| *x = f(*x));
    match dtype {
        DType::F32 => each(data, |x| f64::from(x as f32)),
        DType::BF16 => each(data, |x| f64::from(bf16::from_f64(x))),
        DType::F16 => each(data, |x| f64::from(f16::from_f64(x))),
        DType::I32 => each(data, |x| f64::from(x as i32)),
        any_quantised!() => {
            let mut numbers: Vec<f32> = data.iter().map(|&x| x as f32).collect();
            let blocks = quantise(dtype, &numbers);
            dequantise(dtype, &blocks, &mut numbers);
            data.iter_mut().zip(numbers).for_each(|(x, number)| *x = f64::from(number));
        }
    }
}
