//! Reading and writing the text files of the program, with errors that name the file.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Creates a directory and its parents.
///
/// # Errors
/// With the path and what to do.
pub fn create_directory(path: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(path)
        .with_context(|| format!("cannot create {}; choose another place", path.display()))
}

/// Writes `bytes` to `path`, whole or not at all.
///
/// # Errors
/// With the path: no permission, disk full.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    Ok(stoa_durable::write(path, bytes)?)
}

/// Writes one JSON object a line.
///
/// # Errors
/// As [`write()`].
pub fn write_lines<T: Serialize>(path: &Path, items: &[T]) -> anyhow::Result<()> {
    write(path, &lines(items)?)
}

/// One JSON object a line.
///
/// # Errors
/// Items without a JSON form.
pub fn lines<T: Serialize>(items: &[T]) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    for item in items {
        serde_json::to_writer(&mut text, item)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// Reads one JSON object a line.
///
/// # Errors
/// With the path and line.
pub fn read_lines<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    let text = read_text(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            let place =
                || format!("{} line {} is not what was written there", path.display(), at + 1);
            serde_json::from_str(line).with_context(place)
        })
        .collect()
}

/// Reads a text file, gzip or not.
///
/// # Errors
/// With the path: missing, damaged, not UTF-8.
pub fn read_text(path: &Path) -> anyhow::Result<String> {
    use std::io::Read;
    let place = || format!("cannot read {}", path.display());
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
        bytes
    } else {
        std::fs::read(path).with_context(place)?
    };
    let bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        let damaged = || format!("{} is damaged or cut short gzip; fetch it again", path.display());
        flate2::read::MultiGzDecoder::new(&bytes[..])
            .read_to_end(&mut plain)
            .with_context(damaged)?;
        plain
    } else {
        bytes
    };
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        anyhow::anyhow!("{} is not UTF-8 text at byte {at}; convert it first", path.display())
    })
}

/// Where the files of a run are.
#[derive(Clone, Debug)]
pub struct RunFiles {
    /// The run's directory.
    pub directory: PathBuf,
}

impl RunFiles {
    /// The files of the run in `directory`.
    pub fn new(directory: &Path) -> Self {
        RunFiles { directory: directory.to_owned() }
    }

    /// Everything that determines the result, resolved.
    pub fn run(&self) -> PathBuf {
        self.directory.join("run.toml")
    }

    /// Where the text came from.
    pub fn source(&self) -> PathBuf {
        self.directory.join("corpus/source.json")
    }

    /// Pretraining documents of both splits.
    pub fn documents(&self) -> PathBuf {
        self.directory.join("corpus/documents.jsonl")
    }

    /// Fine-tuning dialogues.
    pub fn dialogues(&self) -> PathBuf {
        self.directory.join("corpus/dialogues.jsonl")
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> PathBuf {
        self.directory.join("tokenizer.json")
    }

    /// Tokens of the training documents.
    pub fn train_tokens(&self) -> PathBuf {
        self.directory.join("tokens/train.tokens")
    }

    /// Tokens of the held-out documents.
    pub fn held_out_tokens(&self) -> PathBuf {
        self.directory.join("tokens/held_out.tokens")
    }

    /// The last examination.
    pub fn exam(&self) -> PathBuf {
        self.directory.join("exam.json")
    }

    /// The report.
    pub fn report(&self) -> PathBuf {
        self.directory.join("report.html")
    }
}
