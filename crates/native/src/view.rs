//! Typed views of a value's bytes: what a kernel reads and writes. Which op reads what is in
//! `dispatch`.

use half::{bf16, f16};
use stoa_graph::{DType, Element, TensorType, any_quantised};

use crate::gemm::{BlockMatrix, MatMut, MatRef, Operand, PanelMatrix};

/// A value's elements in memory.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub ty: &'a TensorType,
    start: *mut u8,
    /// Width of its panels, for a matrix of weights in panels.
    panels: Option<usize>,
}

impl<'a> View<'a> {
    /// The value of type `ty` at `start`.
    pub fn new(start: *mut u8, ty: &'a TensorType) -> Self {
        View { ty, start, panels: None }
    }

    /// The same bytes as a matrix in panels of a width.
    pub fn in_panels(self, width: usize) -> Self {
        View { panels: Some(width), ..self }
    }

    /// The matrix, where it is in panels.
    pub fn panels(&self) -> Option<PanelMatrix<'a>> {
        let shape = self.shape();
        let matrix =
            |width| PanelMatrix::new(self.ty.dtype, self.bytes(), shape[0], shape[1], width);
        self.panels.map(matrix)
    }

    /// Address of the first byte.
    pub fn start(&self) -> *mut u8 {
        self.start
    }

    /// Size in bytes.
    pub fn size_bytes(&self) -> usize {
        self.ty.size_bytes()
    }

    pub fn elements<T: Element>(&self) -> &'a [T] {
        assert_eq!(self.ty.dtype, T::DTYPE, "the shape rules fix the types of every op");
        let n = self.ty.elements();
        if n == 0 {
            return &[];
        }
        // SAFETY: the plan gave the value this many aligned elements of this type, initialised by
        // the step that made it (or zeroed), and nothing writes them while a step reads them.
        unsafe { std::slice::from_raw_parts(self.start.cast::<T>(), n) }
    }

    pub fn elements_mut<T: Element>(&self) -> &'a mut [T] {
        assert_eq!(self.ty.dtype, T::DTYPE, "the shape rules fix the types of every op");
        let n = self.ty.elements();
        if n == 0 {
            return &mut [];
        }
        // SAFETY: as in `elements`; an output is written by one step at a time, and an input that
        // shares its place is read through this slice only (`dispatch::unless_in_place`).
        unsafe { std::slice::from_raw_parts_mut(self.start.cast::<T>(), n) }
    }

    /// Elements as `i32`.
    pub fn i32(&self) -> &'a [i32] {
        self.elements()
    }

    pub fn f32(&self) -> &'a [f32] {
        self.elements()
    }

    pub fn f32_mut(&self) -> &'a mut [f32] {
        self.elements_mut()
    }

    pub fn scalar(&self) -> f32 {
        self.f32()[0]
    }

    pub fn shape(&self) -> &'a [usize] {
        &self.ty.shape
    }

    /// The bytes of the elements or blocks.
    pub fn bytes(&self) -> &'a [u8] {
        let n = self.size_bytes();
        if n == 0 {
            return &[];
        }
        // SAFETY: as in `elements`; bytes have no alignment.
        unsafe { std::slice::from_raw_parts(self.start, n) }
    }

    /// The bytes of blocks, to be written.
    pub fn bytes_mut(&self) -> &'a mut [u8] {
        match self.size_bytes() {
            0 => &mut [],
            // SAFETY: as in `elements_mut`; bytes have no alignment.
            n => unsafe { std::slice::from_raw_parts_mut(self.start, n) },
        }
    }

    /// Real numbers in the type they are stored in.
    pub fn stored(&self) -> Stored<'a> {
        match self.ty.dtype {
            DType::F32 => Stored::F32(self.elements()),
            DType::F16 => Stored::F16(self.elements()),
            DType::BF16 => Stored::BF16(self.elements()),
            any_quantised!() => Stored::Blocks(self.ty.dtype, self.bytes()),
            DType::I32 => unreachable!("the shape rules fix the types of every op"),
        }
    }

    /// As a product's operand, transposed when asked.
    pub fn operand(&self, transposed: bool) -> Operand<'a> {
        let (rows, cols) = (self.shape()[0], self.shape()[1]);
        if let Some(panels) = self.panels() {
            let operand = Operand::from(panels);
            return if transposed { operand.t() } else { operand };
        }
        let operand: Operand<'a> = match self.stored() {
            Stored::F32(w) => MatRef::new(w, rows, cols).into(),
            Stored::F16(w) => MatRef::new(w, rows, cols).into(),
            Stored::BF16(w) => MatRef::new(w, rows, cols).into(),
            Stored::Blocks(dtype, w) => BlockMatrix::new(dtype, w, rows, cols).into(),
        };
        if transposed { operand.t() } else { operand }
    }

    pub fn matrix_mut(&self) -> MatMut<'a> {
        MatMut::new(self.f32_mut(), self.shape()[0], self.shape()[1])
    }
}

/// Elements of a weight, a table or a cache.
pub(crate) enum Stored<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    BF16(&'a [bf16]),
    Blocks(DType, &'a [u8]),
}
