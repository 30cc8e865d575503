//! Folders of Bluesky records, as `goat repo unpack` and checkouts leave them: a file a record, whose
//! identifier is its path, `DID/collection/key.json`.
//!
//! The account stands in the name of a folder or in `_commit.json`. Where it does not, a post that
//! answers another one of the same folder names it. What the records hold is read by `bluesky`.

use super::record::{Part, Record};
use serde_json::Value;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The collection of posts.
pub(super) const POSTS: &str = "app.bsky.feed.post";
/// Records that are looked at to learn whose they are, and most bytes of one: a record has 2 MiB at
/// most (atproto, "Data Model").
const LOOKED_AT: usize = 4096;
const RECORD_BYTES: u64 = 2 << 20;

/// Where a record stands that is a file of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RepoPath {
    did: Option<Arc<str>>,
    key: String,
}

impl RepoPath {
    /// The address of the record; without the account, from the collection on.
    fn address(&self) -> String {
        match &self.did {
            Some(did) => format!("at://{did}/{POSTS}/{}", self.key),
            None => format!("{POSTS}/{}", self.key),
        }
    }

    /// Puts what the path says into a record.
    pub(super) fn complete(&self, record: &mut Record) {
        let address = self.address();
        record.set(Part::Id, Some(address.clone()));
        record.fill(Part::Thread, Some(address));
        let did = self.did.as_deref().map(str::to_string);
        record.fill(Part::Author, did.clone());
        record.fill(Part::AuthorId, did);
    }
}

/// The accounts of folders of records, each looked for once.
#[derive(Debug, Default)]
pub(super) struct Repos {
    owners: HashMap<PathBuf, Option<Arc<str>>>,
}

impl Repos {
    /// The place of a file, when it is a record of the collection of posts.
    pub(super) fn place(&mut self, path: &Path) -> Option<RepoPath> {
        let folder = path.parent()?;
        let named = folder.file_name().is_some_and(|name| name == POSTS);
        if !named || path.extension().is_none_or(|extension| extension != "json") {
            return None;
        }
        let key = path.file_stem()?.to_str()?.to_string();
        let owner = self.owners.entry(folder.to_path_buf()).or_insert_with(|| owner(folder));
        Some(RepoPath { did: owner.clone(), key })
    }
}

fn owner(folder: &Path) -> Option<Arc<str>> {
    let names = folder.ancestors().filter_map(|part| part.file_name()?.to_str());
    let did = names.into_iter().find_map(did_of_name);
    let committed = || {
        let commit = json(&folder.parent()?.join("_commit.json"))?;
        commit.get("did").and_then(Value::as_str).map(str::to_string)
    };
    did.or_else(committed).or_else(|| answered(folder)).map(Arc::from)
}

/// The DID that a folder is called by; systems without colons in names write them as `_` or `-`.
fn did_of_name(name: &str) -> Option<String> {
    let rest = name.strip_prefix("did")?;
    let separator = rest.chars().next().filter(|first| matches!(first, ':' | '_' | '-'))?;
    let (method, id) = rest[1..].split_once(separator)?;
    let known = matches!(method, "plc" | "web") && !id.is_empty();
    known.then(|| format!("did:{method}:{id}"))
}

/// The account of a post of the folder that another one answers.
fn answered(folder: &Path) -> Option<String> {
    let files = std::fs::read_dir(folder).ok()?.flatten().take(LOOKED_AT);
    let mut paths: Vec<PathBuf> = files.map(|file| file.path()).collect();
    paths.sort();
    paths.iter().find_map(|path| {
        let record = json(path)?;
        ["/reply/parent/uri", "/reply/root/uri"].iter().find_map(|pointer| {
            let uri = record.pointer(pointer)?.as_str()?.strip_prefix("at://")?;
            let (did, key) = uri.split_once('/').and_then(|(did, rest)| {
                Some((did, rest.strip_prefix(POSTS)?.strip_prefix('/')?))
            })?;
            // A key is a name of a file only when it has no path in it.
            let plain = !key.is_empty() && !key.contains(['/', '\\', '\0']);
            let here = plain && folder.join(format!("{key}.json")).is_file();
            (here && did.starts_with("did:")).then(|| did.to_string())
        })
    })
}

fn json(path: &Path) -> Option<Value> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(RECORD_BYTES).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(root: &Path, files: &[(&str, &str)]) -> PathBuf {
        let folder = root.join(POSTS);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn the_account_is_found_in_three_places() {
        let root = tempfile::tempdir().unwrap();
        let owner_of = |folder: &Path| {
            let place = Repos::default().place(&folder.join("3kb.json")).unwrap();
            place.address()
        };
        let named = folder_with(&root.path().join("did:plc:abc"), &[]);
        assert_eq!(owner_of(&named), "at://did:plc:abc/app.bsky.feed.post/3kb");
        let named = folder_with(&root.path().join("did_web_example.org"), &[]);
        assert_eq!(owner_of(&named), "at://did:web:example.org/app.bsky.feed.post/3kb");
        let committed = folder_with(&root.path().join("a"), &[]);
        std::fs::write(root.path().join("a/_commit.json"), r#"{"did": "did:plc:x"}"#).unwrap();
        assert_eq!(owner_of(&committed), "at://did:plc:x/app.bsky.feed.post/3kb");
        let answer = |did: &str, key: &str| {
            format!(r#"{{"reply": {{"parent": {{"uri": "at://{did}/{POSTS}/{key}"}}}}}}"#)
        };
        let answered = folder_with(
            &root.path().join("b"),
            &[
                ("3ka.json", "{}"),
                ("3kb.json", &answer("did:plc:other", "3kz")),
                ("3kc.json", &answer("did:plc:own", "3ka")),
            ],
        );
        assert_eq!(owner_of(&answered), "at://did:plc:own/app.bsky.feed.post/3kb");
        let unknown =
            folder_with(&root.path().join("c"), &[("3ka.json", &answer("did:plc:o", "3kz"))]);
        assert_eq!(owner_of(&unknown), "app.bsky.feed.post/3kb");
    }

    #[test]
    fn other_files_are_no_records() {
        let mut repos = Repos::default();
        for path in ["a/app.bsky.feed.like/3k.json", "a/3k.json", "a/app.bsky.feed.post/3k.txt"] {
            assert_eq!(repos.place(Path::new(path)), None, "{path}");
        }
    }
}
