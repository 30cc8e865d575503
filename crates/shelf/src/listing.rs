//! The files of a model as a hub lists them, and which of them are fetched. Sends no requests.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::hub::{HubName, local_name};
use crate::{Licence, ShelfError, belongs};

/// A file of a model on the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubFile {
    /// Its path in the repository.
    pub path: String,
    /// Its size, where the hub says.
    pub bytes: Option<u64>,
    /// Its SHA-256, which the hub states of large files.
    pub sha256: Option<String>,
}

/// A model of the hub with its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubModel {
    /// The commit; the revision asked for where the hub does not say.
    pub commit: String,
    /// All of its files.
    pub files: Vec<HubFile>,
}

impl HubModel {
    /// The model that the hub's answers describe: the object of a revision, and the pages of the list
    /// of its tree, which may be none. A path that is listed again is left out.
    pub fn of_answers(revision: &str, whole: &Value, pages: &[Value]) -> Self {
        let commit = whole["sha"].as_str().unwrap_or(revision).to_owned();
        let listed = |list: &Value| -> Vec<HubFile> {
            list.as_array().into_iter().flatten().filter_map(file_of).collect()
        };
        let mut files: Vec<HubFile> = pages.iter().flat_map(listed).collect();
        if files.is_empty() {
            files = listed(&whole["siblings"]);
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup_by(|later, first| later.path == first.path);
        HubModel { commit, files }
    }

    /// The files to fetch, and the names of the others.
    ///
    /// # Errors
    /// A model without weights that are read here, a file that is not there or not one, a name that leads out
    /// of the model's folder.
    pub fn choose(&self, wanted: &HubName) -> Result<(Vec<HubFile>, Vec<String>), ShelfError> {
        let mut chosen = match &wanted.file {
            Some(file) => self.one_file(wanted, file)?,
            None => self.whole_model(wanted)?,
        };
        // Terms go with every model; those of a folder may be another model's.
        for file in self.files.iter().filter(|file| !file.path.contains('/')) {
            if belongs(&file.path) && is_terms(&file.path) && !chosen.contains(file) {
                chosen.push(file.clone());
            }
        }
        // Whatever its name begins with.
        chosen.retain(|file| !is_pickle(&file.path));
        // Each gets the last part of its path as name.
        let mut names = BTreeSet::new();
        for file in &chosen {
            check_path(&file.path)?;
            if !names.insert(local_name(&file.path)) {
                return Err(ShelfError::UnsafeName(file.path.clone()));
            }
        }
        let others = self.files.iter().filter(|file| !chosen.contains(file));
        let left_out = others.map(|file| file.path.clone()).collect();
        Ok((chosen, left_out))
    }

    /// A model in safetensors with all that belongs to it.
    fn whole_model(&self, wanted: &HubName) -> Result<Vec<HubFile>, ShelfError> {
        let has = |name: &str| self.files.iter().any(|file| file.path == name);
        let weights = |name: &str| {
            name == "model.safetensors"
                || (name.starts_with("model-") && name.ends_with(".safetensors"))
        };
        if !self.files.iter().any(|file| weights(&file.path)) {
            return Err(self.no_weights(wanted));
        }
        // With an index the shards are the model; a file of all beside them is a copy.
        let sharded = has("model.safetensors.index.json");
        let is_wanted = |name: &str| match (name.ends_with(".safetensors"), sharded) {
            (true, true) => weights(name) && name != "model.safetensors",
            (true, false) => name == "model.safetensors",
            (false, _) => belongs(name) && !name.contains('/'),
        };
        Ok(self.files.iter().filter(|file| is_wanted(&file.path)).cloned().collect())
    }

    /// The file that a name or a part of one means, with its other parts where it is split.
    fn one_file(&self, wanted: &HubName, file: &str) -> Result<Vec<HubFile>, ShelfError> {
        if is_pickle(file) {
            return Err(ShelfError::Pickle(file.to_owned()));
        }
        if let Some(found) = self.files.iter().find(|known| known.path == file) {
            return Ok(self.parts(found));
        }
        let lower = file.to_lowercase();
        let fits = |known: &&HubFile| {
            let name = known.path.to_lowercase();
            let later_part = name.contains("-of-") && !name.contains("-00001-of-");
            name.ends_with(".gguf") && name.contains(&lower) && !later_part
        };
        let found: Vec<&HubFile> = self.files.iter().filter(fits).collect();
        match &found[..] {
            [one] => Ok(self.parts(one)),
            [] => Err(ShelfError::NoFile {
                repository: wanted.repository.clone(),
                file: file.to_owned(),
                files: self.gguf_names(),
            }),
            several => Err(ShelfError::NoFile {
                repository: wanted.repository.clone(),
                file: file.to_owned(),
                files: several.iter().map(|file| file.path.clone()).collect(),
            }),
        }
    }

    /// A file with the others of `NAME-00001-of-00003.gguf`.
    fn parts(&self, file: &HubFile) -> Vec<HubFile> {
        let numbered = file.path.split_once("-00001-of-").filter(|(_, of)| !of.contains('/'));
        let Some((stem, of)) = numbered else {
            return vec![file.clone()];
        };
        // Between stem and count stands the number of a part, and nothing else.
        let is_part = |known: &&HubFile| {
            let middle = known.path.strip_prefix(stem).and_then(|rest| rest.strip_suffix(of));
            let number = middle.and_then(|rest| rest.strip_prefix('-')?.strip_suffix("-of-"));
            number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        self.files.iter().filter(is_part).cloned().collect()
    }

    fn gguf_names(&self) -> Vec<String> {
        let gguf = self.files.iter().filter(|file| file.path.ends_with(".gguf"));
        gguf.map(|file| file.path.clone()).collect()
    }

    fn no_weights(&self, wanted: &HubName) -> ShelfError {
        let gguf = self.gguf_names();
        let repository = wanted.repository.clone();
        if !gguf.is_empty() {
            return ShelfError::NoFile { repository, file: String::new(), files: gguf };
        }
        match self.files.iter().find(|file| is_pickle(&file.path)) {
            Some(file) => ShelfError::Pickle(file.path.clone()),
            None => ShelfError::NoFile { repository, file: String::new(), files: Vec::new() },
        }
    }
}

/// A file of a list: of a tree (`path`, `size`, `lfs.oid`) or of siblings (`rfilename`, `lfs.sha256`).
fn file_of(value: &Value) -> Option<HubFile> {
    if value["type"].as_str().is_some_and(|kind| kind != "file") {
        return None;
    }
    let path = value["path"].as_str().or_else(|| value["rfilename"].as_str())?.to_owned();
    let large = &value["lfs"];
    let sha256 = large["oid"].as_str().or_else(|| large["sha256"].as_str());
    let sha256 = sha256.map(|text| text.trim_start_matches("sha256:").to_lowercase());
    let bytes = large["size"].as_u64().or_else(|| value["size"].as_u64());
    Some(HubFile { path, bytes, sha256: sha256.filter(|text| text.len() == 64) })
}

fn is_pickle(name: &str) -> bool {
    [".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"].iter().any(|end| name.ends_with(end))
}

fn is_terms(name: &str) -> bool {
    name.to_uppercase().starts_with("README") || Licence::is_terms(name)
}

/// That a path of the hub stays in its folder.
fn check_path(path: &str) -> Result<(), ShelfError> {
    let component = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.contains(['\\', ':', '\0'])
            && part.chars().all(|c| !c.is_control())
    };
    let sound = path.split('/').all(component) && local_name(path) != crate::shelf::RECORD;
    if sound { Ok(()) } else { Err(ShelfError::UnsafeName(path.to_owned())) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chosen(files: &[&str], wanted: &str) -> Vec<String> {
        let list = files.iter().map(|path| json!({ "type": "file", "path": path })).collect();
        let model = HubModel::of_answers("main", &Value::Null, &[list]);
        let wanted = HubName::parse(wanted).expect("a name");
        let (files, _) = model.choose(&wanted).expect("a model");
        files.into_iter().map(|file| file.path).collect()
    }

    /// Files get the last part of their path as name: those of folders must not take a place of the model's.
    #[test]
    fn files_of_folders_are_not_taken_for_those_of_the_model() {
        let files = ["README/config.json", "config.json", "model.safetensors", "LICENSES/notice"];
        assert_eq!(chosen(&files, "hf:o/n"), ["config.json", "model.safetensors"]);
        let parts = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "m/x-00001-of-00002.gguf"];
        assert_eq!(chosen(&parts, "hf:o/n:m-00001-of-00002.gguf"), parts[..2]);
    }

    /// Found by fuzzing: a name that begins like terms and ends like a pickle was fetched.
    #[test]
    fn a_pickle_named_like_terms_is_left_out() {
        let files = ["README.md.bin", "README.md", "config.json", "model.safetensors"];
        assert_eq!(chosen(&files, "hf:o/n"), ["README.md", "config.json", "model.safetensors"]);
    }

    /// Found by fuzzing: folders named like a first part.
    #[test]
    fn parts_are_numbered_in_their_own_names() {
        let files = ["m-00001-of-00002a/x-Q8_0.gguf", "m-00000-of-00002a/x-Q8_0.gguf"];
        assert_eq!(chosen(&files, &format!("hf:o/n:{}", files[0])), files[..1]);
    }

    /// Found by fuzzing: one file was fetched twice to one place.
    #[test]
    fn a_path_that_is_listed_twice_is_one_file() {
        let twice = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "m-00001-of-00002.gguf"];
        assert_eq!(chosen(&twice, "hf:o/n:m-00001-of-00002.gguf"), twice[..2]);
    }
}
