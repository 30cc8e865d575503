//! A model of a hub: its list of files, and their bytes, by the addresses of Hugging Face's interface.
//! A download that was stopped continues where it was; a file takes its place when its size and its
//! SHA-256 are those that the hub states. Names from the hub never lead out of the model's folder;
//! pickles are not fetched.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stoa_durable::FileEntry;
use stoa_remote::{RemoteError, WebRequest, WebResponse};

use crate::error::io;
use crate::licence::Licence;
use crate::listing::{HubFile, HubModel};
use crate::shelf::{Entry, Shelf};
use crate::{ShelfError, disk};

/// Where models are, unless the environment says otherwise.
pub const ENDPOINT: &str = "https://huggingface.co";

/// Times in a row that a file is asked for without a byte between.
const TRIES: usize = 4;

/// Longest answer of the interface that is read.
const MAX_LIST: u64 = 64 << 20;

/// What to get: `hf:ORG/NAME[@REVISION][:FILE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubName {
    /// `ORG/NAME`.
    pub repository: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// One file, or a part of its name such as `Q8_0`.
    pub file: Option<String>,
}

impl HubName {
    /// Reads a name.
    ///
    /// # Errors
    /// [`ShelfError::HubName`].
    pub fn parse(text: &str) -> Result<Self, ShelfError> {
        let wrong = || ShelfError::HubName(text.to_owned());
        let rest = text.strip_prefix("hf:").ok_or_else(wrong)?;
        let (rest, file) = rest.split_once(':').map_or((rest, None), |(r, f)| (r, Some(f)));
        let (repository, revision) = rest.split_once('@').unwrap_or((rest, "main"));
        let fine = |part: &str| {
            let sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            !part.is_empty() && part.chars().all(sign) && !part.starts_with('.')
        };
        let parts: Vec<&str> = repository.split('/').collect();
        let sound = parts.len() == 2
            && parts.iter().all(|part| fine(part))
            && revision.split('/').all(fine)
            && file.is_none_or(|file| !file.is_empty());
        if !sound {
            return Err(wrong());
        }
        let file = file.map(str::to_owned);
        Ok(HubName { repository: repository.to_owned(), revision: revision.to_owned(), file })
    }
}

/// A hub and who asks.
#[derive(Clone)]
pub struct Hub {
    /// Its address.
    pub endpoint: String,
    /// The token of the person who asks, if they have one.
    pub token: Option<String>,
}

/// What was got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// The model.
    pub entry: Entry,
    /// Whether it was there before, with the same files.
    pub was_there: bool,
    /// Files of the repository that were not fetched.
    pub left_out: Vec<String>,
    /// Files whose hash the hub does not state: their size was compared.
    pub by_size_alone: Vec<String>,
    /// Bytes that an earlier call had fetched.
    pub resumed_bytes: u64,
}

impl Hub {
    fn ask(&self, address: &str, from: u64) -> Result<WebResponse, ShelfError> {
        // A token on an open line would be anyone's; the machine itself is no line.
        let own = address.starts_with(&self.endpoint);
        let host = address.split_once("://").map_or("", |(_, rest)| rest);
        let here = ["127.0.0.1", "localhost", "[::1]"].iter().any(|name| host.starts_with(name));
        let safe = own && (address.starts_with("https://") || here);
        let bearer = self.token.as_deref().filter(|_| safe);
        Ok(stoa_remote::get(&WebRequest { address, bearer, from })?)
    }

    /// An answer of the interface; `None` for one that is not there.
    fn json(&self, address: &str) -> Result<Option<(Value, Option<String>)>, ShelfError> {
        let answer = self.ask(address, 0)?;
        let (status, next) = (answer.status, answer.next);
        match status {
            200 => {}
            404 => return Ok(None),
            status => return Err(self.refused(address, status)),
        }
        let mut text = Vec::new();
        answer
            .body
            .take(MAX_LIST)
            .read_to_end(&mut text)
            .map_err(io("fetching", address.as_ref()))?;
        let value = serde_json::from_slice(&text).map_err(|error| ShelfError::HubAnswer {
            address: address.to_owned(),
            problem: format!("is not what a hub answers: {error}"),
            remedy: "check HF_ENDPOINT",
        })?;
        Ok(Some((value, next)))
    }

    fn refused(&self, address: &str, status: u16) -> ShelfError {
        let remedy = match status {
            401 | 403 if self.token.is_none() => {
                "the model may need an account: accept its terms on its page, then set HF_TOKEN"
            }
            401 | 403 => {
                "accept the terms of the model on its page; HF_TOKEN must be that account's"
            }
            404 => "check the name, the revision and the file",
            429 => "too many requests: wait some minutes, or set HF_TOKEN",
            _ => "try again later",
        };
        let problem = format!("the hub answers with status {status}");
        ShelfError::HubAnswer { address: address.to_owned(), problem, remedy }
    }

    /// The files of a model.
    ///
    /// # Errors
    /// What the hub refuses.
    pub fn model(&self, name: &HubName) -> Result<HubModel, ShelfError> {
        let HubName { repository, revision, .. } = name;
        let api = format!("{}/api/models/{repository}", self.endpoint);
        let whole = self.json(&format!("{api}/revision/{revision}?blobs=true"))?;
        let whole = match whole {
            None if revision == "main" => self.json(&format!("{api}?blobs=true"))?,
            other => other,
        };
        let (value, _) = whole.unwrap_or_default();
        let commit = value["sha"].as_str().unwrap_or(revision);
        let model = HubModel::of_answers(revision, &value, &self.tree(&api, commit)?);
        if model.files.is_empty() {
            return Err(self.refused(&api, 404));
        }
        Ok(model)
    }

    /// The pages of the list of a tree; none where the hub has no trees.
    fn tree(&self, api: &str, commit: &str) -> Result<Vec<Value>, ShelfError> {
        let mut pages = Vec::new();
        let mut next = Some(format!("{api}/tree/{commit}?recursive=true"));
        while let Some(address) = next {
            let Some((list, following)) = self.json(&address)? else { break };
            pages.push(list);
            // A page that names itself would be read for ever.
            next = following.filter(|page| *page != address);
        }
        Ok(pages)
    }

    /// Gets a model into the shelf.
    ///
    /// # Errors
    /// What the hub refuses, no space, a file that is not what the hub states.
    pub fn get(
        &self,
        shelf: &Shelf,
        wanted: &HubName,
        name: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Got, ShelfError> {
        let model = self.model(wanted)?;
        let (files, left_out) = model.choose(wanted)?;
        let of_file = wanted.file.as_ref().map_or(String::new(), |file| format!(":{file}"));
        let origin = format!("hf:{}@{}{of_file}", wanted.repository, model.commit);
        if let Some(entry) = shelf.find(name)? {
            if entry.record.origin != origin {
                return Err(ShelfError::Taken {
                    name: name.to_owned(),
                    origin: entry.record.origin,
                });
            }
            let (by_size_alone, resumed_bytes) = (Vec::new(), 0);
            return Ok(Got { entry, was_there: true, left_out, by_size_alone, resumed_bytes });
        }
        let folder = shelf.folder(name);
        let partial = shelf.root().join(format!(".partial-{}", name.replace('/', "--")));
        fs::create_dir_all(&partial).map_err(io("creating", &partial))?;
        same_download(&partial, &wanted.repository, &model.commit)?;
        let total: u64 = files.iter().filter_map(|file| file.bytes).sum();
        let here = |file: &HubFile| {
            [local_name(&file.path), &part_name(&file.path)]
                .iter()
                .find_map(|name| fs::metadata(partial.join(name)).ok())
                .map_or(0, |there| there.len())
        };
        let resumed_bytes: u64 = files.iter().map(&here).sum();
        disk::check_space(shelf.root(), total.saturating_sub(resumed_bytes))?;
        let (mut entries, mut done, mut by_size_alone) = (BTreeMap::new(), 0, Vec::new());
        for file in &files {
            let address = format!(
                "{}/{}/resolve/{}/{}",
                self.endpoint, wanted.repository, model.commit, file.path
            );
            let entry =
                self.fetch(&address, file, &partial, &mut |bytes| progress(done + bytes, total))?;
            if file.sha256.is_none() {
                by_size_alone.push(file.path.clone());
            }
            done += entry.bytes;
            entries.insert(local_name(&file.path).to_owned(), entry);
        }
        let record = partial.join(DOWNLOAD);
        fs::remove_file(&record).map_err(io("removing", &record))?;
        let waiting = stoa_durable::unfinished(&folder);
        if waiting.exists() {
            fs::remove_dir_all(&waiting).map_err(io("removing", &waiting))?;
        }
        fs::rename(&partial, &waiting).map_err(io("renaming", &waiting))?;
        let licence = Licence::of_folder(&waiting);
        let (entry, was_there) = shelf.put(&folder, entries, (name, &origin, false, licence))?;
        Ok(Got { entry, was_there, left_out, by_size_alone, resumed_bytes })
    }

    /// Fetches a file into a folder, from where an earlier call left it.
    fn fetch(
        &self,
        address: &str,
        file: &HubFile,
        folder: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<FileEntry, ShelfError> {
        let path = folder.join(local_name(&file.path));
        if path.exists() {
            return Ok(FileEntry::of(&path)?);
        }
        let part = folder.join(part_name(&file.path));
        let mut tries = 0;
        loop {
            let before = fs::metadata(&part).map_or(0, |there| there.len());
            if file.bytes.is_some_and(|bytes| before >= bytes) && before > 0 {
                break;
            }
            match self.fetch_from(address, before, &part, progress) {
                Ok(()) => {
                    let there = fs::metadata(&part).map_or(0, |there| there.len());
                    if file.bytes.is_none_or(|bytes| there >= bytes) {
                        break;
                    }
                    tries = if there > before { 0 } else { tries + 1 };
                    if tries >= TRIES {
                        return Err(self.unlike(address, &part, file, there));
                    }
                }
                Err(error) => {
                    let there = fs::metadata(&part).map_or(0, |there| there.len());
                    tries = if there > before { 0 } else { tries + 1 };
                    let final_word = matches!(error, ShelfError::HubAnswer { .. });
                    if final_word || tries >= TRIES {
                        return Err(error);
                    }
                }
            }
        }
        let entry = FileEntry::of(&part)?;
        let sized = file.bytes.is_none_or(|bytes| bytes == entry.bytes);
        let hashed = file.sha256.as_ref().is_none_or(|sha256| *sha256 == entry.sha256);
        if !(sized && hashed) {
            let error = self.unlike(address, &part, file, entry.bytes);
            fs::remove_file(&part).map_err(io("removing", &part))?;
            return Err(error);
        }
        fs::rename(&part, &path).map_err(io("renaming", &path))?;
        Ok(entry)
    }

    fn unlike(&self, address: &str, part: &Path, file: &HubFile, there: u64) -> ShelfError {
        let stated =
            file.bytes.map_or_else(|| "what".to_owned(), |bytes| format!("the {bytes} bytes"));
        ShelfError::HubAnswer {
            address: address.to_owned(),
            problem: format!(
                "{there} bytes came, in {}, which are not {stated} that the hub states",
                part.display()
            ),
            remedy: "run the same command again",
        }
    }

    /// Appends what a file has from a byte on; writes all of it where the server begins again.
    fn fetch_from(
        &self,
        address: &str,
        from: u64,
        part: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ShelfError> {
        let mut answer = self.ask(address, from)?;
        let append = match answer.status {
            206 => true,
            200 => false,
            status => return Err(self.refused(address, status)),
        };
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .append(append)
            .truncate(!append)
            .open(part)
            .map_err(io("writing", part))?;
        let mut done = if append { from } else { 0 };
        let mut buffer = vec![0; 1 << 18];
        loop {
            let read = answer.body.read(&mut buffer).map_err(io("fetching", address.as_ref()))?;
            if read == 0 {
                return file.sync_all().map_err(io("writing", part));
            }
            file.write_all(&buffer[..read]).map_err(io("writing", part))?;
            done += read as u64;
            progress(done);
        }
    }
}

/// The name that a file of the repository gets here.
pub(crate) fn local_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn part_name(path: &str) -> String {
    format!("{}.part", local_name(path))
}

/// The file that says of what a partial folder is the beginning.
const DOWNLOAD: &str = "download.json";

/// Begins a download, or continues one of the same commit; a part of another one is removed.
fn same_download(folder: &Path, repository: &str, commit: &str) -> Result<(), ShelfError> {
    let path: PathBuf = folder.join(DOWNLOAD);
    let now = json!({ "repository": repository, "commit": commit });
    let before = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    if before.as_ref() != Some(&now) {
        fs::remove_dir_all(folder).map_err(io("removing", folder))?;
        fs::create_dir_all(folder).map_err(io("creating", folder))?;
        stoa_durable::write(&path, now.to_string().as_bytes())?;
    }
    Ok(())
}

impl From<RemoteError> for ShelfError {
    fn from(error: RemoteError) -> Self {
        ShelfError::Remote(error)
    }
}
