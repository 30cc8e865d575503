//! What a path stands for: a run, a model directory or a GGUF file. Anything else is refused by name.
//!
//! The rule where a directory holds several things: safetensors with a `config.json` come first, then
//! a GGUF file, then checkpoints of a run; what is left aside is noted.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::ShelfError;
use crate::error::io;
use crate::foreign::{self, BY_NAME, Content, content_of};
use crate::weight_file;

/// Where a model is, and in what form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The directory of a run: its newest whole checkpoint is the model.
    Run(PathBuf),
    /// A directory with `config.json`, safetensors and a tokenizer.
    Directory(PathBuf),
    /// A GGUF file, the first of its parts where it is split.
    Gguf(PathBuf),
}

/// A source, and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// The source.
    pub source: Source,
    /// What was left aside, or decided by a rule.
    pub notes: Vec<String>,
}

impl From<Source> for Recognised {
    fn from(source: Source) -> Self {
        Recognised { source, notes: Vec::new() }
    }
}

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// What a path stands for.
///
/// # Errors
/// [`ShelfError::Nothing`], [`ShelfError::Foreign`] and its kind, with what the path holds instead.
pub fn recognise(path: &Path) -> Result<Recognised, ShelfError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(ShelfError::Nothing(path.to_owned()));
        }
        Err(error) => return Err(io("reading", path)(error)),
    };
    if metadata.is_dir() { directory(path) } else { file(path) }
}

fn file(path: &Path) -> Result<Recognised, ShelfError> {
    let foreign = |foreign| ShelfError::Foreign { path: path.to_owned(), foreign };
    match content_of(path)? {
        Content::Gguf => Ok(Source::Gguf(first_part(path)).into()),
        Content::Safetensors => {
            weight_file::check(path)?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = parent.unwrap_or(Path::new("."));
            Err(ShelfError::Unsound {
                path: path.to_owned(),
                problem: format!("holds weights alone; the model is {}", parent.display()),
                remedy: "give the directory, with config.json and tokenizer.json in it",
            })
        }
        Content::Foreign(what) => Err(foreign(what)),
        Content::Json | Content::Unknown => Err(foreign(&foreign::SEVERAL_BYTES)),
    }
}

/// Names in a directory, without what is hidden.
fn names(directory: &Path) -> Result<BTreeSet<String>, ShelfError> {
    let entries = fs::read_dir(directory).map_err(io("listing", directory))?;
    let mut names = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(io("listing", directory))?.file_name();
        let name = name.to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.insert(name);
        }
    }
    Ok(names)
}

fn directory(path: &Path) -> Result<Recognised, ShelfError> {
    if let Some(snapshot) = hub_snapshot(path) {
        let found = directory(&snapshot)?;
        let note =
            format!("{} is a cache of the hub; using {}", path.display(), snapshot.display());
        let notes = [vec![note], found.notes].concat();
        return Ok(Recognised { notes, ..found });
    }
    let names = names(path)?;
    let weights = names.contains(WEIGHTS) || names.contains(INDEX);
    let config = names.contains("config.json");
    if weights && config {
        return model(path, &names);
    }
    let gguf = gguf_files(path, &names)?;
    if let [one] = &gguf[..] {
        let aside = config.then(|| "; its config.json is left aside".to_owned());
        let note = format!("using {}{}", one.display(), aside.unwrap_or_default());
        return Ok(Recognised { source: Source::Gguf(one.clone()), notes: vec![note] });
    }
    if gguf.len() > 1 {
        let names = gguf.iter().map(|path| path.display().to_string()).collect();
        let directory = path.to_owned();
        return Err(ShelfError::Several { directory, what: "several GGUF files", names });
    }
    if names.contains("checkpoints") {
        return Ok(Source::Run(path.to_owned()).into());
    }
    if let Some((name, foreign)) = foreign_file(&names) {
        return Err(ShelfError::Foreign { path: path.join(name), foreign });
    }
    if let Some(missing) = incomplete(path, &names, (config, weights))? {
        return Err(missing);
    }
    if names.contains("run.toml") || names.contains("corpus") {
        return Ok(Source::Run(path.to_owned()).into());
    }
    match inner_model(path, &names) {
        Some(inner) => Err(ShelfError::Incomplete {
            directory: path.to_owned(),
            there: "no model itself".to_owned(),
            missing: format!("{} is one", inner.display()),
            remedy: "give that directory".to_owned(),
        }),
        None => Ok(Source::Run(path.to_owned()).into()),
    }
}

/// A directory with a configuration and weights: that its files are what their names say.
fn model(path: &Path, names: &BTreeSet<String>) -> Result<Recognised, ShelfError> {
    let mut notes = Vec::new();
    if names.contains("adapter_config.json") {
        let holds = names.iter().any(|name| name.starts_with("adapter_model."));
        if holds {
            return Err(ShelfError::Several {
                directory: path.to_owned(),
                what: "a model and a LoRA adapter for it, and which is meant is open (merge them \
                       with `stoa models merge`, or move the adapter away)",
                names: vec!["config.json".to_owned(), "adapter_config.json".to_owned()],
            });
        }
        notes.push(format!(
            "{} is left aside: there are no weights of an adapter",
            path.join("adapter_config.json").display()
        ));
    }
    json_file(&path.join("config.json"))?;
    for name in weight_files(path, names)? {
        weight_file::check(&path.join(name))?;
    }
    match (names.contains("tokenizer.json"), names.contains("tokenizer.model")) {
        (true, _) => json_file(&path.join("tokenizer.json"))?,
        (false, true) => sound(&path.join("tokenizer.model"))?,
        (false, false) => {}
    }
    let left: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| name.ends_with(".gguf") || name.starts_with("pytorch_model"))
        .collect();
    if !left.is_empty() {
        let left = left.join(", ");
        notes.push(format!("{}: the safetensors are used, not {left}", path.display()));
    }
    Ok(Recognised { source: Source::Directory(path.to_owned()), notes })
}

/// The safetensors files of a model directory: those of the index where there is one. A name that
/// leads elsewhere, or a file that is missing, is left to the reader of weights, which refuses it.
fn weight_files(path: &Path, names: &BTreeSet<String>) -> Result<Vec<String>, ShelfError> {
    if !names.contains(INDEX) {
        return Ok(vec![WEIGHTS.to_owned()]);
    }
    let index = path.join(INDEX);
    json_file(&index)?;
    let text = fs::read(&index).map_err(io("reading", &index))?;
    let Ok(index) = serde_json::from_slice::<Value>(&text) else { return Ok(Vec::new()) };
    let files: BTreeSet<String> = index["weight_map"]
        .as_object()
        .into_iter()
        .flat_map(|map| map.values())
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    Ok(files.into_iter().filter(|name| names.contains(name)).collect())
}

/// That a file is JSON, and no pointer or page in its place. What it says is left to its reader.
fn json_file(path: &Path) -> Result<(), ShelfError> {
    let own = [&foreign::CONFIG, &foreign::TOKENIZER];
    match content_of(path)? {
        Content::Foreign(foreign) if !own.contains(&foreign) => {
            Err(ShelfError::Foreign { path: path.to_owned(), foreign })
        }
        _ => Ok(()),
    }
}

/// That a tokenizer.model is a file of its own, whatever its format.
fn sound(path: &Path) -> Result<(), ShelfError> {
    let placeholders =
        [&foreign::LFS_POINTER, &foreign::ANNEX_POINTER, &foreign::HTML, &foreign::EMPTY];
    match content_of(path)? {
        Content::Foreign(foreign) if placeholders.contains(&foreign) => {
            Err(ShelfError::Foreign { path: path.to_owned(), foreign })
        }
        _ => Ok(()),
    }
}

/// GGUF files of a directory, the first part of each that is split. A file of that name that holds
/// something else is refused.
fn gguf_files(path: &Path, names: &BTreeSet<String>) -> Result<Vec<PathBuf>, ShelfError> {
    let mut files = BTreeSet::new();
    for name in names.iter().filter(|name| name.ends_with(".gguf")) {
        let file = path.join(name);
        match content_of(&file)? {
            Content::Gguf => drop(files.insert(first_part(&file))),
            Content::Foreign(foreign) => return Err(ShelfError::Foreign { path: file, foreign }),
            _ => {
                return Err(ShelfError::Unsound {
                    path: file,
                    problem: "is no GGUF file, whatever its name says".to_owned(),
                    remedy: "fetch the file again",
                });
            }
        }
    }
    // A projector of pictures stands beside a model and is none.
    let projector = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("mmproj"))
    };
    files.retain(|path| !projector(path));
    Ok(files.into_iter().collect())
}

/// The first of the parts `NAME-00002-of-00005.gguf` belongs to; a file that is not split itself.
fn first_part(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let first = name.strip_suffix(".gguf").and_then(|stem| {
        let (stem, of) = stem.rsplit_once("-of-")?;
        let (stem, number) = stem.rsplit_once('-')?;
        let digits = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
        (digits(number) && digits(of)).then(|| format!("{stem}-00001-of-{of}.gguf"))
    });
    first.map_or_else(|| path.to_owned(), |first| path.with_file_name(first))
}

/// The first file that a directory without readable weights is known by.
fn foreign_file(names: &BTreeSet<String>) -> Option<(&String, &'static foreign::Foreign)> {
    BY_NAME.iter().find_map(|(pattern, foreign)| {
        names.iter().find(|name| fits(pattern, name)).map(|name| (name, *foreign))
    })
}

fn fits(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => pattern == name,
    }
}

/// What is missing of a model of which a part is there.
fn incomplete(
    path: &Path,
    names: &BTreeSet<String>,
    (config, weights): (bool, bool),
) -> Result<Option<ShelfError>, ShelfError> {
    let other = names.iter().find(|name| name.ends_with(".safetensors"));
    let (there, missing, remedy) = match (config, weights, other) {
        (true, false, Some(other)) => (
            other.clone(),
            format!("neither {WEIGHTS} nor {INDEX} says that it is the model"),
            format!("rename {other} to {WEIGHTS} where it is the whole model"),
        ),
        (true, false, None) => {
            json_file(&path.join("config.json"))?;
            let missing = format!("no weights: {WEIGHTS}, or {INDEX} with its files");
            ("config.json".to_owned(), missing, "fetch the weights too".to_owned())
        }
        (false, true, _) | (false, false, Some(_)) => (
            "weights".to_owned(),
            "no config.json".to_owned(),
            "fetch the other files of the model too".to_owned(),
        ),
        (false, false, None) if names.contains("tokenizer.model") => {
            let foreign = &foreign::SENTENCEPIECE;
            return Ok(Some(ShelfError::Foreign { path: path.join("tokenizer.model"), foreign }));
        }
        _ => return Ok(None),
    };
    Ok(Some(ShelfError::Incomplete { directory: path.to_owned(), there, missing, remedy }))
}

/// The snapshot of a `models--ORG--NAME` folder that its `refs/main` names, or the only one.
fn hub_snapshot(path: &Path) -> Option<PathBuf> {
    let snapshots = path.join("snapshots");
    let named = fs::read_to_string(path.join("refs/main")).ok();
    let named = named.map(|commit| snapshots.join(commit.trim())).filter(|path| path.is_dir());
    named.or_else(|| {
        let mut all = fs::read_dir(&snapshots).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        all.next().filter(|_| all.next().is_none())
    })
}

/// A directory in this one that is a model: what unpacking an archive leaves.
fn inner_model(path: &Path, names: &BTreeSet<String>) -> Option<PathBuf> {
    let is_model = |inner: &PathBuf| inner.is_dir() && inner.join("config.json").exists();
    names.iter().map(|name| path.join(name)).find(is_model)
}
