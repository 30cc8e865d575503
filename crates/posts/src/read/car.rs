//! CAR exports of a Bluesky repository (`goat repo export`, "Export My Data"): its posts with their
//! addresses.
//!
//! Sources: "CARv1" (ipld.io), atproto "Repository" (commit, Merkle search tree) and "Data Model" (DAG-CBOR).
//! Which key a record has stands in the tree, whose nodes come in any order; so posts and nodes are held
//! until the end, other records are counted and let go. Signatures and hashes are not checked.

use super::bluesky_repo::POSTS;
use super::remarks::Remarks;
use crate::error::PostsError;
use ciborium::Value as Cbor;
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};
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
    pub(super) remarks: Remarks,
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
    others: HashSet<Cid>,
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

fn blocks(mut stream: impl Read) -> Result<(Cid, Blocks), Error> {
    let length = varint(&mut stream)?.ok_or_else(|| invalid("it is empty"))?;
    let header = decode(&exact(&mut stream, length)?)?;
    let roots = get(&header, "roots").and_then(Cbor::as_array);
    let root = roots.and_then(|roots| link(roots.first()?));
    let root = root.ok_or_else(|| invalid("its header names no root"))?;
    let (mut blocks, mut held) = (Blocks::default(), 0);
    while let Some(length) = varint(&mut stream)? {
        let bytes = exact(&mut stream, length)?;
        let start = cid_length(&bytes).ok_or_else(|| invalid("a block without an identifier"))?;
        let (cid, data) = bytes.split_at(start);
        held += blocks.take(cid.to_vec(), &decode(data)?, data.len());
        if held > HELD_BYTES {
            return Err(invalid("its posts and its tree take more than 1 GiB"));
        }
    }
    Ok((root, blocks))
}

impl Blocks {
    /// Keeps what is of use of a block, and says how many bytes that is.
    fn take(&mut self, cid: Cid, data: &Cbor, bytes: usize) -> usize {
        if let Some(kind) = get(data, "$type").and_then(Cbor::as_text) {
            if kind != POSTS {
                self.others.insert(cid);
                return 64;
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
    let (did, tree) = blocks.commits.remove(root).ok_or("its root is no commit of a repository")?;
    let (mut repo, mut missing) = (Repo::default(), 0);
    for step in steps(&blocks.nodes, tree) {
        let Step::Record(key, record) = step else {
            missing += 1;
            continue;
        };
        let Some(own) = key.strip_prefix(POSTS.as_bytes()).and_then(|key| key.strip_prefix(b"/"))
        else {
            repo.others += 1;
            continue;
        };
        let own = String::from_utf8_lossy(own);
        match blocks.posts.remove(&record) {
            Some(post) => {
                repo.posts.push(json!({"uri": format!("at://{did}/{POSTS}/{own}"), "value": post}));
            }
            None => missing += 1,
        }
    }
    repo.remarks.add("records and parts of the tree that a CAR does not hold", missing);
    let loose = blocks.posts.len() as u64;
    repo.remarks.add("posts of a CAR that its tree does not hold, left unread", loose);
    Ok(repo)
}

enum Step {
    Record(Vec<u8>, Cid),
    /// A node that is not there, or that was met before.
    Missing,
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
                        return Some(Step::Missing);
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

/// Bytes of the content identifier that a block begins with: version 0, which is a SHA-256 by itself,
/// or version 1.
fn cid_length(block: &[u8]) -> Option<usize> {
    if block.starts_with(&[0x12, 0x20]) {
        return (block.len() >= 34).then_some(34);
    }
    let mut rest = block;
    let [_version, _codec, _hash, length] =
        [number(&mut rest)?, number(&mut rest)?, number(&mut rest)?, number(&mut rest)?];
    let length = usize::try_from(length).ok().filter(|length| *length <= rest.len())?;
    Some(block.len() - rest.len() + length)
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(value: &Cbor) -> Vec<u8> {
        let mut bytes = Vec::new();
        ciborium::into_writer(value, &mut bytes).unwrap();
        bytes
    }

    fn text(text: &str) -> Cbor {
        Cbor::Text(text.to_string())
    }

    fn map(fields: Vec<(&str, Cbor)>) -> Cbor {
        Cbor::Map(fields.into_iter().map(|(key, value)| (text(key), value)).collect())
    }

    /// An identifier of this number.
    fn cid(number: u32) -> Cid {
        let mut cid = vec![1, 0x71, 0x12, 0x20];
        cid.extend([0; 28]);
        cid.extend(number.to_be_bytes());
        cid
    }

    fn link_to(number: u32) -> Cbor {
        let mut bytes = vec![0];
        bytes.extend(cid(number));
        Cbor::Tag(42, Box::new(Cbor::Bytes(bytes)))
    }

    fn chunk(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut length = bytes.len();
        while length >= 0x80 {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend(bytes);
        out
    }

    fn car(blocks: &[(u32, Cbor)]) -> Vec<u8> {
        let header = map(vec![
            ("roots", Cbor::Array(vec![link_to(0)])),
            ("version", Cbor::Integer(1.into())),
        ]);
        let mut out = chunk(&written(&header));
        for (number, data) in blocks {
            let mut block = cid(*number);
            block.extend(written(data));
            out.extend(chunk(&block));
        }
        out
    }

    fn commit_block() -> (u32, Cbor) {
        let fields = vec![
            ("did", text("did:plc:own")),
            ("rev", text("3k")),
            ("data", link_to(1)),
            ("version", Cbor::Integer(3.into())),
        ];
        (0, map(fields))
    }

    fn post_block(number: u32, words: &str) -> (u32, Cbor) {
        (number, map(vec![("$type", text(POSTS)), ("text", text(words))]))
    }

    /// A node whose keys are cut against the one before, as writers do.
    fn node_block(
        number: u32,
        left: Option<u32>,
        entries: &[(&str, u32, Option<u32>)],
    ) -> (u32, Cbor) {
        let mut before = String::new();
        let optional = |link: Option<u32>| link.map_or(Cbor::Null, link_to);
        let entries = entries.iter().map(|(key, record, right)| {
            let shared = before.bytes().zip(key.bytes()).take_while(|(a, b)| a == b).count();
            before = (*key).to_string();
            map(vec![
                ("k", Cbor::Bytes(key.as_bytes()[shared..].to_vec())),
                ("p", Cbor::Integer((shared as u64).into())),
                ("t", optional(*right)),
                ("v", link_to(*record)),
            ])
        });
        let entries = entries.collect();
        (number, map(vec![("e", Cbor::Array(entries)), ("l", optional(left))]))
    }

    fn key(own: &str) -> String {
        format!("{POSTS}/{own}")
    }

    /// A repository of two nodes, three posts and a like.
    fn small() -> Vec<(u32, Cbor)> {
        let (a, b, c) = (key("3ka"), key("3kb"), key("3kc"));
        vec![
            commit_block(),
            node_block(1, Some(2), &[(&b, 11, None), (&c, 12, None)]),
            node_block(2, None, &[("app.bsky.feed.like/3k", 20, None), (&a, 10, None)]),
            post_block(10, "one"),
            post_block(11, "two"),
            post_block(12, "three"),
            (20, map(vec![("$type", text("app.bsky.feed.like"))])),
        ]
    }

    fn texts(repo: &Repo) -> Vec<(String, String)> {
        let texts = repo.posts.iter().map(|post| {
            let part = |pointer| post.pointer(pointer).and_then(Value::as_str).unwrap().to_string();
            (part("/uri"), part("/value/text"))
        });
        texts.collect()
    }

    #[test]
    fn posts_have_the_keys_of_the_tree() {
        let bytes = car(&small());
        assert!(is_car(&bytes));
        let repo = read(Path::new("r.car"), &bytes[..]).unwrap();
        let uri = |own: &str| format!("at://did:plc:own/{}", key(own));
        let expected = [(uri("3ka"), "one"), (uri("3kb"), "two"), (uri("3kc"), "three")];
        assert_eq!(texts(&repo), expected.map(|(uri, words)| (uri, words.to_string())));
        assert_eq!((repo.others, repo.remarks.is_empty()), (1, true));
    }

    #[test]
    fn what_is_missing_is_counted_and_damage_refused() {
        let mut blocks = small();
        blocks.retain(|(number, _)| *number != 2 && *number != 11);
        let repo = read(Path::new("r.car"), &car(&blocks)[..]).unwrap();
        assert_eq!(texts(&repo).len(), 1);
        assert_eq!(repo.remarks.iter().map(|(_, count)| count).sum::<u64>(), 3);
        let bytes = car(&small());
        let error = read(Path::new("r.car"), &bytes[..bytes.len() - 3]).unwrap_err();
        assert!(error.to_string().contains("ends inside a block"), "{error}");
        let error = read(Path::new("r.car"), &car(&small()[1..])[..]).unwrap_err();
        assert!(error.to_string().contains("no commit"), "{error}");
        // A tree that holds itself ends.
        let looped = vec![commit_block(), node_block(1, Some(1), &[])];
        assert!(read(Path::new("r.car"), &car(&looped)[..]).unwrap().posts.is_empty());
        for words in ["a post about cars", "", "\u{3a}"] {
            assert!(!is_car(words.as_bytes()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// The order of blocks does not matter.
        #[test]
        fn blocks_come_in_any_order(blocks in Just(small()).prop_shuffle()) {
            let repo = read(Path::new("r.car"), &car(&blocks)[..]).unwrap();
            let sorted = read(Path::new("r.car"), &car(&small())[..]).unwrap();
            prop_assert_eq!(texts(&repo), texts(&sorted));
        }

        /// No damage makes it panic.
        #[test]
        fn damage_is_an_error_or_fewer_posts(at in 0..400_usize, byte in any::<u8>()) {
            let mut bytes = car(&small());
            let place = at % bytes.len();
            bytes[place] = byte;
            if let Ok(repo) = read(Path::new("r.car"), &bytes[..]) {
                prop_assert!(repo.posts.len() <= 3);
            }
        }
    }
}
