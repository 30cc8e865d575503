//! Hostile sources: bombs, damage, things that are no posts, names that would climb out of an archive.
//! Each is refused with an error that says what it is, or read as far as it is sound. How much memory
//! the program takes for them is measured on the program itself, in the room `stoa`.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use stoa_posts::{
    Durability, Format, Item, Post, PostsError, ReadOptions, Scanned, scan, write_posts,
};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

fn file(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Reads a source; what it holds as `id: text`, rejects as their reason.
fn read_with(path: &Path, options: &ReadOptions) -> (Result<Scanned, PostsError>, Vec<String>) {
    let mut found = Vec::new();
    let scanned = scan(path, options, &AtomicU64::new(0), &mut |item| {
        found.push(match item {
            Item::Post(post) => format!("{}: {}", post.id, post.text),
            Item::Notice(notice) => format!("{:?}", notice.about),
            Item::Rejected(rejected) => rejected.reason.to_string(),
        });
        Ok(())
    });
    (scanned, found)
}

fn read(path: &Path) -> (Result<Scanned, PostsError>, Vec<String>) {
    read_with(path, &ReadOptions::default())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Posts that deflate to one byte in a thousand and more.
fn long_words(megabytes: usize) -> Vec<u8> {
    let mut text = b"{\"text\": \"".to_vec();
    text.resize(megabytes << 20, b'a');
    text
}

#[test]
fn bombs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    // One member of 16 MiB, which repeats: no bomb is ever held unpacked.
    let member = gzip(&long_words(16));
    let bomb = file(&folder, "bomb.jsonl.gz", &member.repeat(64));
    let (scanned, _) = read(&bomb);
    assert!(matches!(scanned, Err(PostsError::Bomb { ratio: 1001.., .. })), "{scanned:?}");
    let bomb = file(&folder, "bomb.zip", &zip_of(&[("a.jsonl", &long_words(80))]));
    let (scanned, _) = read(&bomb);
    assert!(matches!(scanned, Err(PostsError::Bomb { ratio: 1001.., .. })), "{scanned:?}");
    // What unpacks to much, but honestly, is bounded by the limit of an archive.
    let options = ReadOptions { archive_limit_bytes: 1000, ..ReadOptions::default() };
    let large = file(&folder, "large.zip", &zip_of(&[("a.txt", &b"many words\n".repeat(200))]));
    let (scanned, _) = read_with(&large, &options);
    assert!(matches!(scanned, Err(PostsError::ArchiveTooLarge { .. })), "{scanned:?}");
}

#[test]
fn members_that_overlap_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes =
        zip_of(&[("a.jsonl", b"{\"text\": \"one\"}"), ("b.jsonl", b"{\"text\": \"two\"}")]);
    // The directory's second entry claims as many bytes as ten archives.
    let entry = bytes.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
    let claimed = (bytes.len() as u32 * 10).to_le_bytes();
    bytes[entry + 20..entry + 24].copy_from_slice(&claimed);
    let (scanned, _) = read(&file(&folder, "overlap.zip", &bytes));
    assert!(matches!(scanned, Err(PostsError::ArchiveBomb { .. })), "{scanned:?}");
    assert!(scanned.unwrap_err().to_string().contains("unpack it yourself"));
}

#[test]
fn names_without_an_end_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    // The name of a member as GNU tar writes long ones: a member of its own before it.
    let mut tar = tar::Builder::new(Vec::new());
    let mut put = |kind, name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    let post = b"{\"text\": \"words\"}";
    put(tar::EntryType::Regular, "a.jsonl", post);
    put(tar::EntryType::GNULongName, "long", &vec![b'a'; 3 << 20]);
    put(tar::EntryType::Regular, "b.jsonl", post);
    let (scanned, found) = read(&file(&folder, "names.tar", &tar.into_inner().unwrap()));
    let error = scanned.unwrap_err();
    assert!(matches!(error, PostsError::ArchiveBomb { .. }), "{error}");
    assert_eq!(found.len(), 1, "what stands before is handed over");
}

#[test]
fn pictures_programs_and_archives_of_other_kinds_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, kind) in [
        ("a.png", &b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], "a PNG picture"),
        ("posts.txt", b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG picture"),
        ("posts.jsonl", b"\x7fELF\x02\x01\x01\0", "a program (ELF)"),
        ("posts.csv", b"MZ\x90\0\x03\0\0\0", "a program (Windows)"),
        ("posts", b"\xfd7zXZ\0\0\x04", "xz data"),
        ("posts.json", b"%PDF-1.7\n", "a PDF document"),
        ("posts.md", b"words and then \0\0\0\0", "binary data"),
        ("posts.tsv", b"\xff\xfe\0\0t\0\0\0e\0\0\0", "text in UTF-32"),
        ("empty.zip", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "an empty zip"),
    ] {
        for packed in [false, true] {
            let bytes = if packed { gzip(bytes) } else { bytes.to_vec() };
            let path = file(&folder, name, &bytes);
            let error = read(&path).0.unwrap_err();
            assert!(matches!(error, PostsError::NotPosts { .. }), "{name}: {error}");
            let message = error.to_string();
            assert!(
                message.contains(name) && message.contains(kind) && message.contains("; "),
                "{message}"
            );
        }
    }
    // Declared as text, data is text; a picture is not.
    let text = ReadOptions { format: Format::Text, ..ReadOptions::default() };
    let odd = file(&folder, "odd.txt", b"words\0and more");
    assert!(read_with(&odd, &text).0.is_ok());
    assert!(read_with(&folder.path().join("a.png"), &text).0.is_err());
    // Packed twice: the name of the remedy, not a page of letters.
    let twice = file(&folder, "twice.gz", &gzip(&gzip(b"{\"text\": \"words\"}")));
    assert!(read(&twice).0.unwrap_err().to_string().contains("packed twice"));
}

#[test]
fn json_nested_a_million_deep_is_one_rejected_record() {
    let folder = tempfile::tempdir().unwrap();
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    let deep_object = "{\"data\":".repeat(1_000_000) + "1" + &"}".repeat(1_000_000);
    for (name, deep) in [("deep.jsonl", &deep), ("deep.json", &deep_object)] {
        let lines = format!("{{\"text\": \"one\"}}\n{deep}\n{{\"text\": \"two\"}}\n");
        let (scanned, found) = read(&file(&folder, name, lines.as_bytes()));
        let scanned = scanned.unwrap();
        assert_eq!((scanned.posts, scanned.rejected), (2, 1), "{name}");
        assert!(found[1].contains("recursion limit"), "{}", found[1]);
    }
    // The archive's own form, and one that never ends.
    let archive = format!("window.YTD.tweets.part0 = [ {{\"text\": \"one\"}}, {deep} ]");
    let (scanned, _) = read(&file(&folder, "tweets.js", archive.as_bytes()));
    assert_eq!(scanned.unwrap().rejected, 1);
    let open = format!("[{{\"text\": \"one\"}}, {}", "{\"a\":".repeat(1_000_000));
    let (scanned, found) = read(&file(&folder, "open.json", open.as_bytes()));
    assert!(matches!(scanned, Err(PostsError::WrongJson { .. })), "{scanned:?}");
    assert_eq!(found.len(), 1, "what stands before is handed over");
}

#[test]
fn records_and_rows_without_an_end_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let options = ReadOptions { record_limit_bytes: 1 << 16, ..ReadOptions::default() };
    let long = "a".repeat(1 << 20);
    let lines = format!("{{\"text\": \"{long}\"}}\n{{\"text\": \"short\"}}\n");
    let (scanned, found) = read_with(&file(&folder, "long.jsonl", lines.as_bytes()), &options);
    assert_eq!(scanned.unwrap().posts, 1);
    assert!(found[0].contains("more than the 65536 a record may have"), "{}", found[0]);
    let rows = format!("id,text\n1,\"first\"\n2,\"{long}\n");
    let (scanned, found) = read_with(&file(&folder, "open.csv", rows.as_bytes()), &options);
    let error = scanned.unwrap_err();
    assert!(matches!(error, PostsError::EndlessRow { limit_bytes: 65536, .. }), "{error}");
    assert_eq!(found, ["1: first"]);
}

#[test]
fn archives_and_streams_that_break_off_say_so_and_can_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let lines: String = (0..20_000)
        .map(|id| format!("{{\"id\": {id}, \"text\": \"word {}\"}}\n", id * id))
        .collect();
    let whole = gzip(lines.as_bytes());
    let cut = file(&folder, "cut.jsonl.gz", &whole[..whole.len() / 2]);
    let (scanned, found) = read(&cut);
    let error = scanned.unwrap_err();
    assert!(matches!(error, PostsError::Truncated { posts: 1000.., .. }), "{error}");
    assert!(found.len() > 1000);
    let keep = ReadOptions { keep_truncated: true, ..ReadOptions::default() };
    let (scanned, kept) = read_with(&cut, &keep);
    assert_eq!(scanned.unwrap().rejected, 1);
    assert!(kept.len() > found.len() && kept.last().unwrap().contains("breaks off"));
    // A zip has its directory at its end: without it nothing is found.
    let whole = zip_of(&[("posts.jsonl", lines.as_bytes())]);
    for length in [whole.len() / 2, whole.len() - 10, 40] {
        let (scanned, _) = read(&file(&folder, "cut.zip", &whole[..length]));
        assert!(matches!(scanned, Err(PostsError::Truncated { .. })), "{length}: {scanned:?}");
    }
    // Bytes of a member that were changed.
    let mut damaged = whole.clone();
    damaged[200..260].fill(0xaa);
    let (scanned, _) = read(&file(&folder, "damaged.zip", &damaged));
    assert!(matches!(scanned, Err(PostsError::Truncated { .. })), "{scanned:?}");
}

#[test]
fn names_that_climb_out_are_only_names() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    let members: [(&str, &[u8]); 3] = [
        ("../../climbed.jsonl", b"{\"id\": 1, \"text\": \"climbed\"}\n"),
        ("/absolute.jsonl", b"{\"id\": 2, \"text\": \"absolute\"}\n"),
        ("esc\x1b[2Jape.jsonl", b"not json\n{\"id\": 3, \"text\": \"escaped\"}\n"),
    ];
    let path = inside.join("climb.zip");
    std::fs::write(&path, zip_of(&members)).unwrap();
    let mut sources = Vec::new();
    let scanned = scan(&path, &ReadOptions::default(), &AtomicU64::new(0), &mut |item| {
        match item {
            Item::Post(post) => sources.push(post.origin.source.to_string()),
            Item::Rejected(rejected) => sources.push(rejected.source.to_string()),
            Item::Notice(_) => {}
        }
        Ok(())
    });
    assert_eq!(scanned.unwrap().posts, 3);
    assert!(sources.iter().any(|source| source.ends_with("climb.zip!../../climbed.jsonl")));
    assert!(sources.iter().all(|source| !source.contains('\x1b')), "{sources:?}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing was unpacked");
    assert_eq!(std::fs::read_dir(&inside).unwrap().count(), 1);
}

#[test]
fn entries_of_one_name_lose_and_double_nothing_silently() {
    let folder = tempfile::tempdir().unwrap();
    // The library writes no two entries of one name: the second is renamed in the bytes.
    let mut bytes = zip_of(&[
        ("one.jsonl", b"{\"id\": 1, \"text\": \"first words\"}\n"),
        ("two.jsonl", b"{\"id\": 2, \"text\": \"other words\"}\n"),
    ]);
    for at in 0..bytes.len() - 9 {
        if &bytes[at..at + 9] == b"two.jsonl" {
            bytes[at..at + 9].copy_from_slice(b"one.jsonl");
        }
    }
    let (scanned, found) = read(&file(&folder, "twice.zip", &bytes));
    assert_eq!(scanned.unwrap().posts as usize, found.len());
    assert_eq!(found, DUPLICATES);
    // A tar is read member by member.
    let mut tar = tar::Builder::new(Vec::new());
    for id in [1, 2] {
        let text = format!("{{\"id\": {id}, \"text\": \"words\"}}\n");
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, "one.jsonl", text.as_bytes()).unwrap();
    }
    let (scanned, _) = read(&file(&folder, "twice.tar", &tar.into_inner().unwrap()));
    assert_eq!(scanned.unwrap().posts, 2);
}

/// What two entries of one name come to: readers of zip files take the directory's last one.
const DUPLICATES: [&str; 1] = ["2: other words"];

#[cfg(unix)]
#[test]
fn what_cannot_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "closed.jsonl", b"{\"text\": \"words\"}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    // A process that may read everything reads this too.
    if std::fs::File::open(&path).is_err() {
        let error = read(&path).0.unwrap_err();
        assert!(matches!(error, PostsError::Io { .. }), "{error}");
        assert!(error.to_string().contains("closed.jsonl"));
    }
    std::os::unix::fs::symlink("nowhere", folder.path().join("dangling")).unwrap();
    let error = read(&folder.path().join("dangling")).0.unwrap_err();
    assert!(matches!(error, PostsError::NotFound { .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn named_pipes_are_read_as_streams() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: no mkfifo");
        return;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| std::fs::write(&path, gzip(b"{\"id\": 1, \"text\": \"words\"}\n")).unwrap());
        let (scanned, found) = read(&path);
        assert_eq!(scanned.unwrap().posts, 1);
        assert_eq!(found, ["1: words"]);
    });
}

#[test]
fn damaged_parquet_files_are_errors_and_no_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("posts.parquet");
    let post = |id: u32| Post { id: id.to_string(), text: format!("word {id}"), ..Post::default() };
    write_posts(&path, Durability::Unsynced, &(0..20).map(post).collect::<Vec<_>>()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for at in (4..whole.len() - 8).step_by(5) {
        for wrong in [0x00, 0x7f, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = wrong;
            let path = file(&folder, "damaged.parquet", &damaged);
            match read(&path).0 {
                Err(PostsError::WrongParquet { .. }) => refused += 1,
                Err(PostsError::NoUsablePosts { .. } | PostsError::Empty { .. }) | Ok(_) => {}
                Err(other) => panic!("byte {at} as {wrong}: {other}"),
            }
        }
    }
    assert!(refused > 20, "{refused} refused");
}
