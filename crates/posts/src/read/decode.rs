//! Compressed streams: recognised by their first bytes, decoded as they are read, bombs refused.
//!
//! gzip (RFC 1952), bzip2 with several streams, zstd with windows up to 2 GiB (Pushshift dumps need
//! window log 31). A stream that grows beyond any honest ratio is an error, not a full disk.

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use std::cell::Cell;
use std::io::{BufRead, BufReader, Chain, Cursor, ErrorKind, Read};
use std::rc::Rc;
use thiserror::Error;

/// Decoded bytes below which a ratio says nothing.
const FREE_BYTES: u64 = 64 << 20;
/// Decoded bytes per compressed byte above which data is a bomb: JSON of posts packs 5 to 30 to one,
/// deflate can reach 1032 and only on constant data.
const HIGHEST_RATIO: u64 = 1000;
/// Pushshift writes frames with windows of 2 GiB.
const ZSTD_WINDOW_LOG: u32 = 31;

/// The error a bomb ends with.
#[derive(Clone, Copy, Debug, Error)]
#[error(
    "every compressed byte gives {ratio} decoded ones, as only a decompression bomb does; \
     unpack it yourself if you trust it"
)]
pub(super) struct Bomb {
    /// Decoded bytes per compressed byte.
    pub(super) ratio: u64,
}

/// A stream whose first bytes were looked at.
pub(super) type Peeked<'a> = Chain<Cursor<Vec<u8>>, Box<dyn Read + 'a>>;

/// Takes up to `count` bytes off a stream, to look at them; reading continues with them.
///
/// A stream that fails this early gives what it had, and fails again when it is read on.
pub(super) fn peek<'a>(mut stream: Box<dyn Read + 'a>, count: usize) -> (Vec<u8>, Peeked<'a>) {
    let mut head = vec![0; count];
    let mut filled = 0;
    while filled < count {
        match stream.read(&mut head[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(cause) => {
                head.truncate(filled);
                let failing: Box<dyn Read + 'a> = Box::new(Failing(Some(cause)));
                return (head.clone(), Cursor::new(head).chain(failing));
            }
        }
    }
    head.truncate(filled);
    (head.clone(), Cursor::new(head).chain(stream))
}

/// The decoded bytes of a stream, and whether it was compressed.
pub(super) fn decoded<'a>(
    stream: Box<dyn Read + 'a>,
) -> std::io::Result<(Box<dyn Read + 'a>, bool)> {
    let (magic, stream) = peek(stream, 10);
    let packed = Rc::new(Cell::new(0));
    let counted =
        BufReader::with_capacity(64 * 1024, Counted { inner: stream, bytes: Rc::clone(&packed) });
    let inner: Box<dyn Read + 'a> = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(counted)),
        // `BZh`, a level, and the magic of a block or of the end of the stream.
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31 | 0x17, ..] => Box::new(MultiBzDecoder::new(counted)),
        // A frame, or a skippable one that names a dictionary or a title.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            let mut decoder = zstd::Decoder::with_buffer(counted)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        _ => return Ok((Box::new(counted), false)),
    };
    Ok((Box::new(Guarded { inner, packed, given: 0 }), true))
}

struct Counted<R> {
    inner: R,
    bytes: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes.set(self.bytes.get() + read as u64);
        Ok(read)
    }
}

struct Guarded<R> {
    inner: R,
    packed: Rc<Cell<u64>>,
    given: u64,
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.given += read as u64;
        check_ratio(self.packed.get(), self.given)?;
        Ok(read)
    }
}

/// Fails when `given` decoded bytes out of `packed` are more than honest data gives.
pub(super) fn check_ratio(packed: u64, given: u64) -> std::io::Result<()> {
    let ratio = given / packed.max(1);
    if given > FREE_BYTES && ratio > HIGHEST_RATIO {
        return Err(std::io::Error::other(Bomb { ratio }));
    }
    Ok(())
}

/// A member of an archive, watched like a compressed stream.
pub(super) struct Member<R> {
    inner: R,
    packed: u64,
    given: u64,
}

impl<R: Read> Member<R> {
    /// `packed`: its compressed size, as the archive states it.
    pub(super) fn new(inner: R, packed: u64) -> Member<R> {
        Member { inner, packed, given: 0 }
    }
}

impl<R: Read> Read for Member<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.given += read as u64;
        check_ratio(self.packed, self.given)?;
        Ok(read)
    }
}

/// A stream that fails once and is then at its end.
pub(super) struct Failing(pub(super) Option<std::io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// Wraps a stream for reading by line.
pub(super) fn buffered<'a>(stream: Box<dyn Read + 'a>) -> Box<dyn BufRead + 'a> {
    Box::new(BufReader::with_capacity(64 * 1024, stream))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn unpack(bytes: &[u8]) -> std::io::Result<u64> {
        let (mut stream, _) = decoded(Box::new(bytes))?;
        std::io::copy(&mut stream, &mut std::io::sink())
    }

    #[test]
    fn each_compression_is_recognised_by_its_first_bytes() {
        let text = b"many words, many words, many words".as_slice();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(text).expect("packs");
        let mut bzip = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
        bzip.write_all(text).expect("packs");
        let mut twice = bzip.finish().expect("packs");
        twice.extend(twice.clone());
        let zstd = zstd::encode_all(text, 0).expect("packs");
        for (packed, times) in
            [(gzip.finish().expect("packs"), 1), (twice, 2), (zstd, 1), (text.to_vec(), 1)]
        {
            assert_eq!(unpack(&packed).expect("unpacks"), times * text.len() as u64);
        }
    }

    #[test]
    fn bombs_are_refused_and_long_windows_are_not() {
        let zeros = vec![0_u8; 1 << 20];
        let mut bomb = zstd::Encoder::new(Vec::new(), 1).expect("starts");
        bomb.window_log(27).expect("sets");
        for _ in 0..200 {
            bomb.write_all(&zeros).expect("packs");
        }
        let error = unpack(&bomb.finish().expect("packs")).expect_err("a bomb");
        assert!(error.get_ref().is_some_and(|cause| cause.is::<Bomb>()), "{error}");
        // A frame that declares a window of 2 GiB, as Pushshift's do.
        let mut long = zstd::Encoder::new(Vec::new(), 1).expect("starts");
        long.long_distance_matching(true).expect("sets");
        long.window_log(31).expect("sets");
        long.write_all(b"{\"body\": \"words\"}\n").expect("packs");
        assert!(unpack(&long.finish().expect("packs")).is_ok());
    }
}
