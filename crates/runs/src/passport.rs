//! What a written model carries of where it came from: `stoa-provenance.json` beside safetensors, keys of
//! a GGUF file. Both are read back, so that a model that is handed on again still says it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use stoa_durable::FileEntry;
use stoa_gguf::{GgufFile, Metadata};
use stoa_shelf::{GGUF_TERMS, Licence, PROVENANCE};

use crate::error::io;
use crate::{Provenance, RunsError};

/// Key of the same JSON in a GGUF file.
const KEY: &str = "stoa.provenance";

/// The file beside the weights.
#[derive(Serialize, Deserialize)]
struct Passport {
    provenance: Provenance,
    /// The weights it speaks of.
    files: BTreeMap<String, FileEntry>,
}

/// What is carried: without the directory of the run, which is of this machine alone.
fn carried(provenance: &Provenance) -> Provenance {
    let origin = provenance.origin.clone().filter(|origin| is_address(origin));
    Provenance { run: None, origin, ..provenance.clone() }
}

/// Whether a place means the same on other machines.
fn is_address(place: &str) -> bool {
    ["hf:", "http://", "https://", "s3://"].iter().any(|begin| place.starts_with(begin))
}

/// Writes the file into a directory whose weights are there.
///
/// # Errors
/// Files that cannot be read or written.
pub(crate) fn write(directory: &Path, provenance: &Provenance) -> Result<(), RunsError> {
    let mut files = crate::hashes(directory)?;
    files.retain(|name, _| name.ends_with(".safetensors"));
    let passport = Passport { provenance: carried(provenance), files };
    let text = serde_json::to_vec_pretty(&passport).expect("texts and numbers");
    Ok(stoa_durable::write(&directory.join(PROVENANCE), &text)?)
}

/// What a directory carries. Of other weights than it speaks of, it says nothing: a note tells so.
///
/// # Errors
/// A file that cannot be read, or is damaged.
pub(crate) fn of_directory(directory: &Path) -> Result<Option<Provenance>, RunsError> {
    let path = directory.join(PROVENANCE);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read(&path).map_err(io("reading", &path))?;
    let passport: Passport = serde_json::from_slice(&text)
        .map_err(|source| RunsError::Damaged { path: path.clone(), source })?;
    for (name, entry) in &passport.files {
        let file = directory.join(name);
        if !file.exists() || FileEntry::of(&file)? != *entry {
            let note = format!("{PROVENANCE} is left aside: {name} is not the file it speaks of");
            return Ok(Some(Provenance { notes: vec![note], ..Provenance::default() }));
        }
    }
    Ok(Some(passport.provenance))
}

/// Sets the keys of a GGUF file: those that other tools read, the JSON, and the texts of terms.
pub(crate) fn set_keys(
    keys: &mut Metadata,
    provenance: &Provenance,
    terms: &BTreeMap<String, String>,
) {
    let licence = &provenance.licence;
    if let Some(name) = &licence.name {
        keys.set("general.license", name.as_str());
    }
    if let Some(link) = &licence.link {
        keys.set("general.license.link", link.as_str());
    }
    let bases = &licence.base_models;
    if !bases.is_empty() {
        keys.set("general.base_model.count", bases.len() as u32);
    }
    for (at, base) in bases.iter().enumerate() {
        let (organization, name) = base.split_once('/').unwrap_or(("", base));
        keys.set(format!("general.base_model.{at}.name"), name);
        if !organization.is_empty() {
            keys.set(format!("general.base_model.{at}.organization"), organization);
        }
    }
    if let Some(origin) = provenance.origin.as_ref().filter(|origin| is_address(origin)) {
        keys.set("general.source.url", origin.as_str());
    }
    let json = serde_json::to_string(&carried(provenance)).expect("texts and numbers");
    keys.set(KEY, json);
    for (name, text) in terms {
        keys.set(format!("{GGUF_TERMS}{name}"), text.as_str());
    }
}

/// What a GGUF file carries. A text that is no JSON of ours is left aside with a note.
pub(crate) fn of_gguf(file: &GgufFile) -> Option<Provenance> {
    let text = file.metadata().text(KEY).ok().flatten()?;
    Some(serde_json::from_str(text).unwrap_or_else(|error| Provenance {
        notes: vec![format!("{KEY} is left aside: {error}")],
        ..Provenance::default()
    }))
}

/// Terms and notices in a directory.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn terms_of_directory(directory: &Path) -> Result<BTreeMap<String, String>, RunsError> {
    let read = |name: String| {
        let path = directory.join(&name);
        let bytes = fs::read(&path).map_err(io("reading", &path))?;
        Ok((name, String::from_utf8_lossy(&bytes).into_owned()))
    };
    Licence::of_directory(directory).files.into_iter().map(read).collect()
}
