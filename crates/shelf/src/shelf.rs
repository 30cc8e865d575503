//! A directory of models by name: each a folder of its files, copied or linked, with a record of where
//! they came from and of the SHA-256 of each. A folder appears whole. Nothing is fetched here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stoa_durable::{FileEntry, clear_unfinished, replace_directory, unfinished};

use crate::error::io;
use crate::licence::Licence;
use crate::source::{Source, recognise};
use crate::{ShelfError, disk};

/// The record in the folder of a model.
pub const RECORD: &str = "stoa-model.json";

/// Layout version written.
const FORMAT: u32 = 1;

/// A directory of models.
#[derive(Clone, Debug)]
pub struct Shelf {
    root: PathBuf,
}

/// What is kept of a model beside its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this layout.
    pub format: u32,
    /// Its name.
    pub name: String,
    /// Where it came from: a path, or `hf:ORG/NAME` with the commit.
    pub origin: String,
    /// Whether its files are links to where they came from.
    pub linked: bool,
    /// Its licence, where its files state one.
    pub licence: Licence,
    /// Its files.
    pub files: BTreeMap<String, FileEntry>,
    /// SHA-256 over names and hashes of the files: the same files, the same hash.
    pub content: String,
}

/// A model in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its folder.
    pub folder: PathBuf,
    /// Its record.
    pub record: Record,
}

impl Entry {
    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        self.record.files.values().map(|file| file.bytes).sum()
    }
}

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The model.
    pub entry: Entry,
    /// Whether it was there before, with the same files.
    pub was_there: bool,
    /// Files of the source that belong to no model and were left out.
    pub left_out: Vec<String>,
}

/// Whether an import copies files or leaves them where they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Copies them.
    #[default]
    Copies,
    /// Links to them: they must stay where they are.
    Links,
}

/// The name of a model: one or two words of letters, digits, `.`, `_` and `-`, as `ORG/NAME`.
///
/// # Errors
/// [`ShelfError::Name`].
pub fn check_name(name: &str) -> Result<(), ShelfError> {
    let word = |word: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        word.starts_with(|c: char| c.is_ascii_alphanumeric())
            && word.len() <= 96
            && word.chars().all(allowed)
            && !word.contains("--")
    };
    let fine = name.split('/').count() <= 2 && name.split('/').all(word);
    if fine { Ok(()) } else { Err(ShelfError::Name(name.to_owned())) }
}

impl Shelf {
    /// The models in a directory, which need not exist.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Shelf { root: root.into() }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a name.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name.replace('/', "--"))
    }

    /// A model by its name; `None` when there is none.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn find(&self, name: &str) -> Result<Option<Entry>, ShelfError> {
        if check_name(name).is_err() {
            return Ok(None);
        }
        let folder = self.folder(name);
        if folder.join(RECORD).exists() { read(folder).map(Some) } else { Ok(None) }
    }

    /// All models, by name.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>, ShelfError> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io("listing", &self.root)(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let folder = entry.map_err(io("listing", &self.root))?.path();
            let hidden = folder.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
            if !hidden && folder.join(RECORD).exists() {
                found.push(read(folder)?);
            }
        }
        found.sort_by(|a, b| a.record.name.cmp(&b.record.name));
        Ok(found)
    }

    /// Takes the files of a model directory or a GGUF file in under a name. The same files under the
    /// same name are there already; other files are refused.
    ///
    /// # Errors
    /// [`ShelfError::Taken`], [`ShelfError::NoSpace`], what cannot be read or written.
    pub fn import(
        &self,
        source: &Source,
        name: &str,
        keep: Keep,
        origin: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Imported, ShelfError> {
        check_name(name)?;
        let (files, left_out) = files_of(source)?;
        let mut total = 0;
        for file in files.values() {
            total += fs::metadata(file).map_err(io("reading", file))?.len();
        }
        fs::create_dir_all(&self.root).map_err(io("creating", &self.root))?;
        clear_unfinished(&self.root)?;
        if keep == Keep::Copies {
            disk::check_space(&self.root, total)?;
        }
        let folder = self.folder(name);
        let waiting = unfinished(&folder);
        fs::create_dir_all(&waiting).map_err(io("creating", &waiting))?;
        let (mut entries, mut done) = (BTreeMap::new(), 0);
        for (file_name, from) in &files {
            let to = waiting.join(file_name);
            match keep {
                Keep::Copies => drop(fs::copy(from, &to).map_err(io("copying to", &to))?),
                Keep::Links => link(from, &to)?,
            }
            let entry = FileEntry::of(&to)?;
            done += entry.bytes;
            progress(done, total);
            entries.insert(file_name.clone(), entry);
        }
        let licence = Licence::of_folder(&waiting);
        let linked = keep == Keep::Links;
        self.put(&folder, entries, (name, origin, linked, licence))
            .map(|(entry, was_there)| Imported { entry, was_there, left_out })
    }

    /// Gives a filled folder its record and its place.
    pub(crate) fn put(
        &self,
        folder: &Path,
        files: BTreeMap<String, FileEntry>,
        (name, origin, linked, licence): (&str, &str, bool, Licence),
    ) -> Result<(Entry, bool), ShelfError> {
        let waiting = unfinished(folder);
        let content = content_hash(&files);
        if let Some(mut before) = self.find(name)? {
            fs::remove_dir_all(&waiting).map_err(io("removing", &waiting))?;
            if before.record.content == content {
                // Of files that this program did not find a licence in when it took them.
                if before.record.licence != licence {
                    before.record.licence = licence;
                    write_record(folder, &before.record)?;
                }
                return Ok((before, true));
            }
            return Err(ShelfError::Taken { name: name.to_owned(), origin: before.record.origin });
        }
        let (name, origin) = (name.to_owned(), origin.to_owned());
        let record = Record { format: FORMAT, name, origin, linked, licence, files, content };
        write_record(&waiting, &record)?;
        replace_directory(folder)?;
        Ok((Entry { folder: folder.to_owned(), record }, false))
    }
}

fn write_record(folder: &Path, record: &Record) -> Result<(), ShelfError> {
    let text = serde_json::to_vec_pretty(record).expect("plain records");
    Ok(stoa_durable::write(&folder.join(RECORD), &text)?)
}

fn read(folder: PathBuf) -> Result<Entry, ShelfError> {
    let path = folder.join(RECORD);
    let text = fs::read(&path).map_err(io("reading", &path))?;
    let record = serde_json::from_slice(&text)
        .map_err(|source| ShelfError::Damaged { path, problem: source.to_string() })?;
    Ok(Entry { folder, record })
}

/// SHA-256 over names and hashes.
pub fn content_hash(files: &BTreeMap<String, FileEntry>) -> String {
    let lines: String =
        files.iter().map(|(name, file)| format!("{name}\t{}\n", file.sha256)).collect();
    FileEntry::of_bytes(lines.as_bytes()).sha256
}

#[cfg(unix)]
fn link(from: &Path, to: &Path) -> Result<(), ShelfError> {
    let from = fs::canonicalize(from).map_err(io("reading", from))?;
    std::os::unix::fs::symlink(&from, to).map_err(io("linking", to))
}

#[cfg(not(unix))]
fn link(from: &Path, to: &Path) -> Result<(), ShelfError> {
    fs::hard_link(from, to).map_err(io("linking", to))
}

/// The file in which a written model says where it came from.
pub const PROVENANCE: &str = "stoa-provenance.json";

/// Files of a model directory beside its weights.
const COMPANIONS: &[&str] = &[
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "config.json",
    "generation_config.json",
    "manifest.json",
    "merges.txt",
    "model.safetensors.index.json",
    "special_tokens_map.json",
    "state.json",
    PROVENANCE,
    "tekken.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
];

/// Whether a file belongs to a model directory.
pub fn belongs(name: &str) -> bool {
    name.ends_with(".safetensors") && !name.starts_with("optimizer")
        || COMPANIONS.contains(&name)
        || name.to_uppercase().starts_with("README")
        || Licence::is_terms(name)
}

/// Files of a model by the names they get, and names of what is left out.
fn files_of(source: &Source) -> Result<(BTreeMap<String, PathBuf>, Vec<String>), ShelfError> {
    let (folder, wanted): (&Path, Box<dyn Fn(&str) -> bool>) = match source {
        Source::Run(path) | Source::Directory(path) => (path, Box::new(belongs)),
        Source::Gguf(file) => {
            let parent = file.parent().filter(|path| !path.as_os_str().is_empty());
            let own = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let parts =
                own.split_once("-00001-of-").map(|(stem, of)| (stem.to_owned(), of.to_owned()));
            let wanted = move |name: &str| match &parts {
                Some((stem, of)) => name.starts_with(stem.as_str()) && name.ends_with(of.as_str()),
                None => name == own,
            };
            (parent.unwrap_or(Path::new(".")), Box::new(wanted))
        }
    };
    let (mut files, mut left_out) = (BTreeMap::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(io("listing", folder))? {
        let path = entry.map_err(io("listing", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || name == RECORD || !path.is_file() {
            continue;
        }
        if wanted(&name) {
            files.insert(name, path);
        } else if !matches!(source, Source::Gguf(_)) {
            left_out.push(name);
        }
    }
    left_out.sort();
    Ok((files, left_out))
}

/// What a name or path stands for: a path that exists first, then a name of the shelf.
///
/// # Errors
/// [`ShelfError::NoSuchModel`], what [`recognise`] refuses.
pub fn locate(shelf: Option<&Shelf>, model: &Path) -> Result<crate::Recognised, ShelfError> {
    let name = model.to_string_lossy();
    let name = name.strip_prefix("hf:").unwrap_or(&name);
    let entry = match shelf {
        Some(shelf) => shelf.find(name)?,
        None => None,
    };
    match entry {
        Some(entry) if model.exists() => {
            let mut found = recognise(model)?;
            found.notes.push(format!(
                "{} is a path and a name of a model; the path is used, not {}",
                model.display(),
                entry.folder.display()
            ));
            Ok(found)
        }
        Some(entry) => recognise(&entry.folder),
        None if model.exists() => recognise(model),
        None => {
            let known = shelf.map(Shelf::list).transpose()?.unwrap_or_default();
            let names: Vec<String> = known.into_iter().map(|entry| entry.record.name).collect();
            if names.is_empty() {
                return Err(ShelfError::Nothing(model.to_owned()));
            }
            Err(ShelfError::NoSuchModel { model: model.to_owned(), names })
        }
    }
}
