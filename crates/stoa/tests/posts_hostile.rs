//! Memory that the program takes for hostile sources, measured on the process itself: a line beyond
//! every limit, bombs, deep JSON. The bound is the same for all of them and does not depend on how
//! large the source is.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const STOA: &str = env!("CARGO_BIN_EXE_stoa");
/// What an ingest may take: a record of 64 MiB, its copy while it grows, the threads and the sorts of
/// an ingest. Measured: 66 to 73 MB, also on a line of 2 GiB.
const BOUND_MB: u64 = 128;

/// The most memory a process had so far, in megabytes.
fn peak_mb(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? / 1024)
}

/// Ingests a source, with what `feed` writes on standard input; the exit code, what was said on
/// standard error, and the most memory it took.
fn ingest(
    folder: &Path,
    source: &str,
    feed: impl FnOnce(&mut dyn Write) + Send,
) -> (Option<i32>, String, u64) {
    let mut child = Command::new(STOA)
        .current_dir(folder)
        .args(["posts", "ingest", source, "--out", "out", "--quiet", "--threads", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut peak = 0;
    let status = std::thread::scope(|scope| {
        scope.spawn(move || {
            feed(&mut stdin);
            drop(stdin);
        });
        loop {
            peak = peak.max(peak_mb(&child).unwrap_or(0));
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    });
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    println!("{source}: {peak} MB, {said}");
    (status.code(), said, peak)
}

/// Writes a text again and again; a reader that has gone away is no matter.
fn again(out: &mut dyn Write, text: &[u8], times: usize) {
    for _ in 0..times {
        if out.write_all(text).is_err() {
            return;
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Megabytes of a line: beyond the limit of a record in the quick suite; `STOA_LINE_MB=2048` for the
/// figure of the page.
fn line_mb() -> usize {
    std::env::var("STOA_LINE_MB").ok().and_then(|text| text.parse().ok()).unwrap_or(160)
}

#[test]
fn a_line_without_an_end_takes_bounded_memory() {
    let megabyte = vec![b'a'; 1 << 20];
    // A line, a paragraph, and an object of an array, which is walked through from 8 MiB on.
    for (start, end, limit) in [
        (
            "{\"text\": \"",
            "\"}\n{\"text\": \"and words after it\"}\n{\"text\": \"and more\"}\n",
            64 << 20,
        ),
        ("", "\nand words after it\nand more of them\n", 64 << 20),
        (
            "[{\"text\": \"",
            "\"}, {\"text\": \"and words after it\"}, {\"text\": \"and more\"}]",
            8 << 20,
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (code, said, peak) = ingest(folder.path(), "-", |out| {
            again(out, start.as_bytes(), 1);
            again(out, &megabyte, line_mb());
            again(out, end.as_bytes(), 1);
        });
        assert_eq!(code, Some(0), "{start}: {said}");
        assert!(peak < BOUND_MB, "{start}: {peak} MB");
        let rejects = std::fs::read_to_string(folder.path().join("out/rejects.jsonl")).unwrap();
        let reason = format!("more than the {limit} a record may have");
        assert!(rejects.contains(&reason), "{rejects}");
    }
}

#[test]
fn bombs_and_deep_json_take_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut words = b"{\"text\": \"".to_vec();
    words.resize(16 << 20, b'a');
    let bomb = gzip(&words);
    let (code, said, peak) = ingest(folder.path(), "-", |out| again(out, &bomb, 64));
    assert!(code == Some(1) && said.contains("decompression bomb"), "{said}");
    assert!(peak < BOUND_MB, "{peak} MB");
    // Zeros, which are what bombs are mostly made of, are no posts from the first byte on.
    std::fs::write(folder.path().join("zeros.gz"), gzip(&vec![0; 16 << 20]).repeat(64)).unwrap();
    let (code, said, peak) = ingest(folder.path(), "zeros.gz", |_| {});
    assert!(code == Some(1) && said.contains("binary data"), "{said}");
    assert!(peak < BOUND_MB, "{peak} MB");
    let deep = vec![b'['; 1_000_000];
    let (code, said, peak) = ingest(folder.path(), "-", |out| {
        again(out, b"{\"text\": \"one\"}\n", 1);
        again(out, &deep, 60);
        again(out, b"\n{\"text\": \"two\"}\n", 1);
    });
    assert_eq!(code, Some(0), "{said}");
    assert!(peak < BOUND_MB, "{peak} MB");
}
