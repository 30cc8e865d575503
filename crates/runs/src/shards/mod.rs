//! Token shards from a store of any size, in memory that does not grow with it.
//!
//! The unit of work is a file of the store, so that the bytes written do not depend on how the work
//! is shared out, and a killed process repeats one file at most:
//!
//! ```text
//! train/NAME.tokens        documents of the training side of documents/NAME.jsonl
//! held_out/NAME.tokens     documents of its held-out side
//! dialogues/NAME.tokens    dialogues/NAME.jsonl in the chat template
//! dialogues/NAME.learned   for each of those tokens 1 when it is learned, else 0
//! parts/FOLDER-NAME.json   what was made of a file; written last, so what it lists is whole
//! manifest.json            every part with checksums and the sums; written when no part is missing
//! ```

mod manifest;
mod part;

use std::fs;
use std::path::{Path, PathBuf};

use stoa_dialogue::ChatTemplate;
use stoa_tokens::Tokenizer;

pub use manifest::{Entry, Manifest, Part, Totals};

use crate::RunsError;
use crate::error::io;

/// Which part of the work one process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// From 0.
    pub index: usize,
    /// Processes in all.
    pub of: usize,
}

impl Share {
    /// All of the work.
    pub const ALL: Share = Share { index: 0, of: 1 };

    /// Reads `I/N`, from 1.
    ///
    /// # Errors
    /// [`RunsError::NoSuchShare`].
    pub fn parse(text: &str) -> Result<Self, RunsError> {
        let mut numbers = text.split('/').map(|number| number.trim().parse().unwrap_or(0));
        let (index, of) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if (1..=of).contains(&index) && numbers.next().is_none() {
            Ok(Share { index: index - 1, of })
        } else {
            Err(RunsError::NoSuchShare { index, of })
        }
    }
}

/// What shards are made from and where they go.
pub struct Job<'a> {
    /// The store that an ingest wrote.
    pub store: &'a Path,
    /// The directory of the shards.
    pub out: &'a Path,
    /// Encodes documents and dialogues.
    pub tokenizer: &'a Tokenizer,
    /// The layout of dialogues.
    pub template: &'a ChatTemplate,
    /// Which files of the store.
    pub share: Share,
    /// Threads that encode.
    pub threads: usize,
}

/// The two kinds of files of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Documents,
    Dialogues,
}

impl Kind {
    const fn folder(self) -> &'static str {
        match self {
            Kind::Documents => "documents",
            Kind::Dialogues => "dialogues",
        }
    }
}

/// A file of the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    kind: Kind,
    name: String,
}

impl Source {
    fn path(&self, store: &Path) -> PathBuf {
        store.join(self.kind.folder()).join(format!("{}.jsonl", self.name))
    }

    fn part(&self, out: &Path) -> PathBuf {
        out.join("parts").join(format!("{}-{}.json", self.kind.folder(), self.name))
    }
}

/// Writes the shards of a share; `progress` hears files done and files of the share. Gives the
/// manifest when no part of the whole is missing, also those of other shares.
///
/// # Errors
/// No store, lines that an ingest does not write, a directory with shards of another tokenizer or
/// template, files that cannot be read or written.
pub fn write(
    job: &Job<'_>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Manifest>, RunsError> {
    for folder in ["train", "held_out", "dialogues", "parts"] {
        let path = job.out.join(folder);
        fs::create_dir_all(&path).map_err(io("creating", &path))?;
    }
    let origin = manifest::Origin::of(job.tokenizer, job.template);
    let sources = sources(job.store)?;
    let ours = sources.iter().skip(job.share.index).step_by(job.share.of);
    let total = ours.clone().count();
    for (done, source) in ours.enumerate() {
        progress(done, total);
        if !manifest::is_whole(job, source, &origin)? {
            let part = part::write(job, source, &origin)?;
            manifest::write_json(&source.part(job.out), &part)?;
        }
    }
    progress(total, total);
    Manifest::complete(job.out, &sources, origin)
}

/// The files of a store: documents, then dialogues, by name.
fn sources(store: &Path) -> Result<Vec<Source>, RunsError> {
    let mut sources = Vec::new();
    for kind in [Kind::Documents, Kind::Dialogues] {
        let folder = store.join(kind.folder());
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if kind == Kind::Documents {
                    return Err(RunsError::NoStore(store.to_owned()));
                }
                continue;
            }
            Err(error) => return Err(io("listing", &folder)(error)),
        };
        for entry in entries {
            let name = entry.map_err(io("listing", &folder))?.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(".jsonl"));
            sources.extend(stem.map(|stem| Source { kind, name: stem.to_owned() }));
        }
    }
    sources.sort();
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_refused() {
        assert_eq!(Share::parse("2/8").unwrap(), Share { index: 1, of: 8 });
        for wrong in ["0/2", "3/2", "1", "a/b", "1/2/3", "", "1/0"] {
            assert!(Share::parse(wrong).is_err(), "{wrong}");
        }
    }
}
