//! Text of any encoding as UTF-8: given by name, marked by a byte order mark, or found from the bytes.
//!
//! **The rule.** A byte order mark decides. Else, when one byte in four of the first 4 KiB is zero and nearly
//! all zeros stand in even or nearly all in odd places, it is UTF-16. Else the 64 KiB from the first byte that
//! is not ASCII decide: it is windows-1252 (of which Latin-1 is a part) when most runs of such bytes are not
//! UTF-8, three in four of these bytes are letters in short runs beside letters of ASCII or punctuation, and
//! letters of ASCII are three times as many; and UTF-8 in any other case. Bytes that are not UTF-8 there are
//! rejected with their record.
//!
//! UTF-8 and ASCII pass through unchanged. Offsets of records in other encodings are those of the UTF-8 text.

use super::decode::{Peeked, peek};
use super::remarks::Remarks;
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use std::cell::Cell;
use std::io::Read;
use std::rc::Rc;

/// Bytes by which UTF-16 without a mark is recognised.
const UTF16_BYTES: usize = 4096;
/// Bytes that decide, from the first that is not ASCII.
const DECIDING_BYTES: usize = 64 * 1024;
/// Bytes before it that are looked at with them, about a line.
const LINE_BYTES: usize = 256;

/// What was found of a stream's encoding while it was read.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The encoding, when it is not UTF-8.
    pub(super) encoding: Cell<Option<&'static Encoding>>,
    /// Bytes that the encoding does not have, which were replaced by U+FFFD.
    pub(super) replaced: Cell<u64>,
}

impl Facts {
    /// Counts what was found.
    pub(super) fn remark(&self, remarks: &mut Remarks) {
        if let Some(encoding) = self.encoding.get() {
            remarks.add(&format!("sources read as {}", encoding.name()), 1);
            remarks.add(REPLACED, self.replaced.get());
        }
    }
}

const REPLACED: &str = "bytes that the encoding does not have, read as U+FFFD";

/// The encoding of a name: those of the web (`windows-1252`, `latin1`, `utf-16le`, `shift_jis`, …), and as
/// Python writes them (`utf_8`, `latin_1`, `utf-8-sig`).
pub(super) fn named(name: &str) -> Option<&'static Encoding> {
    let name = name.trim().to_lowercase();
    let name = name.strip_suffix("-sig").or(name.strip_suffix("_sig")).unwrap_or(&name);
    let without = name.replace(['_', '-'], "");
    let spelled = name.replace('_', "-");
    let utf16 = without.replace("utf16", "utf-16");
    [name, &spelled, &without, &utf16]
        .into_iter()
        .find_map(|label| Encoding::for_label_no_replacement(label.as_bytes()))
}

/// A stream of UTF-8 of a stream of any encoding, and what is found of it.
pub(super) fn as_utf8<'a>(
    stream: Box<dyn Read + 'a>,
    given: Option<&'static Encoding>,
) -> (Box<dyn Read + 'a>, Rc<Facts>) {
    let found = Rc::new(Facts::default());
    let (head, stream) = peek(stream, UTF16_BYTES);
    let encoding = given.or_else(|| marked(&head)).or_else(|| utf16(&head));
    let stream: Box<dyn Read + 'a> = match encoding {
        Some(encoding) if encoding == UTF_8 => Box::new(stream),
        Some(encoding) => Box::new(transcoded(Box::new(stream), encoding, &found)),
        None => Box::new(Undecided { inner: State::Ascii(stream), found: Rc::clone(&found) }),
    };
    (stream, found)
}

fn marked(head: &[u8]) -> Option<&'static Encoding> {
    // UTF-32 begins like UTF-16; its signature is recognised elsewhere, by `file_signature`.
    if head.starts_with(b"\xff\xfe\0\0") {
        return None;
    }
    Encoding::for_bom(head).map(|(encoding, _)| encoding)
}

/// UTF-16 without a mark: letters of ASCII have a zero byte each.
fn utf16(head: &[u8]) -> Option<&'static Encoding> {
    let zeros = |parity: usize| {
        head.iter().skip(parity).step_by(2).filter(|&&byte| byte == 0).count() as u64
    };
    let (even, odd, all) = (zeros(0), zeros(1), head.len() as u64);
    let many = |zeros: u64, others: u64| all >= 8 && zeros * 4 >= all && others * 50 <= zeros;
    match () {
        () if many(odd, even) => Some(UTF_16LE),
        () if many(even, odd) => Some(UTF_16BE),
        () => None,
    }
}

/// Whether bytes of a window are windows-1252 rather than UTF-8.
fn is_windows_1252(window: &[u8]) -> bool {
    let (mut sound, mut broken, mut likely, mut others) = (0_usize, 0_usize, 0_usize, 0_usize);
    let letters = window.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let mut at = 0;
    while at < window.len() {
        let length = window[at..].iter().take_while(|byte| !byte.is_ascii()).count();
        if length == 0 {
            at += 1;
            continue;
        }
        let run = &window[at..at + length];
        match std::str::from_utf8(run) {
            Ok(_) => sound += 1,
            // A letter that the end of the window cuts.
            Err(error) if at + length == window.len() && error.error_len().is_none() => {}
            Err(_) => broken += 1,
        }
        let letter_at = |at: Option<usize>| {
            at.and_then(|at| window.get(at)).is_some_and(|byte| byte.is_ascii_alphabetic())
        };
        let beside = letter_at(at.checked_sub(1)) || letter_at(Some(at + length));
        // Words of other alphabets are longer runs, and stand alone.
        let western = |byte: &u8| {
            length <= LONGEST_RUN && (is_letter(*byte) && beside || length == 1 && is_word(*byte))
        };
        let fits = run.iter().filter(|byte| is_punctuation(**byte) || western(byte)).count();
        likely += fits;
        others += length - fits;
        at += length;
    }
    broken > sound && likely >= 3 * others && letters >= 3 * (likely + others)
}

/// Letters beyond ASCII that follow each other in languages of Western Europe, with the marks around them.
const LONGEST_RUN: usize = 3;

/// A letter of windows-1252.
fn is_letter(byte: u8) -> bool {
    matches!(byte, 0xc0..=0xd6 | 0xd8..=0xf6 | 0xf8..=0xff)
        || matches!(byte, 0x8a | 0x8c | 0x8e | 0x9a | 0x9c | 0x9e | 0x9f)
}

/// A letter that is a word: à, é, è, ô, ó, å, ø, æ, ö, in both cases.
fn is_word(byte: u8) -> bool {
    matches!(byte & 0xdf, 0xc0 | 0xc5 | 0xc6 | 0xc8 | 0xc9 | 0xd3 | 0xd4 | 0xd6 | 0xd8)
        && byte >= 0xc0
}

/// Quotes, dashes, the ellipsis, the euro, and the signs of Latin-1.
fn is_punctuation(byte: u8) -> bool {
    matches!(byte, 0x80 | 0x82..=0x87 | 0x8b | 0x91..=0x97 | 0x99 | 0x9b | 0xa0..=0xbf)
}

/// A stream whose encoding is found when the first byte comes that is not ASCII.
struct Undecided<'a> {
    inner: State<'a>,
    found: Rc<Facts>,
}

enum State<'a> {
    Ascii(Peeked<'a>),
    Utf8(Box<dyn Read + 'a>),
    Other(Transcoded<'a>),
    /// In between states; at its end.
    Ended,
}

impl Read for Undecided<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.inner {
            State::Utf8(stream) => stream.read(buffer),
            State::Other(stream) => stream.read(buffer),
            State::Ended => Ok(0),
            State::Ascii(stream) => {
                let read = stream.read(buffer)?;
                if buffer[..read].is_ascii() {
                    return Ok(read);
                }
                let ascii = buffer[..read].iter().take_while(|byte| byte.is_ascii()).count();
                let State::Ascii(rest) = std::mem::replace(&mut self.inner, State::Ended) else {
                    return Ok(read);
                };
                self.decide(buffer, ascii, read, rest)
            }
        }
    }
}

impl<'a> Undecided<'a> {
    /// `buffer[ascii..read]` are the first bytes that are not all ASCII; `rest` comes after them.
    fn decide(
        &mut self,
        buffer: &mut [u8],
        ascii: usize,
        read: usize,
        rest: Peeked<'a>,
    ) -> std::io::Result<usize> {
        let begun = std::io::Cursor::new(buffer[ascii..read].to_vec()).chain(rest);
        let before = &buffer[ascii.saturating_sub(LINE_BYTES)..ascii];
        let (window, stream) = peek(Box::new(begun), DECIDING_BYTES);
        let window = [before, &window].concat();
        if is_windows_1252(&window) {
            self.inner = State::Other(transcoded(Box::new(stream), WINDOWS_1252, &self.found));
        } else {
            self.inner = State::Utf8(Box::new(stream));
        }
        if ascii > 0 { Ok(ascii) } else { self.read(buffer) }
    }
}

fn transcoded<'a>(
    inner: Box<dyn Read + 'a>,
    encoding: &'static Encoding,
    found: &Rc<Facts>,
) -> Transcoded<'a> {
    found.encoding.set(Some(encoding));
    Transcoded {
        inner,
        decoder: encoding.new_decoder_with_bom_removal(),
        raw: vec![0; TEXT_BYTES],
        unread: 0..0,
        ended: false,
        finished: false,
        text: Vec::new(),
        given: 0,
        found: Rc::clone(found),
    }
}

/// Bytes decoded at once.
const TEXT_BYTES: usize = 64 * 1024;

/// A stream decoded from another encoding.
struct Transcoded<'a> {
    inner: Box<dyn Read + 'a>,
    decoder: Decoder,
    raw: Vec<u8>,
    /// The part of `raw` that is not decoded yet.
    unread: std::ops::Range<usize>,
    ended: bool,
    /// Whether the decoder was given the end.
    finished: bool,
    /// Decoded text, of which `given` bytes were handed over.
    text: Vec<u8>,
    given: usize,
    found: Rc<Facts>,
}

impl Transcoded<'_> {
    /// Decodes more; false at the end.
    fn refill(&mut self) -> std::io::Result<bool> {
        if self.finished {
            return Ok(false);
        }
        if self.unread.is_empty() && !self.ended {
            let read = self.inner.read(&mut self.raw)?;
            self.unread = 0..read;
            self.ended = read == 0;
        }
        self.text.resize(TEXT_BYTES, 0);
        let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(
            &self.raw[self.unread.clone()],
            &mut self.text,
            self.ended,
        );
        self.unread.start += read;
        self.text.truncate(written);
        self.given = 0;
        match result {
            DecoderResult::Malformed(..) => {
                self.found.replaced.set(self.found.replaced.get() + 1);
                self.text.extend_from_slice("\u{fffd}".as_bytes());
            }
            DecoderResult::InputEmpty => self.finished = self.ended,
            DecoderResult::OutputFull => {}
        }
        Ok(true)
    }
}

impl Read for Transcoded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.given == self.text.len() {
            if !self.refill()? {
                return Ok(0);
            }
        }
        let count = buffer.len().min(self.text.len() - self.given);
        buffer[..count].copy_from_slice(&self.text[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], given: Option<&str>) -> (String, Option<&'static str>, u64) {
        let given = given.map(|name| named(name).expect("a known name"));
        let (mut stream, found) = as_utf8(Box::new(bytes), given);
        let mut text = Vec::new();
        stream.read_to_end(&mut text).expect("reads");
        let text = String::from_utf8_lossy(&text).into_owned();
        (text, found.encoding.get().map(Encoding::name), found.replaced.get())
    }

    fn utf16(text: &str, little: bool, mark: bool) -> Vec<u8> {
        let text = if mark { format!("\u{feff}{text}") } else { text.to_string() };
        let bytes = |unit: u16| if little { unit.to_le_bytes() } else { unit.to_be_bytes() };
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn utf16_is_found_with_and_without_a_mark() {
        let text = "id,text\n1,über Straßen und Плätze\n".repeat(3000);
        for (little, mark) in [(true, true), (true, false), (false, true), (false, false)] {
            let (read, encoding, replaced) = read(&utf16(&text, little, mark), None);
            assert!(read == text, "{little} {mark}");
            assert_eq!(encoding, Some(if little { "UTF-16LE" } else { "UTF-16BE" }));
            assert_eq!(replaced, 0);
        }
    }

    #[test]
    fn windows_1252_is_found_wherever_it_begins() {
        for text in [
            "id,text\n1,Le café ouvre à sept heures d’habitude.\n2,Il est temps.\n",
            "a;b\n1;Die Straße über den Fluß – schön “so”\n2;ohne\n",
            "\"a\",\"tout est dans le café\"\n",
        ] {
            for before in ["", &"0,plain words only\n".repeat(20_000)] {
                let text = format!("{before}{text}");
                let (bytes, _, lossy) = WINDOWS_1252.encode(&text);
                assert!(!lossy);
                assert_eq!(read(&bytes, None), (text.clone(), Some("windows-1252"), 0));
                assert_eq!(read(text.as_bytes(), None), (text, None, 0));
            }
        }
    }

    #[test]
    fn other_bytes_are_not_taken_for_windows_1252() {
        let russian = "1,привет мир, как дела сегодня\n2,хорошо\n";
        let chinese = "1,今天天气很好\n2,我们去公园\n";
        let (russian_bytes, ..) = encoding_rs::WINDOWS_1251.encode(russian);
        let (chinese_bytes, ..) = encoding_rs::GBK.encode(chinese);
        for bytes in [&russian_bytes[..], &chinese_bytes, b"{\"text\": \"\xff\"}"] {
            assert_eq!(read(bytes, None).1, None);
        }
        assert_eq!(read(&russian_bytes, Some("cp1251")).0, russian);
        assert_eq!(read(&chinese_bytes, Some("gbk")).0, chinese);
        // One damaged letter among sound ones stays what it is.
        let mut damaged = "é è à ".repeat(20).into_bytes();
        damaged.push(0xe9);
        damaged.extend_from_slice(b"t");
        assert_eq!(read(&damaged, None).1, None);
    }

    #[test]
    fn what_an_encoding_does_not_have_is_replaced_and_counted() {
        let (text, _, replaced) = read(b"\x81\x40 \xff\xff end\x81", Some("shift_jis"));
        assert!(text.contains("end") && text.contains('\u{fffd}'));
        assert_eq!(replaced as usize, text.matches('\u{fffd}').count());
        assert!(replaced >= 3);
    }

    #[test]
    fn names_of_python_are_known() {
        for name in ["utf_8", "UTF-8-sig", "latin_1", "cp1252", "utf_16_le", "iso8859_15", "sjis"] {
            assert!(named(name).is_some(), "{name}");
        }
        assert!(named("klingon").is_none());
    }
}
