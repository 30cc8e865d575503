//! Bytes of one source, read a line or a JSON value at a time.
//!
//! It keeps count of lines and bytes for messages, bounds what one record may take (what is longer is
//! skipped, not collected), and checks UTF-8. What the records mean is the business of other files.

use super::decode::{self, Bomb};
use crate::error::{PostsError, RejectReason};
use std::io::{BufRead, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};
use stoa_remote::RemoteError;

/// How much is looked at to tell the format.
pub(super) const HEAD_BYTES: usize = 64 * 1024;

/// A stream that bytes can be put back to.
struct Putback<'a> {
    front: Cursor<Vec<u8>>,
    stream: Box<dyn BufRead + 'a>,
}

impl<'a> Putback<'a> {
    fn new(stream: Box<dyn BufRead + 'a>) -> Putback<'a> {
        Putback { front: Cursor::new(Vec::new()), stream }
    }

    fn is_at_front(&self) -> bool {
        self.front.position() < self.front.get_ref().len() as u64
    }

    /// Puts bytes before those that are next.
    fn put_back(&mut self, mut bytes: Vec<u8>) {
        bytes.extend_from_slice(&self.front.get_ref()[self.front.position() as usize..]);
        self.front = Cursor::new(bytes);
    }
}

impl Read for Putback<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.is_at_front() { self.front.read(buffer) } else { self.stream.read(buffer) }
    }
}

impl BufRead for Putback<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.is_at_front() {
            return self.front.fill_buf();
        }
        // What was put back and read again takes no memory.
        if !self.front.get_ref().is_empty() {
            self.front = Cursor::new(Vec::new());
        }
        self.stream.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        if self.is_at_front() { self.front.consume(count) } else { self.stream.consume(count) }
    }
}

/// A record that may be longer than it is to be.
pub(super) enum Within {
    Whole(Framed),
    /// It is longer, and stands in the input as before.
    Longer,
    /// The input ended before it.
    Ended,
}

/// A source being read.
pub(super) struct Input<'a> {
    reader: Putback<'a>,
    path: PathBuf,
    compressed: bool,
    /// Lines ended so far.
    lines: u64,
    /// Bytes consumed so far.
    bytes: u64,
    record_limit_bytes: usize,
    /// The byte that ends a line.
    line_end: u8,
}

/// A line before it is known to be text, without its end. Beyond the limit of a record its bytes are not
/// kept.
pub(super) struct RawLine {
    pub(super) bytes: Vec<u8>,
    pub(super) length: usize,
    /// From 1.
    pub(super) line: u64,
    pub(super) byte_offset: u64,
}

/// A record's bytes and place.
pub(super) struct Framed {
    /// Its text, or why it has none.
    pub(super) text: Result<String, RejectReason>,
    /// From 1.
    pub(super) line: u64,
    pub(super) byte_offset: u64,
}

impl<'a> Input<'a> {
    /// Wraps a decoded stream of bytes; `path` names it in errors.
    pub(super) fn new(
        stream: Box<dyn Read + 'a>,
        path: &Path,
        compressed: bool,
        record_limit_bytes: usize,
    ) -> Input<'a> {
        Input {
            reader: Putback::new(decode::buffered(stream)),
            path: path.to_path_buf(),
            compressed,
            lines: 0,
            bytes: 0,
            record_limit_bytes,
            line_end: b'\n',
        }
    }

    /// Ends lines with another byte than a line feed.
    pub(super) fn end_lines_with(&mut self, line_end: u8) {
        self.line_end = line_end;
    }

    /// The first bytes (up to 64 KiB) without consuming them; a byte order mark is consumed.
    pub(super) fn head(&mut self) -> Result<Vec<u8>, PostsError> {
        let rest = std::mem::replace(&mut self.reader, Putback::new(Box::new(Cursor::new([]))));
        let (mut head, mut stream) = decode::peek(Box::new(rest), HEAD_BYTES);
        if head.is_empty() {
            // Nothing came: at the end, or failed.
            let mut byte = [0];
            stream.read(&mut byte).map_err(|cause| self.failed(cause))?;
        }
        if head.starts_with(&[0xef, 0xbb, 0xbf]) {
            head.drain(..3);
            self.bytes += 3;
            let mut mark = [0; 3];
            stream.read_exact(&mut mark).map_err(|cause| self.failed(cause))?;
        }
        self.reader = Putback::new(decode::buffered(Box::new(stream)));
        Ok(head)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the reader away to a parser with its own framing, with the bytes consumed before it.
    pub(super) fn into_reader(self) -> (Box<dyn BufRead + 'a>, u64) {
        (Box::new(self.reader), self.bytes)
    }

    pub(super) fn record_limit_bytes(&self) -> usize {
        self.record_limit_bytes
    }

    fn failed(&self, cause: std::io::Error) -> PostsError {
        io_error(&self.path, self.compressed, self.bytes, cause)
    }

    /// The next line without its end, or `None` after the last.
    pub(super) fn line(&mut self) -> Result<Option<Framed>, PostsError> {
        let limit = self.record_limit_bytes;
        let framed = |raw: RawLine| {
            let collected = Collected { bytes: raw.bytes, length: raw.length, limit };
            collected.framed(raw.line, raw.byte_offset)
        };
        Ok(self.raw_line()?.map(framed))
    }

    /// As [`Input::line`], whether it is text or not.
    pub(super) fn raw_line(&mut self) -> Result<Option<RawLine>, PostsError> {
        let (line, byte_offset) = (self.lines + 1, self.bytes);
        let mut collected = Collected::new(self.record_limit_bytes);
        let (mut ended, line_end) = (false, self.line_end);
        while !ended {
            let (taken, found) = match self.reader.fill_buf() {
                Ok([]) => break,
                Ok(buffer) => match buffer.iter().position(|&byte| byte == line_end) {
                    Some(end) => {
                        collected.extend(&buffer[..end]);
                        (end + 1, true)
                    }
                    None => {
                        collected.extend(buffer);
                        (buffer.len(), false)
                    }
                },
                Err(cause) if cause.kind() == ErrorKind::Interrupted => continue,
                Err(cause) => return Err(self.failed(cause)),
            };
            self.reader.consume(taken);
            self.bytes += taken as u64;
            self.lines += u64::from(found);
            ended = found;
        }
        if !ended && collected.length == 0 {
            return Ok(None);
        }
        if collected.bytes.last() == Some(&b'\r') {
            collected.bytes.pop();
        }
        let Collected { bytes, length, .. } = collected;
        Ok(Some(RawLine { bytes, length, line, byte_offset }))
    }

    /// The next byte that is not white space, not consumed; `None` at the end.
    pub(super) fn peek_solid(&mut self) -> Result<Option<u8>, PostsError> {
        loop {
            let next = match self.reader.fill_buf() {
                Ok([]) => return Ok(None),
                Ok(buffer) => buffer[0],
                Err(cause) if cause.kind() == ErrorKind::Interrupted => continue,
                Err(cause) => return Err(self.failed(cause)),
            };
            if !next.is_ascii_whitespace() {
                return Ok(Some(next));
            }
            self.skip_byte(next);
        }
    }

    /// Consumes the byte that was peeked.
    pub(super) fn skip_byte(&mut self, byte: u8) {
        self.reader.consume(1);
        self.bytes += 1;
        self.lines += u64::from(byte == b'\n');
    }

    /// Where the next byte stands: line from 1, offset.
    pub(super) fn place(&self) -> (u64, u64) {
        (self.lines + 1, self.bytes)
    }

    /// Bytes until `stop` says that the one it was shown is the last one of the record. `None` when the
    /// input ends first.
    pub(super) fn until(
        &mut self,
        stop: impl FnMut(u8) -> bool,
    ) -> Result<Option<Framed>, PostsError> {
        let (line, byte_offset) = self.place();
        let mut collected = Collected::new(self.record_limit_bytes);
        let found = self.advance(stop, |bytes| collected.extend(bytes))?;
        Ok(found.then(|| collected.framed(line, byte_offset)))
    }

    /// Consumes bytes until `stop` says that the one it was shown is the last one, and hands them over;
    /// false when the input ends first.
    fn advance(
        &mut self,
        mut stop: impl FnMut(u8) -> bool,
        mut take: impl FnMut(&[u8]),
    ) -> Result<bool, PostsError> {
        loop {
            let (taken, found) = match self.reader.fill_buf() {
                Ok([]) => return Ok(false),
                Ok(buffer) => {
                    let end = buffer.iter().position(|&byte| stop(byte));
                    let taken = end.map_or(buffer.len(), |end| end + 1);
                    let bytes = &buffer[..taken];
                    self.lines += bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
                    take(bytes);
                    (taken, end.is_some())
                }
                Err(cause) if cause.kind() == ErrorKind::Interrupted => continue,
                Err(cause) => return Err(self.failed(cause)),
            };
            self.reader.consume(taken);
            self.bytes += taken as u64;
            if found {
                return Ok(true);
            }
        }
    }

    /// As [`Input::until`], when the record has no more bytes than a limit.
    pub(super) fn within(
        &mut self,
        limit: usize,
        mut stop: impl FnMut(u8) -> bool,
    ) -> Result<Within, PostsError> {
        let (line, byte_offset) = self.place();
        let mut bytes = Vec::new();
        loop {
            let (taken, found) = match self.reader.fill_buf() {
                Ok([]) => return Ok(Within::Ended),
                Ok(buffer) => {
                    let end = buffer.iter().position(|&byte| stop(byte));
                    let taken = end.map_or(buffer.len(), |end| end + 1);
                    bytes.extend_from_slice(&buffer[..taken]);
                    (taken, end.is_some())
                }
                Err(cause) if cause.kind() == ErrorKind::Interrupted => continue,
                Err(cause) => return Err(self.failed(cause)),
            };
            self.reader.consume(taken);
            if bytes.len() > limit {
                self.reader.put_back(bytes);
                return Ok(Within::Longer);
            }
            if found {
                self.lines += bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
                self.bytes += bytes.len() as u64;
                let collected = Collected { length: bytes.len(), bytes, limit };
                return Ok(Within::Whole(collected.framed(line, byte_offset)));
            }
        }
    }

    /// Passes over bytes until `stop` says that the one it was shown is the last one; false when the input
    /// ends first.
    pub(super) fn skip_until(&mut self, stop: impl FnMut(u8) -> bool) -> Result<bool, PostsError> {
        self.advance(stop, |_| {})
    }

    /// The bytes up to the next comma, bracket or white space: a number, `true`, `false` or `null`.
    pub(super) fn scalar(&mut self) -> Result<Framed, PostsError> {
        let (line, byte_offset) = self.place();
        let mut collected = Collected::new(self.record_limit_bytes);
        loop {
            let next = match self.reader.fill_buf() {
                Ok([]) => break,
                Ok(buffer) => buffer[0],
                Err(cause) if cause.kind() == ErrorKind::Interrupted => continue,
                Err(cause) => return Err(self.failed(cause)),
            };
            if next.is_ascii_whitespace() || b",]}".contains(&next) {
                break;
            }
            self.skip_byte(next);
            collected.extend(&[next]);
        }
        Ok(collected.framed(line, byte_offset))
    }
}

/// Bytes of a record up to the limit; beyond it they are only counted.
struct Collected {
    bytes: Vec<u8>,
    length: usize,
    limit: usize,
}

impl Collected {
    fn new(limit: usize) -> Collected {
        Collected { bytes: Vec::new(), length: 0, limit }
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        if self.length <= self.limit {
            self.bytes.extend_from_slice(bytes);
        } else {
            self.bytes = Vec::new();
        }
    }

    fn framed(self, line: u64, byte_offset: u64) -> Framed {
        let text = if self.length > self.limit {
            Err(RejectReason::TooLong { bytes: self.length, limit_bytes: self.limit })
        } else {
            String::from_utf8(self.bytes)
                .map_err(|error| RejectReason::InvalidUtf8 { at: error.utf8_error().valid_up_to() })
        };
        Framed { text, line, byte_offset }
    }
}

/// The error of a stream that could not be read on: damage when it is compressed, else the system's.
pub(super) fn io_error(
    path: &Path,
    compressed: bool,
    decoded_bytes: u64,
    cause: std::io::Error,
) -> PostsError {
    if let Some(bomb) = cause.get_ref().and_then(|inner| inner.downcast_ref::<Bomb>()) {
        return PostsError::Bomb { path: path.to_path_buf(), decoded_bytes, ratio: bomb.ratio };
    }
    if let Some(failed) = cause.get_ref().and_then(|inner| inner.downcast_ref::<RemoteError>()) {
        return failed.clone().into();
    }
    let damage = matches!(
        cause.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::InvalidData
            | ErrorKind::InvalidInput
            | ErrorKind::Other
    );
    if compressed && damage {
        return PostsError::Truncated {
            path: path.to_path_buf(),
            decoded_bytes,
            posts: 0,
            cause: cause.to_string(),
        };
    }
    PostsError::Io { path: path.to_path_buf(), cause }
}
