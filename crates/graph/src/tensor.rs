//! Tensors in host memory: bytes and their type, with views typed by the element. The bytes are the
//! tensor's own, or lie elsewhere, as in a memory map. No arithmetic but conversion between types.

use std::fmt;
use std::sync::Arc;

use bytemuck::Pod;
use half::{bf16, f16};

use crate::{DType, GraphError, TensorType, any_quantised, quantised};

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

elements!(f32 => F32, bf16 => BF16, f16 => F16, i32 => I32);

/// The unit of storage. Its alignment is that of the widest element.
type Word = u32;

/// Bytes of a tensor that lie elsewhere. They must be the same whenever they are asked for.
pub type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A tensor in host memory. Two are equal when their types and all their bits are.
#[derive(Clone)]
pub struct Tensor {
    ty: TensorType,
    storage: Storage,
}

#[derive(Clone)]
enum Storage {
    /// The bytes of the elements, then zeros up to a whole word.
    Own(Vec<Word>),
    /// The bytes of the elements, aligned to them.
    Shared(SharedBytes),
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
        Ok(Tensor::own(ty, words))
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
        Ok(Tensor::own(ty, words_of(bytes)))
    }

    /// A tensor whose bytes, in the form of [`Tensor::from_bytes`], stay where they are. They are
    /// copied only when they are not aligned to their elements.
    ///
    /// # Errors
    /// As [`Tensor::from_bytes`].
    pub fn from_shared(ty: TensorType, bytes: SharedBytes) -> Result<Self, GraphError> {
        let ty = ty.checked()?;
        let given = (*bytes).as_ref();
        let alignment = match ty.dtype {
            DType::F32 | DType::BF16 | DType::F16 | DType::I32 => ty.dtype.block().bytes,
            // Blocks are read byte by byte.
            any_quantised!() => 1,
        };
        if ty.size_bytes() != given.len() || !given.as_ptr().addr().is_multiple_of(alignment) {
            return Self::from_bytes(ty, given);
        }
        Ok(Tensor { ty, storage: Storage::Shared(bytes) })
    }

    fn own(ty: TensorType, words: Vec<Word>) -> Self {
        Tensor { ty, storage: Storage::Own(words) }
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
        Tensor::own(TensorType::scalar(), vec![value.to_bits()])
    }

    /// All zeros of the given type.
    pub fn zeros(ty: &TensorType) -> Self {
        Tensor::own(ty.clone(), vec![0; ty.size_bytes().div_ceil(size_of::<Word>())])
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
        let size = self.ty.size_bytes();
        match &self.storage {
            Storage::Own(words) => &bytemuck::cast_slice(words)[..size],
            Storage::Shared(bytes) => &(**bytes).as_ref()[..size],
        }
    }

    /// Elements, when `T` is their type.
    pub fn elements<T: Element>(&self) -> Option<&[T]> {
        (self.ty.dtype == T::DTYPE).then(|| bytemuck::cast_slice(self.bytes()))
    }

    /// Elements to be changed in place, when `T` is their type. Shared bytes are copied first.
    pub fn elements_mut<T: Element>(&mut self) -> Option<&mut [T]> {
        if self.ty.dtype != T::DTYPE {
            return None;
        }
        if let Storage::Shared(bytes) = &self.storage {
            self.storage = Storage::Own(words_of((**bytes).as_ref()));
        }
        let Storage::Own(words) = &mut self.storage else { unreachable!("copied above") };
        Some(&mut bytemuck::cast_slice_mut(words)[..self.ty.elements()])
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
        fn widened<T: Element + Into<f64>>(bytes: &[u8]) -> Vec<f64> {
            bytemuck::cast_slice(bytes).iter().map(|&x: &T| x.into()).collect()
        }
        let n = self.ty.elements();
        match self.ty.dtype {
            DType::F32 => widened::<f32>(self.bytes()),
            DType::BF16 => widened::<bf16>(self.bytes()),
            DType::F16 => widened::<f16>(self.bytes()),
            DType::I32 => widened::<i32>(self.bytes()),
            any_quantised!() => {
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
            any_quantised!() => {
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
        // Floats are converted in one pass: f32 holds all of them, so that the way through f64 would
        // give the same bits.
        let floats = match self.ty.dtype {
            DType::F32 => self.elements().and_then(|x: &[f32]| from_floats(x, &ty)),
            DType::BF16 => self.elements().and_then(|x: &[bf16]| from_floats(x, &ty)),
            DType::F16 => self.elements().and_then(|x: &[f16]| from_floats(x, &ty)),
            DType::I32 | any_quantised!() => None,
        };
        match floats {
            Some(tensor) => Ok(tensor),
            None => Tensor::from_f64(&ty, &self.to_f64()),
        }
    }
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.ty == other.ty && self.bytes() == other.bytes()
    }
}

impl Eq for Tensor {}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({}, {:?})", self.ty, self.to_f64())
    }
}

/// Floats in another float type; `None` when `ty` is of none.
fn from_floats<T: Element + Into<f32>>(numbers: &[T], ty: &TensorType) -> Option<Tensor> {
    fn fill<A: Element + Into<f32>, B: Element>(
        numbers: &[A],
        tensor: &mut Tensor,
        narrowed: fn(f32) -> B,
    ) -> Option<()> {
        for (to, &from) in tensor.elements_mut()?.iter_mut().zip(numbers) {
            *to = narrowed(from.into());
        }
        Some(())
    }
    let mut tensor = Tensor::zeros(ty);
    match ty.dtype {
        DType::F32 => fill(numbers, &mut tensor, |x| x)?,
        DType::BF16 => fill(numbers, &mut tensor, bf16::from_f32)?,
        DType::F16 => fill(numbers, &mut tensor, f16::from_f32)?,
        DType::I32 | any_quantised!() => return None,
    }
    Some(tensor)
}

fn words_of(bytes: &[u8]) -> Vec<Word> {
    let mut words = vec![0; bytes.len().div_ceil(size_of::<Word>())];
    bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some bytes at an address of a given remainder by 8.
    struct At {
        bytes: Vec<u8>,
        start: usize,
        size: usize,
    }

    fn shared_at(remainder: usize, bytes: &[u8]) -> SharedBytes {
        let mut room = vec![0; bytes.len() + 16];
        let start = (8 - room.as_ptr().addr() % 8) % 8 + remainder;
        room[start..start + bytes.len()].copy_from_slice(bytes);
        Arc::new(At { bytes: room, start, size: bytes.len() })
    }

    impl AsRef<[u8]> for At {
        fn as_ref(&self) -> &[u8] {
            &self.bytes[self.start..self.start + self.size]
        }
    }

    #[test]
    fn shared_bytes_are_the_same_tensor_wherever_they_lie() {
        for dtype in DType::ALL {
            let ty = TensorType::new(dtype, [3, 256]);
            let bytes: Vec<u8> = (0..ty.size_bytes()).map(|i| (i % 64) as u8).collect();
            let own = Tensor::from_bytes(ty.clone(), &bytes).unwrap();
            for remainder in 0..8 {
                let shared = Tensor::from_shared(ty.clone(), shared_at(remainder, &bytes)).unwrap();
                assert_eq!(shared, own, "{dtype} at {remainder}");
                assert_eq!(shared.to_f64(), own.to_f64(), "{dtype} at {remainder}");
                assert_eq!(shared.clone(), own);
            }
            let short = Tensor::from_shared(ty, shared_at(0, &bytes[1..]));
            assert!(matches!(short, Err(GraphError::ByteCount { .. })));
        }
    }

    #[test]
    fn writing_leaves_shared_bytes_as_they_are() {
        let bytes = shared_at(0, bytemuck::cast_slice(&[1.0_f32, 2.0]));
        let mut tensor = Tensor::from_shared(TensorType::f32([2]), Arc::clone(&bytes)).unwrap();
        tensor.elements_mut::<f32>().unwrap()[1] = 5.0;
        assert_eq!(tensor.as_f32().unwrap(), [1.0, 5.0]);
        assert_eq!((*bytes).as_ref(), bytemuck::cast_slice::<f32, u8>(&[1.0, 2.0]));
    }

    #[test]
    fn floats_convert_as_they_do_through_f64() {
        let patterns = 0..=u16::MAX;
        let halves = Tensor::new([1 << 16], patterns.clone().map(f16::from_bits).collect());
        let brains = Tensor::new([1 << 16], patterns.map(bf16::from_bits).collect());
        let (halves, brains) = (halves.unwrap(), brains.unwrap());
        // Floats between the short ones too, so that each rounds.
        let between = brains.to_f64().iter().map(|&x| (x * 1.003) as f32).collect();
        for tensor in [&halves, &brains, &Tensor::f32([1 << 16], between).unwrap()] {
            for dtype in [DType::F32, DType::BF16, DType::F16] {
                let exact = Tensor::from_f64(&TensorType::new(dtype, [1 << 16]), &tensor.to_f64());
                let (found, exact) = (tensor.converted(dtype).unwrap().to_f64(), exact.unwrap());
                // Bit for bit but for NaN, of which any will do.
                for (found, exact) in found.iter().zip(exact.to_f64()) {
                    let same = found.to_bits() == exact.to_bits();
                    assert!(same || (found.is_nan() && exact.is_nan()), "{found} {exact} {dtype}");
                }
            }
        }
    }
}
