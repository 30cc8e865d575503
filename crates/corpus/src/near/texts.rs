//! Normal forms in the order of time, in a file: read from the start, or one by its place.

use super::features::Features;
use crate::error::CorpusError;
use crate::store::{Record, Temporary, at, read_word};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// A post on its way to the order of time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TextRecord {
    /// Time, so that unsigned order is order of time.
    pub(super) created: u64,
    /// Hash of the identifier: the order of posts of one second.
    pub(super) id: u128,
    /// Place in the order of arrival.
    pub(super) ordinal: u64,
    /// Hash of the author.
    pub(super) author: u64,
    /// The normal form.
    pub(super) text: String,
}

impl Record for TextRecord {
    fn memory_bytes(&self) -> usize {
        size_of::<TextRecord>() + self.text.capacity()
    }

    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        for word in [
            self.created,
            (self.id >> 64) as u64,
            self.id as u64,
            self.ordinal,
            self.author,
            self.text.len() as u64,
        ] {
            to.write_all(&word.to_le_bytes())?;
        }
        to.write_all(self.text.as_bytes())
    }

    fn read(from: &mut impl Read) -> io::Result<Option<TextRecord>> {
        let Some(created) = read_word(from)? else { return Ok(None) };
        let mut word =
            || -> io::Result<u64> { read_word(from)?.ok_or(io::ErrorKind::UnexpectedEof.into()) };
        let [high, low, ordinal, author, bytes] = [word()?, word()?, word()?, word()?, word()?];
        let mut text = vec![0; bytes as usize];
        from.read_exact(&mut text)?;
        let text = String::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData)?;
        Ok(Some(TextRecord {
            created,
            id: u128::from(high) << 64 | u128::from(low),
            ordinal,
            author,
            text,
        }))
    }
}

/// Bytes of an entry of the index: where the text ends, and the ordinal.
const ENTRY_BYTES: u64 = 16;
/// Features of earlier posts kept at hand; the kept post of a large cluster is asked for again and again.
const AT_HAND: usize = 1 << 12;

/// The texts and their index.
pub(super) struct Texts {
    texts: Temporary,
    index: Temporary,
    writers: Option<(BufWriter<File>, BufWriter<File>)>,
    readers: Option<(File, File)>,
    end: u64,
    at_hand: Vec<Option<(u64, Features)>>,
}

impl Texts {
    pub(super) fn create(folder: &Path) -> Result<Texts, CorpusError> {
        let texts = Temporary { path: folder.join("texts.bin") };
        let index = Temporary { path: folder.join("texts.index") };
        let create =
            |file: &Temporary| File::create(&file.path).map(BufWriter::new).map_err(at(&file.path));
        let writers = Some((create(&texts)?, create(&index)?));
        let at_hand = vec![None; AT_HAND];
        Ok(Texts { texts, index, writers, readers: None, end: 0, at_hand })
    }

    pub(super) fn append(&mut self, record: &TextRecord) -> Result<(), CorpusError> {
        let Some((texts, index)) = &mut self.writers else { return Ok(()) };
        texts.write_all(record.text.as_bytes()).map_err(at(&self.texts.path))?;
        self.end += record.text.len() as u64;
        for word in [self.end, record.ordinal] {
            index.write_all(&word.to_le_bytes()).map_err(at(&self.index.path))?;
        }
        Ok(())
    }

    /// Closes the files for writing and opens them for reading, once.
    fn readers(&mut self) -> Result<&mut (File, File), CorpusError> {
        if let Some((mut texts, mut index)) = self.writers.take() {
            texts.flush().map_err(at(&self.texts.path))?;
            index.flush().map_err(at(&self.index.path))?;
        }
        match &mut self.readers {
            Some(readers) => Ok(readers),
            closed => {
                let open = |file: &Temporary| File::open(&file.path).map_err(at(&file.path));
                Ok(closed.insert((open(&self.texts)?, open(&self.index)?)))
            }
        }
    }

    /// Calls for every text in order.
    pub(super) fn each(
        &mut self,
        mut call: impl FnMut(u64, &str) -> Result<(), CorpusError>,
    ) -> Result<(), CorpusError> {
        self.readers()?;
        let open =
            |file: &Temporary| File::open(&file.path).map(BufReader::new).map_err(at(&file.path));
        let (mut texts, mut index) = (open(&self.texts)?, open(&self.index)?);
        let (mut place, mut start, mut bytes) = (0, 0, Vec::new());
        while let Some(end) = read_word(&mut index).map_err(at(&self.index.path))? {
            read_word(&mut index).map_err(at(&self.index.path))?;
            bytes.resize((end - start) as usize, 0);
            texts.read_exact(&mut bytes).map_err(at(&self.texts.path))?;
            call(place, utf8(&bytes).map_err(at(&self.texts.path))?)?;
            start = end;
            place += 1;
        }
        Ok(())
    }

    /// The text at a place.
    pub(super) fn text(&mut self, place: u64) -> Result<String, CorpusError> {
        let (start, end) = self.bounds(place)?;
        let (texts, _) = self.readers()?;
        let mut bytes = vec![0; (end - start) as usize];
        let read = texts.seek(SeekFrom::Start(start)).and_then(|_| texts.read_exact(&mut bytes));
        read.map_err(at(&self.texts.path))?;
        Ok(utf8(&bytes).map_err(at(&self.texts.path))?.to_string())
    }

    /// The features of the text at a place.
    pub(super) fn features(&mut self, place: u64) -> Result<&Features, CorpusError> {
        let slot = place as usize % AT_HAND;
        if self.at_hand[slot].as_ref().is_none_or(|(known, _)| *known != place) {
            let features = Features::of(&self.text(place)?);
            self.at_hand[slot] = Some((place, features));
        }
        Ok(self.at_hand[slot].as_ref().map(|(_, features)| features).expect("filled above"))
    }

    /// The place in the order of arrival of the text at a place.
    pub(super) fn ordinal(&mut self, place: u64) -> Result<u64, CorpusError> {
        let mut words = [0; 2];
        self.entry(place * ENTRY_BYTES, &mut words)?;
        Ok(words[1])
    }

    fn bounds(&mut self, place: u64) -> Result<(u64, u64), CorpusError> {
        if place == 0 {
            let mut words = [0; 1];
            self.entry(0, &mut words)?;
            return Ok((0, words[0]));
        }
        let mut words = [0; 3];
        self.entry((place - 1) * ENTRY_BYTES, &mut words)?;
        Ok((words[0], words[2]))
    }

    fn entry(&mut self, offset: u64, words: &mut [u64]) -> Result<(), CorpusError> {
        let (_, index) = self.readers()?;
        let mut bytes = [0; 24];
        let bytes = &mut bytes[..words.len() * 8];
        let read = index.seek(SeekFrom::Start(offset)).and_then(|_| index.read_exact(bytes));
        read.map_err(at(&self.index.path))?;
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        }
        Ok(())
    }
}

fn utf8(bytes: &[u8]) -> io::Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}
