//! An adapter merged into a model directory: its tensors under the names of its files, so that it works for
//! every family; all other files stay as they are.

use std::fs;
use std::path::Path;

use stoa_durable::{replace_directory, unfinished};
use stoa_maps::Map;
use stoa_models::{Adapter, Merged, Weights, from_map, save};
use stoa_shelf::{PROVENANCE, belongs};

use crate::error::io;
use crate::{Provenance, RunsError, passport};

/// Writes the model of a directory with an adapter merged into it, and where the base came from. The
/// directory appears whole.
///
/// # Errors
/// [`RunsError::Exists`], an adapter of another model, what cannot be read or written.
pub fn merge_directory(
    base: &Path,
    adapter: Adapter,
    provenance: &Provenance,
    out: &Path,
) -> Result<Merged, RunsError> {
    if out.exists() {
        return Err(RunsError::Exists(out.to_owned()));
    }
    let waiting = unfinished(out);
    if waiting.exists() {
        fs::remove_dir_all(&waiting).map_err(io("removing", &waiting))?;
    }
    fs::create_dir_all(&waiting).map_err(io("creating", &waiting))?;
    let index = base.join("model.safetensors.index.json");
    let mut weights = Weights::new();
    let left = ["manifest.json", "state.json", "model.safetensors.index.json", PROVENANCE];
    for entry in fs::read_dir(base).map_err(io("listing", base))? {
        let path = entry.map_err(io("listing", base))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !path.is_file() || !belongs(&name) || left.contains(&name.as_str()) {
            continue;
        }
        if name.ends_with(".safetensors") {
            // With an index the shards are the model, and a file of all beside them is a copy.
            let copy = index.exists() && name == "model.safetensors";
            let of_model = name == "model.safetensors" || name.starts_with("model-");
            if of_model && !copy {
                let map = Map::open(&path).map_err(|error| RunsError::File {
                    action: "reading",
                    path: error.path,
                    source: error.source,
                })?;
                weights.append(&mut from_map(&map)?);
            }
            continue;
        }
        fs::copy(&path, waiting.join(&name)).map_err(io("copying", &path))?;
    }
    let merged = adapter.merge(&mut weights)?;
    save(&waiting.join("model.safetensors"), &weights)?;
    passport::write(&waiting, provenance)?;
    // That it is a model, before it has its place.
    stoa_models::load(&waiting)?;
    replace_directory(out)?;
    Ok(merged)
}
