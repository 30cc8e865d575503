//! Tensors in host memory: bytes and their type, with views typed by the element. No arithmetic but
//! conversion to and from `f64`.

use bytemuck::Pod;
use half::{bf16, f16};

use crate::{DType, GraphError, TensorType, quantised};

/// A Rust type that is the element of an element type, stored by itself.
pub trait Element: Pod + Send + Sync + sealed::Sealed {
    /// The element type.
    const DTYPE: DType;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($rust:ty => $dtype:ident),*) => {$(
        impl sealed::Sealed for $rust {}
        impl Element for $rust {
            const DTYPE: DType = DType::$dtype;
        }
    )*};
}

elements!(f32 => F32, bf16 => BF16, f16 => F16, i32 => I32, u32 => U32);

/// The unit of storage. Its alignment is that of the widest element.
type Word = u32;

/// A tensor in host memory. Two are equal when their types and all their bits are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    ty: TensorType,
    /// The bytes of the elements, then zeros up to a whole word.
    words: Vec<Word>,
}

impl Tensor {
    /// A tensor from elements in row-major order.
    ///
    /// # Errors
    /// [`GraphError::ElementCount`] when `data` does not fill `shape` exactly,
    /// [`GraphError::TooLarge`] when nothing could.
    pub fn new<T: Element>(shape: impl Into<Vec<usize>>, data: Vec<T>) -> Result<Self, GraphError> {
        let ty = TensorType::new(T::DTYPE, shape).checked()?;
        if ty.elements() != data.len() {
            return Err(GraphError::ElementCount { ty, found: data.len() });
        }
        // Elements as wide as a word are taken over as they are, narrower ones copied.
        let words = bytemuck::allocation::try_cast_vec(data)
            .unwrap_or_else(|(_, data)| words_of(bytemuck::cast_slice(&data)));
        Ok(Tensor { ty, words })
    }

    /// A tensor from the bytes of its elements or blocks, numbers in the byte order of this machine
    /// (blocks are little-endian everywhere).
    ///
    /// # Errors
    /// [`GraphError::ByteCount`] when `bytes` is not the size of the type, and as
    /// [`TensorType::checked`].
    pub fn from_bytes(ty: TensorType, bytes: &[u8]) -> Result<Self, GraphError> {
        let ty = ty.checked()?;
        if ty.size_bytes() != bytes.len() {
            return Err(GraphError::ByteCount { ty, found: bytes.len() });
        }
        Ok(Tensor { ty, words: words_of(bytes) })
    }

    /// An `f32` tensor.
    ///
    /// # Errors
    /// See [`Tensor::new`].
    pub fn f32(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self, GraphError> {
        Self::new(shape, data)
    }

    /// An `i32` tensor.
    ///
    /// # Errors
    /// See [`Tensor::new`].
    pub fn i32(shape: impl Into<Vec<usize>>, data: Vec<i32>) -> Result<Self, GraphError> {
        Self::new(shape, data)
    }

    /// A scalar `f32`.
    pub fn scalar(value: f32) -> Self {
        Tensor { ty: TensorType::scalar(), words: vec![value.to_bits()] }
    }

    /// All zeros of the given type.
    pub fn zeros(ty: &TensorType) -> Self {
        Tensor { ty: ty.clone(), words: vec![0; ty.size_bytes().div_ceil(size_of::<Word>())] }
    }

    /// Type of the tensor.
    pub fn ty(&self) -> TensorType {
        self.ty.clone()
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.ty.dtype
    }

    /// Dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.ty.shape
    }

    /// Bytes of the elements or blocks, in row-major order.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.ty.size_bytes()]
    }

    /// Elements, when `T` is their type.
    pub fn elements<T: Element>(&self) -> Option<&[T]> {
        let n = self.ty.elements();
        (self.ty.dtype == T::DTYPE).then(|| &bytemuck::cast_slice(&self.words)[..n])
    }

    /// Elements to be changed in place, when `T` is their type.
    pub fn elements_mut<T: Element>(&mut self) -> Option<&mut [T]> {
        let n = self.ty.elements();
        let typed = self.ty.dtype == T::DTYPE;
        typed.then(|| &mut bytemuck::cast_slice_mut(&mut self.words)[..n])
    }

    /// Elements as `f32` when that is the type.
    pub fn as_f32(&self) -> Option<&[f32]> {
        self.elements()
    }

    /// Elements as `i32` when that is the type.
    pub fn as_i32(&self) -> Option<&[i32]> {
        self.elements()
    }

    /// Every element widened to `f64` (exact for all types here).
    pub fn to_f64(&self) -> Vec<f64> {
        fn widened<T: Element + Into<f64>>(words: &[Word], n: usize) -> Vec<f64> {
            bytemuck::cast_slice(words)[..n].iter().map(|&x: &T| x.into()).collect()
        }
        let (words, n) = (&self.words, self.ty.elements());
        match self.ty.dtype {
            DType::F32 => widened::<f32>(words, n),
            DType::BF16 => widened::<bf16>(words, n),
            DType::F16 => widened::<f16>(words, n),
            DType::I32 => widened::<i32>(words, n),
            DType::U32 => widened::<u32>(words, n),
            DType::Q8_0 | DType::Q4_0 => {
                let mut wide = vec![0.0_f32; n];
                quantised::dequantise(self.ty.dtype, self.bytes(), &mut wide);
                wide.into_iter().map(f64::from).collect()
            }
        }
    }

    /// A tensor of type `ty` from `f64` elements, rounded to nearest (integers truncate; quantised
    /// types round as [`quantise`](crate::quantise) does).
    ///
    /// # Errors
    /// See [`Tensor::new`].
    pub fn from_f64(ty: &TensorType, data: &[f64]) -> Result<Self, GraphError> {
        let ty = ty.clone().checked()?;
        if ty.elements() != data.len() {
            return Err(GraphError::ElementCount { ty, found: data.len() });
        }
        let floats = || data.iter().map(|&x| x as f32);
        match ty.dtype {
            DType::F32 => Tensor::new(ty.shape, floats().collect()),
            DType::BF16 => Tensor::new(ty.shape, data.iter().map(|&x| bf16::from_f64(x)).collect()),
            DType::F16 => Tensor::new(ty.shape, data.iter().map(|&x| f16::from_f64(x)).collect()),
            DType::I32 => Tensor::new(ty.shape, data.iter().map(|&x| x as i32).collect()),
            DType::U32 => Tensor::new(ty.shape, data.iter().map(|&x| x as u32).collect()),
            DType::Q8_0 | DType::Q4_0 => {
                let bytes = quantised::quantise(ty.dtype, &floats().collect::<Vec<_>>());
                Tensor::from_bytes(ty, &bytes)
            }
        }
    }

    /// The same elements in another real type, rounded as [`Tensor::from_f64`] rounds. Numbers of
    /// the same type stay as they are.
    ///
    /// # Errors
    /// [`GraphError::PartialBlock`] when the last dimension is not whole blocks of `dtype`.
    pub fn converted(&self, dtype: DType) -> Result<Self, GraphError> {
        let ty = TensorType::new(dtype, self.shape()).checked()?;
        if dtype == self.ty.dtype {
            return Ok(self.clone());
        }
        // From f32, as most weights are, without the way through f64.
        match (self.as_f32(), dtype) {
            (Some(x), DType::BF16) => {
                Tensor::new(ty.shape, x.iter().map(|&x| bf16::from_f32(x)).collect())
            }
            (Some(x), DType::F16) => {
                Tensor::new(ty.shape, x.iter().map(|&x| f16::from_f32(x)).collect())
            }
            _ => Tensor::from_f64(&ty, &self.to_f64()),
        }
    }
}

fn words_of(bytes: &[u8]) -> Vec<Word> {
    let mut words = vec![0; bytes.len().div_ceil(size_of::<Word>())];
    bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
    words
}
