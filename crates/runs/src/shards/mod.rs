//! Token shards from text of any size, in memory that does not grow with it.
//!
//! The unit of work is a part: a file of a store, so that many processes can share the work and a killed one
//! repeats one file at most, or all files of a kind joined, which a run is trained on. The bytes written do
//! not depend on how the work is shared out:
//!
//! ```text
//! train/NAME.tokens        documents of the training side of documents/NAME.jsonl; joined: train.tokens, …
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
use stoa_durable::UNFINISHED;
use stoa_tokens::Tokenizer;

pub use manifest::{Manifest, Part, Totals};
pub use stoa_corpus::ingest::Share;

use crate::RunsError;
use crate::error::io;

/// The text that shards are made of: files of JSON lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardText {
    /// Documents of both sides.
    pub documents: Vec<PathBuf>,
    /// Dialogues.
    pub dialogues: Vec<PathBuf>,
}

impl ShardText {
    /// The text of a store, files by name.
    ///
    /// # Errors
    /// [`RunsError::NoStore`], [`RunsError::File`].
    pub fn of_store(store: &Path) -> Result<Self, RunsError> {
        let documents = list(&store.join("documents"))?;
        let documents = documents.ok_or_else(|| RunsError::NoStore(store.to_owned()))?;
        let dialogues = list(&store.join("dialogues"))?.unwrap_or_default();
        Ok(ShardText { documents, dialogues })
    }
}

/// The files of JSON lines in a folder, by name; `None` when there is no folder.
fn list(folder: &Path) -> Result<Option<Vec<PathBuf>>, RunsError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("listing", folder)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io("listing", folder))?;
        let name = entry.file_name();
        let is_text = |name: &str| name.ends_with(".jsonl") && !name.starts_with(UNFINISHED);
        files.extend(name.to_str().is_some_and(is_text).then(|| entry.path()));
    }
    files.sort();
    Ok(Some(files))
}

/// What becomes one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Each file of the text by itself, `train/NAME.tokens`, …; of all files those of a share.
    EachFile(Share),
    /// All files together, `train.tokens`, ….
    Joined,
}

/// What shards are made from and where they go.
pub struct Job<'a> {
    /// What they are made of.
    pub text: &'a ShardText,
    /// The directory of the shards.
    pub out: &'a Path,
    /// Encodes documents and dialogues.
    pub tokenizer: &'a Tokenizer,
    /// The layout of dialogues.
    pub template: &'a ChatTemplate,
    /// What becomes one shard.
    pub layout: Layout,
    /// Threads that encode.
    pub threads: usize,
}

/// The two kinds of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Documents,
    Dialogues,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Documents => "documents",
            Kind::Dialogues => "dialogues",
        }
    }
}

/// What becomes one shard of each side.
#[derive(Clone, Debug)]
struct Source<'a> {
    kind: Kind,
    files: &'a [PathBuf],
    /// Name of its one file; `None` when all files are joined.
    name: Option<&'a str>,
}

impl Source<'_> {
    /// The shard of a folder or side, within the directory of the shards.
    fn shard(&self, side: &str, ending: &str) -> String {
        match self.name {
            Some(name) => format!("{side}/{name}.{ending}"),
            None => format!("{side}.{ending}"),
        }
    }

    /// The record of what was made of it.
    fn part(&self, out: &Path) -> PathBuf {
        let name = self.name.map(|name| format!("-{name}")).unwrap_or_default();
        out.join("parts").join(format!("{}{name}.json", self.kind.name()))
    }
}

/// Writes shards; `progress` hears parts done and parts to do. Gives the manifest when no part of the
/// whole is missing, also those of other shares.
///
/// # Errors
/// Lines that an ingest does not write, a directory with shards of another tokenizer or template, files
/// that cannot be read or written.
pub fn write(
    job: &Job<'_>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Manifest>, RunsError> {
    let (folders, share): (&[&str], _) = match job.layout {
        Layout::EachFile(share) => (&["parts", "train", "held_out", "dialogues"], share),
        Layout::Joined => (&["parts"], Share::ALL),
    };
    for folder in folders {
        let path = job.out.join(folder);
        fs::create_dir_all(&path).map_err(io("creating", &path))?;
    }
    let origin = manifest::Origin::of(job.tokenizer, job.template);
    let sources = sources(job);
    let ours: Vec<&Source<'_>> = sources.iter().skip(share.index).step_by(share.of).collect();
    for (done, source) in ours.iter().enumerate() {
        progress(done, ours.len());
        if !manifest::is_whole(job, source, &origin)? {
            let part = part::write(job, source, &origin)?;
            manifest::write_json(&source.part(job.out), &part)?;
        }
    }
    progress(ours.len(), ours.len());
    Manifest::complete(job.out, &sources, origin)
}

/// Documents, then dialogues, by name.
fn sources<'a>(job: &Job<'a>) -> Vec<Source<'a>> {
    let ShardText { documents, dialogues } = job.text;
    let kinds = [(Kind::Documents, documents), (Kind::Dialogues, dialogues)];
    let of_kind = |(kind, files): (Kind, &'a Vec<PathBuf>)| match job.layout {
        Layout::EachFile(_) => {
            let one = |file: &'a PathBuf| Source {
                kind,
                files: std::slice::from_ref(file),
                name: file.file_stem().and_then(|stem| stem.to_str()),
            };
            files.iter().map(one).collect()
        }
        Layout::Joined => {
            Vec::from_iter((!files.is_empty()).then_some(Source { kind, files, name: None }))
        }
    };
    kinds.into_iter().flat_map(of_kind).collect()
}
