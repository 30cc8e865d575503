//! Element types, shapes and tensors on the host. No arithmetic.

use std::fmt;

use half::{bf16, f16};

use crate::GraphError;

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// bfloat16: the upper half of a binary32.
    BF16,
    /// IEEE 754 binary16.
    F16,
    /// Signed 32-bit integer: token ids, positions, targets (−1 = ignored).
    I32,
    /// Unsigned 32-bit integer.
    U32,
}

impl DType {
    /// Size of one element in bytes.
    pub const fn size_bytes(self) -> usize {
        match self {
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::BF16 | DType::F16 => 2,
        }
    }

    /// Whether the type holds real numbers.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::BF16 | DType::F16)
    }

    /// Name as written in programs and errors: `f32`, `bf16`, ….
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::BF16 => "bf16",
            DType::F16 => "f16",
            DType::I32 => "i32",
            DType::U32 => "u32",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Element type and dimensions of a value; row-major, contiguous. A scalar has no dimensions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
}

impl TensorType {
    /// A type from its parts.
    pub fn new(dtype: DType, shape: impl Into<Vec<usize>>) -> Self {
        TensorType { dtype, shape: shape.into() }
    }

    /// `f32` of the given shape.
    pub fn f32(shape: impl Into<Vec<usize>>) -> Self {
        Self::new(DType::F32, shape)
    }

    /// `i32` of the given shape.
    pub fn i32(shape: impl Into<Vec<usize>>) -> Self {
        Self::new(DType::I32, shape)
    }

    /// A scalar `f32`.
    pub fn scalar() -> Self {
        Self::f32([])
    }

    /// Number of elements (1 for a scalar).
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The type itself when its size in bytes can be addressed. [`TensorType::elements`] and
    /// [`TensorType::size_bytes`] hold only for such types; programs and tensors have no others.
    ///
    /// # Errors
    /// [`GraphError::TooLarge`].
    pub fn addressable(self) -> Result<Self, GraphError> {
        let bytes = |n: usize, &d: &usize| n.checked_mul(d);
        match self.shape.iter().try_fold(self.dtype.size_bytes(), bytes) {
            Some(n) if isize::try_from(n).is_ok() => Ok(self),
            _ => Err(GraphError::TooLarge(self)),
        }
    }

    /// Size in bytes.
    pub fn size_bytes(&self) -> usize {
        self.elements() * self.dtype.size_bytes()
    }

    /// Last dimension; 1 for a scalar.
    pub fn last(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Product of all dimensions but the last.
    pub fn rows(&self) -> usize {
        let rank = self.shape.len();
        self.shape[..rank.saturating_sub(1)].iter().product()
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)
    }
}

/// Elements of a host tensor, by type.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorData {
    /// Binary32.
    F32(Vec<f32>),
    /// bfloat16.
    BF16(Vec<bf16>),
    /// Binary16.
    F16(Vec<f16>),
    /// Signed integers.
    I32(Vec<i32>),
    /// Unsigned integers.
    U32(Vec<u32>),
}

/// A tensor in host memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: TensorData,
}

impl Tensor {
    /// A tensor from elements in row-major order.
    ///
    /// # Errors
    /// [`GraphError::ElementCount`] when `data` does not fill `shape` exactly,
    /// [`GraphError::TooLarge`] when nothing could.
    pub fn new(shape: impl Into<Vec<usize>>, data: TensorData) -> Result<Self, GraphError> {
        let shape = shape.into();
        let found = match &data {
            TensorData::F32(v) => v.len(),
            TensorData::BF16(v) => v.len(),
            TensorData::F16(v) => v.len(),
            TensorData::I32(v) => v.len(),
            TensorData::U32(v) => v.len(),
        };
        let tensor = Tensor { shape, data };
        let ty = tensor.ty().addressable()?;
        if ty.elements() == found {
            Ok(tensor)
        } else {
            Err(GraphError::ElementCount { ty, found })
        }
    }

    /// An `f32` tensor.
    ///
    /// # Errors
    /// See [`Tensor::new`].
    pub fn f32(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self, GraphError> {
        Self::new(shape, TensorData::F32(data))
    }

    /// An `i32` tensor.
    ///
    /// # Errors
    /// See [`Tensor::new`].
    pub fn i32(shape: impl Into<Vec<usize>>, data: Vec<i32>) -> Result<Self, GraphError> {
        Self::new(shape, TensorData::I32(data))
    }

    /// A scalar `f32`.
    pub fn scalar(value: f32) -> Self {
        Tensor { shape: vec![], data: TensorData::F32(vec![value]) }
    }

    /// All zeros of the given type.
    pub fn zeros(ty: &TensorType) -> Self {
        let n = ty.elements();
        let data = match ty.dtype {
            DType::F32 => TensorData::F32(vec![0.0; n]),
            DType::BF16 => TensorData::BF16(vec![bf16::ZERO; n]),
            DType::F16 => TensorData::F16(vec![f16::ZERO; n]),
            DType::I32 => TensorData::I32(vec![0; n]),
            DType::U32 => TensorData::U32(vec![0; n]),
        };
        Tensor { shape: ty.shape.clone(), data }
    }

    /// Type of the tensor.
    pub fn ty(&self) -> TensorType {
        let dtype = match &self.data {
            TensorData::F32(_) => DType::F32,
            TensorData::BF16(_) => DType::BF16,
            TensorData::F16(_) => DType::F16,
            TensorData::I32(_) => DType::I32,
            TensorData::U32(_) => DType::U32,
        };
        TensorType { dtype, shape: self.shape.clone() }
    }

    /// Dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Elements.
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// Elements, to be changed in place.
    pub fn data_mut(&mut self) -> &mut TensorData {
        &mut self.data
    }

    /// Elements as `f32` when that is the type.
    pub fn as_f32(&self) -> Option<&[f32]> {
        if let TensorData::F32(v) = &self.data { Some(v) } else { None }
    }

    /// Elements as `i32` when that is the type.
    pub fn as_i32(&self) -> Option<&[i32]> {
        if let TensorData::I32(v) = &self.data { Some(v) } else { None }
    }

    /// Every element widened to `f64` (exact for all types here).
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.data {
            TensorData::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            TensorData::BF16(v) => v.iter().map(|&x| f64::from(x)).collect(),
            TensorData::F16(v) => v.iter().map(|&x| f64::from(x)).collect(),
            TensorData::I32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            TensorData::U32(v) => v.iter().map(|&x| f64::from(x)).collect(),
        }
    }

    /// A tensor of type `ty` from `f64` elements, rounded to nearest (integers truncate).
    ///
    /// # Errors
    /// See [`Tensor::new`].
    pub fn from_f64(ty: &TensorType, data: &[f64]) -> Result<Self, GraphError> {
        let data = match ty.dtype {
            DType::F32 => TensorData::F32(data.iter().map(|&x| x as f32).collect()),
            DType::BF16 => TensorData::BF16(data.iter().map(|&x| bf16::from_f64(x)).collect()),
            DType::F16 => TensorData::F16(data.iter().map(|&x| f16::from_f64(x)).collect()),
            DType::I32 => TensorData::I32(data.iter().map(|&x| x as i32).collect()),
            DType::U32 => TensorData::U32(data.iter().map(|&x| x as u32).collect()),
        };
        Tensor::new(ty.shape.clone(), data)
    }
}
