//! Folders, zip and tar archives, standard input: which parts hold posts, one stream after the other.
//!
//! Of an X archive only the owner's tweets, long notes and the identifiers of deleted tweets are
//! opened: never messages, addresses, likes or contacts. Nothing is unpacked to memory or disk; a tar
//! is gone through twice, first for its names.

use super::address;
use super::decode::{self, Member};
use super::framing::extension;
use super::header_limit::{HeaderLimit, TooMuch};
use super::input::io_error;
use super::own_output;
use super::remarks::Remarks;
use super::{Format, ReadOptions};
use crate::error::PostsError;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Most bytes of the names in a tar that are held in memory, and what a name takes in addition to its bytes.
/// (A month of stream grabs has 44,640 members, 6 MB.)
const MAX_NAME_BYTES: usize = 64 << 20;
const NAME_BYTES: usize = 64;

/// What a stream is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// The long notes of an X archive, read before its tweets.
    Notes,
    /// Posts.
    Posts,
    /// Posts of which only the identifiers may be read.
    Deleted,
}

/// What a source holds.
pub(super) enum Content<'r> {
    /// Bytes, read from their start.
    Stream(Box<dyn Read + 'r>),
    /// A Parquet file of this name, which is read from its end.
    Parquet,
    /// What is left unread of a folder or archive of this name, by kind.
    Unread(&'r Remarks),
}

/// Takes what one source holds: what for, its name, and its content.
pub(super) type Visit<'v> = dyn FnMut(Role, &Path, Content<'_>) -> Result<(), PostsError> + 'v;

/// What a file name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    XTweets,
    XNotes,
    XDeleted,
    Records,
    /// Words that may be posts, or words about the posts beside them.
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
        Some("deleted-tweets" | "deleted-tweet") => return Some(Promise::XDeleted),
        Some(stem) if is_month(stem) => return Some(Promise::XTweets),
        _ => {}
    }
    match extension(path).as_str() {
        "jsonl" | "ndjson" | "json" | "csv" | "tsv" | "parquet" | "car" => Some(Promise::Records),
        // Pushshift names its dumps `RC_2015-01`, without an ending of their own.
        "" if name.starts_with("rc_") || name.starts_with("rs_") => Some(Promise::Records),
        "txt" if !is_about(&name) => Some(Promise::Records),
        "txt" | "md" => Some(Promise::Text),
        _ => None,
    }
}

/// Whether a name is that of a month, as archives of before 2019 name their files: `2013_01`.
fn is_month(stem: &str) -> bool {
    let digits = |part: &str, count: usize| {
        part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    stem.split_once('_').is_some_and(|(year, month)| digits(year, 4) && digits(month, 2))
}

/// Whether a text is about the files next to it, by its name.
fn is_about(name: &str) -> bool {
    const ABOUT: [&str; 12] = [
        "readme",
        "read_me",
        "license",
        "licence",
        "copying",
        "changelog",
        "changes",
        "notice",
        "authors",
        "contributing",
        "description",
        "requirements",
    ];
    ABOUT.iter().any(|about| name.starts_with(about))
}

/// Which members of a container are read and for what, and what is left.
struct Plan {
    chosen: Vec<(Role, usize)>,
    unread: Remarks,
}

/// Reads all that promises posts. Of an X archive only the owner's tweets and what belongs to them;
/// words, which may be about the posts, only where there is nothing else.
fn plan(names: Vec<(usize, PathBuf)>) -> Plan {
    let mut unread = Remarks::default();
    let mut found: Vec<(Promise, usize, PathBuf)> = Vec::new();
    for (index, name) in names {
        match promise(&name) {
            Some(promise) => found.push((promise, index, name)),
            None => leave(&name, &mut unread),
        }
    }
    let roots: Vec<PathBuf> = found
        .iter()
        .filter(|(kind, ..)| matches!(kind, Promise::XTweets | Promise::XNotes | Promise::XDeleted))
        .filter_map(|(_, _, name)| archive_root(name))
        .collect();
    let of_archive = |name: &Path| roots.iter().any(|root| name.starts_with(root));
    let better = |(kind, _, name): &(Promise, usize, PathBuf)| match kind {
        Promise::XTweets | Promise::XDeleted => true,
        Promise::Records => !of_archive(name),
        Promise::XNotes | Promise::Text => false,
    };
    let has_better = found.iter().any(better);
    found.sort_by(|left, right| left.2.cmp(&right.2));
    let mut chosen = Vec::new();
    for (kind, index, name) in found {
        let role = match kind {
            Promise::XNotes if has_better => Some(Role::Notes),
            Promise::XDeleted => Some(Role::Deleted),
            Promise::XTweets => Some(Role::Posts),
            Promise::Records | Promise::Text if of_archive(&name) => None,
            Promise::Records => Some(Role::Posts),
            Promise::Text => (!has_better).then_some(Role::Posts),
            Promise::XNotes => None,
        };
        match role {
            Some(role) => chosen.push((role, index)),
            None => leave(&name, &mut unread),
        }
    }
    chosen.sort_by_key(|(role, _)| *role);
    Plan { chosen, unread }
}

impl Plan {
    /// The plan, when it is to read anything.
    fn of_any(self, path: &Path) -> Result<Plan, PostsError> {
        if self.chosen.is_empty() {
            return Err(PostsError::NoPostFiles { path: path.to_path_buf(), remarks: self.unread });
        }
        Ok(self)
    }
}

/// Counts a file that is not read, by the ending of its name.
fn leave(name: &Path, unread: &mut Remarks) {
    let hidden = name.components().any(|part| part.as_os_str() == "__MACOSX")
        || name.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    // Endings are short; anything else is a name, which may hold anything.
    let ending = extension(name);
    let plain = ending.len() <= 8 && ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let kind = match (hidden, ending.as_str()) {
        (true, _) => "files left unread: those of the system".to_string(),
        (_, ending) if plain && !ending.is_empty() => format!("files left unread: .{ending}"),
        _ => "files left unread: of another kind".to_string(),
    };
    unread.add(&kind, 1);
}

/// The folder of an X archive by one of its files, which stand below `data`.
fn archive_root(name: &Path) -> Option<PathBuf> {
    let data = |folder: &&Path| folder.file_name().is_some_and(|name| name == "data");
    let data = name.ancestors().skip(1).take(3).find(data)?;
    Some(data.parent().unwrap_or(Path::new("")).to_path_buf())
}

/// Goes through everything a path holds. A plain file is itself, whatever its name; `-` is standard
/// input. `meter` counts the bytes of files as they are read.
pub(super) fn visit(
    path: &Path,
    options: &ReadOptions,
    meter: &AtomicU64,
    visit: &mut Visit<'_>,
) -> Result<(), PostsError> {
    if path == Path::new("-") {
        let stdin = Box::new(std::io::stdin().lock());
        return single(path, Box::new(Metered { inner: stdin, meter }), visit);
    }
    if stoa_remote::is_prefix(path) {
        let objects = address::expanded(&[path.to_path_buf()])?;
        return objects.iter().try_for_each(|object| self::visit(object, options, meter, visit));
    }
    if stoa_remote::is_address(path) {
        return remote(path, meter, visit);
    }
    let io = |cause: std::io::Error| match cause.kind() {
        std::io::ErrorKind::NotFound => PostsError::NotFound { path: path.to_path_buf() },
        _ => PostsError::Io { path: path.to_path_buf(), cause },
    };
    let metadata = std::fs::metadata(path).map_err(io)?;
    if metadata.is_dir() {
        return folder(path, options, meter, visit);
    }
    if !metadata.is_file() {
        // Pipes with a name, as shells make them of `<(command)`.
        let stream = Metered { inner: File::open(path).map_err(io)?, meter };
        return single(path, Box::new(stream), visit);
    }
    if metadata.len() == 0 {
        return Err(PostsError::Empty { path: path.to_path_buf() });
    }
    let mut file = File::open(path).map_err(io)?;
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic).map_err(io)?;
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    if is_parquet(path, options) {
        return parquet(path, meter, visit);
    }
    if magic.starts_with(b"PK\x03\x04") {
        return zipped(path, file, options, meter, visit);
    }
    if is_tar(&file) {
        return tarred(path, meter, options, visit);
    }
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    let role = match promise(path) {
        Some(Promise::XDeleted) => Role::Deleted,
        _ => Role::Posts,
    };
    visit(role, path, Content::Stream(Box::new(Metered { inner: file, meter })))
}

/// Every file of a folder that promises posts, archives among them.
fn folder(
    path: &Path,
    options: &ReadOptions,
    meter: &AtomicU64,
    visit: &mut Visit<'_>,
) -> Result<(), PostsError> {
    if let Some(kind) = own_output::kind(path) {
        return Err(PostsError::OwnOutput { path: path.to_path_buf(), kind });
    }
    let (mut files, mut stores) = (Vec::new(), Remarks::default());
    list(path, &mut files, &mut stores)?;
    let (archives, files): (Vec<PathBuf>, Vec<PathBuf>) =
        files.into_iter().partition(|file| is_archive(file));
    let names = files.iter().cloned().enumerate().collect();
    let mut planned = plan(names);
    planned.unread.merge(&stores);
    let Plan { chosen, unread } = if archives.is_empty() { planned.of_any(path)? } else { planned };
    visit(Role::Posts, path, Content::Unread(&unread))?;
    for (role, index) in chosen {
        let path = &files[index];
        if is_parquet(path, options) {
            parquet(path, meter, visit)?;
            continue;
        }
        let file =
            File::open(path).map_err(|cause| PostsError::Io { path: path.clone(), cause })?;
        visit(role, path, Content::Stream(Box::new(Metered { inner: file, meter })))?;
    }
    archives.iter().try_for_each(|file| self::visit(file, options, meter, visit))
}

fn is_archive(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase());
    let name = name.unwrap_or_default();
    [".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.zst"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Files below a folder, in order of name; links are not followed, so that no loop can occur. What Stoa
/// made is left out.
fn list(folder: &Path, files: &mut Vec<PathBuf>, stores: &mut Remarks) -> Result<(), PostsError> {
    let io = |cause| PostsError::Io { path: folder.to_path_buf(), cause };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        entries.push((entry.path(), entry.file_type().map_err(io)?));
    }
    entries.sort_by(|left, right| left.0.cmp(&right.0));
    for (path, kind) in entries {
        if kind.is_dir() && own_output::kind(&path).is_some() {
            stores.add(own_output::LEFT_OUT, 1);
        } else if kind.is_dir() {
            list(&path, files, stores)?;
        } else if kind.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn member_path(archive: &Path, member: &Path) -> PathBuf {
    // A name may hold anything, also what a terminal takes for a command.
    let member = member.display().to_string().replace(char::is_control, "\u{fffd}");
    PathBuf::from(format!("{}!{member}", archive.display()))
}

fn damaged(path: &Path, cause: &impl ToString) -> PostsError {
    let (path, cause) = (path.to_path_buf(), cause.to_string());
    PostsError::Truncated { path, decoded_bytes: 0, posts: 0, cause }
}

fn zipped(
    path: &Path,
    file: File,
    options: &ReadOptions,
    meter: &AtomicU64,
    visit: &mut Visit<'_>,
) -> Result<(), PostsError> {
    let size = file.metadata().map_or(u64::MAX, |metadata| metadata.len());
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(|e| damaged(path, &e))?;
    let (mut names, mut packed) = (Vec::new(), 0_u64);
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(|e| damaged(path, &e))?;
        packed = packed.saturating_add(member.compressed_size());
        if member.is_file() {
            let name = member.name().map_err(|e| damaged(path, &e))?;
            names.push((index, PathBuf::from(name.into_owned())));
        }
    }
    // Members that overlap let a small file hold any number of copies of one bomb (Fifield 2019, "A
    // better zip bomb").
    if packed > size {
        let cause = format!("members of {packed} bytes in an archive of {size}");
        return Err(PostsError::ArchiveBomb { path: path.to_path_buf(), cause });
    }
    let mut left = options.archive_limit_bytes;
    let Plan { chosen, unread } = plan(names).of_any(path)?;
    visit(Role::Posts, path, Content::Unread(&unread))?;
    for (role, index) in chosen {
        let member = archive.by_index(index).map_err(|e| damaged(path, &e))?;
        let name = member.name().map_err(|e| damaged(path, &e))?.into_owned();
        let packed = member.compressed_size();
        meter.fetch_add(packed, Ordering::Relaxed);
        let name = member_path(path, Path::new(&name));
        let mut limited = Limited { inner: Member::new(member, packed), left: &mut left };
        match visit(role, &name, Content::Stream(Box::new(&mut limited))) {
            Err(PostsError::Io { path, cause }) if Limited::<File>::is_passed(&cause) => {
                let limit_bytes = options.archive_limit_bytes;
                return Err(PostsError::ArchiveTooLarge { path, limit_bytes });
            }
            // What cannot be read of a member is damage to the archive, not to the disk.
            Err(PostsError::Io { path, cause }) => return Err(io_error(&path, true, 0, cause)),
            done => done?,
        }
    }
    Ok(())
}

/// Whether a file is a tar, compressed or not: the name of the format stands at byte 257 of the first
/// block (POSIX ustar).
fn is_tar(file: &File) -> bool {
    // A stream damaged this early is reported by the code that reads it as a file.
    let Ok((stream, _)) = decode::decoded(Box::new(file)) else { return false };
    let mut block = Vec::new();
    let peeked = stream.take(512).read_to_end(&mut block);
    peeked.is_ok() && is_tar_block(&block)
}

fn is_tar_block(block: &[u8]) -> bool {
    block.len() >= 512 && &block[257..262] == b"ustar"
}

/// The error of a tar that could not be read on.
fn tar_error(path: &Path, cause: std::io::Error) -> PostsError {
    if HeaderLimit::is_passed(&cause) {
        let (path, cause) = (path.to_path_buf(), TooMuch.to_string());
        return PostsError::ArchiveBomb { path, cause };
    }
    io_error(path, true, 0, cause)
}

fn tarred(
    path: &Path,
    meter: &AtomicU64,
    options: &ReadOptions,
    visit: &mut Visit<'_>,
) -> Result<(), PostsError> {
    let io = |cause| PostsError::Io { path: path.to_path_buf(), cause };
    let open = |counted: bool| -> Result<Box<dyn Read + '_>, PostsError> {
        let file = File::open(path).map_err(io)?;
        let stream: Box<dyn Read + '_> =
            if counted { Box::new(Metered { inner: file, meter }) } else { Box::new(file) };
        Ok(decode::decoded(stream).map_err(|cause| io_error(path, true, 0, cause))?.0)
    };
    let wrong = |cause| tar_error(path, cause);
    let (mut names, mut name_bytes, mut left_out) = (Vec::new(), 0, Remarks::default());
    let limit = HeaderLimit::new();
    let mut archive = tar::Archive::new(limit.of(open(false)?));
    for (index, member) in archive.entries().map_err(wrong)?.enumerate() {
        let member = match member {
            Ok(member) => member,
            // What stood before the cut is read, and the cut is met again there.
            Err(_) if !names.is_empty() => break,
            Err(cause) => return Err(wrong(cause)),
        };
        limit.allow(member.size());
        let name = member.path().map_err(wrong)?;
        if !member.header().entry_type().is_file() {
            continue;
        }
        if promise(&name).is_some() {
            name_bytes += name.as_os_str().len() + NAME_BYTES;
            names.push((index, name.into_owned()));
        } else {
            leave(&name, &mut left_out);
        }
        if name_bytes > MAX_NAME_BYTES {
            let cause = format!("names of more than {MAX_NAME_BYTES} bytes");
            return Err(PostsError::ArchiveBomb { path: path.to_path_buf(), cause });
        }
    }
    let mut planned = plan(names);
    planned.unread.merge(&left_out);
    let Plan { chosen, unread } = planned.of_any(path)?;
    visit(Role::Posts, path, Content::Unread(&unread))?;
    let mut left = options.archive_limit_bytes;
    for wanted in [Role::Notes, Role::Posts, Role::Deleted] {
        if !chosen.iter().any(|(role, _)| *role == wanted) {
            continue;
        }
        let limit = HeaderLimit::new();
        let mut archive = tar::Archive::new(limit.of(open(wanted == Role::Posts)?));
        for (index, member) in archive.entries().map_err(wrong)?.enumerate() {
            let member = member.map_err(wrong)?;
            limit.allow(member.size());
            if !chosen.contains(&(wanted, index)) {
                continue;
            }
            let name = member_path(path, &member.path().map_err(wrong)?);
            let mut limited = Limited { inner: member, left: &mut left };
            match visit(wanted, &name, Content::Stream(Box::new(&mut limited))) {
                Err(PostsError::Io { path, cause }) if Limited::<File>::is_passed(&cause) => {
                    let limit_bytes = options.archive_limit_bytes;
                    return Err(PostsError::ArchiveTooLarge { path, limit_bytes });
                }
                done => done?,
            }
        }
    }
    Ok(())
}

/// A stream that cannot be gone through twice: a tar's members of records are read as they come.
fn single(
    path: &Path,
    stream: Box<dyn Read + '_>,
    visit: &mut Visit<'_>,
) -> Result<(), PostsError> {
    let wrong = |cause| io_error(path, true, 0, cause);
    let (stream, _) = decode::decoded(stream).map_err(wrong)?;
    let (head, stream) = decode::peek(stream, 512);
    if !is_tar_block(&head) {
        return visit(Role::Posts, path, Content::Stream(Box::new(stream)));
    }
    let wrong = |cause| tar_error(path, cause);
    let mut unread = Remarks::default();
    let limit = HeaderLimit::new();
    let mut archive = tar::Archive::new(limit.of(stream));
    for member in archive.entries().map_err(wrong)? {
        let member = member.map_err(wrong)?;
        limit.allow(member.size());
        let name = member.path().map_err(wrong)?.into_owned();
        if !member.header().entry_type().is_file() {
            continue;
        }
        let role = match promise(&name) {
            None => {
                leave(&name, &mut unread);
                continue;
            }
            Some(Promise::XNotes) => Role::Notes,
            Some(Promise::XDeleted) => Role::Deleted,
            Some(_) => Role::Posts,
        };
        visit(role, &member_path(path, &name), Content::Stream(Box::new(member)))?;
    }
    visit(Role::Posts, path, Content::Unread(&unread))
}

/// A remote file, read once from its start to its end.
fn remote(path: &Path, meter: &AtomicU64, visit: &mut Visit<'_>) -> Result<(), PostsError> {
    let shown = stoa_remote::shown(path);
    let stream = Metered { inner: stoa_remote::open(path)?, meter };
    let (head, stream) = decode::peek(Box::new(stream), 4);
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PAR1") {
        return Err(PostsError::RemoteFromItsEnd { address: shown });
    }
    single(&shown, Box::new(stream), visit)
}

/// Whether a name promises posts.
pub(super) fn is_of_posts(path: &Path) -> bool {
    promise(path).is_some() || is_archive(path)
}

/// A Parquet file, whose bytes count as read at once.
fn parquet(path: &Path, meter: &AtomicU64, visit: &mut Visit<'_>) -> Result<(), PostsError> {
    meter.fetch_add(std::fs::metadata(path).map_or(0, |file| file.len()), Ordering::Relaxed);
    visit(Role::Posts, path, Content::Parquet)
}

/// Whether a file is Parquet, which is read from its end.
fn is_parquet(path: &Path, options: &ReadOptions) -> bool {
    let mut magic = [0; 4];
    options.format == Format::Parquet
        || File::open(path)
            .is_ok_and(|mut file| file.read_exact(&mut magic).is_ok() && &magic == b"PAR1")
}

/// Counts the bytes of a file as they are read.
struct Metered<'m, R> {
    inner: R,
    meter: &'m AtomicU64,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.meter.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Fails when an archive gave more than its limit.
struct Limited<'l, R> {
    inner: R,
    left: &'l mut u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the archive holds more than is allowed")]
struct Passed;

impl<R> Limited<'_, R> {
    fn is_passed(cause: &std::io::Error) -> bool {
        cause.get_ref().is_some_and(|inner| inner.is::<Passed>())
    }
}

impl<R: Read> Read for Limited<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => *self.left = left,
            None => return Err(std::io::Error::new(std::io::ErrorKind::QuotaExceeded, Passed)),
        }
        Ok(read)
    }
}
