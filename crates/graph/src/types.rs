//! Element types and shapes. No elements, no arithmetic.

use std::fmt;

use crate::GraphError;

/// Element type of a tensor.
#[expect(non_camel_case_types, reason = "the names of ggml")]
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
    /// Weights of 8.5 bits as ggml defines `Q8_0`: blocks of 32, a binary16 scale and 32 signed
    /// bytes; element i is scale·q_i.
    Q8_0,
    /// Weights of 4.5 bits as ggml defines `Q4_0`: blocks of 32, a binary16 scale and 16 bytes;
    /// element i < 16 is scale·(low nibble of byte i − 8), element 16 + i that of the high nibble.
    Q4_0,
    /// Weights of 5 bits as ggml defines `Q4_1`: blocks of 32, a scale and an offset in binary16 and
    /// 16 bytes of nibbles in the order of [`DType::Q4_0`]; an element is scale·q + offset.
    Q4_1,
    /// Weights of 5.5 bits as ggml defines `Q5_0`: blocks of 32, a binary16 scale, four bytes with
    /// the fifth bits and 16 with nibbles; an element is scale·(q − 16).
    Q5_0,
    /// Weights of 6 bits as ggml defines `Q5_1`: as [`DType::Q5_0`] with an offset; an element is
    /// scale·q + offset.
    Q5_1,
    /// Weights of 2.625 bits as ggml defines `Q2_K`: blocks of 256 in parts of 16, each with a scale
    /// and an offset of 4 bits; an element is scale·q − offset with q of 2 bits.
    Q2_K,
    /// Weights of 3.4375 bits as ggml defines `Q3_K`: blocks of 256 in parts of 16, each with a scale
    /// of 6 bits; an element is scale·(q − 4) with q of 3 bits.
    Q3_K,
    /// Weights of 4.5 bits as ggml defines `Q4_K`: blocks of 256 in parts of 32, each with a scale
    /// and an offset of 6 bits; an element is scale·q − offset with q of 4 bits.
    Q4_K,
    /// Weights of 5.5 bits as ggml defines `Q5_K`: as [`DType::Q4_K`] with q of 5 bits.
    Q5_K,
    /// Weights of 6.5625 bits as ggml defines `Q6_K`: blocks of 256 in parts of 16, each with a scale
    /// of 8 bits; an element is scale·(q − 32) with q of 6 bits.
    Q6_K,
}

/// What tensors of a type are stored in: blocks of equal size, one after the other. The last
/// dimension of a tensor is a whole number of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLayout {
    /// Elements of a block; 1 for plain numbers.
    pub elements: usize,
    /// Bytes of a block.
    pub bytes: usize,
}

/// What the elements of a type are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementKind {
    /// Real numbers, each stored by itself.
    Float,
    /// Real numbers that share the scale of their block: weights that are read and never computed.
    Quantised,
    /// Integers.
    Integer,
}

/// The pattern of all quantised element types, for a match that treats them alike.
#[macro_export]
macro_rules! any_quantised {
    () => {
        $crate::DType::Q8_0
            | $crate::DType::Q4_0
            | $crate::DType::Q4_1
            | $crate::DType::Q5_0
            | $crate::DType::Q5_1
            | $crate::DType::Q2_K
            | $crate::DType::Q3_K
            | $crate::DType::Q4_K
            | $crate::DType::Q5_K
            | $crate::DType::Q6_K
    };
}

impl DType {
    /// All element types.
    pub const ALL: [DType; 14] = [
        DType::F32,
        DType::BF16,
        DType::F16,
        DType::I32,
        DType::Q8_0,
        DType::Q4_0,
        DType::Q4_1,
        DType::Q5_0,
        DType::Q5_1,
        DType::Q2_K,
        DType::Q3_K,
        DType::Q4_K,
        DType::Q5_K,
        DType::Q6_K,
    ];

    /// How elements are stored.
    pub const fn block(self) -> BlockLayout {
        match self {
            DType::F32 | DType::I32 => BlockLayout { elements: 1, bytes: 4 },
            DType::BF16 | DType::F16 => BlockLayout { elements: 1, bytes: 2 },
            DType::Q8_0 => BlockLayout { elements: 32, bytes: 34 },
            DType::Q4_0 => BlockLayout { elements: 32, bytes: 18 },
            DType::Q4_1 => BlockLayout { elements: 32, bytes: 20 },
            DType::Q5_0 => BlockLayout { elements: 32, bytes: 22 },
            DType::Q5_1 => BlockLayout { elements: 32, bytes: 24 },
            DType::Q2_K => BlockLayout { elements: 256, bytes: 84 },
            DType::Q3_K => BlockLayout { elements: 256, bytes: 110 },
            DType::Q4_K => BlockLayout { elements: 256, bytes: 144 },
            DType::Q5_K => BlockLayout { elements: 256, bytes: 176 },
            DType::Q6_K => BlockLayout { elements: 256, bytes: 210 },
        }
    }

    /// What the elements are.
    pub const fn kind(self) -> ElementKind {
        match self {
            DType::F32 | DType::BF16 | DType::F16 => ElementKind::Float,
            any_quantised!() => ElementKind::Quantised,
            DType::I32 => ElementKind::Integer,
        }
    }

    /// Whether each element is a real number stored by itself.
    pub const fn is_float(self) -> bool {
        matches!(self.kind(), ElementKind::Float)
    }

    /// Whether elements are real numbers that share the scale of their block.
    pub const fn is_quantised(self) -> bool {
        matches!(self.kind(), ElementKind::Quantised)
    }

    /// Name as written in programs and errors: `f32`, `bf16`, ….
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::BF16 => "bf16",
            DType::F16 => "f16",
            DType::I32 => "i32",
            DType::Q8_0 => "q8_0",
            DType::Q4_0 => "q4_0",
            DType::Q4_1 => "q4_1",
            DType::Q5_0 => "q5_0",
            DType::Q5_1 => "q5_1",
            DType::Q2_K => "q2_k",
            DType::Q3_K => "q3_k",
            DType::Q4_K => "q4_k",
            DType::Q5_K => "q5_k",
            DType::Q6_K => "q6_k",
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

    /// The type itself when its last dimension is whole blocks and its size in bytes can be
    /// addressed. [`TensorType::elements`] and [`TensorType::size_bytes`] hold only for such types;
    /// programs and tensors have no others.
    ///
    /// # Errors
    /// [`GraphError::PartialBlock`], [`GraphError::TooLarge`].
    pub fn checked(self) -> Result<Self, GraphError> {
        let block = self.dtype.block();
        if !self.last().is_multiple_of(block.elements) {
            return Err(GraphError::PartialBlock { ty: self });
        }
        let bytes = |n: usize, &d: &usize| n.checked_mul(d);
        // Bytes of a block for each element: an upper bound that is exact for plain numbers.
        match self.shape.iter().try_fold(block.bytes, bytes) {
            Some(n) if isize::try_from(n).is_ok() => Ok(self),
            _ => Err(GraphError::TooLarge(self)),
        }
    }

    /// Size in bytes.
    pub fn size_bytes(&self) -> usize {
        let block = self.dtype.block();
        self.elements() / block.elements * block.bytes
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
