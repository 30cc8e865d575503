//! What a kernel runs with. Holds no tensors and no tables.

use crate::isa::Isa;
use crate::pool::Pool;

/// The threads a kernel shares its tasks among and the instructions it is compiled for.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The threads.
    pub pool: &'a Pool,
    /// The instruction set.
    pub isa: Isa,
}

impl<'a> Context<'a> {
    /// Of these threads with this instruction set.
    pub fn new(pool: &'a Pool, isa: Isa) -> Self {
        Context { pool, isa }
    }
}
