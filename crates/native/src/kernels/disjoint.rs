//! A mutable slice shared among tasks that each write their own part of it. Checks bounds, not
//! overlap: that the parts are disjoint is the promise of the caller.

use std::marker::PhantomData;

/// A mutable slice whose parts are handed to tasks.
pub(crate) struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for a `&mut [T]`, which may cross threads when T may.
unsafe impl<T: Send> Send for Disjoint<'_, T> {}
// SAFETY: the only access is `part`, whose callers promise disjoint parts.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    /// Takes the slice for as long as tasks run.
    pub fn new(slice: &'a mut [T]) -> Self {
        Disjoint { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// Elements `start..start + len`.
    ///
    /// # Safety
    /// No other part that is alive may overlap this one.
    ///
    /// # Panics
    /// If the part lies outside the slice.
    #[allow(clippy::mut_from_ref, reason = "disjointness is the caller's promise")]
    pub unsafe fn part(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start <= self.len && len <= self.len - start, "part {start}+{len} of {}", self.len);
        // SAFETY: in bounds; not aliased by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }

    /// Address of element `start`, for writes that interleave with those of other tasks.
    ///
    /// # Panics
    /// If it lies outside the slice (one past the end is inside).
    pub fn at(&self, start: usize) -> *mut T {
        assert!(start <= self.len, "address {start} of {}", self.len);
        // SAFETY: in bounds or one past the end.
        unsafe { self.start.add(start) }
    }
}
