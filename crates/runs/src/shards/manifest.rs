//! What was made of which file: the record of a part, and the manifest of the whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stoa_dialogue::ChatTemplate;
use stoa_durable::{FileEntry, hex};
use stoa_tokens::Tokenizer;

use super::{Job, Source};
use crate::RunsError;
use crate::error::io;

/// What decides the bytes of a shard beside the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Origin {
    /// Fingerprint of the tokenizer.
    tokenizer: String,
    /// SHA-256 of the chat template.
    template: String,
}

impl Origin {
    pub(super) fn of(tokenizer: &Tokenizer, template: &ChatTemplate) -> Self {
        Origin {
            tokenizer: tokenizer.fingerprint().to_string(),
            template: hex(&Sha256::digest(template.source().as_bytes())),
        }
    }
}

/// Sums over a part or over the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Documents of the training side.
    pub documents: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Documents of the held-out side.
    pub held_out: u64,
    /// Their tokens.
    pub held_out_tokens: u64,
    /// Dialogues.
    pub dialogues: u64,
    /// Their tokens.
    pub dialogue_tokens: u64,
    /// Of those, tokens that are learned.
    pub learned_tokens: u64,
    /// Dialogues skipped because the assistant says nothing in them.
    pub dialogues_without_answer: u64,
    /// Characters of all texts that the vocabulary has no token for: their ids lack them.
    #[serde(default)]
    pub characters_left_out: u64,
    /// Searches for a regular expression of the tokenizer that were given up for their cost.
    #[serde(default)]
    pub searches_given_up: u64,
}

impl Totals {
    fn add(&mut self, other: &Totals) {
        self.documents += other.documents;
        self.tokens += other.tokens;
        self.held_out += other.held_out;
        self.held_out_tokens += other.held_out_tokens;
        self.dialogues += other.dialogues;
        self.dialogue_tokens += other.dialogue_tokens;
        self.learned_tokens += other.learned_tokens;
        self.dialogues_without_answer += other.dialogues_without_answer;
        self.characters_left_out += other.characters_left_out;
        self.searches_given_up += other.searches_given_up;
    }
}

/// What was made of a file, or of files joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    pub(super) origin: Origin,
    /// The files that it was made of, in order.
    pub sources: Vec<FileEntry>,
    /// The shards, by path within the directory.
    pub files: BTreeMap<String, FileEntry>,
    /// Counts.
    pub totals: Totals,
}

/// Everything in a directory of shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    origin: Origin,
    /// Sums over all parts.
    pub totals: Totals,
    /// The shards, by path within the directory.
    pub files: BTreeMap<String, FileEntry>,
}

impl Manifest {
    /// Writes and gives the manifest when every file of the store has its part.
    pub(super) fn complete(
        out: &Path,
        sources: &[Source<'_>],
        origin: Origin,
    ) -> Result<Option<Self>, RunsError> {
        let (mut totals, mut files) = (Totals::default(), BTreeMap::new());
        for source in sources {
            let Some(part) = read_part(&source.part(out))? else { return Ok(None) };
            totals.add(&part.totals);
            files.extend(part.files);
        }
        let manifest = Manifest { origin, totals, files };
        write_json(&out.join("manifest.json"), &manifest)?;
        Ok(Some(manifest))
    }

    /// Paths of the shards of a side (`train`, `held_out`, `dialogues`) that hold tokens, in order.
    pub fn shards(&self, side: &str) -> impl Iterator<Item = &str> {
        let of_side = move |path: &&str| {
            let rest = path.strip_prefix(side).and_then(|rest| rest.strip_suffix(".tokens"));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.files.keys().map(String::as_str).filter(of_side)
    }
}

/// Whether a part was made of these files with this tokenizer and template, and its shards are there.
pub(super) fn is_whole(
    job: &Job<'_>,
    source: &Source<'_>,
    origin: &Origin,
) -> Result<bool, RunsError> {
    let Some(part) = read_part(&source.part(job.out))? else { return Ok(false) };
    if part.origin != *origin {
        let same_tokenizer = part.origin.tokenizer == origin.tokenizer;
        let what = if same_tokenizer { "another chat template" } else { "another tokenizer" };
        return Err(RunsError::OtherShards { directory: job.out.to_owned(), what });
    }
    let is_same = |(path, entry): (&String, &FileEntry)| {
        fs::metadata(job.out.join(path)).is_ok_and(|found| found.len() == entry.bytes)
    };
    Ok(part.files.iter().all(is_same) && entries(source.files)? == part.sources)
}

/// A part's record; `None` when there is none or it is damaged, in which case its file of the store is encoded again.
fn read_part(path: &Path) -> Result<Option<Part>, RunsError> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io("reading", path)(error)),
    }
}

pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), RunsError> {
    let text = serde_json::to_vec_pretty(value).expect("plain records");
    Ok(stoa_durable::write(path, &text)?)
}

pub(super) fn entries(files: &[PathBuf]) -> Result<Vec<FileEntry>, RunsError> {
    files.iter().map(|file| Ok(FileEntry::of(file)?)).collect()
}
