//! Reading and writing the text files of the program, with errors that name the file.

use std::path::Path;

use anyhow::Context as _;
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
