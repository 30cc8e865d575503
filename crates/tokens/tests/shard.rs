//! Token shards: round trips, and every way in which a file can be wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stoa_tokens::{Fingerprint, ShardWriter, TokenId, TokenShard, TokenWidth, TokensError};

const FINGERPRINT: Fingerprint = Fingerprint([7; 32]);

fn write(path: &Path, width: TokenWidth, documents: &[Vec<u32>]) {
    let mut writer = ShardWriter::create(path, FINGERPRINT, width).expect("writable");
    for document in documents {
        let tokens: Vec<TokenId> = document.iter().copied().map(TokenId).collect();
        writer.push_document(&tokens).expect("fits");
    }
    let summary = writer.finish().expect("writable");
    assert_eq!(summary.document_count, documents.len() as u64);
    assert_eq!(summary.token_count, documents.iter().map(Vec::len).sum::<usize>() as u64);
    assert_eq!(summary.file_bytes, std::fs::metadata(path).expect("written").len());
}

/// A directory with a small good shard in it.
fn good() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("a.tokens");
    write(&path, TokenWidth::U16, &[vec![1, 2, 3], vec![], vec![65_535]]);
    (directory, path)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Default::default() })]

    #[test]
    fn documents_round_trip(
        documents in prop::collection::vec(prop::collection::vec(0..70_000_u32, 0..50), 0..20),
        narrow in any::<bool>(),
    ) {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("a.tokens");
        let documents: Vec<Vec<u32>> = if narrow {
            documents.into_iter().map(|d| d.into_iter().map(|t| t & 0xffff).collect()).collect()
        } else {
            documents
        };
        let width = if narrow { TokenWidth::U16 } else { TokenWidth::U32 };
        write(&path, width, &documents);
        let shard = TokenShard::open_for(&path, FINGERPRINT).expect("whole");
        shard.verify().expect("whole");
        prop_assert_eq!(shard.width(), width);
        let mut position = 0;
        for (index, document) in (0..).zip(&documents) {
            let tokens: Vec<u32> =
                shard.document(index).expect("exists").into_iter().map(|token| token.0).collect();
            prop_assert_eq!(&tokens, document);
            for _ in document {
                prop_assert_eq!(shard.document_at(position).expect("exists"), index);
                position += 1;
            }
        }
        prop_assert_eq!(shard.token_count(), position);
        prop_assert!(shard.document_at(position).is_err());
        prop_assert!(shard.document(documents.len() as u64).is_err());
    }

    #[test]
    fn any_flipped_bit_is_found(at in 0..10_000_usize, bit in 0..8) {
        let (_directory, path) = good();
        let mut bytes = std::fs::read(&path).expect("written");
        let at = at % bytes.len();
        bytes[at] ^= 1_u8 << bit;
        std::fs::write(&path, &bytes).expect("writable");
        let checked = TokenShard::open_for(&path, FINGERPRINT).and_then(|shard| shard.verify());
        prop_assert!(checked.is_err(), "byte {} of {}", at, bytes.len());
    }

    #[test]
    fn random_bytes_are_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..400), magic in any::<bool>()) {
        if magic && bytes.len() >= 16 {
            bytes[..16].copy_from_slice(b"STOATOKS\x01\0\0\0\x02\0\0\0");
        }
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("a.tokens");
        std::fs::write(&path, &bytes).expect("writable");
        prop_assert!(TokenShard::open(&path).is_err());
    }
}

#[test]
fn blocks_beyond_the_first_are_written_and_checked() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("a.tokens");
    // 1.5 MiB of tokens: two blocks, the border inside the second document.
    let documents = vec![(0..200_000).collect::<Vec<u32>>(), (0..193_216).rev().collect()];
    write(&path, TokenWidth::U32, &documents);
    let shard = TokenShard::open(&path).expect("whole");
    shard.verify().expect("whole");
    let second: Vec<u32> = shard.document(1).expect("exists").iter().map(|t| t.0).collect();
    assert_eq!(second, documents[1]);
    let mut bytes = std::fs::read(&path).expect("written");
    bytes[128 + (1 << 20) + 5] ^= 1;
    std::fs::write(&path, &bytes).expect("writable");
    let error = TokenShard::open(&path).expect("tables are whole").verify().expect_err("damaged");
    assert!(matches!(error, TokensError::CorruptShard { offset, .. } if offset == 128 + (1 << 20)));
}

#[test]
fn every_truncation_is_found() {
    let (_directory, path) = good();
    let bytes = std::fs::read(&path).expect("written");
    for length in 0..bytes.len() {
        std::fs::write(&path, &bytes[..length]).expect("writable");
        let error = TokenShard::open(&path).expect_err("truncated");
        assert!(matches!(error, TokensError::CorruptShard { .. }), "{length}: {error}");
    }
    std::fs::write(&path, [&bytes[..], b"x"].concat()).expect("writable");
    assert!(TokenShard::open(&path).is_err());
}

/// Rewrites header fields with a right checksum, as an attacker would.
fn forge(path: &Path, at: usize, number: u64) {
    let mut bytes = std::fs::read(path).expect("written");
    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..124]);
    bytes[124..128].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(path, bytes).expect("writable");
}

#[test]
fn forged_counts_and_order_are_refused() {
    for (at, number) in
        [(16, u64::MAX), (16, 3), (16, 1 << 62), (24, u64::MAX), (24, 2), (24, 1 << 60)]
    {
        let (_directory, path) = good();
        forge(&path, at, number);
        let error = TokenShard::open(&path).expect_err("forged");
        assert!(matches!(error, TokensError::CorruptShard { .. }), "{at} {number}: {error}");
    }
    // Document ends 3, 9, 4 with right checksums.
    let (_directory, path) = good();
    let mut bytes = std::fs::read(&path).expect("written");
    bytes[144..152].copy_from_slice(&9_u64.to_le_bytes());
    let checksum = u64::from(crc32c::crc32c(&bytes[136..160]));
    std::fs::write(&path, &bytes).expect("writable");
    let blocks = u64::from(u32::from_le_bytes(bytes[68..72].try_into().expect("four bytes")));
    forge(&path, 64, blocks << 32 | checksum);
    let error = TokenShard::open(&path).expect_err("forged").to_string();
    assert!(error.contains("byte 144") && error.contains("out of order"), "{error}");
}

#[test]
fn errors_say_what_is_wrong() {
    let (directory, path) = good();
    let other = TokenShard::open_for(&path, Fingerprint([8; 32])).expect_err("other tokenizer");
    assert!(
        other.to_string().contains("0707")
            && other.to_string().contains("encode the documents again")
    );
    let shard = TokenShard::open(&path).expect("whole");
    let mut tokens = [TokenId(0); 3];
    let error = shard.read(2, &mut tokens).expect_err("beyond the end").to_string();
    assert!(error.contains("tokens 2..5 is outside 0..4"), "{error}");
    assert!(shard.read(u64::MAX, &mut tokens).is_err());
    let missing = TokenShard::open(&directory.path().join("none")).expect_err("missing");
    assert!(matches!(missing, TokensError::Io { .. }));
    let wide = directory.path().join("wide.tokens");
    let mut writer = ShardWriter::create(&wide, FINGERPRINT, TokenWidth::U16).expect("writable");
    let error = writer.push_document(&[TokenId(65_536)]).expect_err("too wide").to_string();
    assert!(error.contains("65536") && error.contains("32 bits"), "{error}");
}

#[test]
fn an_unfinished_shard_leaves_nothing() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("a.tokens");
    let mut writer = ShardWriter::create(&path, FINGERPRINT, TokenWidth::U16).expect("writable");
    writer.push_document(&[TokenId(1)]).expect("fits");
    drop(writer);
    assert_eq!(std::fs::read_dir(directory.path()).expect("readable").count(), 0);
    let unwritable = ShardWriter::create(Path::new("/nonexistent/a"), FINGERPRINT, TokenWidth::U16);
    assert!(matches!(unwritable, Err(TokensError::Io { .. })));
}

#[test]
#[cfg(target_os = "linux")]
fn reading_and_verifying_take_no_memory_of_the_size_of_the_shard() {
    const DOCUMENTS: u64 = 2048;
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("a.tokens");
    // 32 MiB of tokens.
    write(&path, TokenWidth::U32, &vec![vec![5; 4096]; DOCUMENTS as usize]);
    // Pages of files in memory, in bytes: proc(5).
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssFile:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
    };
    let before = resident();
    let shard = TokenShard::open_for(&path, FINGERPRINT).expect("whole");
    shard.verify().expect("whole");
    // Every document once, in an order that jumps about.
    for at in 0..DOCUMENTS {
        assert_eq!(shard.document(at * 769 % DOCUMENTS).expect("exists"), [TokenId(5); 4096]);
    }
    // The other tests of this process map small shards, and run code of their own for the first time.
    assert!(resident() < before + (8 << 20), "{} to {} bytes", before, resident());
}
