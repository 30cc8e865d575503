//! CAR exports of a Bluesky repository (`goat repo export`, "Export My Data"): its posts with their
//! addresses.
//!
//! Sources: "CARv1" (ipld.io), atproto "Repository" (commit, Merkle search tree) and "Data Model" (DAG-CBOR).
//! Which key a record has stands in the tree, whose nodes come in any order; so posts and nodes are held
//! until the end, other records are counted and let go.
//!
//! A block is read when its data have the hash in its identifier, or when that hash is of a function not
//! known here, which is counted. A block whose data have another hash is not read: it is rejected with its place
//! and its identifier. Signatures of commits are not checked.

use super::bluesky_repo::POSTS;
use super::framing::RawFrame;
use super::remarks::Remarks;
use crate::error::{PostsError, RejectReason};
use ciborium::Value as Cbor;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Error, ErrorKind, Read};
use std::path::Path;

/// How the header of a CAR of version 1 begins, after its length: a map whose first key is `roots`.
const HEADER_START: &[u8] = b"\xa2\x65roots";
/// Bytes of a file by which it is recognised.
pub(super) const HEAD_BYTES: usize = 1 + HEADER_START.len();
/// Most bytes of a block: records have 2 MiB at most (atproto, "Data Model").
const BLOCK_BYTES: u64 = 4 << 20;
/// Most bytes of posts and nodes held: repositories of the busiest accounts have some hundred MB.
const HELD_BYTES: usize = 1 << 30;
/// How deep the data of a block may be nested.
const DEEPEST: usize = 64;
/// Longest key of a record (atproto, "Record Key") with its collection.
const LONGEST_KEY: usize = 1024;

/// The functions whose hashes are checked, by their number (multiformats, "multicodec"): that of atproto, and
/// the one that holds the data themselves.
const HASHES: &[(u64, fn(&[u8]) -> Vec<u8>)] =
    &[(0x12, |data| Sha256::digest(data).to_vec()), (0x00, <[u8]>::to_vec)];

/// Whether a file begins like a CAR.
pub(super) fn is_car(head: &[u8]) -> bool {
    head.first().is_some_and(|length| (9..0x80).contains(length))
        && head[1..].starts_with(HEADER_START)
}

/// What a CAR holds.
#[derive(Debug, Default)]
pub(super) struct Repo {
    /// The posts in order of key, each as a record with its address.
    pub(super) posts: Vec<Value>,
    /// Records of other collections: likes, follows, profiles.
    pub(super) others: u64,
    /// Blocks that are not read, since their data have another hash than their identifiers.
    pub(super) damaged: Vec<Damaged>,
    pub(super) remarks: Remarks,
}

/// A block that is not read.
#[derive(Debug)]
pub(super) struct Damaged {
    /// The number of the block, from 1.
    line: u64,
    byte_offset: u64,
    cid: Cid,
}

impl Damaged {
    /// The block as a record that is rejected.
    pub(super) fn frame(self) -> RawFrame {
        let reason = RejectReason::WrongHash { cid: base32(&self.cid) };
        RawFrame { line: self.line, byte_offset: self.byte_offset, content: Err(reason) }
    }
}

/// A node of the tree.
#[derive(Debug)]
struct Node {
    left: Option<Cid>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// Bytes of the key that are those of the entry before.
    shared: usize,
    key: Vec<u8>,
    record: Cid,
    right: Option<Cid>,
}

type Cid = Vec<u8>;

/// The blocks that are of use.
#[derive(Debug, Default)]
struct Blocks {
    commits: HashMap<Cid, (String, Cid)>,
    nodes: HashMap<Cid, Node>,
    posts: HashMap<Cid, Value>,
    /// Identifiers whose data had another hash.
    wrong: HashSet<Cid>,
    damaged: Vec<Damaged>,
    /// Blocks whose hash is of a function that is not known, by its number.
    unchecked: BTreeMap<u64, u64>,
}

/// A block in its parts.
struct Block<'b> {
    cid: &'b [u8],
    /// The number of the function that the hash is of.
    function: u64,
    hash: &'b [u8],
    data: &'b [u8],
}

/// Reads a CAR from its start.
///
/// # Errors
/// [`PostsError::WrongCar`]: it is cut short, damaged, or not that of a repository.
pub(super) fn read(path: &Path, stream: impl Read) -> Result<Repo, PostsError> {
    let wrong =
        |cause: Error| PostsError::WrongCar { path: path.to_path_buf(), cause: cause.to_string() };
    let (root, blocks) = blocks(stream).map_err(wrong)?;
    repo(&root, blocks).map_err(|cause| wrong(invalid(cause)))
}

fn invalid(cause: &str) -> Error {
    Error::new(ErrorKind::InvalidData, cause.to_string())
}

fn blocks(stream: impl Read) -> Result<(Cid, Blocks), Error> {
    let mut stream = Counted { inner: stream, bytes: 0 };
    let length = varint(&mut stream)?.ok_or_else(|| invalid("it is empty"))?;
    let header = decode(&exact(&mut stream, length)?)?;
    let roots = get(&header, "roots").and_then(Cbor::as_array);
    let root = roots.and_then(|roots| link(roots.first()?));
    let root = root.ok_or_else(|| invalid("its header names no root"))?;
    let (mut blocks, mut held) = (Blocks::default(), 0);
    for line in 1.. {
        let byte_offset = stream.bytes;
        let Some(length) = varint(&mut stream)? else { break };
        let bytes = exact(&mut stream, length)?;
        let block = block(&bytes).ok_or_else(|| invalid("a block without an identifier"))?;
        held += if block.is_sound(&mut blocks.unchecked) {
            blocks.take(block.cid.to_vec(), &decode(block.data)?, block.data.len())
        } else {
            blocks.leave(block.cid, line, byte_offset)
        };
        if held > HELD_BYTES {
            return Err(invalid("its posts and its tree take more than 1 GiB"));
        }
    }
    Ok((root, blocks))
}

impl Block<'_> {
    /// Whether the data have the hash in the identifier, or a hash that cannot be checked, which is counted.
    fn is_sound(&self, unchecked: &mut BTreeMap<u64, u64>) -> bool {
        match HASHES.iter().find(|(function, _)| *function == self.function) {
            Some((_, hash)) => hash(self.data) == self.hash,
            None => {
                *unchecked.entry(self.function).or_insert(0) += 1;
                true
            }
        }
    }
}

impl Blocks {
    /// Keeps what is of use of a block, and says how many bytes that is.
    fn take(&mut self, cid: Cid, data: &Cbor, bytes: usize) -> usize {
        if let Some(kind) = get(data, "$type").and_then(Cbor::as_text) {
            if kind != POSTS {
                return 0;
            }
            self.posts.insert(cid, json_of(data));
        } else if let Some(node) = node(data) {
            self.nodes.insert(cid, node);
        } else if let Some(commit) = commit(data) {
            self.commits.insert(cid, commit);
        } else {
            return 0;
        }
        // Values take some times the bytes that they are written in.
        4 * bytes
    }

    /// Leaves a block unread whose data have another hash, and says how many bytes its place takes.
    fn leave(&mut self, cid: &[u8], line: u64, byte_offset: u64) -> usize {
        self.damaged.push(Damaged { line, byte_offset, cid: cid.to_vec() });
        self.wrong.insert(cid.to_vec());
        2 * (cid.len() + size_of::<Damaged>())
    }
}

fn commit(data: &Cbor) -> Option<(String, Cid)> {
    let did = get(data, "did")?.as_text()?;
    did.starts_with("did:").then_some(())?;
    Some((did.to_string(), link(get(data, "data")?)?))
}

fn node(data: &Cbor) -> Option<Node> {
    let entries = get(data, "e")?.as_array()?.iter().map(|entry| {
        Some(Entry {
            shared: usize::try_from(get(entry, "p")?.as_integer()?).ok()?,
            key: get(entry, "k")?.as_bytes()?.clone(),
            record: link(get(entry, "v")?)?,
            right: get(entry, "t").and_then(link),
        })
    });
    Some(Node { left: get(data, "l").and_then(link), entries: entries.collect::<Option<_>>()? })
}

fn repo(root: &Cid, mut blocks: Blocks) -> Result<Repo, &'static str> {
    let commit = blocks.commits.remove(root);
    let (did, tree) = commit.ok_or(if blocks.wrong.contains(root) {
        "the data of its root do not have the hash that names it"
    } else {
        "its root is no commit of a repository"
    })?;
    let (mut repo, mut missing) = (Repo::default(), 0);
    // What was rejected is counted there.
    let lacks = |cid: &Cid| u64::from(!blocks.wrong.contains(cid));
    // Equal records are one block.
    let mut given: HashMap<Cid, usize> = HashMap::new();
    for step in steps(&blocks.nodes, tree) {
        let (key, record) = match step {
            Step::Record(key, record) => (key, record),
            Step::Missing(cid) => {
                missing += lacks(&cid);
                continue;
            }
        };
        let Some(own) = key.strip_prefix(POSTS.as_bytes()).and_then(|key| key.strip_prefix(b"/"))
        else {
            repo.others += lacks(&record);
            continue;
        };
        let post = match (blocks.posts.remove(&record), given.get(&record)) {
            (Some(post), _) => post,
            (None, Some(&before)) => repo.posts[before]["value"].clone(),
            (None, None) => {
                missing += lacks(&record);
                continue;
            }
        };
        given.insert(record, repo.posts.len());
        let own = String::from_utf8_lossy(own);
        repo.posts.push(json!({"uri": format!("at://{did}/{POSTS}/{own}"), "value": post}));
    }
    repo.remarks.add("records and parts of the tree that a CAR does not hold", missing);
    let loose = blocks.posts.len() as u64;
    repo.remarks.add("posts of a CAR that its tree does not hold, left unread", loose);
    for (function, count) in blocks.unchecked {
        let kind =
            format!("blocks of a CAR read unchecked: hash function {function:#x} is unknown");
        repo.remarks.add(&kind, count);
    }
    repo.damaged = blocks.damaged;
    Ok(repo)
}

enum Step {
    Record(Vec<u8>, Cid),
    /// A node that is not there, or that was met before.
    Missing(Cid),
}

/// The records of a tree in order of key.
fn steps(nodes: &HashMap<Cid, Node>, tree: Cid) -> impl Iterator<Item = Step> + '_ {
    enum Work {
        Node(Cid),
        Record(Vec<u8>, Cid),
    }
    let mut met = HashSet::new();
    let mut work = vec![Work::Node(tree)];
    std::iter::from_fn(move || {
        loop {
            match work.pop()? {
                Work::Record(key, record) => return Some(Step::Record(key, record)),
                Work::Node(cid) => {
                    let Some(node) = nodes.get(&cid).filter(|_| met.insert(cid.clone())) else {
                        return Some(Step::Missing(cid));
                    };
                    let mut inner: Vec<Work> = node.left.iter().cloned().map(Work::Node).collect();
                    let mut key: Vec<u8> = Vec::new();
                    for entry in &node.entries {
                        key.truncate(entry.shared);
                        key.extend(&entry.key);
                        key.truncate(LONGEST_KEY);
                        inner.push(Work::Record(key.clone(), entry.record.clone()));
                        inner.extend(entry.right.iter().cloned().map(Work::Node));
                    }
                    work.extend(inner.into_iter().rev());
                }
            }
        }
    })
}

/// An unsigned LEB128 number; nothing at the end of the stream.
fn varint(stream: &mut impl Read) -> Result<Option<u64>, Error> {
    let mut value = 0_u64;
    for place in 0..9 {
        let mut byte = [0];
        match stream.read_exact(&mut byte) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof && place == 0 => {
                return Ok(None);
            }
            Err(error) => return Err(cut(error)),
        }
        value |= u64::from(byte[0] & 0x7f) << (7 * place);
        if byte[0] < 0x80 {
            return Ok(Some(value));
        }
    }
    Err(invalid("a length of more than nine bytes"))
}

fn exact(stream: &mut impl Read, length: u64) -> Result<Vec<u8>, Error> {
    if length > BLOCK_BYTES {
        return Err(invalid("a block of more than 4 MiB"));
    }
    let mut bytes = Vec::new();
    stream.by_ref().take(length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length {
        return Err(cut(ErrorKind::UnexpectedEof.into()));
    }
    Ok(bytes)
}

fn cut(error: Error) -> Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => invalid("it ends inside a block"),
        _ => error,
    }
}

fn decode(bytes: &[u8]) -> Result<Cbor, Error> {
    ciborium::de::from_reader_with_recursion_limit(bytes, DEEPEST)
        .map_err(|_| invalid("a block that is no DAG-CBOR"))
}

/// Parts a block: the content identifier that it begins with is of version 0, which is a SHA-256 by itself,
/// or of version 1.
fn block(bytes: &[u8]) -> Option<Block<'_>> {
    let mut rest = bytes;
    if !bytes.starts_with(&[0x12, 0x20]) {
        let (_version, _codec) = (number(&mut rest)?, number(&mut rest)?);
    }
    let (function, length) = (number(&mut rest)?, number(&mut rest)?);
    let length = usize::try_from(length).ok()?;
    let (hash, data) = rest.split_at_checked(length)?;
    let cid = &bytes[..bytes.len() - data.len()];
    Some(Block { cid, function, hash, data })
}

/// An identifier as tools print it: base 32 of RFC 4648 in small letters without padding, after a `b`.
fn base32(cid: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bit = |at: usize| cid.get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1));
    let letters = (0..cid.len() * 8).step_by(5).map(|start| {
        let index = (start..start + 5).fold(0, |index, at| 2 * index + bit(at));
        char::from(LETTERS[index])
    });
    std::iter::once('b').chain(letters).collect()
}

/// Counts the bytes that were read.
struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    varint(bytes).ok().flatten()
}

fn get<'v>(value: &'v Cbor, name: &str) -> Option<&'v Cbor> {
    let fields = value.as_map()?;
    fields.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value)
}

/// The identifier in a link: tag 42 around bytes that begin with a zero ("DAG-CBOR", Links).
fn link(value: &Cbor) -> Option<Cid> {
    match value {
        Cbor::Tag(42, inner) => Some(inner.as_bytes()?.strip_prefix(&[0])?.to_vec()),
        _ => None,
    }
}

/// The data as JSON; bytes and links, which are no part of a post, are left out.
fn json_of(value: &Cbor) -> Value {
    match value {
        Cbor::Text(text) => Value::String(text.clone()),
        Cbor::Bool(truth) => Value::Bool(*truth),
        Cbor::Integer(number) => i64::try_from(*number).map_or(Value::Null, Value::from),
        Cbor::Array(values) => Value::Array(values.iter().map(json_of).collect()),
        Cbor::Map(fields) => {
            let named = fields
                .iter()
                .filter_map(|(key, value)| Some((key.as_text()?.to_string(), json_of(value))));
            Value::Object(named.collect::<Map<_, _>>())
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests;
