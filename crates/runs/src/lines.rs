//! Files of JSON, a value a line: read one line at a time, written whole.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Lines, Write as _};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::RunsError;
use crate::error::io;

/// The values of files, one file after the other. After an error there is nothing more.
pub(crate) struct JsonLines<'p, T> {
    files: std::slice::Iter<'p, PathBuf>,
    open: Option<(&'p Path, Lines<BufReader<File>>)>,
    line: usize,
    of: PhantomData<T>,
}

impl<'p, T: DeserializeOwned> JsonLines<'p, T> {
    pub(crate) fn of_files(files: &'p [PathBuf]) -> Self {
        JsonLines { files: files.iter(), open: None, line: 0, of: PhantomData }
    }

    fn read(&mut self) -> Option<Result<T, RunsError>> {
        loop {
            let Some((path, lines)) = &mut self.open else {
                let path = self.files.next()?;
                match File::open(path) {
                    Ok(file) => self.open = Some((path, BufReader::new(file).lines())),
                    Err(error) => return Some(Err(io("reading", path)(error))),
                }
                self.line = 0;
                continue;
            };
            self.line += 1;
            let path: &'p Path = path;
            let value = match lines.next() {
                None => {
                    self.open = None;
                    continue;
                }
                Some(Err(error)) => Err(error.to_string()),
                Some(Ok(text)) => serde_json::from_str(&text).map_err(|error| error.to_string()),
            };
            let line = self.line;
            let wrong = |problem| RunsError::Line { path: path.to_owned(), line, problem };
            return Some(value.map_err(wrong));
        }
    }
}

impl<T: DeserializeOwned> Iterator for JsonLines<'_, T> {
    type Item = Result<T, RunsError>;

    fn next(&mut self) -> Option<Self::Item> {
        let value = self.read();
        if let Some(Err(_)) = value {
            (self.files, self.open) = ([].iter(), None);
        }
        value
    }
}

/// Reads one JSON value a line.
///
/// # Errors
/// [`RunsError::Line`] with the path and line, [`RunsError::File`].
pub fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, RunsError> {
    JsonLines::of_files(&[path.to_owned()]).collect()
}

/// Writes one JSON value a line, the file whole or not at all.
///
/// # Errors
/// [`RunsError::File`].
pub fn write_lines<T: Serialize>(path: &Path, items: &[T]) -> Result<(), RunsError> {
    stoa_durable::write_with(path, |file| {
        let mut file = BufWriter::new(file);
        for item in items {
            let line =
                serde_json::to_vec(item).map_err(|error| io("writing", path)(error.into()))?;
            file.write_all(&line)
                .and_then(|()| file.write_all(b"\n"))
                .map_err(io("writing", path))?;
        }
        file.flush().map_err(io("writing", path))
    })
}
