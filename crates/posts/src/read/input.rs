//! Bytes of one source: opened, decompressed when gzip, and read a line or a JSON value at a time.
//!
//! It keeps count of lines and bytes for messages, bounds what one record may take, and checks UTF-8.
//! What the records mean is the business of the other files.

use crate::error::PostsError;
use flate2::read::MultiGzDecoder;
use std::io::{BufRead, BufReader, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The two bytes gzip data starts with (RFC 1952, section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// How much is looked at to tell the format.
const HEAD_BYTES: usize = 64 * 1024;

/// A source being read.
pub(super) struct Input {
    reader: Box<dyn BufRead>,
    path: PathBuf,
    compressed: bool,
    /// Lines ended so far.
    lines: u64,
    /// Bytes consumed so far.
    bytes: u64,
    record_limit_bytes: usize,
}

/// A record's bytes and place.
pub(super) struct Framed {
    pub(super) text: String,
    /// From 1.
    pub(super) line: u64,
    pub(super) byte_offset: u64,
}

impl Input {
    /// Wraps a stream of bytes; `path` names it in errors.
    pub(super) fn open(
        stream: Box<dyn Read>,
        path: &Path,
        record_limit_bytes: usize,
    ) -> Result<Input, PostsError> {
        let mut input = Input {
            reader: Box::new(BufReader::new(stream)),
            path: path.to_path_buf(),
            compressed: false,
            lines: 0,
            bytes: 0,
            record_limit_bytes,
        };
        let mut magic = [0; 2];
        let found = input.fill_prefix(&mut magic)?;
        let start = Cursor::new(magic[..found].to_vec());
        let rest = std::mem::replace(&mut input.reader, Box::new(Cursor::new(Vec::new())));
        let whole = start.chain(rest);
        if found == 2 && magic == GZIP_MAGIC {
            input.compressed = true;
            input.reader =
                Box::new(BufReader::with_capacity(HEAD_BYTES, MultiGzDecoder::new(whole)));
        } else {
            input.reader = Box::new(BufReader::with_capacity(HEAD_BYTES, whole));
        }
        Ok(input)
    }

    /// Reads the first bytes, as many as there are, up to the length of `head`.
    fn fill_prefix(&mut self, head: &mut [u8]) -> Result<usize, PostsError> {
        let mut filled = 0;
        while filled < head.len() {
            match self.reader.read(&mut head[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(self.failed(cause)),
            }
        }
        Ok(filled)
    }

    /// The first bytes (up to 64 KiB) without consuming them; a byte order mark is consumed.
    pub(super) fn head(&mut self) -> Result<Vec<u8>, PostsError> {
        let mut head = vec![0; HEAD_BYTES];
        let mut filled = 0;
        let mut failure = None;
        while filled < head.len() {
            match self.reader.read(&mut head[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => {
                    failure = Some(cause);
                    break;
                }
            }
        }
        head.truncate(filled);
        if let (0, Some(cause)) = (filled, &failure) {
            let copy = std::io::Error::new(cause.kind(), cause.to_string());
            return Err(self.failed(copy));
        }
        if head.starts_with(&[0xef, 0xbb, 0xbf]) {
            head.drain(..3);
            self.bytes += 3;
        }
        // The decoder would not fail again where it failed once, so the failure is put back too.
        let rest = std::mem::replace(&mut self.reader, Box::new(Cursor::new(Vec::new())));
        let start = Cursor::new(head.clone());
        self.reader = match failure {
            Some(cause) => Box::new(BufReader::new(start.chain(Failing(Some(cause))))),
            None => Box::new(BufReader::with_capacity(HEAD_BYTES, start.chain(rest))),
        };
        Ok(head)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the reader away to a parser with its own framing, with the bytes consumed before it.
    pub(super) fn into_reader(self) -> (Box<dyn BufRead>, u64) {
        (self.reader, self.bytes)
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.compressed
    }

    fn failed(&self, cause: std::io::Error) -> PostsError {
        io_error(&self.path, self.compressed, self.bytes, cause)
    }

    /// The next line without its end, or `None` after the last.
    pub(super) fn line(&mut self) -> Result<Option<Framed>, PostsError> {
        let (line, byte_offset) = (self.lines + 1, self.bytes);
        let mut collected = Vec::new();
        let mut ended = false;
        while !ended {
            let (taken, found) = match self.reader.fill_buf() {
                Ok([]) => break,
                Ok(buffer) => match buffer.iter().position(|&byte| byte == b'\n') {
                    Some(end) => {
                        collected.extend_from_slice(&buffer[..end]);
                        (end + 1, true)
                    }
                    None => {
                        collected.extend_from_slice(buffer);
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
            self.check_length(collected.len(), line, byte_offset)?;
        }
        if !ended && collected.is_empty() {
            return Ok(None);
        }
        if collected.last() == Some(&b'\r') {
            collected.pop();
        }
        self.framed(collected, line, byte_offset).map(Some)
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
        mut stop: impl FnMut(u8) -> bool,
    ) -> Result<Option<Framed>, PostsError> {
        let (line, byte_offset) = self.place();
        let mut collected = Vec::new();
        loop {
            let (taken, found) = match self.reader.fill_buf() {
                Ok([]) => return Ok(None),
                Ok(buffer) => {
                    let end = buffer.iter().position(|&byte| stop(byte));
                    let taken = end.map_or(buffer.len(), |end| end + 1);
                    collected.extend_from_slice(&buffer[..taken]);
                    (taken, end.is_some())
                }
                Err(cause) if cause.kind() == ErrorKind::Interrupted => continue,
                Err(cause) => return Err(self.failed(cause)),
            };
            let new = &collected[collected.len() - taken..];
            self.lines += new.iter().filter(|&&byte| byte == b'\n').count() as u64;
            self.reader.consume(taken);
            self.bytes += taken as u64;
            self.check_length(collected.len(), line, byte_offset)?;
            if found {
                return self.framed(collected, line, byte_offset).map(Some);
            }
        }
    }

    /// The bytes up to the next comma, bracket or white space: a number, `true`, `false` or `null`.
    pub(super) fn scalar(&mut self) -> Result<Framed, PostsError> {
        let (line, byte_offset) = self.place();
        let mut collected = Vec::new();
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
            collected.push(next);
            self.check_length(collected.len(), line, byte_offset)?;
        }
        self.framed(collected, line, byte_offset)
    }

    fn check_length(&self, length: usize, line: u64, byte_offset: u64) -> Result<(), PostsError> {
        if length <= self.record_limit_bytes {
            return Ok(());
        }
        Err(PostsError::RecordTooLong {
            path: self.path.clone(),
            line,
            byte_offset,
            limit_bytes: self.record_limit_bytes,
        })
    }

    fn framed(&self, bytes: Vec<u8>, line: u64, byte_offset: u64) -> Result<Framed, PostsError> {
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Framed { text, line, byte_offset }),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let lines_before =
                    error.as_bytes()[..valid].iter().filter(|&&byte| byte == b'\n').count() as u64;
                Err(PostsError::InvalidUtf8 {
                    path: self.path.clone(),
                    line: line + lines_before,
                    byte_offset: byte_offset + valid as u64,
                })
            }
        }
    }
}

/// The error of a stream that could not be read on: damage when it is compressed, else the system's.
pub(super) fn io_error(
    path: &Path,
    compressed: bool,
    decoded_bytes: u64,
    cause: std::io::Error,
) -> PostsError {
    let damage = matches!(
        cause.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput
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

/// A stream that fails once and is then at its end.
struct Failing(Option<std::io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}
