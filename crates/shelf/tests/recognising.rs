//! What paths stand for: runs, model directories, GGUF files, and what is refused by name.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::fs;
use std::path::Path;

use stoa_shelf::{Source, recognise};

/// A safetensors file of one tensor.
fn weights() -> Vec<u8> {
    let header = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend([0; 8]);
    bytes
}

fn write(directory: &Path, files: &[(&str, &[u8])]) {
    for (name, bytes) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn refusal(files: &[(&str, &[u8])], path: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), files);
    recognise(&directory.path().join(path)).unwrap_err().to_string()
}

#[test]
fn the_three_forms_are_known() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let model = weights();
    write(
        root,
        &[
            ("m/config.json", b"{\"model_type\": 1}"),
            ("m/model.safetensors", &model),
            ("m/tokenizer.json", b"{}"),
            ("m/other.gguf", b"GGUF"),
            ("run/run.toml", b""),
            ("run/checkpoints/000001/config.json", b"{}"),
            ("g/x.gguf", b"GGUF\x03\0\0\0"),
            ("blob", b"GGUF\x03\0\0\0"),
            ("split/a-00001-of-00002.gguf", b"GGUF\x03"),
            ("split/a-00002-of-00002.gguf", b"GGUF\x03"),
            ("models--o--n/refs/main", b"abc\n"),
            ("models--o--n/snapshots/abc/config.json", b"{}"),
            ("models--o--n/snapshots/abc/model.safetensors", &model),
        ],
    );
    let source = |path: &str| recognise(&root.join(path)).unwrap();
    let found = source("m");
    assert_eq!(found.source, Source::Directory(root.join("m")));
    assert!(found.notes[0].contains("other.gguf"), "{:?}", found.notes);
    assert_eq!(source("run").source, Source::Run(root.join("run")));
    assert_eq!(source("g").source, Source::Gguf(root.join("g/x.gguf")));
    assert_eq!(source("blob").source, Source::Gguf(root.join("blob")));
    let first = Source::Gguf(root.join("split/a-00001-of-00002.gguf"));
    assert_eq!(source("split").source, first);
    assert_eq!(source("split/a-00002-of-00002.gguf").source, first);
    let snapshot = root.join("models--o--n/snapshots/abc");
    assert_eq!(source("models--o--n").source, Source::Directory(snapshot));
    // A directory with nothing in it is a run that has no checkpoint.
    fs::create_dir(root.join("empty")).unwrap();
    assert_eq!(source("empty").source, Source::Run(root.join("empty")));
}

#[test]
fn what_is_there_instead_is_named_with_the_remedy() {
    let model = weights();
    let config: (&str, &[u8]) = ("config.json", b"{\"model_type\": 1}");
    let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
    let cases: &[(&[(&str, &[u8])], &str, &[&str])] = &[
        (&[("adapter_config.json", b"{}")], "", &["LoRA adapter", "merge"]),
        (&[config, ("pytorch_model.bin", b"PK\x03\x04")], "", &["pytorch_model.bin", "pickle"]),
        (&[config, ("pytorch_model.bin", b"PK\x03\x04")], "pytorch_model.bin", &["pickle"]),
        (&[config, ("model.safetensors", lfs)], "", &["Git LFS pointer", "git lfs pull"]),
        (&[("config.json", lfs), ("model.safetensors", &model)], "", &["Git LFS pointer"]),
        (&[config, ("model.safetensors", b"<html>")], "", &["web page", "fetch the file again"]),
        (&[config, ("model.safetensors", b"")], "", &["empty"]),
        (&[config, ("model.safetensors", &model[..69])], "", &["cut short", "69 of 70 bytes"]),
        (&[config, ("model.safetensors", &model[..30])], "", &["cut short", "30 of 62 bytes"]),
        (&[config, ("model.safetensors", &model[..5])], "", &["not a safetensors file"]),
        (&[config], "", &["no weights", "model.safetensors"]),
        (&[config, ("lm.safetensors", &model)], "", &["rename lm.safetensors"]),
        (&[("model.safetensors", &model)], "", &["no config.json"]),
        (&[("model.safetensors", &model)], "model.safetensors", &["weights alone", "directory"]),
        (&[config], "config.json", &["configuration", "give its directory"]),
        (&[("tokenizer.model", b"\x0a\x0e\x0a\x05<unk>")], "", &["SentencePiece"]),
        (
            &[("params.json", b"{}"), ("consolidated.00.pth", b"PK")],
            "",
            &["layout of its publisher"],
        ),
        (&[("a.gguf", b"GGUF"), ("b.gguf", b"GGUF")], "", &["several GGUF", "a.gguf", "b.gguf"]),
        (&[("a.gguf", b"<html>")], "", &["a.gguf", "web page"]),
        (&[("m/config.json", b"{}")], "", &["m is one", "give that directory"]),
        (&[("model.onnx", b"\x08\x07\x12\x07")], "", &["ONNX"]),
        (&[("x", b"PK\x05\x06")], "x", &["zip archive", "unpack"]),
        (&[("x", b"hello")], "x", &["none of the model files"]),
        (&[], "nowhere", &["there is no", "nowhere", "stoa up --dir"]),
    ];
    for (files, path, words) in cases {
        let message = refusal(files, path);
        for word in *words {
            assert!(message.contains(word), "`{word}` is missing for {path}: {message}");
        }
    }
    let both = [config, ("model.safetensors", &model), ("adapter_config.json", b"{}")];
    let with = [&both[..], &[("adapter_model.safetensors", &model[..])]].concat();
    assert!(refusal(&with, "").contains("stoa models merge"));
}
