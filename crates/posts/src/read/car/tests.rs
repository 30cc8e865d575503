//! CAR files made here: what is read, what is refused, and blocks whose bytes are not those of their hash.

use super::super::{Item, ReadOptions, scan};
use super::*;
use proptest::prelude::*;
use std::sync::atomic::AtomicU64;

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

/// SHA-256, and a function that is not known here (SHA3-256).
const SHA2: u8 = 0x12;
const SHA3: u8 = 0x16;

fn cid(function: u8, hash: &[u8]) -> Cid {
    [&[1, 0x71, function, hash.len() as u8], hash].concat()
}

/// A link to the block of this number, until a file is written.
fn link_to(number: u32) -> Cbor {
    Cbor::Tag(42, Box::new(Cbor::Integer(number.into())))
}

type Made = Vec<(u32, Cbor)>;

/// The identifier of a block: the hash of its data, or its number where no hash is to be checked and where
/// there is no such block.
fn cid_of(number: u32, function: u8, blocks: &Made) -> Cid {
    let data = blocks.iter().find(|(own, _)| *own == number).filter(|_| function == SHA2);
    let numbered = || [[0; 28].as_slice(), &number.to_be_bytes()].concat();
    let hash = data.map_or_else(numbered, |(_, data)| {
        Sha256::digest(written(&linked(data, function, blocks))).to_vec()
    });
    cid(function, &hash)
}

/// The data with identifiers in their links.
fn linked(data: &Cbor, function: u8, blocks: &Made) -> Cbor {
    let again = |data: &Cbor| linked(data, function, blocks);
    match data {
        Cbor::Tag(42, number) => {
            let number = u32::try_from(number.as_integer().unwrap()).unwrap();
            let bytes = [vec![0], cid_of(number, function, blocks)].concat();
            Cbor::Tag(42, Box::new(Cbor::Bytes(bytes)))
        }
        Cbor::Array(values) => Cbor::Array(values.iter().map(again).collect()),
        Cbor::Map(fields) => {
            Cbor::Map(fields.iter().map(|(key, value)| (key.clone(), again(value))).collect())
        }
        other => other.clone(),
    }
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

/// A file of the blocks of these numbers, in their order.
fn car_of(numbers: &[u32], function: u8, blocks: &Made) -> Vec<u8> {
    let header =
        map(vec![("roots", Cbor::Array(vec![link_to(0)])), ("version", Cbor::Integer(1.into()))]);
    let mut out = chunk(&written(&linked(&header, function, blocks)));
    for number in numbers {
        let (_, data) = blocks.iter().find(|(own, _)| own == number).unwrap();
        let mut block = cid_of(*number, function, blocks);
        block.extend(written(&linked(data, function, blocks)));
        out.extend(chunk(&block));
    }
    out
}

fn car(blocks: &Made) -> Vec<u8> {
    let numbers: Vec<u32> = blocks.iter().map(|(number, _)| *number).collect();
    car_of(&numbers, SHA2, blocks)
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
fn node_block(number: u32, left: Option<u32>, entries: &[(&str, u32, Option<u32>)]) -> (u32, Cbor) {
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
fn small() -> Made {
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

/// Where these words stand in a file.
fn place_of(words: &str, bytes: &[u8]) -> usize {
    bytes.windows(words.len()).position(|window| window == words.as_bytes()).unwrap()
}

#[test]
fn what_is_missing_is_counted_and_damage_refused() {
    let there = [0, 1, 10, 12, 20];
    let repo = read(Path::new("r.car"), &car_of(&there, SHA2, &small())[..]).unwrap();
    assert_eq!(texts(&repo).len(), 1);
    assert_eq!(repo.remarks.iter().map(|(_, count)| count).sum::<u64>(), 3);
    let bytes = car(&small());
    let error = read(Path::new("r.car"), &bytes[..bytes.len() - 3]).unwrap_err();
    assert!(error.to_string().contains("ends inside a block"), "{error}");
    let error = read(Path::new("r.car"), &car_of(&[1, 2, 10], SHA2, &small())[..]).unwrap_err();
    assert!(error.to_string().contains("no commit"), "{error}");
    for words in ["a post about cars", "", "\u{3a}"] {
        assert!(!is_car(words.as_bytes()));
    }
}

#[test]
fn blocks_with_another_hash_are_not_read_but_named() {
    let mut bytes = car(&small());
    let at = place_of("two", &bytes);
    bytes[at..at + 3].copy_from_slice(b"owt");
    let repo = read(Path::new("r.car"), &bytes[..]).unwrap();
    let words: Vec<String> = texts(&repo).into_iter().map(|(_, words)| words).collect();
    assert_eq!(words, ["one", "three"]);
    // It is there, so it is not missing.
    assert!(repo.remarks.is_empty(), "{:?}", repo.remarks);
    let [damaged] = &repo.damaged[..] else { panic!("{:?}", repo.damaged) };
    let block = small().iter().position(|(number, _)| *number == 11).unwrap();
    let before = car_of(&[0, 1, 2, 10], SHA2, &small()).len();
    assert_eq!((damaged.line, damaged.byte_offset), (block as u64 + 1, before as u64));
    assert_eq!(damaged.cid, cid_of(11, SHA2, &small()));

    // A damaged part of the tree takes away the keys below it: their posts are left and counted.
    let mut bytes = car(&small());
    let at = place_of("app.bsky.feed.like/3k", &bytes);
    bytes[at] = b'A';
    let repo = read(Path::new("r.car"), &bytes[..]).unwrap();
    assert_eq!((texts(&repo).len(), repo.damaged.len()), (2, 1));
    let kinds: Vec<(&str, u64)> = repo.remarks.iter().collect();
    assert_eq!(kinds, [("posts of a CAR that its tree does not hold, left unread", 1)]);

    // Without the commit nothing has an address.
    let mut bytes = car(&small());
    let at = place_of("did:plc:own", &bytes);
    bytes[at + 8] = b'x';
    let error = read(Path::new("r.car"), &bytes[..]).unwrap_err();
    assert!(error.to_string().contains("root do not have the hash"), "{error}");
}

#[test]
fn equal_records_are_one_block_of_two_posts() {
    let (a, b) = (key("3ka"), key("3kb"));
    let blocks = vec![
        commit_block(),
        node_block(1, None, &[(&a, 10, None), (&b, 10, None)]),
        post_block(10, "one"),
    ];
    let repo = read(Path::new("r.car"), &car(&blocks)[..]).unwrap();
    let uri = |key: &str| (format!("at://did:plc:own/{key}"), "one".to_string());
    assert_eq!(texts(&repo), [uri(&a), uri(&b)]);
    assert!(repo.remarks.is_empty(), "{:?}", repo.remarks);
    // A damaged copy beside a sound one takes nothing away.
    let mut bytes = car(&blocks);
    let damaged = bytes.len();
    bytes.extend_from_slice(&car_of(&[10], SHA2, &blocks)[car_of(&[], SHA2, &blocks).len()..]);
    let at = damaged + place_of("one", &bytes[damaged..]);
    bytes[at] = b'O';
    let repo = read(Path::new("r.car"), &bytes[..]).unwrap();
    assert_eq!((texts(&repo).len(), repo.damaged.len()), (2, 1));
}

#[test]
fn hashes_of_unknown_functions_are_counted() {
    let all: Vec<u32> = small().iter().map(|(number, _)| *number).collect();
    let repo = read(Path::new("r.car"), &car_of(&all, SHA3, &small())[..]).unwrap();
    assert_eq!((texts(&repo).len(), repo.damaged.len()), (3, 0));
    let kinds: Vec<(&str, u64)> = repo.remarks.iter().collect();
    assert_eq!(kinds, [("blocks of a CAR read unchecked: hash function 0x16 is unknown", 7)]);
    // A tree that holds itself, which no true hash allows, ends.
    let looped = vec![commit_block(), node_block(1, Some(1), &[])];
    assert!(
        read(Path::new("r.car"), &car_of(&[0, 1], SHA3, &looped)[..]).unwrap().posts.is_empty()
    );
}

#[test]
fn identifiers_have_two_versions_and_are_printed_in_base_32() {
    let hash = Sha256::digest(b"data");
    let unchecked = &mut BTreeMap::new();
    let mut sound = |cid: &[u8], data: &[u8]| {
        let bytes = [cid, data].concat();
        block(&bytes).is_some_and(|block| block.cid == cid && block.is_sound(unchecked))
    };
    let old = [&[0x12, 0x20], &hash[..]].concat();
    assert!(sound(&old, b"data") && !sound(&old, b"Data"));
    assert!(sound(&cid(SHA2, &hash), b"data") && !sound(&cid(SHA2, &hash), b""));
    // A shortened hash, and the data as their own.
    assert!(!sound(&cid(SHA2, &hash[..20]), b"data"));
    assert!(sound(&cid(0, b"data"), b"data") && !sound(&cid(0, b"data"), b"dat"));
    assert!(unchecked.is_empty());
    // RFC 4648, section 10.
    for (bytes, printed) in
        [("", "b"), ("f", "bmy"), ("foob", "bmzxw6yq"), ("foobar", "bmzxw6ytboi")]
    {
        assert_eq!(base32(bytes.as_bytes()), printed);
    }
    assert!(base32(&cid(SHA2, &hash)).starts_with("bafyrei"));
}

#[test]
fn damaged_blocks_are_rejected_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("repo.car");
    let mut bytes = car(&small());
    let at = place_of("three", &bytes);
    bytes[at] = b'T';
    std::fs::write(&path, bytes).unwrap();
    let (mut posts, mut rejected) = (Vec::new(), Vec::new());
    let meter = AtomicU64::new(0);
    let scanned = scan(&path, &ReadOptions::default(), &meter, &mut |item| {
        match item {
            Item::Post(post) => posts.push(post.text),
            Item::Rejected(record) => rejected.push(record),
            Item::Notice(notice) => panic!("{notice:?}"),
        }
        Ok(())
    });
    let scanned = scanned.unwrap();
    assert_eq!(posts, ["one", "two"]);
    assert_eq!((scanned.records, scanned.posts, scanned.asides, scanned.rejected), (4, 2, 1, 1));
    assert_eq!(rejected[0].reason.kind(), "block with a wrong hash");
    let name = base32(&cid_of(12, SHA2, &small()));
    assert!(rejected[0].reason.to_string().contains(&name), "{}", rejected[0].reason);
    assert_eq!(rejected[0].line, 6);
}

#[test]
fn an_export_of_which_nothing_is_read_says_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("repo.car");
    std::fs::write(&path, car_of(&[0], SHA2, &small())).unwrap();
    let sink = &mut |_| Ok(());
    let error = scan(&path, &ReadOptions::default(), &AtomicU64::new(0), sink).unwrap_err();
    assert!(matches!(error, PostsError::NothingRead { .. }), "{error}");
    let note = "note 1: records and parts of the tree that a CAR does not hold";
    assert!(error.to_string().contains(note), "{error}");
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

    /// No damage makes it panic, none gives words that were not written, and what is read less is counted.
    #[test]
    fn damage_is_an_error_or_counted(at in 0..2000_usize, byte in any::<u8>()) {
        let whole = car(&small());
        let mut bytes = whole.clone();
        let place = at % bytes.len();
        bytes[place] = byte;
        if let Ok(repo) = read(Path::new("r.car"), &bytes[..]) {
            let sound = read(Path::new("r.car"), &whole[..]).unwrap();
            prop_assert!(texts(&repo).iter().all(|post| texts(&sound).contains(post)));
            let counted = !repo.damaged.is_empty() || !repo.remarks.is_empty();
            prop_assert!(counted || repo.posts.len() == 3, "{place} {byte}");
        }
    }

    /// Where no hash is checked, damage does not make it panic either.
    #[test]
    fn damage_beyond_hashes_is_an_error_or_fewer_posts(at in 0..2000_usize, byte in any::<u8>()) {
        let all: Vec<u32> = small().iter().map(|(number, _)| *number).collect();
        let mut bytes = car_of(&all, SHA3, &small());
        let place = at % bytes.len();
        bytes[place] = byte;
        if let Ok(repo) = read(Path::new("r.car"), &bytes[..]) {
            prop_assert!(repo.posts.len() <= 3);
        }
    }
}
