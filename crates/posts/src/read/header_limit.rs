//! How much of a stream the tar library may take in for the headers of one member: names and other
//! extensions stand in the stream, are collected in memory, and may claim any length.

use std::cell::Cell;
use std::io::{Error, ErrorKind, Read, Result};
use std::rc::Rc;
use thiserror::Error;

/// Bytes of headers that a member may have: names are of 4096 bytes at most on any system.
const HEADER_BYTES: u64 = 1 << 20;

/// What is left of it, shared between a stream and the code that sees the members.
#[derive(Clone)]
pub(super) struct HeaderLimit(Rc<Cell<u64>>);

/// The error of a stream that was asked for more.
#[derive(Clone, Copy, Debug, Error)]
#[error("a member has headers of more than {HEADER_BYTES} bytes")]
pub(super) struct TooMuch;

impl HeaderLimit {
    pub(super) fn new() -> HeaderLimit {
        HeaderLimit(Rc::new(Cell::new(HEADER_BYTES)))
    }

    /// A stream that gives no more than this.
    pub(super) fn of<R: Read>(&self, inner: R) -> Rationed<R> {
        Rationed { inner, left: Rc::clone(&self.0) }
    }

    /// Allows the bytes of a member whose headers were read, and the headers of the next one.
    pub(super) fn allow(&self, member_bytes: u64) {
        self.0.set(member_bytes.saturating_add(HEADER_BYTES));
    }

    /// Whether a stream failed because it was asked for more.
    pub(super) fn is_passed(cause: &Error) -> bool {
        let mut inner = cause.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
        while let Some(error) = inner {
            if error.is::<TooMuch>() {
                return true;
            }
            // The library wraps what streams say.
            let wrapped = error.downcast_ref::<Error>().and_then(Error::get_ref);
            inner = match wrapped {
                Some(wrapped) => Some(wrapped),
                None => error.source(),
            };
        }
        false
    }
}

pub(super) struct Rationed<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let left = self.left.get();
        if left == 0 && !buffer.is_empty() {
            return Err(Error::new(ErrorKind::QuotaExceeded, TooMuch));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.inner.read(&mut buffer[..most])?;
        self.left.set(left - read as u64);
        Ok(read)
    }
}
