//! Bounds on what a template may use, since templates come with downloaded models: steps, which
//! stand for time and memory alike, and depth. Everything whose size a template chooses is paid
//! for before it is made.

use std::cell::Cell;

use super::fault::{Fault, FaultKind, Result};

/// Steps of one rendering. A step is an expression or statement evaluated, or 16 bytes or one
/// value made. Real templates take some hundred steps for a message.
pub(crate) const MAX_STEPS: u64 = 10_000_000;
/// Levels of nested brackets, operators and blocks in a template's text.
pub(crate) const MAX_NESTING: usize = 150;
/// Levels of evaluation: macros and recursive loops that call themselves, with what is nested in
/// them. Python gives up at about 190 macros.
pub(crate) const MAX_DEPTH: usize = 600;
/// Levels of lists and dicts inside each other.
pub(crate) const MAX_VALUE_DEPTH: usize = 200;
/// Digits of an integer, as in Python's conversions between integers and text.
pub(crate) const MAX_DIGITS: usize = 4300;
/// Bits of an integer: more than [`MAX_DIGITS`] digits.
pub(crate) const MAX_BITS: u64 = 1 << 16;
/// Items of a `range`, as in Jinja2's sandbox.
pub(crate) const MAX_RANGE: usize = 100_000;
/// Bytes a template may write, and those of any text it makes.
const MAX_BYTES: usize = 64 << 20;

/// What is left of the bounds during one rendering.
#[derive(Debug)]
pub(crate) struct Limits {
    steps: Cell<u64>,
    depth: Cell<usize>,
}

impl Limits {
    pub fn new() -> Self {
        Limits { steps: Cell::new(MAX_STEPS), depth: Cell::new(0) }
    }

    /// Pays for steps.
    ///
    /// # Errors
    /// When none are left.
    pub fn spend(&self, steps: usize) -> Result<()> {
        let left = self.steps.get().checked_sub(steps as u64);
        self.steps.set(left.unwrap_or(0));
        match left {
            Some(_) => Ok(()),
            None => Err(Fault::new(
                FaultKind::Limit,
                format!("out of fuel: the template takes more than {MAX_STEPS} steps"),
            )),
        }
    }

    /// Pays for text of this many bytes.
    pub fn bytes(&self, bytes: usize) -> Result<()> {
        self.fits(bytes)?;
        self.spend(bytes / 16)
    }

    /// Whether a text of this many bytes is allowed.
    pub fn fits(&self, bytes: usize) -> Result<()> {
        if bytes > MAX_BYTES {
            let message = format!("a text of {bytes} bytes; at most {MAX_BYTES} are allowed");
            return Err(Fault::new(FaultKind::Limit, message));
        }
        Ok(())
    }

    /// One level of evaluation deeper, for as long as the level is kept.
    pub fn enter(&self) -> Result<Level<'_>> {
        let depth = self.depth.get() + 1;
        if depth > MAX_DEPTH {
            let message = format!("recursion deeper than {MAX_DEPTH} levels");
            return Err(Fault::new(FaultKind::Limit, message));
        }
        self.depth.set(depth);
        Ok(Level(self))
    }
}

/// A level of evaluation, left when dropped.
#[derive(Debug)]
pub(crate) struct Level<'a>(&'a Limits);

impl Drop for Level<'_> {
    fn drop(&mut self) {
        self.0.depth.set(self.0.depth.get().saturating_sub(1));
    }
}
