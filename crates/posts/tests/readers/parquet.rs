//! Parquet as other programs write it: every codec, page version and unit of time, nulls, dictionaries,
//! large strings, lists and structs. The files and what they hold are by pyarrow
//! (`xtask/oracle/posts/golden_parquet.py`).

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use stoa_posts::{ReadOptions, Rows, read_all};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn expected() -> Value {
    serde_json::from_str(&std::fs::read_to_string(golden().join("parquet.json")).unwrap()).unwrap()
}

fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "parquet")).collect();
    files.sort();
    files
}

#[test]
fn posts_are_read_from_every_codec_page_version_and_unit_of_time() {
    let expected = expected();
    let expected = expected["posts"].as_array().unwrap();
    assert_eq!(files().len(), 21);
    for file in files() {
        let posts = read_all(std::slice::from_ref(&file), &ReadOptions::default()).unwrap().posts;
        assert_eq!(posts.len(), expected.len(), "{}", file.display());
        for (post, row) in posts.iter().zip(expected) {
            let text = |name: &str| row[name].as_str();
            assert_eq!(Some(post.id.as_str()), text("id"), "{}", file.display());
            assert_eq!(Some(post.author.as_str()), text("author"), "{}", file.display());
            assert_eq!(Some(post.text.as_str()), text("text"), "{}", file.display());
            assert_eq!(post.in_reply_to.as_deref(), text("in_reply_to"), "{}", file.display());
            let time = row["created_at"].as_i64();
            assert_eq!(post.created_at_unix_seconds, time, "{}", file.display());
        }
    }
}

#[test]
fn other_columns_are_rows_with_nulls_where_there_is_nothing() {
    let expected = expected();
    let expected = expected["others"].as_array().unwrap();
    for file in files() {
        let rows: Vec<_> = Rows::open(&file, &ReadOptions::default())
            .unwrap()
            .map(|row| row.unwrap().unwrap())
            .collect();
        assert_eq!(rows.len(), expected.len(), "{}", file.display());
        for (row, expected) in rows.iter().zip(expected) {
            for (name, value) in expected.as_object().unwrap() {
                let found = row.get(name);
                assert_eq!(found.as_deref(), value.as_str(), "{}: {name}", file.display());
            }
        }
    }
}

#[test]
fn a_folder_of_parquet_is_read_file_by_file() {
    let folder = tempfile::tempdir().unwrap();
    for (number, name) in ["snappy-1", "zstd-2"].iter().enumerate() {
        let from = golden().join(format!("{name}.parquet"));
        std::fs::copy(from, folder.path().join(format!("part-{number}.parquet"))).unwrap();
    }
    let intake = read_all(&[folder.path().to_path_buf()], &ReadOptions::default()).unwrap();
    let sources: std::collections::BTreeSet<&str> =
        intake.posts.iter().map(|post| &*post.origin.source).collect();
    assert_eq!((intake.posts.len(), sources.len()), (16, 2));
}
