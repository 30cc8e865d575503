//! Folders, zip and tar archives: which of their files hold posts, and their bytes.
//!
//! Of an X archive only the owner's tweets and long notes are opened: never messages, addresses,
//! likes or deleted tweets. Members of archives are read into memory one archive at a time, within a
//! limit.

use super::framing::extension;
use super::input::io_error;
use crate::error::PostsError;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// One thing to read.
pub(super) enum Source {
    /// A file of the file system.
    File(PathBuf),
    /// A member of an archive, already in memory.
    Member {
        /// `archive!member`.
        path: PathBuf,
        bytes: Vec<u8>,
    },
}

impl Source {
    pub(super) fn path(&self) -> &Path {
        match self {
            Source::File(path) | Source::Member { path, .. } => path,
        }
    }
}

/// What a path holds: sources of posts, and the long notes of an X archive, which are read first.
pub(super) struct Contents {
    pub(super) posts: Vec<Source>,
    pub(super) notes: Vec<Source>,
}

/// What a file name promises, the better first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Promise {
    XTweets,
    XNotes,
    Records,
    Text,
}

fn promise(path: &Path) -> Option<Promise> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    if name.starts_with('.') || path.components().any(|part| part.as_os_str() == "__MACOSX") {
        return None;
    }
    let stem = name.strip_suffix(".js").map(|stem| {
        let (base, part) = stem.split_once("-part").unwrap_or((stem, "0"));
        if part.bytes().all(|byte| byte.is_ascii_digit()) { base } else { stem }
    });
    match stem {
        Some("tweets" | "tweet" | "community-tweet") => return Some(Promise::XTweets),
        Some("note-tweet") => return Some(Promise::XNotes),
        _ => {}
    }
    match extension(path).as_str() {
        "jsonl" | "ndjson" | "json" | "csv" | "tsv" => Some(Promise::Records),
        "txt" | "md" => Some(Promise::Text),
        _ => None,
    }
}

/// What the path holds. A plain file is itself, whatever its name.
pub(super) fn open(path: &Path, member_limit_bytes: u64) -> Result<Contents, PostsError> {
    let io = |cause: std::io::Error| match cause.kind() {
        std::io::ErrorKind::NotFound => PostsError::NotFound { path: path.to_path_buf() },
        _ => PostsError::Io { path: path.to_path_buf(), cause },
    };
    let metadata = std::fs::metadata(path).map_err(io)?;
    if metadata.is_dir() {
        let mut files = Vec::new();
        list(path, &mut files)?;
        let promised = files.into_iter().filter_map(|file| Some((promise(&file)?, file)));
        return choose(path, promised.map(|(kind, file)| (kind, Source::File(file))).collect());
    }
    if metadata.len() == 0 {
        return Err(PostsError::Empty { path: path.to_path_buf() });
    }
    let mut file = File::open(path).map_err(io)?;
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic).map_err(io)?;
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    if magic.starts_with(b"PK\x03\x04") {
        return choose(path, zip_members(path, file, member_limit_bytes)?);
    }
    let compressed = magic.starts_with(&[0x1f, 0x8b]);
    // The name of the format stands at byte 257 of the first block (POSIX ustar).
    let mut block = Vec::new();
    let peek: Box<dyn Read> = if compressed {
        Box::new(MultiGzDecoder::new(BufReader::new(&file)))
    } else {
        Box::new(&file)
    };
    // A stream damaged this early is reported by whoever reads it as a file.
    let peeked = peek.take(512).read_to_end(&mut block);
    if peeked.is_ok() && block.len() == 512 && &block[257..262] == b"ustar" {
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        return choose(path, tar_members(path, file, compressed, member_limit_bytes)?);
    }
    Ok(Contents { posts: vec![Source::File(path.to_path_buf())], notes: Vec::new() })
}

/// Keeps the sources of the best promise.
fn choose(path: &Path, found: Vec<(Promise, Source)>) -> Result<Contents, PostsError> {
    let (mut notes, mut posts) = (Vec::new(), Vec::new());
    let best = found.iter().map(|(kind, _)| *kind).filter(|kind| *kind != Promise::XNotes).min();
    for (kind, source) in found {
        if kind == Promise::XNotes {
            notes.push(source);
        } else if Some(kind) == best {
            posts.push(source);
        }
    }
    if posts.is_empty() {
        return Err(PostsError::NoPostFiles { path: path.to_path_buf() });
    }
    posts.sort_by(|left, right| left.path().cmp(right.path()));
    if best != Some(Promise::XTweets) {
        notes.clear();
    }
    Ok(Contents { posts, notes })
}

/// Files below a folder, in order of name; links are not followed, so that no loop can occur.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), PostsError> {
    let io = |cause| PostsError::Io { path: folder.to_path_buf(), cause };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        entries.push((entry.path(), entry.file_type().map_err(io)?));
    }
    entries.sort_by(|left, right| left.0.cmp(&right.0));
    for (path, kind) in entries {
        if kind.is_dir() {
            list(&path, files)?;
        } else if kind.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn member_path(archive: &Path, member: &Path) -> PathBuf {
    PathBuf::from(format!("{}!{}", archive.display(), member.display()))
}

/// Reads a member, at most what is left of the limit.
fn read_member(
    path: PathBuf,
    member: impl Read,
    left: &mut u64,
    limit_bytes: u64,
) -> Result<Source, PostsError> {
    let mut bytes = Vec::new();
    member
        .take(*left + 1)
        .read_to_end(&mut bytes)
        .map_err(|cause| io_error(&path, true, bytes.len() as u64, cause))?;
    if bytes.len() as u64 > *left {
        return Err(PostsError::ArchiveTooLarge { path, limit_bytes });
    }
    *left -= bytes.len() as u64;
    Ok(Source::Member { path, bytes })
}

fn zip_members(
    path: &Path,
    file: File,
    limit_bytes: u64,
) -> Result<Vec<(Promise, Source)>, PostsError> {
    let damaged = |error: zip::result::ZipError| PostsError::Truncated {
        path: path.to_path_buf(),
        decoded_bytes: 0,
        posts: 0,
        cause: error.to_string(),
    };
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    let mut left = limit_bytes;
    let mut found = Vec::new();
    for index in 0..archive.len() {
        let member = archive.by_index(index).map_err(damaged)?;
        let name = PathBuf::from(member.name().map_err(damaged)?.into_owned());
        if let Some(kind) = promise(&name).filter(|_| member.is_file()) {
            let path = member_path(path, &name);
            found.push((kind, read_member(path, member, &mut left, limit_bytes)?));
        }
    }
    Ok(found)
}

fn tar_members(
    path: &Path,
    file: File,
    compressed: bool,
    limit_bytes: u64,
) -> Result<Vec<(Promise, Source)>, PostsError> {
    let damaged = |cause| io_error(path, true, 0, cause);
    let stream: Box<dyn Read> = if compressed {
        Box::new(MultiGzDecoder::new(BufReader::new(file)))
    } else {
        Box::new(BufReader::new(file))
    };
    let mut archive = tar::Archive::new(stream);
    let mut left = limit_bytes;
    let mut found = Vec::new();
    for member in archive.entries().map_err(damaged)? {
        let member = member.map_err(damaged)?;
        let name = member.path().map_err(damaged)?.into_owned();
        if let Some(kind) = promise(&name).filter(|_| member.header().entry_type().is_file()) {
            let path = member_path(path, &name);
            found.push((kind, read_member(path, member, &mut left, limit_bytes)?));
        }
    }
    Ok(found)
}
